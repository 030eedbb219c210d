"""Opens connections in a thread of its own: a name look-up or a handshake can hang, and a stop must not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gateway.core.inbox import Wakeup
from gateway.mqtt.dial import Connection


class Dialler:
    """Opens one connection at a time and leaves it for the main thread; `wakeup` says that it is there."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._result: Connection | Exception | None = None
        self._is_closed = False

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing is being opened, or waits to be taken."""
        return self._thread is None

    def start(self, dial: Callable[[], Connection]) -> None:
        """Begin to open the connection that `dial` returns. What was being opened before is closed once it is open."""
        thread = threading.Thread(target=self._run, args=(dial,), name="mqtt-dial", daemon=True)
        self.forget(thread)
        thread.start()

    def forget(self, successor: threading.Thread | None = None) -> None:
        """Close what nobody has taken, and what is still being opened once it is."""
        with self._lock:
            self._thread = successor
            result, self._result = self._result, None
        if result is not None and not isinstance(result, Exception):
            result.close()

    def _run(self, dial: Callable[[], Connection]) -> None:
        result: Connection | Exception
        try:
            result = dial()
        except Exception as err:  # noqa: BLE001  (it is raised again where it is taken)
            result = err
        with self._lock:
            if self._is_closed or self._thread is not threading.current_thread():  # nobody waits for it any more
                if not isinstance(result, Exception):
                    result.close()
                return
            self._result = result
        self._wakeup.set()

    def take(self) -> Connection | None:
        """Return the connection, once it is open; None before. Raises what `dial` has raised."""
        if self._result is None or self._thread is None:
            return None
        self._thread.join()
        self._thread, result, self._result = None, self._result, None
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        """Open nothing more."""
        with self._lock:
            self._is_closed = True
        self.forget()
