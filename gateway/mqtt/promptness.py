"""Proves how old a message can be at most that the broker has just delivered. Pure.

A network can delay for minutes what a broker has sent, while the link stays up. A message does not show when it was
sent, but a broker delivers everything through one queue, in order: what is read after the answer to a question was sent
after that question. So the gateway asks frequently, and what is read more than `max_age` after the last question that
was answered may be older than that: it counts as late.

The question is a token that the gateway publishes to itself (see `run_topic`), because that waits in the same queue. A
PINGRESP overtakes that queue: a broker keeps what is beyond its window of QoS 1, and answers a PINGREQ immediately. A
PINGREQ is therefore used only where the token is forbidden.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

_MIN_INTERVAL = 2.0  # s between two questions: each wakes the process twice, which should not happen every second
_QUESTIONS = 3  # in `max_age`: one that is answered slowly must not make the next command late
_DEFAULT_INTERVAL = 30.0  # s between two questions without a `max_age`: they also show what the broker remembers
_MAX_OPEN = 100  # questions without an answer that are remembered: a link does not last longer without an answer


class Promptness:
    """Proves how long (s) the oldest message that can come next has been on its way.

    `max_age` (s) is how old a command may be; 0 or less: any age. Ages below three times the shortest interval cannot
    be determined.
    """

    def __init__(self, max_age: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[Hashable, float] = {}  # when each question was sent that is not answered yet, in their order
        self._asked_at = self._proven = clock()
        self.round_trip: float | None = None
        """The seconds that the last question took to be answered; None: none was answered. The first one of a link does
        not count, because its answer waits for more than the broker."""
        self._is_first = False
        self.max_age = max_age

    @property
    def max_age(self) -> float:
        """The age (s) above which a message is late."""
        return self._limit

    @max_age.setter
    def max_age(self, seconds: float) -> None:
        self._interval = max(seconds / _QUESTIONS, _MIN_INTERVAL) if seconds > 0 else _DEFAULT_INTERVAL
        self._limit = _QUESTIONS * self._interval if seconds > 0 else math.inf

    @property
    def proven(self) -> float:
        """The time after which everything was sent that is received now."""
        return self._proven

    @property
    def late(self) -> float:
        """How old (s) what is received now may be, if that is more than `max_age`; otherwise 0."""
        age = self._clock() - self._proven
        return age if age > self._limit else 0.0

    @property
    def time_left(self) -> float:
        """The seconds until the next question is due, even if the last one was not answered: a broker may drop it."""
        return max(0.0, self._asked_at + self._interval - self._clock())

    def begin(self, since: float) -> None:
        """Start with a new link, on which everything that can be received was sent after `since`."""
        self._proven = since
        self._asked_at = self._clock()
        self.round_trip, self._is_first = None, True
        self._open.clear()

    def asked(self, question: Hashable) -> None:
        """Record that a question is sent now."""
        self._asked_at = self._clock()
        if len(self._open) < _MAX_OPEN:
            self._open[question] = self._asked_at

    def answered(self, question: Hashable = None) -> None:
        """Record the answer to `question`, or to the oldest one: whatever is read after it was sent after that."""
        if question is None:
            question = next(iter(self._open), None)
        if question not in self._open:
            return
        self._proven = self._open[question]
        self.round_trip = None if self._is_first else self._clock() - self._proven
        self._is_first = False
        for older in list(self._open):
            del self._open[older]
            if older == question:
                break
