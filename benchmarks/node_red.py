"""Node-RED from the npm registry, with its serial node, if npm is available: a flow that does the gateway's work."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.contenders import fresh_log
from benchmarks.device import Device
from benchmarks.lab import ROOT, Lab, ending, spawn
from benchmarks.report import WrongResultError
from benchmarks.subscriber import Subscriber
from benchmarks.topics import STATUS_TOPIC

NAME = "Node-RED"
_PACKAGES = ("node-red@4.1.15", "node-red-node-serialport@2.0.3")
_FOLDER = ROOT / ".bench" / "node-red"
_TRANSLATE = """\
const [kind, value] = msg.payload.trim().split(' ');
if (kind === 'T') return {payload: {action: 'TEMPERATURE', celsius: parseFloat(value)}};
return {payload: kind};"""


@functools.cache
def is_available() -> bool:
    """Return whether Node-RED can be run; install it if necessary, and print the reason if it cannot be run."""
    program = _FOLDER / "node_modules" / "node-red" / "red.js"
    npm = shutil.which("npm")
    if npm is not None and not program.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = [npm, "install", "--no-audit", "--no-fund", "--silent", *_PACKAGES]
            subprocess.run(command, cwd=_FOLDER, check=True, capture_output=True, timeout=300)
    if not program.exists():
        print(f"  {NAME} is left out: {'npm could not install it' if npm else 'npm is missing'}")
    return program.exists()


def last_payload(count: int) -> bytes:
    """Return the last of `payloads(count)` as Node-RED writes it: JSON without blanks."""
    return json.dumps({"action": "TEMPERATURE", "celsius": (count - 1) / 10}, separators=(",", ":")).encode()


@contextlib.contextmanager
def node_red(lab: Lab, listener: Subscriber, device: Device) -> Iterator[subprocess.Popen[bytes]]:
    """Run Node-RED on a pty, without its editor."""
    folder = lab.folder / "node-red"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "flows.json").write_text(json.dumps(_flow(device.path, lab.port)))
    modules = _FOLDER / "node_modules"
    settings = {
        "httpAdminRoot": False,
        "httpNodeRoot": False,
        "flowFile": "flows.json",
        "nodesDir": str(modules / "node-red-node-serialport"),
    }
    (folder / "settings.js").write_text(f"module.exports = {json.dumps(settings)};\n")
    red = str(modules / "node-red" / "red.js")
    log = fresh_log(lab, "node-red-log")
    with ending(spawn(["node", red, "-s", str(folder / "settings.js"), "-u", str(folder)], log)) as process:
        deadline = time.monotonic() + 20.0
        while not all(text in log.read_text() for text in (f"{device.path} opened", "Connected to broker")):
            if time.monotonic() > deadline or process.poll() is not None:
                raise WrongResultError(f"Node-RED did not start: {log.read_text()[-400:]}")
            time.sleep(0.05)
        device.write(b"ready\n")
        listener.wait_live(STATUS_TOPIC, b"ready")
        yield process


def _flow(path: str, port: int) -> list[dict[str, Any]]:
    """Return the flow: serial in, a function that makes the payload, mqtt out."""
    broker = {"id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "clientid": "node-red",
              "autoConnect": True, "protocolVersion": "4", "keepalive": "60", "cleansession": True}  # fmt: skip
    line = {"id": "line", "type": "serial-port", "serialport": path, "serialbaud": "115200", "databits": "8",
            "parity": "none", "stopbits": "1", "newline": "\\n", "bin": "false", "out": "char", "dtr": "none",
            "rts": "none", "cts": "none", "dsr": "none", "responsetimeout": "10000"}  # fmt: skip
    return [
        {"id": "tab", "type": "tab", "label": "bench"},
        broker,
        line,
        {"id": "in", "type": "serial in", "z": "tab", "serial": "line", "wires": [["translate"]]},
        {"id": "translate", "type": "function", "z": "tab", "func": _TRANSLATE, "outputs": 1, "wires": [["out"]]},
        {"id": "out", "type": "mqtt out", "z": "tab", "topic": STATUS_TOPIC, "qos": "0", "broker": "broker"},
    ]
