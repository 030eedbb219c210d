"""The thread that serves the page, with a few more that answer. Nothing of the data path waits for any of them."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from waitress.server import TcpWSGIServer, create_server
from waitress.wasyncore import loop

from gateway.core.package_logger import package_logger

if TYPE_CHECKING:
    from gateway.web.options import WebOptions

LOG = package_logger(__name__)

THREADS = 6
"""Threads that answer requests."""

_LONGEST_SLEEP = 30.0  # s; it is woken by every event, so that this only bounds what was missed
_LONGEST_STOP = 5  # s


class WebServer:
    """Serves `app` as the options say, until it is closed. Raises `OSError` if the address cannot be listened on.

    `release` is called when it is closed: whatever a thread waits for in `app` must end then.
    """

    def __init__(self, options: WebOptions, app: Callable[..., Iterable[bytes]], release: Callable[[], None]) -> None:
        self._release = release
        self._channels: dict[int, Any] = {}
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that a request waits is no news: there are limits
        listener = _listener(options.host, options.port)
        self.port: int = listener.getsockname()[1]
        """The port that is listened on."""
        server = create_server(
            app,
            map=self._channels,
            sockets=[listener],
            threads=THREADS,
            ident=None,
            connection_limit=200,
            channel_timeout=60,
            max_request_header_size=16 * 1024,
            max_request_body_size=1024 * 1024,
            clear_untrusted_proxy_headers=False,  # `Access` trusts them from this machine only
            expose_tracebacks=False,
        )
        assert isinstance(server, TcpWSGIServer)  # noqa: S101  (for the type checker: one socket makes one server)
        self._server = server
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all threads and connections."""
        self._is_closing = True
        self._release()
        self._server.pull_trigger()
        self._thread.join(_LONGEST_STOP)
        self._server.task_dispatcher.shutdown(timeout=_LONGEST_STOP)
        for channel in list(self._channels.values()):
            with contextlib.suppress(OSError):
                channel.close()

    def _run(self) -> None:
        while not self._is_closing:
            loop(timeout=_LONGEST_SLEEP, map=self._channels, use_poll=True, count=1)


def _listener(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
