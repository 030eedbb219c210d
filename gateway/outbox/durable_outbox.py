"""An outbox with a disk behind it: a writer (`writer`) asks for work, and says what it has done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from threading import Condition
from typing import ClassVar, Literal

from gateway.core.clock import boot_time
from gateway.message import Lane, Publication
from gateway.outbox.outbox import OVERHEAD, Outbox
from gateway.outbox.pending_writes import PendingWrites, WriteBatch
from gateway.outbox.queues import Entry

OVERHEAD_ON_DISK = 100
"""Bytes that a waiting publication costs in the file beyond what it holds."""

_LOST = "the file of the outbox was lost"  # why something was dropped


class DurableOutbox(Outbox):
    """An outbox of which what has QoS 1, and is no command, is for the disk. See `Outbox` for the limits.

    What comes is committed within `commit_interval` s (see `PendingWrites`).
    """

    is_durable: ClassVar[bool] = True

    def __init__(
        self,
        max_messages: int = 1_000_000,
        max_bytes: int = 256 * 1024**2,
        discard: Literal["old", "new"] = "old",
        command_lifetime: float = 0.0,
        status_lifetime: float = 0.0,
        clock: Callable[[], float] = boot_time,
        *,
        commit_interval: float = 0.0,
    ) -> None:
        super().__init__(max_messages, max_bytes, discard, command_lifetime, status_lifetime, clock)
        self._work = Condition(self._lock)
        self._pending = PendingWrites(commit_interval, self._work.notify)
        self._room_made = 0  # bytes of the disk, for what is not committed yet
        self._is_closing = self._is_called = False

    @property
    def at_risk(self) -> int:
        """How many are in memory only, and would be lost if the gateway were killed."""
        with self._lock:
            unsafe = [entry for entry in self._lanes.in_memory() if not entry.is_committed]
            # What is retained, and not for the disk, is there already (see `republish_retained`); what is retried, too.
            return sum(
                1
                for entry in unsafe
                if (entry.is_for_disk or not entry.publication.retain)
                and not self._pending.is_retry_pending(entry.dead_letter_number)
            )

    # --- the writer

    def restore(
        self,
        last_number: int,
        retained: dict[str, bytes],
        counts: Iterable[tuple[Lane, int, int]],
        topics: Iterable[tuple[str, Lane, int]],
        latest: Iterable[Entry],
    ) -> int:
        """Begin with what is on disk (see `LaneQueues.restore`); return how many wait."""
        with self._lock:
            self.retained = retained
            self._retained_bytes = sum(len(topic) + len(payload) for topic, payload in retained.items())
            self._end(self._lanes.restore(counts, topics, latest))
            self._last_number = last_number
            count = len(self._lanes)
            self._counts["restored"] += count
        return count

    def wait_for_work(self, hold_off: float = 0.0) -> bool:
        """Wait until there is something to do for the writer, but at least `hold_off` s; False: for the last time."""
        with self._lock:
            begin = self._clock() + hold_off
            while not self._is_closing:
                now = self._clock()
                due = -math.inf if self._is_called or self._is_reading_due() else self._pending.due()
                if due is not None:
                    due = max(due, begin)
                    if due <= now:
                        break
                self._work.wait(None if due is None else due - now)
            self._is_called = False
            return not self._is_closing

    def call_writer(self) -> None:
        """Have the writer do its work soon, and return from `wait_for_work` even if there is none."""
        with self._lock:
            self._is_called = True
            self._work.notify()

    def next_batch(self, *, disk_is_full: bool = False, at_most: float = math.inf) -> WriteBatch:
        """Return what is to be done for the disk, with up to `at_most` bytes to be committed.

        What was settled before it was committed is not written at all. While the disk is full, the policy decides:
        `old` drops as much as is to come, `new` leaves what comes in memory, as far as that goes.
        """
        dropped = 0
        with self._lock:
            if disk_is_full and self._discard == "old":
                dropped = self._make_room(min(self._pending.bytes, at_most))
            is_refusing = disk_is_full and self._discard == "new"
            work = self._pending.next_batch(
                is_refusing=is_refusing, at_most=at_most, wanted=self._lanes.pending_reads()
            )
        if dropped:
            self._log_full(dropped)
        return work

    def mark_committed(self, work: WriteBatch) -> None:
        """Take note that `work` is on disk."""
        with self._lock:
            self._pending.mark_committed(work, self._clock())
            self._room_made = 0
            self._lanes.spill()
            self._notify_changed()

    def mark_uncommitted(self, work: WriteBatch, *, may_be_written: bool = False) -> None:
        """Record that `work` could not be written, or may be on disk or not (`may_be_written`); it is given again."""
        with self._lock:
            self._pending.mark_uncommitted(work, self._clock(), may_be_written=may_be_written)

    def is_retry_pending(self, dead_letter: int) -> bool:
        """Return whether what was set aside under this number is retried already, and its row does not tell yet."""
        with self._lock:
            return self._pending.is_retry_pending(dead_letter)

    def count_dead_letters_dropped(self, count: int) -> None:
        """Count and log dead letters that the file has dropped, since it keeps only the last ones."""
        with self._lock:
            self._counts["dead_letters_dropped"] += count
        self._losses.log_dead_letters_dropped(count)

    def refill(self, lane: Lane, asked: int, entries: Sequence[Entry]) -> int:
        """Take what was read from the disk (see `LaneQueues.refill`); return how many were not there any more."""
        with self._lock:
            before = len(self._lanes)
            self._end(self._lanes.refill(lane, asked, entries), dropped="the outbox is full")
            lost = before - len(self._lanes)
            self._note_lost(lost)
        self.on_put(False)
        return lost

    def spilled_ranges(self) -> dict[Lane, tuple[int, int]]:
        """Return where what is only on disk lies (see `LaneQueues.spilled_ranges`)."""
        with self._lock:
            return self._lanes.spilled_ranges()

    def rebuild(
        self,
        counts: Iterable[tuple[Lane, int, int]] = (),
        topics: Iterable[tuple[str, Lane, int]] = (),
        last_number: int = 0,
    ) -> int:
        """Give all that is in memory to the writer again, for a new file; return how many are lost.

        Lost is what was only in the old file, but for what the new one has of it (see `LaneQueues.forget_spilled`).
        """
        with self._lock:
            lost, receipts = self._lanes.forget_spilled(counts, topics, last_number)
            self._note_lost(lost)
            entries = [entry for entry in self._lanes.in_memory() if entry.is_for_disk]
            self._pending.rebuild(entries, self.retained, self._clock())
        for receipt in receipts:
            receipt.mark_dropped(_LOST)
        return lost

    def close(self) -> None:
        """Let the writer have its last work."""
        with self._lock:
            self._is_closing = True
            self._work.notify_all()

    # --- what an outbox in memory does not do

    def _entries(self, publications: Sequence[Publication], now: float) -> list[Entry]:
        entries = super()._entries(publications, now)
        for entry in entries:
            if entry.publication.qos > 0 and not entry.publication.is_command:  # a command would come too late
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
        return super()._fits_cheaply(entries) and self._disk_takes(entries)

    def _fit(self, entry: Entry) -> bool:
        return super()._fit(entry) and self._disk_takes((entry,))

    def _drop_for(self, entry: Entry) -> bool:
        if self._disk_takes((entry,)):
            return self._drop_oldest()
        # What is on disk takes no memory: dropping that would not help.
        waiting = (entry for entry in self._pending.entries.values() if entry not in self._lanes.in_flight)
        oldest = next(waiting, None)
        if oldest is None:
            return False
        self._lanes.discard(oldest)
        self._end((oldest,), dropped="the disk takes nothing")
        return True

    # --- within

    def _note_lost(self, count: int) -> None:
        self._counts["dropped_old"] += count
        for source in self._lanes.pop_lost_sources():
            source.record_dropped(1, _LOST)
        self._notify_changed()

    def _disk_takes(self, entries: Sequence[Entry]) -> bool:
        for_disk = [entry for entry in entries if entry.is_for_disk]
        return not for_disk or self._pending.has_room(for_disk)

    def _is_reading_due(self) -> bool:
        return any(True for _ in self._lanes.pending_reads())

    def _make_room(self, needed: float) -> int:
        """Drop the oldest, until `needed` bytes to be committed have room on disk; return how many that were."""
        dropped, before, size = 0, self._lanes.bytes, needed - self._room_made
        while before - self._lanes.bytes < size and len(self._lanes) > len(self._pending.entries):
            if not self._drop_oldest():
                break
            dropped += 1
        self._room_made += before - self._lanes.bytes
        self._counts["dropped_old"] += dropped
        return dropped
