"""States: retained messages of which only the latest value counts, such as an availability."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from threading import Lock
from typing import Protocol

from gateway.core.backoff import Backoff, no_jitter

_FIRST_RETRY, _LAST_RETRY = 10.0, 600.0  # s until a state is published again that the broker did not take


class Published(Protocol):
    """What has been published, and may not be with the broker yet."""

    def is_published(self) -> bool:
        """Return whether the broker has it."""


class _Suspension:
    """A state that the broker does not take for now: it may refuse each try, or end the link over it."""

    def __init__(self) -> None:
        self.delays = Backoff(_FIRST_RETRY, _LAST_RETRY, no_jitter)
        self.until: float | None = None  # None: it is being tried


class RetainedStates:
    """The states that the broker is to have, by topic. Any thread sets one; who has the turn of the link says them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()  # of what follows, and never held while anything is published
        self._states: dict[str, bytes] = {}
        self._unsaid: dict[str, None] = {}  # topics of states that have changed, in that order
        self._said: dict[str, tuple[bytes, Published]] = {}  # what was published last
        self._suspended: dict[str, _Suspension] = {}

    @property
    def suspended(self) -> Collection[str]:
        """The topics of the states that the broker did not take when they were published last."""
        return self._suspended.keys()

    def set(self, topic: str, payload: bytes) -> None:
        """Take note of the state `payload` of `topic`."""
        with self._lock:
            self._states[topic] = payload
            self._unsaid[topic] = None

    def forget(self, topic: str) -> None:
        """Say a state no more."""
        with self._lock:
            for by_topic in (self._states, self._unsaid, self._said, self._suspended):
                by_topic.pop(topic, None)

    def suspend(self, topic: str) -> float:
        """Do not publish the state of `topic` for a while, which grows each time; return for how long (s)."""
        suspension = self._suspended.setdefault(topic, _Suspension())
        delay = suspension.delays.next_delay()
        suspension.until = self._clock() + delay
        return delay

    def accepted(self, topic: str) -> bool:
        """Record that the broker has taken a state; return whether it did not before."""
        return self._suspended.pop(topic, None) is not None

    def is_suspended(self, topic: str) -> bool:
        """Return whether the state of `topic` is not to be published now."""
        suspension = self._suspended.get(topic)
        return suspension is not None and suspension.until is not None and suspension.until > self._clock()

    @property
    def time_left(self) -> float:
        """The seconds until a state is due that was suspended; infinite if there is none."""
        if not self._suspended:
            return math.inf
        with self._lock:
            ends = [suspension.until for suspension in self._suspended.values() if suspension.until is not None]
        return max(0.0, min(ends) - self._clock()) if ends else math.inf

    def resume(self) -> None:
        """Have those states published that were suspended and are due."""
        with self._lock:
            for topic, suspension in self._suspended.items():
                if suspension.until is not None and suspension.until <= self._clock():
                    suspension.until = None
                    self._said.pop(topic, None)
                    self._unsaid[topic] = None

    def resume_all(self) -> None:
        """Have all suspended states published again: it was the broker that was in trouble, and it is well now."""
        with self._lock:
            for topic in self._suspended:
                self._unsaid[topic] = None
            self._suspended.clear()

    def say_all_again(self) -> None:
        """Let every state be said again: a broker may forget."""
        with self._lock:
            self._unsaid = dict.fromkeys(self._states)

    def forget_said(self) -> None:
        """Take note that nothing of what was published is on its way any more."""
        self._said.clear()

    @property
    def has_unsaid(self) -> bool:
        """Tell whether `say` has anything to do."""
        return bool(self._unsaid)

    def say(self, publish: Callable[[str, bytes], Published | None], room: Callable[[], int]) -> None:
        """Publish what has changed, while there is `room` and a link, but for what is on its way."""
        while self._unsaid and room() > 0:
            with self._lock:
                topic = next(iter(self._unsaid), "")
                self._unsaid.pop(topic, None)
                payload = self._states.get(topic)
            if payload is None or self.is_suspended(topic):
                continue
            said, before = self._said.get(topic, (b"", None))
            if before is not None and said == payload and not before.is_published():
                continue
            published = publish(topic, payload)
            if published is None:
                return
            self._said[topic] = payload, published
