"""What an earlier run of the gateway has left at the broker of the documents of its devices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from threading import Lock

from gateway.devices.document import is_state_document, published_part
from gateway.mqtt.recall import Recall


class DocumentRecall:
    """Holds documents back until it is known what the broker retains of an earlier run.

    Otherwise a document with the few values that have been read since the start would take the place of the whole one.
    `publish` publishes a document. Without a link, nothing is lost by that: a document is a state, of which only the
    latest counts.
    """

    def __init__(self, publish: Callable[[str, bytes], None]) -> None:
        self._publish = publish
        self._lock = Lock()
        self._held: dict[str, bytes] | None = {}
        self._retained: dict[str, bytes] = {}
        self._has_ended = False

    def request(self, topic_filter: str) -> Recall:
        """Return what is to be asked for at the broker; `""`: nothing, so that nothing is held back either."""
        if not topic_filter:
            self._held = None
        return Recall(topic_filter, self._on_retained, self._on_end)

    def _on_retained(self, topic: str, payload: bytes) -> None:
        self._retained[topic] = payload

    def _on_end(self) -> None:
        self._has_ended = True

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a document, or hold it back. Any thread may call it."""
        with self._lock:
            if self._held is not None:
                self._held[topic] = payload
                return
        self._publish(topic, payload)

    @property
    def is_due(self) -> bool:
        """Whether `finish` has something to do."""
        return self._has_ended and self._held is not None

    def finish(self, restore: Callable[[Mapping[str, bytes]], Collection[str]]) -> list[str]:
        """Publish what was held back; return the topics of documents that the broker retains of devices that are gone.

        `restore` gets what the broker retains, and returns the topics that are those of a device. Only the first call
        does anything.
        """
        if self._held is None:
            return []
        known = restore({topic: published_part(payload) for topic, payload in self._retained.items()})
        with self._lock:
            held, self._held = self._held or {}, None
        for topic, payload in held.items():
            self._publish(topic, payload)
        retained, self._retained = self._retained, {}
        return [topic for topic, payload in retained.items() if topic not in known and is_state_document(payload)]
