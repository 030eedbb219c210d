from __future__ import annotations

import threading

import pytest

from gateway.errors import DeliveryError
from gateway.message import Publication
from gateway.outbox.flush import Waiters
from gateway.outbox.queues import Entry, Source
from tests.support.waiting import wait_until


def entry(number: int, source: Source) -> Entry:
    return Entry(Publication("t", b"", 1), 0.0, number, source=source)


def test_a_thread_that_waits_is_counted_and_woken() -> None:
    lock = threading.Lock()
    waiters = Waiters(lock)

    def wait() -> None:
        with lock:
            waiters.wait(30)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    wait_until(lambda: waiters.blocked == 1)
    with lock:
        waiters.notify()
    thread.join(10)
    assert (thread.is_alive(), waiters.blocked) == (False, 0)


def test_a_flush_ends_with_the_last_entry_that_it_waits_for() -> None:
    lock, source, other = threading.Lock(), Source(), Source()
    waiters = Waiters(lock)
    is_over = threading.Event()

    def flush() -> None:
        with lock:
            waiters.flush(source, last=2, count=2, timeout=30)
        is_over.set()

    thread = threading.Thread(target=flush, daemon=True)
    thread.start()
    wait_until(lambda: waiters.has_flushes)
    with lock:
        waiters.record_ended([entry(1, source), entry(1, other), entry(3, source)])
    assert not is_over.wait(0.05), "another one of its own is still waiting"
    with lock:
        waiters.record_ended([entry(2, source)])
    thread.join(10)
    assert is_over.is_set()
    assert not waiters.has_flushes


def test_a_flush_raises_for_what_was_dropped_once_and_for_what_takes_too_long() -> None:
    lock, source = threading.Lock(), Source()
    waiters = Waiters(lock)
    source.record_dropped(2, "the outbox is full")
    with lock:
        with pytest.raises(DeliveryError, match=r"^2 messages were dropped: the outbox is full$"):
            waiters.flush(source, last=5, count=1, timeout=30)
        with pytest.raises(DeliveryError, match=r"^1 message was not acknowledged within 0 s$"):
            waiters.flush(source, last=5, count=1, timeout=0)
        waiters.flush(source, last=5, count=0, timeout=0)
