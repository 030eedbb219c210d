"""Which records are written: the level of the whole log, and those of parts of the program and of interfaces."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from gateway.core.package_logger import PARTS, part_of
from gateway.core.quoting import did_you_mean
from gateway.errors import GatewayError
from gateway.logs.record_text import text_of

LEVELS = ("debug", "info", "warning", "error", "critical")

CONFIGURED = "configured"
"""In place of a level, while the gateway runs: that of the configuration."""


class LogLevelError(GatewayError):
    """A level cannot be changed: there is no such level, or no such part or interface."""


class LevelFilter(logging.Filter):
    """Passes the records that are important enough for one handler.

    The level of an interface counts before that of a part, and both before the one of the whole log. `own` holds the
    levels of parts and interfaces by name.
    """

    def __init__(self, level: str, own: Mapping[str, str], interfaces: Collection[str]) -> None:
        super().__init__()
        self.interfaces = frozenset(interfaces)
        self._whole = self._configured_whole = _number(level)
        self._own = self._configured_own = {name: _number(word) for name, word in own.items()}

    @property
    def lowest(self) -> int:
        """The lowest of all levels, below which no record passes."""
        return min(self._whole, *self._own.values(), logging.CRITICAL)

    def set(self, name: str, level: str) -> None:
        """Set the level of a part or an interface, or of the whole log ("")."""
        if name:
            self._own = {**self._own, name: _number(level)}
        else:
            self._whole = _number(level)

    def reset(self, name: str = "") -> None:
        """Set the level of a part or an interface as it is configured, or all levels ("")."""
        if not name:
            self._whole, self._own = self._configured_whole, self._configured_own
            return
        own = {each: number for each, number in self._own.items() if each != name}
        number = self._configured_own.get(name)
        self._own = own if number is None else {**own, name: number}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` is important enough, and note the interface that it is about."""
        if not hasattr(record, "interface"):
            record.interface = _find_interface(record, self.interfaces)
        own = self._own
        level = self._whole
        if own:
            level = own.get(interface_of(record)) or own.get(part_of(record.name)) or level
        return record.levelno >= level


def interface_of(record: logging.LogRecord) -> str:
    """Return the name of the interface that `record` is about, once a `LevelFilter` has seen it; "": about none."""
    return getattr(record, "interface", "")


def set_level(name: str, level: str) -> None:
    """Change a level of the running log, until the next reload or restart.

    `name` is that of a part or of an interface; "" changes the level of the whole log, and of its file, but not of
    parts and interfaces that have one of their own. `CONFIGURED` sets the configured level again, and with "" all of
    them. Raises `LogLevelError` for a name or a level that does not exist. Any thread may call it.
    """
    filters = level_filters()
    if level not in (*LEVELS, CONFIGURED):
        raise LogLevelError(f"there is no level {level!a:.80}: the levels are {', '.join(LEVELS)}, and {CONFIGURED}")
    problem = name_problem(name, frozenset().union(*(each.interfaces for _, each in filters))) if name else None
    if problem is not None:
        raise LogLevelError(": ".join(problem))
    for _, each in filters:
        if level == CONFIGURED:
            each.reset(name)
        else:
            each.set(name, level)
    apply_levels()


def reset_levels() -> None:
    """Set all levels as they are configured, as a reload does."""
    set_level("", CONFIGURED)


def name_problem(name: str, interfaces: Collection[str]) -> tuple[str, str] | None:
    """Return why `name` stands neither for one part nor for one interface, and the remedy; None if it does."""
    if name in interfaces and name in PARTS:
        return f"{name!a} is an interface and a part of the program", "give the interface another name"
    if name in interfaces or name in PARTS:
        return None
    return f"{name!a} is no part of the program and no interface", did_you_mean(name, (*PARTS, *interfaces))


def apply_levels() -> None:
    """Let the loggers create the records that a handler passes, and no others."""
    filters = level_filters()
    for handler, each in filters:
        handler.setLevel(each.lowest)
    # Warnings are created whatever the handlers write: the last one is remembered (`last_error`).
    logging.getLogger().setLevel(min((logging.WARNING, *(each.lowest for _, each in filters))))


def level_filters() -> list[tuple[logging.Handler, LevelFilter]]:
    """Return the handlers of the log that have levels, each with its filter."""
    handlers = logging.getLogger().handlers
    return [(handler, each) for handler in handlers for each in handler.filters if isinstance(each, LevelFilter)]


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _find_interface(record: logging.LogRecord, interfaces: Collection[str]) -> str:
    """Return the interface of a record that does not name it itself.

    Our own lines about an interface begin with its name: they may be logged by any thread. Other code logs about an
    interface in its thread, or in one whose name begins with that of the interface.
    """
    if part_of(record.name):
        name = text_of(record).partition(": ")[0]
    else:
        name = record.threadName or ""
        name = name if name in interfaces else name.partition(" ")[0]
    return name if name in interfaces else ""
