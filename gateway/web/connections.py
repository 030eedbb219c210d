"""Connections of browsers to the page: how many there may be, and what happens to one on which no HTTP is spoken.

Waitress reads the requests. Here is what it leaves open to whoever can reach the page without a token.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher
from waitress.utilities import BadRequest, queue_logger

from gateway.web.app import HEADERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

THREADS = 8
"""Threads that answer requests."""

MOST_CONNECTIONS = 200
"""Connections at a time; for one more, the one ends on which nothing has happened for longest."""

_PAUSE = 0.1  # s, if a connection cannot be accepted, as no descriptor is free


class _Parser(HTTPRequestParser):
    """Reads a request; whatever it cannot read is answered as a bad one."""

    def received(self, data: bytes) -> int:
        try:
            return super().received(data)
        except ValueError:  # a length of 5,000 digits, or an address with half a bracket
            self.error = BadRequest("")
            self.completed = True
            return len(data)


class _Refusal(ErrorTask):
    """The answer to what is no request of HTTP; it repeats nothing of it."""

    def execute(self) -> None:
        error: Any = self.request.error  # type: ignore[attr-defined]  # the type that it has in waitress is wrong
        reason = error.reason.lower()
        body = json.dumps({"error": f"this request cannot be read: {reason}"}).encode("ascii")
        self.status = f"{error.code} {error.reason}"
        self.response_headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), *HEADERS]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Connection(HTTPChannel):
    """A connection of a browser."""

    parser_class = _Parser
    error_task_class = _Refusal

    def handle_expt(self) -> None:
        """End the connection: no browser sends urgent data, which would wake the thread again and again."""
        self.handle_close()


class Connections(TcpWSGIServer):
    """Accepts connections at `listener`, and has `THREADS` threads answer by `app` what they request."""

    channel_class = _Connection

    def __init__(self, app: Callable[..., Iterable[bytes]], channels: dict[int, Any], listener: socket.socket) -> None:
        options = Adjustments(
            sockets=[listener],
            threads=THREADS,
            ident=None,
            connection_limit=MOST_CONNECTIONS + 20,  # it counts more than connections; those that are busy do not end
            channel_timeout=60,
            max_request_header_size=16 * 1024,
            max_request_body_size=1024 * 1024,
            clear_untrusted_proxy_headers=False,  # `Access` trusts them from this machine only
            log_socket_errors=False,  # a browser may go at any time
            expose_tracebacks=False,
        )
        threads = ThreadedTaskDispatcher()
        queue_logger.setLevel(logging.ERROR)  # that requests wait is no news: there are limits
        threads.logger = queue_logger  # nor that those which wait at the end are cancelled
        threads.set_thread_count(THREADS)
        where = (listener.family, listener.type, listener.proto, listener.getsockname())
        super().__init__(
            app, channels, _sock=listener, dispatcher=threads, adj=options, sockinfo=where, bind_socket=False
        )

    def handle_accept(self) -> None:
        """Accept a connection, and end another one if there are too many."""
        connections: dict[int, _Connection] = self.active_channels  # type: ignore[assignment]  # as above
        previous = len(connections)
        super().handle_accept()
        if len(connections) == previous:
            time.sleep(_PAUSE)  # it still waits to be accepted: looking at once would occupy a processor
        elif previous >= MOST_CONNECTIONS:
            idle = [each for each in connections.values() if not each.requests]
            if idle:
                min(idle, key=lambda each: each.last_activity).handle_close()

    def end(self, longest: int) -> None:
        """End all threads within `longest` seconds, and all connections. The thread of the loop has ended before."""
        self.task_dispatcher.shutdown(timeout=longest)
        connections: dict[int, _Connection] = self.active_channels  # type: ignore[assignment]  # as above
        for connection in list(connections.values()):
            connection.handle_close()
        self.close()
