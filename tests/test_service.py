"""A gateway as systemd starts it: what it tells systemd, and what it does about an interface that hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Mosquitto, free_port
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until


class Systemd:
    """The socket of systemd, and the environment of the service."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self.environment = {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "STATE_DIRECTORY": str(folder),
            "WATCHDOG_USEC": "6000000",
        }
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(folder / "notify"))
        self._sock.setblocking(False)

    def wait(self, line: str, count: int = 1) -> None:
        """Wait until it has received a line so often."""

        def is_received() -> bool:
            self._receive()
            return self.lines.count(line) >= count

        wait_until(is_received, 20, lambda: f"{line}; got {self.lines}")

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.lines += self._sock.recv(10_000).decode().split("\n")

    def wait_status(self, text: str) -> None:
        """Wait for a status line with a text."""

        def is_received() -> bool:
            self._receive()
            return any(line.startswith("STATUS=") and text in line for line in self.lines)

        wait_until(is_received, 20, lambda: f"{text}; got {self.lines}")

    def wait_long_after_hang(self) -> None:
        """Wait until it is told that an interface hangs, and then for 9 s: the limit is looked at every 5 s."""
        self.wait_status("has not returned from read()")
        self.lines.clear()
        self.wait("WATCHDOG=1", 4)

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path)
    yield made
    made.close()


def test_systemd_is_told_of_start_link_reload_and_stop(tmp_path: Path, systemd: Systemd, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with GatewayProcess(conf, environment={**systemd.environment, "WATCHDOG_USEC": "1000000"}) as gateway:
        systemd.wait("READY=1")
        systemd.wait_status("link up")
        systemd.wait("WATCHDOG=1", 3)
        gateway.process.send_signal(signal.SIGHUP)
        systemd.wait("RELOADING=1")
        systemd.wait("READY=1", 2)
        conf.write_text("nonsense: [\n")
        gateway.process.send_signal(signal.SIGHUP)
        systemd.wait("READY=1", 3)
        assert "reload rejected" in gateway.log
        gateway.stop()
        systemd.wait("STOPPING=1")
    assert systemd.lines.index("READY=1") < systemd.lines.index("RELOADING=1")


def test_it_is_ready_while_there_is_no_broker(tmp_path: Path, systemd: Systemd) -> None:
    conf = write_conf(tmp_path, free_port(), interface=trial("Recorder"))
    with GatewayProcess(conf, environment=systemd.environment) as gateway:
        systemd.wait("READY=1")
        gateway.stop()


@pytest.mark.parametrize(("options", "named", "code"), [({}, "waiting.outbox", 1), ({"nonsense": 1}, "nonsense", 78)])
def test_why_it_cannot_start_is_in_the_status_line(
    tmp_path: Path, systemd: Systemd, options: dict[str, Any], named: str, code: int
) -> None:
    (tmp_path / "waiting.outbox").mkdir()
    file = str(tmp_path / "waiting.outbox")
    conf = write_conf(tmp_path, free_port(), interface=trial("Recorder"), outbox={"file": file}, **options)
    with GatewayProcess(conf, environment=systemd.environment) as gateway:
        systemd.wait_status(named)
        assert gateway.wait() == code


def test_a_main_thread_that_hangs_is_in_the_status_line_until_it_goes_on(
    tmp_path: Path, systemd: Systemd, mosquitto: Mosquitto
) -> None:
    hooks = tmp_path / "hooks.py"
    hooks.write_text("import time\n\n\ndef ponder(msg):\n    time.sleep(14)\n    return msg\n")
    interface = trial("Recorder", filters={"in": [{"hook": "hooks.py:ponder"}]})
    conf = write_conf(tmp_path, mosquitto.port, interfaces={"hall": interface})
    with mosquitto.client() as client, GatewayProcess(conf, environment=systemd.environment) as gateway:
        systemd.wait_status("link up")
        wait_until(lambda: "home/+/+/+/+/+/C (QoS" in mosquitto.log.read_text(), what="the subscription")
        systemd.lines.clear()
        client.publish("home/f///d/me/C", "PONDER")
        systemd.wait_status("the main thread hangs: hall: the hook 'hooks.py:ponder' has not returned")
        systemd.lines.clear()
        gateway.wait_log("returned after", timeout=30)
        systemd.wait_status("STATUS=link up")
        gateway.stop()


def fill(pipe: int) -> None:
    """Write to a pipe until it has no room."""
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(pipe, bytes(size))


def empty(pipe: int) -> None:
    """Read from a pipe all that is in it."""
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 65536):
            pass


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="its handler for files asks a pipe for its position, and fails")
def test_a_main_thread_that_hangs_without_a_hook_is_in_the_status_line_until_it_goes_on(
    tmp_path: Path, systemd: Systemd, mosquitto: Mosquitto
) -> None:
    """It writes to a log file that does not answer, as a pipe that nobody reads."""
    log = tmp_path / "log"
    os.mkfifo(log)
    pipe = os.open(log, os.O_RDWR | os.O_NONBLOCK)
    interfaces = {"hall": trial("Recorder")}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=interfaces, log={"file": str(log), "traffic": True})
    with mosquitto.client() as client, GatewayProcess(conf, environment=systemd.environment) as gateway:
        systemd.wait_status("link up")
        wait_until(lambda: "home/+/+/+/+/+/C (QoS" in mosquitto.log.read_text(), what="the subscription")
        fill(pipe)
        client.publish("home/f///d/me/C", "X")
        systemd.wait_status("the main thread hangs: it is at ")
        systemd.lines.clear()
        empty(pipe)
        systemd.wait_status("STATUS=link up")
        gateway.stop()
    os.close(pipe)


HANGING = """
import threading
from gateway.api import DeviceInterface

class Hanging(DeviceInterface):
    longest_call = 0.5
    read_interval = 0.1

    def open(self):
        pass

    def read(self):
        threading.Event().wait()
"""


def test_an_interface_that_hangs_ends_a_service_with_a_code_of_its_own_and_once_an_hour(
    tmp_path: Path, systemd: Systemd, mosquitto: Mosquitto
) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    conf = write_conf(tmp_path, mosquitto.port, interface={"type": "hanging.py"}, hang_limit=1)
    with GatewayProcess(conf, environment=systemd.environment) as gateway:
        assert gateway.wait(40) == 75
        assert "the gateway is being restarted for it" in gateway.log
        assert f"{tmp_path / 'hanging.py'}:" in gateway.log.splitlines()[-1]
    with GatewayProcess(conf, environment=systemd.environment) as gateway:
        gateway.wait_log("read() has not returned for ", timeout=30)
        written = (tmp_path / "gw.hang").stat().st_mtime
        systemd.wait_long_after_hang()
        assert gateway.returncode is None
        assert (tmp_path / "gw.hang").stat().st_mtime == written


def test_an_interface_that_hangs_costs_no_message_that_is_only_in_memory(tmp_path: Path, systemd: Systemd) -> None:
    """Without a broker, they would be lost by a restart: it waits for the broker."""
    (tmp_path / "hanging.py").write_text(HANGING)
    conf = write_conf(tmp_path, free_port(), interface={"type": "hanging.py"}, hang_limit=1, outbox={"store": "memory"})
    with GatewayProcess(conf, environment=systemd.environment) as gateway:
        gateway.wait_log("read() has not returned for ", timeout=30)
        systemd.wait_long_after_hang()
        assert gateway.returncode is None
        assert not (tmp_path / "gw.hang").exists()
