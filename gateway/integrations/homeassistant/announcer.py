"""Announces the devices of the gateway, a few documents at a time, and takes back what is gone.

Only the main thread calls it. What it sends goes through the outbox in the lane of what is not urgent, at most
`_SLICE` documents at once, so that a thousand devices neither fill the outbox nor delay an answer.

    wanted (now) - sent (at the broker) -> queue -> under way -> sent

The first document goes alone: a broker that refuses one may close the link over it. Where two are refused in turn,
nothing is tried but one of them from time to time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from gateway.core.backoff import Backoff, no_jitter
from gateway.core.package_logger import package_logger
from gateway.core.receipt import Receipt
from gateway.integrations.homeassistant.discovery import MIGRATE, is_device_form, payload_of, with_tombstones
from gateway.message import Lane, Publication

LOG = package_logger(__name__)

_SLICE = 10  # documents that are under way
_LONGEST_DELAY = 10.0  # s after the start of Home Assistant: many gateways would answer it at once
_FIRST_RETRY, _LAST_RETRY = 60.0, 3600.0  # s after which documents are sent again that could not be delivered


class _UnderWay(NamedTuple):
    payload: bytes
    receipt: Receipt


class Announcer:
    """Has the broker retain the documents that are `update`d last.

    `put` accepts a publication and its receipt, and returns False if there is no room; `record` gets topic and payload
    of what the broker retains. `uniform` draws a number between two bounds.
    """

    def __init__(
        self,
        put: Callable[[Publication, Receipt], bool],
        record: Callable[[str, bytes], None],
        clock: Callable[[], float],
        uniform: Callable[[float, float], float],
    ) -> None:
        self._put, self._record, self._clock, self._uniform = put, record, clock, uniform
        self._wanted: dict[str, bytes] = {}
        self._sent: dict[str, bytes] = {}
        self._queue: dict[str, None] = {}
        self._marks: dict[str, None] = {}
        self._under_way: dict[str, _UnderWay] = {}
        self._all_at = self._retry_at = math.inf
        self._retries = Backoff(_FIRST_RETRY, _LAST_RETRY, no_jitter)
        self._refused_in_turn = 0
        self._is_accepted = False  # what was settled last
        self._is_paused = False  # until `_retry_at`
        self._later: dict[str, None] = {}  # what was refused, until `_retry_at`
        self._refused: set[str] = set()  # topics; that there are some has been logged
        self._counts = {"sent": 0, "marked": 0, "removed": 0, "refused": 0}
        self._left = 0  # documents that are still to be delivered, after a whole `update` or `step`

    def stats(self) -> dict[str, int]:
        """Return the counters. Any thread may call this."""
        counts = {"": len(self._wanted), "_waiting": self._left}
        counts |= {f"_{kind}": number for kind, number in self._counts.items()}
        return {f"documents{kind}": number for kind, number in counts.items()}

    def _count_left(self) -> None:
        self._left = len(self._queue) + len(self._later) + len(self._under_way)

    @property
    def topics(self) -> Collection[str]:
        """The topics of everything that is announced, or still to be taken back."""
        return {*self._wanted, *self._sent, *self._under_way}

    def restore(self, retained: Mapping[str, bytes]) -> None:
        """Record what an earlier run has announced; `update` then takes back what is not wanted any more."""
        for topic, payload in retained.items():
            self._sent.setdefault(topic, payload)
            self._record(topic, payload)

    def update(self, documents: Mapping[str, Mapping[str, Any]], kept: Collection[str] = ()) -> None:
        """Announce `documents`, by topic, and nothing else; those that are first are sent first.

        What an earlier run has announced on the topics `kept` stays as it is.
        """
        self._wanted = wanted = {topic: payload_of(document) for topic, document in documents.items()}
        self._refused &= wanted.keys()
        stay = {*wanted, *kept}
        others = [topic for topic in (*self._sent, *self._under_way) if topic not in stay]
        changed = [topic for topic, payload in wanted.items() if self._sent.get(topic) != payload]
        # Those of another form are marked first, so that Home Assistant lets the new form take over their entities with
        # the names that people have given them, and they are removed at the end.
        forms = {is_device_form(topic) for topic in changed}
        there = {**self._sent, **{topic: payload for topic, (payload, _) in self._under_way.items()}}
        marked = [topic for topic in others if there[topic] and forms and is_device_form(topic) not in forms]
        self._marks = dict.fromkeys(marked)
        # What waits already is to be announced again, though nothing in it has changed.
        waiting = [topic for topic in self._queue if topic in wanted]
        queue = dict.fromkeys([*marked, *changed, *waiting, *others])
        if not queue.keys() <= {*self._queue, *self._later, *self._under_way}:
            self._is_paused = False  # what is new is tried at once
        self._later = {topic: None for topic in self._later if topic in queue}
        self._queue = {topic: None for topic in queue if topic not in self._later}
        self._count_left()

    def announce_all(self) -> None:
        """Announce everything again: the broker has lost its memory, or Home Assistant has started."""
        self._queue = dict.fromkeys([*self._wanted, *self._queue])
        self._all_at = math.inf
        self.try_again()

    def try_again(self) -> None:
        """Try again what was refused."""
        self._queue |= self._later
        self._later = {}
        self._retry_at, self._is_paused = math.inf, False

    def home_assistant_started(self) -> None:
        """Announce everything again soon."""
        if self._all_at == math.inf:  # or many of its messages would draw a delay of nothing
            self._all_at = self._clock() + self._uniform(0.0, _LONGEST_DELAY)

    @property
    def due_in(self) -> float:
        """The seconds until `step` has something to do of itself; infinite: only once something has been delivered."""
        due = -math.inf if self._has_room and self._queue else min(self._all_at, self._retry_at)
        return math.inf if due == math.inf else max(0.0, due - self._clock())

    @property
    def _has_room(self) -> bool:
        """Whether another document may be under way."""
        return not self._is_paused and len(self._under_way) < (_SLICE if self._is_accepted else 1)

    def step(self) -> None:
        """Send what is next, as far as there is room for it."""
        self._step()
        self._count_left()

    def _step(self) -> None:
        now = self._clock()
        if now >= self._all_at:
            self.announce_all()
        if now >= self._retry_at:
            self.try_again()
        if self._under_way:
            self._settle(now)
        while self._queue and self._has_room:
            topic = next((topic for topic in self._queue if topic not in self._under_way), None)
            if topic is None:
                return
            del self._queue[topic]
            self._send(topic, now)

    def _send(self, topic: str, now: float) -> None:
        payload = self._wanted.get(topic, b"")
        if topic in self._marks:
            del self._marks[topic]
            payload = MIGRATE
            self._queue[topic] = None  # behind the documents of the other form
        elif payload:
            payload = with_tombstones(payload, self._sent.get(topic, b""))
        receipt = Receipt(is_derived=True)
        if self._put(Publication(topic, payload, qos=1, retain=True, lane=Lane.BULK), receipt):
            self._under_way[topic] = _UnderWay(payload, receipt)
        else:
            self._queue[topic] = None
            self._retry_at, self._is_paused = now + _FIRST_RETRY, True

    def _retry(self, topic: str, now: float) -> None:
        """Send what is on `topic` again, but not soon."""
        self._later[topic] = None
        self._refused_in_turn += 1
        self._is_accepted = False
        self._is_paused = self._is_paused or self._refused_in_turn > 1
        if self._retry_at == math.inf:
            self._retry_at = now + self._retries.next_delay()

    def _settle(self, now: float) -> None:
        for topic, (payload, receipt) in list(self._under_way.items()):
            if receipt.is_delivered:
                del self._under_way[topic]
                self._counts["marked" if payload == MIGRATE else "sent" if payload else "removed"] += 1
                self._refused_in_turn, self._is_accepted = 0, True
                self._retries.reset()
                if topic in self._refused:
                    self._refused.discard(topic)
                    if not self._refused:
                        LOG.info("the broker accepts the announcements to Home Assistant again")
                self._record(topic, payload)
                if payload:
                    self._sent[topic] = payload
                else:
                    self._sent.pop(topic, None)
                if payload != self._wanted.get(topic, b""):
                    self._queue[topic] = None  # what is gone was sent with its platform only; now it is left out
            elif receipt.dropped:
                del self._under_way[topic]
                self._counts["refused"] += 1
                self._retry(topic, now)
                if not self._refused:
                    LOG.warning(
                        "%a could not be published for Home Assistant: %s: let the limits and the access rules of the "
                        "broker allow it; the gateway tries again from time to time",
                        topic,
                        receipt.dropped,
                    )
                self._refused.add(topic)
