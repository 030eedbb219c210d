"""How old a message can be at most that the broker has just delivered. Pure.

A network can hold back for minutes what a broker has sent, while the link stays up. A message does not say when it was
sent, but what a broker has for us goes through one queue, in order: what is read behind the answer to a question was
sent after that question. So the gateway asks often enough, and what is read more than `max_age` after the last question
that has been answered may be older than that: it counts as late.

The question is a token that the gateway publishes to itself (see `run_topic`), for that waits in the same queue. A
PINGREQ is answered past it: a broker keeps what is beyond its window of QoS 1, and answers at once. It serves only
where the token is forbidden.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

_SHORTEST = 2.0  # s between two questions: each wakes the process twice, and more than one wake-up a second is too many
_SHARE = 3  # questions in `max_age`: one that is answered slowly must not make the next command late
_WITHOUT = 30.0  # s between two questions where nobody wants to know an age: they also show what the broker remembers
_MOST_OPEN = 100  # questions without an answer that are remembered: a link lives no longer without one


class Promptness:
    """Proves how long (s) the oldest thing that can come next has been on its way.

    `max_age` (s) is what a command may be old; 0 or less: nobody wants to know. Ages below three times the shortest
    interval cannot be told.
    """

    def __init__(self, max_age: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[Hashable, float] = {}  # when each question went out that has no answer yet, in their order
        self._asked_at = self._proven = clock()
        self.max_age = max_age

    @property
    def max_age(self) -> float:
        """The age (s) over which a message is late."""
        return self._limit

    @max_age.setter
    def max_age(self, seconds: float) -> None:
        self._interval = max(seconds / _SHARE, _SHORTEST) if seconds > 0 else _WITHOUT
        self._limit = _SHARE * self._interval if seconds > 0 else math.inf

    @property
    def proven(self) -> float:
        """The time since which everything that comes now was sent."""
        return self._proven

    @property
    def late(self) -> float:
        """How old (s) what comes now may be, if that is more than `max_age`; otherwise 0."""
        age = self._clock() - self._proven
        return age if age > self._limit else 0.0

    @property
    def time_left(self) -> float:
        """The seconds until it is time to ask: not only after an answer, for a broker may drop a question."""
        return max(0.0, self._asked_at + self._interval - self._clock())

    def begin(self, since: float) -> None:
        """Begin with a new link, on which nothing can come that was sent before `since`."""
        self._proven = since
        self._asked_at = self._clock()
        self._open.clear()

    def asked(self, question: Hashable) -> None:
        """Record that a question goes out now."""
        self._asked_at = self._clock()
        if len(self._open) < _MOST_OPEN:
            self._open[question] = self._asked_at

    def answered(self, question: Hashable = None) -> None:
        """Record the answer to `question`, or to the oldest one: whatever is read behind it was sent after that."""
        if question is None:
            question = next(iter(self._open), None)
        if question not in self._open:
            return
        self._proven = self._open[question]
        for older in list(self._open):
            del self._open[older]
            if older == question:
                break
