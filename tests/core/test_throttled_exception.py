from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.throttled_exception import PERIOD, Throttle, ThrottledException, kind_of, report_suppressed
from tests.conftest import ExpectedLogs
from tests.support.fake_clock import FakeClock


class ReadFailed(ThrottledException):
    """One kind of error."""


class WriteFailed(ThrottledException):
    """Another kind."""


class LateWriteFailed(WriteFailed):
    """A kind of that kind, in a hurry."""

    period = 5.0


def count_of(report: str) -> int:
    """Return how many errors a report speaks of."""
    result = re.search(r" \((\d+) times in the last \d+ (s|min|h)\)$", report)
    return int(result[1]) if result else 1


def test_the_first_error_is_reported_at_once_as_it_is() -> None:
    err = ReadFailed("no answer")
    assert (err.trigger, err.is_first, err.report, str(err)) == (True, True, "no answer", "no answer")


def test_it_can_be_raised_and_has_its_message_even_if_it_is_suppressed() -> None:
    ReadFailed("no answer")
    with pytest.raises(ReadFailed, match=r"^no answer$") as caught:
        raise ReadFailed("no answer")
    assert (caught.value.trigger, caught.value.report) == (False, "")


def test_within_the_period_the_error_is_counted_and_then_reported_once_with_the_count() -> None:
    clock = FakeClock()
    assert ReadFailed("no answer", clock=clock).trigger
    for step in (0.0, 1.0, PERIOD - 1.001):
        clock.now += step
        assert not ReadFailed("no answer", clock=clock).trigger
    clock.now = 1000.0 + PERIOD
    err = ReadFailed("no answer", clock=clock)
    assert err.report == "no answer (4 times in the last 60 s)"
    assert not err.is_first
    assert not ReadFailed("no answer", clock=clock).trigger


def failures_of_a_day(clock: FakeClock, pause: float, period: float = PERIOD) -> list[str]:
    """Return the reports of an error that occurs every `pause` seconds for a day."""
    reports = []
    for _ in range(int(86_400 / pause)):
        err = ReadFailed("no answer", clock=clock, period=period)
        reports += [err.report] if err.trigger else []
        clock.now += pause
    return reports


def test_each_period_is_twice_as_long_as_the_one_before_it_up_to_six_hours() -> None:
    clock = FakeClock()
    reports = failures_of_a_day(clock, 1.0)
    assert reports[:4] == [
        "no answer",
        "no answer (60 times in the last 60 s)",
        "no answer (120 times in the last 120 s)",
        "no answer (240 times in the last 240 s)",
    ]
    assert reports[-1] == "no answer (21600 times in the last 6 h)"
    assert len(reports) == 12


def test_an_hour_without_the_error_makes_its_period_the_first_one_again(
    expected_logs: ExpectedLogs,
) -> None:
    expected_logs.expect("no answer (")
    clock = FakeClock()
    failures_of_a_day(clock, 10.0)
    report_suppressed(clock.now + 3600.0)
    clock.now += 3600.0
    assert ReadFailed("no answer", clock=clock).report == "no answer"
    clock.now += PERIOD
    assert ReadFailed("no answer", clock=clock).trigger


