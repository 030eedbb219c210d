from __future__ import annotations

import re
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.throttled_exception import PERIOD, ThrottledException


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class ReadFailed(ThrottledException):
    """One kind of error."""


class WriteFailed(ThrottledException):
    """Another kind."""


class LateWriteFailed(WriteFailed):
    """A kind of that kind, in a hurry."""

    period = 5.0


def count_of(report: str) -> int:
    """Return how many errors a report speaks of."""
    found = re.search(r" \((\d+) times in the last \d+ s\)$", report)
    return int(found[1]) if found else 1


def test_the_first_error_is_reported_at_once_as_it_is() -> None:
    err = ReadFailed("no answer")
    assert (err.trigger, err.is_first, err.report, str(err)) == (True, True, "no answer", "no answer")


def test_it_can_be_raised_and_says_its_message_even_while_it_is_quiet() -> None:
    ReadFailed("no answer")
    with pytest.raises(ReadFailed, match=r"^no answer$") as caught:
        raise ReadFailed("no answer")
    assert (caught.value.trigger, caught.value.report) == (False, "")


def test_within_the_period_the_error_is_counted_and_then_reported_once_with_the_count() -> None:
    clock = Clock()
    assert ReadFailed("no answer", clock=clock).trigger
    for step in (0.0, 1.0, PERIOD - 1.001):
        clock.now += step
        assert not ReadFailed("no answer", clock=clock).trigger
    clock.now = 1000.0 + PERIOD
    err = ReadFailed("no answer", clock=clock)
    assert err.report == "no answer (4 times in the last 60 s)"
    assert not err.is_first
    assert not ReadFailed("no answer", clock=clock).trigger


def test_a_lone_error_after_the_period_is_reported_without_a_count() -> None:
    clock = Clock()
    ReadFailed("no answer", clock=clock)
    clock.now += 3 * PERIOD
    err = ReadFailed("no answer", clock=clock)
    assert (err.report, err.is_first) == ("no answer", False)


def test_every_class_and_every_key_has_a_counter_of_its_own() -> None:
    assert ThrottledException("x").trigger
    assert ReadFailed("x").trigger
    assert WriteFailed("x").trigger
    assert LateWriteFailed("x").trigger
    assert ReadFailed("x", key="port 1").trigger
    assert ReadFailed("x", key="port 2").trigger
    assert not ReadFailed("another text", key="port 1").trigger
    assert not LateWriteFailed("x").trigger


def test_the_period_is_that_of_the_class_or_of_the_call() -> None:
    clock = Clock()
    LateWriteFailed("x", clock=clock)
    clock.now += 5.0
    assert LateWriteFailed("x", clock=clock).trigger
    clock.now += 5.0
    assert not LateWriteFailed("x", period=5.1, clock=clock).trigger
    clock.now += 0.1
    assert LateWriteFailed("x", period=5.1, clock=clock).report == "x (2 times in the last 5 s)"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=60))
def test_every_error_is_counted_in_exactly_one_report(errors: list[tuple[str, int]]) -> None:
    class Failed(ThrottledException):
        period = 20.0

    clock = Clock()
    happened: Counter[str] = Counter()
    reported: Counter[str] = Counter()
    last_report: dict[str, float] = {}

    def happen(key: str) -> None:
        err = Failed("it failed", key=key, clock=clock)
        happened[key] += 1
        assert err.is_first == (happened[key] == 1)
        assert err.trigger == bool(err.report)
        assert err.trigger == (clock.now - last_report.get(key, -1e9) >= 20.0)
        if err.trigger:
            reported[key] += count_of(err.report)
            last_report[key] = clock.now

    for key, pause in errors:
        clock.now += pause
        happen(key)
    clock.now += 20.0
    for key in list(happened):  # one more, so that nothing is still held back
        happen(key)
    assert reported == happened


def test_errors_of_many_threads_are_all_counted_and_one_is_said() -> None:
    clock = Clock()
    triggered: list[str] = []

    def fail() -> None:
        triggered.extend(err.report for _ in range(1000) if (err := ReadFailed("x", clock=clock)).trigger)

    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.now += PERIOD
    assert triggered == ["x"]
    assert ReadFailed("x", clock=clock).report == "x (8000 times in the last 60 s)"


def test_keys_from_outside_cannot_fill_the_memory() -> None:
    for number in range(1001):
        assert ReadFailed("x", key=f"topic {number}").trigger
    assert not ReadFailed("x", key="topic 1000").trigger
    assert not ReadFailed("x", key="topic 1").trigger
    assert ReadFailed("x", key="topic 0").is_first, "the oldest key is forgotten"
