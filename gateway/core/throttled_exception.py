"""Limits how often an error in a fast loop is logged: immediately, and then once per period with the count.

The clock is an argument. Suppressed errors are logged when their period ends, by a regular call of `report_suppressed`.
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

from gateway.core.package_logger import package_logger

MAX_UNTRUSTED_KEYS = 50
"""Maximum number of new keys reported in a period (`most_new_keys`) if other clients choose the keys."""

PERIOD = 60.0  # s between two reports of the same error; people must be able to read the log
_MAX_KEYS = 1000  # keys remembered per class: they contain topics and words that other clients choose


_REMEMBERED = 3600.0  # s, and at least ten periods, for which an error is remembered that does not occur any more
_LONGEST = 1000  # characters kept of a message; a line of the log is not longer
_MAX_LINES = 20  # reports per class at a time: the suppressed errors must not flood the log in turn


_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?\w*\d[\w.]*|\b[0-9A-F]{2,}\b")


def kind_of(reason: str) -> str:
    """Return a reason without its variable parts (quoted text, numbers, bytes), to be used as a key."""
    return _VARYING.sub("#", reason)


class Suppressed(NamedTuple):
    """A suppressed error: its last message, the level of the log, how often it occurred, and in how many seconds."""

    message: str
    level: int
    times: int
    seconds: float

    @property
    def report(self) -> str:
        """The message with the number of times it occurred."""
        how_often = "once more" if self.times == 1 else f"{self.times} more times"
        return f"{self.message} ({how_often} in the last {self.seconds:.0f} s)"


class _Tally:
    __slots__ = ("level", "message", "period", "since", "suppressed")

    def __init__(self, since: float, period: float) -> None:
        self.since = since
        self.period = period
        self.suppressed = 0
        self.message = ""
        self.level = logging.WARNING


class Throttle:
    """Counts errors by key and decides which of them to report. Any thread may call the methods."""

    def __init__(self, most_new_keys: float = math.inf) -> None:
        self._most_new_keys = most_new_keys
        self._new_keys: dict[int, tuple[float, int]] = {}  # by level: start of a period, and number of new keys in it
        self._tallies: OrderedDict[str, _Tally] = OrderedDict()  # the most recently reported one is the last
        self.suppressed = 0  # errors that were not reported one by one, since the start
        self._forgotten = 0  # suppressed errors whose keys are not remembered any more
        self._due = math.inf  # when the next suppressed error must be reported
        self._lock = Lock()

    def count(
        self, key: str, period: float, now: float, message: str = "", level: int = logging.WARNING
    ) -> tuple[int, float] | None:
        """Count one error; return None if it is suppressed, else the number of errors, and in how many seconds.

        The first error of a key is reported immediately, as one error in 0 seconds, and then there is one report for
        each `period` (s) in which an error occurs. If there are more than `most_new_keys` new keys of one level in a
        period, the errors of the others are suppressed.
        """
        with self._lock:
            tally = self._tallies.get(key)
            if tally is not None and now - tally.since < period:
                tally.suppressed += 1
                self.suppressed += 1
                tally.message, tally.level = message[:_LONGEST], level
                self._due = min(self._due, tally.since + period)
                return None
            count, seconds = (1, 0.0) if tally is None else (tally.suppressed + 1, now - tally.since)
            self._tallies[key] = new_tally = _Tally(now, period)
            self._tallies.move_to_end(key)
            is_above_limit = tally is None and self._exceeds_new_keys(period, now, level)
            if is_above_limit:
                new_tally.suppressed, new_tally.message, new_tally.level = 1, message[:_LONGEST], level
                self._due = min(self._due, now + period)
            if len(self._tallies) > _MAX_KEYS:
                forgotten = self._tallies.popitem(last=False)[1]
                if forgotten.suppressed:
                    self._forgotten += forgotten.suppressed
                    self._due = min(self._due, now + period)
            return None if is_above_limit else (count, seconds)

    def _exceeds_new_keys(self, period: float, now: float, level: int) -> bool:
        """Count a new key; return whether there were too many in this period."""
        begin, count = self._new_keys.get(level, (now, 0))
        if now - begin >= period:
            begin, count = now, 0
        self._new_keys[level] = begin, count + 1
        return count >= self._most_new_keys

    def pop_suppressed(self, now: float, *, is_last: bool = False) -> list[Suppressed]:
        """Return the suppressed errors whose period is over, and forget them; with `is_last`, all of them."""
        with self._lock:
            self._forget_old(now)
            if now < self._due and not (is_last and self._due < math.inf):
                return []
            self._due, due = math.inf, []
            for key, tally in list(self._tallies.items()):
                if not tally.suppressed:
                    continue
                if now - tally.since < tally.period and not is_last:
                    self._due = min(self._due, tally.since + tally.period)
                    continue
                due.append(Suppressed(tally.message, tally.level, tally.suppressed, now - tally.since))
                self._tallies[key] = _Tally(now, tally.period)
                self._tallies.move_to_end(key)
            due.sort(key=lambda error: (-error.level, -error.times))
            others = sum(error.times for error in due[_MAX_LINES:]) + self._forgotten
            self._forgotten = 0
            del due[_MAX_LINES:]
            if others:
                due.append(Suppressed("others of this kind", logging.WARNING, others, PERIOD))
            return due

    def _forget_old(self, now: float) -> None:
        while self._tallies:
            oldest = next(iter(self._tallies.values()))
            if oldest.suppressed or now - oldest.since < max(_REMEMBERED, 10 * oldest.period):
                return
            self._tallies.popitem(last=False)


class ThrottledException(Exception):  # noqa: N818  (a name of earlier versions that interfaces use)
    """An exception that decides whether it is logged or suppressed.

    Each subclass counts its own errors, separately for each `key`. Create an instance, and log `report` if `trigger`
    is true::

        err = ConnectFailed("connection refused", key=host)
        if err.trigger:
            log.warning(err.report)

    `trigger` is true for the first error of a key, and then once per `period` (s); `report` is then the message with
    the number of errors since the last report. `is_first` is true for the very first error of a key. An instance can
    also be raised, like any exception.

    The last errors of a series are not followed by another one that would report their number: `report_suppressed`
    logs it, to the logger of the package of the class or of `logged_as` (see `package_logger`), with the `level` that
    was given.
    """

    period: ClassVar[float] = PERIOD
    counts_are_logged: ClassVar[bool] = True
    """False for a class whose users decide themselves whether and where they log it."""
    most_new_keys: ClassVar[float] = math.inf
    """Maximum number of new keys reported in a period: a limit if other clients choose them, and could fill the log."""
    logged_as: ClassVar[str] = ""
    """The module whose logger logs the errors, if that is not the module of the class."""
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


def suppressed() -> int:
    """Return how many errors were not logged one by one, but only counted, since the start of the process."""
    return sum(cls.throttle.suppressed for cls in _classes(ThrottledException))


def report_suppressed(now: float | None = None, *, is_last: bool = False) -> None:
    """Log how many errors of each kind were suppressed, if their period is over; with `is_last`, all of them."""
    now = time.monotonic() if now is None else now
    for cls in _classes(ThrottledException):
        for error in cls.throttle.pop_suppressed(now, is_last=is_last) if cls.counts_are_logged else ():
            package_logger(cls.logged_as or cls.__module__).log(error.level, error.report)


def _classes(cls: type[ThrottledException]) -> Iterator[type[ThrottledException]]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _classes(subclass)
