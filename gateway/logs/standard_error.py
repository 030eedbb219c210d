"""Standard error as a place for the log: it is never waited for, except for a moment.

Whatever reads it may stop: a pager, a terminal that is paused by Ctrl-S, a container's log driver. Each thread of the
data path logs, so a line that standard error does not accept is lost, and counted, instead of stopping all of them.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from typing import Any

from gateway.core.counting import counted
from gateway.core.package_logger import logger_name
from gateway.errors import GatewayError

_PATIENCE = 0.1  # s that the reader has for the first line that there is no room for; it has none for those after it


class NotAcceptedError(GatewayError):
    """Standard error has no room, or is closed."""


class StandardError(logging.StreamHandler[Any]):
    """Writes records to standard error, and what has no room there nowhere."""

    def __init__(self) -> None:
        super().__init__(sys.stderr if sys.stderr is not None else _Nowhere())
        self._lost = 0
        self._is_torn = False  # only the beginning of the last line was written

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, and before it how many were lost."""
        try:
            lines = [self.format(record)]
            if self._lost:
                text = f"{counted(self._lost, 'log line')} lost: nothing has read standard error"
                notice = logging.LogRecord(logger_name(__name__), logging.WARNING, __file__, 0, text, (), None)
                lines.insert(0, self.format(notice))
            self._write("".join(f"{line}\n" for line in lines))
            self._lost = 0
        except NotAcceptedError:
            self._lost += 1
        except Exception:  # noqa: BLE001  (as in `logging.StreamHandler`)
            self.handleError(record)

    def _write(self, text: str) -> None:
        try:
            descriptor = self.stream.fileno()
        except (AttributeError, OSError, ValueError):  # it is kept in memory, or closed
            self.stream.write(text)
            return
        data = text.encode(getattr(self.stream, "encoding", None) or "utf-8", "backslashreplace")
        data = b"\n" + data if self._is_torn else data
        begin, patience = 0, 0.0 if self._lost else _PATIENCE
        while begin < len(data):
            try:
                # So much has room as soon as the descriptor is writable at all: the write does not block.
                begin += _write_soon(descriptor, data[begin : begin + select.PIPE_BUF], patience)
            except NotAcceptedError:
                self._is_torn = self._is_torn or begin > 0
                raise
        self._is_torn = False


def write_line(text: str) -> None:
    """Write a line that cannot go by way of the log; it is lost if standard error does not accept it."""
    try:
        _write_soon(sys.stderr.fileno(), f"{text}\n".encode(errors="backslashreplace")[: select.PIPE_BUF], _PATIENCE)
    except (AttributeError, OSError, ValueError):  # it is closed, or kept in memory
        if sys.stderr is not None and not sys.stderr.closed:
            sys.stderr.write(f"{text}\n")
    except NotAcceptedError:
        return


class _Nowhere:
    """What is used if standard error was closed when the process began."""

    def write(self, _: str) -> None:
        """Write nothing."""

    def flush(self) -> None:
        """Do nothing."""


def _write_soon(descriptor: int, data: bytes, patience: float) -> int:
    """Write `data`, at most `PIPE_BUF` bytes, within `patience` s; return how many. Raises `NotAcceptedError`."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if not any(events & select.POLLOUT for _, events in poll.poll(1000 * patience)):
        raise NotAcceptedError
    try:
        return os.write(descriptor, data)
    except OSError as err:
        raise NotAcceptedError from err