def test_the_rest_of_a_series_is_logged_when_it_has_stopped_and_not_hours_later(
    caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("no answer (")
    clock = FakeClock()
    failures_of_a_day(clock, 10.0)
    report_suppressed(clock.now)
    assert caplog.messages == []
    report_suppressed(clock.now + 60.0)
    assert len(caplog.messages) == 1


def test_a_series_with_long_pauses_has_not_stopped_in_each_of_them(
    caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs
) -> None:
    expected_logs.allow("no answer (")
    clock = FakeClock()
    reports = 0
    for second in range(0, 86_400, 5):
        clock.now = 1000.0 + second
        reports += second % 300 == 5 and ReadFailed("no answer", clock=clock, period=600.0).trigger
        report_suppressed(clock.now)
    assert reports + len(caplog.messages) < 12


def test_an_error_may_have_a_period_that_does_not_grow() -> None:
    class Steady(ThrottledException):
        longest_period = 0.0

    clock = FakeClock()
    for _ in range(100):
        assert Steady("no answer", clock=clock).trigger
        clock.now += PERIOD


def test_a_lone_error_after_the_period_is_reported_without_a_count() -> None:
    clock = FakeClock()
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
    clock = FakeClock()
    LateWriteFailed("x", clock=clock)
    clock.now += 5.0
    assert LateWriteFailed("x", clock=clock).trigger
    clock.now += 10.0
    assert not LateWriteFailed("x", period=5.5, clock=clock).trigger
    clock.now += 1.0
    assert LateWriteFailed("x", period=5.5, clock=clock).report == "x (2 times in the last 11 s)"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=60))
def test_every_error_is_counted_in_exactly_one_report(errors: list[tuple[str, int]]) -> None:
    class Failed(ThrottledException):
        period = 20.0

    clock = FakeClock()
    happened: Counter[str] = Counter()
    reported: Counter[str] = Counter()
    last_report: dict[str, float] = {}
    periods: dict[str, float] = {}

    def happen(key: str) -> None:
        err = Failed("it failed", key=key, clock=clock)
        happened[key] += 1
        assert err.is_first == (happened[key] == 1)
        assert err.trigger == bool(err.report)
        assert err.trigger == (clock.now - last_report.get(key, -1e9) >= periods.get(key, 0.0))
        if err.trigger:
            periods[key] = 2 * periods[key] if key in last_report else 20.0
            reported[key] += count_of(err.report)
            last_report[key] = clock.now

    for key, pause in errors:
        clock.now += pause
        happen(key)
    clock.now += 2000.0
    for key in list(happened):  # one more, so that nothing is suppressed any more
        happen(key)
    assert reported == happened


def test_errors_of_many_threads_are_all_counted_and_one_is_reported() -> None:
    clock = FakeClock()
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


# --- suppressed errors


class Flicker(ThrottledException):
    """Comes in bursts."""


def burst(clock: FakeClock, count: int, key: str = "", level: int = logging.WARNING) -> None:
    for number in range(count):
        clock.now += 0.001
        Flicker(f"no answer to {number}", key=key, clock=clock, level=level)


def test_the_end_of_a_burst_is_reported_when_the_period_is_over(
    caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("no answer to 57 (57 more times in the last 60 s)")
    clock = FakeClock()
    burst(clock, 58)
    report_suppressed(clock.now + PERIOD - 1)
    assert caplog.messages == []
    clock.now = 1000.0 + PERIOD + 0.5
    report_suppressed(clock.now)
    report_suppressed(clock.now + 10 * PERIOD)
    assert caplog.messages == ["no answer to 57 (57 more times in the last 60 s)"]
    assert caplog.records[0].name == __name__
    assert not Flicker("no answer", clock=clock).trigger, "a new period has begun"


def test_at_the_end_everything_is_reported(caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("no answer to 1 (once more in the last 0 s)")
    clock = FakeClock()
    burst(clock, 1, "alone")
    burst(clock, 2, "port 1")
    burst(clock, 3, "port 2", logging.INFO)
    report_suppressed(clock.now, is_last=True)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "no answer to 1 (once more in the last 0 s)"),
        (logging.INFO, "no answer to 2 (2 more times in the last 0 s)"),
    ]


