"""Reads the configuration again while the gateway runs, in a thread of its own, for files can be slow."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gateway.configuration.settings import Configuration
from gateway.errors import ConfigurationError, GatewayError


class Reloader:
    """Calls `load` when asked to, and `on_done` when there is a result to take. The main thread asks and takes."""

    def __init__(self, load: Callable[[], Configuration], on_done: Callable[[], None]) -> None:
        self._load = load
        self._on_done = on_done
        self._lock = threading.Lock()
        self._is_asked = self._is_reading = False
        self._result: Configuration | GatewayError | None = None
        self._begun = self._ended = 0  # times that the files were read
        self.taken = 0
        """Which time of reading the result that was taken last is of."""

    def ask(self) -> int:
        """Have the files read; if they are being read already, once more after that. Return which time that will be."""
        with self._lock:
            self._is_asked = True
            number = self._begun + 1
            if self._is_reading:
                return number
            self._is_reading = True
        threading.Thread(target=self._read, name="reload", daemon=True).start()
        return number

    def take(self) -> Configuration | GatewayError | None:
        """Return what was read, or why it cannot be used; None if nothing was read since the last time."""
        with self._lock:
            result, self._result = self._result, None
            self.taken = self._ended
        return result

    def _read(self) -> None:
        while True:
            with self._lock:
                if not self._is_asked:
                    self._is_reading = False
                    return
                self._is_asked = False
                self._begun += 1
            result: Configuration | GatewayError
            try:
                result = self._load()
            except ConfigurationError as err:
                result = err
            except Exception as err:  # noqa: BLE001  (whatever it is, the gateway goes on as it was)
                result = GatewayError(f"the configuration cannot be read: {err!r}")
            with self._lock:
                self._result = result
                self._ended = self._begun
            self._on_done()
