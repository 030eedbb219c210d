"""Finds the publication over which a broker closes the link, where it does not say which it was. Pure.

A broker of MQTT 3.1.1 can refuse a message only by closing the link; sent again at each connect, one such message
would hold up all that follow for ever.
"""

from __future__ import annotations

import enum

from gateway.message import Publication

_LOSSES = 3  # links lost over the same publication, first among others, then alone, before it is given up


class Verdict(enum.Enum):
    """What a lost link means for what was in flight on it."""

    NONE = "nothing yet"
    ONE_BY_ONE = "it is to be sent again one by one, to see which it is"
    POISON = "the first of it is not to be sent again"


class PoisonDetector:
    """Counts the links that were lost over the same publication, in a row."""

    def __init__(self) -> None:
        self._suspect: Publication | None = None
        self._losses = 0
        self._one_by_one = 0

    @property
    def is_any(self) -> bool:
        """Tell whether anything is suspected, so that what is settled matters."""
        return self._suspect is not None or self._one_by_one > 0

    @property
    def is_strong(self) -> bool:
        """Tell whether publications are to be sent one by one."""
        return self._one_by_one > 0

    def lost(self, first: Publication, in_flight: int) -> Verdict:
        """Take note of a link that the broker closed, having acknowledged nothing on it.

        `first` is the oldest of the `in_flight` publications that it has left unacknowledged.
        """
        self._losses = self._losses + 1 if first == self._suspect else 1
        self._suspect = first
        if self._losses < _LOSSES:
            return Verdict.NONE
        self._suspect, self._losses = None, 0
        if self.is_strong:
            self._one_by_one -= 1
            return Verdict.POISON
        self._one_by_one = in_flight
        self._suspect = first
        return Verdict.ONE_BY_ONE

    def acquit(self, state: Publication) -> None:
        """Take note that the broker has acknowledged a state, which says nothing of the messages behind it.

        States go first on each link.
        """
        if state == self._suspect:
            self._suspect, self._losses = None, 0

    def try_alone(self, publication: Publication) -> None:
        """Have `publication` sent alone on a link on which others pass: if that ends at once, it is to blame."""
        self._suspect, self._losses = publication, _LOSSES - 1
        self._one_by_one = max(self._one_by_one, 1)

    def begin_anew(self) -> None:
        """Suspect nothing any more: nothing at all passes, so the broker is in trouble."""
        self._suspect, self._losses, self._one_by_one = None, 0, 0

    def settled(self, *, acknowledged: bool) -> None:
        """Take note that a publication is done with: `acknowledged` by the broker, or sent with QoS 0."""
        if acknowledged:
            self._suspect, self._losses = None, 0
        self._one_by_one = max(0, self._one_by_one - 1)
