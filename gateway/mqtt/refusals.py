"""Decides whether a message that the broker has refused is to blame, or the broker. Pure.

Most reason codes say which it is. Two do not: "unspecified error" and "implementation specific error". RabbitMQ
answers the latter to every message as long as the node with the queue of any subscriber is down. So a message that is
refused with one of these is sent again, and is to blame only if the broker has accepted another one between two of its
refusals.
"""

from __future__ import annotations

from gateway.mqtt.reason_codes import can_be_sent_again, is_clear

_MOST = 1000  # refused messages that are remembered; more than are in flight


class Refusals:
    """Knows which messages, by their numbers in the outbox, the broker has refused without a clear reason."""

    def __init__(self) -> None:
        self._accepted = 0
        self._doubtful: dict[int, int] = {}  # by message: how many had been accepted when it was refused last

    def accepted(self, count: int) -> None:
        """Record that the broker has accepted messages."""
        self._accepted += count

    def is_final(self, number: int, reason: int) -> bool:
        """Return whether the message is to blame for its refusal with `reason`; otherwise it is to be sent again."""
        if can_be_sent_again(reason):
            return False
        if is_clear(reason):
            return True
        previous = self._doubtful.pop(number, self._accepted)
        if previous != self._accepted:
            return True
        if len(self._doubtful) >= _MOST:  # the outbox has dropped them, or the broker was left for another one
            self._doubtful.clear()
        self._doubtful[number] = self._accepted
        return False