def test_a_thousand_kinds_of_bursts_are_no_flood(caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("others of this kind (")
    expected_logs.expect("no answer to 2 (2 more times")
    clock = FakeClock()
    for number in range(3000):
        burst(clock, 3, str(number))
    report_suppressed(clock.now + PERIOD)
    counts = [re.search(r"\((\d+) more times", text) for text in caplog.messages]
    assert len(counts) == 21
    assert sum(int(result[1]) for result in counts if result is not None) == 6000, "none is forgotten"


def test_an_error_that_comes_no_more_is_forgotten() -> None:
    clock = FakeClock()
    burst(clock, 1, "port 1")
    clock.now += 3599.0
    report_suppressed(clock.now)
    assert not Flicker("no answer", key="port 1", clock=clock).is_first
    clock.now += 3601.0
    report_suppressed(clock.now)
    assert Flicker("no answer", key="port 1", clock=clock).is_first


def test_a_class_that_is_logged_by_its_users_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    class Theirs(ThrottledException):
        counts_are_logged = False

    for _ in range(3):
        Theirs("no answer")
    report_suppressed(is_last=True)
    assert caplog.messages == []


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 50), st.booleans()), max_size=40))
def test_every_error_is_in_the_log_once(steps: list[tuple[str, float, bool]]) -> None:
    clock, throttle, informed = FakeClock(), Throttle(), 0
    for key, pause, looks in steps:
        clock.now += pause
        counted = throttle.count(key, PERIOD, clock.now, "no answer")
        informed += counted[0] if counted is not None else 0
        if looks:
            informed += sum(held.times for held in throttle.pop_suppressed(clock.now))
    informed += sum(held.times for held in throttle.pop_suppressed(clock.now, is_last=True))
    assert informed == len(steps)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("'a b' is not a number", "'17' is not a number", True),
        ("found 17 bytes", "found -3.5 bytes", True),
        ("wrong checksum: expected 1A, found FF: 24 53", "wrong checksum: expected C3, found 2B: 24 54", True),
        ("no such device", "no permission", False),
        ("rule 1: 'x' is odd", "rule 1: 'x' is even", False),
    ],
)
def test_the_kind_of_a_reason_omits_its_variable_parts(one: str, other: str, is_same: bool) -> None:
    assert (kind_of(one) == kind_of(other)) is is_same


def test_keys_that_a_stranger_chooses_make_few_lines_in_a_period() -> None:
    clock = FakeClock()

    class Refused(ThrottledException):
        """Its keys contain text of other clients."""

        most_new_keys = 50

    def refuse(number: int, level: int = logging.WARNING) -> bool:
        return Refused(f"what is on {number}", key=str(number), clock=clock, level=level).trigger

    assert sum(refuse(number) for number in range(5000)) == 50
    assert refuse(5001, logging.INFO), "what is only of interest has a share of its own"
    clock.now += PERIOD
    held = Refused.throttle.pop_suppressed(clock.now)
    assert len(held) <= 21
    assert sum(each.times for each in held) == 4950, "each is counted"
    assert held[-1].message == "others of this kind"
    assert refuse(6000), "another period, another share"


def test_keys_that_are_ours_are_all_reported_at_once() -> None:
    """Of a hundred interfaces that fail, each is named."""
    clock = FakeClock()
    assert all(ReadFailed("x", key=str(number), clock=clock).trigger for number in range(200))


def test_a_warning_is_not_lost_among_many_that_are_only_of_interest() -> None:
    throttle = Throttle()
    for number in range(100):
        for _ in range(5):
            throttle.count(str(number), PERIOD, 0.0, f"note {number}", logging.INFO)
    for _ in range(2):
        throttle.count("warning", PERIOD, 0.0, "a warning", logging.WARNING)
    assert throttle.pop_suppressed(PERIOD)[0].message == "a warning"


def test_a_reason_that_is_one_long_word_takes_no_time() -> None:
    began = time.perf_counter()
    assert kind_of("x" * 200_000) == "x" * 200_000
    assert time.perf_counter() - began < 5, "with its square, it takes minutes"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("no answer from x17 in 3.5 s", "no answer from # in # s"),
        ("-5 and +7", "# and #"),
        ("a-5", "a#"),
        ("the value 'on 1' of \"x\"", "the value # of #"),
        ("bytes AB CD ef", "bytes # # ef"),
    ],
)
def test_the_kind_of_a_reason_has_no_numbers_and_no_quoted_text(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind
