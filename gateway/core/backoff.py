"""How long to wait before the next attempt. Pure: clock and random source are arguments."""

from __future__ import annotations

import random
from collections.abc import Callable


def no_jitter(_: float, bound: float) -> float:
    """Return the bound itself. Use it as `uniform` where no other gateway retries at the same time."""
    return bound


class Backoff:
    """Exponential backoff with full jitter: each delay is drawn from 0 to a bound that doubles up to a limit.

    The jitter keeps many gateways that have lost the same broker from reconnecting simultaneously. Times in seconds.
    Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
    """

    def __init__(self, first: float, limit: float, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._first = first
        self._limit = limit
        self._uniform = uniform
        self.tries = 0

    def next_delay(self) -> float:
        """Return the delay (s) before the next attempt, and count the attempt."""
        bound = min(self._limit, self._first * 2.0 ** min(self.tries, 60))
        self.tries += 1
        return self._uniform(0.0, bound)

    def reset(self) -> None:
        """Start again with the shortest delay, after a success that has lasted."""
        self.tries = 0
