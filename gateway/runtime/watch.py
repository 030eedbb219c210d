"""Looks, now and then, at what nobody else would see: code that does not return, and errors that were held back.

The main thread looks as it wakes for the link anyway. While it runs hooks of somebody, it may hang itself: then a
thread looks as well. It costs a wake-up in five seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from gateway.core.activity import report_overdue
from gateway.logs.init_logger import report_suppressed

STEP = 5.0  # s between two looks


class Watch:
    """Calls each of `looks()`, and logs what takes too long and what was held back, every few seconds."""

    def __init__(self, looks: Callable[[], Iterable[Callable[[], None]]]) -> None:
        self._looks = looks
        self._last = time.monotonic()
        self._lock = threading.Lock()  # one at a time
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Look, if it is time. Any thread may call it."""
        if time.monotonic() - self._last < STEP or not self._lock.acquire(blocking=False):
            return
        try:
            self._last = time.monotonic()
            for look in self._looks():
                look()
            report_overdue()
            report_suppressed()
        finally:
            self._lock.release()

    def start_thread(self) -> None:
        """Look from a thread as well, from now on: the main thread runs code that may hang."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End, and log all that was held back."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(STEP)
        report_suppressed(is_last=True)

    def _run(self) -> None:
        while not self._ended.wait(max(0.01, self._last + STEP - time.monotonic())):  # the main thread looks, too
            self.look()
