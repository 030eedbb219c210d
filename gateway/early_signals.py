"""Handles signals that arrive while the program is still being loaded. It imports only `os` and `signal`.

Without this module a SIGHUP (`systemctl reload`) in the first moments terminates the process, and Ctrl-C prints a
traceback.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than this whole module
if TYPE_CHECKING:
    from types import FrameType

_NUMBERS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


class EarlySignals:
    """Records SIGHUP, SIGTERM and SIGINT from its construction until the program knows how to handle them.

    Only the main thread may use it. Then one of two methods is called: `release`, by a command that uses the default
    handlers, or `wait_for_reload`, by a gateway that is about to start and installs its own handlers later.
    """

    def __init__(self) -> None:
        self._received: list[int] = []
        self._is_starting = False
        self._previous = [(number, signal.getsignal(number)) for number in _NUMBERS]
        for number, handler in self._previous:
            if handler is not signal.SIG_IGN:  # it is ignored under nohup, and must stay ignored
                signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._received.append(number)
        if self._is_starting:
            self._exit_if_requested()

    def _exit_if_requested(self) -> None:
        if any(number != signal.SIGHUP for number in self._received):
            # Nothing is open and no message has been accepted yet. An exception instead of the exit could be caught
            # by the code of an interface that is being imported.
            os._exit(0)

    def wait_for_reload(self) -> None:
        """Let SIGTERM and SIGINT end the process in order from now on, also those already received; keep SIGHUP."""
        self._is_starting = True
        self._exit_if_requested()

    @property
    def is_reload_wanted(self) -> bool:
        """Whether SIGHUP was received: the configuration may have been read before it was changed."""
        return signal.SIGHUP in self._received

    def release(self) -> None:
        """Restore the previous handlers, and deliver to them the signals received so far."""
        for number, handler in self._previous:
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)
        received, self._received = self._received, []
        for signal_number in received:
            signal.raise_signal(signal_number)
