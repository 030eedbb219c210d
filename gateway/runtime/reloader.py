"""Reads the configuration again while the gateway runs, in a thread of its own, for files can be slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gateway.configuration.settings import Configuration
from gateway.core.activity import Call
from gateway.core.package_logger import package_logger
from gateway.errors import ConfigurationError, GatewayError

LOG = package_logger(__name__)

_LONGEST = 10.0  # s that reading may take before it counts as hanging: a slow disk takes less


class Reloader:
    """Calls `load` when asked to, and `on_done` when there is a result to take. The main thread asks and takes.

    It imports code, which may hang: after `longest` seconds it is named, and what is asked for later does not wait.
    """

    def __init__(
        self, load: Callable[[], Configuration], on_done: Callable[[], None], longest: float = _LONGEST
    ) -> None:
        self._load = load
        self._longest = longest
        self._reader = 0  # which thread's result counts
        self._since = 0.0  # when it began to read last
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
            if self._is_reading and time.monotonic() - self._since <= self._longest:
                return number
            if self._is_reading:
                LOG.warning("the configuration is read again, while an earlier reading of it hangs, which is given up")
            self._is_reading = True
            self._since = time.monotonic()
            self._reader += 1
            reader = self._reader
        threading.Thread(target=self._read, args=(reader,), name="reload", daemon=True).start()
        return number

    def take(self) -> Configuration | GatewayError | None:
        """Return what was read, or why it cannot be used; None if nothing was read since the last time."""
        with self._lock:
            result, self._result = self._result, None
            self.taken = self._ended
        return result

    def _read(self, reader: int) -> None:
        while True:
            with self._lock:
                if reader != self._reader:  # it was given up
                    return
                if not self._is_asked:
                    self._is_reading = False
                    return
                self._is_asked = False
                self._begun += 1
                self._since = time.monotonic()
            result = self._result_of_load()
            with self._lock:
                if reader != self._reader:
                    return
                self._result = result
                self._ended = self._begun
            self._on_done()

    def _result_of_load(self) -> Configuration | GatewayError:
        try:
            with Call("reading the configuration", self._longest):
                return self._load()
        except ConfigurationError as err:
            return err
        except Exception as err:  # noqa: BLE001  (whatever it is, the gateway goes on as it was)
            return GatewayError(f"the configuration cannot be read: {err!r}")
