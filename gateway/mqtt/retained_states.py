"""Retained states: messages of which only the latest value counts, such as an availability."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from threading import Lock
from typing import Protocol

from gateway.core.backoff import Backoff, no_jitter

_FIRST_RETRY, _LAST_RETRY = 10.0, 600.0  # s until a state is published again that the broker did not accept


class Published(Protocol):
    """A publication that was sent, and that the broker may not have yet."""

    def is_published(self) -> bool:
        """Return whether the broker has it."""


class _Suspension:
    """A state that the broker does not accept at present: it may refuse each try, or close the link over it."""

    def __init__(self) -> None:
        self.delays = Backoff(_FIRST_RETRY, _LAST_RETRY, no_jitter)
        self.until: float | None = None  # None: it is being tried


class RetainedStates:
    """The states that the broker is to have, by topic. An empty payload clears a topic, and is a state as well.

    Only so is the order kept between a topic that is cleared and one that is published again. Once the broker has
    acknowledged that it is clear, the topic is forgotten. Any thread calls `set` and `forget`; the thread that holds
    the send lock calls everything else.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.on_cleared: Callable[[str], None] = lambda _: None
        """Called with each topic of which the broker retains nothing any more; it must not call this object."""
        self._clock = clock
        self._lock = Lock()  # of the following attributes; never held while anything is published
        self._states: dict[str, bytes] = {}
        self._pending: dict[str, None] = {}  # topics of states that have changed, in the order of the changes
        self._last: dict[str, tuple[bytes, Published]] = {}  # what was published last on each topic
        self._suspended: dict[str, _Suspension] = {}
        self._published = 0

    def stats(self) -> dict[str, int]:
        """Return the counters: any thread may call this, without a lock."""
        return {
            "states": len(self._states),
            "states_pending": len(self._pending),
            "states_suspended": len(self._suspended),
            "states_published": self._published,
        }

    @property
    def suspended(self) -> Collection[str]:
        """The topics of the states that the broker did not accept when they were published last."""
        return self._suspended.keys()

    def set(self, topic: str, payload: bytes) -> None:
        """Set the state of `topic` to `payload`, to be published soon; an empty one clears the topic."""
        with self._lock:
            self._states[topic] = payload
            self._pending[topic] = None

    def forget(self, topic: str) -> None:
        """Stop publishing the state of `topic`."""
        with self._lock:
            for by_topic in (self._states, self._pending, self._last, self._suspended):
                by_topic.pop(topic, None)

    def suspend(self, topic: str) -> float:
        """Do not publish the state of `topic` for some time, longer each time; return for how long (s)."""
        suspension = self._suspended.setdefault(topic, _Suspension())
        delay = suspension.delays.next_delay()
        suspension.until = self._clock() + delay
        return delay

    def accepted(self, topic: str) -> bool:
        """Record that the broker has accepted a state; return whether it was suspended before."""
        was_suspended = self._suspended.pop(topic, None) is not None
        if self._states.get(topic) == b"":
            self._forget_cleared(topic)
        return was_suspended

    def _forget_cleared(self, topic: str) -> None:
        with self._lock:
            # What was acknowledged may be an older state, and the topic may have been set again meanwhile.
            payload, last = self._last.get(topic, (b"", None))
            is_clear = last is not None and not payload and last.is_published()
            if is_clear and self._states.get(topic) == b"" and topic not in self._pending:
                del self._states[topic], self._last[topic]
                self.on_cleared(topic)

    def is_suspended(self, topic: str) -> bool:
        """Return whether the state of `topic` must not be published now."""
        suspension = self._suspended.get(topic)
        return suspension is not None and suspension.until is not None and suspension.until > self._clock()

    @property
    def time_left(self) -> float:
        """The seconds until a suspended state is due; infinite if there is none."""
        if not self._suspended:
            return math.inf
        with self._lock:
            ends = [suspension.until for suspension in self._suspended.values() if suspension.until is not None]
        return max(0.0, min(ends) - self._clock()) if ends else math.inf

    def resume_all(self) -> None:
        """Publish all suspended states again: not they were the problem but the broker, and it works again."""
        with self._lock:
            for topic in self._suspended:
                self._pending[topic] = None
            self._suspended.clear()

    def republish_all(self) -> None:
        """Publish every state again: the broker may have forgotten them."""
        with self._lock:
            self._pending = dict.fromkeys(self._states)

    def reset_published(self) -> None:
        """Record that nothing that was published will be acknowledged any more."""
        self._last.clear()

    @property
    def is_idle(self) -> bool:
        """Whether no state is to be published, now or later, as long as none changes."""
        return not (self._pending or self._suspended)

    @property
    def has_pending(self) -> bool:
        """Whether `publish_pending` has anything to do."""
        return bool(self._pending)

    def resume_due(self) -> None:
        """Publish those suspended states again that are due."""
        with self._lock:
            for topic, suspension in self._suspended.items():
                if suspension.until is not None and suspension.until <= self._clock():
                    suspension.until = None
                    self._last.pop(topic, None)
                    self._pending[topic] = None

    def publish_pending(self, publish: Callable[[str, bytes], Published | None], room: Callable[[], int]) -> None:
        """Publish the states that have changed, while there is `room`.

        `publish` gets topic and payload; it returns None if there is no link. A value that was published already and
        is not acknowledged yet is not published twice. A different value is: its predecessor may still be on its way.
        """
        while self._pending and room() > 0:
            with self._lock:
                topic = next(iter(self._pending), "")
                self._pending.pop(topic, None)
                payload = self._states.get(topic)
            if payload is None or self.is_suspended(topic):
                continue
            last_payload, last = self._last.get(topic, (b"", None))
            if last is not None and last_payload == payload and not last.is_published():
                continue
            published = publish(topic, payload)
            if published is None:
                return
            self._published += 1
            self._last[topic] = payload, published
