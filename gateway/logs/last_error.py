"""Remembers the last warning or error in the log: what has no state of its own would otherwise be only there."""

from __future__ import annotations

import logging
from typing import NamedTuple

from gateway.core.throttled_exception import kind_of
from gateway.logs.formats import LineFormatter
from gateway.logs.record_text import text_of

_LONGEST = 1000  # characters that are kept


class LastError(NamedTuple):
    """A warning or an error: when it was logged last (s, Unix time), and how many lines of its kind in a row."""

    time: float
    level: str
    text: str
    times: int


class LastErrorHandler(logging.Handler):
    """Keeps the message of the last record of the level WARNING or above, cleaned by `formatter`. It writes nothing."""

    def __init__(self, formatter: LineFormatter) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(formatter)
        self._clean = formatter.clean
        self.last: LastError | None = None
        self._kind = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Remember `record`; it counts up if the one before it is of the same kind."""
        text = self._clean(text_of(record)).replace("\n", "\\n")[:_LONGEST]
        kind = kind_of(text)
        times = self.last.times + 1 if self.last is not None and kind == self._kind else 1
        self._kind = kind
        self.last = LastError(record.created, record.levelname.lower(), text, times)


def last_error() -> LastError | None:
    """Return the last warning or error since the start; None: there was none. Any thread may call this."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, LastErrorHandler)]
    return handlers[-1].last if handlers else None
