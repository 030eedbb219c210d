"""What the broker retains for the outbox, so that it can be published again. Pure: no lock, no clock, no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MAX_TOPICS = 100_000
MAX_BYTES = 32 * 1024**2
"""How many topics, and bytes of topics and payloads, are remembered."""


class RetainedPayloads:
    """The last payload that was sent with retain, by topic, within limits."""

    def __init__(self, max_topics: int = MAX_TOPICS, max_bytes: int = MAX_BYTES) -> None:
        self.payloads: dict[str, bytes] = {}
        self._max_topics = max_topics
        self._max_bytes = max_bytes
        self._bytes = 0
        self._published_elsewhere: set[str] = set()

    def restore(self, payloads: Mapping[str, bytes]) -> None:
        """Start with `payloads`, which were remembered by an earlier run."""
        self.payloads = dict(payloads)
        self._bytes = sum(len(topic) + len(payload) for topic, payload in payloads.items())

    def put(self, topic: str, payload: bytes) -> bool:
        """Remember `payload` instead of the previous one of `topic`; an empty payload removes it.

        Return False if there is no room for it. The previous payload is then forgotten, too: published again, it
        would replace the newer one at the broker.
        """
        previous = self.payloads.get(topic)
        size = self._bytes - (0 if previous is None else len(topic) + len(previous))
        has_room = size + len(topic) + len(payload) <= self._max_bytes and (
            previous is not None or len(self.payloads) < self._max_topics
        )
        if payload and has_room:
            self.payloads[topic] = payload
            size += len(topic) + len(payload)
        else:
            self.payloads.pop(topic, None)
        self._bytes = size
        return has_room or not payload

    def mark_published_elsewhere(self, topic: str, *, is_published: bool) -> None:
        """Record whether another part of the gateway publishes `topic`, also again: then the outbox need not."""
        if is_published:
            self._published_elsewhere.add(topic)
        else:
            self._published_elsewhere.discard(topic)

    def to_republish(self) -> Iterator[tuple[str, bytes]]:
        """Yield each topic and payload that the outbox has to publish again when a broker has lost them."""
        for topic, payload in self.payloads.items():
            if topic not in self._published_elsewhere:
                yield topic, payload
