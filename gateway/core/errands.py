"""What other threads leave for the main thread to do, which owns everything that may be changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gateway.core.package_logger import package_logger

LOG = package_logger(__name__)

_MOST_WAITING = 100  # of those who have asked and gone: the main thread hangs


class Errands:
    """Functions that wait for the main thread; `wake` wakes it, and then it calls `run`."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._waiting: deque[Callable[[], object]] = deque()

    def add(self, errand: Callable[[], object]) -> bool:
        """Have the main thread call `errand` soon; return False if too many wait already. Any thread may call this."""
        if len(self._waiting) >= _MOST_WAITING:
            return False
        self._waiting.append(errand)
        self._wake()
        return True

    def run(self) -> None:
        """Call what waits; an error in it is logged. The main thread calls this."""
        while self._waiting:
            errand = self._waiting.popleft()
            try:
                errand()
            except Exception:
                LOG.exception("what another thread has asked for failed")
