"""Where the log goes: standard error, and a file if one is configured. Bounded, and without secrets."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, NamedTuple

from gateway.core import throttled_exception
from gateway.core.counting import counted
from gateway.core.option_schema import section_defaults
from gateway.core.package_logger import PROGRAM, logger_name
from gateway.core.paths import expanded
from gateway.logs.last_error import LastErrorHandler
from gateway.logs.levels import reset_levels
from gateway.logs.masking import Masker

TRAFFIC = f"{PROGRAM}.traffic"
"""The logger of the messages that pass through the gateway, one line each."""

_LONGEST_LINE = 1000  # characters of a line; the remainder is cut off
_CLOCK_STEP = 0.1  # s: a larger difference means that the clock was set; a smaller one, that it is adjusted gradually
MAX_LINES = 3000  # per minute and handler: about what a person can still search, and 5 KiB/s on an SD card
_SD_PRIORITY = {10: 7, 20: 6, 30: 4, 40: 3, 50: 2}  # logging level to sd-daemon(3) priority


_DEFAULT = section_defaults(__file__)


class LogOptions(NamedTuple):
    """The `log` section of a configuration."""

    level: str = _DEFAULT["level"]
    file: str | None = None
    file_bytes: int = _DEFAULT["file_bytes"]
    files: int = _DEFAULT["files"]
    traffic: bool = _DEFAULT["traffic"]
    file_level: str | None = None


def init_logger(
    options: LogOptions, secrets: Iterable[str] = (), environment: Mapping[str, str] = os.environ
) -> list[logging.Handler]:
    """Set the handlers and levels of the root logger; return the handlers.

    Each of `secrets` is replaced by `***` in every line. The handlers of an earlier call are closed.
    Raises `OSError` if the log file cannot be opened.
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
    last_error = LastErrorHandler(_Formatter("%(message)s", masker))
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, _Formatter):
            root.removeHandler(handler)
            handler.close()
    for handler, level in zip(handlers, (options.level, options.file_level or options.level), strict=False):
        handler.setLevel(level.upper())
        handler.addFilter(RateLimit(handler))
        root.addHandler(handler)
    root.addHandler(last_error)
    reset_levels()
    root.setLevel(min(handler.level for handler in (*handlers, last_error)))
    logging.getLogger(TRAFFIC).setLevel(logging.INFO if options.traffic else logging.CRITICAL)
    return handlers


class _Formatter(logging.Formatter):
    """Writes a record as one line, without control characters and secrets. Tracebacks keep their lines."""

    default_msec_format = "%s.%03d"

    def __init__(self, line: str, masker: Masker, *, with_priority: bool = False) -> None:
        super().__init__(line)
        self._masker = masker
        self._with_priority = with_priority
        self._latest = 0.0  # Unix time (s) of the previous line
        self._clock_offset = 0.0  # s between Unix time and monotonic time

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """Return the time of a line, which is never earlier than that of the line above it.

        A record gets its time before it waits for the lock of the handler, so another thread may overtake it. Such a
        record is written with the time of the line above it. After the clock was set back, times start again from
        there.
        """
        offset = time.time() - time.monotonic()
        if abs(offset - self._clock_offset) > _CLOCK_STEP:
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
        if len(text) > _LONGEST_LINE and not record.exc_info:  # after masking, which does not find half a secret
            text = f"{text[:_LONGEST_LINE]}... ({len(text)} characters)"
        if not text.isprintable():
            text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
        if self._with_priority:
            priority = f"<{_SD_PRIORITY.get(record.levelno, 6)}>"
            text = priority + text.replace("\n", f"\n{priority}")
        return text


class RateLimit(logging.Filter):
    """Passes at most `limit` records a minute to `handler`, and logs after that minute how many it has suppressed."""

    suppressed_in_total: ClassVar[int] = 0
    """Records that were suppressed since the start of the process, of all handlers."""

    def __init__(
        self, handler: logging.Handler, limit: int = MAX_LINES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._handler = handler
        self._limit = limit
        self._clock = clock
        self._since = clock()
        self._passed = 0
        self._suppressed = 0

    def report(self, *, is_last: bool = False) -> None:
        """Log how many records were suppressed, if the minute is over; with `is_last`, immediately."""
        now = self._clock()
        if now - self._since >= 60 or (is_last and self._suppressed):
            suppressed, self._since, self._passed, self._suppressed = self._suppressed, now, 0, 0
            if suppressed:
                text = f"{counted(suppressed, 'log line')} suppressed: more than {self._limit} in one minute"
                name = logger_name(__name__)
                self._handler.handle(logging.LogRecord(name, logging.WARNING, __file__, 0, text, (), None))

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        """Return whether `record` may be written."""
        self.report()
        self._passed += 1
        if self._passed <= self._limit:
            return True
        self._suppressed += 1
        RateLimit.suppressed_in_total += 1
        return False


def report_suppressed(*, is_last: bool = False) -> None:
    """Log how often each suppressed error has occurred, and how many lines were suppressed (see `RateLimit.report`)."""
    throttled_exception.report_suppressed(is_last=is_last)
    for handler in logging.getLogger().handlers:
        for limit in handler.filters:
            if isinstance(limit, RateLimit):
                limit.report(is_last=is_last)


def log_failure() -> str:
    """Return why the log file cannot be written at the moment; `""`: it can, or there is none."""
    failures = (getattr(handler, "failure", "") for handler in logging.getLogger().handlers)
    return next(filter(None, failures), "")


def log_stats() -> dict[str, int]:
    """Return how many lines and repeated errors were not written, since the start of the process.

    Any thread may call it.
    """
    return {
        "lines_suppressed": RateLimit.suppressed_in_total,
        "errors_suppressed": throttled_exception.suppressed(),
    }
