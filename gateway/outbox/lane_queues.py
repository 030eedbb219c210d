"""What waits for the broker, lane by lane, in memory and on disk. Pure: no lock, no clock, no file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from weakref import WeakValueDictionary

from gateway.core.receipt import Receipt
from gateway.message import Lane
from gateway.outbox.queues import Entry, LatestValueQueue, Source, SpillQueue


class LaneQueues:
    """All that waits, and what of it is in flight. What goes next is the oldest of the first lane that has something.

    On one topic the order is kept whatever the lanes: what comes waits behind what is there already, if need be
    in a later lane than its own. With `spills`, what is committed and does not go soon is left to the disk.
    """

    def __init__(self, *, spills: bool) -> None:
        self._queues = {lane: SpillQueue(spills) for lane in (Lane.REPLY, Lane.EVENT, Lane.BULK)}
        self._latest = LatestValueQueue()
        # By lane, which is its number here: an enum is a slow key.
        self._ordered = (self._queues[Lane.REPLY], self._queues[Lane.EVENT], self._latest, self._queues[Lane.BULK])
        # How many of a topic wait or are in flight, and the last lane that they are of.
        self._topics: dict[str, list[int]] = {}
        # Of what is only on disk: whoever waits for one has it, and nobody else needs it.
        self._receipts: WeakValueDictionary[int, Receipt] = WeakValueDictionary()
        self.in_flight: set[Entry] = set()

    def __len__(self) -> int:
        """Return how many wait."""
        return self.load()[0]

    @property
    def bytes(self) -> int:
        """What waits, in bytes as entries count them."""
        return self.load()[1]

    @property
    def has_ready(self) -> bool:
        """Tell whether `take` would find something."""
        for lane in self._ordered:
            if lane.count:
                return lane.is_ready
        return False

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing waits, and nothing is in flight. Also to be asked without the lock of the outbox."""
        return not self._topics

    def has(self, topic: str) -> bool:
        """Tell whether anything of `topic` waits or is in flight."""
        return topic in self._topics

    def put(self, entries: Iterable[Entry]) -> list[Entry]:
        """Append `entries`; return those that they replace, which are to be ended."""
        ordered = self._ordered
        all_replaced: list[Entry] = []
        for entry in entries:
            self._note(entry)
            replaced = ordered[entry.lane].put(entry)
            if replaced is not None:
                all_replaced.append(replaced)
        return all_replaced

    def _note(self, entry: Entry) -> None:
        """Note one more of a topic, and in which lane it is to wait for those before it."""
        publication = entry.publication
        lane = publication.lane
        known = self._topics.get(publication.topic)
        if known is None:
            known = self._topics[publication.topic] = [0, lane]
        elif known[1] > lane:
            lane = Lane.BULK if known[1] == Lane.LATEST else Lane(known[1])  # an event is not to replace a state
        known[0] += 1
        known[1] = entry.lane = lane

    def take(self, count: int) -> list[Entry]:
        """Take up to `count` of what goes next; fewer if there are no more, or they are on their way from the disk."""
        taken: list[Entry] = []
        for lane in self._ordered:
            if lane.count:
                taken += lane.take(count - len(taken))
                if lane.count:
                    break
        self.in_flight.update(taken)
        return taken

    def track_in_flight(self, entries: Sequence[Entry]) -> None:
        """Take note of entries that are in flight, and never waited."""
        for entry in entries:
            self._note(entry)
        self.in_flight.update(entries)

    def load(self) -> tuple[int, int]:
        """Return how many wait, and their bytes as entries count them."""
        reply, event, latest, bulk = self._ordered
        return (
            reply.count + event.count + len(latest.entries) + bulk.count,
            reply.bytes + event.bytes + latest.bytes + bulk.bytes,
        )

    def put_front(self, entry: Entry) -> bool:
        """Return an entry in flight to the front of its lane; False if a newer one has taken its place."""
        self.in_flight.remove(entry)
        if entry.lane is Lane.LATEST:
            return self._latest.put_front(entry)
        self._queues[entry.lane].put_front(entry)
        return True

    def drop_oldest(self) -> tuple[bool, Entry | None]:
        """Drop the oldest of the last lane that has something.

        Return whether there was one, and it, which is to be ended; None if it is only on disk.
        """
        for lane in reversed(self._ordered):
            if lane.count:
                return True, lane.drop_oldest()
        return False, None

    def discard(self, entry: Entry) -> None:
        """Drop an entry that waits anywhere in memory; it is to be ended."""
        lane = self._latest if entry.lane is Lane.LATEST else self._queues[entry.lane]
        lane.discard(entry)

    def end(self, entries: Sequence[Entry]) -> None:
        """Take note that entries are over: nothing of their topics need wait behind them any more."""
        in_flight, topics = self.in_flight, self._topics
        for entry in entries:
            entry.is_ended = True
            in_flight.discard(entry)
            topic = entry.publication.topic
            known = topics[topic]
            known[0] -= 1
            if not known[0]:
                del topics[topic]

    def in_memory(self) -> Iterator[Entry]:
        """Yield what waits in memory or is in flight."""
        yield from self.in_flight
        yield from self._latest.entries.values()
        for queue in self._queues.values():
            yield from queue.head
            yield from queue.tail

    def count_of(self, source: Source) -> int:
        """Return how many of `source` wait, in memory or on disk, or are in flight."""
        in_memory = sum(1 for entry in self.in_memory() if entry.source is source)
        return in_memory + sum(queue.count_of(source) for queue in self._queues.values())

    def lost_sources(self) -> list[Source]:
        """Return, for each entry that was lost with the file since this was asked last, who put it, if known."""
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
        """Begin with what is on disk; return what a newer one has replaced, which is to be ended.

        For each lane entries and bytes, for each topic the last lane and how many, and the lane `latest` as it is.
        """
        for lane, count, size in counts:
            if lane is not Lane.LATEST:
                self._queues[lane].restore(count, size)
        for topic, lane, count in topics:
            self._topics[topic] = [count, lane]
        return [replaced for replaced in map(self._latest.put, latest) if replaced is not None]

    def spill(self) -> None:
        """Leave to the disk what is committed and does not go soon."""
        for queue in self._queues.values():
            for entry in queue.spill():
                if entry.receipt is not None:
                    self._receipts[entry.number] = entry.receipt

    def wanted(self) -> Iterator[tuple[Lane, int, int]]:
        """Yield what is to be read from the disk: the lane, behind which number, and how many."""
        for lane, queue in self._queues.items():
            if queue.wanted:
                yield lane, queue.after, queue.wanted

    def refill(self, lane: Lane, asked: int, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Bring entries back; return those of them that had been dropped, which are to be ended.

        Where there are fewer than were `asked` for, no more are on disk, and the rest is given up.
        """
        for entry in entries:
            entry.receipt = self._receipts.pop(entry.number, None)
        return self._queues[lane].refill(asked, entries)

    def gaps(self) -> dict[Lane, tuple[int, int]]:
        """Return, for each lane that has something only on disk, between which numbers that lies, both excluded."""
        return {lane: queue.gap_span for lane, queue in self._queues.items() if queue.gap}

    def forget_spilled(
        self,
        counts: Iterable[tuple[Lane, int, int]] = (),
        topics: Iterable[tuple[str, Lane, int]] = (),
        last: int = 0,
    ) -> tuple[int, list[Receipt]]:
        """Give up what was only on disk, but for what is still there; return how many are lost, and their receipts.

        What is there, lane by lane and by topic as in `restore`, are the first of what was in the gaps; `last` is
        the highest number of it.
        """
        found = {lane: (count, size) for lane, count, size in counts}
        lost = sum(queue.forget_gap(*found.get(lane, (0, 0))) for lane, queue in self._queues.items())
        receipts = [self._receipts.pop(number) for number in sorted(self._receipts) if number > last]
        known = {topic: [count, lane] for topic, lane, count in topics}
        for entry in self.in_memory():
            of_topic = known.setdefault(entry.publication.topic, [0, entry.lane])
            of_topic[0] += 1
            of_topic[1] = max(of_topic[1], entry.lane)
        self._topics = known  # in one step: see `is_empty`
        return lost, receipts
