"""Timers: called when they are due, in their order, with the beat kept."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.timers import Timer, Timers


class Bench:
    """Timers with a clock of their own, and what they have called."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers = Timers(lambda: self.now)
        self.calls: list[tuple[float, str]] = []
        self.errors: list[str] = []

    def note(self, name: str, result: object = None) -> Callable[[], object]:
        def call() -> object:
            self.calls.append((self.now - 100.0, name))
            return result

        return call

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while (wait := self.timers.due_in()) <= end - self.now:
            self.now += wait
            self.timers.run_due(self.report)
        self.now = end

    def report(self, _: Timer, err: Exception) -> None:
        self.errors.append(str(err))


def test_a_period_begins_with_a_wait_and_goes_on() -> None:
    bench = Bench()
    bench.timers.every(2.0, bench.note("a"))
    bench.advance(7)
    assert bench.calls == [(2, "a"), (4, "a"), (6, "a")]


def test_a_delay_is_over_once() -> None:
    bench = Bench()
    bench.timers.after(0, bench.note("now"))
    bench.timers.after(3, bench.note("later"))
    bench.advance(10)
    assert bench.calls == [(0, "now"), (3, "later")]
    assert (len(bench.timers), bench.timers.due_in()) == (0, math.inf)


def test_the_beat_is_kept_and_missed_calls_are_left_out() -> None:
    bench = Bench()
    bench.timers.every(2.0, bench.note("a"))
    bench.now += 7.5  # the thread was busy, or the machine suspended
    bench.timers.run_due(bench.report)
    bench.advance(1)
    assert bench.calls == [(7.5, "a"), (8, "a")]


def test_true_ends_a_period_and_nothing_else_does() -> None:
    bench = Bench()
    bench.timers.every(1, bench.note("ends", result=True))
    bench.timers.every(1, bench.note("goes on", result=1))
    bench.advance(2)
    assert bench.calls == [(1, "ends"), (1, "goes on"), (2, "goes on")]


def test_what_is_cancelled_is_not_called_even_from_within_another() -> None:
    bench = Bench()
    bench.timers.after(1, lambda: second.cancel())
    second = bench.timers.after(1, bench.note("second"))
    third = bench.timers.every(1, bench.note("third"))
    third.cancel()
    third.cancel()
    bench.advance(5)
    assert bench.calls == []
    assert len(bench.timers) == 0


def test_an_error_is_reported_and_ends_nothing() -> None:
    bench = Bench()

    def fail() -> None:
        raise RuntimeError("no device")

    bench.timers.every(1, fail)
    bench.timers.every(1, bench.note("other"))
    bench.advance(2)
    assert bench.errors == ["no device", "no device"]
    assert bench.calls == [(1, "other"), (2, "other")]


def test_a_function_that_plans_itself_for_now_leaves_room_for_others() -> None:
    bench = Bench()

    def again() -> None:
        bench.timers.after(0, again)

    bench.timers.after(0, again)
    assert bench.timers.run_due(bench.report) == 1
    assert bench.timers.due_in() == 0


@pytest.mark.parametrize("seconds", [1e-320, 1e-18])
def test_a_period_that_is_too_short_for_any_rhythm_loses_no_timer(seconds: float) -> None:
    bench = Bench()
    timer = bench.timers.every(seconds, lambda: None)
    for _ in range(3):
        bench.now += 1.0
        assert bench.timers.run_due(bench.report) == 1
    assert bench.errors == [] and len(bench.timers) == 1
    timer.cancel()
    assert len(bench.timers) == 0


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 10**400])
def test_a_period_must_be_a_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="a finite number of seconds above 0"):
        Bench().timers.every(seconds, print)


@pytest.mark.parametrize("seconds", [-0.1, math.nan, math.inf, 10**400])
def test_a_delay_must_be_a_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="a finite number of seconds, 0 or above"):
        Bench().timers.after(seconds, print)


def test_timers_that_are_cancelled_and_replaced_again_and_again_use_no_memory() -> None:
    class Owner:
        """Alive as long as a timer that calls it."""

        def call(self) -> None:
            """Do nothing."""

    bench, owners = Bench(), []
    bench.timers.after(1, bench.note("first"))
    timer = bench.timers.after(3600, print)
    for _ in range(1000):
        timer.cancel()
        owner = Owner()
        owners.append(weakref.ref(owner))
        timer = bench.timers.after(3600, owner.call)
    assert len(bench.timers) == 2
    assert sum(owner() is not None for owner in owners) < 100
    bench.advance(10)
    assert bench.calls == [(1, "first")]


def test_clear_forgets_all() -> None:
    bench = Bench()
    bench.timers.every(1, bench.note("a"))
    bench.timers.clear()
    bench.advance(5)
    assert bench.calls == []


def test_a_timer_says_what_it_calls() -> None:
    timers = Bench().timers
    assert repr(timers.every(1.5, test_clear_forgets_all)) == "<Timer test_clear_forgets_all every 1.5 s>"
    assert repr(timers.after(1, test_clear_forgets_all)) == "<Timer test_clear_forgets_all>"


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), min_size=1, max_size=20))
def test_however_often_it_is_run_a_beat_comes_once_a_period_at_most(steps: list[tuple[int, int]]) -> None:
    bench = Bench()
    bench.timers.every(3.0, bench.note("a"))
    for times, seconds in steps:
        for _ in range(times):
            bench.timers.run_due(bench.report)
        bench.now += seconds
    beats = [math.floor(when / 3) for when, _ in bench.calls]
    assert len(beats) == len(set(beats)), "one beat, one call"
