"""Publications that may be the reason why a broker closes the link, kept aside until that is proven or refuted. Pure.

A link that ends whatever is published on it proves nothing against any publication, and neither does one that ends at
every second or tenth: the broker, or something in front of it, is in trouble. Therefore others have to be acknowledged
at the position on a link at which the suspect ended its own (the tokens of `run_topic` make sure that there are
others). If another publication ends the link before that, all of them are sent again later, in their order.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gateway.core.backoff import Backoff, no_jitter
from gateway.outbox.queues import Entry

MAX_ENTRIES = 100
"""Publications that are kept aside: the suspect, and those of its topic, which have to stay behind it."""

_FIRST_RETRY, _LAST_RETRY = 10.0, 600.0  # s until the suspect is sent again if nothing else was acknowledged meanwhile


class Quarantine:
    """Keeps one suspect aside, and those behind it that must not overtake it. The thread with the send lock calls it.

    Positions count the publications that the broker has acknowledged on a link.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._delays = Backoff(_FIRST_RETRY, _LAST_RETRY, no_jitter)
        self._retry_at = 0.0
        self._position = 0  # at which the suspect ended its link
        self._on_trial: Entry | None = None  # sent again after others had been acknowledged at that position
        self.entries: list[Entry] = []
        self.broker_in_doubt = False
        """Whether no message has been acknowledged since one was suspected."""

    def isolate(self, entry: Entry, position: int) -> bool:
        """Keep aside an entry that ended its link at `position`; return False if there was a suspect already.

        Then nothing was acknowledged between the two: neither is to blame, and all are to be sent again.
        """
        is_first = not self.entries
        self.broker_in_doubt = True
        self._on_trial = None
        self._position = position
        self.entries.append(entry)
        if is_first:
            self._retry_at = self._clock() + self._delays.next_delay()
        return is_first

    def filter(self, entries: list[Entry]) -> list[Entry]:
        """Return those of `entries` that may be sent, and keep the others: none may overtake one of its topic."""
        topics = {entry.publication.topic for entry in self.entries}
        self.entries += [entry for entry in entries if entry.publication.topic in topics]
        return [entry for entry in entries if entry.publication.topic not in topics]

    def release(self, *, is_trial: bool = False) -> list[Entry]:
        """Return what was kept aside, the suspect first. If `is_trial`, it is to blame if it ends this link, too."""
        entries, self.entries = self.entries, []
        self._on_trial = entries[0] if is_trial else None
        return entries

    def is_on_trial(self, entry: Entry) -> bool:
        """Return whether `entry` is the suspect, sent again after others have been acknowledged at its position."""
        return entry is self._on_trial

    def message_acknowledged(self) -> None:
        """Record that the broker has acknowledged a message: it works."""
        self.broker_in_doubt = False
        self._delays.reset()

    def can_be_tried(self, acknowledged: int) -> bool:
        """Return whether the suspect can be put on trial, when so many were acknowledged on this link."""
        return bool(self.entries) and acknowledged >= self._position

    @property
    def is_full(self) -> bool:
        """Whether more is kept aside than should be."""
        return len(self.entries) > MAX_ENTRIES

    @property
    def is_due(self) -> bool:
        """Whether the entries are to be sent again, whatever was acknowledged meanwhile."""
        return bool(self.entries) and (self.is_full or self._clock() >= self._retry_at)

    @property
    def time_left(self) -> float:
        """The seconds until the entries are due; infinite if there are none."""
        return max(0.0, self._retry_at - self._clock()) if self.entries else math.inf
