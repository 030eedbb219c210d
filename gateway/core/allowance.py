"""How much of what others ask for is done: so many times at once, and so many a second. The clock is an argument."""

from __future__ import annotations

import time
from collections.abc import Callable


class Allowance:
    """Allows `most` at once, and as many each `seconds` from then on."""

    def __init__(self, most: int, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._rate = float(most), most / seconds
        self._clock = clock
        self._left = self._most
        self._at = clock()

    def take(self) -> bool:
        """Return whether one more is allowed now, and count it."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
