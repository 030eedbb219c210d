"""Detects that the main thread has not run for much longer than it planned to wait. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

STOOD_STILL = 10.0
"""Seconds by which a wait of the main thread may be late; beyond that, the process or the machine was stopped."""


class StandstillDetector:
    """Compares the time at which the main thread runs with the time at which it planned to run again.

    A process that was stopped (SIGSTOP, a suspended machine, a debugger) holds a link that the broker may have given
    up long ago. Nothing may be written to such a link before the main thread has closed it.

    The main thread calls the methods. Other threads only read, without a lock: each attribute is set in one step.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._planned = 0.0  # s of the last wait that was planned
        self.last_seen = clock()
        """When the main thread last reported that it runs."""
        self.overdue_at = self.last_seen + STOOD_STILL
        """When the main thread is considered to have stood still, if it has not reported until then."""
        self.busy_since = self.last_seen
        """Since when the main thread runs; infinite: it waits."""
        self.count = 0
        """How many standstills the main thread has noticed."""

    def begin_wait(self, seconds: float) -> None:
        """Record that the main thread is about to wait for up to `seconds`."""
        self._planned = seconds
        self.overdue_at = self.last_seen + seconds + STOOD_STILL
        self.busy_since = math.inf

    def end_wait(self) -> float:
        """Record that the main thread runs; return by how many seconds that is later than planned."""
        now = self._clock()
        late = now - self.last_seen - self._planned
        self.last_seen = self.busy_since = now
        self.overdue_at = now + self._planned + STOOD_STILL
        if late >= STOOD_STILL:
            self.count += 1
        return late

    def reset(self) -> None:
        """Record that the main thread runs, without asking whether it is late."""
        self.last_seen = self.busy_since = now = self._clock()
        self.overdue_at = now + self._planned + STOOD_STILL

    @property
    def busy_for(self) -> float:
        """The seconds for which the main thread has been running, or is late; 0 while it waits as it planned."""
        now = self._clock()
        if now > self.overdue_at:
            return now - self.overdue_at + STOOD_STILL
        return max(0.0, now - self.busy_since)
