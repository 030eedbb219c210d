"""All that waits for the broker, lane by lane, in memory and on disk. Pure: no lock, no clock, no file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from weakref import WeakValueDictionary

from gateway.core.receipt import Receipt
from gateway.message import Lane
from gateway.outbox.queues import Entry, LatestValueQueue, Source, SpillQueue


class LaneQueues:
    """All waiting entries by lane, and the set of those in flight. The oldest entry of the first lane is sent next.

    On one topic the order is kept whatever the lanes: an entry waits behind those of its topic that are there already,
    if need be in a later lane than its own. With `spills`, committed entries that are not sent soon are only on disk.
    """

    def __init__(self, *, spills: bool) -> None:
        self._queues = {lane: SpillQueue(spills) for lane in (Lane.REPLY, Lane.EVENT, Lane.BULK)}
        self._latest = LatestValueQueue()
        # Indexed by the number of the lane, because an enum is slow as a key of a dictionary.
        self._ordered = (self._queues[Lane.REPLY], self._queues[Lane.EVENT], self._latest, self._queues[Lane.BULK])
        # For each topic, how many entries wait or are in flight, and the lane of the last one.
        self._topics: dict[str, list[int]] = {}
        # Receipts of spilled entries. A weak dictionary is enough: a thread that waits for one has a reference to it.
        self._receipts: WeakValueDictionary[int, Receipt] = WeakValueDictionary()
        self.in_flight: set[Entry] = set()

    def __len__(self) -> int:
        """Return how many wait."""
        return self.load()[0]

    @property
    def bytes(self) -> int:
        """The bytes of what waits, as entries count them."""
        return self.load()[1]

    @property
    def has_ready(self) -> bool:
        """Whether `take` would return an entry."""
        for lane in self._ordered:
            if lane.count:
                return lane.is_ready
        return False

    @property
    def is_empty(self) -> bool:
        """Whether no entry waits and none is in flight. May be read without the lock of the outbox."""
        return not self._topics

    def has_topic(self, topic: str) -> bool:
        """Return whether an entry of `topic` waits or is in flight."""
        return topic in self._topics

    def put(self, entries: Iterable[Entry]) -> list[Entry]:
        """Append `entries`; return the entries that they replace. The caller ends these."""
        ordered = self._ordered
        all_replaced: list[Entry] = []
        for entry in entries:
            self._count_topic(entry)
            replaced = ordered[entry.lane].put(entry)
            if replaced is not None:
                all_replaced.append(replaced)
        return all_replaced

    def _count_topic(self, entry: Entry) -> None:
        """Count one more entry of its topic, and choose the lane in which it waits behind the earlier ones."""
        publication = entry.publication
        lane = publication.lane
        count_and_lane = self._topics.get(publication.topic)
        if count_and_lane is None:
            count_and_lane = self._topics[publication.topic] = [0, lane]
        elif count_and_lane[1] > lane:
            # Behind a state, an event goes to the bulk lane: in the lane of states it could replace the state.
            lane = Lane.BULK if count_and_lane[1] == Lane.LATEST else Lane(count_and_lane[1])
        count_and_lane[0] += 1
        count_and_lane[1] = entry.lane = lane

    def take(self, count: int) -> list[Entry]:
        """Move up to `count` entries to those in flight, and return them; fewer if no more are in memory.

        While entries of a lane are being read from the disk, no later lane is served.
        """
        taken: list[Entry] = []
        for lane in self._ordered:
            if lane.count:
                taken += lane.take(count - len(taken))
                if lane.count:
                    break
        self.in_flight.update(taken)
        return taken

    def track_in_flight(self, entries: Sequence[Entry]) -> None:
        """Record entries that are in flight and never waited."""
        for entry in entries:
            self._count_topic(entry)
        self.in_flight.update(entries)

    def load(self) -> tuple[int, int]:
        """Return how many wait, and their bytes as entries count them."""
        reply, event, latest, bulk = self._ordered
        return (
            reply.count + event.count + len(latest.entries) + bulk.count,
            reply.bytes + event.bytes + latest.bytes + bulk.bytes,
        )

    def spilled(self) -> tuple[int, int]:
        """Return how many of those that wait are only on disk, and their bytes."""
        queues = self._queues.values()
        return (
            sum([queue.spilled - queue.dropped_on_disk for queue in queues]),
            sum([queue.spilled_bytes for queue in queues]),
        )

    def put_front(self, entry: Entry) -> bool:
        """Return an entry in flight to the front of its lane; return False if a newer one has replaced it."""
        self.in_flight.remove(entry)
        if entry.lane is Lane.LATEST:
            return self._latest.put_front(entry)
        self._queues[entry.lane].put_front(entry)
        return True

    def drop_oldest(self) -> tuple[bool, Entry | None]:
        """Drop the oldest entry of the last lane that is not empty.

        Return whether there was one, and the entry itself, which the caller ends; None if it is only on disk.
        """
        for lane in reversed(self._ordered):
            if lane.count:
                return True, lane.drop_oldest()
        return False, None

    def discard(self, entry: Entry) -> None:
        """Remove an entry that waits anywhere in memory. The caller ends it."""
        lane = self._latest if entry.lane is Lane.LATEST else self._queues[entry.lane]
        lane.discard(entry)

    def end(self, entries: Sequence[Entry]) -> None:
        """Record that entries are delivered or dropped: later ones of their topics no longer wait behind them."""
        in_flight, topics = self.in_flight, self._topics
        for entry in entries:
            entry.is_ended = True
            in_flight.discard(entry)
            topic = entry.publication.topic
            count_and_lane = topics[topic]
            count_and_lane[0] -= 1
            if not count_and_lane[0]:
                del topics[topic]

    def in_memory(self) -> Iterator[Entry]:
        """Yield the entries that wait in memory or are in flight."""
        yield from self.in_flight
        yield from self._latest.entries.values()
        for queue in self._queues.values():
            yield from queue.head
            yield from queue.tail

    @property
    def oldest_since(self) -> float | None:
        """Since when (s) the oldest entry in memory has waited; None if there is none.

        A lane that can be long keeps its order, so that only its first entries are looked at.
        """
        firsts = [part[0] for queue in self._queues.values() for part in (queue.head, queue.tail) if part]
        entries = itertools.chain(self.in_flight, self._latest.entries.values(), firsts)
        return min((entry.since for entry in entries), default=None)

    def count_of(self, source: Source) -> int:
        """Return how many entries of `source` wait, in memory or on disk, or are in flight."""
        in_memory = sum(1 for entry in self.in_memory() if entry.source is source)
        return in_memory + sum(queue.count_of(source) for queue in self._queues.values())

    def pop_lost_sources(self) -> list[Source]:
        """Return the source, if known, of each entry that was lost with the file since the last call."""
        lost: list[Source] = []
        for queue in self._queues.values():
            lost += [source for source in queue.lost_sources if source is not None]
            queue.lost_sources.clear()
        return lost

    # --- with a disk

    def restore(
        self,
        counts: Iterable[tuple[Lane, int, int]],
        topics: Iterable[tuple[str, Lane, int]],
        latest: Iterable[Entry],
    ) -> list[Entry]:
        """Start with what is on disk; return the entries that a newer one has replaced. The caller ends these.

        `counts` has the number of entries and their bytes for each lane, `topics` the last lane and the number of
        entries for each topic, and `latest` the entries of the lane `latest`.
        """
        for lane, count, size in counts:
            if lane is not Lane.LATEST:
                self._queues[lane].restore(count, size)
        for topic, lane, count in topics:
            self._topics[topic] = [count, lane]
        return [replaced for replaced in map(self._latest.put, latest) if replaced is not None]

    def spill(self) -> None:
        """Remove from memory the committed entries that are not sent soon: they are read again from the disk."""
        for queue in self._queues.values():
            for entry in queue.spill():
                if entry.receipt is not None:
                    self._receipts[entry.number] = entry.receipt

    def pending_reads(self) -> Iterator[tuple[Lane, int, int]]:
        """Yield what is to be read from the disk: the lane, the number behind which it begins, and how many rows."""
        for lane, queue in self._queues.items():
            if queue.read_count:
                yield lane, queue.after, queue.read_count

    def refill(self, lane: Lane, requested: int, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Add entries that were read from the disk; return those that had been dropped. The caller ends these.

        Fewer entries than `requested` mean that the file has no more: the remaining spilled entries are given up.
        """
        for entry in entries:
            entry.receipt = self._receipts.pop(entry.number, None)
        return self._queues[lane].refill(requested, entries)

    def spilled_ranges(self) -> dict[Lane, tuple[int, int]]:
        """Return, for each lane with spilled entries, between which numbers these lie, both excluded."""
        return {lane: queue.spilled_range for lane, queue in self._queues.items() if queue.spilled}

    def forget_spilled(
        self,
        counts: Iterable[tuple[Lane, int, int]] = (),
        topics: Iterable[tuple[str, Lane, int]] = (),
        last: int = 0,
    ) -> tuple[int, list[Receipt]]:
        """Give up the spilled entries that the file no longer has; return how many are lost, and their receipts.

        What the file still has, by lane and by topic as in `restore`, are the first of the spilled entries; `last` is
        their highest number.
        """
        kept = {lane: (count, size) for lane, count, size in counts}
        lost = sum(queue.forget_spilled(*kept.get(lane, (0, 0))) for lane, queue in self._queues.items())
        receipts = [self._receipts.pop(number) for number in sorted(self._receipts) if number > last]
        all_topics = {topic: [count, lane] for topic, lane, count in topics}
        for entry in self.in_memory():
            count_and_lane = all_topics.setdefault(entry.publication.topic, [0, entry.lane])
            count_and_lane[0] += 1
            count_and_lane[1] = max(count_and_lane[1], entry.lane)
        # Replaced as a whole, because `is_empty` is read without the lock: a table that is filled step by step would
        # look empty for a moment, and a new message would overtake those that wait.
        self._topics = all_topics
        return lost, receipts
