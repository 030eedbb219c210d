"""Where the log goes: standard error, and a file if one is configured. Bounded, and without secrets."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from gateway.core import throttled_exception
from gateway.core.paths import expanded
from gateway.logs.masking import Masker

LEVELS = ("debug", "info", "warning", "error", "critical")
TRAFFIC = "gateway.traffic"
"""The logger of the messages that pass, one line each."""

_LONGEST_LINE = 1000  # characters of a line; more is cut
_CLOCK_SET = 0.1  # s by which the clock must have been set to be told from one that is slewed
MAX_LINES = 3000  # per minute and handler: about what a person can still search, and 5 KiB/s on an SD card
_SD_PRIORITY = {10: 7, 20: 6, 30: 4, 40: 3, 50: 2}  # logging level to sd-daemon(3) priority


class LogOptions(NamedTuple):
    """The `log` part of a configuration."""

    level: str = "info"
    file: str | None = None
    file_bytes: int = 1_000_000
    files: int = 5
    traffic: bool = False
    file_level: str | None = None


def init_logger(
    options: LogOptions, secrets: Iterable[str] = (), environment: Mapping[str, str] = os.environ
) -> list[logging.Handler]:
    """Give the root logger its handlers and levels; return the handlers.

    Each of `secrets` is replaced by `***` in every line. Raises `OSError` if the log file cannot be opened.
    """
    masker = Masker(secrets)
    under_systemd = "JOURNAL_STREAM" in environment
    line = "%(name)s: %(message)s" if under_systemd else "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(_Formatter(line, masker, with_priority=under_systemd))
    if options.file:
        from gateway.logs.log_file import LogFile

        handlers.append(
            LogFile(expanded(options.file), maxBytes=options.file_bytes, backupCount=options.files, encoding="utf-8")
        )
        handlers[1].setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(threadName)s %(name)s: %(message)s", masker))
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, _Formatter):  # of an earlier call
            root.removeHandler(handler)
            handler.close()
    for handler, level in zip(handlers, (options.level, options.file_level or options.level), strict=False):
        handler.setLevel(level.upper())
        handler.addFilter(RateLimit(handler))
        root.addHandler(handler)
    root.setLevel(min(handler.level for handler in handlers))
    logging.getLogger(TRAFFIC).setLevel(logging.INFO if options.traffic else logging.CRITICAL)
    return handlers


class _Formatter(logging.Formatter):
    """One line a record, its control characters escaped, without secrets; tracebacks stay readable."""

    default_msec_format = "%s.%03d"

    def __init__(self, line: str, masker: Masker, *, with_priority: bool = False) -> None:
        super().__init__(line)
        self._masker = masker
        self._with_priority = with_priority
        self._latest = 0.0  # time of day of the line before
        self._clock_offset = 0.0  # between the time of day and the monotonic one

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """Return the time of a line, which is never before that of the line above it.

        A record gets its time first and waits for its handler then: another thread may be faster. What is late by
        that has the time of the line before it. A clock that was set back is something else.
        """
        offset = time.time() - time.monotonic()
        if abs(offset - self._clock_offset) > _CLOCK_SET:
            self._clock_offset, self._latest = offset, 0.0
        self._latest = when = max(self._latest, record.created)
        seconds, milliseconds = divmod(int(when * 1000), 1000)
        return self.default_msec_format % (
            time.strftime(self.default_time_format, self.converter(seconds)),
            milliseconds,
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        return self._masker.mask(super().formatMessage(record)).replace("\n", "\\n")

    def format(self, record: logging.LogRecord) -> str:
        text = self._masker.mask(super().format(record))
        if len(text) > _LONGEST_LINE and not record.exc_info:  # after masking, or half a secret could be left
            text = f"{text[:_LONGEST_LINE]}... ({len(text)} characters)"
        if not text.isprintable():
            text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
        if self._with_priority:
            mark = f"<{_SD_PRIORITY.get(record.levelno, 6)}>"
            text = mark + text.replace("\n", f"\n{mark}")
        return text


class RateLimit(logging.Filter):
    """Lets through at most `limit` records a minute to `handler`; says how many it held back after that minute."""

    def __init__(
        self, handler: logging.Handler, limit: int = MAX_LINES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._handler = handler
        self._limit = limit
        self._clock = clock
        self._since = clock()
        self._passed = 0
        self._held_back = 0

    def look(self, *, is_last: bool = False) -> None:
        """Say how many were held back, if the minute is over, or, with `is_last`, at once."""
        now = self._clock()
        if now - self._since >= 60 or (is_last and self._held_back):
            held_back, self._since, self._passed, self._held_back = self._held_back, now, 0, 0
            if held_back:
                text = f"{held_back} log lines were held back: more than {self._limit} in a minute"
                self._handler.handle(logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (), None))

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        """Tell whether `record` may be written."""
        self.look()
        self._passed += 1
        if self._passed <= self._limit:
            return True
        self._held_back += 1
        return False


def report_suppressed(*, is_last: bool = False) -> None:
    """Log how often each error came that was held back, and how many lines; see `RateLimit.look` for `is_last`."""
    throttled_exception.report_suppressed(is_last=is_last)
    for handler in logging.getLogger().handlers:
        for limit in handler.filters:
            if isinstance(limit, RateLimit):
                limit.look(is_last=is_last)
