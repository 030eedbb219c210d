"""Keeps back what the broker refuses without saying why, and sends it again: by topic, in order, bounded.

Most reason codes say whether the message is to blame. Two do not: "unspecified error" and "implementation specific
error". RabbitMQ answers the latter as long as the node with the queue of a subscriber is down: to every message, or
only to those on the topics of that subscriber. Other brokers answer so to a message that they never accept. Therefore:

- Once a message is refused in this way, those behind it on its topic wait. Other topics go on.
- The first message of each such topic is sent again, ever less often. Once it is accepted, those behind it follow.
- A message is to blame if the broker has accepted another one of its topic meanwhile, or has refused this one for ten
  minutes while it accepted others. Then those behind it are sent, and each that is refused is to blame as well, until
  one is accepted.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter

from gateway.core.backoff import Backoff, no_jitter
from gateway.message import Lane, Publication
from gateway.outbox.outbox import OVERHEAD, Outbox
from gateway.outbox.queues import Entry

MOST_BYTES = 8 * 1024**2
"""What is kept back in memory, at most."""

_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0  # s until the first message of each topic is sent again
_LONGEST = 600.0  # s for which a message is refused, while others are accepted, until it is to blame
_MOST_BLAMED = 1000  # topics that are remembered
_TOO_MANY = "the broker refuses its topic without saying why, and too many messages wait for it"

_number = attrgetter("number")


class _Topic:
    """A topic of which a message was refused: `entries` wait in their order; `is_tried`: the first was sent again."""

    def __init__(self, now: float, accepted: int) -> None:
        self.entries: list[Entry] = []
        self.is_tried = False
        self.has_passed = False  # whether another message of it was accepted meanwhile
        self.since = now  # when its first message was refused, while the broker accepted others
        self.accepted_first = self.accepted = accepted  # by the broker, at its first refusal and at its last one


class Refusals:
    """Keeps back entries of `outbox` that are in flight there. The thread with the send lock calls it, except `topics`.

    `clock` returns the time in s.
    """

    def __init__(self, outbox: Outbox, clock: Callable[[], float]) -> None:
        self.given_up = 0
        """How many messages became dead letters because too many waited."""
        self._outbox = outbox
        self._clock = clock
        self._topics: dict[str, _Topic] = {}  # the one that was tried last is the last
        self._blamed: dict[str, None] = {}  # topics of which each refused message is to blame
        self._accepted = 0  # messages, of any topic
        self._bytes = 0
        self._delays = Backoff(_FIRST_RETRY, _LAST_RETRY, no_jitter)
        self._retry_at = math.inf

    def __len__(self) -> int:
        """Return how many entries are kept back."""
        return sum([len(waiting.entries) for waiting in list(self._topics.values())])

    @property
    def topics(self) -> Collection[str]:
        """The topics that wait until the broker accepts a message on them."""
        return self._topics.keys()

    @property
    def is_active(self) -> bool:
        """Whether `accepted` has to be called."""
        return bool(self._topics or self._blamed)

    @property
    def is_full(self) -> bool:
        """Whether no more can be kept back: the broker accepts nothing, and all has to wait in the outbox."""
        return self._bytes > MOST_BYTES

    @property
    def is_due(self) -> bool:
        """Whether `take_due` may return something."""
        return self._clock() >= self._retry_at

    @property
    def time_left(self) -> float:
        """The seconds until something is due; infinite if nothing is kept back."""
        return max(0.0, self._retry_at - self._clock())

    # --- what the broker answers

    def refused(self, entry: Entry) -> bool:
        """Keep back an entry that the broker has refused; return False, without keeping it, if it is to blame."""
        topic = entry.publication.topic
        if topic in self._blamed:
            return False
        now = self._clock()
        waiting = self._topics.get(topic)
        if waiting is None:
            if not self._topics:
                self._retry_at = now + self._delays.next_delay()
            waiting = self._topics[topic] = _Topic(now, self._accepted)
        if not waiting.is_tried or waiting.entries[0] is not entry:
            self._keep(waiting, entry)
            return True
        waiting.is_tried = False
        if waiting.accepted == self._accepted:  # the broker accepts nothing at all, which proves nothing
            waiting.since = now
        waiting.accepted = self._accepted
        if not waiting.has_passed and now - waiting.since < _LONGEST:
            return True
        if not waiting.has_passed:
            if len(self._blamed) >= _MOST_BLAMED:
                self._blamed.clear()
            self._blamed[topic] = None
        self._end(topic, without=entry)
        return False

    def accepted(self, entry: Entry) -> bool:
        """Record that the broker has accepted an entry; return whether nothing is kept back any more because of it."""
        self._accepted += 1
        topic = entry.publication.topic
        self._blamed.pop(topic, None)
        waiting = self._topics.get(topic)
        if waiting is None:
            return False
        if not waiting.is_tried or waiting.entries[0] is not entry:
            waiting.has_passed = True
            self._drop_outdated(waiting, entry.publication, entry.number)
            return False
        self._end(topic, without=entry)
        if self._topics:  # other topics may be accepted again, too
            self._delays.reset()
            self._retry_at = self._clock()
        return not self._topics

    # --- what is to be sent

    def filter(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return those of `entries` that may be sent, and keep back those that would overtake others of their topic."""
        passing = []
        for entry in entries:
            waiting = self._topics.get(entry.publication.topic)
            if waiting is None:
                passing.append(entry)
            else:
                self._keep(waiting, entry)
        while self.is_full and self._give_up_one():
            pass
        return passing

    def take_due(self, room: int) -> list[Entry]:
        """Return the first entry of up to `room` topics, to be sent now; each stays the first until it is answered."""
        self._retry_at = self._clock() + self._delays.next_delay()
        taken: list[Entry] = []
        for topic, waiting in list(self._topics.items()):
            if len(taken) == room:
                break
            if waiting.is_tried:
                continue
            while waiting.entries and self._outbox.is_expired(waiting.entries[0]):
                expired = waiting.entries.pop(0)
                self._bytes -= _size(expired)
                self._outbox.requeue((expired,))
            if not waiting.entries:
                self._end(topic)
                continue
            self._topics[topic] = self._topics.pop(topic)  # the last: each has its turn
            waiting.is_tried = True
            taken.append(waiting.entries[0])
        return taken

    def release(self) -> list[Entry]:
        """Keep back nothing any more; return the entries that were, but for those that are in flight."""
        released = [entry for waiting in self._topics.values() for entry in waiting.entries[waiting.is_tried :]]
        self._topics.clear()
        self._blamed.clear()
        self._bytes = 0
        self._retry_at = math.inf
        self._delays.reset()
        return released

    def _keep(self, waiting: _Topic, entry: Entry) -> None:
        self._drop_outdated(waiting, entry.publication, entry.number)
        insort(waiting.entries, entry, key=_number)
        self._bytes += _size(entry)

    def _drop_outdated(self, waiting: _Topic, newer: Publication, number: int) -> None:
        """End the states that a newer one replaces, except one that was sent again and is not answered yet."""
        if newer.lane is not Lane.LATEST:
            return
        for entry in waiting.entries[waiting.is_tried :]:
            older = entry.publication
            if older.lane is Lane.LATEST and older.key == newer.key and entry.number < number:
                waiting.entries.remove(entry)
                self._bytes -= _size(entry)
                self._outbox.supersede(entry)

    def _give_up_one(self) -> bool:
        """Make the oldest entry of a topic a dead letter, if others are accepted; return whether there was one."""
        for waiting in self._topics.values():
            if waiting.accepted_first < self._accepted and len(waiting.entries) > waiting.is_tried:
                entry = waiting.entries.pop(int(waiting.is_tried))
                self._bytes -= _size(entry)
                self.given_up += 1
                self._outbox.dead_letter(entry, _TOO_MANY)
                return True
        return False

    def _end(self, topic: str, without: Entry | None = None) -> None:
        """Let a topic wait no more: return its entries to the outbox, all but the one that is done with."""
        entries = self._topics.pop(topic).entries
        self._bytes -= sum(map(_size, entries))
        self._outbox.requeue(entry for entry in entries if entry is not without)
        if not self._topics:
            self._retry_at = math.inf
            self._delays.reset()


def _size(entry: Entry) -> int:
    return entry.size + OVERHEAD
