"""Errors in fast loops: logged at once, then once per period with their count.

The clock comes in as an argument. What was held back is logged when its period ends, by whoever looks now and then.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock
from typing import ClassVar, NamedTuple

MAX_UNTRUSTED_KEYS = 50
"""New keys that are reported in a period (`most_new_keys`) where whoever publishes chooses them."""

PERIOD = 60.0  # s between two reports of the same error; an operator reads a log, not a film
_MAX_KEYS = 1000  # keys remembered per class: topics and words come from outside


_REMEMBERED = 3600.0  # s, and at least ten periods, that an error is remembered that comes no more
_LONGEST = 1000  # characters kept of a message; a line of the log has no more
_MAX_LINES = 20  # of one class at a time: what was held back is not to become a flood in its turn


_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?\w*\d[\w.]*|\b[0-9A-F]{2,}\b")


def kind_of(reason: str) -> str:
    """Return a reason without what differs each time: what stands in quotes, numbers, and bytes. For a key."""
    return _VARYING.sub("#", reason)


class Suppressed(NamedTuple):
    """An error that was not reported: its last message, the level of the log, how often, and in how many seconds."""

    message: str
    level: int
    times: int
    seconds: float

    @property
    def report(self) -> str:
        """The message with how often it came."""
        how_often = "once more" if self.times == 1 else f"{self.times} more times"
        return f"{self.message} ({how_often} in the last {self.seconds:.0f} s)"


class _Tally:
    __slots__ = ("held_back", "level", "message", "period", "since")

    def __init__(self, since: float, period: float) -> None:
        self.since = since
        self.period = period
        self.held_back = 0
        self.message = ""
        self.level = logging.WARNING


class Throttle:
    """Counts errors by key and tells which of them to report. Any thread may use it."""

    def __init__(self, most_new_keys: float = math.inf) -> None:
        self._most_new_keys = most_new_keys
        self._new_keys: dict[int, tuple[float, int]] = {}  # by level: begin of a period, and how many came in it
        self._tallies: OrderedDict[str, _Tally] = OrderedDict()  # the one that was reported last at the end
        self._forgotten = 0  # held back, and no place to remember them
        self._due = math.inf  # when something that was held back is to be told
        self._lock = Lock()

    def count(
        self, key: str, period: float, now: float, message: str = "", level: int = logging.WARNING
    ) -> tuple[int, float] | None:
        """Count one error; return None to keep it quiet, or how many there were in how many seconds.

        The first error of a key is reported at once, as one error in 0 seconds; then one report for
        each `period` (s) in which an error comes. Of new keys no more than so many of each level are reported at
        once in a period; the others are held back.
        """
        with self._lock:
            tally = self._tallies.get(key)
            if tally is not None and now - tally.since < period:
                tally.held_back += 1
                tally.message, tally.level = message[:_LONGEST], level
                self._due = min(self._due, tally.since + period)
                return None
            count, seconds = (1, 0.0) if tally is None else (tally.held_back + 1, now - tally.since)
            self._tallies[key] = fresh = _Tally(now, period)
            self._tallies.move_to_end(key)
            is_one_too_many = tally is None and self._is_one_too_many(period, now, level)
            if is_one_too_many:
                fresh.held_back, fresh.message, fresh.level = 1, message[:_LONGEST], level
                self._due = min(self._due, now + period)
            if len(self._tallies) > _MAX_KEYS:
                forgotten = self._tallies.popitem(last=False)[1]
                if forgotten.held_back:
                    self._forgotten += forgotten.held_back
                    self._due = min(self._due, now + period)
            return None if is_one_too_many else (count, seconds)

    def _is_one_too_many(self, period: float, now: float, level: int) -> bool:
        """Count a new key; return whether too many came lately."""
        begin, count = self._new_keys.get(level, (now, 0))
        if now - begin >= period:
            begin, count = now, 0
        self._new_keys[level] = begin, count + 1
        return count >= self._most_new_keys

    def pop_suppressed(self, now: float, *, is_last: bool = False) -> list[Suppressed]:
        """Return what was held back and is to be reported now: its period is over, or, with `is_last`, all of it."""
        with self._lock:
            self._forget_old(now)
            if now < self._due and not (is_last and self._due < math.inf):
                return []
            self._due, found = math.inf, []
            for key, tally in list(self._tallies.items()):
                if not tally.held_back:
                    continue
                if now - tally.since < tally.period and not is_last:
                    self._due = min(self._due, tally.since + tally.period)
                    continue
                found.append(Suppressed(tally.message, tally.level, tally.held_back, now - tally.since))
                self._tallies[key] = _Tally(now, tally.period)
                self._tallies.move_to_end(key)
            found.sort(key=lambda held: (-held.level, -held.times))
            others = sum(held.times for held in found[_MAX_LINES:]) + self._forgotten
            self._forgotten = 0
            del found[_MAX_LINES:]
            if others:
                found.append(Suppressed("others of this kind", logging.WARNING, others, PERIOD))
            return found

    def _forget_old(self, now: float) -> None:
        while self._tallies:
            oldest = next(iter(self._tallies.values()))
            if oldest.held_back or now - oldest.since < max(_REMEMBERED, 10 * oldest.period):
                return
            self._tallies.popitem(last=False)


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

    What comes last is not followed by another one that would tell its number: `report_suppressed` logs that, to the
    logger of the module of the class, with the `level` that was given.
    """

    period: ClassVar[float] = PERIOD
    counts_are_logged: ClassVar[bool] = True
    """False for a class whose makers log it where, and if, they like."""
    most_new_keys: ClassVar[float] = math.inf
    """How many new keys are reported in a period: a bound where a stranger chooses the keys, and could fill the log."""
    throttle: ClassVar[Throttle] = Throttle()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.throttle = Throttle(cls.most_new_keys)

    def __init__(
        self,
        message: str,
        *,
        key: str = "",
        period: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        level: int = logging.WARNING,
    ) -> None:
        super().__init__(message)
        counted = self.throttle.count(key, self.period if period is None else period, clock(), message, level)
        self.trigger = counted is not None
        self.is_first = counted == (1, 0.0)
        self.report = ""
        if counted is not None:
            count, seconds = counted
            self.report = message if count == 1 else f"{message} ({count} times in the last {seconds:.0f} s)"


def report_suppressed(now: float | None = None, *, is_last: bool = False) -> None:
    """Log how many errors of each kind were held back, where the period is over; with `is_last`, of all of them."""
    now = time.monotonic() if now is None else now
    for cls in _classes(ThrottledException):
        for held in cls.throttle.pop_suppressed(now, is_last=is_last) if cls.counts_are_logged else ():
            logging.getLogger(cls.__module__).log(held.level, held.report)


def _classes(cls: type[ThrottledException]) -> Iterator[type[ThrottledException]]:
    yield cls
    for each in cls.__subclasses__():
        yield from _classes(each)
