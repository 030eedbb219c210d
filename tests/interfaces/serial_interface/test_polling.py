"""What is written without being asked for: on the beat, once at a time, and never to catch up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message import InternalMsg
from interfaces.rules.message_template import CodecError
from interfaces.rules.template import TemplateError
from interfaces.serial_interface.polling import Request, Schedule


def poll(name: str = "p", **options: Any) -> Request:
    return Request({"name": name, "write": name, **options}, {"device": "meter"}, "utf-8")


def started(*polls: Request, now: float = 0.0) -> Schedule:
    schedule = Schedule([], polls)
    schedule.start(now)
    return schedule


def take(schedule: Schedule, now: float, last_written: float = 0.0) -> list[str]:
    """Take what is due, as if each were answered at once; return the names."""
    due = schedule.pop_due(now, last_written)
    for request in due:
        schedule.mark_ended(request)
    return [request.name for request in due]


# --- requests


def test_a_request_is_made_of_its_options() -> None:
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
    assert request.change_filter is not None
    assert request.change_filter.passes(message, 0.0)
    assert not request.change_filter.passes(message, 1.0)


@pytest.mark.parametrize(
    ("options", "name", "content"),
    [
        ({"write": "U?"}, "U?", b"U?"),
        ({"hex": "01 04"}, "01 04", b"\x01\x04"),
        ({"name": "voltage", "write": "{{}}"}, "voltage", b"{}"),
        ({"binary": {"byte_order": "little", "fields": [{"type": "u16", "is": 4}]}}, "poll", b"\x04\x00"),
    ],
)
def test_its_name_and_what_it_writes(options: dict[str, Any], name: str, content: bytes) -> None:
    request = Request(options, {}, "utf-8")
    assert (request.name, request.content) == (name, content)
    assert (request.answer.response, request.messages, request.change_filter) == (None, [], None)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"write": "\u20ac"}, CodecError), ({"hex": "0"}, CodecError), ({"write": "{"}, TemplateError)],
)
def test_what_cannot_be_written_is_refused_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Request(options, {}, "ascii")


# --- when


def test_on_opening_and_then_on_the_beat() -> None:
    schedule = started(poll(every=5), now=100.0)
    times = [when for when in range(100, 122) if take(schedule, when)]
    assert times == [100, 105, 110, 115, 120]


def test_not_on_opening() -> None:
    schedule = started(poll(every=5, on_open=False), now=100.0)
    assert schedule.due() == 105.0
    assert take(schedule, 104.9) == []
    assert take(schedule, 105.0) == ["p"]


def test_without_a_beat_once_when_the_port_opens_or_never() -> None:
    schedule = started(poll("once"), poll("never", on_open=False))
    assert take(schedule, 0.0) == ["once"]
    assert schedule.due() is None
    assert take(schedule, 1e9) == []
    schedule.start(200.0)
    assert take(schedule, 200.0) == ["once"]


def test_what_was_missed_is_not_caught_up_on_and_the_beat_is_kept() -> None:
    schedule = started(poll(every=5))
    assert take(schedule, 0.0) == ["p"]
    assert take(schedule, 27.0) == ["p"]
    assert take(schedule, 29.9) == []
    assert schedule.due() == 30.0


def test_a_poll_under_way_is_not_asked_for_again() -> None:
    schedule = started(poll("slow", every=1), poll("fast", every=1))
    slow, fast = schedule.pop_due(0.0, 0.0)
    schedule.mark_ended(fast)
    assert [request.name for request in schedule.pop_due(1.0, 0.0)] == ["fast"]
    assert schedule.due() is None, "both are under way"
    schedule.mark_ended(slow)
    assert schedule.due() == 1.0, "it is late, and due at once"
    assert [request.name for request in schedule.pop_due(1.5, 0.0)] == ["slow"]


def test_polls_that_say_the_same_are_two() -> None:
    one, other = poll(every=1), poll(every=1)
    schedule = started(one, other)
    assert schedule.pop_due(0.0, 0.0) == [one, other]
    schedule.mark_ended(other)
    assert schedule.pop_due(1.0, 0.0) == [other]


def test_a_new_connection_begins_anew() -> None:
    schedule = started(poll(every=5))
    schedule.pop_due(0.0, 0.0)
    schedule.start(2.0)
    assert take(schedule, 2.0) == ["p"]
    assert schedule.due() == 7.0


def test_a_sign_of_life_only_where_nothing_else_is_written() -> None:
    schedule = started(poll(every=10, only_idle=True, on_open=False))
    assert take(schedule, 10.0, last_written=4.0) == []
    assert schedule.due() == 14.0
    assert take(schedule, 14.0, last_written=4.0) == ["p"]
    assert take(schedule, 23.0, last_written=14.0) == []
    assert take(schedule, 24.0, last_written=14.0) == ["p"]


def test_the_end_of_what_is_no_poll_changes_nothing() -> None:
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
def test_on_no_beat_is_a_poll_due_twice(beats: list[float], begin: float, pauses: list[float]) -> None:
    """Whenever one looks, each poll comes once if its time has come; the next time is after now, by a beat at most."""
    schedule = started(*(poll(str(index), every=every) for index, every in enumerate(beats)), now=begin)
    now = begin
    for pause in pauses:
        now += pause
        due = schedule.due()
        names = take(schedule, now)
        assert len(names) == len(set(names))
        assert bool(names) is (due is not None and due <= now)
        following = schedule.due()
        assert following is not None
        assert now < following <= now + max(beats) * 1.001
        assert take(schedule, now) == []
