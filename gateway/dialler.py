"""Opens connections in a thread of its own: a name look-up or a handshake can hang, and a stop must not wait for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from gateway.mailbox import Wakeup


class Dialler:
    """Opens one connection at a time and leaves it for the main thread; `wakeup` says that it is there."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._result: socket.socket | Exception | None = None
        self._is_closed = False

    def start(self, dial: Callable[[], socket.socket]) -> None:
        """Begin to open the connection that `dial` returns."""
        self._result = None
        self._thread = threading.Thread(target=self._run, args=(dial,), name="mqtt-dial", daemon=True)
        self._thread.start()

    def _run(self, dial: Callable[[], socket.socket]) -> None:
        result: socket.socket | Exception
        try:
            result = dial()
        except Exception as err:  # noqa: BLE001  (it is raised again where it is taken)
            result = err
        with self._lock:
            if self._is_closed and not isinstance(result, Exception):
                result.close()
                return
            self._result = result
        self._wakeup.set()

    def take(self) -> socket.socket | None:
        """Return the connection, once it is open; None before. Raises what `dial` has raised."""
        if self._result is None or self._thread is None:
            return None
        self._thread.join()
        self._thread, result, self._result = None, self._result, None
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        """Close what nobody has taken, and what is still being opened once it is."""
        with self._lock:
            self._is_closed = True
            result, self._result = self._result, None
        if result is not None and not isinstance(result, Exception):
            result.close()
