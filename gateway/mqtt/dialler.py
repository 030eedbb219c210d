"""Opens connections in a separate thread: a name look-up or a handshake can hang, and a stop must not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gateway.core.inbox import Wakeup
from gateway.mqtt.dial import Connection


class Dialler:
    """Opens one connection at a time in the thread `mqtt-dial`, for the main thread to pop; sets `wakeup` then.

    Only the main thread calls the methods.
    """

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._result: Connection | Exception | None = None
        self._is_closed = False

    @property
    def is_idle(self) -> bool:
        """Whether no connection is being opened, or waits to be popped."""
        return self._thread is None

    def start(self, dial: Callable[[], Connection]) -> None:
        """Begin to open the connection that `dial` returns. A previous connection that was not popped is closed."""
        thread = threading.Thread(target=self._run, args=(dial,), name="mqtt-dial", daemon=True)
        self.discard(thread)
        thread.start()

    def discard(self, successor: threading.Thread | None = None) -> None:
        """Close a connection that was not popped; one that is still being opened is closed once it is open.

        From now on only the thread `successor` may leave a connection here.
        """
        with self._lock:
            self._thread = successor
            result, self._result = self._result, None
        if result is not None and not isinstance(result, Exception):
            result.close()

    def _run(self, dial: Callable[[], Connection]) -> None:
        result: Connection | Exception
        try:
            result = dial()
        except Exception as err:  # noqa: BLE001  (`pop` raises it in the main thread)
            result = err
        with self._lock:
            if self._is_closed or self._thread is not threading.current_thread():  # discarded meanwhile
                if not isinstance(result, Exception):
                    result.close()
                return
            self._result = result
        self._wakeup.set()

    def pop(self) -> Connection | None:
        """Return the connection, once it is open; None before. Raises what `dial` has raised."""
        if self._result is None or self._thread is None:
            return None
        self._thread.join()
        self._thread, result, self._result = None, self._result, None
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        """Discard what is being opened, and close whatever is opened from now on."""
        with self._lock:
            self._is_closed = True
        self.discard()
