"""Repeated lines of the log: the first few are written, and then only how often they were repeated."""

from __future__ import annotations

import copy
import logging
import re
import time
from collections.abc import Callable
from typing import ClassVar

from gateway.core.package_logger import TRAFFIC, logger_name, part_of
from gateway.core.throttled_exception import PERIOD, Throttle, in_words
from gateway.logs.record_text import text_of

_BURST = 4  # times that a line is written before it counts as repeated: what a person does by hand stays in the log
_NUMBER = re.compile(r"(?<=[ (])[-+]?\d[\d.,]*(?=[ ),;%]|$)")
_LONGEST_KEY = 500  # characters by which lines are compared


class Repetition(logging.Filter):
    """Passes each line to `handler` a few times, and then logs from time to time how often it was repeated.

    Lines of the gateway, and warnings of other code, count as repeated also if only numbers in them differ. Lines for
    debugging, and those of each message, all pass.
    """

    suppressed_in_total: ClassVar[int] = 0
    """Repeated lines that were only counted since the start of the process, of all handlers."""

    def __init__(self, handler: logging.Handler, clock: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._handler = handler
        self._clock = clock or time.monotonic
        self._throttle = Throttle(burst=_BURST)

    def report(self, *, is_last: bool = False) -> None:
        """Log how often lines were repeated whose period is over, or that have stopped; with `is_last`, all of them."""
        for repeated in self._throttle.pop_suppressed(self._clock(), is_last=is_last):
            name, interface, _ = repeated.key.split("\n", 2) if repeated.key else (logger_name(__name__), "", "")
            record = logging.LogRecord(name, repeated.level, __file__, 0, repeated.report, (), None)
            record.interface = interface
            record.is_summary = True
            self._handler.handle(record)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` may be written."""
        if record.levelno < logging.INFO or record.name == TRAFFIC or getattr(record, "is_summary", False):
            return True
        text = text_of(record)
        is_compared_by_kind = record.levelno >= logging.WARNING or part_of(record.name)
        kind = _NUMBER.sub("#", text) if is_compared_by_kind else text
        key = f"{record.name}\n{getattr(record, 'interface', '')}\n{kind[:_LONGEST_KEY]}"
        times = self._throttle.count(key, PERIOD, self._clock(), text, record.levelno)
        if times is None:
            Repetition.suppressed_in_total += 1
            return False
        if times[0] == 1:
            return True
        counted = copy.copy(record)  # other handlers write the record, too
        counted.msg, counted.args = f"{text} ({times[0]} times in the last {in_words(times[1])})", ()
        counted.is_summary = True
        self._handler.handle(counted)
        return False
