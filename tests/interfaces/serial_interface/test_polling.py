"""Requests and their schedule: at their interval, one at a time, without catching up."""

from __future__ import annotations

from itertools import pairwise
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


# --- units that do not answer


def run(schedule: Schedule, until: float, dead: set[str], cost: float = 2.0) -> list[tuple[float, str]]:
    """Return when each poll is sent on a line that takes one at a time; one to a dead unit costs `cost` seconds."""
    now, queue, sent = 0.0, [], []
    while now < until:
        queue += schedule.pop_due(now, 0.0)
        if not queue:
            due = schedule.due()
            assert due is not None and due > now
            now = due
            continue
        request = queue.pop(0)
        sent.append((now, request.name))
        if request.name in dead:
            now += cost
            schedule.mark_ended(request, is_answered=False)
        else:
            schedule.mark_heard()
            schedule.mark_ended(request, is_answered=True)
    return sent


def test_dead_units_are_polled_less_often_and_the_others_keep_their_rhythm() -> None:
    names = ["a", "b", "c", "d", "e", "f"]
    sent = run(started(*(poll(name, every=2) for name in names)), 3600.0, {"b", "c", "d"})
    times = {name: [when for when, other in sent if other == name] for name in names}
    assert len(times["a"]) > 1750, "a poll in 2 s, as if all were alive"
    assert max(later - when for when, later in pairwise(times["a"])) <= 6
    assert max(later - when for when, later in pairwise(times["a"][100:])) <= 4
    for dead in "bcd":
        pauses = [later - when for when, later in pairwise(times[dead])]
        assert len(pauses) < 30
        assert max(pauses) <= 304
        assert pauses[-1] > 290


def test_a_dead_unit_is_back_to_its_rhythm_with_its_first_answer() -> None:
    dead = {"b"}
    schedule = started(poll("a", every=2), poll("b", every=2))
    run(schedule, 600.0, dead)
    dead.clear()
    schedule.mark_heard()
    sent = run_on(schedule, 600.0, 1000.0)
    times = [when for when, name in sent if name == "b"]
    assert times[0] <= 900
    assert [later - when for when, later in pairwise(times)] == [2.0] * (len(times) - 1)


def run_on(schedule: Schedule, now: float, until: float) -> list[tuple[float, str]]:
    """Return when each poll is sent where all are answered."""
    sent = []
    while now < until:
        sent += [(now, name) for name in pop_due_answered(schedule, now)]
        due = schedule.due()
        assert due is not None
        now = max(due, now)
    return sent


def pop_due_answered(schedule: Schedule, now: float) -> list[str]:
    due = schedule.pop_due(now, 0.0)
    for request in due:
        schedule.mark_ended(request, is_answered=True)
    return [request.name for request in due]


def test_where_nothing_answers_each_poll_keeps_its_period() -> None:
    """Nobody waits for the dead unit, and a device that is switched on again is found within one period."""
    sent = run(started(poll("a", every=5)), 600.0, {"a"}, cost=1.0)
    assert [later - when for when, later in pairwise(when for when, _ in sent)] == [5.0] * (len(sent) - 1)


def test_polls_that_were_not_answered_are_due_one_at_a_time() -> None:
    schedule = started(poll("a", every=1), poll("b", every=1), poll("c", every=1))
    for request in schedule.pop_due(0.0, 0.0):
        schedule.mark_ended(request, is_answered=request.name == "a")
    first = schedule.pop_due(1.0, 0.0)
    assert [request.name for request in first] == ["a", "b"]
    assert schedule.due() is None, "a and b have not ended, and c waits for b"
    schedule.mark_ended(first[1], is_answered=False)
    assert [request.name for request in schedule.pop_due(1.5, 0.0)] == ["c"]


# --- polls that are asked for


VALUES = {"regex": "(?P<v>.*)", "message": {"action": "VALUE", "arguments": "*"}}


def test_polls_that_make_a_message_with_an_action_are_asked_for() -> None:
    other = {"regex": ".*", "message": {"action": "{x}"}}
    schedule = started(poll("v", every=60, response=VALUES), poll("o", every=60, response=other), poll("n", every=60))
    pop_due(schedule, 0.0)
    schedule.ask({"VALUE", "X"}, 7.0)
    assert schedule.due() == 7.0
    assert pop_due(schedule, 7.0) == ["v"]
    assert pop_due(schedule, 60.0) == ["o", "n"]
    assert pop_due(schedule, 67.0) == ["v"]


def test_also_a_keep_alive_and_one_that_is_sent_once_can_be_asked_for() -> None:
    schedule = started(poll("idle", every=60, only_idle=True, response=VALUES), poll("once", response=VALUES), now=0.0)
    pop_due(schedule, 0.0)
    schedule.ask({"VALUE"}, 7.0)
    assert pop_due(schedule, 7.0, last_written=6.9) == ["idle", "once"]
    assert pop_due(schedule, 66.0, last_written=7.0) == []


def test_one_that_was_not_answered_for_long_is_sent_as_often_as_configured_again_when_it_is_asked_for() -> None:
    schedule = started(poll("dead", every=10, response=VALUES), poll("alive", every=10))
    for now in range(0, 1000, 10):
        for request in schedule.pop_due(float(now), 0.0):
            is_alive = request.name == "alive"
            if is_alive:
                schedule.mark_heard()
            schedule.mark_ended(request, is_answered=is_alive)
    schedule.ask({"VALUE"}, 1001.0)
    assert "dead" in pop_due(schedule, 1001.0)
    due = schedule.due()
    assert due is not None
    assert due <= 1011.0


def test_a_poll_that_has_not_ended_need_not_be_asked_for() -> None:
    schedule = started(poll("v", every=60, response=VALUES))
    (request,) = schedule.pop_due(0.0, 0.0)
    schedule.ask({"VALUE"}, 1.0)
    schedule.mark_ended(request, is_answered=True)
    assert schedule.due() == 60.0


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
