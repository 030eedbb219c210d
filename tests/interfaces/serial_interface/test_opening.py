"""The opening: in order, ended by the first request that fails, and repeated when the device may have forgotten it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from interfaces.serial_interface.opening import Opening
from interfaces.serial_interface.rules import check_rules
from tests.conftest import ExpectedLogs
from tests.interfaces.serial_interface.test_session import OFF, POLL, SET, Device
from tests.support.configuration import serial_params

LOGIN: list[dict[str, Any]] = [
    {"write": "root", "response": {"regex": "login (?P<session>.*)"}, "refusal": {"regex": "login:"}},
    {"write": "stream {session}"},
]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def console(name: str, **conversation: Any) -> Device:
    device = Device(name, conversation={"opening": LOGIN, **conversation})
    device.step(0.0)
    return device


def run(device: Device, until: float, now: float = 0.0) -> list[float]:
    """Pass the time until `until`; return when something was written."""
    times: list[float] = []
    while now <= until:
        before = len(device.written)
        device.step(now)
        times += [now] * (len(device.written) - before)
        due = device.session.due()
        now = until + 1 if due is None else max(due, now)
    return times


def test_what_an_earlier_request_has_answered_may_stand_in_a_later_one(name: str) -> None:
    device = console(name)
    device.receive(b"login 7\n", 0.1)
    device.step(0.1)
    assert device.written == [b"root\r\n", b"stream 7\r\n"]
    assert device.counts()["requests_done"] == 2
    assert device.session.due() is None


def test_nothing_more_is_typed_after_a_refusal_and_the_opening_is_tried_again(
    name: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("'root': the device refused it: 'login:'")
    device = console(name)
    device.receive(b"login:\n", 0.1)
    device.step(0.1)
    assert device.written == [b"root\r\n"]
    assert device.session.due() == pytest.approx(0.6)
    device.step(0.6)
    device.receive(b"login 8\n", 0.7)
    device.step(0.7)
    assert device.written == [b"root\r\n", b"root\r\n", b"stream 8\r\n"]
    assert device.session.due() is None


def test_an_opening_that_is_not_answered_is_tried_again_less_and_less_often(
    name: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("'root': the device did not answer within 1 s")
    times = run(console(name, reopen_after=0), 200.0)
    pauses = [round(later - earlier, 2) for earlier, later in itertools.pairwise(times)]
    assert pauses == [2, 3, 5, 9, 17, *[31.0] * (len(pauses) - 5)]
    assert pauses[0] >= 2, "the time for a late answer"


def test_commands_wait_only_for_the_first_attempt(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("did not answer")
    device = console(name)
    device.submit("OFF")
    run(device, 2.5)
    assert device.written == [b"root\r\n", b"OFF\r\n", b"root\r\n"]


def test_a_frame_that_tells_of_a_restart_repeats_the_opening(name: str) -> None:
    restarted = {"regex": "BOOT (?P<v>.*)", "message": {"action": "BOOT", "arguments": "*"}}
    device = console(name, restarted=restarted)
    device.receive(b"login 7\n", 0.1)
    device.step(0.1)
    (reading,) = device.receive(b"BOOT 2\nT 5\n", 9.0)[:1]
    assert reading.arguments == {"v": "2"}
    device.submit("OFF", 9.0)
    device.step(9.0)
    assert device.written[2:] == [b"root\r\n"]
    device.receive(b"login 8\n", 9.1)
    device.step(9.1)
    assert device.written[3:] == [b"stream 8\r\n", b"OFF\r\n"]


def test_a_restart_during_the_opening_repeats_it_after_its_end(name: str) -> None:
    device = console(name, restarted={"regex": "BOOT"})
    device.receive(b"BOOT\n", 0.1)
    device.receive(b"login 7\n", 0.2)
    device.step(0.2)
    assert device.written == [b"root\r\n", b"stream 7\r\n", b"root\r\n"]
    assert device.counts()["frames_received"] == 2
    assert "frames_unmatched" not in device.counts()


def test_a_restart_frame_without_messages_is_read_by_the_decode_rules(name: str) -> None:
    device = console(name, restarted={"regex": "T 0"})
    (reading,) = device.receive(b"T 0\n", 9.0)
    assert reading.action == "T"


def test_an_opening_is_repeated_when_a_silent_device_speaks_again(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("did not answer")
    device = console(name, polls=[{**POLL, "every": 10, "on_open": False}])
    device.receive(b"login 7\n", 0.1)
    run(device, 25, now=0.1)
    device.receive(b"T 5\n", 26.0)
    device.step(26.0)
    assert device.written[2:] == [b"U?\r\n"] * 2, "two requests without an answer are not enough"
    run(device, 55, now=26.0)
    device.receive(b"T 5\n", 56.0)
    device.step(56.0)
    assert device.written[4:] == [b"U?\r\n"] * 3 + [b"root\r\n"]


def test_the_speed_that_the_opening_has_set_lasts(name: str) -> None:
    opening = [{"write": "fast", "baudrate": 115200, "pause": 0.5}, {"write": "hi", "response": {"regex": "HI"}}]
    device = Device(name, encode=[SET, OFF], conversation={"opening": opening, "restarted": {"regex": "BOOT"}})
    device.step(0.0)
    assert device.written == [b"fast\r\n"]
    device.step(0.5)
    device.receive(b"HI\n", 0.6)
    device.submit("OFF", 0.6)
    device.step(0.6)
    assert device.speeds == [(1, 115200)]
    device.receive(b"BOOT\n", 1.0)
    device.step(1.0)
    assert device.written[3:] == [b"fast\r\n"]
    assert device.speeds == [(1, 115200)], "since its frame was read, this is its speed"


def test_the_speed_returns_after_an_opening_that_has_failed(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("did not answer")
    opening = [{"write": "fast", "baudrate": 115200, "response": {"regex": "OK"}}]
    device = Device(name, conversation={"opening": opening})
    device.step(0.0)
    device.step(1.0)
    assert device.speeds == [(1, 115200), (1, 0)]


def test_the_values_of_restarted_are_checked() -> None:
    restarted = {"regex": "BOOT", "message": {"action": "BOOT", "arguments": {"v": "{v}"}}}
    (problem,) = check_rules(serial_params(conversation={"restarted": restarted}))
    assert problem.path == ("conversation", "restarted", "message")


def test_the_end_of_an_earlier_run_changes_nothing() -> None:
    opening = Opening(is_needed=True)
    opening.start(0.0)
    opening.mark_started("first")
    opening.start(5.0)
    opening.mark_started("second")
    opening.mark_ended("first", 5.1, is_done=False)
    assert opening.due() is None
    opening.mark_ended("second", 5.2, is_done=False)
    assert opening.due() == pytest.approx(5.7)
    assert not Opening(is_needed=False).is_due(1e9)
