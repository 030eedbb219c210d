"""What the disk does not have yet: rows to commit, rows to remove, dead letters. Pure: no lock, no file.

Times are in s, of the outbox's clock.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gateway.message import Lane
from gateway.outbox.options import MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS
from gateway.outbox.queues import Entry

MAX_ENTRIES = 20_000
MAX_BYTES = 16 * 1024**2
"""How many entries and bytes may wait in memory for a disk that is slow or full."""

_BATCH = 1000  # entries or removals: so many are written without waiting for more
_REMOVAL_DELAY = 1.0  # s for which removals wait for more, if there is nothing to commit


class WriteBatch(NamedTuple):
    """What the writer does next: rows to insert and to remove, dead letters, and what to read.

    `delivered` are numbers of dead letters that were retried and delivered. `reads` are those of `LaneQueues`.
    `has_more` says that more entries are to be committed than those in `inserts`.
    """

    inserts: list[Entry]
    removals: list[int]
    dead_letters: list[tuple[Entry, str]]
    delivered: list[int]
    retained: dict[str, bytes]
    reads: list[tuple[Lane, int, int]]
    has_more: bool = False

    @property
    def is_to_write(self) -> bool:
        """Whether the batch changes the file."""
        return bool(self.inserts or self.removals or self.dead_letters or self.delivered or self.retained)


class PendingWrites:
    """What is to be written, in its order. `wake` is called when `due` has become earlier.

    Entries are committed within `commit_interval` (s), or immediately if a thread waits for the receipt of one. All
    other changes wait for more to come: if a crash undoes them, messages arrive twice, which is allowed.

    A message waits or is a dead letter, never both and never neither: in the file, it changes from one to the other
    within one commit. A dead letter that is retried keeps its row and its number in the file until that commit.
    """

    def __init__(self, commit_interval: float, wake: Callable[[], None]) -> None:
        self._commit_interval = commit_interval
        self._wake = wake
        self.entries: OrderedDict[int, Entry] = OrderedDict()
        """The entries to commit, by number."""
        self.bytes = 0
        """Bytes of the entries to commit."""
        self._removals: list[int] = []
        self._dead_letters: list[tuple[Entry, str]] = []
        self._dead_letter_bytes = 0
        self._retries: set[int] = set()  # numbers of dead letters whose rows in the file are out of date
        self._delivered: list[int] = []  # numbers of dead letters that were retried and delivered
        self._may_be_written: set[int] = set()  # numbers of entries written to a file that was then taken away
        self._retained: dict[str, bytes] = {}
        self._insert_since: float | None = None  # when the first entry to commit was added
        self._change_since: float | None = None  # when the first of all other changes was made
        self._is_urgent = False  # a thread waits for a receipt, or a whole batch is ready

    @property
    def level(self) -> float:
        """How far the disk is behind: 0 to 1."""
        return max(len(self.entries) / MAX_ENTRIES, self.bytes / MAX_BYTES)

    def has_room(self, entries: Sequence[Entry]) -> bool:
        """Return whether all of `entries` may wait for the disk, too. A single entry alone always may."""
        count, size = len(self.entries) + len(entries), self.bytes + sum([entry.size for entry in entries])
        return count <= 1 or (count <= MAX_ENTRIES and size <= MAX_BYTES)

    # --- changes

    def add(self, entry: Entry, now: float) -> None:
        """Schedule that `entry` is committed."""
        self.entries[entry.number] = entry
        self.bytes += entry.size
        is_urgent = entry.receipt is not None or len(self.entries) == _BATCH
        is_first = self._insert_since is None
        if is_first:
            self._insert_since = now
        if is_first or (is_urgent and not self._is_urgent):
            self._is_urgent = self._is_urgent or is_urgent
            self._wake()

    def end(self, entry: Entry, now: float, *, is_dropped: bool) -> None:
        """Schedule that `entry` is removed; if it is not on disk yet, it is not written at all.

        A retried dead letter that is dropped before it was committed stays a dead letter.
        """
        if entry.dead_letter_number and not entry.is_committed:
            if is_dropped:
                self._retries.discard(entry.dead_letter_number)
            else:
                self._delivered.append(entry.dead_letter_number)
                self._schedule_change(now)
        if not entry.is_committed and self.entries.pop(entry.number, None) is not None:
            self.bytes -= entry.size
        if entry.is_committed or entry.number in self._may_be_written:
            self._removals.append(entry.number)
            self._schedule_change(now)

    def start_retry(self, dead_letter: int) -> None:
        """Record that the dead letter with this number waits to be sent again."""
        self._retries.add(dead_letter)

    def is_retry_pending(self, dead_letter: int) -> bool:
        """Return whether the dead letter with this number is being retried, and its row in the file is out of date."""
        return dead_letter in self._retries

    def dead_letter(self, entry: Entry, reason: str, now: float) -> int:
        """Schedule that `entry`, which has ended, becomes a dead letter; return how many older ones were dropped."""
        dropped = 0
        if entry.dead_letter_number:
            self._retries.add(entry.dead_letter_number)
        self._dead_letters.append((entry, reason))
        self._dead_letter_bytes += entry.size
        while len(self._dead_letters) > MAX_DEAD_LETTERS or (
            self._dead_letter_bytes > MAX_DEAD_LETTER_BYTES and len(self._dead_letters) > 1
        ):
            oldest, _ = self._dead_letters.pop(0)
            self._dead_letter_bytes -= oldest.size
            # One that was retried and never committed still has its row in the file: nothing of it is lost.
            is_in_file = oldest.dead_letter_number in self._retries and not oldest.is_committed
            self._retries.discard(oldest.dead_letter_number)
            dropped += not is_in_file
        self._schedule_change(now)
        return dropped

    def retain(self, topic: str, payload: bytes, now: float) -> None:
        """Schedule that `payload` is stored as what the broker retains on `topic`."""
        self._retained[topic] = payload
        self._schedule_change(now)

    def _schedule_change(self, now: float) -> None:
        if self._change_since is None:
            self._change_since = now
            self._wake()
        elif len(self._removals) == _BATCH:
            self._wake()

    # --- the writer

    def due(self) -> float | None:
        """Return the time at which the writer is to begin; None: there is nothing to write."""
        if (self._is_urgent and self.entries) or len(self._removals) >= _BATCH:
            return -math.inf
        times = []
        if self._insert_since is not None:
            times.append(self._insert_since + self._commit_interval)
        if self._change_since is not None:
            times.append(self._change_since + max(_REMOVAL_DELAY, self._commit_interval))
        return min(times, default=None)

    def next_batch(self, *, is_refusing: bool, max_bytes: float, reads: Iterable[tuple[Lane, int, int]]) -> WriteBatch:
        """Return the next batch, with up to `max_bytes` of entries to commit, but at least one entry.

        While the disk `is_refusing`, no entry is to be committed.
        """
        inserts = [] if is_refusing else self._first(max_bytes)
        has_more = not is_refusing and len(inserts) < len(self.entries)
        batch = WriteBatch(
            inserts, self._removals, self._dead_letters, self._delivered, self._retained, list(reads), has_more
        )
        self._removals, self._dead_letters, self._delivered, self._retained = [], [], [], {}
        self._dead_letter_bytes = 0
        self._change_since = None
        if len(inserts) == len(self.entries):
            self._insert_since, self._is_urgent = None, False
        self._is_urgent = self._is_urgent or has_more
        return batch

    def _first(self, max_bytes: float) -> list[Entry]:
        if self.bytes <= max_bytes:
            return list(self.entries.values())
        size = 0
        first: list[Entry] = []
        for entry in self.entries.values():
            size += entry.size
            if first and size > max_bytes:
                break
            first.append(entry)
        return first

    def mark_committed(self, batch: WriteBatch, now: float) -> None:
        """Record that `batch` is on disk."""
        self._retries.difference_update(batch.delivered, (entry.dead_letter_number for entry, _ in batch.dead_letters))
        for entry in batch.inserts:
            entry.is_committed = True
            if entry.dead_letter_number:
                self._retries.discard(entry.dead_letter_number)
            if self.entries.pop(entry.number, None) is not None:
                self.bytes -= entry.size
            if entry.is_ended:  # it was settled during the commit, so its row is to be removed again
                self.end(entry, now, is_dropped=False)
            elif entry.receipt is not None:
                entry.receipt.mark_accepted()
        if self._may_be_written:
            self._may_be_written.difference_update(entry.number for entry in batch.inserts)

    def mark_uncommitted(self, batch: WriteBatch, now: float, *, may_be_written: bool = False) -> None:
        """Record that `batch` is not on disk, or `may_be_written`; the next batch has its content again."""
        if may_be_written:
            self._may_be_written.update(entry.number for entry in batch.inserts)
            self._removals += [entry.number for entry in batch.inserts if entry.is_ended]
        self._removals[:0] = batch.removals
        self._delivered[:0] = batch.delivered
        self._dead_letters[:0] = batch.dead_letters
        self._dead_letter_bytes += sum(entry.size for entry, _ in batch.dead_letters)
        self._retained = {**batch.retained, **self._retained}
        self._insert_since = now  # whatever the batch held, it is tried again

    def rebuild(self, entries: Iterable[Entry], retained: Mapping[str, bytes], now: float) -> None:
        """Schedule that `entries` and `retained` are written to an empty file."""
        self.entries.clear()
        for entry in sorted(entries, key=lambda entry: entry.number):
            entry.is_committed = False
            self.entries[entry.number] = entry
        self.bytes = sum(entry.size for entry in self.entries.values())
        self._removals.clear()
        self._may_be_written.clear()
        self._retained = dict(retained)
        self._insert_since = now
