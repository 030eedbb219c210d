"""Errors that end a thread which an interface has started itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from gateway.core.package_logger import package_logger

LOG = package_logger(__name__)


@contextlib.contextmanager
def log_thread_errors() -> Iterator[None]:
    """Log the exception that ends a thread, with its traceback, while the context lasts.

    Without this Python writes it to standard error alone: it would not be in the log file, and secrets would not be
    masked.
    """

    def log(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "?"
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):  # SystemExit ends it on purpose
            LOG.error("thread %s died: %r", name, args.exc_value, exc_info=args.exc_value)

    previous, threading.excepthook = threading.excepthook, log
    try:
        yield
    finally:
        threading.excepthook = previous
