"""The contenders: the gateway and its peers. All send the same payloads to the same topic.

Each is a context manager that yields the process once it has reported over MQTT that it is ready.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks.device import Device
from benchmarks.lab import ROOT, Lab, ending, spawn, stop_gateway
from benchmarks.report import WrongResultError
from benchmarks.subscriber import Subscriber
from benchmarks.topics import FILTERS, READY_TOPIC, STATUS_TOPIC
from tests.support.broker import find_tool

OURS, BARE, C_PIPELINE, LEAST = "mqttgateway", "bare paho", "cat | mosquitto_pub -l", "bare socket"
ON_DISK = "mqttgateway, outbox on disk"

_ADDRESS = {"function": "climate", "location": "lab", "device": "probe"}


def subscriber(lab: Lab) -> Subscriber:
    """Return a subscriber that receives everything that a contender publishes."""
    return Subscriber(lab.port, *FILTERS)


# --- the gateway


def gateway_command(
    lab: Lab,
    interfaces: dict[str, dict[str, Any]],
    qos: int,
    port: int | None = None,
    *,
    disk: bool = False,
    home_assistant: bool = False,
    web: bool | dict[str, Any] = False,
) -> list[str]:
    """Write a configuration; return the command that runs it, on the lab's broker or on that at `port`."""
    conf = lab.folder / "bench.conf"
    options = {
        "name": "bench",
        "root": "bench",
        "topics": ["bench/+/+/+/+/+/C"],
        "mqtt": {
            "port": port or lab.port,
            "qos": qos,
            "session_expiry": 0,
        },  # each round begins without an earlier session
        "outbox": {"store": "memory"},
        "home_assistant": home_assistant,
        "web": web,
        "interfaces": interfaces,
    }
    if disk:
        for file in lab.folder.glob("bench.outbox*"):
            file.unlink()
        options["outbox"] = {"store": "disk", "file": str(lab.folder / "bench.outbox")}
    conf.write_text(json.dumps(options))  # which is YAML, too
    return [sys.executable, "-m", "gateway", "--conf", str(conf)]


def serial_options(device: str) -> dict[str, Any]:
    """Return the options of a serial interface with one rule."""
    message = {"action": "TEMPERATURE", "arguments": {"celsius": "{celsius}"}}
    rule = {"regex": "T (?P<celsius>[0-9.]+)", "values": {"celsius": "float"}, "message": message}
    return {"type": "serial", "port": device, "address": _ADDRESS, "decode": [rule]}


def push_options() -> dict[str, Any]:
    """Return the options of the interface that pushes as fast as it can."""
    return {"type": str(ROOT / "benchmarks" / "push_interface.py")}


@contextlib.contextmanager
def gateway(
    lab: Lab,
    listener: Subscriber,
    interface: dict[str, Any],
    qos: int,
    *,
    disk: bool = False,
    home_assistant: bool = False,
    web: bool | dict[str, Any] = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the gateway, with default settings except QoS, session and outbox; check its log at the end."""
    log = fresh_log(lab, "gateway")
    command = gateway_command(lab, {"device": interface}, qos, disk=disk, home_assistant=home_assistant, web=web)
    with ending(spawn(command, log)) as process:
        _wait_ready(process, log, listener, READY_TOPIC)
        yield process
        stop_gateway(process, log)


# --- peers


def peer_command(module: str, *arguments: object) -> list[str]:
    """Return the command of a module in `benchmarks.peers`."""
    return [sys.executable, "-m", f"benchmarks.peers.{module}", *map(str, arguments)]


@contextlib.contextmanager
def peer(lab: Lab, listener: Subscriber, module: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of `benchmarks.peers`; the first argument it gets is the broker's port."""
    log = fresh_log(lab, module)
    with ending(spawn(peer_command(module, lab.port, *arguments), log)) as process:
        _wait_ready(process, log, listener, READY_TOPIC)
        yield process


def bare_socket(
    lab: Lab, listener: Subscriber, device: Device, topic: str = STATUS_TOPIC
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Run the minimal program in Python, QoS 0, which publishes the lines of the device on `topic`."""
    return peer(lab, listener, "bare_socket", device.path, topic)


@contextlib.contextmanager
def c_pipeline(lab: Lab, listener: Subscriber, device: Device) -> Iterator[subprocess.Popen[bytes]]:
    """Run `cat DEVICE | mosquitto_pub -l`, QoS 0: no translation at all; its payloads are the lines."""
    program = find_tool("mosquitto_pub")
    if program is None:
        raise WrongResultError("mosquitto_pub is missing: apt install mosquitto-clients")
    log = fresh_log(lab, "pipeline")
    with ending(spawn(["cat", device.path], log, stdout=subprocess.PIPE)) as cat:
        assert cat.stdout is not None
        command = [program, "-p", str(lab.port), "-t", STATUS_TOPIC, "-l"]
        with ending(spawn(command, log, stdin=cat.stdout.fileno())) as process:
            device.write(b"ready\n")
            listener.wait_live(STATUS_TOPIC, b"ready")
            yield process


def fresh_log(lab: Lab, name: str) -> Path:
    log = lab.folder / f"{name}.log"
    log.unlink(missing_ok=True)
    return log


def _wait_ready(process: subprocess.Popen[bytes], log: Path, listener: Subscriber, topic: str) -> None:
    try:
        listener.wait_live(topic, b"online")
    except WrongResultError as err:
        raise WrongResultError(f"{err} (exit code {process.poll()}): {log.read_text()[-400:]}") from err
