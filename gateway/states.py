"""States: retained messages of which only the latest value counts, such as an availability."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from paho.mqtt.client import MQTTMessageInfo


class States:
    """The states that the broker is to have, by topic. Any thread sets one; the main thread says them."""

    def __init__(self) -> None:
        self._states: dict[str, bytes] = {}
        self._unsaid: deque[str] = deque()  # topics of states that have changed
        self._said: dict[str, tuple[bytes, MQTTMessageInfo]] = {}  # what paho was given last
        self._pending: deque[MQTTMessageInfo] = deque()  # what the broker has not acknowledged, in order

    def set(self, topic: str, payload: bytes) -> None:
        """Take note of the state `payload` of `topic`."""
        self._states[topic] = payload
        self._unsaid.append(topic)

    def forget(self, topic: str) -> None:
        """Say a state no more."""
        self._states.pop(topic, None)

    def say_all_again(self) -> None:
        """Let every state be said in the next turn: a broker may forget."""
        self._unsaid = deque(self._states)

    def forget_said(self) -> None:
        """Take note that paho has nothing any more of what it was given."""
        self._said.clear()
        self._pending.clear()

    @property
    def has_unsaid(self) -> bool:
        """Tell whether `say` has anything to do."""
        return bool(self._unsaid)

    @property
    def pending(self) -> int:
        """Return how many are with paho and not yet with the broker."""
        while self._pending and self._pending[0].is_published():
            self._pending.popleft()
        return len(self._pending)

    def topic_of(self, mid: int) -> str:
        """Return the topic of the state that paho was given under a packet identifier; `""` if none was."""
        return next((topic for topic, (_, info) in self._said.items() if info.mid == mid), "")

    def say(self, publish: Callable[[str, bytes], MQTTMessageInfo], room: Callable[[], int]) -> None:
        """Publish what has changed, while there is `room`, but for what paho still has, and sends."""
        while self._unsaid and room() > 0:
            topic = self._unsaid.popleft()
            payload = self._states.get(topic)
            if payload is None:
                continue
            said, info = self._said.get(topic, (b"", None))
            if info is None or said != payload or info.is_published():
                info = publish(topic, payload)
                self._said[topic] = payload, info
                self._pending.append(info)
