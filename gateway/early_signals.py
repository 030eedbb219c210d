"""Signals that come while the program is still being loaded. Nothing is imported here but `os` and `signal`.

Without this a SIGHUP (`systemctl reload`) in the first moments ends the process, and Ctrl-C prints a traceback.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than all that stands here
if TYPE_CHECKING:
    from types import FrameType

_NUMBERS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


class EarlySignals:
    """Remembers SIGHUP, SIGTERM and SIGINT from its making on, until it is known what is to be done with them.

    Only the main thread may use it. Either `release` is called, by a command that wants them as they are by default,
    or `wait_for_reload`, by a gateway that is about to start and takes the handlers over later.
    """

    def __init__(self) -> None:
        self._came: list[int] = []
        self._is_starting = False
        self._before = [(number, signal.getsignal(number)) for number in _NUMBERS]
        for number, handler in self._before:
            if handler is not signal.SIG_IGN:  # nohup: it is to stay so
                signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)
        if self._is_starting:
            self._end_if_told()

    def _end_if_told(self) -> None:
        if any(number != signal.SIGHUP for number in self._came):
            # Nothing is open yet, and nothing accepted. An exception would be caught by who loads an interface.
            os._exit(0)

    def wait_for_reload(self) -> None:
        """From now on, and if it has come already, SIGTERM or SIGINT ends the process in order; SIGHUP is kept."""
        self._is_starting = True
        self._end_if_told()

    @property
    def is_reload_wanted(self) -> bool:
        """Whether SIGHUP has come: the configuration may have been read before it was changed."""
        return signal.SIGHUP in self._came

    def release(self) -> None:
        """Give the signals their handlers of before, and those that have come to these."""
        for number, handler in self._before:
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)
        came, self._came = self._came, []
        for signal_number in came:
            signal.raise_signal(signal_number)
