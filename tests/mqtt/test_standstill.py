from __future__ import annotations

from gateway.mqtt.standstill import STOOD_STILL, StandstillDetector
from tests.support.fake_clock import FakeClock

HOUR = 3600.0  # s


def test_a_main_thread_that_does_not_report_is_overdue() -> None:
    clock = FakeClock()
    detector = StandstillDetector(clock)
    assert detector.overdue_at == clock.now + STOOD_STILL
    clock.now += STOOD_STILL + 1
    assert clock.now > detector.overdue_at
    assert detector.end_wait() == STOOD_STILL + 1
    assert detector.count == 1
    assert clock.now < detector.overdue_at
    assert (detector.end_wait(), detector.count) == (0, 1)


def test_a_planned_wait_is_no_standstill() -> None:
    clock = FakeClock()
    detector = StandstillDetector(clock)
    detector.begin_wait(HOUR)
    clock.now += HOUR + 1
    assert clock.now < detector.overdue_at
    assert (detector.end_wait(), detector.count) == (1, 0)
    detector.begin_wait(0.0)
    clock.now += STOOD_STILL + 1
    assert clock.now > detector.overdue_at, "a planned wait counts once"


def test_a_wait_that_was_excused_is_no_standstill() -> None:
    clock = FakeClock()
    detector = StandstillDetector(clock)
    clock.now += HOUR
    detector.reset()
    assert detector.last_seen == clock.now < detector.overdue_at
    assert (detector.end_wait(), detector.count) == (0, 0)


def test_how_long_the_main_thread_runs_without_waiting_is_known() -> None:
    clock = FakeClock()
    detector = StandstillDetector(clock)
    detector.begin_wait(HOUR)
    clock.now += HOUR + 1
    assert detector.busy_for == 0, "it waits as it has planned"
    clock.now += STOOD_STILL
    assert detector.busy_for == STOOD_STILL + 1, "it should have run long ago"
    detector.end_wait()
    assert detector.busy_for == 0
    clock.now += 7
    assert detector.busy_for == 7
    detector.reset()
    assert detector.busy_for == 0
