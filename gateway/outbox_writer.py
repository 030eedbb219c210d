"""Keeps the outbox on disk: commits what is put, removes what is settled, brings back what was left to the disk.

A thread of its own, so that nobody else waits for the disk. What comes while one commit is under way is the next.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable

from gateway.lanes import Entry
from gateway.message import Lane
from gateway.outbox import Outbox, Work
from gateway.outbox_store import OutboxStore, Row, SetAsideRow, StoreError, set_file_aside
from gateway.throttled_exception import ThrottledException

LOG = logging.getLogger(__name__)

_RETRY = 1.0  # s after a disk that took nothing
_RESERVE = 4 * 1024**2  # bytes of the disk that are left free, so that SQLite can still tidy up


class DiskTakesNothing(ThrottledException):
    """The outbox cannot be written to disk."""


class OutboxWriter:
    """The thread that keeps `outbox` in the file `store`; `clock` is the outbox's."""

    def __init__(self, outbox: Outbox, store: OutboxStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._outbox = outbox
        self._store = store
        self._clock = clock
        # Jumps of the wall clock after the start do not count: only what came before is dated by it.
        self._wall_start, self._start = time.time(), clock()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._is_full = self._is_unwell = False
        self._reserve = _reserve(store)
        self._restore()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is left, close the file, and end the thread; return whether that was done within `timeout` s."""
        self._outbox.close()
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self._is_unwell

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            goes_on = self._outbox.next_work(_RETRY if self._is_unwell else 0.0)
            work = self._outbox.work(disk_is_full=self._look_at_disk())
            try:
                self._write(work)
            except sqlite3.Error as err:
                self._outbox.not_committed(work)
                self._fail(err)
            except Exception as err:
                self._outbox.not_committed(work)
                self._is_unwell = True
                failed = DiskTakesNothing(f"the outbox is not written: {err!r}", key=repr(err))
                if failed.trigger:
                    LOG.error(failed.report, exc_info=err)
        self._store.close()

    def _write(self, work: Work) -> None:
        if work.inserts or work.removals or work.set_aside or work.retained:
            self._store.commit(
                [Row.of(e.number, e.lane, self._wall(e.since), e.publication) for e in work.inserts],
                work.removals,
                [self._set_aside(entry, reason) for entry, reason in work.set_aside],
                work.retained.items(),
            )
        self._outbox.committed(work)
        if self._is_unwell:
            self._is_unwell = False
            LOG.info("the outbox is on disk again")
        for lane, after, skip, count in work.wanted:
            rows = self._store.rows(lane, after, skip + count)
            skipped = [(row.number, row.topic) for row in rows[:skip]]
            self._outbox.refill(lane, skipped, map(self._entry, rows[skip:]))

    def _restore(self) -> None:
        store = self._store
        count = self._outbox.restore(
            store.last_number(),
            store.retained(),
            [found for found in store.counts(self._outbox.overhead) if found[0] is not Lane.LATEST],
            [found for found in store.topics() if found[1] is not Lane.LATEST],
            map(self._entry, store.rows(Lane.LATEST)),
        )
        if count:
            LOG.info("%d messages of an earlier run wait in %s", count, store.path)

    def _entry(self, row: Row) -> Entry:
        size = len(row.topic) + len(row.payload) + self._outbox.overhead
        age = max(0.0, self._wall_start - row.since)
        entry = Entry(row.publication(), self._start - age, row.number, size, Lane(row.lane), None)
        entry.is_committed = True
        return entry

    def _set_aside(self, entry: Entry, reason: str) -> SetAsideRow:
        p = entry.publication
        return SetAsideRow(None, self._wall(entry.since), p.topic, p.payload, p.qos, p.retain, reason)

    def _wall(self, since: float) -> float:
        return self._wall_start + since - self._start

    # --- when the disk is not well

    def _look_at_disk(self) -> bool:
        """Tell whether the disk has no room for more, and say when that begins and ends."""
        is_full = _free(self._store) < self._reserve
        if is_full != self._is_full:
            self._is_full = is_full
            if is_full:
                LOG.error("the disk of %s is full: the limits of the outbox count: make room", self._store.path)
            else:
                LOG.info("the disk of %s has room again", self._store.path)
        return is_full

    def _fail(self, err: sqlite3.Error) -> None:
        self._is_unwell = True
        if getattr(err, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._begin_anew(err)
            return
        failed = DiskTakesNothing(
            f"the outbox cannot be written to {self._store.path} ({err}): what comes is kept in memory, "
            f"and lost if the gateway is killed: check the disk",
            key=str(err),
        )
        if failed.trigger:
            LOG.error(failed.report)

    def _begin_anew(self, err: sqlite3.Error) -> None:
        """Set a file aside that was damaged while it was in use, and write what is in memory into a new one."""
        path = self._store.path
        try:
            self._store.close()
            aside = set_file_aside(path, "corrupt")
            self._store = OutboxStore(path)
        except (StoreError, OSError, sqlite3.Error) as again:
            failed = DiskTakesNothing(f"{path} is damaged ({err}), and cannot be begun anew: {again}", key="anew")
            if failed.trigger:
                LOG.error(failed.report)
            return
        lost = self._outbox.begin_anew()
        LOG.error("%s is damaged (%s): it is set aside as %s; %d messages were only there", path, err, aside.name, lost)


def _free(store: OutboxStore) -> int:
    try:
        found = os.statvfs(store.path.parent)
    except OSError:
        return _RESERVE  # the commit will say what is wrong
    return found.f_bavail * found.f_frsize


def _reserve(store: OutboxStore) -> int:
    """Return how many bytes of the disk are to be left free: on a small one, an eighth."""
    try:
        found = os.statvfs(store.path.parent)
    except OSError:
        return 0
    return min(_RESERVE, found.f_blocks * found.f_frsize // 8)
