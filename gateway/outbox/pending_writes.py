"""What the disk does not know yet: what is to be committed, and what is to be removed. Pure: no lock, no file.

Times are in s, of the outbox's clock.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gateway.message import Lane
from gateway.outbox.files import MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS
from gateway.outbox.queues import Entry

MAX_ENTRIES = 20_000
MAX_BYTES = 16 * 1024**2
"""What a disk that is slow or full may leave in memory."""

_BATCH = 1000  # of what is to be written: it is not left waiting for more
_REMOVAL_DELAY = 1.0  # s that the disk is left alone when nothing is to be committed


class WriteBatch(NamedTuple):
    """What the writer is to do next: commit, remove, and read (see `LaneQueues.wanted`).

    `delivered` are numbers of dead letters that were retried and taken. `has_more` tells that more is to be committed
    than what is in `inserts`.
    """

    inserts: list[Entry]
    removals: list[int]
    set_aside: list[tuple[Entry, str]]
    delivered: list[int]
    retained: dict[str, bytes]
    reads: list[tuple[Lane, int, int]]
    has_more: bool = False

    @property
    def is_to_write(self) -> bool:
        """Whether anything of it changes the file."""
        return bool(self.inserts or self.removals or self.set_aside or self.delivered or self.retained)


class PendingWrites:
    """What is to be written, in its order. `wake` is called when the writer has to look again at when it is `due`.

    What is to be committed waits for `commit_interval` (s), unless somebody waits for it. The rest waits for
    company: if a crash undoes it, messages arrive twice, which may be.

    A message waits or is set aside, never both and never neither: in the file it changes from one to the other within
    one commit. What is retried stays set aside there until then, under the number that it keeps.
    """

    def __init__(self, commit_interval: float, wake: Callable[[], None]) -> None:
        self._commit_interval = commit_interval
        self._wake = wake
        self.entries: OrderedDict[int, Entry] = OrderedDict()
        self.bytes = 0
        self._removals: list[int] = []
        self._set_aside: list[tuple[Entry, str]] = []
        self._set_aside_bytes = 0
        self._moving: set[int] = set()  # numbers of dead letters of which the file does not know yet what becomes
        self._delivered: list[int] = []  # those of them that are no more
        self._may_be_written: set[int] = set()  # what was written to a file that somebody has taken away meanwhile
        self._retained: dict[str, bytes] = {}
        self._insert_since: float | None = None  # when the first came that is to be committed,
        self._rest_since: float | None = None  # and the first of the rest
        self._is_urgent = False  # somebody waits for a receipt

    @property
    def level(self) -> float:
        """How far behind the disk is: 0 to 1."""
        return max(len(self.entries) / MAX_ENTRIES, self.bytes / MAX_BYTES)

    def has_room(self, entries: Sequence[Entry]) -> bool:
        """Tell whether all of `entries` may wait for the disk, too; a single one always may."""
        count, size = len(self.entries) + len(entries), self.bytes + sum([entry.size for entry in entries])
        return count <= 1 or (count <= MAX_ENTRIES and size <= MAX_BYTES)

    # --- what comes

    def add(self, entry: Entry, now: float) -> None:
        """Have `entry` committed."""
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
        """Have `entry` removed; if it is not on disk yet, it is not written at all.

        One that is retried, and dropped before it was written, stays set aside.
        """
        if entry.dead_letter_number and not entry.is_committed:
            if is_dropped:
                self._moving.discard(entry.dead_letter_number)
            else:
                self._delivered.append(entry.dead_letter_number)
                self._there_is_a_rest(now)
        if not entry.is_committed and self.entries.pop(entry.number, None) is not None:
            self.bytes -= entry.size
        if entry.is_committed or entry.number in self._may_be_written:
            self._removals.append(entry.number)
            self._there_is_a_rest(now)

    def start_retry(self, dead_letter: int) -> None:
        """Record that the dead letter with this number is put among what waits."""
        self._moving.add(dead_letter)

    def is_retry_pending(self, dead_letter: int) -> bool:
        """Return whether the file does not know yet what becomes of the dead letter with this number."""
        return dead_letter in self._moving

    def dead_letter(self, entry: Entry, reason: str, now: float) -> int:
        """Have `entry`, which has ended, kept among what no broker takes; return how many were dropped for it."""
        dropped = 0
        if entry.dead_letter_number:
            self._moving.add(entry.dead_letter_number)
        self._set_aside.append((entry, reason))
        self._set_aside_bytes += entry.size
        while len(self._set_aside) > MAX_DEAD_LETTERS or (
            self._set_aside_bytes > MAX_DEAD_LETTER_BYTES and len(self._set_aside) > 1
        ):
            oldest, _ = self._set_aside.pop(0)
            self._set_aside_bytes -= oldest.size
            is_in_file = oldest.dead_letter_number in self._moving and not oldest.is_committed  # as it was before
            self._moving.discard(oldest.dead_letter_number)
            dropped += not is_in_file
        self._there_is_a_rest(now)
        return dropped

    def retain(self, topic: str, payload: bytes, now: float) -> None:
        """Have it remembered what the broker retains on `topic`."""
        self._retained[topic] = payload
        self._there_is_a_rest(now)

    def _there_is_a_rest(self, now: float) -> None:
        if self._rest_since is None:
            self._rest_since = now
            self._wake()
        elif len(self._removals) == _BATCH:
            self._wake()

    # --- the writer

    def due(self) -> float | None:
        """Return when the writer is to begin; None: nothing is to be done."""
        if (self._is_urgent and self.entries) or len(self._removals) >= _BATCH:
            return -math.inf
        dues = []
        if self._insert_since is not None:
            dues.append(self._insert_since + self._commit_interval)
        if self._rest_since is not None:
            dues.append(self._rest_since + max(_REMOVAL_DELAY, self._commit_interval))
        return min(dues, default=None)

    def next_batch(self, *, is_refusing: bool, at_most: float, wanted: Iterable[tuple[Lane, int, int]]) -> WriteBatch:
        """Return what is to be done, with up to `at_most` bytes to be committed, or a single entry.

        While the disk `is_refusing`, nothing is to be committed.
        """
        inserts = [] if is_refusing else self._first(at_most)
        has_more = not is_refusing and len(inserts) < len(self.entries)
        work = WriteBatch(
            inserts, self._removals, self._set_aside, self._delivered, self._retained, list(wanted), has_more
        )
        self._removals, self._set_aside, self._delivered, self._retained = [], [], [], {}
        self._set_aside_bytes = 0
        self._rest_since = None
        if len(inserts) == len(self.entries):
            self._insert_since, self._is_urgent = None, False
        self._is_urgent = self._is_urgent or has_more
        return work

    def _first(self, at_most: float) -> list[Entry]:
        if self.bytes <= at_most:
            return list(self.entries.values())
        size = 0
        first: list[Entry] = []
        for entry in self.entries.values():
            size += entry.size
            if first and size > at_most:
                break
            first.append(entry)
        return first

    def mark_committed(self, work: WriteBatch, now: float) -> None:
        """Take note that `work` is on disk."""
        self._moving.difference_update(work.delivered, (entry.dead_letter_number for entry, _ in work.set_aside))
        for entry in work.inserts:
            entry.is_committed = True
            if entry.dead_letter_number:
                self._moving.discard(entry.dead_letter_number)
            if self.entries.pop(entry.number, None) is not None:
                self.bytes -= entry.size
            if entry.is_ended:  # settled meanwhile
                self.end(entry, now, is_dropped=False)
            elif entry.receipt is not None:
                entry.receipt.mark_accepted()

        self._may_be_written.difference_update([entry.number for entry in work.inserts] if self._may_be_written else ())

    def mark_uncommitted(self, work: WriteBatch, now: float, *, may_be_written: bool = False) -> None:
        """Record that `work` could not be written, or may be on disk or not (`may_be_written`); it is given again."""
        if may_be_written:
            self._may_be_written.update(entry.number for entry in work.inserts)
            self._removals += [entry.number for entry in work.inserts if entry.is_ended]
        self._removals[:0] = work.removals
        self._delivered[:0] = work.delivered
        self._set_aside[:0] = work.set_aside
        self._set_aside_bytes += sum(entry.size for entry, _ in work.set_aside)
        self._retained = {**work.retained, **self._retained}
        self._insert_since = now  # whatever it was: it is tried again

    def rebuild(self, entries: Iterable[Entry], retained: Mapping[str, bytes], now: float) -> None:
        """Have all of it written again, to an empty file."""
        self.entries.clear()
        for entry in sorted(entries, key=lambda entry: entry.number):
            entry.is_committed = False
            self.entries[entry.number] = entry
        self.bytes = sum(entry.size for entry in self.entries.values())
        self._removals.clear()
        self._may_be_written.clear()
        self._retained = dict(retained)
        self._insert_since = now
