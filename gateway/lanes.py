"""What waits for the broker, lane by lane, in memory and on disk. Pure: no lock, no clock, no file.

    head (in memory, goes next)  ->  spilled (only on disk)  ->  tail (in memory, came last)

Where nothing is kept on disk all of it is head. What is on disk is brought back in time by `refill`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.message import Lane, Publication
from gateway.receipt import Receipt

HEAD = 2000
"""Entries of a lane that are kept in memory while the rest of them is on disk."""

_GONE = Publication("", b"")


@dataclass(slots=True, eq=False)
class Entry:
    """One publication in the outbox.

    `since` when it waits (s, of the outbox's clock), its number, which grows, what it counts as (bytes), and the
    lane where it waits, which need not be the one that it asks for.
    """

    publication: Publication
    since: float
    number: int = 0
    size: int = 0
    lane: Lane = Lane.EVENT
    receipt: Receipt | None = None
    is_committed: bool = False
    is_ended: bool = False  # delivered or dropped: it need not be written any more


class _Queue:
    """A lane in which everything waits in its order."""

    def __init__(self, spills: bool) -> None:
        self._spills = spills
        self.head: deque[Entry] = deque()
        self.tail: deque[Entry] = deque()
        self.spilled = self.spilled_bytes = 0
        self.skip = 0  # spilled entries that were dropped, and are still on disk
        self.after = 0  # number of the last entry that ever was in head
        self.count = self.bytes = 0  # spilled ones included

    def put(self, entry: Entry) -> None:
        self.count += 1
        self.bytes += entry.size
        if self.spilled or self.tail or (self._spills and len(self.head) >= HEAD):
            self.tail.append(entry)
        else:
            self.head.append(entry)
            self.after = entry.number

    def put_front(self, entry: Entry) -> None:
        self.count += 1
        self.bytes += entry.size
        self.head.appendleft(entry)

    def take(self) -> Entry | None:
        """Take the oldest; None if there is none, or it is not in memory yet."""
        while self.head or self._join():
            entry = self.head.popleft()
            if not entry.is_ended:
                self._leave(entry)
                return entry
        return None

    def drop_oldest(self) -> Entry | None:
        """Drop the oldest; return it, or None if it is only on disk (or there is none)."""
        entry = self.take()
        if entry is None and self.spilled:
            size = self.spilled_bytes // self.spilled  # as good as is known
            self._unspill(size)
            self.skip += 1
            self.count -= 1
            self.bytes -= size
        return entry

    def discard(self, entry: Entry) -> None:
        """Drop an entry that stands anywhere in memory."""
        entry.is_ended = True
        self._leave(entry)
        while self.tail and self.tail[0].is_ended:
            self.tail.popleft()

    def spill(self) -> None:
        """Keep in memory what goes next, and leave the rest that is committed to the disk."""
        if not self.spilled and len(self.head) < HEAD:
            self._join()
            return
        kept: deque[Entry] = deque()
        for entry in self.tail:
            if entry.is_committed and not entry.is_ended:
                self.spilled += 1
                self.spilled_bytes += entry.size
            elif not entry.is_ended:
                kept.append(entry)
        self.tail = kept

    @property
    def wanted(self) -> int:
        """How many entries are to be brought back from the disk."""
        return min(self.spilled, HEAD) if self.spilled and len(self.head) < HEAD // 2 else 0

    def refill(self, entries: Iterable[Entry]) -> None:
        """Append what was brought back."""
        for entry in entries:
            self._unspill(entry.size)
            self.head.append(entry)
            self.after = entry.number
        if not self.spilled:
            self._join()

    def forget_spilled(self) -> None:
        """Give up what is only on disk."""
        self.count -= self.spilled
        self.bytes -= self.spilled_bytes
        self.spilled = self.spilled_bytes = self.skip = 0
        self._join()

    def _join(self) -> bool:
        """Let the tail follow the head, if nothing lies between them on disk; tell whether there is a head now."""
        if self.tail and not self.spilled:
            self.after = self.tail[-1].number
            self.head.extend(self.tail)
            self.tail.clear()
        return bool(self.head)

    def _leave(self, entry: Entry) -> None:
        self.count -= 1
        self.bytes -= entry.size

    def _unspill(self, size: int) -> None:
        self.spilled -= 1
        rest = self.spilled_bytes - size
        self.spilled_bytes = rest if self.spilled else 0
        self.bytes -= 0 if self.spilled else rest  # what was guessed wrong


class _Latest:
    """The lane in which only the newest of each topic waits."""

    def __init__(self) -> None:
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.bytes = 0

    @property
    def count(self) -> int:
        return len(self.entries)

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

    def take(self) -> Entry | None:
        if not self.entries:
            return None
        _, entry = self.entries.popitem(last=False)
        self.bytes -= entry.size
        return entry

    def discard(self, entry: Entry) -> None:
        if self.entries.get(entry.publication.topic) is entry:
            del self.entries[entry.publication.topic]
            self.bytes -= entry.size


class Lanes:
    """All that waits. What goes next is the oldest of the first lane that has something.

    On one topic the order is kept whatever the lanes: what comes waits behind what waits there already, if need be
    in a later lane than its own. With `spills`, what is committed and does not go soon is left to the disk.
    """

    def __init__(self, *, spills: bool) -> None:
        self.queues = {lane: _Queue(spills) for lane in (Lane.REPLY, Lane.EVENT, Lane.BULK)}
        self.latest = _Latest()
        self._ordered = (self.queues[Lane.REPLY], self.queues[Lane.EVENT], self.latest, self.queues[Lane.BULK])
        self._topics: dict[str, list[int]] = {}  # how many wait of a topic, and the last lane that they wait in

    def __len__(self) -> int:
        return sum(lane.count for lane in self._ordered)

    @property
    def bytes(self) -> int:
        """What waits, in bytes as entries count them."""
        return sum(lane.bytes for lane in self._ordered)

    @property
    def has_ready(self) -> bool:
        """Tell whether `take` would find something."""
        return bool(self.latest.entries) or any(q.head or (q.tail and not q.spilled) for q in self.queues.values())

    def waits(self, topic: str) -> bool:
        """Tell whether anything waits for `topic`."""
        return topic in self._topics

    def put(self, entry: Entry) -> Entry | None:
        """Append `entry`; return the one that it replaces."""
        topic = entry.publication.topic
        lane = entry.publication.lane
        known = self._topics.get(topic)
        if known is None:
            known = self._topics[topic] = [0, lane]
        elif known[1] > lane:
            lane = Lane.BULK if known[1] == Lane.LATEST else Lane(known[1])  # an event is not to replace a state
        known[0] += 1
        known[1] = entry.lane = lane
        if lane is not Lane.LATEST:
            self.queues[lane].put(entry)
            return None
        replaced = self.latest.put(entry)
        if replaced is not None:
            known[0] -= 1
        return replaced

    def put_front(self, entry: Entry) -> bool:
        """Return an entry that was taken to the front of its lane; False if a newer one has taken its place."""
        if entry.lane is Lane.LATEST:
            if not self.latest.put_front(entry):
                return False
        else:
            self.queues[entry.lane].put_front(entry)
        known = self._topics.setdefault(entry.publication.topic, [0, entry.lane])
        known[0] += 1
        known[1] = max(known[1], entry.lane)
        return True

    def take(self) -> Entry | None:
        """Take what goes next; None if nothing waits, or what goes next is still on its way from the disk."""
        for lane in self._ordered:
            if lane.count:
                entry = lane.take()
                if entry is not None:
                    self._forget(entry.publication.topic)
                return entry
        return None

    def drop_oldest(self) -> tuple[bool, Entry | None]:
        """Drop the oldest of the last lane that has something; return whether there was one, and it, if in memory."""
        for lane in reversed(self._ordered):
            if lane.count:
                entry = lane.take() if isinstance(lane, _Latest) else lane.drop_oldest()
                if entry is not None:
                    self._forget(entry.publication.topic)
                return True, entry
        return False, None

    def discard(self, entry: Entry) -> None:
        """Drop an entry that waits anywhere in memory."""
        lane = self.latest if entry.lane is Lane.LATEST else self.queues[entry.lane]
        lane.discard(entry)
        self._forget(entry.publication.topic)
        entry.publication = _GONE  # where it stands in its queue it may stand for a while

    # --- with a disk

    def restore(self, counts: Iterable[tuple[Lane, int, int]], topics: Iterable[tuple[str, Lane, int]]) -> None:
        """Begin with what is on disk: for each lane entries and bytes, for each topic its last lane and entries."""
        for lane, count, size in counts:
            queue = self.queues[lane]
            queue.spilled, queue.spilled_bytes = count, size
            queue.count, queue.bytes = count, size
        for topic, lane, count in topics:
            self._topics[topic] = [count, lane]

    def spill(self) -> None:
        """Leave to the disk what is committed and does not go soon."""
        for queue in self.queues.values():
            queue.spill()

    def wanted(self) -> Iterator[tuple[Lane, int, int, int]]:
        """Yield what is to be brought back: the lane, behind which number, how many to skip, how many to bring."""
        for lane, queue in self.queues.items():
            if queue.skip or queue.wanted:
                yield lane, queue.after, queue.skip, queue.wanted

    def refill(self, lane: Lane, skipped: Iterable[tuple[int, str]], entries: Iterable[Entry]) -> None:
        """Bring entries back, behind `skipped` ones (number and topic) that had been dropped."""
        queue = self.queues[lane]
        for number, topic in skipped:
            queue.after = number
            queue.skip -= 1
            self._forget(topic)
        queue.refill(entries)

    def forget_spilled(self) -> int:
        """Give up what is only on disk, since that is gone; return how many entries that were."""
        lost = sum(queue.spilled for queue in self.queues.values())
        for queue in self.queues.values():
            queue.forget_spilled()
        self._topics.clear()
        for entry in self.in_memory():
            known = self._topics.setdefault(entry.publication.topic, [0, entry.lane])
            known[0] += 1
            known[1] = max(known[1], entry.lane)
        return lost

    def in_memory(self) -> Iterator[Entry]:
        """Yield what waits in memory, lane by lane."""
        yield from self.latest.entries.values()
        for queue in self.queues.values():
            yield from (entry for entry in (*queue.head, *queue.tail) if not entry.is_ended)

    def _forget(self, topic: str) -> None:
        known = self._topics.get(topic)
        if known is not None:
            known[0] -= 1
            if known[0] <= 0:
                del self._topics[topic]
