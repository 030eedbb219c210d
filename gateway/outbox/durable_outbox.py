"""An outbox with a disk behind it. The thread of `writer` fetches the batches to write, and reports the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from threading import Condition
from typing import ClassVar

from gateway.core.clock import boot_time
from gateway.message import Lane, Publication
from gateway.outbox.options import DISK_DEFAULTS, OutboxOptions
from gateway.outbox.outbox import OVERHEAD, Outbox
from gateway.outbox.pending_writes import PendingWrites, WriteBatch
from gateway.outbox.queues import Entry

OVERHEAD_ON_DISK = 100
"""Bytes that a waiting publication costs in the file beyond its content."""

_LOST = "the file of the outbox was lost"  # why a message was dropped
_NOT_WRITTEN = "the disk cannot be written"


class DurableOutbox(Outbox):
    """An outbox that keeps publications with QoS 1 on disk, except commands. See `Outbox` for the limits.

    New messages are committed within `options.commit_interval` s (see `PendingWrites`).
    """

    is_durable: ClassVar[bool] = True

    def __init__(self, options: OutboxOptions = DISK_DEFAULTS, clock: Callable[[], float] = boot_time) -> None:
        super().__init__(options, clock)
        self._work = Condition(self._lock)
        self._pending = PendingWrites(options.commit_interval, self._work.notify)
        self._room_made = 0  # bytes that were dropped from a full disk for entries that are not committed yet
        self._lost = 0  # messages that were only in a file that was lost
        self._is_closing = self._is_called = False

    @property
    def at_risk(self) -> int:
        """How many messages are in memory only, and would be lost if the gateway were killed."""
        with self._lock:
            unsafe = [entry for entry in self._lanes.in_memory() if not entry.is_committed]
            # Not at risk are a retained payload that is not for the disk, because it is in the file already (see
            # `republish_retained`), and a dead letter that is retried, because it still has its row there.
            return sum(
                1
                for entry in unsafe
                if (entry.is_for_disk or not entry.publication.retain)
                and not self._pending.is_retry_pending(entry.dead_letter_number)
            )

    def stats(self) -> dict[str, int]:
        """Return all counters and levels, as of `Outbox`, and those of the disk."""
        spilled, spilled_bytes = self._lanes.spilled()
        return {
            **super().stats(),
            "uncommitted": len(self._pending.entries),
            "uncommitted_bytes": self._pending.bytes,
            "spilled": spilled,
            "spilled_bytes": spilled_bytes,
            "lost_with_file": self._lost,
        }

    # --- called by the writer

    def restore(
        self,
        last_number: int,
        retained: dict[str, bytes],
        counts: Iterable[tuple[Lane, int, int]],
        topics: Iterable[tuple[str, Lane, int]],
        latest: Iterable[Entry],
    ) -> int:
        """Start with what is on disk (see `LaneQueues.restore`); return how many messages wait."""
        with self._lock:
            self._retained.restore(retained)
            self._end(self._lanes.restore(counts, topics, latest))
            self._last_number = last_number
            count = len(self._lanes)
            self._counts["restored"] += count
        return count

    def wait_for_work(self, at_least: float = 0.0) -> bool:
        """Wait until there is something to write or to read, but for `at_least` s; False: for the last time."""
        with self._lock:
            begin = self._clock() + at_least
            while not self._is_closing:
                now = self._clock()
                due = self._work_due()
                if due is not None:
                    due = max(due, begin)
                    if due <= now:
                        break
                self._work.wait(None if due is None else due - now)
            self._is_called = False
            return not self._is_closing

    @property
    def is_work_due(self) -> bool:
        """Whether there is something to write or to read now. Any thread may call it."""
        with self._lock:
            due = self._work_due()
            return due is not None and due <= self._clock()

    def _work_due(self) -> float | None:
        return -math.inf if self._is_called or self._is_reading_due() else self._pending.due()

    def call_writer(self) -> None:
        """Wake the writer soon, even if there is nothing to write. Any thread may call it."""
        with self._lock:
            self._is_called = True
            self._work.notify()

    def next_batch(self, *, disk_is_full: bool = False, max_bytes: float = math.inf) -> WriteBatch:
        """Return what is to be done for the disk next, with up to `max_bytes` of entries to commit.

        What was settled before it was committed is not written at all. While the disk is full, the policy decides:
        either as many bytes of the oldest messages are dropped as are to be written, or nothing is written, and new
        messages stay in memory as far as that has room.
        """
        dropped = 0
        drops_oldest = self.options.discard.drops_oldest
        with self._lock:
            if disk_is_full and drops_oldest:
                dropped = self._make_room(min(self._pending.bytes, max_bytes))
            batch = self._pending.next_batch(
                is_refusing=disk_is_full and not drops_oldest,
                max_bytes=max_bytes,
                reads=self._lanes.pending_reads(),
            )
        if dropped:
            self._log_full(dropped)
        return batch

    def mark_committed(self, batch: WriteBatch) -> None:
        """Record that `batch` is on disk."""
        with self._lock:
            self._pending.mark_committed(batch, self._clock())
            self._room_made = 0
            self._lanes.spill()
            self._waiters.notify()

    def mark_uncommitted(self, batch: WriteBatch, *, may_be_written: bool = False) -> None:
        """Record that `batch` is not on disk, or `may_be_written`; the next batch has its content again."""
        with self._lock:
            self._pending.mark_uncommitted(batch, self._clock(), may_be_written=may_be_written)

    def is_retry_pending(self, dead_letter: int) -> bool:
        """Return whether the dead letter with this number is being retried, and its row in the file is out of date."""
        with self._lock:
            return self._pending.is_retry_pending(dead_letter)

    def count_dead_letters_dropped(self, count: int) -> None:
        """Count and log dead letters that the file has dropped, because it keeps only the last ones."""
        with self._lock:
            self._counts["dead_letters_dropped"] += count
        self._losses.log_dead_letters_dropped(count)

    def refill(self, lane: Lane, requested: int, entries: Sequence[Entry]) -> int:
        """Accept what was read from the disk (see `LaneQueues.refill`); return how many messages were missing there."""
        with self._lock:
            previous = len(self._lanes)
            self._end(self._lanes.refill(lane, requested, entries), dropped="the outbox is full")
            lost = previous - len(self._lanes)
            self._count_lost(lost)
        self.on_put(False)
        return lost

    def spilled_ranges(self) -> dict[Lane, tuple[int, int]]:
        """Return the ranges of the numbers of entries that are only on disk (see `LaneQueues.spilled_ranges`)."""
        with self._lock:
            return self._lanes.spilled_ranges()

    def rebuild(
        self,
        counts: Iterable[tuple[Lane, int, int]] = (),
        topics: Iterable[tuple[str, Lane, int]] = (),
        last_number: int = 0,
    ) -> int:
        """Schedule that everything in memory is written to a new file; return how many messages are lost.

        Lost are those that were only in the old file and that the new one has not (see `LaneQueues.forget_spilled`).
        """
        with self._lock:
            lost, receipts = self._lanes.forget_spilled(counts, topics, last_number)
            self._count_lost(lost)
            entries = [entry for entry in self._lanes.in_memory() if entry.is_for_disk]
            self._pending.rebuild(entries, self.retained, self._clock())
        for receipt in receipts:
            receipt.mark_dropped(_LOST)
        return lost

    def close(self) -> None:
        """End `wait_for_work`, so that the writer writes a last batch."""
        with self._lock:
            self._is_closing = True
            self._work.notify_all()

    # --- what an outbox in memory does not do

    def _entries(self, publications: Sequence[Publication], now: float) -> list[Entry]:
        entries = super()._entries(publications, now)
        for entry in entries:
            if entry.publication.qos > 0 and not entry.publication.is_command:  # a restored command would be too late
                entry.is_for_disk = True
                entry.size += OVERHEAD_ON_DISK - OVERHEAD
        return entries

    def _on_added(self, entries: Iterable[Entry]) -> None:
        now = self._clock()
        for entry in entries:
            if entry.is_for_disk:
                self._pending.add(entry, now)
            else:
                super()._on_added((entry,))

    def _on_ended(self, entries: Iterable[Entry], *, is_dropped: bool) -> None:
        now = self._clock()
        for entry in entries:
            self._pending.end(entry, now, is_dropped=is_dropped)

    def _on_taken(self) -> None:
        if self._is_reading_due():
            self._work.notify()

    def _on_retained(self, topic: str, payload: bytes) -> None:
        self._pending.retain(topic, payload, self._clock())

    def _on_retry(self, dead_letter: int) -> None:
        self._pending.start_retry(dead_letter)

    def _on_dead_letter(self, entry: Entry, reason: str) -> int:
        return self._pending.dead_letter(entry, reason, self._clock())

    def _backlog(self) -> float:
        return self._pending.level

    def _fits_cheaply(self, entries: Sequence[Entry]) -> bool:
        return super()._fits_cheaply(entries) and self._pending_has_room(entries)

    def _fits(self, entry: Entry) -> bool:
        return super()._fits(entry) and self._pending_has_room((entry,))

    def _drop_for(self, entry: Entry) -> bool:
        if self._pending_has_room((entry,)):
            return self._drop_oldest()
        # What is short is memory for entries that are not on disk yet. Dropping entries that are on disk would free
        # none of it, so the oldest uncommitted entry that is not in flight is dropped.
        waiting = (entry for entry in self._pending.entries.values() if entry not in self._lanes.in_flight)
        oldest = next(waiting, None)
        if oldest is None:
            return False
        self._lanes.discard(oldest)
        self._end((oldest,), dropped=_NOT_WRITTEN)
        return True

    # --- helpers, called with the lock

    def _count_lost(self, count: int) -> None:
        self._lost += count
        self._counts["dropped_old"] += count
        for source in self._lanes.pop_lost_sources():
            source.record_dropped(1, _LOST)
        self._waiters.notify()

    def _pending_has_room(self, entries: Sequence[Entry]) -> bool:
        for_disk = [entry for entry in entries if entry.is_for_disk]
        return not for_disk or self._pending.has_room(for_disk)

    def _is_reading_due(self) -> bool:
        return any(True for _ in self._lanes.pending_reads())

    def _make_room(self, needed: float) -> int:
        """Drop the oldest messages until `needed` bytes to commit have room on disk; return how many were dropped."""
        dropped, previous, size = 0, self._lanes.bytes, needed - self._room_made
        while previous - self._lanes.bytes < size and len(self._lanes) > len(self._pending.entries):
            if not self._drop_oldest():
                break
            dropped += 1
        self._room_made += previous - self._lanes.bytes
        self._counts["dropped_old"] += dropped
        return dropped
