"""The outbox: publications accepted and not yet acknowledged, in order per topic, bounded.

Any thread puts; who has the turn of the link takes, and settles what the broker has taken. This one is in memory; one
with a disk behind it is in `durable_outbox`.
"""

from __future__ import annotations

import contextlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Condition, Lock
from typing import ClassVar, Literal, Protocol

from gateway.core.clock import boot_time
from gateway.core.receipt import DeliveryError, Receipt
from gateway.message import Lane, Publication
from gateway.outbox.counts import LevelGauge, LossLog, OutboxCounts
from gateway.outbox.flush import Batch, Flush
from gateway.outbox.lane_queues import LaneQueues
from gateway.outbox.queues import Entry, Source

OVERHEAD = 500
"""Bytes that a waiting publication costs beyond what it holds: measured with tracemalloc."""

OVERHEAD_OF_RECEIPT = 2500
"""The same for a receipt, which waits with it in memory."""

_CROWDED = 0.5  # of the limit, while the broker takes messages: time to slow their makers down
_STALLED = 0.5  # s without a message taken: the broker is not taking them, and the limits decide
_MAX_RETAINED = 100_000  # topics whose retained payload is remembered,
_MAX_RETAINED_BYTES = 32 * 1024**2  # and bytes of both
_FULL = "the outbox is full"  # why something was dropped
_SUPERSEDED = "a newer value has taken its place"  # the same, and no loss

NEWER = "a newer value of its topic has been sent, or waits"
"""Why a state that was set aside is not sent again."""


class DirectSender(Protocol):
    """What sends the messages of an outbox in the thread that puts them; see `Outbox.on_put` and `send_directly`."""

    def request_send(self, may_wait: bool, /) -> None:
        """Send what waits in the outbox, in this thread or another one."""

    def send_directly(self, publications: Sequence[Publication], may_wait: bool, /) -> bool:
        """Send publications that are not in the outbox, and return True; or return False."""


