"""Checks every few seconds what nothing else would notice: calls that do not return, and suppressed log lines.

The main thread makes the checks when it wakes for the link anyway. Where it runs hooks, in which it may hang, or where
systemd is told how it is, a thread makes the checks, too, at the cost of one wake-up in four seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from gateway.core.activity import report_overdue
from gateway.logs.init_logger import report_suppressed

INTERVAL = 4.0
"""Seconds between two checks: a call that has hung for five seconds is told within ten."""


class Watch:
    """Calls each of `checks()`, and logs calls that take too long and what was suppressed, every `interval` seconds."""

    def __init__(self, checks: Callable[[], Iterable[Callable[[], None]]], interval: float = INTERVAL) -> None:
        self._checks = checks
        self._interval = interval
        self._last = time.monotonic()
        self._lock = threading.Lock()  # held during a check, so that two threads do not make it at the same time
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Make the checks if they are due. Any thread may call it."""
        if time.monotonic() - self._last < self._interval or not self._lock.acquire(blocking=False):
            return
        try:
            self._last = time.monotonic()
            for check in self._checks():
                check()
            report_overdue()
            report_suppressed()
        finally:
            self._lock.release()

    def start_thread(self) -> None:
        """Make the checks from a thread as well, from now on: the main thread makes none while it hangs."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread, and log everything that was suppressed."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(INTERVAL)
        report_suppressed(is_last=True)

    def _run(self) -> None:
        # If the main thread hangs in a check, there is nothing to be done but to try again.
        while not self._ended.wait(max(self._interval / 10, self._last + self._interval - time.monotonic())):
            self.check()
