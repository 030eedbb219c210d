"""When things are due: a heap. What is scheduled again for a sooner time leaves its old place in it behind. Pure."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Generic, Protocol, TypeVar

_MIN_PRUNED = 64


class Scheduled(Protocol):
    """What can be scheduled: it keeps the time (s) at which it is due itself; infinite: it is not."""

    scheduled: float


_T = TypeVar("_T", bound=Scheduled)
_MIN_PRUNED = 64


class Schedule(Generic[_T]):
    """The times at which things are due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _T]] = []
        self._limit = _MIN_PRUNED  # places in the heap at which those that were left behind are removed
        self._count = itertools.count()

    def due(self) -> float:
        """Return when the first of them is due; infinite: none is. Needs no guard."""
        first = self._heap[:1]  # in one step: another thread may take it away after a look whether there is one
        return first[0][0] if first else math.inf

    def put(self, entity: _T, when: float) -> None:
        """Have `entity` due at `when`, unless it is due sooner anyway."""
        if when < entity.scheduled:
            entity.scheduled = when
            if len(self._heap) >= self._limit:
                self._prune()
            heapq.heappush(self._heap, (when, next(self._count), entity))

    def _prune(self) -> None:
        """Keep one place of each: one that changes each second would leave thousands behind until its refresh."""
        places = {id(place[2]): place for place in self._heap if place[0] == place[2].scheduled}
        heap = list(places.values())
        heapq.heapify(heap)
        self._heap = heap  # as a whole: `due` needs no guard
        self._limit = max(_MIN_PRUNED, 2 * len(heap))

    def pop(self, now: float) -> _T | None:
        """Remove and return the first that is due by `now`, or None; one that was scheduled again is passed over."""
        while self._heap and self._heap[0][0] <= now:
            when, _, entity = heapq.heappop(self._heap)
            if when == entity.scheduled:
                entity.scheduled = math.inf
                return entity
        return None
