"""Keeps the outbox on disk: commits new messages, removes settled ones, and reads back those that are only on disk.

It has a thread of its own, so that no other thread waits for the disk. Messages that come during a commit are written
by the next one.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable

from gateway.core.activity import Call, overdue, where
from gateway.core.clock import boot_time
from gateway.core.counting import counted
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.message import Lane
from gateway.outbox.dead_letters import Retried, matching_dead_letters
from gateway.outbox.disk_space import DiskSpace
from gateway.outbox.durable_outbox import OVERHEAD_ON_DISK, DurableOutbox
from gateway.outbox.files import Fault
from gateway.outbox.outbox import NEWER
from gateway.outbox.pending_writes import WriteBatch
from gateway.outbox.queues import HEAD_BYTES, Entry
from gateway.outbox.rescue import Rescue, rescue
from gateway.outbox.rows import DeadLetterRow, Row
from gateway.outbox.store import OutboxStore, StoreError

LOG = package_logger(__name__)

_RETRY = 1.0  # s to wait after a write has failed
_LONGEST_STEP = 30.0  # s; a slow memory card takes less
_STEP = 50  # rows at a time on a full disk
_COUNTERS = ("commits", "rows_written", "write_errors", "rows_missing", "retried", "files_replaced", "messages_lost")


class OutboxWriteError(ThrottledException):
    """The outbox cannot be written to disk."""


class OutboxWriter:
    """The thread that keeps `outbox` in the file `store`. `clock` is that of the outbox (s).

    After `longest_step` seconds, a step counts as hanging.
    """

    def __init__(
        self,
        outbox: DurableOutbox,
        store: OutboxStore,
        clock: Callable[[], float] = boot_time,
        longest_step: float = _LONGEST_STEP,
    ) -> None:
        self._outbox = outbox
        self._longest_step = longest_step
        self._last_step = self._last_idle = time.monotonic()  # when the last one began, and when there was no work
        self._store = store
        self._clock = clock
        # Only messages of earlier runs are dated by the wall clock: if that jumps during a run, no lifetime changes.
        self._wall_start, self._start = time.time(), clock()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._has_failed = False  # and nothing was written since
        self._tasks: deque[Callable[[OutboxStore], None]] = deque()
        self._last_dead_letter = 0  # the highest number ever used, also in a file that was replaced
        self._damage = ""  # what has happened to the file, until there is a new one,
        self._fault: Fault | None = None  # and which fault that is, if another program has caused it
        self._disk = DiskSpace(store.path)
        self._counts = dict.fromkeys(_COUNTERS, 0)
        self.dead_letters = 0
        """How many dead letters are in the file. Any thread may read it."""
        self.failure = ""
        """Why the file can be neither written nor read at the moment; `""`: it can. Any thread may read it."""
        self._restore()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def check_files(self) -> None:
        """Wake the thread if the files look damaged, even if there is nothing to write. Any thread may call it."""
        if self._store.seems_faulty():
            self._outbox.call_writer()

    def run_on_file(self, task: Callable[[OutboxStore], None]) -> None:
        """Have the writer's thread call `task` with the file, once everything that came before is committed.

        `task` may read. It raises nothing but `sqlite3.Error`, which is logged as any other failure of the disk.
        """
        self._tasks.append(task)
        self._outbox.call_writer()

    def retry(self, matches: Callable[[str], bool]) -> Retried:
        """Put the dead letters whose topic `matches` into the outbox again.

        To be called only by a task of `run_on_file`. A row is removed by the commit that adds the message to those that
        wait, or once the message is delivered (see `PendingWrites`).
        """
        sent = outdated = full = 0
        for row, is_outdated in matching_dead_letters(self._store, matches):
            number = row.number or 0
            if self._outbox.is_retry_pending(number):
                continue
            refusal = NEWER if is_outdated else self._outbox.retry(row.publication(), number)
            sent += refusal is None
            outdated += refusal == NEWER
            full += refusal not in (None, NEWER)
        if sent:
            self._counts["retried"] += sent
            self._outbox.call_writer()
        return Retried(sent, outdated, full)

    def close(self, timeout: float = 5.0) -> int:
        """Write what is left, close the file, and end the thread, within `timeout` s.

        Return how many messages are lost.
        """
        self._outbox.close()
        self._thread.join(timeout)
        return self._outbox.at_risk

    def stats(self) -> dict[str, int]:
        """Return all counters, and the state of the disk. Any thread may call it; it takes no lock."""
        return {
            **self._counts,
            "disk_is_full": int(self._disk.is_full),
            "disk_free_bytes": self._disk.free,
            "is_failing": int(self._has_failed),
        }

    @property
    def hang(self) -> tuple[float | None, str] | None:
        """Since when (s, monotonic) the thread does not return from the disk, and where it is; None: it does.

        Any thread may read it.
        """
        thread = self._thread
        if thread.ident is None:
            return None
        if not thread.is_alive():
            return None, "its thread has ended"
        call = overdue(thread.ident)
        return (
            None if call is None else (call.since, f"it has not returned from the disk: it is at {where(thread.ident)}")
        )

    @property
    def is_hanging(self) -> bool:
        """Whether the thread does not advance although there is work, such as on a disk that does not answer.

        To be read again and again, by one thread.
        """
        now = time.monotonic()
        if self._thread.ident is None:
            return False
        if not self._outbox.is_work_due:
            self._last_idle = now
        is_left_waiting = now - max(self._last_step, self._last_idle) > self._longest_step
        return is_left_waiting or self.hang is not None

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            goes_on = self._outbox.wait_for_work(_RETRY if self._has_failed or self._disk.is_full else 0.0)
            self._last_step = time.monotonic()
            with Call("the outbox: writing to the disk", self._longest_step):
                goes_on = self._step() or goes_on
        self._store.close()

    def _step(self) -> bool:
        """Write one batch; return whether there must be another one in any case."""
        if self._is_damaged():
            return False
        disk_is_full = self._disk.check(self._store.free_bytes)
        tasks = len(self._tasks)  # those that come from now on may ask for what only the next batch has
        batch = self._outbox.next_batch(disk_is_full=disk_is_full, max_bytes=self._disk.largest_commit)
        try:
            if disk_is_full:  # a log with content could neither be used again, nor grow on a full disk
                self._store.empty_log()
            self._commit(batch)
        except Exception as err:  # noqa: BLE001
            self._on_write_error(batch, err)
            return False
        if self._is_faulty():  # the commit may have gone to a file that is lost: it does not count
            self._outbox.mark_uncommitted(batch, may_be_written=True)
            return True
        self._outbox.mark_committed(batch)
        try:
            self._refill(batch)
            self._run_tasks(tasks)
        except Exception as err:  # noqa: BLE001
            self._log_failure(err)
            return False
        self._log_recovery(batch)
        return batch.has_more

    def _commit(self, batch: WriteBatch) -> None:
        if batch.is_to_write:
            removed = batch.delivered + [e.dead_letter_number for e in batch.inserts if e.dead_letter_number]
            dropped = self._store.commit(
                [Row.of(e.number, e.lane, self._wall(e.since), e.publication) for e in batch.inserts],
                batch.removals,
                [self._dead_letter_row(entry, reason) for entry, reason in batch.dead_letters],
                batch.retained.items(),
                removed,
            )
            self._counts["commits"] += 1
            self._counts["rows_written"] += len(batch.inserts)
            if batch.dead_letters or removed:
                self.dead_letters = self._store.dead_letter_count()
            if dropped:
                self._outbox.count_dead_letters_dropped(dropped)

    def _on_write_error(self, batch: WriteBatch, err: Exception) -> None:
        """Write as much of `batch` as a full disk has room for; log the error."""
        self._counts["write_errors"] += 1
        self._store.empty_log()
        if getattr(err, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            self._write_in_steps(batch)
        self._outbox.mark_uncommitted(batch)
        self._log_failure(err)
        with contextlib.suppress(sqlite3.Error):  # a disk that cannot be written can be read
            self._run_tasks(len(self._tasks))

    def _write_in_steps(self, batch: WriteBatch) -> None:
        """Write as much of `batch` as a full disk has room for: for small steps, SQLite's log needs less room.

        What is removed here is removed again with the next batch, which does no harm. Dead letters are left to that
        batch, and their rows are not removed before: each message must be in one place or the other.
        """
        kept = {entry.number for entry, _ in batch.dead_letters}
        removals = [number for number in batch.removals if number not in kept]
        with contextlib.suppress(sqlite3.Error):  # the caller logs the error of the whole batch
            self._refill(batch)
            for begin in range(0, len(removals), _STEP):
                self._store.commit([], removals[begin : begin + _STEP])
            for begin in range(0, len(batch.inserts), _STEP):
                part = batch._replace(inserts=batch.inserts[begin : begin + _STEP], removals=[], dead_letters=[],
                               delivered=[], retained={}, reads=[])  # fmt: skip
                self._commit(part)
                self._outbox.mark_committed(part)

    def _refill(self, batch: WriteBatch) -> None:
        for lane, after, count in batch.reads:
            rows = self._store.rows(lane, after, count, HEAD_BYTES)
            requested = count if sum(len(row.payload) for row in rows) < HEAD_BYTES else len(rows)
            missing = self._outbox.refill(lane, requested, [self._entry(row) for row in rows])
            if missing:
                self._counts["rows_missing"] += missing
                words = counted(missing, "message is", "messages are")
                LOG.error("%s missing in %s: does another program write to it?", words, self._store.path)

    def _run_tasks(self, count: int) -> None:
        for _ in range(count):
            self._tasks.popleft()(self._store)

    def _restore(self) -> None:
        store = self._store
        self._last_dead_letter = store.last_dead_letter()
        self.dead_letters = store.dead_letter_count()
        latest = [self._entry(row) for row in store.rows(Lane.LATEST)]
        counts = store.counts(OVERHEAD_ON_DISK)
        count = self._outbox.restore(store.last_number(), store.retained(), counts, store.topics(), latest)
        if count:
            words = counted(count, "message of an earlier run is", "messages of an earlier run are")
            LOG.info("%s waiting in %s", words, store.path)

    def _entry(self, row: Row) -> Entry:
        since = min(self._start + row.since - self._wall_start, self._clock())  # the wall clock may have been put back
        lane = Lane(row.lane)
        return Entry(row.publication(), since, row.number, OVERHEAD_ON_DISK, lane, is_for_disk=True, is_committed=True)

    def _dead_letter_row(self, entry: Entry, reason: str) -> DeadLetterRow:
        p = entry.publication
        if not entry.dead_letter_number:  # it is kept, so that a row that may have been written already is overwritten
            self._last_dead_letter += 1
            entry.dead_letter_number = self._last_dead_letter
        since = self._wall(entry.since)
        return DeadLetterRow(
            entry.dead_letter_number, since, p.topic, p.payload, p.qos, p.retain, reason, *p.user_property
        )

    def _wall(self, since: float) -> float:
        return self._wall_start + since - self._start

    # --- failures of the disk

    def _log_failure(self, err: Exception) -> None:
        """Log that the file could not be written or read; the next batch tries again."""
        self._has_failed, self.failure = True, str(err)
        code = getattr(err, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._damage = f"is corrupt ({err})"
            return
        failed = OutboxWriteError(
            f"the outbox cannot be written to {self._store.path} ({err}): new messages are kept in memory only, "
            f"and lost if the gateway is killed: check the disk",
            key=str(err),
        )
        if failed.trigger:
            LOG.error(failed.report, exc_info=None if isinstance(err, sqlite3.Error) else err)

    def _log_recovery(self, batch: WriteBatch) -> None:
        if self._has_failed and (batch.is_to_write or batch.reads):
            self._has_failed, self.failure = False, ""
            LOG.info("the outbox is written to disk again")

    def _is_faulty(self) -> bool:
        """Return whether another program has removed, replaced or truncated the files; record which fault that is."""
        fault = self._store.fault()
        if fault is not None and not self._damage:
            self._fault, self._damage = fault, fault.value
        return fault is not None

    def _is_damaged(self) -> bool:
        """Replace the file if it is corrupt, or another program has taken it away; return whether that has failed.

        The new file gets what can still be read of the old one, and what is in memory is written to it.
        """
        if not self._damage and not self._is_faulty():
            return False
        path = self._store.path
        try:
            self._store, kept, moved = rescue(self._store, self._fault, self._outbox.spilled_ranges())
            self._last_dead_letter = max(self._last_dead_letter, self._store.last_dead_letter())
            lost = self._rebuild(kept)
            self.dead_letters = self._store.dead_letter_count()
        except (StoreError, OSError, sqlite3.Error) as err:
            self._has_failed, self.failure = True, f"it {self._damage}, and a new one cannot be created: {err}"
            failed = OutboxWriteError(
                f"outbox file {path} {self._damage}, and a new one cannot be created: {err}", key="rescue"
            )
            if failed.trigger:
                LOG.error(failed.report)
            return True
        self._counts["files_replaced"] += 1
        self._counts["messages_lost"] += lost
        where, words = f"; moved to {moved}" if moved else "", counted(lost, "message")
        LOG.error("outbox file %s %s%s; created a new one; %s lost", path, self._damage, where, words)
        self._damage, self._fault = "", None
        return False

    def _rebuild(self, kept: Rescue) -> int:
        """Schedule that the new file gets what it does not have; return how many messages are lost."""
        if kept is Rescue.WHOLE:
            return 0
        store = self._store
        return self._outbox.rebuild(store.counts(OVERHEAD_ON_DISK), store.topics(), store.last_number())
