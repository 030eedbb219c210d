"""States: retained messages of which only the latest value counts, such as an availability."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol


class Published(Protocol):
    """What has been published, and may not be with the broker yet."""

    def is_published(self) -> bool:
        """Tell whether the broker has it."""


class States:
    """The states that the broker is to have, by topic. Any thread sets one; who has the turn of the link says them."""

    def __init__(self) -> None:
        self._states: dict[str, bytes] = {}
        self._unsaid: deque[str] = deque()  # topics of states that have changed
        self._said: dict[str, tuple[bytes, Published]] = {}  # what was published last
        self._given_up: set[str] = set()  # topics over which the broker closes the link

    def set(self, topic: str, payload: bytes) -> None:
        """Take note of the state `payload` of `topic`."""
        self._states[topic] = payload
        self._unsaid.append(topic)

    def forget(self, topic: str) -> None:
        """Say a state no more."""
        self._states.pop(topic, None)

    def give_up(self, topic: str) -> None:
        """Say a state no more, whatever it becomes."""
        self._given_up.add(topic)

    def say_all_again(self) -> None:
        """Let every state be said again: a broker may forget."""
        self._unsaid = deque(self._states)

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
            topic = self._unsaid.popleft()
            payload = self._states.get(topic)
            if payload is None or topic in self._given_up:
                continue
            said, before = self._said.get(topic, (b"", None))
            if before is not None and said == payload and not before.is_published():
                continue
            published = publish(topic, payload)
            if published is None:
                return
            self._said[topic] = payload, published
