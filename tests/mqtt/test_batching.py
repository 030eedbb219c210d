from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.batching import BATCH_SIZE, TICK, BurstDetector
from tests.support.fake_clock import FakeClock

HOUR = 3600.0  # s
CLOSE = 0.00005  # s: closely after a message
APART = 0.0001  # s: not closely after it


def test_messages_that_follow_each_other_closely_are_recognized() -> None:
    clock = FakeClock()
    detector = BurstDetector(clock)
    assert not detector.record(clock.now), "the first one follows no other"
    for seconds, is_follow_up in ((CLOSE, True), (0.0, True), (APART, False), (CLOSE, True), (HOUR, False)):
        clock.now += seconds
        assert (clock.now < detector.follow_up_until) is is_follow_up
        assert detector.record(clock.now) is is_follow_up


def test_the_main_thread_is_woken_once_in_a_burst() -> None:
    clock = FakeClock()
    detector = BurstDetector(clock)
    detector.record(clock.now)
    assert [detector.add() for _ in range(BATCH_SIZE)] == [True] + [False] * (BATCH_SIZE - 1)
    assert (detector.batched, detector.count) == (BATCH_SIZE, 1)
    detector.sent()
    assert detector.batched == 0
    assert not detector.add(), "it still checks for the end of this burst"


def test_in_a_burst_the_main_thread_waits_for_a_tick_at_most() -> None:
    clock = FakeClock()
    detector = BurstDetector(clock)
    assert detector.limit_wait(HOUR) == HOUR
    assert not detector.continues()
    detector.record(clock.now)
    detector.add()
    assert detector.limit_wait(HOUR) == TICK
    assert detector.limit_wait(TICK / 2) == TICK / 2
    assert detector.continues()


def test_after_a_burst_the_main_thread_checks_once_whether_messages_are_left() -> None:
    """It may have checked the outbox before the last message came, and been delayed since."""
    clock = FakeClock()
    detector = BurstDetector(clock)
    detector.record(clock.now)
    detector.add()
    clock.now += 2 * TICK
    assert detector.limit_wait(HOUR) == 0
    assert detector.limit_wait(HOUR) == HOUR
    assert detector.add(), "the next burst wakes it again"
    assert detector.count == 2


def test_a_message_that_comes_while_the_main_thread_checks_for_the_end_of_a_burst_is_not_missed() -> None:
    clock = FakeClock()
    detector = BurstDetector(clock)
    woken: list[bool] = []

    class OldTime(float):
        """The time of the last message, after whose reading another thread adds a message."""

        def __rsub__(self, other: float) -> float:
            detector.record(clock.now)
            woken.append(detector.add())
            return other - float(self)

    detector.record(OldTime(clock.now))
    detector.add()
    clock.now += 2 * TICK
    assert not detector.continues(), "it has seen only the old time"
    assert woken == [True]


@given(st.lists(st.tuples(st.sampled_from(["message", "main"]), st.floats(0, 2 * TICK)), max_size=60))
def test_no_message_is_left_waiting_while_the_main_thread_sleeps(events: list[tuple[str, float]]) -> None:
    """Whoever adds a message either wakes the main thread, or that one waits for no longer than a tick."""
    clock = FakeClock()
    detector = BurstDetector(clock)
    is_woken, wait = False, HOUR
    for event, seconds in events:
        clock.now += seconds
        if event == "message":
            if detector.record(clock.now):
                is_woken = detector.add() or is_woken
            assert not detector.batched or is_woken or wait <= TICK
        else:
            detector.sent()
            is_woken, wait = False, detector.limit_wait(HOUR)
