"""Errors in fast loops: said at once, then once per period with their count.

Pure: the clock comes in as an argument.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import ClassVar

PERIOD = 60.0  # s between two reports of the same error; an operator reads a log, not a film
_MAX_KEYS = 1000  # keys remembered per class: topics and words come from outside


class _Tally:
    __slots__ = ("held_back", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.held_back = 0


class Throttle:
    """Counts errors by key and tells which of them to report. Any thread may use it."""

    def __init__(self) -> None:
        self._tallies: OrderedDict[str, _Tally] = OrderedDict()
        self._lock = Lock()

    def count(self, key: str, period: float, now: float) -> tuple[int, float] | None:
        """Count one error; return None to keep it quiet, or how many there were in how many seconds.

        The first error of a key is reported at once, as one error in 0 seconds; then one report for
        each `period` (s) in which an error comes.
        """
        with self._lock:
            tally = self._tallies.get(key)
            if tally is not None and now - tally.since < period:
                tally.held_back += 1
                return None
            count, seconds = (1, 0.0) if tally is None else (tally.held_back + 1, now - tally.since)
            self._tallies[key] = _Tally(now)
            self._tallies.move_to_end(key)
            if len(self._tallies) > _MAX_KEYS:
                self._tallies.popitem(last=False)
            return count, seconds


class ThrottledException(Exception):  # noqa: N818  (the name is the seed's, and people use it)
    """An exception that knows whether it is time to say it.

    Each subclass has a counter and a clock of its own, and within it each `key` has. Make one, then log
    `report` if `trigger` is true::

        err = ConnectFailed("connection refused", key=host)
        if err.trigger:
            log.warning(err.report)

    `trigger` is true for the first error of a key, and then once per `period` (s); `report` is then the
    message, with the number of errors since the last report. `is_first` tells the very first of its key.
    It may be raised like any exception, too.
    """

    period: ClassVar[float] = PERIOD
    throttle: ClassVar[Throttle] = Throttle()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.throttle = Throttle()

    def __init__(
        self, message: str, *, key: str = "", period: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(message)
        counted = self.throttle.count(key, self.period if period is None else period, clock())
        self.trigger = counted is not None
        self.is_first = counted == (1, 0.0)
        self.report = ""
        if counted is not None:
            count, seconds = counted
            self.report = message if count == 1 else f"{message} ({count} times in the last {seconds:.0f} s)"
