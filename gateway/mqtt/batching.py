"""Decides which messages wait for more, so that a burst of messages is sent in few writes. Pure."""

from __future__ import annotations

from collections.abc import Callable

BATCH_SIZE = 100
"""Messages of a burst that are sent together."""

TICK = 0.002
"""Seconds after the last message of a burst at which the main thread sends what is still waiting."""

_FOLLOW_UP = 0.00006  # s after a message within which the next one belongs to the same burst


class BurstDetector:
    """Recognizes bursts by the time between messages, and counts the messages that wait for more to come.

    Any thread calls `record` and `add`, without a lock: the count is approximate if several do so simultaneously. The
    order of the assignments matters, see `continues`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_message = 0.0
        self._is_active = False  # a burst; the main thread knows about it and sends its last messages
        self.follow_up_until = 0.0
        """Until when a message belongs to the same burst as the last one."""
        self.batched = 0
        """Messages that wait for more."""
        self.count = 0
        """How many bursts there have been."""

    def record(self, now: float) -> bool:
        """Record a message; return whether it follows the last one so closely that more are to be expected."""
        is_follow_up = now < self.follow_up_until
        self._last_message = now
        self.follow_up_until = now + _FOLLOW_UP
        return is_follow_up

    def add(self) -> bool:
        """Let a recorded message wait for more; return whether the main thread has to be woken, to send the last."""
        self.batched += 1
        if self._is_active:
            return False
        self._is_active = True
        self.count += 1
        return True

    def sent(self) -> None:
        """Record that all messages that wait are being sent."""
        self.batched = 0

    def limit_wait(self, seconds: float) -> float:
        """Return how long (s) the main thread may wait instead of `seconds`, because a burst may end meanwhile.

        0 right after a burst: its last message may have come after the main thread last checked the outbox.
        """
        if not self._is_active:
            return seconds
        return min(seconds, TICK) if self.continues() else 0.0

    def continues(self) -> bool:
        """Return, and record, whether a burst goes on, so that its messages but the last are sent by their threads.

        A thread that adds a message records it first and checks `_is_active` afterwards; here it is the other way
        round. So either the time of that message is seen here, or that thread sees that no burst is active and wakes
        the main thread. If the flag was not reset first, a message could be seen by neither.
        """
        if self._is_active:
            self._is_active = False
            self._is_active = self._clock() - self._last_message < TICK
        return self._is_active
