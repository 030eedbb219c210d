from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import Configuration
from gateway.control.protocol import Answer
from gateway.core.inbox import Wakeup
from gateway.errors import ConfigurationError, Finding
from gateway.runtime.reload_requests import ReloadRequests
from tests.conftest import ExpectedLogs
from tests.support.configuration import trial, write_conf
from tests.support.waiting import wait_until

REJECTED = "reload rejected; running configuration unchanged:"


class Desk:
    """Reload requests whose next reading returns `result`, or raises it."""

    def __init__(self, folder: Path) -> None:
        self.running = load_configuration(write_conf(folder, 1883, interface=trial("Recorder")), {})
        self.result: Configuration | Exception = self.running
        self.replies: list[dict[str, Any]] = []
        self.wakeup = Wakeup()
        self.requests = ReloadRequests(self.load, self.wakeup)

    def load(self) -> Configuration:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def answer(self) -> Answer:
        return Answer(lambda _, line: self.replies.append(json.loads(line)))

    def poll(self) -> Configuration | None:
        """Return the outcome of the reading that was requested, once it has ended."""
        polled = self.requests.poll(self.running)
        wait_until(lambda: not any(thread.name == "reload" for thread in threading.enumerate()))
        return polled or self.requests.poll(self.running)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.wakeup.close()


def test_without_a_request_nothing_is_read(desk: Desk) -> None:
    assert desk.poll() is None


def test_a_new_configuration_is_returned_once_and_the_request_answered_when_it_is_applied(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.requests.request_for(desk.answer())
    assert desk.poll() is desk.running
    assert desk.poll() is None
    assert desk.replies == []
    desk.requests.report_applied(desk.running, "hall: map")
    file = str(desk.running.file)
    assert desk.replies == [{"ok": True, "result": {"file": file, "changes": "hall: map"}}]
    assert f"reloaded {file}: hall: map" in caplog.messages


def test_of_many_requests_the_last_hundred_are_answered(desk: Desk) -> None:
    """While reading hangs, whoever gives up and asks again must not use more and more memory."""
    for _ in range(500):
        desk.requests.request_for(desk.answer())
    while desk.poll() is not None:
        desk.requests.report_applied(desk.running, "nothing")
    assert len(desk.replies) == 100


def test_a_request_of_a_signal_handler_wakes_the_main_thread_and_needs_no_answer(desk: Desk) -> None:
    desk.requests.request()
    assert desk.poll() is desk.running
    desk.requests.report_applied(desk.running, "nothing has changed")
    assert desk.replies == []


def test_another_name_is_rejected(desk: Desk, expected_logs: ExpectedLogs) -> None:
    text = "the name cannot change to 'new' while the gateway runs: restart it"
    expected_logs.expect(f"{REJECTED} {text}")
    desk.result = desk.running._replace(name="new")
    desk.requests.request_for(desk.answer())
    assert desk.poll() is None
    assert desk.replies == [{"ok": False, "error": f"{REJECTED}\n{text}"}]


def test_of_many_findings_some_are_shown_and_the_others_counted(desk: Desk, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(*(f"{REJECTED} gw.conf:{line}:1: name: wrong" for line in range(1, 21)))
    desk.result = ConfigurationError([Finding("gw.conf", line, 1, "name", "wrong", "") for line in range(1, 26)])
    desk.requests.request_for(desk.answer())
    assert desk.poll() is None
    (reply,) = desk.replies
    first, *findings, last = reply["error"].splitlines()
    assert (first, len(findings), last) == (REJECTED, 20, "... and 5 more")
    assert reply["wrong_configuration"] is True
