"""Threads that wait for the outbox: until it has room, or until the broker has what they have put.

All methods are called with the lock of the outbox.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from threading import Condition, Lock

from gateway.core.counting import counted
from gateway.errors import DeliveryError
from gateway.message import Publication
from gateway.outbox.queues import Entry, Source


class Batch(list[Publication]):
    """Publications of one `source`, which stays with them on their way through the link."""

    source: Source | None = None


class _Flush:
    """A waiting producer: how many entries of `source` with a number up to `last` are neither delivered nor dropped."""

    def __init__(self, source: Source, last: int, waiting: int) -> None:
        self.source = source
        self.last = last
        self.waiting = waiting

    def record_ended(self, entries: Iterable[Entry]) -> None:
        """Subtract those of `entries` that the producer waits for."""
        for entry in entries:
            if entry.source is self.source and entry.number <= self.last:
                self.waiting -= 1

    @property
    def is_over(self) -> bool:
        """Whether all entries have ended, or one was lost."""
        return self.waiting <= 0 or self.source.dropped > 0


class Waiters:
    """The threads that wait for the outbox whose lock is `lock`."""

    def __init__(self, lock: Lock) -> None:
        self._changed = Condition(lock)
        self._flushes: list[_Flush] = []
        self.blocked = 0
        """How many threads wait. Mostly none, so that there is mostly no thread to notify."""

    @property
    def has_flushes(self) -> bool:
        """Whether a thread waits in `flush`."""
        return bool(self._flushes)

    def notify(self) -> None:
        """Wake the waiting threads, which check their conditions again."""
        if self.blocked:
            self._changed.notify_all()

    def wait(self, timeout: float) -> None:
        """Wait for `notify`, for up to `timeout` s. The lock is released in the meantime."""
        with self._counted():
            self._changed.wait(timeout)

    def flush(self, source: Source, last: int, count: int, timeout: float) -> None:
        """Wait until `count` entries of `source`, with numbers up to `last`, have ended.

        Raises `DeliveryError` if that takes over `timeout` s, or if one of them, or an earlier one since the
        last flush of `source`, was dropped.
        """
        flush = _Flush(source, last, count)
        self._flushes.append(flush)
        with self._counted():
            self._changed.wait_for(lambda: flush.is_over, timeout)
        self._flushes.remove(flush)
        dropped, reason, source.dropped = source.dropped, source.reason, 0
        if dropped:
            raise DeliveryError(f"{counted(dropped, 'message was', 'messages were')} dropped: {reason}")
        if flush.waiting > 0:
            waiting = counted(flush.waiting, "message was", "messages were")
            raise DeliveryError(f"{waiting} not acknowledged within {timeout:g} s")

    def record_ended(self, entries: Sequence[Entry]) -> None:
        """Record that `entries` are delivered or dropped, and wake the threads that wait for nothing else."""
        for flush in self._flushes:
            flush.record_ended(entries)
        if any(flush.waiting <= 0 for flush in self._flushes):
            self._changed.notify_all()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self.blocked += 1
        try:
            yield
        finally:
            self.blocked -= 1
