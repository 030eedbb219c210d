"""Requests and their schedule: at their interval, one at a time, without catching up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message import InternalMsg, ReportRule
from interfaces.rules.message_template import CodecError
from interfaces.rules.template import TemplateError
from interfaces.serial_interface.polling import Request, Schedule


def poll(name: str = "p", **options: Any) -> Request:
    return Request({"name": name, "write": name, **options}, {"device": "meter"}, "utf-8")


def started(*polls: Request, now: float = 0.0) -> Schedule:
    schedule = Schedule([], polls)
    schedule.start(now)
    return schedule


def pop_due(schedule: Schedule, now: float, last_written: float = 0.0) -> list[str]:
    """Return the names of the polls that are due, as if each were answered immediately."""
    due = schedule.pop_due(now, last_written)
    for request in due:
        schedule.mark_ended(request)
    return [request.name for request in due]


# --- requests


def test_the_options_of_a_request() -> None:
    response = {
        "regex": "(?P<volts>.*)", "values": {"volts": "float"},
        "message": {"action": "VOLTAGE", "arguments": {"volts": "{volts}"}}, "publish": {"on_change": True},
    }  # fmt: skip
    request = poll("U?", every=5, response=response, timeout=2, retries=1)
    assert (request.content, request.every, request.answer.timeout, request.answer.retries) == (b"U?", 5, 2, 1)
    assert request.answer.response is not None
    (values,) = request.answer.response.read(b"12.5") or []
    (template,) = request.messages
    message = template.make(values)
    assert message == InternalMsg(device="meter", action="VOLTAGE", arguments={"volts": 12.5})
    assert message.report == ReportRule(on_change=True)


@pytest.mark.parametrize(
    ("options", "name", "content"),
    [
        ({"write": "U?"}, "U?", b"U?"),
        ({"hex": "01 04"}, "01 04", b"\x01\x04"),
        ({"name": "voltage", "write": "{{}}"}, "voltage", b"{}"),
        ({"binary": {"byte_order": "little", "fields": [{"type": "u16", "is": 4}]}}, "poll", b"\x04\x00"),
    ],
)
def test_the_name_and_the_content_of_a_request(options: dict[str, Any], name: str, content: bytes) -> None:
    request = Request(options, {}, "utf-8")
    assert (request.name, request.content) == (name, content)
    assert (request.answer.response, request.messages) == (None, ())


@pytest.mark.parametrize(
    ("options", "error"),
    [({"write": "\u20ac"}, CodecError), ({"hex": "0"}, CodecError), ({"write": "{"}, TemplateError)],
)
def test_invalid_content_is_rejected_at_construction(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Request(options, {}, "ascii")


# --- schedule


def test_a_poll_is_due_at_opening_and_then_at_its_interval() -> None:
    schedule = started(poll(every=5), now=100.0)
    times = [when for when in range(100, 122) if pop_due(schedule, when)]
    assert times == [100, 105, 110, 115, 120]


def test_a_poll_that_is_not_due_at_opening() -> None:
    schedule = started(poll(every=5, on_open=False), now=100.0)
    assert schedule.due() == 105.0
    assert pop_due(schedule, 104.9) == []
    assert pop_due(schedule, 105.0) == ["p"]


def test_a_poll_without_an_interval_is_due_once_or_never() -> None:
    schedule = started(poll("once"), poll("never", on_open=False))
    assert pop_due(schedule, 0.0) == ["once"]
    assert schedule.due() is None
    assert pop_due(schedule, 1e9) == []
    schedule.start(200.0)
    assert pop_due(schedule, 200.0) == ["once"]


def test_missed_polls_are_not_caught_up_and_the_phase_is_kept() -> None:
    schedule = started(poll(every=5))
    assert pop_due(schedule, 0.0) == ["p"]
    assert pop_due(schedule, 27.0) == ["p"]
    assert pop_due(schedule, 29.9) == []
    assert schedule.due() == 30.0


def test_a_poll_that_has_not_ended_is_not_due_again() -> None:
    schedule = started(poll("slow", every=1), poll("fast", every=1))
    slow, fast = schedule.pop_due(0.0, 0.0)
    schedule.mark_ended(fast)
    assert [request.name for request in schedule.pop_due(1.0, 0.0)] == ["fast"]
    assert schedule.due() is None, "neither has ended"
    schedule.mark_ended(slow)
    assert schedule.due() == 1.0, "it is late, and due immediately"
    assert [request.name for request in schedule.pop_due(1.5, 0.0)] == ["slow"]


def test_equal_polls_are_distinguished() -> None:
    first, other = poll(every=1), poll(every=1)
    schedule = started(first, other)
    assert schedule.pop_due(0.0, 0.0) == [first, other]
    schedule.mark_ended(other)
    assert schedule.pop_due(1.0, 0.0) == [other]


def test_a_new_connection_starts_again() -> None:
    schedule = started(poll(every=5))
    schedule.pop_due(0.0, 0.0)
    schedule.start(2.0)
    assert pop_due(schedule, 2.0) == ["p"]
    assert schedule.due() == 7.0


def test_a_keep_alive_is_due_only_if_nothing_else_is_written() -> None:
    schedule = started(poll(every=10, only_idle=True, on_open=False))
    assert pop_due(schedule, 10.0, last_written=4.0) == []
    assert schedule.due() == 14.0
    assert pop_due(schedule, 14.0, last_written=4.0) == ["p"]
    assert pop_due(schedule, 23.0, last_written=14.0) == []
    assert pop_due(schedule, 24.0, last_written=14.0) == ["p"]


def test_the_end_of_an_opening_request_changes_no_poll() -> None:
    opening = poll("hello")
    schedule = Schedule([opening], [poll(every=1)])
    assert schedule.opening == [opening]
    schedule.start(0.0)
    schedule.pop_due(0.0, 0.0)
    schedule.mark_ended(opening)
    assert schedule.pop_due(1.0, 0.0) == []


@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=4),
    st.floats(0, 1e7),
    st.lists(st.floats(0, 50), max_size=30),
)
def test_a_poll_is_due_once_in_each_interval(intervals: list[float], begin: float, pauses: list[float]) -> None:
    """At any time, each poll that is due comes once; its next time is later, by one interval at most."""
    schedule = started(*(poll(str(index), every=every) for index, every in enumerate(intervals)), now=begin)
    now = begin
    for pause in pauses:
        now += pause
        due = schedule.due()
        names = pop_due(schedule, now)
        assert len(names) == len(set(names))
        assert bool(names) is (due is not None and due <= now)
        following = schedule.due()
        assert following is not None
        assert now < following <= now + max(intervals) * 1.001
        assert pop_due(schedule, now) == []
