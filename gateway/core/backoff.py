"""How long to wait before the next try. Pure: clock and chance come in as arguments."""

from __future__ import annotations

import random
from collections.abc import Callable


def undrawn(_: float, bound: float) -> float:
    """Return the bound itself, as the `uniform` of what no other gateway waits for: its delays need no chance."""
    return bound


class Backoff:
    """Exponential backoff with full jitter: each delay is drawn from 0 to a bound that doubles up to a limit.

    Many gateways that lost the same broker thus do not come back in step. Times in seconds.
    Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
    """

    def __init__(self, first: float, limit: float, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._first = first
        self._limit = limit
        self._uniform = uniform
        self.tries = 0

    def next_delay(self) -> float:
        """Return the delay before the next try, and count it."""
        bound = min(self._limit, self._first * 2.0 ** min(self.tries, 60))
        self.tries += 1
        return self._uniform(0.0, bound)

    def reset(self) -> None:
        """Begin again with the shortest delays: what was tried has held."""
        self.tries = 0
