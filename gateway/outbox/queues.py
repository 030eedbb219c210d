"""The queues in which publications of one lane wait, in memory and on disk. Pure: no lock, no clock, no file.

    head (in memory, sent next)  ->  spilled (only on disk)  ->  tail (in memory, added last)

Without a disk, all entries are in the head. `refill` reads spilled entries back before the head is empty.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from itertools import repeat

from gateway.core.receipt import Receipt
from gateway.message import Lane, Publication

HEAD = 2000
HEAD_BYTES = 4 * 1024**2
"""How many entries and bytes of each lane stay in memory while the remaining ones are on disk."""


NO_END = 2**63 - 1
"""A number that no entry reaches."""


class Source:
    """A producer of publications, such as an outlet, and how many of them were lost since its last flush."""

    __slots__ = ("dropped", "reason")

    def __init__(self) -> None:
        self.dropped = 0
        self.reason = ""
        """Why the last of them was dropped."""

    def record_dropped(self, count: int, reason: str) -> None:
        """Record that `count` publications were lost."""
        self.dropped += count
        self.reason = reason


_NO_EXTRAS = Publication("", b"")[7:]


def _size_of(correlation: bytes, key: bytes, user_property: tuple[str, str]) -> int:
    """Return how many bytes the parts of a publication have that few publications have."""
    return len(correlation) + len(key) + len("".join(user_property).encode())


class Entry:
    """One publication in the outbox.

    `since` is the time (s, of the outbox's clock) at which it was added; `number` grows with each entry; `size` is
    what it counts for (bytes: topic, payload, correlation data, key, user property and `overhead`). `lane` is the lane
    in which it waits, which may be a later one than that of its publication.
    """

    __slots__ = (
        "dead_letter_number", "is_committed", "is_ended", "is_for_disk", "lane", "number", "publication", "receipt",
        "since", "size", "source",
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
        topic_bytes = len(topic) if topic.isascii() else len(topic.encode("utf-8", "surrogatepass"))
        size = topic_bytes + len(publication.payload) + overhead
        extras = publication[7:]
        self.size = size if extras == _NO_EXTRAS else size + _size_of(*extras)
        self.lane = lane
        self.receipt: Receipt | None = None
        self.is_for_disk = is_for_disk
        self.is_committed = is_committed
        self.source = source  # the producer that may flush; None: no producer waits for this entry
        self.dead_letter_number = 0  # its number among the dead letters, once it has one; a retry keeps that number
        self.is_ended = False  # delivered or dropped: it need not be written to disk any more

    @property
    def is_derived(self) -> bool:
        """Whether the publication is made anew after a restart or a refusal: see `Receipt`."""
        return self.receipt is not None and self.receipt.is_derived


class SpillQueue:
    """A first-in, first-out lane. With `spills`, committed entries that are not sent soon are kept only on disk."""

    def __init__(self, spills: bool) -> None:
        self._spills = spills
        self.head: deque[Entry] = deque()
        self.tail: deque[Entry] = deque()
        self.spilled = 0
        """How many entries are only on disk, including those at the front that were dropped since."""
        self.spilled_bytes = 0
        """Bytes of the spilled entries that were not dropped."""
        self.dropped_on_disk = 0
        """How many entries at the front of the spilled ones were dropped while their rows are still in the file."""
        self.after = 0
        """The number of the last entry that was ever in the head: spilled entries have higher numbers."""
        self.count = self.bytes = 0  # of all that waits, including the spilled entries
        self._head_bytes = 0
        self._sources: deque[Source | None] = deque()  # of the spilled entries: the file does not store them
        self.lost_sources: list[Source | None] = []
        """The sources of entries that were lost with the file. The reader of this list clears it."""

    @property
    def is_ready(self) -> bool:
        """Whether `take` would return an entry."""
        return bool(self.head or (self.tail and not self.spilled))

    def put(self, entry: Entry) -> None:
        """Append `entry`. It replaces no other entry."""
        self.count += 1
        self.bytes += entry.size
        if self.spilled or self.tail or (self._spills and self._is_head_full):
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
        """Remove and return up to `count` of the oldest entries; fewer if no more are in memory."""
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
        """Drop the oldest entry and return it, or None if it is only on disk (or if there is none)."""
        entry = next(iter(self.take(1)), None)
        waiting = self.spilled - self.dropped_on_disk
        if entry is None and self.tail and not waiting:  # all spilled entries before it were dropped already
            entry = self.tail.popleft()
            self._subtract(entry)
        if entry is None and waiting:
            # The size of a single spilled entry is known only to the file, so use the mean. Any error is corrected
            # when the last spilled entry is gone (see `_subtract_spilled`).
            size = max(0, self.spilled_bytes // waiting)
            self.dropped_on_disk += 1
            self.count -= 1
            self.bytes -= size
            self._subtract_spilled(size)
        return entry

    def discard(self, entry: Entry) -> None:
        """Remove an entry that waits anywhere in memory."""
        if entry.number <= self.after:
            self.head.remove(entry)
            self._head_bytes -= entry.size
        else:
            self.tail.remove(entry)
        self._subtract(entry)

    def spill(self) -> Iterator[Entry]:
        """Keep the head in memory, remove the committed entries behind it from memory, and yield these."""
        if not self.spilled and not self._is_head_full:
            self._join(until_full=True)
            if not self.tail:
                return
        tail, self.tail = self.tail, deque()
        for entry in tail:
            if entry.is_committed:
                self.spilled += 1
                self.spilled_bytes += entry.size
                self._sources.append(entry.source)
                yield entry
            else:
                self.tail.append(entry)

    @property
    def read_count(self) -> int:
        """How many spilled entries are to be read from the disk now."""
        is_low = len(self.head) < HEAD // 2 and self._head_bytes < HEAD_BYTES // 2
        return min(self.spilled, HEAD) if self.dropped_on_disk or is_low else 0

    @property
    def spilled_range(self) -> tuple[int, int]:
        """The two numbers between which those of the spilled entries lie, both excluded."""
        return self.after, self.tail[0].number if self.tail else NO_END

    def refill(self, requested: int, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Append `entries`, which were read from the disk; return those that had been dropped in the meantime.

        Fewer entries than `requested` mean that the file has no more: the remaining spilled entries are given up.
        """
        for entry in entries:
            entry.source = self._sources.popleft() if self._sources else None
        dropped, restored = entries[: self.dropped_on_disk], entries[self.dropped_on_disk :]
        self.dropped_on_disk -= len(dropped)
        self.spilled -= len(dropped)
        for entry in restored:
            self.spilled -= 1
            self._subtract_spilled(entry.size)
            self._append(entry)
        if entries:
            self.after = entries[-1].number
        if len(entries) < requested:  # another program has removed rows from the file
            self.forget_spilled()
        self._join()
        return dropped

    def restore(self, count: int, size: int) -> None:
        """Start with `count` entries of `size` bytes that are on disk."""
        self.spilled = self.count = count
        self.spilled_bytes = self.bytes = size
        self._sources.extend(repeat(None, count))

    def count_of(self, source: Source) -> int:
        """Return how many entries of `source` are only on disk."""
        return self._sources.count(source)

    def forget_spilled(self, kept: int = 0, size: int = 0) -> int:
        """Give up the spilled entries except the first `kept`, which have `size` bytes; return how many are lost."""
        previous, previous_bytes = self.spilled - self.dropped_on_disk, self.spilled_bytes
        self.spilled, self.dropped_on_disk = kept, min(self.dropped_on_disk, kept)
        removed = [self._sources.pop() for _ in range(len(self._sources) - kept)]
        # Entries that were dropped before are no loss of this moment: their sources were informed then.
        self.lost_sources += removed[: previous - (self.spilled - self.dropped_on_disk)]
        waiting = self.spilled - self.dropped_on_disk
        self.spilled_bytes = size * waiting // kept if kept else 0  # by the mean size, as in `drop_oldest`
        self.count += waiting - previous
        self.bytes += self.spilled_bytes - previous_bytes
        self._join()
        return previous - waiting

    @property
    def _is_head_full(self) -> bool:
        return len(self.head) >= HEAD or self._head_bytes >= HEAD_BYTES

    def _append(self, entry: Entry) -> None:
        self.head.append(entry)
        self._head_bytes += entry.size

    def _join(self, *, until_full: bool = False) -> None:
        """Append the tail to the head if no entry between them is on disk; `until_full`: or until the head is full."""
        if self.spilled:
            return
        while self.tail and not (until_full and self._is_head_full):
            self.after = self.tail[0].number
            self._append(self.tail.popleft())

    def _subtract(self, entry: Entry) -> None:
        self.count -= 1
        self.bytes -= entry.size

    def _subtract_spilled(self, size: int) -> None:
        self.spilled_bytes -= size
        if self.spilled == self.dropped_on_disk:  # no spilled entry waits any more: correct what the mean got wrong
            self.bytes -= self.spilled_bytes
            self.spilled_bytes = 0


class LatestValueQueue:
    """The lane in which only the newest publication of each topic and key waits (conflation).

    A publication that replaces another one takes its place, so that one that changes all the time is sent, too; unless
    another one of its topic waits behind that: then it goes to the end, since the order of a topic is kept.
    """

    def __init__(self) -> None:
        self.entries: OrderedDict[tuple[str, bytes], Entry] = OrderedDict()
        """By topic and key; of one topic in the order of their last change."""
        self.bytes = 0
        self._last_keys: dict[str, bytes] = {}  # by topic, the key of the last of its entries, where that is known

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self.entries)

    @property
    def is_ready(self) -> bool:
        """Whether `take` would return an entry."""
        return bool(self.entries)

    def put(self, entry: Entry) -> Entry | None:
        """Add `entry` instead of the one with its topic and key, if there is one; return the replaced entry."""
        place = topic, key = _place(entry)
        replaced = self.entries.get(place)
        self.entries[place] = entry
        if replaced is not None and self._last_keys.get(topic) != key:
            self.entries.move_to_end(place)
        self._last_keys[topic] = key
        self.bytes += entry.size - (replaced.size if replaced is not None else 0)
        return replaced

    def put_front(self, entry: Entry) -> bool:
        """Return `entry` to the front; return False without doing so if a newer one of its topic and key waits."""
        place = _place(entry)
        if place in self.entries:
            return False
        self.entries[place] = entry
        self.entries.move_to_end(place, last=False)
        self.bytes += entry.size
        return True

    def take(self, count: int) -> list[Entry]:
        """Remove and return up to `count` of the oldest entries."""
        taken = []
        for _ in range(min(count, len(self.entries))):
            place, entry = self.entries.popitem(last=False)
            self._forget_last(place)
            taken.append(entry)
        self.bytes -= sum([entry.size for entry in taken])
        return taken

    def drop_oldest(self) -> Entry | None:
        """Drop the oldest entry and return it, or None if there is none."""
        return next(iter(self.take(1)), None)

    def discard(self, entry: Entry) -> None:
        """Remove an entry."""
        place = _place(entry)
        del self.entries[place]
        self._forget_last(place)
        self.bytes -= entry.size

    def _forget_last(self, place: tuple[str, bytes]) -> None:
        topic, key = place
        if self._last_keys.get(topic) == key:
            del self._last_keys[topic]


def _place(entry: Entry) -> tuple[str, bytes]:
    return entry.publication.topic, entry.publication.key
