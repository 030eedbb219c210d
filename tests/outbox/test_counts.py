from __future__ import annotations

import logging
import re
import threading

import pytest

from gateway.outbox.counts import COUNTERS, LevelGauge, LossLog, OutboxCounts
from gateway.outbox.options import DiscardPolicy
from tests.conftest import ExpectedLogs
from tests.support.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(0.0)


@pytest.fixture
def losses(clock: FakeClock, expected_logs: ExpectedLogs) -> LossLog:
    return LossLog(DiscardPolicy.NEW, clock)


def test_the_counts_of_a_run_are_put_into_words() -> None:
    counts = OutboxCounts(accepted=9, delivered=3, superseded=1, dead_letters=2, waiting=4, in_flight=1)
    assert counts.in_words(kept=4) == (
        "3 delivered, 1 superseded by newer ones, 2 dead letters, 4 kept on disk, 1 not delivered"
    )
    assert str(OutboxCounts()) == "0 delivered"
    assert set(COUNTERS) == {*OutboxCounts._fields} - {"waiting", "in_flight"}


# --- the level


def test_each_watermark_is_logged_once(expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture) -> None:
    expected_logs.expect("outbox 85 % full (85 messages waiting)")
    caplog.set_level(logging.INFO)
    gauge = LevelGauge()
    logged = [gauge.log(level, round(100 * level)) for level in (0.5, 0.79, 0.85, 0.9, 0.51, 0.5, 0.4)]
    assert logged == [False, False, True, False, False, True, False]
    assert [record.getMessage() for record in caplog.records] == [
        "outbox 85 % full (85 messages waiting)",
        "outbox back to 50 % (50 messages waiting)",
    ]


def test_below_the_next_watermark_there_is_nothing_to_log(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("% full")
    gauge = LevelGauge()
    assert not gauge.crossed_watermark(gauge.next_watermark - 0.01)
    gauge.log(0.9, 1)
    assert gauge.next_watermark == 0.0, "any level may now be the one to log"
    gauge.log(0.2, 1)
    assert gauge.next_watermark == 0.8


def test_two_threads_log_a_watermark_once(expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture) -> None:
    expected_logs.expect("% full")
    gauge = LevelGauge()
    threads = [threading.Thread(target=gauge.log, args=(0.9, 1)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caplog.records) == 1


# --- losses


def test_losses_are_logged_immediately_then_once_a_minute_and_in_total(
    losses: LossLog, clock: FakeClock, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("outbox full: new messages are refused", "outbox has room again")
    for now in (0.0, 1.0, 61.0, 62.0):
        clock.now = now
        losses.log_full(10, waiting=100)
    assert losses.dropped_since_full == 40
    losses.log_room()
    assert caplog.records[-1].levelname == "WARNING", "it is over"
    assert [record.getMessage().partition("faster ")[2] or record.getMessage() for record in caplog.records] == [
        "(100 waiting, 10 dropped so far)",
        "(100 waiting, 30 dropped so far)",
        "outbox has room again; 40 messages were dropped in total",
    ]
    assert losses.dropped_since_full == 0


def test_dead_letters_of_a_day_with_one_reason_are_few_lines(
    losses: LossLog, clock: FakeClock, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("dead letter: ")
    counted = 0
    for number in range(86_400):
        clock.now = float(number)
        losses.log_dead_letter(f"home/{number}", 1, "Not authorized")
        losses.tick()
    clock.now += 6 * 3600
    losses.tick()
    for record in caplog.records:
        many = re.search(r"\((\d+) times|(\d+) more in", record.getMessage())
        counted += int(many[1] or many[2]) if many else 1
    assert counted == 86_400
    assert len(caplog.records) < 40
    assert not losses.is_pending


def test_what_is_held_back_is_logged_by_a_tick_after_its_minute(
    losses: LossLog, clock: FakeClock, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("it within its lifetime", "them within their lifetime", "dead letters: only the last 1000")
    losses.log_expired(1)
    losses.log_dead_letters_dropped(2)
    losses.log_expired(3)
    losses.log_dead_letters_dropped(4)
    losses.tick()
    assert (len(caplog.records), losses.is_pending) == (2, True)
    clock.now = 60.0
    losses.tick()
    assert [record.getMessage().split(":")[0] for record in caplog.records[2:]] == [
        "3 messages were dropped",
        "dropped the oldest 4 dead letters",
    ]
    assert not losses.is_pending
