"""What the service manager is told, received as systemd receives it: by a datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.runtime import service_manager
from gateway.runtime.service_manager import ServiceManager
from tests.conftest import ExpectedLogs
from tests.support.waiting import wait_until


class Systemd:
    """The socket of a service manager, with the notifications that it has received."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address}
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._sock.setblocking(False)

    def received(self) -> list[list[str]]:
        notifications = []
        while True:
            try:
                notifications.append(self._sock.recv(10_000).decode().split("\n"))
            except BlockingIOError:
                return notifications

    def close(self) -> None:
        self._sock.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    is_path = request.param == "path"
    made = Systemd(str(tmp_path / "notify") if is_path else f"@mqttgateway-test-{os.getpid()}")
    yield made
    made.close()


class Headline:
    """How the gateway is, as far as this test is concerned."""

    def __init__(self) -> None:
        self.text = "link up"

    def __call__(self) -> str:
        return self.text


def test_systemd_is_told_when_the_gateway_is_ready_and_when_it_stops(systemd: Systemd) -> None:
    manager = ServiceManager(systemd.environment, Headline())
    assert manager.is_there
    assert systemd.received() == []
    manager.ready()
    manager.stopping()
    assert systemd.received() == [["READY=1", "STATUS=link up"], ["STOPPING=1", "STATUS=stopping"]]


def test_a_reload_begins_with_the_time_and_ends_with_ready(systemd: Systemd) -> None:
    manager = ServiceManager(systemd.environment, Headline())
    before = time.monotonic_ns() // 1000
    for is_reloading in (False, True, True, False, False):
        manager.set_reloading(is_reloading)
    (reloading, began), (ready, *_) = systemd.received()
    assert (reloading, ready) == ("RELOADING=1", "READY=1")
    assert before <= int(began.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_the_status_is_one_bounded_line_and_sent_only_when_it_has_changed(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    headline = Headline()
    monkeypatch.setattr(service_manager, "INTERVAL", 0.01)
    manager = ServiceManager(systemd.environment, headline)
    manager.ready()
    wait_until(lambda: manager.due_in == 0.0)
    manager.tick()
    assert systemd.received() == [["READY=1", "STATUS=link up"]]
    headline.text = "boiler:\n  " + "x" * 1000
    wait_until(lambda: manager.due_in == 0.0)
    manager.tick()
    ((status,),) = systemd.received()
    assert status == f"STATUS=boiler: {'x' * 492}..."
    assert 0.0 < (manager.due_in or 0.0) <= 0.01


def test_a_line_that_has_changed_is_due_within_a_second(systemd: Systemd) -> None:
    headline = Headline()
    manager = ServiceManager(systemd.environment, headline)
    manager.tick()
    assert (manager.due_in or 0.0) > 3.0
    headline.text = "no link to the broker"
    manager.tick()
    assert 0.0 < (manager.due_in or 0.0) <= 1.0
    wait_until(lambda: manager.due_in == 0.0)
    manager.tick()
    assert systemd.received() == [["STATUS=link up"], ["STATUS=no link to the broker"]]
    assert (manager.due_in or 0.0) > 3.0


def test_the_watchdog_is_told_in_time_and_only_while_all_threads_advance(systemd: Systemd) -> None:
    is_alive = True
    environment = {**systemd.environment, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())}
    manager = ServiceManager(environment, Headline(), lambda: is_alive)
    manager.tick()
    assert systemd.received() == [["WATCHDOG=1", "STATUS=link up"]]
    assert manager.due_in is not None
    assert 0.0 < manager.due_in <= 0.1, "twice in the time that systemd gives"
    manager.tick()
    assert systemd.received() == [], "no more often than that"
    wait_until(lambda: manager.due_in == 0.0)
    is_alive = False
    manager.tick()
    assert systemd.received() == []
    wait_until(lambda: manager.due_in == 0.0)
    is_alive = True
    manager.tick()
    assert systemd.received() == [["WATCHDOG=1"]]


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"WATCHDOG_USEC": "nonsense"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "9" * 400},
        {"WATCHDOG_USEC": "9" * 5000},
        {"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"},
    ],
)
def test_a_watchdog_that_is_off_or_meant_for_another_process_is_not_told(
    systemd: Systemd, others: dict[str, str]
) -> None:
    manager = ServiceManager({**systemd.environment, **others}, Headline())
    manager.tick()
    assert systemd.received() == [["STATUS=link up"]]
    assert 3.0 < (manager.due_in or 0.0) <= 4.0


def test_a_watchdog_without_time_does_not_keep_the_main_thread_awake(systemd: Systemd) -> None:
    manager = ServiceManager({**systemd.environment, "WATCHDOG_USEC": "1"}, Headline())
    manager.tick()
    assert (manager.due_in or 0.0) > 0.01


def test_without_a_service_manager_nothing_is_sent_and_nobody_is_woken() -> None:
    def headline() -> str:
        raise AssertionError("it is asked for how the gateway is")

    manager = ServiceManager({"WATCHDOG_USEC": "200000"}, headline)
    manager.ready()
    manager.set_reloading(True)
    manager.tick()
    manager.stopping()
    assert manager.due_in is None
    assert not manager.is_there


def test_a_service_manager_that_is_gone_is_logged(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("systemd cannot be notified (")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}, Headline()).ready()


def test_a_service_manager_that_does_not_read_is_waited_for_without_using_the_processor(
    systemd: Systemd, expected_logs: ExpectedLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_logs.expect("systemd cannot be notified (")
    monkeypatch.setattr(service_manager, "INTERVAL", 0.0)
    headline = Headline()
    manager = ServiceManager(systemd.environment, headline)
    began, used = time.monotonic(), time.process_time()
    for number in range(100):  # more than its socket holds
        headline.text = f"link up for {number} s"
        manager.tick()
    assert time.monotonic() - began < 0.5, "a status line is not waited for"
    manager.ready()
    assert time.process_time() - used < 0.3
    systemd.received()
    manager.tick()
    assert systemd.received() == [["STATUS=link up for 99 s"]], "what was lost is sent again"
