"""Where the log goes: standard error, and a file if one is configured. Bounded, and without secrets."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from gateway.core import throttled_exception
from gateway.core.counting import counted
from gateway.core.option_schema import section_defaults
from gateway.core.package_logger import TRAFFIC, logger_name
from gateway.core.paths import expanded
from gateway.logs.formats import LineFormatter
from gateway.logs.last_error import LastErrorHandler
from gateway.logs.levels import LevelFilter, apply_levels
from gateway.logs.masking import Masker
from gateway.logs.repetition import Repetition
from gateway.logs.standard_error import StandardError

MAX_LINES = 3000  # per minute and handler: about what a person can still search, and 5 KiB/s on an SD card


_DEFAULT = section_defaults(__file__)


class LogOptions(NamedTuple):
    """The `log` section of a configuration."""

    level: str = _DEFAULT["level"]
    file: str | None = None
    file_bytes: int = _DEFAULT["file_bytes"]
    files: int = _DEFAULT["files"]
    traffic: bool = _DEFAULT["traffic"]
    file_level: str | None = None
    format: str = _DEFAULT["format"]
    levels: Mapping[str, str] = MappingProxyType({})


def init_logger(
    options: LogOptions,
    secrets: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
    interfaces: Iterable[str] = (),
) -> list[logging.Handler]:
    """Set the handlers and levels of the root logger; return the handlers.

    Each of `secrets` is replaced by `***` in every line. `interfaces` are the names of the interfaces, which may have
    levels of their own. The handlers of an earlier call are closed. Raises `OSError` if the log file cannot be opened.
    """
    masker, names = Masker(secrets), frozenset(interfaces)
    handlers: list[logging.Handler] = [StandardError()]
    handlers[0].setFormatter(_stderr_formatter(options, masker, environment))
    if options.file:
        from gateway.logs.log_file import LogFile

        handlers.append(
            LogFile(expanded(options.file), maxBytes=options.file_bytes, backupCount=options.files, encoding="utf-8")
        )
        is_json = options.format == "json"
        handlers[1].setFormatter(_json_formatter(masker) if is_json else LineFormatter(masker, with_thread=True))
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, LineFormatter):
            _report_suppressed(handler, is_last=True)
            root.removeHandler(handler)
            handler.close()
    for handler, level in zip(handlers, (options.level, options.file_level or options.level), strict=False):
        handler.addFilter(LevelFilter(level, options.levels, names))
        handler.addFilter(Repetition(handler))
        handler.addFilter(RateLimit(handler))
        root.addHandler(handler)
    root.addHandler(LastErrorHandler(LineFormatter(masker)))
    apply_levels()
    logging.getLogger(TRAFFIC).setLevel(logging.INFO if options.traffic else logging.CRITICAL)
    return handlers


def _stderr_formatter(options: LogOptions, masker: Masker, environment: Mapping[str, str]) -> LineFormatter:
    for_journal = _is_journal(environment.get("JOURNAL_STREAM", ""))
    if options.format == "json":
        return _json_formatter(masker, for_journal=for_journal)
    if for_journal or sys.stderr is None or not sys.stderr.isatty():
        return LineFormatter(masker, for_journal=for_journal)
    from gateway.logs.terminal import TerminalFormatter, columns_of, has_colours  # a service needs none of it

    return TerminalFormatter(masker, lambda: columns_of(sys.stderr), has_colours=has_colours(environment))


def _json_formatter(masker: Masker, *, for_journal: bool = False) -> LineFormatter:
    from gateway.logs.json_lines import JsonFormatter

    return JsonFormatter(masker, for_journal=for_journal)


def _is_journal(stream: str) -> bool:
    """Return whether standard error is the `stream` of the journal, which systemd names by device and inode.

    A terminal or a file may inherit the variable from a service, such as that of a desktop (systemd.exec).
    """
    try:
        status = os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # it has no descriptor, or was closed
        return bool(stream)
    return stream == f"{status.st_dev}:{status.st_ino}"


class RateLimit(logging.Filter):
    """Passes at most `limit` records a minute to `handler`, and logs after that minute how many it has suppressed."""

    suppressed_in_total: ClassVar[int] = 0
    """Records that were suppressed since the start of the process, of all handlers."""

    def __init__(
        self, handler: logging.Handler, limit: int = MAX_LINES, clock: Callable[[], float] | None = None
    ) -> None:
        super().__init__()
        self._handler = handler
        self._limit = limit
        self._clock = clock or time.monotonic
        self._since = self._clock()
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
    """Log how often each suppressed error has occurred, and how many lines were repeated or over the limit."""
    throttled_exception.report_suppressed(is_last=is_last)
    for handler in logging.getLogger().handlers:
        _report_suppressed(handler, is_last=is_last)


def _report_suppressed(handler: logging.Handler, *, is_last: bool) -> None:
    for each in handler.filters:
        if isinstance(each, Repetition | RateLimit):
            each.report(is_last=is_last)


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
        "lines_repeated": Repetition.suppressed_in_total,
        "errors_suppressed": throttled_exception.suppressed(),
    }
