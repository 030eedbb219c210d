"""The order in which publications of one lane wait, in memory and on disk. Pure: no lock, no clock, no file.

    head (in memory, goes next)  ->  gap (only on disk)  ->  tail (in memory, came last)

Where nothing is kept on disk all of it is head. What is in the gap is brought back in time by `refill`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from itertools import repeat

from gateway.core.receipt import Receipt
from gateway.message import Lane, Publication

HEAD = 2000
HEAD_BYTES = 4 * 1024**2
"""Of a lane, as many entries and bytes are kept in memory while the rest is on disk."""


NO_END = 2**63 - 1
"""A number that no entry reaches."""


class Source:
    """One who puts publications, such as an outlet, and what of them was lost since its last flush."""

    __slots__ = ("dropped", "reason")

    def __init__(self) -> None:
        self.dropped = 0
        self.reason = ""
        """Why the last of them was dropped."""

    def note_dropped(self, count: int, reason: str) -> None:
        """Record that `count` publications were lost."""
        self.dropped += count
        self.reason = reason


class Entry:
    """One publication in the outbox.

    `since` when it waits (s, of the outbox's clock), its number, which grows, what it counts as (bytes: all that it
    holds, and an `overhead`), and the lane where it waits, which need not be the one that it asks for.
    """

    __slots__ = (
        "dead_letter", "is_committed", "is_ended", "is_for_disk", "lane", "number", "publication", "receipt", "since",
        "size", "source",
    )  # fmt: skip

    def __init__(
        self,
        publication: Publication,
        since: float,
        number: int = 0,
        overhead: int = 0,
        lane: Lane = Lane.EVENT,
        *,
        is_for_disk: bool = False,
        is_committed: bool = False,
        source: Source | None = None,
    ) -> None:
        self.publication = publication
        self.since = since
        self.number = number
        topic = publication.topic
        bytes_of_topic = len(topic) if topic.isascii() else len(topic.encode("utf-8", "surrogatepass"))
        self.size = bytes_of_topic + len(publication.payload) + len(publication.correlation) + overhead
        self.lane = lane
        self.receipt: Receipt | None = None
        self.is_for_disk = is_for_disk
        self.is_committed = is_committed
        self.source = source  # who put it; None: nobody who waits for it
        self.dead_letter = 0  # its number among what is set aside, once it has one: it keeps that when it is retried
        self.is_ended = False  # delivered or dropped: it need not be written any more


class SpillQueue:
    """A lane in which everything waits in its order."""

    def __init__(self, spills: bool) -> None:
        self._spills = spills
        self.head: deque[Entry] = deque()
        self.tail: deque[Entry] = deque()
        self.gap = self._gap_bytes = 0  # entries, and bytes without those that are dropped
        self.skip = 0  # entries at the begin of the gap that were dropped, and are still on disk
        self.after = 0  # number of the last entry that ever was in head
        self.count = self.bytes = 0  # the gap included
        self._head_bytes = 0
        self._sources: deque[Source | None] = deque()  # of what is in the gap: the file does not know them
        self.lost_sources: list[Source | None] = []
        """Of what was lost with the file, for whoever asks, and clears it."""

    @property
    def is_ready(self) -> bool:
        """Tell whether `take` would find something."""
        return bool(self.head or (self.tail and not self.gap))

    def put(self, entry: Entry) -> None:
        """Append `entry`; it takes nobody's place."""
        self.count += 1
        self.bytes += entry.size
        if self.gap or self.tail or (self._spills and self._is_head_full):
            self.tail.append(entry)
        else:
            self._append(entry)
            self.after = entry.number

    def put_front(self, entry: Entry) -> None:
        """Return `entry` to the front."""
        self.count += 1
        self.bytes += entry.size
        self._head_bytes += entry.size
        self.head.appendleft(entry)

    def take(self, count: int) -> list[Entry]:
        """Take up to `count` of the oldest; fewer if there are no more, or they are not in memory yet."""
        if self.tail and len(self.head) < count:
            self._join()
        if len(self.head) <= count:
            taken = list(self.head)
            self.head.clear()
        else:
            taken = [self.head.popleft() for _ in range(count)]
        self.count -= len(taken)
        size = sum([entry.size for entry in taken])
        self.bytes -= size
        self._head_bytes -= size
        return taken

    def drop_oldest(self) -> Entry | None:
        """Drop the oldest; return it, or None if it is only on disk (or there is none)."""
        entry = next(iter(self.take(1)), None)
        waiting = self.gap - self.skip
        if entry is None and self.tail and not waiting:  # all that lies between on disk was dropped before
            entry = self.tail.popleft()
            self._leave(entry)
        if entry is None and waiting:
            size = max(0, self._gap_bytes // waiting)  # as good as is known
            self.skip += 1
            self.count -= 1
            self.bytes -= size
            self._leave_gap(size)
        return entry

    def discard(self, entry: Entry) -> None:
        """Drop an entry that stands anywhere in memory."""
        if entry.number <= self.after:
            self.head.remove(entry)
            self._head_bytes -= entry.size
        else:
            self.tail.remove(entry)
        self._leave(entry)

    def spill(self) -> Iterator[Entry]:
        """Keep in memory what goes next, and leave the rest that is committed to the disk; yield what is left."""
        if not self.gap and not self._is_head_full:
            self._join(is_short=True)
            if not self.tail:
                return
        tail, self.tail = self.tail, deque()
        for entry in tail:
            if entry.is_committed:
                self.gap += 1
                self._gap_bytes += entry.size
                self._sources.append(entry.source)
                yield entry
            else:
                self.tail.append(entry)

    @property
    def wanted(self) -> int:
        """How many entries of the gap are to be read from the disk."""
        is_low = len(self.head) < HEAD // 2 and self._head_bytes < HEAD_BYTES // 2
        return min(self.gap, HEAD) if self.skip or is_low else 0

    @property
    def gap_span(self) -> tuple[int, int]:
        """Between which numbers what is in the gap lies, both excluded."""
        return self.after, self.tail[0].number if self.tail else NO_END

    def refill(self, asked: int, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Append what was read from the disk, of `asked`; return those of them that had been dropped."""
        for entry in entries:
            entry.source = self._sources.popleft() if self._sources else None
        dropped, brought = entries[: self.skip], entries[self.skip :]
        self.skip -= len(dropped)
        self.gap -= len(dropped)
        for entry in brought:
            self.gap -= 1
            self._leave_gap(entry.size)
            self._append(entry)
        if entries:
            self.after = entries[-1].number
        if len(entries) < asked:  # somebody has removed them from the file
            self.forget_gap()
        self._join()
        return dropped

    def restore(self, count: int, size: int) -> None:
        """Begin with what is on disk: how many, and their bytes."""
        self.gap = self.count = count
        self._gap_bytes = self.bytes = size
        self._sources.extend(repeat(None, count))

    def count_of(self, source: Source) -> int:
        """Return how many of `source` are only on disk."""
        return self._sources.count(source)

    def forget_gap(self, kept: int = 0, size: int = 0) -> int:
        """Give up what is only on disk, but for the first `kept` of it, of `size` bytes; return how many are lost."""
        before, bytes_before = self.gap - self.skip, self._gap_bytes
        self.gap, self.skip = kept, min(self.skip, kept)
        gone = [self._sources.pop() for _ in range(len(self._sources) - kept)]
        self.lost_sources += gone[: before - (self.gap - self.skip)]  # without those that were dropped before
        waiting = self.gap - self.skip
        self._gap_bytes = size * waiting // kept if kept else 0  # as good as is known
        self.count += waiting - before
        self.bytes += self._gap_bytes - bytes_before
        self._join()
        return before - waiting

    @property
    def _is_head_full(self) -> bool:
        return len(self.head) >= HEAD or self._head_bytes >= HEAD_BYTES

    def _append(self, entry: Entry) -> None:
        self.head.append(entry)
        self._head_bytes += entry.size

    def _join(self, *, is_short: bool = False) -> None:
        """Let the tail follow the head, if nothing lies between them on disk; `is_short`: until the head is full."""
        if self.gap:
            return
        while self.tail and not (is_short and self._is_head_full):
            self.after = self.tail[0].number
            self._append(self.tail.popleft())

    def _leave(self, entry: Entry) -> None:
        self.count -= 1
        self.bytes -= entry.size

    def _leave_gap(self, size: int) -> None:
        self._gap_bytes -= size
        if self.gap == self.skip:  # nothing waits there any more: what was guessed wrong is put right
            self.bytes -= self._gap_bytes
            self._gap_bytes = 0


class LatestValueQueue:
    """The lane in which only the newest of each topic waits."""

    def __init__(self) -> None:
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.bytes = 0

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self.entries)

    @property
    def is_ready(self) -> bool:
        """Tell whether `take` would find something."""
        return bool(self.entries)

    def put(self, entry: Entry) -> Entry | None:
        """Put `entry` in the place of the one with its topic, if there is one; return that."""
        replaced = self.entries.get(entry.publication.topic)
        self.entries[entry.publication.topic] = entry
        self.bytes += entry.size - (replaced.size if replaced is not None else 0)
        return replaced

    def put_front(self, entry: Entry) -> bool:
        """Return `entry` to the front; or return False: there is a newer one."""
        topic = entry.publication.topic
        if topic in self.entries:
            return False
        self.put(entry)
        self.entries.move_to_end(topic, last=False)
        return True

    def take(self, count: int) -> list[Entry]:
        """Take up to `count` of the oldest."""
        taken = [self.entries.popitem(last=False)[1] for _ in range(min(count, len(self.entries)))]
        self.bytes -= sum([entry.size for entry in taken])
        return taken

    def drop_oldest(self) -> Entry | None:
        """Drop the oldest; return it, or None if there is none."""
        return next(iter(self.take(1)), None)

    def discard(self, entry: Entry) -> None:
        """Drop an entry."""
        del self.entries[entry.publication.topic]
        self.bytes -= entry.size
