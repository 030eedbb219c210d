"""The outbox: publications accepted and not yet acknowledged, in order per topic, bounded.

Any thread puts; the main thread takes, and settles what the broker has taken. With a disk behind it, a writer
(`outbox_writer`) commits what is put, removes what is settled, and brings back what did not fit into memory.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from threading import Condition, Lock
from typing import Literal

from gateway.lanes import Entry, Lanes
from gateway.message import Lane, Publication
from gateway.receipt import DeliveryError, Receipt
from gateway.throttled_exception import ThrottledException

LOG = logging.getLogger(__name__)

OVERHEAD, OVERHEAD_ON_DISK = 500, 100
"""Bytes that a waiting publication costs beyond topic and payload: measured with tracemalloc, and of the file."""

_HIGH_WATER = 0.8  # of the limit: time to say so
_LOW_WATER = 0.5  # of the limit: well again

_CROWDED = 0.5  # of the limit, while the broker takes messages: time to slow their makers down
_STALLED = 0.5  # s without a message taken: the broker is not taking them, and the limits decide
_MAX_UNCOMMITTED = 20_000  # entries, and
_MAX_UNCOMMITTED_BYTES = 16 * 1024**2  # that a disk which is slow or full may leave in memory
_BATCH = 1000  # of what is to be written: it is not left waiting for more
_REMOVAL_DELAY = 1.0  # s that the disk is left alone when there is only something to remove
_MAX_RETAINED = 100_000  # topics whose retained payload is remembered


class OutboxFull(ThrottledException):
    """A publication was dropped because the outbox is at its limit."""


class MessageExpired(ThrottledException):
    """A message waited longer than it is worth anything and was dropped."""


class SetAside(ThrottledException):
    """A publication was given up because no broker will take it."""


@dataclass(slots=True)
class OutboxCounts:
    """What has become of the publications so far; `waiting` and `in_flight` are of this moment.

    `restored` waited on disk when the gateway started; `superseded` ones were states with a newer one behind them.
    """

    accepted: int = 0
    restored: int = 0
    delivered: int = 0
    superseded: int = 0
    dropped_old: int = 0
    refused_new: int = 0
    expired: int = 0
    set_aside: int = 0
    waiting: int = 0
    in_flight: int = 0

    def __str__(self) -> str:
        words = [f"{self.delivered} delivered"]
        words += [f"{number} {what}" for what, number in (
            ("superseded by newer ones", self.superseded),
            ("dropped as the oldest", self.dropped_old),
            ("refused as the newest", self.refused_new),
            ("expired", self.expired),
            ("set aside", self.set_aside),
            ("not delivered", self.waiting + self.in_flight),
        ) if number]  # fmt: skip
        return ", ".join(words)

    @property
    def dropped(self) -> int:
        """All that was not delivered and never will be."""
        return self.dropped_old + self.refused_new + self.expired + self.set_aside


@dataclass(frozen=True, slots=True)
class Work:
    """What the writer is to do next: commit, remove, and bring back (see `Lanes.wanted`)."""

    inserts: list[Entry]
    removals: list[int]
    set_aside: list[tuple[Entry, str]]
    retained: dict[str, bytes]
    wanted: list[tuple[Lane, int, int, int]]


class Outbox:
    """A bounded store of publications.

    At the limits (`max_messages`, or `max_bytes`) `discard` decides: `old` drops the oldest that waits, beginning
    with bulk, and `new` refuses the one that comes. What waited longer than its lifetime is dropped when its turn
    comes: that of its publication, or `command_lifetime` and `status_lifetime` (s; 0: for ever). All of it is
    counted and said. `on_put` is called after each put, from the thread that put.

    With `durable`, what has QoS 1 and is no command is for the disk: a writer asks for `next_work`, and says what it
    has done.
    """

    def __init__(
        self,
        max_messages: int = 1_000_000,
        max_bytes: int = 32 * 1024**2,
        discard: Literal["old", "new"] = "old",
        command_lifetime: float = 0.0,
        status_lifetime: float = 0.0,
        on_put: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        *,
        durable: bool = False,
        commit_interval: float = 0.0,
    ) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._discard = discard
        self._command_lifetime = command_lifetime
        self._status_lifetime = status_lifetime
        self._on_put = on_put
        self._clock = clock
        self._durable = durable
        self.overhead = OVERHEAD_ON_DISK if durable else OVERHEAD
        self._commit_interval = commit_interval
        self._lock = Lock()
        self._changed = Condition(self._lock)  # for producers that are held back, and for `flush`
        self._last_taken = -math.inf
        self._lanes = Lanes(spills=durable)
        self._in_flight = 0
        self._last_number = 0
        self._counts = OutboxCounts()
        self._is_high = False
        self.retained: dict[str, bytes] = {}
        """By topic, the last payload that was sent with retain: to be said again when a broker has lost it."""
        # For the writer
        self._work = Condition(self._lock)
        self._uncommitted: deque[Entry] = deque()
        self._uncommitted_bytes = 0
        self._removals: list[int] = []
        self._to_set_aside: list[tuple[Entry, str]] = []
        self._retained_changes: dict[str, bytes] = {}
        self._insert_since: float | None = None  # when the first came that is to be committed,
        self._removal_since: float | None = None  # and the first of all else that is to be written
        self._is_urgent = False  # somebody waits for a receipt
        self._is_closing = False

    # --- in

    def put(self, publication: Publication, receipt: Receipt | None = None) -> bool:
        """Accept `publication`; return False if it was refused because the outbox is full."""
        size = self._size(publication)
        dropped = 0
        with self._lock:
            too_large = size > self._max_bytes  # dropping others would not make it fit
            while not self._fits(size) and self._discard == "old" and not too_large and self._drop_oldest():
                dropped += 1
            accepted = self._fits(size)
            if accepted:
                self._add(Entry(publication, self._clock(), 0, size, publication.lane, receipt))
                self._counts.accepted += 1
            else:
                self._counts.refused_new += 1
            self._counts.dropped_old += dropped
        if receipt is not None and not accepted:
            receipt.say_dropped("the outbox is full")
        if dropped or not accepted:
            self._say_full()
        self._look_at_level()
        self._on_put()
        return accepted

    def remember(self, topic: str, payload: bytes) -> None:
        """Remember that the broker retains `payload` on `topic`, said by somebody else than the outbox."""
        with self._lock:
            if self.retained.get(topic) != payload:
                self.retained[topic] = payload
                if self._durable:
                    self._retained_changes[topic] = payload
                    self._there_is_to_remove()

    def say_retained_again(self, besides: Collection[str] = ()) -> None:
        """Put what is retained into the outbox again, since the broker may have lost it.

        Not those topics of which a newer value waits, and not `besides`, which somebody else says again.
        """
        with self._lock:
            for topic, payload in self.retained.items():
                if topic not in besides and not self._lanes.waits(topic):
                    again = Publication(topic, payload, qos=1, retain=True, lane=Lane.LATEST)
                    self._add(Entry(again, self._clock(), 0, self._size(again), again.lane, None), persistent=False)
                    self._counts.accepted += 1
        self._on_put()

    def _add(self, entry: Entry, *, persistent: bool = True) -> None:
        self._last_number += 1
        entry.number = self._last_number
        replaced = self._lanes.put(entry)
        if replaced is not None:
            self._counts.superseded += 1
            self._end(replaced, delivered=True)
        if self._durable and persistent and entry.publication.qos > 0 and not entry.publication.is_command:
            self._uncommitted.append(entry)
            self._uncommitted_bytes += entry.size
            is_urgent = entry.receipt is not None or len(self._uncommitted) == _BATCH
            if self._insert_since is None or is_urgent:
                self._insert_since = self._insert_since or self._clock()
                self._is_urgent = self._is_urgent or is_urgent
                self._work.notify()
        elif entry.receipt is not None:
            entry.receipt.say_accepted()

    # --- out

    def take(self, count: int) -> list[Entry]:
        """Take up to `count` publications, in the order of `Lanes`; they are in flight until settled or put back."""
        taken: list[Entry] = []
        expired = 0
        with self._lock:
            now = self._clock()
            while len(taken) < count:
                entry = self._lanes.take()
                if entry is None:
                    break
                if self._is_expired(entry, now):
                    self._end(entry, dropped="it waited too long")
                    expired += 1
                    continue
                if entry.publication.retain:
                    self._remember(entry.publication)
                taken.append(entry)
            self._in_flight += len(taken)
            self._counts.expired += expired
            if taken:
                self._last_taken = now
            if self._durable and self._next_wanted():
                self._work.notify()
            if self._level() < _CROWDED:
                self._changed.notify_all()
        if expired:
            err = MessageExpired(f"{expired} messages were dropped: no broker took them in their lifetime")
            if err.trigger:
                LOG.warning(err.report)
        self._look_at_level()
        return taken

    def settle(self, entries: Iterable[Entry]) -> None:
        """Count entries in flight as delivered: the broker has them."""
        with self._lock:
            count = 0
            for entry in entries:
                count += 1
                self._end(entry, delivered=True)
                if entry.publication.retain and self._durable:
                    self._retained_changes[entry.publication.topic] = entry.publication.payload
            self._in_flight -= count
            self._counts.delivered += count
            self._forget_uncommitted()
            if not self._in_flight:
                self._changed.notify_all()

    def set_aside(self, entry: Entry, reason: str) -> None:
        """Give up an entry in flight that no broker will take, and say why."""
        publication = entry.publication
        with self._lock:
            self._in_flight -= 1
            self._counts.set_aside += 1
            self._end(entry, dropped=reason)
            if self._durable:
                self._to_set_aside.append((entry, reason))
                self._there_is_to_remove()
            self._changed.notify_all()
        err = SetAside(
            f"set aside: {len(publication.payload)} bytes to {publication.topic!a}: {reason}", key=publication.topic
        )
        if err.trigger:
            LOG.error(err.report)

    def put_back(self, entries: Iterable[Entry]) -> None:
        """Return entries in flight that were never sent to the front of their lanes, in their order.

        What no longer fits, because others have come meanwhile, is dropped as the oldest, and counted.
        """
        dropped = 0
        with self._lock:
            for entry in reversed(list(entries)):
                self._in_flight -= 1
                if dropped or not self._fits(entry.size):
                    self._end(entry, dropped="the outbox is full")
                    dropped += 1
                elif not self._lanes.put_front(entry):
                    self._end(entry, delivered=True)
                    self._counts.superseded += 1
            self._counts.dropped_old += dropped
        if dropped:
            self._say_full()
        self._look_at_level()

    # --- how it stands

    def wait_for_room(self, longest: float = 0.2) -> None:
        """Hold the calling producer back, up to `longest` seconds, while more comes than broker and disk take.

        A fast device is slowed down rather than its messages dropped. While the broker takes nothing there
        is no waiting for it: then the limits of the outbox decide.
        """
        if max(self._level(), self._backlog()) < _CROWDED:
            return
        with self._lock:
            end = self._clock() + longest
            while True:
                now = self._clock()
                is_stalled = now - self._last_taken > _STALLED
                if now >= end or (self._backlog() < _CROWDED and (is_stalled or self._level() < _CROWDED)):
                    return
                self._changed.wait(min(end - now, _STALLED))

    def flush(self, timeout: float) -> None:
        """Return once all that was accepted is acknowledged; raise `DeliveryError` if that takes over `timeout` s.

        Also raised if something was dropped meanwhile.
        """
        with self._lock:
            before = self._counts.dropped
            self._changed.wait_for(lambda: not len(self) or self._counts.dropped > before, timeout)
            dropped = self._counts.dropped - before
            if dropped:
                raise DeliveryError(f"{dropped} messages were dropped")
            if len(self):
                raise DeliveryError(f"{len(self)} messages were not acknowledged within {timeout:g} s")

    def __len__(self) -> int:
        """Return how many publications are not yet with the broker: waiting and in flight."""
        return len(self._lanes) + self._in_flight

    @property
    def has_waiting(self) -> bool:
        """Tell whether `take` would find anything now."""
        return self._lanes.has_ready

    @property
    def is_durable(self) -> bool:
        """Tell whether what waits outlives the gateway."""
        return self._durable

    def counts(self) -> OutboxCounts:
        """Return the counts of this moment."""
        with self._lock:
            return replace(self._counts, waiting=len(self._lanes), in_flight=self._in_flight)

    # --- for the writer

    def restore(
        self,
        last_number: int,
        retained: dict[str, bytes],
        counts: Iterable[tuple[Lane, int, int]],
        topics: Iterable[tuple[str, Lane, int]],
        latest: Iterable[Entry],
    ) -> int:
        """Begin with what is on disk (see `Lanes.restore`; `latest` is that lane, whole); return how many wait."""
        with self._lock:
            self.retained = retained
            self._lanes.restore(counts, topics)
            for entry in latest:
                entry.is_committed = True
                replaced = self._lanes.put(entry)
                if replaced is not None:
                    self._removals.append(replaced.number)
            self._last_number = last_number
            count = len(self._lanes)
            self._counts.restored += count
        return count

    def next_work(self, hold_off: float = 0.0) -> bool:
        """Wait until there is something to do for the writer, but at least `hold_off` s; False: for the last time.

        What is to be committed waits for `commit_interval`, unless somebody waits for it. Removals wait for
        company: if a crash undoes them, messages arrive twice, which may be.
        """
        with self._lock:
            begin = self._clock() + hold_off
            while not self._is_closing:
                now = self._clock()
                due = self._due()
                if due is not None:
                    due = max(due, begin)
                    if due <= now:
                        break
                self._work.wait(None if due is None else due - now)
            return not self._is_closing

    def work(self, *, disk_is_full: bool = False) -> Work:
        """Return what is to be done for the disk.

        What was settled before it was committed is not written at all. While the disk is full, the policy decides:
        `old` drops as much as is to come, `new` leaves what comes in memory, as far as that goes.
        """
        with self._lock:
            dropped = 0
            if disk_is_full and self._discard == "old":
                dropped = self._make_room(self._uncommitted_bytes)
            is_refusing = disk_is_full and self._discard == "new"
            inserts = [] if is_refusing else [entry for entry in self._uncommitted if not entry.is_ended]
            work = Work(inserts, self._removals, self._to_set_aside, self._retained_changes, list(self._lanes.wanted()))
            self._removals, self._to_set_aside, self._retained_changes = [], [], {}
            self._insert_since = self._removal_since = None
            self._is_urgent = False
        if dropped:
            self._say_full()
        return work

    def committed(self, work: Work) -> None:
        """Take note that `work` is on disk."""
        with self._lock:
            for entry in work.inserts:
                entry.is_committed = True
                if entry.is_ended:  # settled meanwhile
                    self._removals.append(entry.number)
                    self._there_is_to_remove()
                elif entry.receipt is not None:
                    entry.receipt.say_accepted()
            self._forget_uncommitted()
            self._lanes.spill()
            self._changed.notify_all()

    def not_committed(self, work: Work) -> None:
        """Take note that `work` could not be written; it is given again."""
        with self._lock:
            self._removals[:0] = work.removals
            self._to_set_aside[:0] = work.set_aside
            self._retained_changes = {**work.retained, **self._retained_changes}
            self._forget_uncommitted()
            self._insert_since = self._clock()  # whatever it was: it is tried again
            self._work.notify()

    def refill(self, lane: Lane, skipped: Iterable[tuple[int, str]], entries: Iterable[Entry]) -> None:
        """Take what was brought back from the disk (see `Lanes.refill`)."""
        with self._lock:
            skipped = list(skipped)
            self._removals += [number for number, _ in skipped]
            self._lanes.refill(lane, skipped, entries)
        self._on_put()

    def begin_anew(self) -> int:
        """Give all that waits in memory to the writer again, for an empty file; return how many were only on disk."""
        with self._lock:
            lost = self._lanes.forget_spilled()
            self._counts.dropped_old += lost
            self._uncommitted = deque(
                sorted((e for e in self._lanes.in_memory() if e.publication.qos > 0), key=lambda entry: entry.number)
            )
            self._uncommitted_bytes = sum(entry.size for entry in self._uncommitted)
            for entry in self._uncommitted:
                entry.is_committed = False
            self._removals.clear()
            self._retained_changes = dict(self.retained)
            self._insert_since = self._clock()
            return lost

    def close(self) -> None:
        """Let the writer have its last work."""
        with self._lock:
            self._is_closing = True
            self._work.notify_all()

    def _there_is_to_remove(self) -> None:
        if self._removal_since is None:
            self._removal_since = self._clock()
            self._work.notify()
        elif len(self._removals) == _BATCH:
            self._work.notify()

    def _due(self) -> float | None:
        """Return when the writer is to begin (s, of the clock); None: nothing is to be done."""
        if self._next_wanted() or self._is_urgent or len(self._removals) >= _BATCH:
            return -math.inf
        dues = []
        if self._insert_since is not None:
            dues.append(self._insert_since + self._commit_interval)
        if self._removal_since is not None:
            dues.append(self._removal_since + _REMOVAL_DELAY)
        return min(dues, default=None)

    def _next_wanted(self) -> bool:
        return any(True for _ in self._lanes.wanted())

    def _forget_uncommitted(self) -> None:
        """Keep in mind only what is still to be written."""
        while self._uncommitted and (self._uncommitted[0].is_committed or self._uncommitted[0].is_ended):
            self._uncommitted_bytes -= self._uncommitted.popleft().size

    # --- within

    def _end(self, entry: Entry, *, delivered: bool = False, dropped: str = "") -> None:
        """Take note that an entry is over, on disk and on its receipt."""
        if entry.is_committed and not entry.is_ended:
            self._removals.append(entry.number)
            self._there_is_to_remove()
        entry.is_ended = True
        if entry.receipt is not None:
            if delivered:
                entry.receipt.say_delivered()
            else:
                entry.receipt.say_dropped(dropped)

    def _make_room(self, size: int) -> int:
        """Drop the oldest of what is on disk, until `size` bytes are free there; return how many that were."""
        dropped, before = 0, self._lanes.bytes
        while before - self._lanes.bytes < size and len(self._lanes) > len(self._uncommitted) and self._drop_oldest():
            dropped += 1
        self._counts.dropped_old += dropped
        return dropped

    def _drop_oldest(self) -> bool:
        if self._durable and self._is_backlogged(0) and self._uncommitted:
            entry = next((entry for entry in self._uncommitted if not entry.is_ended), None)
            if entry is not None:  # what is on disk takes no memory
                self._end(entry, dropped="the disk takes nothing")
                self._lanes.discard(entry)
                self._forget_uncommitted()
                return True
        was_one, entry = self._lanes.drop_oldest()
        if entry is not None:
            self._end(entry, dropped="the outbox is full")
        return was_one

    def _is_expired(self, entry: Entry, now: float) -> bool:
        lifetime = entry.publication.lifetime
        if lifetime is None:
            lifetime = self._command_lifetime if entry.publication.is_command else self._status_lifetime
        return bool(lifetime) and now - entry.since > lifetime

    def _remember(self, publication: Publication) -> None:
        """Remember what is retained from now on; an empty payload ends that."""
        if not publication.payload:
            self.retained.pop(publication.topic, None)
        elif publication.topic in self.retained or len(self.retained) < _MAX_RETAINED:
            self.retained[publication.topic] = publication.payload

    def _level(self) -> float:
        """Return how full it is: 0 to 1."""
        return max(len(self._lanes) / self._max_messages, self._lanes.bytes / self._max_bytes)

    def _backlog(self) -> float:
        """Return how far behind the disk is: 0 to 1."""
        return max(len(self._uncommitted) / _MAX_UNCOMMITTED, self._uncommitted_bytes / _MAX_UNCOMMITTED_BYTES)

    def _is_backlogged(self, size: int) -> bool:
        return len(self._uncommitted) >= _MAX_UNCOMMITTED or self._uncommitted_bytes + size > _MAX_UNCOMMITTED_BYTES

    def _fits(self, size: int) -> bool:
        return (
            len(self._lanes) < self._max_messages
            and self._lanes.bytes + size <= self._max_bytes
            and not self._is_backlogged(size)
        )

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
            LOG.warning("outbox %d %% full (%d messages waiting)", level * 100, len(self._lanes))
        elif self._is_high and level <= _LOW_WATER:
            self._is_high = False
            LOG.info("outbox back to %d %% (%d messages waiting)", level * 100, len(self._lanes))

    def _size(self, publication: Publication) -> int:
        return len(publication.topic) + len(publication.payload) + self.overhead
