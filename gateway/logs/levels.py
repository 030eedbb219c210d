"""Changes the level of the log while the gateway runs, of all of it or of one part."""

from __future__ import annotations

import logging

from gateway.core.package_logger import PROGRAM
from gateway.logs.last_error import LastErrorHandler

PARTS = ("configuration", "control", "core", "interfaces", "logs", "mqtt", "outbox", "routing", "runtime")
"""The parts of the program that log under a name of their own."""

LEVELS = ("debug", "info", "warning", "error", "critical")
"""The levels, the least important one first."""


def set_level(part: str, level: str) -> None:
    """Log the `part` (`""`: everything) from `level` on, until the log is set up again.

    Raises `ValueError`, with the remedy, if there is no such part or level.
    """
    if level not in LEVELS:
        raise ValueError(f"there is no level {level!a:.40}: use one of {', '.join(LEVELS)}")
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    handlers = [handler for handler in root.handlers if not isinstance(handler, LastErrorHandler)]
    if not part:
        reset_levels()
        for handler in handlers:
            handler.setLevel(number)
        root.setLevel(min(number, logging.WARNING))  # which the last error is remembered from
    elif part in PARTS:
        logging.getLogger(f"{PROGRAM}.{part}").setLevel(number)
        for handler in handlers:  # other parts are held back by their loggers
            handler.setLevel(min(handler.level, number))
    else:
        raise ValueError(f"there is no part {part!a:.40} of the log: use one of {', '.join(PARTS)}")


def reset_levels() -> None:
    """Have no part a level of its own."""
    for part in PARTS:
        logging.getLogger(f"{PROGRAM}.{part}").setLevel(logging.NOTSET)
