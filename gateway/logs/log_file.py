"""The log file. It is a module of its own because few gateways need it, and `logging.handlers` is slow to import."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import sys
from io import TextIOWrapper
from pathlib import Path

from gateway.core.own_files import open_to_append
from gateway.core.throttled_exception import ThrottledException
from gateway.logs.standard_error import write_line


class LogFileFailed(ThrottledException):
    """The log file cannot be written."""


class LogFile(logging.handlers.RotatingFileHandler):
    """A log file whose failures do not stop the gateway: they are reported on standard error, at most once a minute.

    If somebody removes or renames it, as logrotate does, it is created again.
    """

    def _open(self) -> TextIOWrapper:
        """Open the file, readable by its owner and its group only: it shows what people do in a home."""
        return os.fdopen(open_to_append(Path(self.baseFilename), 0o640), "a", encoding=self.encoding)

    failure = ""
    """Why the last line could not be written; `""`: it was."""

    _has_failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self._has_failed = False
        if self.stream is not None and self._is_gone(self.stream):
            with contextlib.suppress(OSError):
                self.stream.close()
            self.stream = None  # `super` opens it again
        super().emit(record)
        if not self._has_failed:
            self.failure = ""

    def _is_gone(self, stream: TextIOWrapper) -> bool:
        """Return whether the file that is open is not the one of this name any more."""
        try:
            named, opened = Path(self.baseFilename).stat(), os.fstat(stream.fileno())
        except FileNotFoundError:
            return True
        except (OSError, ValueError):  # the folder cannot be read: writing goes on as long as it can
            return False
        return not os.path.samestat(named, opened)

    def handleError(self, _: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Write to standard error why a line could not be written to the file."""
        reason = sys.exc_info()[1]
        self._has_failed, self.failure = True, f"{self.baseFilename}: {reason}"
        err = LogFileFailed(
            f"the log file {self.baseFilename} cannot be written: {reason}", key=f"{self.baseFilename} {reason}"
        )
        if err.trigger:
            write_line(err.report)
