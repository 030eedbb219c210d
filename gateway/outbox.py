"""The outbox: publications accepted and not yet acknowledged, in order, bounded.

Any thread puts; the main thread takes, and settles what the broker has taken. Kept in memory: what waits
here is lost when the process ends. A store on disk will stand behind the same methods.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Condition, Lock
from typing import Literal

from gateway.message import Publication
from gateway.throttled_exception import ThrottledException

LOG = logging.getLogger(__name__)

_OVERHEAD = 300  # bytes that a waiting publication costs beyond topic and payload, measured with tracemalloc
_HIGH_WATER = 0.8  # of the limit: time to say so
_LOW_WATER = 0.5  # of the limit: well again

_CROWDED = 0.5  # of the limit, while the broker takes messages: time to slow their makers down
_STALLED = 0.5  # s without a message taken: the broker is not taking them, and the limits decide


class OutboxFull(ThrottledException):
    """A publication was dropped because the outbox is at its limit."""


class SetAside(ThrottledException):
    """A publication was given up because no broker will take it."""


class CommandExpired(ThrottledException):
    """A command waited longer than it is worth anything and was dropped."""


@dataclass(slots=True, eq=False)
class Entry:
    """One publication in the outbox, and since when it waits (s, of the outbox's clock)."""

    publication: Publication
    since: float


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """What has become of the publications so far; `waiting` and `in_flight` are of this moment."""

    accepted: int = 0
    delivered: int = 0
    dropped_old: int = 0
    refused_new: int = 0
    expired: int = 0
    set_aside: int = 0
    waiting: int = 0
    in_flight: int = 0

    def __str__(self) -> str:
        words = [f"{self.delivered} delivered"]
        words += [f"{number} {what}" for what, number in (
            ("dropped as the oldest", self.dropped_old),
            ("refused as the newest", self.refused_new),
            ("commands expired", self.expired),
            ("set aside", self.set_aside),
            ("not delivered", self.waiting + self.in_flight),
        ) if number]  # fmt: skip
        return ", ".join(words)

    @property
    def dropped(self) -> int:
        """All that was not delivered and never will be."""
        return self.dropped_old + self.refused_new + self.expired + self.set_aside


class Outbox:
    """A bounded queue of publications.

    At the limit (`max_messages`, or `max_bytes` of memory) `discard` decides: `old` drops the oldest that
    waits, `new` refuses the one that comes. Both are counted and said. A command that waited longer than
    `command_lifetime` (s; 0: for ever) is dropped when its turn comes: a light is not switched on an hour
    late. `on_put` is called after each put, from the thread that put.
    """

    def __init__(
        self,
        max_messages: int = 100_000,
        max_bytes: int = 32 * 1024**2,
        discard: Literal["old", "new"] = "old",
        command_lifetime: float = 0.0,
        on_put: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._discard = discard
        self._command_lifetime = command_lifetime
        self._on_put = on_put
        self._clock = clock
        self._lock = Lock()
        self._room = Condition(self._lock)
        self._last_taken = -math.inf
        self._waiting: deque[Entry] = deque()
        self._bytes = 0
        self._in_flight = 0
        self._accepted = self._delivered = self._dropped_old = self._refused_new = self._expired = self._set_aside = 0
        self._is_high = False

    def put(self, publication: Publication) -> bool:
        """Accept `publication`; return False if it was refused because the outbox is full."""
        size = _size(publication)
        dropped = 0
        with self._lock:
            too_large = size > self._max_bytes  # dropping others would not make it fit
            while self._waiting and not self._fits(size) and self._discard == "old" and not too_large:
                self._bytes -= _size(self._waiting.popleft().publication)
                dropped += 1
            accepted = self._fits(size)
            if accepted:
                self._waiting.append(Entry(publication, self._clock()))
                self._bytes += size
                self._accepted += 1
            else:
                self._refused_new += 1
            self._dropped_old += dropped
        if dropped or not accepted:
            self._say_full()
        self._look_at_level()
        self._on_put()
        return accepted

    def take(self, count: int) -> list[Entry]:
        """Take up to `count` publications, oldest first; they are in flight until settled or put back."""
        taken: list[Entry] = []
        expired = 0
        with self._lock:
            oldest = self._clock() - self._command_lifetime
            while self._waiting and len(taken) < count:
                entry = self._waiting.popleft()
                self._bytes -= _size(entry.publication)
                if entry.publication.is_command and self._command_lifetime and entry.since < oldest:
                    expired += 1
                    continue
                taken.append(entry)
            self._in_flight += len(taken)
            self._expired += expired
            if taken:
                self._last_taken = self._clock()
            if self._level() < _CROWDED:
                self._room.notify_all()
        if expired:
            err = CommandExpired(
                f"{expired} commands were dropped: no broker took them for {self._command_lifetime:g} s"
            )
            if err.trigger:
                LOG.warning(err.report)
        self._look_at_level()
        return taken

    def wait_for_room(self, longest: float = 0.2) -> None:
        """Hold the calling producer back, up to `longest` seconds, while more comes than the broker takes.

        A fast device is slowed down rather than its messages dropped. While the broker takes nothing there
        is no waiting: then the limits of the outbox decide.
        """
        if self._level() < _CROWDED:
            return
        with self._room:
            end = self._clock() + longest
            while self._level() >= _CROWDED:
                now = self._clock()
                if now >= end or now - self._last_taken > _STALLED:
                    return
                self._room.wait(min(end - now, _STALLED))

    def settle(self, entries: Iterable[Entry]) -> None:
        """Count entries in flight as delivered: the broker has them."""
        with self._lock:
            count = len(list(entries))
            self._in_flight -= count
            self._delivered += count

    def set_aside(self, entry: Entry, reason: str) -> None:
        """Give up an entry in flight that no broker will take, and say why."""
        publication = entry.publication
        with self._lock:
            self._in_flight -= 1
            self._set_aside += 1
        err = SetAside(
            f"set aside: {len(publication.payload)} bytes to {publication.topic!a}: {reason}", key=publication.topic
        )
        if err.trigger:
            LOG.error(err.report)

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Return entries in flight that were never sent to the head, in their order.

        What no longer fits, because others have come meanwhile, is dropped as the oldest, and counted.
        """
        dropped = 0
        with self._lock:
            for entry in reversed(list(entries)):
                size = _size(entry.publication)
                self._in_flight -= 1
                if not dropped and self._fits(size):
                    self._waiting.appendleft(entry)
                    self._bytes += size
                else:
                    dropped += 1
            self._dropped_old += dropped
        if dropped:
            self._say_full()
        self._look_at_level()

    def __len__(self) -> int:
        """Return how many publications are not yet with the broker: waiting and in flight."""
        return len(self._waiting) + self._in_flight

    @property
    def has_waiting(self) -> bool:
        """Tell whether `take` would find anything."""
        return bool(self._waiting)

    def counts(self) -> OutboxCounts:
        """Return the counts of this moment."""
        with self._lock:
            return OutboxCounts(
                self._accepted,
                self._delivered,
                self._dropped_old,
                self._refused_new,
                self._expired,
                self._set_aside,
                len(self._waiting),
                self._in_flight,
            )

    def _level(self) -> float:
        """Return how full it is: 0 to 1."""
        return max(len(self._waiting) / self._max_messages, self._bytes / self._max_bytes)

    def _fits(self, size: int) -> bool:
        return len(self._waiting) < self._max_messages and self._bytes + size <= self._max_bytes

    def _say_full(self) -> None:
        which = "the oldest messages are dropped" if self._discard == "old" else "new messages are refused"
        err = OutboxFull(f"outbox full: {which} until the broker takes them faster")
        if err.trigger:
            counts = self.counts()
            LOG.error("%s (%d waiting, %d dropped so far)", err.report, counts.waiting, counts.dropped)

    def _look_at_level(self) -> None:
        """Say when the outbox is filling up, and when it is well again."""
        level = self._level()
        if not self._is_high and level >= _HIGH_WATER:
            self._is_high = True
            LOG.warning("outbox %d %% full (%d messages waiting)", level * 100, len(self._waiting))
        elif self._is_high and level <= _LOW_WATER:
            self._is_high = False
            LOG.info("outbox back to %d %% (%d messages waiting)", level * 100, len(self._waiting))


def _size(publication: Publication) -> int:
    return len(publication.topic) + len(publication.payload) + _OVERHEAD
