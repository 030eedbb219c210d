"""The receipt for one message, to wait until it is safe, or until it has arrived."""

from __future__ import annotations

from threading import Event

from gateway.errors import DeliveryError


class Receipt:
    """What has become of one message. Any thread may wait for it; the outbox sets it.

    A message is first accepted: committed to the disk, or, in an outbox in memory, added to it. Then it is delivered:
    the broker has acknowledged it (QoS 1), or it was sent (QoS 0). It may be dropped instead.

    `is_derived`: whoever has put the message makes it anew whenever that is needed, also after a restart or a refusal;
    an old one must never come later.
    """

    __slots__ = ("__weakref__", "_accepted", "_ended", "dropped", "is_delivered", "is_derived")

    def __init__(self, *, is_derived: bool = False) -> None:
        self.is_derived = is_derived
        self._accepted = Event()
        self._ended = Event()
        self.is_delivered = False
        self.dropped = ""
        """Why the message was dropped; `""` if it was not."""

    @property
    def is_accepted(self) -> bool:
        """Whether the message is safe: it outlives the gateway, or has been delivered."""
        return self._accepted.is_set() and not self.dropped

    def wait_accepted(self, timeout: float | None = None) -> None:
        """Return once the message is accepted.

        Raises `DeliveryError` if it is dropped, or not accepted within `timeout` s (None: no limit).
        """
        self._wait(self._accepted, "accepted", timeout)

    def wait_delivered(self, timeout: float | None = None) -> None:
        """Return once the message is delivered.

        Raises `DeliveryError` if it is dropped, or not delivered within `timeout` s (None: no limit).
        """
        self._wait(self._ended, "delivered", timeout)

    def _wait(self, event: Event, state: str, timeout: float | None) -> None:
        in_time = event.wait(timeout)
        if self.dropped:
            raise DeliveryError(f"the message was dropped: {self.dropped}")
        if not in_time:
            raise DeliveryError(f"the message was not {state} within {timeout:g} s")

    # --- called by the outbox

    def mark_accepted(self) -> None:
        """Record that the message is safe."""
        self._accepted.set()

    def mark_delivered(self) -> None:
        """Record that the broker has the message."""
        self.is_delivered = True
        self._accepted.set()
        self._ended.set()

    def mark_dropped(self, reason: str) -> None:
        """Record that the message is given up."""
        self.dropped = reason
        self._accepted.set()
        self._ended.set()
