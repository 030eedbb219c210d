"""Answers of several frames: `until` is their end; a line belongs to the answer or to the decode rules, and to one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.message import InternalMsg
from tests.conftest import ExpectedLogs
from tests.interfaces.serial_interface.test_session import Device

SIGNAL: dict[str, Any] = {
    "name": "signal",
    "write": "AT+CSQ",
    "response": {
        "until": "OK",
        "lines": {"patterns": [r"\+CSQ: (?P<rssi>[0-9]+),.*"]},
        "message": {"action": "SIGNAL", "arguments": "*"},
    },
    "refusal": {"regex": "ERROR"},
}
HANGUP: dict[str, Any] = {
    "match": {"action": "HANGUP"}, "write": "AT+CHUP", "response": {"until": "OK"}, "refusal": {"regex": "ERROR"},
}  # fmt: skip
RING: dict[str, Any] = {"regex": "RING", "message": {"action": "RING"}}
ANY_SIGNAL: dict[str, Any] = {"regex": r"\+CSQ: (?P<x>.*)", "message": {"action": "ANY", "arguments": "*"}}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def modem(name: str, **options: Any) -> Device:
    """Return a modem whose signal has been polled."""
    defaults = {"decode": [RING], "encode": [HANGUP], "conversation": {"timeout": 2, "polls": [SIGNAL]}}
    device = Device(name, **{**defaults, **options})
    device.step(0.0)
    assert device.written == [b"AT+CSQ\r\n"]
    return device


def actions(messages: list[InternalMsg]) -> list[str | None]:
    return [msg.action for msg in messages]


def test_the_end_of_an_answer_does_not_end_the_command_after_it(name: str) -> None:
    device = modem(name)
    device.submit("HANGUP")
    assert device.receive(b"+CSQ: 18,99\r\n", 0.3) == []
    assert device.step(0.3) == [], "the answer has not ended"
    assert [msg.arguments for msg in device.receive(b"OK\r\n", 0.5)] == [{"rssi": "18"}]
    device.step(0.5)
    (outcome,) = device.receive(b"ERROR\r\n", 0.7)
    assert (device.written[1:], outcome.argument("response")) == ([b"AT+CHUP\r\n"], "REFUSED")


def test_a_refusal_ends_an_answer_too(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the device refused it")
    device = modem(name, decode=[ANY_SIGNAL])
    assert device.receive(b"+CSQ: 18,99\r\n", 0.1) == []
    assert actions(device.receive(b"ERROR\r\n", 0.2)) == ["ANY"], "the line is no part of an answer, but not lost"
    assert device.counts()["requests_refused"] == 1


def test_the_timeout_begins_again_with_each_line(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the device did not answer within 2 s")
    device = modem(name)
    for second in (1.5, 3.0, 4.5):
        device.receive(b"+CSQ: 18,99\r\n", second)
        device.step(second)
    device.step(6.4)
    assert "requests_timed_out" not in device.counts()
    device.step(6.5)
    assert device.counts()["requests_timed_out"] == 1


def test_a_line_that_the_decode_rules_know_is_decoded_at_once_and_does_not_disturb_the_answer(name: str) -> None:
    response = {**SIGNAL["response"], "regex": r"\+CSQ: (?P<rssi>[0-9]+),.*"}
    del response["lines"]
    device = modem(name, conversation={"polls": [{**SIGNAL, "response": response}]})
    assert actions(device.receive(b"RING\r\n", 0.1)) == ["RING"]
    assert actions(device.receive(b"AT+CSQ\r\n+CSQ: 18,99\r\nRING\r\n", 0.2)) == ["RING"], "an echo is no value"
    assert actions(device.receive(b"OK\r\n", 0.3)) == ["SIGNAL"]


def test_a_line_is_not_published_twice(name: str) -> None:
    device = modem(name, decode=[ANY_SIGNAL])
    assert actions(device.receive(b"+CSQ: 18,99\r\nOK\r\n", 0.1)) == ["SIGNAL"]


def test_lines_of_an_answer_without_messages_are_readings(name: str) -> None:
    command = {**HANGUP, "response": {"until": "OK", "lines": {"patterns": [r"\+CSQ: (?P<rssi>[0-9]+),.*"]}}}
    device = Device(name, decode=[ANY_SIGNAL], encode=[command])
    device.submit("HANGUP")
    device.step(0.0)
    reading, outcome = device.receive(b"+CSQ: 18,99\r\nOK\r\n", 0.1)
    assert (reading.action, outcome.argument("rssi")) == ("ANY", "18")


def test_lines_without_an_end_are_decoded_after_the_time_for_a_late_answer(
    name: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("did not answer within 2 s")
    device = modem(name, decode=[ANY_SIGNAL])
    device.receive(b"+CSQ: 18,99\r\nnothing known\r\n", 0.1)
    assert device.step(2.1) == []
    due = device.session.due()
    assert due is not None
    assert actions(device.step(due)) == ["ANY"]
    assert device.counts()["frames_unmatched"] == 1
    assert device.step(due) == []


def test_a_late_end_makes_a_reading_of_what_was_collected(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("did not answer within 2 s", "answered after")
    device = modem(name)
    device.receive(b"+CSQ: 18,99\r\n", 0.1)
    device.step(2.1)
    assert [msg.arguments for msg in device.receive(b"OK\r\n", 3.0)] == [{"rssi": "18"}]
    assert (device.counts()["requests_timed_out"], device.counts()["answers_late"]) == (1, 1)


def test_an_end_of_something_else_is_no_answer(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("what is before it does not match")
    device = modem(name)
    assert device.receive(b"OK\r\n", 0.1) == []
    assert [msg.arguments for msg in device.receive(b"+CSQ: 18,99\r\nOK\r\n", 0.2)] == [{"rssi": "18"}]


def test_an_answer_that_never_ends_is_bounded(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("did not answer within 2 s")
    device = modem(name)
    for index in range(3000):
        device.receive(b"%080d\r\n" % index, index)
        device.step(index)
    assert device.counts()["requests_timed_out"] == 1
    assert device.counts()["frames_unmatched"] == 3000, "all are counted"


def test_an_answer_that_is_too_long_is_not_read(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("it has more than 1000 frames")
    device = modem(name)
    assert device.receive(b"+CSQ: 18,99\r\n" + b"x\r\n" * 1000 + b"OK\r\n", 0.1) == []


ANSWER = b"AT+CSQ\r\n\r\nRING\r\n+CSQ: 18,99\r\nnoise\r\n\r\nOK\r\nRING\r\n"


@given(st.lists(st.integers(0, len(ANSWER)), max_size=8))
def test_any_chunks_give_the_same(cuts: list[int]) -> None:
    device = modem("chunks")
    messages: list[InternalMsg] = []
    edges = [0, *sorted(cuts), len(ANSWER)]
    for index, (start, end) in enumerate(itertools.pairwise(edges)):
        messages += device.receive(ANSWER[start:end], 0.1 * index)
        messages += device.step(0.1 * index)
    assert actions(messages) == ["RING", "SIGNAL", "RING"]


@given(st.binary(max_size=200))
def test_random_bytes_cause_no_error(data: bytes) -> None:
    device = modem("random", decode=[RING])
    device.receive(data.replace(b"OK", b"KO"), 0.1)
    device.step(0.1)
    messages = device.receive(b"\n+CSQ: 18,99\r\nOK\r\n", 0.2)
    assert "SIGNAL" in actions(messages)


def value_poll(name: str) -> dict[str, Any]:
    response = {
        "until": "OK", "regex": "=(?P<value>.*)", "message": {"action": name.upper(), "arguments": {"v": "{value}"}},
    }  # fmt: skip
    return {"name": name, "every": 10, "write": name, "response": response}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    latency=st.floats(0.05, 5.5).filter(lambda seconds: abs(seconds % 0.5) > 0.02),
    gap=st.sampled_from([0.0, 0.01, 0.3]),
    names=st.lists(st.sampled_from(["volts", "amperes", "watts"]), min_size=1, max_size=3, unique=True),
)
def test_late_answers_with_an_end_are_never_those_of_another_request(
    expected_logs: ExpectedLogs, latency: float, gap: float, names: list[str]
) -> None:
    """A device that answers in order: the value after `latency`, and its end after a further `gap`."""
    expected_logs.allow("late: ")
    polls = [value_poll(name) for name in names]
    device = Device("late", decode=[], encode=[], conversation={"polls": polls, "reopen_after": 0})
    coming: list[tuple[float, bytes]] = []
    now, seen = 0.0, 0
    messages: list[InternalMsg] = []
    while now < 100:
        messages += device.step(now)
        for request in device.written[seen:]:
            first = max(now + latency, coming[-1][0] if coming else 0.0)
            coming += [(first, b"=" + request), (first + gap, b"OK\r\n")]
            seen += 1
        due = device.session.due()
        now = max(now, min(due if due is not None else 100.0, coming[0][0] if coming else 100.0))
        while coming and coming[0][0] <= now:
            messages += device.receive(coming.pop(0)[1], now)
    assert all(msg.arguments == {"v": str(msg.action).lower()} for msg in messages)
    assert latency >= 1 or {msg.action for msg in messages} == {name.upper() for name in names}
