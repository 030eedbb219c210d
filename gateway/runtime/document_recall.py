"""What an earlier run of the gateway has left at the broker of the documents of its devices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from threading import Lock

from gateway.core.package_logger import package_logger
from gateway.devices.document import is_state_document, published_part
from gateway.mqtt.recall import NOTHING, Recall
from gateway.outbox.retained import MAX_BYTES, MAX_TOPICS, RetainedPayloads

LOG = package_logger(__name__)


class DocumentRecall:
    """Holds documents back until it is known what the broker retains of an earlier run.

    Otherwise a document with the few values that have been read since the start would take the place of the whole one.
    `publish` publishes a document, and must neither wait nor call this object. Without a link, nothing is lost by that:
    a document is a state, of which only the latest counts. Of what the broker retains, `max_topics` documents and
    `max_bytes` are used.
    """

    def __init__(
        self, publish: Callable[[str, bytes], None], max_topics: int = MAX_TOPICS, max_bytes: int = MAX_BYTES
    ) -> None:
        self._publish = publish
        self._lock = Lock()
        self._held: dict[str, bytes] | None = {}
        self._cleared: set[str] = set()  # what is known to be gone, though the broker may still tell of it
        self._retained = RetainedPayloads(max_topics, max_bytes)
        self._has_ended = self._is_full = False

    def request(self, *filters: str) -> Recall:
        """Return what is to be asked for at the broker; without `filters` nothing, so that nothing is held back."""
        if not filters:
            self._held = None
            return NOTHING
        return Recall(filters, self._on_retained, self._on_end)

    @property
    def is_waiting(self) -> bool:
        """Whether it is not known yet what the broker retains."""
        return self._held is not None

    def _on_retained(self, topic: str, payload: bytes) -> None:
        if not self._retained.put(topic, payload) and not self._is_full:
            self._is_full = True
            LOG.warning(
                "the broker retains too many documents of devices below the topic of this gateway: the devices of %a "
                "and others begin without earlier values: remove what is not needed there",
                topic,
            )

    def _on_end(self) -> None:
        self._has_ended = True

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a document, or hold it back. Any thread may call it.

        A topic is cleared at once, with an empty `payload`: nothing that was held back for it may come after that.
        """
        with self._lock:
            if self._held is not None:
                self._held.pop(topic, None)
                if payload:
                    self._held[topic] = payload
                    self._cleared.discard(topic)
                    return
                self._cleared.add(topic)
        self._publish(topic, payload)

    @property
    def is_due(self) -> bool:
        """Whether `finish` has something to do."""
        return self._has_ended and self._held is not None

    def finish(self, restore: Callable[[Mapping[str, bytes]], Collection[str]]) -> list[str]:
        """Publish what was held back; return the topics of documents that the broker retains of devices that are gone.

        `restore` gets what the broker retains, and returns the topics that are not those of a device that is gone.
        Only the first call does anything. Without a call, what is held back is never published: it may have less values
        than what the broker retains.
        """
        if self._held is None:
            return []
        told = self._retained.payloads.items()
        retained = {topic: published_part(payload) for topic, payload in told if topic not in self._cleared}
        known = restore(retained)
        with self._lock:  # also while they are published: a newer document could be published before the held one
            held, self._held = self._held or {}, None
            for topic, payload in held.items():
                self._publish(topic, payload)
        self._retained = RetainedPayloads()
        return [topic for topic, payload in retained.items() if topic not in known and is_state_document(payload)]
