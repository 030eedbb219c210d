"""The signals that stop or reload a gateway which is running."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Protocol

_SAME_SIGNAL = 0.2  # s; timeout(1) and some supervisors send one signal twice: to the process and to its group


class Stoppable(Protocol):
    """What the signals act on. Its methods return immediately, as a signal handler has to."""

    def stop(self) -> None: ...  # noqa: D102
    def reload(self) -> None: ...  # noqa: D102
    def signal_fileno(self) -> int: ...  # noqa: D102


@contextlib.contextmanager
def handle_signals(gateway: Stoppable) -> Iterator[None]:
    """Stop `gateway` on SIGTERM and SIGINT, and reload it on SIGHUP, while the context lasts.

    A second signal ends the process immediately. Only the main thread may call this; the handlers that were there
    before are restored at the end.
    """
    first: tuple[int, float] | None = None  # signal and monotonic time

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if first is None:
            first = (number, now)
            gateway.stop()
        elif number != first[0] or now - first[1] > _SAME_SIGNAL:
            os.write(2, b"stopped immediately by a second signal\n")
            os._exit(1)

    had_terminal = os.isatty(0)

    def hang_up(number: int, frame: FrameType | None) -> None:
        # SIGHUP is also sent when the terminal is closed in which the gateway was started. A gateway that went on
        # would keep the device open, and its user would not know that it still runs.
        if had_terminal and not os.isatty(0):
            stop(number, frame)
        else:
            gateway.reload()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, hang_up)
    # Python runs a handler in the main thread, and only between two steps of Python code. A signal that arrives just
    # before the main thread begins to wait, or in another thread, would be handled when that wait ends. Writing to
    # this descriptor ends the wait.
    previous_fd = signal.set_wakeup_fd(gateway.signal_fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in previous.items():
            signal.signal(number, handler)
