"""`mqttgateway tap` with a gateway that runs: what it prints, how it ends, and that it outlives a restart."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.broker import Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.device import PtyDevice
from tests.support.gateway_process import COMMAND, GatewayProcess, run_command
from tests.support.waiting import wait_until

TIME = r"\d\d:\d\d:\d\d\.\d\d\d"
TOOK = r"( \([0-9.]+ m?s\))?"


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands search the folder in which `GatewayProcess` creates the sockets."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    with PtyDevice(tmp_path) as pty:
        yield pty


@pytest.fixture
def conf(tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice) -> Path:
    decode: dict[str, Any] = {
        "name": "temperature",
        "regex": "T (?P<t>.*)",
        "values": {"t": "float"},
        "message": {"device": "probe", "action": "T", "arguments": {"t": "{t}"}},
    }
    encode = {"match": {"device": "lamp", "action": "ON"}, "write": "ON", "response": {"regex": "OK"}}
    serial: dict[str, Any] = {"type": "serial", "port": str(device.path), "decode": [decode], "encode": [encode]}
    serial["framing"] = {"write_terminator": "\n"}
    return write_conf(tmp_path, mosquitto.port, interfaces={"line": serial, "other": trial("Recorder")})


@pytest.fixture
def gateway(conf: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(conf) as process:
        process.wait_log("connected to")
        process.wait_log("is open")
        yield process


class Tap(GatewayProcess):
    """`mqttgateway tap` in its own process; it follows once the gateway has something to tell."""

    def __init__(self, conf: Path, *options: str, name: str = "tap") -> None:
        folder = conf.parent / name
        folder.mkdir()
        (folder / conf.name).write_text(conf.read_text())
        super().__init__(folder / conf.name, "tap", *options, environment={"XDG_RUNTIME_DIR": str(conf.parent)})

    def wait_until_it_follows(self, cause: Callable[[], object]) -> None:
        """Repeat what the tap has to tell of, until it has."""

        def has_told() -> bool:
            cause()
            return bool(self.output)

        wait_until(has_told, 20, lambda: self.output + self.log, pause=0.2)

    def __enter__(self) -> Self:
        return self


def sent(device: PtyDevice) -> bool:
    """Have the device send a line; return True."""
    device.write(b"T 1\n")
    return True


def test_messages_bytes_and_drops_in_both_directions(
    conf: Path, gateway: GatewayProcess, device: PtyDevice, mosquitto: Mosquitto
) -> None:
    with ExitStack() as stack:
        tap = stack.enter_context(Tap(conf))
        raw = stack.enter_context(Tap(conf, "--raw", name="raw"))
        drops = stack.enter_context(Tap(conf, "--drops", "--json", name="drops"))
        for process in (raw, tap, drops):
            process.wait_until_it_follows(lambda: device.write(b"X\n"))
        before = raw.output.count("58 0a")
        device.write(b"X\n")
        wait_until(lambda: raw.output.count("58 0a") > before)  # nothing is on its way any more
        device.write(b"T 21.5\n")
        parts = ["acknowledged line +\\d+ bytes", "'T 21.5'", "rule temperature", "status -/-/-/probe/- T t=21.5"]
        parts += ['home////probe/gw/S {"action": "T", "t": 21.5}'.replace("{", "\\{"), "sent", "acknowledged"]
        tap.wait_output(f"(?m)^{TIME} {f'{TOOK} -> '.join(parts)}{TOOK}$")
        raw.wait_output(rf"(?m)^{TIME} +\+[0-9.]+ s line read    7 bytes: 'T 21.5\\n'\n    54 20 32 31 2e 35 0a$")
        with mosquitto.client() as other:
            other.publish("home////lamp/me/C", "ON")
        raw.wait_output(r"line written 3 bytes: 'ON\\n'\n    4f 4e 0a")
        device.write(b"OK\n")
        tap.wait_output(
            rf"(?m)^{TIME} OK           line  home////lamp/me/C ON -> .* taken.* -> written 'ON\\n'.* -> answer 'OK'"
        )
        tap.wait_output(r"acknowledged other status trial/-/-/-/- GOT what=")
        notes = [json.loads(line) for line in drops.output.splitlines()]
        assert {(note["outcome"], note["where"], note["reason"]) for note in notes} == {
            ("dropped", "rule", "no rule matches")
        }
        for process in (tap, raw, drops):
            assert process.stop(signal.SIGINT) < 5
            assert (process.returncode, process.log) == (0, "")


def test_it_ends_after_so_many_messages_or_after_some_time(
    conf: Path, gateway: GatewayProcess, device: PtyDevice
) -> None:
    with Tap(conf, "--count", "2", "--device", "pro*", "--topic", "home/#") as tap:
        tap.wait_until_it_follows(lambda: device.write(b"T 1\n"))
        wait_until(lambda: sent(device) and tap.returncode is not None, 20, pause=0.2)
    assert len(tap.output.splitlines()) == 2
    done = run_command(conf, "tap", "--for", "0.3", "--rule", "none")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_in_a_terminal_it_tells_that_it_follows(conf: Path, gateway: GatewayProcess) -> None:
    """With a filter, nothing may come for hours; into a program goes nothing but messages."""
    arguments = [*COMMAND, "tap", "--conf", str(conf), "--drops", "--for", "0.5"]
    terminal, end = os.openpty()
    with os.fdopen(terminal, "rb"), os.fdopen(end, "wb") as out:
        done = subprocess.run(arguments, stdout=out, stderr=subprocess.PIPE, text=True, check=True)
    assert done.stderr == "mqttgateway: following gw (Ctrl-C ends)\n"
    assert subprocess.run(arguments, capture_output=True, text=True, check=True).stderr == ""


def test_another_name_is_answered_with_the_names_that_there_are(gateway: GatewayProcess) -> None:
    done = subprocess.run([*COMMAND, "status", "gatway"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.search(
        r"no gateway called 'gatway' runs here .*: start it, or name another one of these: .*\bgw\b", done.stderr
    )


def test_what_cannot_be_followed_is_an_error_in_one_line(conf: Path) -> None:
    done = run_command(conf, "tap")
    assert done.returncode == 1
    assert "no gateway called 'gw' runs here" in done.stderr
    done = run_command(conf, "tap", "--topic", "a#")
    assert done.returncode == 2
    assert done.stderr.startswith("mqttgateway: --topic 'a#': ")


def test_a_view_outlives_the_stop_and_the_death_of_its_gateway(
    conf: Path, device: PtyDevice, mosquitto: Mosquitto
) -> None:
    with ExitStack() as stack:
        gateway = stack.enter_context(GatewayProcess(conf))
        gateway.wait_log("is open")
        tap = stack.enter_context(Tap(conf))
        tap.wait_until_it_follows(lambda: sent(device))
        gateway.stop()
        tap.wait_log("the gateway 'gw' has gone: the gateway is being stopped; waiting for it to run again")
        gateway = stack.enter_context(GatewayProcess(conf))
        tap.wait_log("the gateway 'gw' runs again")
        gateway.kill()
        tap.wait_log("the gateway 'gw' has gone: it was killed")
        stack.enter_context(GatewayProcess(conf))
        tap.wait_log("runs again", 2)
        before = len(tap.output)
        wait_until(lambda: sent(device) and len(tap.output) > before, 20, pause=0.2)
        tap.stop(signal.SIGINT)
    assert "Traceback" not in tap.log


def test_it_ends_quietly_when_standard_output_is_closed(conf: Path, gateway: GatewayProcess, device: PtyDevice) -> None:
    command = [*COMMAND, "tap", "--conf", str(conf)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdout.close()
            wait_until(lambda: sent(device) and process.poll() is not None, 20, pause=0.2)
            assert process.returncode == os.EX_OK
            assert process.stderr.read() == b""
        finally:
            process.kill()


def test_secrets_are_not_shown(tmp_path: Path, mosquitto: Mosquitto, device: PtyDevice) -> None:
    encode = {"match": {"action": "LOGIN"}, "write": "LOGIN sesame-12345"}
    serial: dict[str, Any] = {"type": "serial", "port": str(device.path), "decode": [], "encode": [encode]}
    serial["framing"] = {"write_terminator": "\n"}
    mqtt = {"username": "me", "password": "sesame-12345"}
    conf = write_conf(tmp_path, mosquitto.port, interface=serial, mqtt=mqtt)
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("is open")
        gateway.wait_log("connected to")
        with Tap(conf) as tap, Tap(conf, "--raw", name="raw") as raw, mosquitto.client() as other:
            tap.wait_until_it_follows(lambda: other.publish("home/////me/C", "LOGIN"))
            raw.wait_until_it_follows(lambda: other.publish("home/////me/C", "LOGIN"))
            tap.wait_output(r"written 'LOGIN \*\*\*\\n'")
    shown = tap.output + raw.output
    assert "***" in raw.output
    assert "sesame" not in shown
    assert not re.search("73 65 73|736573", shown)
