"""Keeps the outbox on disk: commits what is put, removes what is settled, brings back what was left to the disk.

A thread of its own, so that nobody else waits for the disk. What comes while one commit is under way is the next.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable

from gateway.core.clock import boot_time
from gateway.core.throttled_exception import ThrottledException
from gateway.message import Lane
from gateway.outbox.dead_letters import Retried, dead_letters
from gateway.outbox.durable_outbox import OVERHEAD_ON_DISK, DurableOutbox
from gateway.outbox.files import Fault
from gateway.outbox.outbox import NEWER
from gateway.outbox.pending_writes import WriteBatch
from gateway.outbox.queues import HEAD_BYTES, Entry
from gateway.outbox.rescue import Rescue, rescue
from gateway.outbox.store import DeadLetterRow, OutboxStore, Row, StoreError

LOG = logging.getLogger(__name__)

_RETRY = 1.0  # s after a disk that took nothing
_STEP = 50  # rows at a time on a disk that is full
_RESERVE = 4 * 1024**2  # bytes of the disk that are left free, so that SQLite can still tidy up
_SHARE = 4  # of what is free, a commit takes that part at most: it is written to SQLite's log, and then to the file
_LEAST = 64 * 1024  # bytes that a commit may have all the same: the log has that much room already


class DiskTakesNothing(ThrottledException):
    """The outbox cannot be written to disk."""


class OutboxWriter:
    """The thread that keeps `outbox` in the file `store`; `clock` is the outbox's."""

    def __init__(self, outbox: DurableOutbox, store: OutboxStore, clock: Callable[[], float] = boot_time) -> None:
        self._outbox = outbox
        self._store = store
        self._clock = clock
        # Jumps of the wall clock after the start do not count: only what came before is dated by it.
        self._wall_start, self._start = time.time(), clock()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._is_full = self._is_unwell = False
        self._visits: deque[Callable[[OutboxStore], None]] = deque()
        self._last_dead_letter = 0  # the highest number that any has had, whatever becomes of the file
        self._damage = ""  # what has become of the file, as long as there is no new one,
        self._fault: Fault | None = None  # and where somebody else has done it
        self._reserve = _reserve(store)
        self._free = 0  # bytes of the disk, as of the last look
        self._restore()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def check_files(self) -> None:
        """Have the files seen to if something is wrong with them, though nothing is to be written. Any thread may."""
        if self._store.seems_faulty():
            self._outbox.call_writer()

    def run_on_file(self, do: Callable[[OutboxStore], None]) -> None:
        """Have `do` called with the file, by the thread of the writer, once all that came before is committed.

        `do` may read; it raises nothing but `sqlite3.Error`, which is said as any fault of the disk.
        """
        self._visits.append(do)
        self._outbox.call_writer()

    def retry(self, is_meant: Callable[[str], bool]) -> Retried:
        """Put what was set aside, and whose topic is meant, into the outbox again.

        Only what was called by `visit` may call this. The rows are removed by the commit that has the messages wait, or
        once they are delivered (see `PendingWrites`).
        """
        sent = outdated = full = 0
        for row, is_outdated in dead_letters(self._store, is_meant):
            number = row.number or 0
            if self._outbox.is_retry_pending(number):
                continue
            refusal = NEWER if is_outdated else self._outbox.retry(row.publication(), number)
            sent += not refusal
            outdated += refusal == NEWER
            full += refusal not in ("", NEWER)
        if sent:
            self._outbox.call_writer()
        return Retried(sent, outdated, full)

    def close(self, timeout: float = 5.0) -> int:
        """Write what is left, close the file, and end the thread, within `timeout` s; return how many are lost."""
        self._outbox.close()
        self._thread.join(timeout)
        return self._outbox.at_risk

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            goes_on = self._outbox.wait_for_work(_RETRY if self._is_unwell or self._is_full else 0.0)
            if self._is_damaged():
                continue
            is_full = self._look_at_disk()
            work = self._outbox.next_batch(disk_is_full=is_full, at_most=max(_LEAST, self._free // _SHARE))
            try:
                if is_full:  # a log that waits for the file to grow could neither be used again nor grow
                    self._store.empty_log()
                self._commit(work)
            except Exception as err:  # noqa: BLE001
                self._store.empty_log()
                if getattr(err, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                    self._write_in_steps(work)
                self._outbox.mark_uncommitted(work)
                self._fail(err)
                with contextlib.suppress(sqlite3.Error):  # a disk that takes nothing can be read
                    self._receive_visits()
                continue
            if self._is_faulty():  # what was written may be nowhere: it is not accepted yet
                self._outbox.mark_uncommitted(work, may_be_written=True)
                goes_on = True
                continue
            self._outbox.mark_committed(work)
            try:
                self._bring_back(work)
                self._receive_visits()
            except Exception as err:  # noqa: BLE001
                self._fail(err)
                continue
            self._note_success(work)
            goes_on = goes_on or work.has_more
        self._store.close()

    def _commit(self, work: WriteBatch) -> None:
        if work.is_to_write:
            dropped = self._store.commit(
                [Row.of(e.number, e.lane, self._wall(e.since), e.publication) for e in work.inserts],
                work.removals,
                [self._set_aside(entry, reason) for entry, reason in work.set_aside],
                work.retained.items(),
                work.delivered + [e.dead_letter_number for e in work.inserts if e.dead_letter_number],
            )
            if dropped:
                self._outbox.count_dead_letters_dropped(dropped)

    def _write_in_steps(self, work: WriteBatch) -> None:
        """Do as much of `work` as goes on a full disk: SQLite's log of small steps needs less room.

        What is removed here is removed once more with the next work, which does no harm. What is set aside waits until
        that: it is to be in one place or the other.
        """
        kept = {entry.number for entry, _ in work.set_aside}
        removals = [number for number in work.removals if number not in kept]
        with contextlib.suppress(sqlite3.Error):  # said by who called
            self._bring_back(work)
            for begin in range(0, len(removals), _STEP):
                self._store.commit([], removals[begin : begin + _STEP])
            for begin in range(0, len(work.inserts), _STEP):
                part = work._replace(inserts=work.inserts[begin : begin + _STEP], removals=[], set_aside=[],
                               delivered=[], retained={}, reads=[])  # fmt: skip
                self._commit(part)
                self._outbox.mark_committed(part)

    def _bring_back(self, work: WriteBatch) -> None:
        for lane, after, count in work.reads:
            rows = self._store.rows(lane, after, count, HEAD_BYTES)
            asked = count if sum(len(row.payload) for row in rows) < HEAD_BYTES else len(rows)
            lost = self._outbox.refill(lane, asked, [self._entry(row) for row in rows])
            if lost:
                LOG.error("%d messages are missing in %s: who else writes to it?", lost, self._store.path)

    def _receive_visits(self) -> None:
        while self._visits:
            self._visits.popleft()(self._store)

    def _restore(self) -> None:
        store = self._store
        self._last_dead_letter = store.last_dead_letter()
        latest = [self._entry(row) for row in store.rows(Lane.LATEST)]
        counts = store.counts(OVERHEAD_ON_DISK)
        count = self._outbox.restore(store.last_number(), store.retained(), counts, store.topics(), latest)
        if count:
            LOG.info("%d messages of an earlier run wait in %s", count, store.path)

    def _entry(self, row: Row) -> Entry:
        since = min(self._start + row.since - self._wall_start, self._clock())  # a clock may have been put back
        lane = Lane(row.lane)
        return Entry(row.publication(), since, row.number, OVERHEAD_ON_DISK, lane, is_for_disk=True, is_committed=True)

    def _set_aside(self, entry: Entry, reason: str) -> DeadLetterRow:
        p = entry.publication
        if not entry.dead_letter_number:  # and it keeps it: what may have been written already is written over
            self._last_dead_letter += 1
            entry.dead_letter_number = self._last_dead_letter
        return DeadLetterRow(
            entry.dead_letter_number, self._wall(entry.since), p.topic, p.payload, p.qos, p.retain, reason
        )

    def _wall(self, since: float) -> float:
        return self._wall_start + since - self._start

    # --- when the disk is not well

    def _look_at_disk(self) -> bool:
        """Tell whether the disk has no room for more, and say when that begins and ends."""
        is_full = self._look_for_room() < self._reserve
        if is_full != self._is_full:
            self._is_full = is_full
            if is_full:
                LOG.error("the disk of %s is full: the limits of the outbox count: make room", self._store.path)
            else:
                LOG.info("the disk of %s has room again", self._store.path)
        return is_full

    def _look_for_room(self) -> int:
        """Return how many bytes are free: on the disk, or, if that are few, in the file."""
        try:
            found = os.statvfs(self._store.path.parent)
            self._free = found.f_bavail * found.f_frsize
            return self._free if self._free >= self._reserve else max(self._free, self._store.free_bytes())
        except (OSError, sqlite3.Error):
            return self._reserve  # the commit will say what is wrong

    def _fail(self, err: Exception) -> None:
        """Say that something could not be written or read; it is tried again."""
        self._is_unwell = True
        code = getattr(err, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._damage = f"is damaged ({err})"
            return
        failed = DiskTakesNothing(
            f"the outbox cannot be written to {self._store.path} ({err}): what comes is kept in memory, "
            f"and lost if the gateway is killed: check the disk",
            key=str(err),
        )
        if failed.trigger:
            LOG.error(failed.report, exc_info=None if isinstance(err, sqlite3.Error) else err)

    def _note_success(self, work: WriteBatch) -> None:
        if self._is_unwell and (work.is_to_write or work.reads):
            self._is_unwell = False
            LOG.info("the outbox is on disk again")

    def _is_faulty(self) -> bool:
        """Return whether somebody else has removed, replaced or cut off the files; remember what."""
        fault = self._store.fault()
        if fault is not None and not self._damage:
            self._fault, self._damage = fault, fault.value
        return fault is not None

    def _is_damaged(self) -> bool:
        """Begin a new file where the old one was damaged, or somebody has taken it away; return whether none is there.

        What can still be read of the old one stands in the new one, and what is in memory is written into it.
        """
        if not self._damage and not self._is_faulty():
            return False
        path = self._store.path
        try:
            self._store, kept, aside = rescue(self._store, self._fault, self._outbox.spilled_ranges())
            self._last_dead_letter = max(self._last_dead_letter, self._store.last_dead_letter())
            lost = self._restore_after(kept)
        except (StoreError, OSError, sqlite3.Error) as again:
            self._is_unwell = True
            failed = DiskTakesNothing(f"{path} {self._damage}, and no new one can be made: {again}", key="anew")
            if failed.trigger:
                LOG.error(failed.report)
            return True
        moved = f"; moved to {aside}" if aside else ""
        LOG.error("outbox file %s %s%s; created a new one; %d messages lost", path, self._damage, moved, lost)
        self._damage, self._fault = "", None
        return False

    def _restore_after(self, kept: Rescue) -> int:
        """Have written again what the new file has not; return how many messages nobody has any more."""
        if kept is Rescue.WHOLE:
            return 0
        store = self._store
        return self._outbox.rebuild(store.counts(OVERHEAD_ON_DISK), store.topics(), store.last_number())


def _reserve(store: OutboxStore) -> int:
    """Return how many bytes of the disk are to be left free: on a small one, an eighth."""
    try:
        found = os.statvfs(store.path.parent)
    except OSError:
        return 0
    return min(_RESERVE, found.f_blocks * found.f_frsize // 8)
