"""The thread that serves the page, with a few more that answer. Nothing of the data path waits for any of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from waitress.wasyncore import loop

from gateway.core.package_logger import package_logger
from gateway.web.connections import Connections

if TYPE_CHECKING:
    from gateway.web.options import WebOptions

LOG = package_logger(__name__)

_LONGEST_SLEEP = 30.0  # s; it is woken by every event, so that this only bounds what was missed
_LONGEST_STOP = 5  # s


class WebServer:
    """Serves `app` as the options say, until it is closed. Raises `OSError` if the address cannot be listened on.

    `release` is called when it is closed: whatever a thread waits for in `app` must end then.
    """

    def __init__(self, options: WebOptions, app: Callable[..., Iterable[bytes]], release: Callable[[], None]) -> None:
        self._release = release
        self._channels: dict[int, Any] = {}
        listener = _listener(options.host, options.port)
        self.port: int = listener.getsockname()[1]
        """The port that is listened on."""
        self._connections = Connections(app, self._channels, listener)
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all threads and connections."""
        self._is_closing = True
        self._release()
        self._connections.pull_trigger()
        self._thread.join(_LONGEST_STOP)
        self._connections.end(_LONGEST_STOP)

    def _run(self) -> None:
        while not self._is_closing:
            loop(timeout=_LONGEST_SLEEP, map=self._channels, use_poll=True, count=1)


def _listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens, so that nothing has begun yet if that is not possible."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
