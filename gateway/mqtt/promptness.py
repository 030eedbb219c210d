"""How old a message can be at most that the broker has just delivered. Pure.

A network can hold back for minutes what a broker has sent, while the link stays up. A message does not say when it was
sent, but the stream has an order: what is read behind the answer to a PINGREQ was sent after that PINGREQ. So the
gateway asks often enough, and what is read more than `max_age` after the last question that has been answered may be
older than that: it counts as late.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

_SHORTEST = 2.0  # s between two questions: each wakes the process twice, and more than one wake-up a second is too many
_SHARE = 3  # questions in `max_age`: one that is answered slowly must not make the next command late


class Promptness:
    """Proves how long (s) the oldest thing that can come next has been on its way.

    `max_age` (s) is what a command may be old; 0 or less: nobody wants to know, and nothing is asked. Ages below
    three times the shortest interval cannot be told.
    """

    def __init__(self, max_age: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: deque[float] = deque()  # when each question went out that has no answer yet
        self._proven = clock()
        self.max_age = max_age

    @property
    def max_age(self) -> float:
        """The age (s) over which a message is late."""
        return self._limit

    @max_age.setter
    def max_age(self, seconds: float) -> None:
        self._interval = max(seconds / _SHARE, _SHORTEST) if seconds > 0 else math.inf
        self._limit = _SHARE * self._interval

    @property
    def proven(self) -> float:
        """The time since which everything that comes now was sent."""
        return self._proven

    @property
    def is_late(self) -> bool:
        """Whether what comes now may be older than `max_age`."""
        return self._clock() - self._proven > self._limit

    @property
    def is_due(self) -> bool:
        """Whether it is time to ask."""
        return not self._open and self._clock() - self._proven >= self._interval

    @property
    def time_left(self) -> float:
        """The seconds until it is time to ask; infinite while an answer is awaited."""
        return math.inf if self._open else max(0.0, self._proven + self._interval - self._clock())

    def begin(self, since: float) -> None:
        """Begin with a new link, on which nothing can come that was sent before `since`."""
        self._proven = since
        self._open.clear()

    def asked(self) -> None:
        """Record that a question goes out now."""
        self._open.append(self._clock())

    def answered(self) -> None:
        """Record an answer, which is that to the oldest open question: what is read behind it was sent after that."""
        if self._open:
            self._proven = self._open.popleft()
