"""How long what a thread does now may take: a trial of rules that somebody types must not keep a thread for minutes."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Deadline(threading.local):
    """The time at which what the current thread does is to end. Only what can take long looks at it."""

    def __init__(self) -> None:
        self._at = math.inf

    @property
    def is_over(self) -> bool:
        """Whether the time has passed."""
        return self._at != math.inf and time.monotonic() > self._at

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let what is done inside end after `seconds`."""
        previous, self._at = self._at, min(self._at, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._at = previous


DEADLINE = Deadline()
"""The deadline of the current thread; by default it has none."""
