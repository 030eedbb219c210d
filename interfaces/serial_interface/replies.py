"""Replies to frames that wait to be written: before everything else, but never too many of them. Pure.

Two gateways that reply to each other's replies would do so for ever: a rule replies only so often in a second, which
ends such an exchange.
"""

from __future__ import annotations

from collections import deque

_MAX_WAITING = 10
MOST_PER_SECOND = 10
"""Replies of one rule in a second; more are dropped."""


class Replies:
    """The replies that wait. All times in seconds; `bytes_per_second` is a limit of the line (0: none)."""

    def __init__(self, bytes_per_second: float = 0.0) -> None:
        self._bytes_per_second = bytes_per_second
        self._waiting: deque[bytes] = deque()
        self._times: dict[str, deque[float]] = {}  # of the last replies, by the rule that makes them
        self._free_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def clear(self) -> None:
        """Forget the replies that wait, and the earlier ones: the connection or the rules are new ones."""
        self._waiting.clear()
        self._times.clear()
        self._free_at = 0.0

    def add(self, source: str, data: bytes, now: float) -> bool:
        """Append the reply of the rule `source`; return False if it must be dropped, because there are too many."""
        times = self._times.setdefault(source, deque(maxlen=MOST_PER_SECOND))
        is_often = len(times) == MOST_PER_SECOND and now - times[0] < 1.0
        if is_often or len(self._waiting) >= _MAX_WAITING:
            return False
        times.append(now)
        self._waiting.append(data)
        return True

    def pop(self, now: float) -> bytes:
        """Return the reply to write at `now`; nothing if there is none, or if the line is not free yet."""
        return self._waiting.popleft() if self._waiting and now >= self._free_at else b""

    def written(self, size: int, now: float) -> None:
        """Record that `size` bytes were written at `now`, whatever they were."""
        if self._bytes_per_second:
            self._free_at = now + size / self._bytes_per_second

    def due(self) -> float | None:
        """Return the time at which `pop` returns a reply, or None."""
        return self._free_at if self._waiting else None
