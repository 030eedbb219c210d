"""`mqttgateway simulate` as a process: a port of a simulated device, played by its script."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest
import serial

from gateway.cli.main import main
from tests.support.simulation import SimulateProcess
from tests.support.waiting import wait_until

SCRIPT = """\
says: [{at: 0.1, every: 0.1, write: "TICK"}]
answers: [{regex: 'PING', write: "PONG"}]
faults: []
"""


def test_a_pseudo_terminal_under_a_path(tmp_path: Path) -> None:
    link = tmp_path / "tty"
    link.symlink_to("/dev/pts/987654")  # of a simulation that was killed
    with SimulateProcess(tmp_path, SCRIPT, "--pty", "tty") as device:
        assert f"the device is there: port: {link}" in device.output
        with serial.Serial(str(link), timeout=5) as port:
            assert port.readline().endswith(b"TICK\r\n")
            port.write(b"PING\r\n")
            lines = [port.readline() for _ in range(5)]
            assert b"PONG\r\n" in lines
        wait_until(lambda: re.search(r"^ +[0-9.]+ hears 'PING': answer 'PING'$", device.output, re.MULTILINE))
    assert not link.is_symlink()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])  # from kill, and from a terminal that is closed
def test_no_link_stays_behind_however_it_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    with SimulateProcess(tmp_path, SCRIPT, "--pty", "tty") as device:
        assert device.end(number) == 0
    assert not (tmp_path / "tty").is_symlink()


def test_a_tcp_port_whose_newest_connection_counts(tmp_path: Path) -> None:
    with SimulateProcess(tmp_path, SCRIPT, "--tcp", "0") as device:
        match = re.search(r"port: socket://127\.0\.0\.1:(\d+)", device.output)
        assert match
        address = ("127.0.0.1", int(match[1]))
        with socket.create_connection(address, timeout=10) as first, first.makefile("rwb", buffering=0) as file:
            file.write(b"PING\r\n")
            assert file.readline() == b"PONG\r\n"
            assert file.readline() == b"TICK\r\n"
            with socket.create_connection(address, timeout=10) as second, second.makefile("rwb", buffering=0) as other:
                other.write(b"PING\r\n")
                assert other.readline() == b"PONG\r\n"
                wait_until(lambda: not file.readline(), what="the end of the first connection")


def test_a_line_that_hangs_up_is_back_under_the_same_path(tmp_path: Path) -> None:
    link = tmp_path / "tty"
    script = SCRIPT.replace("[]", "[{every: 1, from: 0.5, to: 0.8, hang_up: true}]")
    with SimulateProcess(tmp_path, script, "--pty", str(link)) as device:
        wait_until(lambda: device.output.count("the device is there") >= 2, what="its return")
        assert "the line is gone" in device.output


def test_a_file_that_is_no_terminal_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "device.sim").write_text(SCRIPT)
    for target in (tmp_path / "file", tmp_path / "link"):
        (tmp_path / "file").touch()
        if target.name == "link":
            target.symlink_to("file")
        assert main(["simulate", str(tmp_path / "device.sim"), "--pty", str(target)]) == 1
        assert capsys.readouterr().err == f"mqttgateway: {target} cannot be created: File exists: choose another path\n"
        assert os.path.lexists(target)


def test_a_port_that_is_in_use_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "device.sim").write_text(SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["simulate", str(tmp_path / "device.sim"), "--tcp", str(port)]) == 1
    assert f"port {port} cannot be opened: Address already in use: choose another one" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_that_is_none_is_a_usage_error(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["simulate", "modbus2mqtt.sim", f"--tcp={port}"])
    assert caught.value.code == 2
    assert f"expected a port from 0 to 65535, found '{port}'" in capsys.readouterr().err


def test_a_wrong_script_is_reported_like_a_wrong_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "device.sim"
    script.write_text('says:\n  - {evry: 1, write: "{x}"}\n')
    assert main(["simulate", str(script), "--tcp", "0"]) == 78
    assert capsys.readouterr().err == f"{script}:2:6: says[0].evry: unknown option: did you mean 'every'?\n"


def test_a_script_that_is_not_there_is_an_error_that_names_the_shipped_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", str(tmp_path / "none.sim"), "--tcp", "0"]) == 78
    assert "shipped scripts: modbus2mqtt.sim, mysensors2mqtt.sim, nmea2mqtt.sim" in capsys.readouterr().err
