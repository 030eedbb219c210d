"""Limits how often an error in a fast loop is logged: immediately, and then once per period with the count.

The periods of an error that goes on grow: each is twice as long as the one before it, up to `LONGEST_PERIOD`, so that
an outage of a day makes few lines. The clock is an argument. Suppressed errors are logged when their period ends, or
when they have stopped, by a regular call of `report_suppressed`.
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

PERIOD = 60.0  # s between the first two reports of the same error; people must be able to read the log
LONGEST_PERIOD = 6 * 3600.0
"""Seconds between two reports of an error that has been going on for long, unless its first period is longer."""

_MAX_KEYS = 1000  # keys remembered per class: they contain topics and words that other clients choose


_REMEMBERED = 3600.0  # s, and at least ten periods, for which an error is remembered that does not occur any more
_STOPPED = 60.0  # s, and at least three times its longest pause, after which a series of errors has stopped
_LONGEST = 1000  # characters kept of a message; a line of the log is not longer
_LARGEST_FACTOR = 2**30  # more than any period needs to reach the longest
_MAX_LINES = 20  # reports of suppressed errors, of one class in a minute: they must not flood the log either


# A word with a digit is looked for only at its beginning: from each letter of a long word, that would take its square.
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|(?:[-+]|(?<!\w))\w*\d[\w.]*|\b[0-9A-F]{2,}\b")


def kind_of(reason: str) -> str:
    """Return a reason without its variable parts (quoted text, numbers, bytes), to be used as a key."""
    return _VARYING.sub("#", reason)


def in_words(seconds: float) -> str:
    """Return a period in the unit in which people read it best."""
    if seconds <= 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds <= 2 * 3600 else f"{seconds / 3600:.0f} h"


class Suppressed(NamedTuple):
    """A suppressed error: its key, last message, level, how often it occurred, and in how many seconds."""

    key: str
    message: str
    level: int
    times: int
    seconds: float

    @property
    def report(self) -> str:
        """The message with the number of times it occurred."""
        how_often = "once more" if self.times == 1 else f"{self.times} more times"
        return f"{self.message} ({how_often} in the last {in_words(self.seconds)})"


class _Tally:
    """The errors of one key since the last report (`since`, s).

    `period` is the first period; it grows by `factor`, up to `longest`.
    """

    __slots__ = ("factor", "last", "level", "longest", "message", "pause", "period", "reports", "since", "suppressed")

    def __init__(self, now: float, period: float, longest: float) -> None:
        self.since = self.last = now
        self.period = period
        self.longest = longest
        self.pause = 0.0  # s: the longest one between two errors
        self.factor = 1
        self.reports = 1
        self.suppressed = 0
        self.message = ""
        self.level = logging.WARNING

    @property
    def due(self) -> float:
        """When the period ends."""
        return self.since + _grown(self.period, self.factor, self.longest)

    def occurred(self, now: float) -> None:
        self.pause = max(self.pause, now - self.last)
        self.last = now

    def suppress(self, message: str, level: int) -> None:
        self.message, self.level = message[:_LONGEST], level
        self.suppressed += 1

    def restart(self, now: float) -> None:
        """Begin the next period, because the errors have been reported."""
        self.since, self.suppressed, self.factor = now, 0, min(2 * self.factor, _LARGEST_FACTOR)

    def is_forgotten(self, now: float) -> bool:
        return not self.suppressed and now - self.last >= max(_REMEMBERED, 10 * self.period)

    def has_stopped(self, now: float) -> bool:
        return now - self.last >= max(_STOPPED, 3 * self.pause)


def _grown(period: float, factor: int, longest: float) -> float:
    return max(period, min(factor * period, longest))


class Throttle:
    """Counts errors by key and decides which of them to report. Any thread may call the methods.

    Of each key, the first `burst` errors are reported immediately. Periods grow up to `longest` seconds.
    """

    def __init__(self, most_new_keys: float = math.inf, burst: int = 1, longest: float = LONGEST_PERIOD) -> None:
        self._most_new_keys = most_new_keys
        self._burst = burst
        self._longest = longest
        self._new_keys: dict[int, tuple[float, int, int]] = {}  # by level: begin, factor of a period; new keys in it
        self._tallies: OrderedDict[str, _Tally] = OrderedDict()  # the most recently reported one is the last
        self.suppressed = 0  # errors that were not reported one by one, since the start
        self._forgotten = 0  # suppressed errors whose keys are not remembered any more
        self._minute = -math.inf  # when the minute began of which reports with counts are limited
        self._lines = 0  # reports with counts in that minute
        self._due = math.inf  # when to look for suppressed errors that must be reported
        self._lock = Lock()

    def count(
        self, key: str, period: float, now: float, message: str = "", level: int = logging.WARNING
    ) -> tuple[int, float] | None:
        """Count one error; return None if it is suppressed, else the number of errors, and in how many seconds.

        The first error of a key is reported immediately, as one error in 0 seconds, and then there is one report for
        each period in which an error occurs. The first one lasts `period` seconds, and each of the others twice as long
        as the one before it. If there are more than `most_new_keys` new keys of one level in a period, the errors of
        the others are suppressed.
        """
        with self._lock:
            tally = self._tallies.get(key)
            if tally is not None and tally.is_forgotten(now):
                del self._tallies[key]
                tally = None
            if tally is None:
                return self._count_new(key, period, now, message, level)
            tally.period = period
            tally.occurred(now)
            if tally.reports < self._burst:
                tally.reports += 1
                tally.since = now
                return 1, 0.0
            if now < tally.due or (tally.suppressed and not self._may_report(now)):
                tally.suppress(message, level)
                self.suppressed += 1
                self._due = min(self._due, tally.due, now + _STOPPED)
                return None
            count, seconds = tally.suppressed + 1, now - tally.since
            tally.restart(now)
            self._tallies.move_to_end(key)
            return count, seconds

    def _count_new(self, key: str, period: float, now: float, message: str, level: int) -> tuple[int, float] | None:
        tally = self._tallies[key] = _Tally(now, period, self._longest)
        is_above_limit = self._exceeds_new_keys(period, now, level)
        if is_above_limit:
            tally.suppress(message, level)
            self._due = min(self._due, tally.due, now + _STOPPED)
        if len(self._tallies) > _MAX_KEYS:
            forgotten = self._tallies.popitem(last=False)[1]
            if forgotten.suppressed:
                self._forgotten += forgotten.suppressed
                self._due = min(self._due, now + period)
        return None if is_above_limit else (1, 0.0)

    def _may_report(self, now: float) -> bool:
        """Count a report of suppressed errors; return whether it is one of the first in this minute."""
        if now - self._minute >= PERIOD:
            self._minute, self._lines = now, 0
        self._lines += 1
        return self._lines <= _MAX_LINES or not self._longest

    def _exceeds_new_keys(self, period: float, now: float, level: int) -> bool:
        """Count a new key; return whether there were too many in this period, which grows like that of an error."""
        begin, factor, count = self._new_keys.get(level, (now, 1, 0))
        if now - begin >= _grown(period, factor, self._longest):
            factor = min(2 * factor, _LARGEST_FACTOR) if count > self._most_new_keys else 1
            begin, count = now, 0
        self._new_keys[level] = begin, factor, count + 1
        return count >= self._most_new_keys

    @property
    def is_pending(self) -> bool:
        """Whether there are suppressed errors that `pop_suppressed` will return."""
        return self._due < math.inf

    def pop_suppressed(self, now: float, *, is_last: bool = False) -> list[Suppressed]:
        """Return the suppressed errors whose period is over or that have stopped; with `is_last`, all of them."""
        with self._lock:
            self._forget_old(now)
            if now < self._due and not (is_last and self._due < math.inf):
                return []
            self._due, due = math.inf, []
            for key, tally in list(self._tallies.items()):
                if not tally.suppressed:
                    continue
                if now < tally.due and not is_last and not tally.has_stopped(now):
                    self._due = min(self._due, tally.due, now + _STOPPED)
                    continue
                due.append(Suppressed(key, tally.message, tally.level, tally.suppressed, now - tally.since))
                tally.restart(now)
                self._tallies.move_to_end(key)
            due.sort(key=lambda error: (-error.level, -error.times))
            shown = [error for error in due if self._may_report(now)]
            others = sum(error.times for error in due[len(shown) :]) + self._forgotten
            self._forgotten = 0
            if others:
                shown.append(Suppressed("", "others of this kind", logging.WARNING, others, PERIOD))
            return shown

    def _forget_old(self, now: float) -> None:
        while self._tallies:
            key, oldest = next(iter(self._tallies.items()))
            if not oldest.is_forgotten(now):
                return
            del self._tallies[key]


class ThrottledException(Exception):  # noqa: N818  (a name of earlier versions that interfaces use)
    """An exception that decides whether it is logged or suppressed.

    Each subclass counts its own errors, separately for each `key`. Create an instance, and log `report` if `trigger`
    is true::

        err = ConnectFailed("connection refused", key=host)
        if err.trigger:
            log.warning(err.report)

    `trigger` is true for the first error of a key, and then once per period, of which the first lasts `period` seconds,
    and each of the others twice as long as the one before it; `report` is then the message with the number of errors
    since the last report. `is_first` is true for the very first error of a key. An instance can
    also be raised, like any exception.

    The last errors of a series are not followed by another one that would report their number: `report_suppressed`
    logs it, to the logger of the package of the class or of `logged_as` (see `package_logger`), with the `level` that
    was given.
    """

    period: ClassVar[float] = PERIOD
    longest_period: ClassVar[float] = LONGEST_PERIOD
    """Seconds to which the period grows at most; 0: it does not grow."""
    counts_are_logged: ClassVar[bool] = True
    """False for a class whose users decide themselves whether and where they log it."""
    most_new_keys: ClassVar[float] = math.inf
    """Maximum number of new keys reported in a period: a limit if other clients choose them, and could fill the log."""
    logged_as: ClassVar[str] = ""
    """The module whose logger logs the errors, if that is not the module of the class."""
    throttle: ClassVar[Throttle] = Throttle()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.throttle = Throttle(cls.most_new_keys, longest=cls.longest_period)

    def __init__(
        self,
        message: str,
        *,
        key: str = "",
        period: float | None = None,
        clock: Callable[[], float] | None = None,
        level: int = logging.WARNING,
    ) -> None:
        super().__init__(message)
        now = time.monotonic() if clock is None else clock()
        counted = self.throttle.count(key, self.period if period is None else period, now, message, level)
        self.trigger = counted is not None
        self.is_first = counted == (1, 0.0)
        self.report = ""
        if counted is not None:
            count, seconds = counted
            self.report = message if count == 1 else f"{message} ({count} times in the last {in_words(seconds)})"


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
