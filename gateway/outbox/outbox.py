"""The outbox: publications that were accepted and are not acknowledged yet, in order per topic, bounded.

Any thread puts; the thread with the send lock takes, and settles what the broker has acknowledged. This outbox is in
memory; `durable_outbox` has one with a disk behind it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import ClassVar, Protocol

from gateway.core.clock import boot_time
from gateway.core.receipt import Receipt
from gateway.core.tap import TAP
from gateway.core.trouble import Recurrence
from gateway.message import Lane, Publication
from gateway.outbox.counts import COUNTERS, LevelGauge, LossLog, OutboxCounts
from gateway.outbox.flush import Batch, Waiters
from gateway.outbox.lane_queues import LaneQueues
from gateway.outbox.options import OutboxOptions
from gateway.outbox.queues import Entry, Source
from gateway.outbox.retained import RetainedPayloads

OVERHEAD = 500
"""Bytes that a waiting publication costs in memory beyond its content: measured with tracemalloc."""

OVERHEAD_OF_RECEIPT = 2500
"""Bytes that a receipt costs in memory while its message waits: measured with tracemalloc."""

STALLED = 0.5
"""After so many s without a message taken, the broker counts as not accepting any, and the limits decide."""

_CROWDED = 0.5  # of the limit: while the broker accepts messages, producers are slowed down from here on
_FULL = "the outbox is full"  # why a message was dropped
_EXPIRED = "its lifetime is over"
_SUPERSEDED = "a newer value has replaced it"  # and no loss

NEWER = "a newer value of its topic was sent, or is waiting"
"""Why a state that is a dead letter is not sent again."""


class DirectSender(Protocol):
    """What sends the messages of an outbox in the thread that puts them; see `Outbox.on_put` and `send_directly`."""

    def request_send(self, may_wait: bool, /) -> None:
        """Send what waits in the outbox, in this thread or another one."""

    def send_directly(self, publications: Sequence[Publication], may_wait: bool, /) -> bool:
        """Send publications that are not in the outbox, and return True; or return False."""


class Outbox:
    """A bounded store of publications, with the limits and lifetimes of `options`.

    At a limit, the discard policy decides: either the oldest waiting message is dropped, bulk first, or the new one
    is refused. A message that has waited longer than its lifetime is dropped when it would be sent. The lifetime is
    that of the publication, or the configured one for commands or statuses. Every drop is counted and logged.

    `clock` returns the time in s.
    """

    is_durable: ClassVar[bool] = False
    """Whether waiting messages outlive the gateway."""

    def __init__(self, options: OutboxOptions | None = None, clock: Callable[[], float] = boot_time) -> None:
        self.options = options or OutboxOptions()
        self.on_put: Callable[[bool], None] = lambda _: None
        """Called after each put, by the thread that put, with whether sending may wait for more messages to come."""
        self.send_directly: Callable[[Sequence[Publication], bool], bool] = lambda _, __: False
        """Called before QoS 0 is put into an empty outbox: returns True if the link sends it immediately instead.

        Also with whether sending may wait for more. See `count_direct` and `track_in_flight`.
        """
        self.on_forgotten: Callable[[], None] = lambda: None
        """Called by `republish_retained`, for those who publish again what they have recorded themselves."""
        self.on_level_change: Callable[[], None] = lambda: None
        """Called when `is_crowded` has changed, by any thread, which may have the send lock: it must return quickly."""
        self._max_messages, self._max_bytes = self.options.max_messages, self.options.max_bytes
        self._clock = clock
        self._lock = Lock()
        self._waiters = Waiters(self._lock)
        self._last_taken = -math.inf
        self._lanes = LaneQueues(spills=self.is_durable)
        self._last_number = 0
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._gauge = LevelGauge()
        self.refusals = Recurrence()
        """That no broker accepts some messages, and the last of them with the reason (s, of `clock`)."""
        self._losses = LossLog(self.options.discard, clock)
        self._retained = RetainedPayloads()

    def attach(self, sender: DirectSender) -> None:
        """Connect this outbox with the `sender` that each thread calls after or instead of a put."""
        self.on_put = sender.request_send
        self.send_directly = sender.send_directly

    # --- in

    def put(self, publication: Publication, receipt: Receipt | None = None, source: Source | None = None) -> bool:
        """Accept `publication` of `source`; return False if it was refused because the outbox is full.

        One that is derived, as its receipt says, is neither kept on disk nor a dead letter, and whoever has put it
        tells `record_retained` what has arrived.
        """
        may_wait = receipt is None and publication.lane is not Lane.REPLY
        batch = Batch((publication,))
        batch.source = source
        is_plain = not publication.qos and receipt is None
        if is_plain and self._lanes.is_empty and self.send_directly(batch, may_wait):
            return True
        entries = self._entries(batch, self._clock())
        if receipt is not None:
            entries[0].receipt = receipt
            entries[0].is_for_disk = entries[0].is_for_disk and not receipt.is_derived
            entries[0].size += 0 if entries[0].is_for_disk else OVERHEAD_OF_RECEIPT
        return self._put(entries, may_wait=may_wait) == 0

    def put_all(self, publications: Sequence[Publication]) -> int:
        """Accept `publications` as by one `put` after the other; return how many were refused."""
        is_plain = bool(publications) and not publications[0].qos
        if is_plain and self._lanes.is_empty and self.send_directly(publications, False):
            return 0
        return self._put(self._entries(publications, self._clock()))

    def count_direct(self, publications: Sequence[Publication]) -> None:
        """Count publications that the link has written without their having been in the outbox."""
        with self._lock:
            self._counts["accepted"] += len(publications)
            self._counts["delivered"] += len(publications)
            self._last_taken = self._clock()
        recorder = TAP.recorder
        if recorder is not None:
            recorder.accepted(publications)

    def track_in_flight(self, publications: Sequence[Publication]) -> list[Entry]:
        """Return entries for publications that the link has accepted directly, but not written yet: in flight."""
        with self._lock:
            entries = self._entries(publications, self._clock())
            self._number(entries)
            self._lanes.track_in_flight(entries)
            self._last_taken = self._clock()
        return entries

    def _put(self, entries: Sequence[Entry], *, may_wait: bool = False) -> int:
        dropped = 0
        refused: list[Entry] = []
        with self._lock:
            fits_cheaply = self._fits_cheaply(entries)
            if fits_cheaply:
                self._add(entries)
            else:
                dropped, refused = self._add_within_limits(entries)
        for entry in refused:
            if entry.receipt is not None:
                entry.receipt.mark_dropped(_FULL)
            recorder = TAP.recorder
            if recorder is not None:
                recorder.ended(entry.publication, _FULL)
        if dropped or refused:
            self._log_full(dropped + len(refused))
        self.on_put(may_wait)  # before the log is written: the message may be urgent
        if not fits_cheaply:
            self._check_level()
        return len(refused)

    def _add_within_limits(self, entries: Sequence[Entry]) -> tuple[int, list[Entry]]:
        """Accept `entries` one by one, near the limits; return how many others were dropped, and those refused."""
        refused: list[Entry] = []
        dropped = 0
        for entry in entries:
            dropped += self._drop_until_fits(entry)
            if self._fits(entry):
                self._add((entry,))
            else:
                refused.append(entry)
        self._counts["dropped_old"] += dropped
        self._counts["refused_new"] += len(refused)
        for entry in refused:
            if entry.source is not None:
                entry.source.record_dropped(1, _FULL)
        if dropped or refused:
            self._waiters.notify()
        return dropped, refused

    def _drop_until_fits(self, entry: Entry) -> int:
        """Drop what the policy allows, so that `entry` may fit; return how many messages that were."""
        dropped = 0
        # An entry larger than the whole outbox would not fit in any case: no other message is dropped for it.
        if self.options.discard.drops_oldest and entry.size <= self._max_bytes:
            while not self._fits(entry) and self._drop_for(entry):
                dropped += 1
        return dropped

    def retry(self, publication: Publication, dead_letter: int) -> str | None:
        """Accept a dead letter again if no message has to be dropped for it; return None, or why it was not accepted.

        `dead_letter` is its number. It keeps its row in the file under that number until it is committed as one that
        waits, or is delivered. If it is refused again before that, its row has never changed.
        """
        with self._lock:
            if publication.retain and (
                publication.topic in self._retained.payloads or self._lanes.has_topic(publication.topic)
            ):
                return NEWER  # which it would replace at the broker
            entries = self._entries((publication,), self._clock())
            entries[0].dead_letter_number = dead_letter
            if not self._fits(entries[0]):
                return _FULL
            self._on_retry(dead_letter)
            self._add(entries)
        self.on_put(False)
        self._check_level()
        return None

    @property
    def oldest_age(self) -> float:
        """For how long (s) the oldest message in memory has waited; 0 if there is none."""
        with self._lock:
            since = self._lanes.oldest_since
            return 0.0 if since is None else max(0.0, self._clock() - since)

    def peek(self, after: int, count: int) -> list[Entry]:
        """Return the first `count` entries behind the number `after` that are in memory, and will never be on disk."""
        with self._lock:
            matches = (entry for entry in self._lanes.in_memory() if entry.number > after and not entry.is_for_disk)
            return heapq.nsmallest(count, matches, key=lambda entry: entry.number)

    @property
    def retained(self) -> dict[str, bytes]:
        """By topic, the last payload that was sent with retain. It is published again when a broker has lost it.

        Without the lock, iterate only over a copy: whatever thread sends may add a topic.
        """
        return self._retained.payloads

    def record_retained(self, topic: str, payload: bytes) -> None:
        """Record that the broker retains `payload` on `topic`, which another part of the gateway publishes.

        With an empty payload, it retains nothing there any more, and nobody publishes there.
        """
        with self._lock:
            self._retained.mark_published_elsewhere(topic, is_published=bool(payload))
            if self.retained.get(topic, b"") != payload:
                self._remember(topic, payload)
                self._on_retained(topic, payload)

    def republish_retained(self) -> None:
        """Put the retained payloads into the outbox again, because the broker may have lost them.

        Topics of which a newer value waits are left out, and those that another part of the gateway publishes.
        """
        refused = 0
        with self._lock:
            for topic, payload in self._retained.to_republish():
                if self._lanes.has_topic(topic):
                    continue
                publication = Publication(topic, payload, qos=1, retain=True, lane=Lane.LATEST)
                (entry,) = self._entries((publication,), self._clock())
                entry.is_for_disk = False  # it is on disk already, as a retained payload
                if self._fits(entry):
                    self._add((entry,))
                else:
                    refused += 1
            self._counts["refused_new"] += refused
        if refused:
            self._log_full(refused)
        self._check_level()
        self.on_put(False)
        self.on_forgotten()

    def _entries(self, publications: Sequence[Publication], now: float) -> list[Entry]:
        source = publications.source if type(publications) is Batch else None
        return [Entry(each, now, 0, OVERHEAD, each.lane, source=source) for each in publications]

    def _add(self, entries: Sequence[Entry]) -> None:
        self._number(entries)
        all_replaced = self._lanes.put(entries)
        self._on_added(entries)
        for replaced in all_replaced:
            self._supersede(replaced)

    def _number(self, entries: Sequence[Entry]) -> None:
        self._counts["accepted"] += len(entries)
        for number, entry in enumerate(entries, self._last_number + 1):
            entry.number = number
        self._last_number += len(entries)

    # --- out

    def take(self, count: int) -> list[Entry]:
        """Move up to `count` publications to those in flight, in the order of `LaneQueues`, and return them.

        They stay in flight until they are settled, requeued, or become dead letters.
        """
        taken: list[Entry] = []
        expired = 0
        with self._lock:
            now = self._clock()
            missing = count
            while missing:
                entries = self._lanes.take(missing)
                for entry in entries:
                    publication = entry.publication
                    if self._is_expired(entry, now):
                        self._end((entry,), dropped=_EXPIRED)
                        expired += 1
                        continue
                    if publication.retain and not entry.is_derived:
                        self._remember(publication.topic, publication.payload)
                    taken.append(entry)
                missing = count - len(taken) if len(entries) == missing else 0
            self._counts["expired"] += expired
            if taken:
                self._last_taken = now
            self._on_taken()
            self._waiters.notify()
        recorder = TAP.recorder
        if recorder is not None:
            recorder.sent(entry.publication for entry in taken)
        if expired:
            self._losses.log_expired(expired)
        return taken

    def settle(self, entries: Sequence[Entry]) -> None:
        """Count entries in flight as delivered: the broker has them."""
        with self._lock:
            self._end(entries)
            self._counts["delivered"] += len(entries)
            for entry in entries:
                publication = entry.publication
                if entry.is_derived:
                    continue
                if publication.retain and self.retained.get(publication.topic, b"") == publication.payload:
                    self._on_retained(publication.topic, publication.payload)
            if not self._lanes.in_flight:
                self._waiters.notify()
        recorder = TAP.recorder
        if recorder is not None:
            recorder.accepted(entry.publication for entry in entries)
        self._check_level()

    def dead_letter(self, entry: Entry, reason: str, remedy: str = "") -> None:
        """Give up an entry in flight that no broker accepts, and log the reason and the remedy.

        One that is derived is only counted: whoever has put it learns the reason from its receipt.
        """
        topic, payload = entry.publication.topic, entry.publication.payload
        if entry.is_derived:
            with self._lock:
                self._counts["not_accepted"] += 1
                self._end((entry,), dropped=reason)
                self._waiters.notify()
            return
        with self._lock:
            self._counts["dead_letters"] += 1
            self._end((entry,), dropped=reason)
            if self.retained.get(topic) == payload:
                self._remember(topic, b"")
                self._on_retained(topic, b"")  # what the broker still retains is older: see `retry`
            dropped = self._on_dead_letter(entry, reason)
            self._counts["dead_letters_dropped"] += dropped
            self._waiters.notify()
            self.refusals.record(f"{topic!a}: {reason}", self._clock())
        if remedy:
            retry = ", then 'mqttgateway outbox retry'" if self.is_durable else ""
            reason = f"{reason}: {remedy}{retry}"
        self._losses.log_dead_letter(topic, len(payload), reason)
        if dropped:
            self._losses.log_dead_letters_dropped(dropped)

    def supersede(self, entry: Entry) -> None:
        """End an entry in flight: the broker has accepted a newer value, which it must not replace."""
        with self._lock:
            self._supersede(entry)
            self._waiters.notify()

    def is_expired(self, entry: Entry) -> bool:
        """Return whether the lifetime of an entry is over; then `take` drops it."""
        return self._is_expired(entry, self._clock())

    def requeue(self, entries: Iterable[Entry]) -> None:
        """Put entries in flight that were never sent back at the front of their lanes, in their order.

        Those that no longer fit, because other messages have come in the meantime, are dropped as the oldest.
        """
        entries, dropped = list(entries), 0
        if not entries:
            return
        with self._lock:
            for entry in reversed(entries):
                if dropped or not self._has_room(entry):
                    self._end((entry,), dropped=_FULL)
                    dropped += 1
                elif not self._lanes.put_front(entry):
                    self._supersede(entry)
            self._counts["dropped_old"] += dropped
            self._waiters.notify()
        if dropped:
            self._log_full(dropped)
        self._check_level()

    # --- waiting

    def wait_for_room(self, longest: float = 0.2) -> None:
        """Block the calling producer, for up to `longest` s, while messages come faster than broker and disk accept.

        So a fast device is slowed down, and none of its messages is dropped. While the broker accepts nothing at all,
        waiting would not help: then the limits of the outbox decide.
        """
        if max(self._level(), self._backlog()) < _CROWDED:
            return
        with self._lock:
            end = self._clock() + longest
            while True:
                now = self._clock()
                is_stalled = now - self._last_taken > STALLED
                if now >= end or (self._backlog() < _CROWDED and (is_stalled or self._level() < _CROWDED)):
                    return
                self._waiters.wait(min(end - now, STALLED))

    def flush(self, source: Source, timeout: float) -> None:
        """Return once everything that `source` has put up to now is acknowledged.

        Raises `DeliveryError` if that takes over `timeout` s, or if a message was dropped that it has put since its
        last flush.
        """
        with self._lock:
            self._waiters.flush(source, self._last_number, self._lanes.count_of(source), timeout)

    # --- state

    def now(self) -> float:
        """Return the time (s) by the clock of the outbox, which dates its entries. Any thread may call it."""
        return self._clock()

    def __len__(self) -> int:
        """Return how many publications the broker does not have yet: waiting and in flight."""
        return len(self._lanes) + len(self._lanes.in_flight)

    @property
    def is_empty(self) -> bool:
        """Whether no publication waits, and none is in flight."""
        return self._lanes.is_empty

    @property
    def is_crowded(self) -> bool:
        """Whether the outbox has reached its high watermark, and has not fallen to its low one since."""
        return self._gauge.is_high

    @property
    def has_waiting(self) -> bool:
        """Whether `take` would return a publication now."""
        return self._lanes.has_ready

    def count_derived(self) -> int:
        """Return how many of the publications that the broker does not have yet are made anew after a restart."""
        with self._lock:
            return sum(entry.is_derived for entry in self._lanes.in_memory())

    def counts(self) -> OutboxCounts:
        """Return the counts of this moment, which add up."""
        with self._lock:
            return OutboxCounts(**self._counts, waiting=len(self._lanes), in_flight=len(self._lanes.in_flight))

    def stats(self) -> dict[str, int]:
        """Return all counters and levels.

        For any thread, without the lock: while messages pass, the numbers may be of slightly different moments.
        """
        waiting, waiting_bytes = self._lanes.load()
        return {
            **self._counts,
            "waiting": waiting,
            "waiting_bytes": waiting_bytes,
            "in_flight": len(self._lanes.in_flight),
            "level_percent": int(100 * self._level()),
            "dropped_since_full": self._losses.dropped_since_full,
            "retained_topics": len(self.retained),
            "blocked_producers": self._waiters.blocked,
        }

    # --- overridden by an outbox with a disk

    def _on_added(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.receipt is not None:
                entry.receipt.mark_accepted()

    def _on_ended(self, entries: Iterable[Entry], *, is_dropped: bool) -> None:
        """Remove ended entries from the disk."""

    def _on_taken(self) -> None:
        """Read entries from the disk if few are left in memory."""

    def _on_retained(self, topic: str, payload: bytes) -> None:
        """Store what the broker retains."""

    def _on_retry(self, dead_letter: int) -> None:
        """Record that a dead letter is sent again."""

    def _on_dead_letter(self, entry: Entry, reason: str) -> int:  # noqa: ARG002
        """Store a dead letter; return how many older ones were dropped for it. In memory, none is kept."""
        return 0

    def _backlog(self) -> float:
        """Return how far the disk is behind: 0 to 1."""
        return 0.0

    def _fits_cheaply(self, entries: Sequence[Entry]) -> bool:
        """Return whether `entries` fit with no watermark crossed, which is nearly always so.

        Then nothing is dropped or logged, and the entries need not be checked one by one.
        """
        waiting, waiting_bytes = self._lanes.load()
        share = self._gauge.next_watermark
        size = entries[0].size if len(entries) == 1 else sum([entry.size for entry in entries])
        return waiting + len(entries) < self._max_messages * share and waiting_bytes + size < self._max_bytes * share

    def _fits(self, entry: Entry) -> bool:
        """Return whether `entry` fits without a message being dropped."""
        return self._has_room(entry)

    def _drop_for(self, entry: Entry) -> bool:  # noqa: ARG002
        """Drop a message so that `entry` may fit; return False if there is none that would help."""
        return self._drop_oldest()

    # --- helpers, called with the lock

    def _end(self, entries: Sequence[Entry], *, dropped: str = "") -> None:
        """Record that entries are delivered, or why they were `dropped`, and notify the threads that wait for them."""
        self._lanes.end(entries)
        self._on_ended(entries, is_dropped=bool(dropped))
        recorder = TAP.recorder
        if dropped and recorder is not None:
            for entry in entries:
                recorder.ended(entry.publication, dropped)
        for entry in entries:
            if dropped and entry.source is not None and dropped != _SUPERSEDED:
                entry.source.record_dropped(1, dropped)
            if entry.receipt is not None:
                if dropped:
                    entry.receipt.mark_dropped(dropped)
                else:
                    entry.receipt.mark_delivered()
        if self._waiters.has_flushes:
            self._waiters.record_ended(entries)

    def _supersede(self, entry: Entry) -> None:
        self._counts["superseded"] += 1
        self._end((entry,), dropped=_SUPERSEDED)

    def _drop_oldest(self) -> bool:
        was_dropped, entry = self._lanes.drop_oldest()
        if entry is not None:
            self._end((entry,), dropped=_FULL)
            self._on_taken()
        return was_dropped

    def _is_expired(self, entry: Entry, now: float) -> bool:
        lifetime = entry.publication.lifetime
        if lifetime is None:
            is_command = entry.publication.is_command
            lifetime = self.options.command_lifetime if is_command else self.options.status_lifetime
        return bool(lifetime) and now - entry.since > lifetime

    def _remember(self, topic: str, payload: bytes) -> None:
        """Remember what is retained on `topic`; an empty payload removes it."""
        was_remembered = topic in self.retained
        if not self._retained.put(topic, payload):
            self._losses.log_not_remembered(topic)
            if was_remembered:  # or the older payload would come back after a restart
                self._on_retained(topic, b"")

    def _has_room(self, entry: Entry) -> bool:
        waiting, waiting_bytes = self._lanes.load()
        return waiting < self._max_messages and waiting_bytes + entry.size <= self._max_bytes

    # --- helpers, also called without the lock

    def _level(self) -> float:
        """Return how full the outbox is: 0 to 1."""
        waiting, waiting_bytes = self._lanes.load()
        return max(waiting / self._max_messages, waiting_bytes / self._max_bytes)

    def _log_full(self, count: int) -> None:
        self._losses.log_full(count, len(self._lanes))

    def _check_level(self) -> None:
        level = self._level()
        if self._gauge.crossed_watermark(level):
            if self._gauge.log(level, len(self._lanes)):
                if not self._gauge.is_high:
                    self._losses.log_room()
                self.on_level_change()
        elif self._losses.is_pending:
            self._losses.tick()
