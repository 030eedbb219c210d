from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from gateway.runtime.process_limits import apply_process_limits
from tests.support.broker import Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess


def limited(limit: str) -> tuple[str, ...]:
    """Return the prefix of a command that limits its open files to SOFT:HARD."""
    return ("prlimit", f"--nofile={limit}", "--")


def write_many(folder: Path, port: int, count: int) -> Path:
    return write_conf(folder, port, interfaces={f"d{number}": trial("Recorder") for number in range(count)})


def test_the_soft_limit_is_raised_where_interfaces_need_it(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with GatewayProcess(write_many(tmp_path, mosquitto.port, 100), prefix=limited("100:4096")) as gateway:
        gateway.wait_log("connected to")
        limits = Path(f"/proc/{gateway.process.pid}/limits").read_text()
        assert next(line.split()[3:5] for line in limits.splitlines() if "open files" in line) == ["4096", "4096"]
        gateway.stop()


def test_a_limit_that_is_too_low_is_reported_at_the_start(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with GatewayProcess(write_many(tmp_path, mosquitto.port, 100), prefix=limited("200:200")) as gateway:
        assert gateway.wait() == 1
        assert gateway.log == (
            "mqttgateway: 100 interfaces need 264 file descriptors, but this process may open only 200: "
            "set LimitNOFILE=264 in the unit, or run 'ulimit -n 264' before starting it\n"
        )


def test_a_reload_that_would_exceed_the_limit_is_rejected(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with GatewayProcess(write_many(tmp_path, mosquitto.port, 1), prefix=limited("200:200")) as gateway:
        gateway.wait_log("connected to")
        write_many(tmp_path, mosquitto.port, 100)
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_log("reload rejected; running configuration unchanged: 100 interfaces need 264 file descriptors")
        gateway.stop()


def test_threads_switch_more_often_with_fewer_interfaces() -> None:
    previous = sys.getswitchinterval()
    try:
        for interfaces, seconds in (1, 0.001), (10, 0.005), (100, 0.05), (400, 0.05):
            apply_process_limits(interfaces)
            assert sys.getswitchinterval() == pytest.approx(seconds)
    finally:
        sys.setswitchinterval(previous)
