"""A receipt for one message: wait on it to know that it is safe, or that it has arrived."""

from __future__ import annotations

from threading import Event

from gateway.errors import DeliveryError


class Receipt:
    """What has become of one message. Any thread may wait; the outbox tells it.

    A message is first accepted: committed to the disk, or, with an outbox in memory, taken into it. Then it is
    delivered: the broker has acknowledged it (QoS 1), or it was sent (QoS 0). It may be dropped instead.
    """

    __slots__ = ("__weakref__", "_accepted", "_ended", "dropped", "is_delivered")

    def __init__(self) -> None:
        self._accepted = Event()
        self._ended = Event()
        self.is_delivered = False
        self.dropped = ""
        """Why it was dropped; `""` as long as it was not."""

    @property
    def is_accepted(self) -> bool:
        """Whether it is safe: it outlives the gateway, or has been delivered."""
        return self._accepted.is_set() and not self.dropped

    def wait_accepted(self, timeout: float | None = None) -> None:
        """Return once the message is accepted; raise `DeliveryError` if it is dropped, or not within `timeout` s."""
        self._wait(self._accepted, "accepted", timeout)

    def wait_delivered(self, timeout: float | None = None) -> None:
        """Return once the message is delivered; raise `DeliveryError` if it is dropped, or not within `timeout` s."""
        self._wait(self._ended, "delivered", timeout)

    def _wait(self, event: Event, what: str, timeout: float | None) -> None:
        in_time = event.wait(timeout)
        if self.dropped:
            raise DeliveryError(f"the message was dropped: {self.dropped}")
        if not in_time:
            raise DeliveryError(f"the message was not {what} within {timeout:g} s")

    # --- what the outbox says

    def mark_accepted(self) -> None:
        """Take note that the message is safe."""
        self._accepted.set()

    def mark_delivered(self) -> None:
        """Take note that the broker has the message."""
        self.is_delivered = True
        self._accepted.set()
        self._ended.set()

    def mark_dropped(self, reason: str) -> None:
        """Take note that the message is given up."""
        self.dropped = reason
        self._accepted.set()
        self._ended.set()