class Outbox:
    """A bounded store of publications.

    At the limits (`max_messages`, or `max_bytes`) `discard` decides: `old` drops the oldest that waits, beginning
    with bulk, and `new` refuses the one that comes. What waited longer than its lifetime is dropped when its turn
    comes: that of its publication, or `command_lifetime` and `status_lifetime` (s; 0: for ever). All of it is
    counted and said.
    """

    is_durable: ClassVar[bool] = False
    """Whether what waits outlives the gateway."""

    def __init__(
        self,
        max_messages: int = 1_000_000,
        max_bytes: int = 32 * 1024**2,
        discard: Literal["old", "new"] = "old",
        command_lifetime: float = 0.0,
        status_lifetime: float = 0.0,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._discard = discard
        self._command_lifetime = command_lifetime
        self._status_lifetime = status_lifetime
        self.on_put: Callable[[bool], None] = lambda _: None
        """Called after each put, by the thread that put, with whether it may wait for others: nobody waits for it."""
        self.send_directly: Callable[[Sequence[Publication], bool], bool] = lambda _, __: False
        """Called before QoS 0 is put into an empty outbox: returns True if the link takes it at once instead.

        Also with whether it may wait for others. See `passed` and `track_in_flight`.
        """
        self._clock = clock
        self._lock = Lock()
        self._changed = Condition(self._lock)  # for producers that are held back, and for `flush`
        self._held_back = 0  # how many these are: mostly none
        self._last_taken = -math.inf
        self._lanes = LaneQueues(spills=self.is_durable)
        self._last_number = 0
        self._counts: Counter[str] = Counter()  # by the names of `OutboxCounts`
        self._gauge = LevelGauge()
        self._losses = LossLog(discard, clock)
        self._flushes: list[Flush] = []  # mostly none
        # What may come before anybody has to look how full it is: never more than there is room for below the level
        # that is worth a word. Set to 0 where more waits than has come.
        self._sure_messages = self._sure_bytes = 0
        self._said_elsewhere: set[str] = set()  # topics of `retained`
        self.retained: dict[str, bytes] = {}
        """By topic, the last payload that was sent with retain: to be said again when a broker has lost it."""
        self._retained_bytes = 0

    def attach(self, sender: DirectSender) -> None:
        """Connect this outbox with the `sender` that each thread calls after or instead of a put."""
        self.on_put = sender.request_send
        self.send_directly = sender.send_directly

    # --- in

    def put(self, publication: Publication, receipt: Receipt | None = None, source: Source | None = None) -> bool:
        """Accept `publication` of `source`; return False if it was refused because the outbox is full."""
        may_wait = receipt is None and publication.lane is not Lane.REPLY
        batch = Batch((publication,))
        batch.source = source
        is_plain = not publication.qos and receipt is None
        if is_plain and self._lanes.is_empty and self.send_directly(batch, may_wait):
            return True
        entries = self._entries(batch, self._clock())
        if receipt is not None:
            entries[0].receipt = receipt
            entries[0].size += 0 if entries[0].is_for_disk else OVERHEAD_OF_RECEIPT
        return self._put(entries, may_wait=may_wait) == 0

    def put_all(self, publications: Sequence[Publication]) -> int:
        """Accept `publications`, as one `put` after the other would; return how many were refused."""
        is_plain = bool(publications) and not publications[0].qos
        if is_plain and self._lanes.is_empty and self.send_directly(publications, False):
            return 0
        return self._put(self._entries(publications, self._clock()))

    def passed(self, count: int) -> None:
        """Count publications that the link has taken without their having been here: all of them are written."""
        with self._lock:
            self._counts["accepted"] += count
            self._counts["delivered"] += count
            self._last_taken = self._clock()

    def track_in_flight(self, publications: Sequence[Publication]) -> list[Entry]:
        """Take note of publications that the link has taken, but not written yet: they are in flight."""
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
            is_near = not self._surely_fit(entries)
            if is_near:
                dropped, refused = self._squeeze_in(entries)
            else:
                self._add(entries)
        for entry in refused:
            if entry.receipt is not None:
                entry.receipt.mark_dropped(_FULL)
        if dropped or refused:
            self._log_full(dropped + len(refused))
        self.on_put(may_wait)  # before what can wait: somebody may wait for the message
        if is_near:
            self._look_at_level()
        return len(refused)

    def _squeeze_in(self, entries: Sequence[Entry]) -> tuple[int, list[Entry]]:
        """Accept `entries` as far as they fit, near the limits; return how many others it cost, and those refused."""
        refused: list[Entry] = []
        dropped = 0
        for entry in entries:
            dropped += self._drop_until_fits(entry)
            if self._fit(entry):
                self._add((entry,))
            else:
                refused.append(entry)
        self._counts["dropped_old"] += dropped
        self._counts["refused_new"] += len(refused)
        for entry in refused:
            if entry.source is not None:
                entry.source.note_dropped(1, _FULL)
        if dropped or refused:
            self._say_changed()
        return dropped, refused

    def _drop_until_fits(self, entry: Entry) -> int:
        """Drop what the policy allows, so that `entry` may fit; return how many that were."""
        dropped = 0
        if self._discard == "old" and entry.size <= self._max_bytes:  # or it would not fit all the same
            while not self._fit(entry) and self._drop_for(entry):
                dropped += 1
        return dropped

    def retry(self, publication: Publication, dead_letter: int) -> str:
        """Accept once more what was set aside, if nothing is to be dropped for it; return why not, or `""`.

        `dead_letter` is its number there. It stays in the file under that number until it is committed as one that
        waits, or is delivered; if it is refused again before that, it never was anywhere else.
        """
        with self._lock:
            if publication.retain and (publication.topic in self.retained or self._lanes.has(publication.topic)):
                return NEWER  # which it would replace at the broker
            entries = self._entries((publication,), self._clock())
            entries[0].dead_letter = dead_letter
            if not self._fit(entries[0]):
                return _FULL
            self._note_retried(dead_letter)
            self._add(entries)
            self._sure_messages = 0  # more waits now than was counted on
        self.on_put(False)
        self._look_at_level()
        return ""

    def peek(self, after: int, count: int) -> list[Entry]:
        """Return the first `count` entries behind the number `after` that are in memory only, and never on disk."""
        with self._lock:
            found = (entry for entry in self._lanes.in_memory() if entry.number > after and not entry.is_for_disk)
            return heapq.nsmallest(count, found, key=lambda entry: entry.number)

    def remember(self, topic: str, payload: bytes) -> None:
        """Remember that the broker retains `payload` on `topic`, said, also again, by somebody else than the outbox."""
        with self._lock:
            self._said_elsewhere.add(topic)
            if self.retained.get(topic) != payload:
                self._remember(topic, payload)
                self._note_retained(topic, payload)

    def republish_retained(self) -> None:
        """Put what is retained into the outbox again, since the broker may have lost it.

        Not those topics of which a newer value waits, and not those that somebody else says.
        """
        refused = 0
        with self._lock:
            for topic, payload in self.retained.items():
                if topic in self._said_elsewhere or self._lanes.has(topic):
                    continue
                publication = Publication(topic, payload, qos=1, retain=True, lane=Lane.LATEST)
                (entry,) = self._entries((publication,), self._clock())
                entry.is_for_disk = False  # where it is already, as what is retained
                if self._fit(entry):
                    self._add((entry,))
                else:
                    refused += 1
            self._sure_messages = 0  # more waits now than was counted on
            self._counts["refused_new"] += refused
        if refused:
            self._log_full(refused)
        self._look_at_level()
        self.on_put(False)

    def _entries(self, publications: Sequence[Publication], now: float) -> list[Entry]:
        source = publications.source if type(publications) is Batch else None
        return [Entry(one, now, 0, OVERHEAD, one.lane, source=source) for one in publications]

    def _add(self, entries: Sequence[Entry]) -> None:
        self._number(entries)
        all_replaced = self._lanes.put(entries)
        self._note_added(entries)
        for replaced in all_replaced:
            self._supersede(replaced)

    def _number(self, entries: Sequence[Entry]) -> None:
        self._counts["accepted"] += len(entries)
        for number, entry in enumerate(entries, self._last_number + 1):
            entry.number = number
        self._last_number += len(entries)

    # --- out

    def take(self, count: int) -> list[Entry]:
        """Take up to `count` publications in the order of `LaneQueues`; in flight until settled or put back."""
        taken: list[Entry] = []
        expired = 0
        with self._lock:
            now = self._clock()
            asked = count
            while asked:
                found = self._lanes.take(asked)
                is_all = len(found) < asked
                for entry in found:
                    publication = entry.publication
                    if self._is_expired(entry, now):
                        self._end((entry,), dropped="it waited too long")
                        expired += 1
                        continue
                    if publication.retain:
                        self._remember(publication.topic, publication.payload)
                    taken.append(entry)
                asked = 0 if is_all else count - len(taken)
            self._counts["expired"] += expired
            if taken:
                self._last_taken = now
            self._note_taken()
            self._say_changed()
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
                if publication.retain and self.retained.get(publication.topic, b"") == publication.payload:
                    self._note_retained(publication.topic, publication.payload)
            if not self._lanes.in_flight:
                self._say_changed()
        self._look_at_level()

    def set_aside(self, entry: Entry, reason: str, remedy: str = "") -> None:
        """Give up an entry in flight that no broker will take, and log why, and what to do about it."""
        topic, payload = entry.publication.topic, entry.publication.payload
        with self._lock:
            self._counts["set_aside"] += 1
            self._end((entry,), dropped=reason)
            if self.retained.get(topic) == payload:
                self._remember(topic, b"")
                self._note_retained(topic, b"")  # whatever it is, it is older: see `retry`
            dropped = self._note_set_aside(entry, reason)
            self._counts["dead_letters_dropped"] += dropped
            self._say_changed()
        if remedy:
            again = ", then 'mqttgateway outbox retry'" if self.is_durable else ""
            reason = f"{reason}: {remedy}{again}"
        self._losses.log_dead_letter(topic, len(payload), reason)
        if dropped:
            self._losses.log_dead_letters_dropped(dropped)

    def requeue(self, entries: Iterable[Entry]) -> None:
        """Return entries in flight that were never sent to the front of their lanes, in their order.

        What no longer fits, because others have come meanwhile, is dropped as the oldest, and counted.
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
            self._sure_messages = 0  # more waits now than was counted on
            self._counts["dropped_old"] += dropped
            self._say_changed()
        if dropped:
            self._log_full(dropped)
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
                with self._counted_as_held_back():
                    self._changed.wait(min(end - now, _STALLED))

    def flush(self, source: Source, timeout: float) -> None:
        """Return once all that `source` has put up to now is acknowledged.

        Raises `DeliveryError` if that takes over `timeout` s, or if something was dropped of what it has put since
        its last flush.
        """
        with self._lock:
            flush = Flush(source, self._last_number, self._lanes.count_of(source))
            self._flushes.append(flush)
            with self._counted_as_held_back():
                self._changed.wait_for(lambda: flush.is_over, timeout)
            self._flushes.remove(flush)
            dropped, reason, source.dropped = source.dropped, source.reason, 0
            if dropped:
                raise DeliveryError(f"{dropped} messages were dropped: {reason}")
            if flush.waiting > 0:
                raise DeliveryError(f"{flush.waiting} messages were not acknowledged within {timeout:g} s")

    def __len__(self) -> int:
        """Return how many publications are not yet with the broker: waiting and in flight."""
        return len(self._lanes) + len(self._lanes.in_flight)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing waits, and nothing is in flight."""
        return self._lanes.is_empty

    @property
    def has_waiting(self) -> bool:
        """Tell whether `take` would find anything now."""
        return self._lanes.has_ready

    def counts(self) -> OutboxCounts:
        """Return the counts of this moment."""
        with self._lock:
            return self._counts_now()

    def _counts_now(self) -> OutboxCounts:
        return OutboxCounts(**self._counts, waiting=len(self._lanes), in_flight=len(self._lanes.in_flight))

    # --- what an outbox with a disk does more

    def _note_added(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.receipt is not None:
                entry.receipt.mark_accepted()

    def _note_ended(self, entries: Iterable[Entry], *, is_dropped: bool) -> None:
        """Nothing is to be removed from memory."""

    def _note_taken(self) -> None:
        """Nothing is to be brought back into memory."""

    def _note_retained(self, topic: str, payload: bytes) -> None:
        """What is retained is in memory already."""

    def _note_retried(self, dead_letter: int) -> None:
        """Nothing is kept of what is set aside."""

    def _note_set_aside(self, entry: Entry, reason: str) -> int:  # noqa: ARG002
        """Keep what is set aside; return how many older ones were dropped for it. In memory none is kept."""
        return 0

    def _backlog(self) -> float:
        """Return how far behind the disk is: 0 to 1."""
        return 0.0

    def _surely_fit(self, entries: Sequence[Entry]) -> bool:
        """Tell whether `entries` fit, and the level is not worth a word then, as it nearly always is.

        That is looked at only once so much has come that it might be otherwise: what leaves only makes room.
        """
        size = sum([entry.size for entry in entries])
        self._sure_messages -= len(entries)
        self._sure_bytes -= size
        if self._sure_messages <= 0 or self._sure_bytes <= 0:
            waiting, bytes_waiting = self._lanes.load()
            share = self._gauge.until_news
            self._sure_messages = int(self._max_messages * share) - waiting - len(entries)
            self._sure_bytes = int(self._max_bytes * share) - bytes_waiting - size
        return self._sure_messages > 0 and self._sure_bytes > 0

    def _fit(self, entry: Entry) -> bool:
        """Tell whether `entry` fits without anything being dropped."""
        return self._has_room(entry)

    def _drop_for(self, entry: Entry) -> bool:  # noqa: ARG002
        """Drop something so that `entry` may fit; return False if there is nothing that would help."""
        return self._drop_oldest()

    # --- within

    @contextlib.contextmanager
    def _counted_as_held_back(self) -> Iterator[None]:
        self._held_back += 1
        try:
            yield
        finally:
            self._held_back -= 1

    def _say_changed(self) -> None:
        """Wake those that are held back, to look again."""
        if self._held_back:
            self._changed.notify_all()

    def _end(self, entries: Sequence[Entry], *, dropped: str = "") -> None:
        """Take note that entries are over, and tell whoever waits for them: they are delivered, or why dropped."""
        self._lanes.end(entries)
        self._note_ended(entries, is_dropped=bool(dropped))
        for entry in entries:
            if dropped and entry.source is not None and dropped != _SUPERSEDED:
                entry.source.note_dropped(1, dropped)
            if entry.receipt is not None:
                if dropped:
                    entry.receipt.mark_dropped(dropped)
                else:
                    entry.receipt.mark_delivered()
        if self._flushes:
            self._note_flushed(entries)

    def _note_flushed(self, entries: Sequence[Entry]) -> None:
        """Let those who wait for the end of `entries` know."""
        is_over = [flush.note_ended(entries) for flush in self._flushes]
        if any(is_over):
            self._changed.notify_all()

    def _supersede(self, entry: Entry) -> None:
        self._counts["superseded"] += 1
        self._end((entry,), dropped=_SUPERSEDED)

    def _drop_oldest(self) -> bool:
        was_one, entry = self._lanes.drop_oldest()
        if entry is not None:
            self._end((entry,), dropped=_FULL)
            self._note_taken()
        return was_one

    def _is_expired(self, entry: Entry, now: float) -> bool:
        lifetime = entry.publication.lifetime
        if lifetime is None:
            lifetime = self._command_lifetime if entry.publication.is_command else self._status_lifetime
        return bool(lifetime) and now - entry.since > lifetime

    def _remember(self, topic: str, payload: bytes) -> None:
        """Remember what is retained from now on; an empty payload ends that."""
        known = self.retained.get(topic)
        size = self._retained_bytes - (0 if known is None else len(topic) + len(known))
        if payload and size + len(topic) + len(payload) <= _MAX_RETAINED_BYTES and (
            known is not None or len(self.retained) < _MAX_RETAINED
        ):  # fmt: skip
            self.retained[topic] = payload
            size += len(topic) + len(payload)
        else:
            self.retained.pop(topic, None)
            if payload:
                self._losses.log_not_remembered(topic)
                if known is not None:  # an older value is not to come back after a restart
                    self._note_retained(topic, b"")
        self._retained_bytes = size

    def _level(self) -> float:
        """Return how full it is: 0 to 1."""
        count, size = self._lanes.load()
        return max(count / self._max_messages, size / self._max_bytes)

    def _has_room(self, entry: Entry) -> bool:
        count, size = self._lanes.load()
        return count < self._max_messages and size + entry.size <= self._max_bytes

    def _log_full(self, count: int) -> None:
        self._losses.log_full(count, len(self._lanes))

    def _look_at_level(self) -> None:
        level = self._level()
        if self._gauge.is_news(level):
            self._gauge.say(level, len(self._lanes))
            if not self._gauge.is_high:
                self._losses.log_room()
        elif self._losses.is_pending:
            self._losses.tick()
