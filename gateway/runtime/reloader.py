"""Reads the configuration again while the gateway runs, in a thread of its own, because files can be slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gateway.configuration.settings import Configuration
from gateway.core.activity import Call
from gateway.core.package_logger import package_logger
from gateway.errors import ConfigurationError, GatewayError

LOG = package_logger(__name__)

_LONGEST = 10.0  # s after which reading counts as hanging; a slow disk takes less


class Reloader:
    """Calls `load` in a thread when it is requested to, and `on_done` in that thread when there is a result.

    The main thread requests, and fetches the result. `load` imports code, which may hang: after `longest` seconds
    the log names it, and a later request starts another thread instead of waiting for it.
    """

    def __init__(
        self, load: Callable[[], Configuration], on_done: Callable[[], None], longest: float = _LONGEST
    ) -> None:
        self._load = load
        self._longest = longest
        self._reader = 0  # number of the thread whose result counts
        self._since = 0.0  # monotonic time (s) at which the current reading began
        self._on_done = on_done
        self._lock = threading.Lock()
        self._is_requested = self._is_reading = False
        self._result: Configuration | GatewayError | None = None
        self._begun = self._ended = 0  # how often reading has begun, and the number of the one that has ended last
        self.fetched = 0
        """The number of the reading whose result was fetched last."""

    @property
    def is_reading(self) -> bool:
        """Whether the files are being read, or the result was not fetched yet."""
        with self._lock:
            return self._is_requested or self._ended != self._begun or self._result is not None

    def request(self) -> int:
        """Read the files; if they are being read already, read them once more after that.

        Return the number of the reading that will see the files as they are now.
        """
        with self._lock:
            self._is_requested = True
            number = self._begun + 1
            if self._is_reading and time.monotonic() - self._since <= self._longest:
                return number
            if self._is_reading:
                LOG.warning("reading the configuration again; an earlier reading of it hangs and is abandoned")
            self._is_reading = True
            self._since = time.monotonic()
            self._reader += 1
            reader = self._reader
        threading.Thread(target=self._read, args=(reader,), name="reload", daemon=True).start()
        return number

    def result(self) -> Configuration | GatewayError | None:
        """Return the configuration, or the error in it, once; None if there is no new result."""
        with self._lock:
            result, self._result = self._result, None
            self.fetched = self._ended
        return result

    def _read(self, reader: int) -> None:
        while True:
            with self._lock:
                if reader != self._reader:  # this thread was abandoned
                    return
                if not self._is_requested:
                    self._is_reading = False
                    return
                self._is_requested = False
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
        except Exception as err:  # noqa: BLE001  (whatever it raises, the running configuration stays in use)
            return GatewayError(f"the configuration cannot be read: {err!r}")
