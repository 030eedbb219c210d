from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator

import pytest

from gateway.core.inbox import Wakeup
from gateway.mqtt.batching import BATCH_SIZE, TICK
from gateway.mqtt.send_lock import LONGEST_BURST, MAX_ROUNDS, YIELD_SECONDS, Progress, SendLock
from gateway.mqtt.standstill import STOOD_STILL
from tests.support.fake_clock import FakeClock
from tests.support.waiting import wait_until

HOUR = 3600.0  # s


class Bench:
    """A send lock and its parts; `sent` lists the threads that have sent, `progress` the results."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.wakeup = Wakeup()
        self.pauses: list[float] = []
        self.lock = SendLock(self._send, self.wakeup, self.clock, self.pauses.append)
        self.sent: list[threading.Thread] = []
        self.progress = [Progress.DONE]
        self.on_send: Callable[[], None] = lambda: None

    def _send(self) -> Progress:
        assert self.lock.is_locked
        self.on_send()
        self.sent.append(threading.current_thread())
        return self.progress.pop(0) if len(self.progress) > 1 else self.progress[0]

    def is_woken(self) -> bool:
        """Return whether the main thread was woken since the last call."""
        is_woken = bool(select.select([self.wakeup.fileno()], [], [], 0)[0])
        self.wakeup.clear()
        return is_woken

    def burst(self, count: int) -> None:
        """Request `count` messages to be sent at the same time as another, which is sent immediately."""
        self.lock.request_send(may_wait=True)
        self.sent.clear()
        for _ in range(count):
            self.lock.request_send(may_wait=True)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.wakeup.close()


# --- messages in the outbox


@pytest.mark.parametrize("may_wait", [False, True])
def test_a_single_message_is_sent_immediately_by_the_thread_that_put_it(bench: Bench, may_wait: bool) -> None:
    bench.lock.request_send(may_wait=may_wait)
    assert bench.sent == [threading.current_thread()]
    assert not bench.is_woken(), "the main thread may sleep on"
    assert bench.lock.begin_wait(HOUR) == HOUR


def test_messages_of_a_burst_wait_for_more_and_the_main_thread_is_woken_once(bench: Bench) -> None:
    bench.burst(BATCH_SIZE)
    assert bench.sent == []
    assert bench.is_woken()
    assert bench.lock.stats()["batched"] == BATCH_SIZE
    bench.lock.request_send(may_wait=True)
    assert len(bench.sent) == 1
    for _ in range(BATCH_SIZE):
        bench.lock.request_send(may_wait=True)
    assert (len(bench.sent), bench.is_woken()) == (1, False), "it watches the burst already"
    assert bench.lock.stats()["bursts"] == 1


def test_a_full_batch_waits_for_the_thread_that_holds_the_lock(bench: Bench) -> None:
    bench.burst(BATCH_SIZE)
    with bench.lock:
        bench.lock.request_send(may_wait=True)
    assert bench.sent == []
    assert bench.lock.begin_wait(HOUR) == TICK, "the main thread sends them"


def test_a_message_that_may_not_wait_takes_the_others_along(bench: Bench) -> None:
    bench.burst(3)
    bench.lock.request_send()
    assert len(bench.sent) == 1
    assert bench.lock.stats()["batched"] == 0


def test_a_thread_that_finds_the_lock_taken_leaves_its_message_to_the_holder(bench: Bench) -> None:
    with bench.lock:
        bench.lock.request_send()
        assert bench.sent == []
    assert not bench.is_woken()
    assert bench.lock.begin_wait(HOUR) == 0, "the main thread, which held it, must not fall asleep"
    bench.lock.end_wait()
    assert bench.lock.begin_wait(HOUR) == HOUR


def test_what_other_threads_put_meanwhile_is_sent_as_well_but_not_forever(bench: Bench) -> None:
    bench.progress = [Progress.MORE, Progress.MORE, Progress.DONE]
    bench.lock.request_send()
    assert (len(bench.sent), bench.is_woken()) == (3, False)
    bench.sent.clear()
    bench.progress = [Progress.MORE]
    bench.clock.now += HOUR
    bench.lock.end_wait()
    bench.lock.request_send()
    assert (len(bench.sent), bench.is_woken()) == (MAX_ROUNDS, True)
    assert bench.lock.stats()["left_to_main_thread"] == 1


def test_what_is_stuck_is_left_to_the_main_thread(bench: Bench) -> None:
    bench.progress = [Progress.STUCK]
    bench.lock.request_send()
    assert (len(bench.sent), bench.is_woken()) == (1, True)
    assert bench.lock.stats()["left_to_main_thread"] == 1


def test_the_main_thread_gets_the_lock_before_the_same_thread_takes_it_again(bench: Bench) -> None:
    bench.lock.request_send()
    assert bench.pauses == [], "nothing waits"

    def run() -> None:
        with bench.lock:
            pass

    main = threading.Thread(target=run)

    def wait_for_main() -> None:
        main.start()
        wait_until(lambda: bench.lock.is_contended)

    bench.on_send = wait_for_main
    bench.lock.request_send()
    main.join(10)
    assert bench.pauses == [YIELD_SECONDS]
    assert not bench.lock.is_contended


# --- a blocked main thread


def test_after_a_standstill_only_the_main_thread_sends(bench: Bench) -> None:
    bench.clock.now += STOOD_STILL + 1
    assert not bench.lock.send_directly(lambda: Progress.DONE)
    bench.lock.request_send()
    assert (bench.sent, bench.is_woken()) == ([], True)
    assert bench.lock.end_wait() > STOOD_STILL
    assert bench.lock.stats()["standstills"] == 1
    bench.lock.request_send()
    assert len(bench.sent) == 1


def test_a_planned_wait_is_no_standstill(bench: Bench) -> None:
    bench.lock.begin_wait(HOUR)
    bench.clock.now += HOUR
    bench.lock.request_send()
    assert len(bench.sent) == 1
    assert bench.lock.end_wait() == 0


def test_a_main_thread_that_was_busy_is_excused(bench: Bench) -> None:
    bench.clock.now += HOUR
    bench.lock.excuse_wait()
    bench.lock.request_send()
    assert len(bench.sent) == 1
    assert (bench.lock.end_wait(), bench.lock.stats()["standstills"]) == (0, 0)


# --- the wait of the main thread


def test_in_a_burst_the_main_thread_goes_on_waiting_without_the_lock(bench: Bench) -> None:
    assert bench.lock.extend_wait() == 0
    bench.burst(1)
    assert bench.lock.begin_wait(HOUR) == TICK
    assert bench.lock.extend_wait() == TICK
    bench.clock.now += LONGEST_BURST
    bench.burst(1)
    assert bench.lock.extend_wait() == 0, "it checks the link all the same"
    bench.lock.end_wait()
    assert bench.lock.extend_wait() == TICK
    bench.clock.now += 2 * TICK
    assert bench.lock.extend_wait() == 0, "the burst is over"


def test_the_main_thread_checks_for_the_last_message_of_a_burst_before_it_sleeps(bench: Bench) -> None:
    bench.burst(1)
    bench.clock.now += 2 * TICK
    assert bench.lock.begin_wait(HOUR) == 0
    assert bench.lock.begin_wait(HOUR) == HOUR


# --- messages that are not in the outbox


def test_messages_are_sent_directly_if_the_lock_is_free(bench: Bench) -> None:
    locked: list[bool] = []

    def send() -> Progress:
        locked.append(bench.lock.is_locked)
        return Progress.DONE

    assert bench.lock.send_directly(send)
    with bench.lock:
        assert not bench.lock.send_directly(send)
    assert locked == [True]
    assert not bench.is_woken()


def test_what_other_threads_have_requested_goes_before_what_is_sent_directly(bench: Bench) -> None:
    with bench.lock:
        bench.lock.request_send()
    assert not bench.lock.send_directly(lambda: Progress.DONE)


def test_what_has_to_go_into_the_outbox_after_all_does_not_count_as_sent(bench: Bench) -> None:
    assert not bench.lock.send_directly(lambda: None)
    bench.lock.request_send(may_wait=True)
    assert bench.sent == [threading.current_thread()], "it follows no other message"


def test_a_message_that_may_wait_is_not_sent_directly_if_it_closely_follows_another(bench: Bench) -> None:
    assert bench.lock.send_directly(lambda: Progress.DONE, may_wait=True)
    assert not bench.lock.send_directly(lambda: Progress.DONE, may_wait=True)
    assert bench.lock.send_directly(lambda: Progress.DONE)
    bench.clock.now += TICK
    assert bench.lock.send_directly(lambda: Progress.DONE, may_wait=True)


def test_what_the_connection_does_not_accept_is_left_to_the_main_thread(bench: Bench) -> None:
    assert bench.lock.send_directly(lambda: Progress.STUCK)
    assert bench.is_woken()


def test_what_other_threads_put_during_direct_sending_is_sent_too(bench: Bench) -> None:
    def send() -> Progress:
        other = threading.Thread(target=bench.lock.request_send)
        other.start()
        other.join()
        return Progress.DONE

    assert bench.lock.send_directly(send)
    assert bench.sent == [threading.current_thread()]


def test_an_error_in_direct_sending_releases_the_lock(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        bench.lock.send_directly(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    assert not bench.lock.is_locked
