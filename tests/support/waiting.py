"""Waits for a condition, with a deadline: the only place in the tests that pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_PAUSE = threading.Event()


def wait_until(
    condition: Callable[[], object], timeout: float = 10, what: str | Callable[[], str] = "it", pause: float = 0.01
) -> None:
    """Return as soon as `condition()` is true; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what() if callable(what) else what}"
        _PAUSE.wait(pause)
