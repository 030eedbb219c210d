"""Who puts publications into the outbox, and waits until the broker has them. Used with the lock of the outbox."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.message import Publication
from gateway.outbox.queues import Entry, Source


class Batch(list[Publication]):
    """Publications of one `source`, which they keep while they go through the hands of the link."""

    source: Source | None = None


class Flush:
    """One who waits: how many of `source` are neither with the broker nor lost, of those up to the number `last`."""

    def __init__(self, source: Source, last: int, waiting: int) -> None:
        self.source = source
        self.last = last
        self.waiting = waiting

    def record_ended(self, entries: Iterable[Entry]) -> bool:
        """Record that `entries` are over; return whether there is nothing more to wait for."""
        for entry in entries:
            if entry.source is self.source and entry.number <= self.last:
                self.waiting -= 1
        return self.waiting <= 0

    @property
    def is_over(self) -> bool:
        """Whether all have ended, or one was lost."""
        return self.waiting <= 0 or self.source.dropped > 0
