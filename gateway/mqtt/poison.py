"""Finds the publication because of which a broker closes the link, if the broker does not name it. Pure.

A broker of MQTT 3.1.1 can refuse a message only by closing the link. If such a message were sent again at each connect,
it would block all that follow it forever.
"""

from __future__ import annotations

import enum

from gateway.message import Publication

_LOSSES = 3  # links lost over the same publication, first among others and then alone, before it is given up


class Verdict(enum.Enum):
    """What a lost link means for the publications that were in flight on it."""

    NONE = "nothing yet"
    ONE_BY_ONE = "they are to be sent again one by one, to find out which one it is"
    POISON = "the first of them must not be sent again"


class PoisonDetector:
    """Counts how many links in a row were lost over the same publication."""

    def __init__(self) -> None:
        self._suspect: Publication | None = None
        self._losses = 0
        self._one_by_one = 0  # publications that are to be sent one by one
        self._poisonous = 0

    def stats(self) -> dict[str, int]:
        """Return the counters: any thread may call this, without a lock."""
        return {"links_lost_in_a_row": self._losses, "one_by_one": self._one_by_one, "poisonous": self._poisonous}

    @property
    def is_active(self) -> bool:
        """Whether anything is suspected, so that `settled` has to be called."""
        return self._suspect is not None or self._one_by_one > 0

    @property
    def one_by_one(self) -> bool:
        """Whether publications are to be sent one by one."""
        return self._one_by_one > 0

    def lost(self, first: Publication, in_flight: int) -> Verdict:
        """Return what it means that the broker has closed a link without acknowledging anything on it.

        `first` is the oldest of the `in_flight` publications that the broker has not acknowledged.
        """
        self._losses = self._losses + 1 if first == self._suspect else 1
        self._suspect = first
        if self._losses < _LOSSES:
            return Verdict.NONE
        self._suspect, self._losses = None, 0
        if self.one_by_one:
            self._one_by_one -= 1
            self._poisonous += 1
            return Verdict.POISON
        self._one_by_one = in_flight
        self._suspect = first
        return Verdict.ONE_BY_ONE

    def clear(self, state: Publication) -> None:
        """Record that the broker has acknowledged a state: that one is not to blame.

        It proves nothing about the messages behind it, for states are sent first on each link.
        """
        if state == self._suspect:
            self._suspect, self._losses = None, 0

    def try_alone(self, publication: Publication) -> None:
        """Send `publication` alone on a link on which others were acknowledged: one more loss proves that it is bad."""
        self._suspect, self._losses = publication, _LOSSES - 1
        self._one_by_one = max(self._one_by_one, 1)

    def reset(self) -> None:
        """Suspect nothing any more: the broker acknowledges nothing at all, so no message is to blame."""
        self._suspect, self._losses, self._one_by_one = None, 0, 0

    def settled(self, *, acknowledged: bool) -> None:
        """Record that a publication is done with: `acknowledged` by the broker, or sent with QoS 0."""
        if acknowledged:
            self._suspect, self._losses = None, 0
        self._one_by_one = max(0, self._one_by_one - 1)
