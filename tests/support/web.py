"""Requests to a page: by WSGI, without a network, and as bytes at its port."""

from __future__ import annotations

import contextlib
import io
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway.web.access import Access
from gateway.web.app import App, Route
from gateway.web.options import WebOptions
from gateway.web.server import WebServer

TOKEN = "0123456789abcdef"
LOCAL = WebOptions(enabled=True, listen="127.0.0.1:0", token=TOKEN)
OPEN = LOCAL._replace(listen="0.0.0.0:0")


class Reply(NamedTuple):
    """An answer of HTTP."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def error(self) -> str:
        return str(self.json["error"])


def environ(path: str = "/", method: str = "GET", body: bytes | None = None, /, **more: str) -> dict[str, Any]:
    """Return a request as waitress passes it on: from this machine, at the name of this machine."""
    query = {"QUERY_STRING": path.partition("?")[2]}
    sent = {} if body is None else {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"}
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path.partition("?")[0],
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:8377",
        "wsgi.input": io.BytesIO(body or b""),
        **query,
        **sent,
        **more,
    }


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


def call(app: App, request: Mapping[str, Any]) -> Reply:
    """Return what `app` answers."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []
    data = b"".join(app(dict(request), lambda status, headers, *_: begun.append((status, headers))))  # type: ignore[arg-type]
    ((status, headers),) = begun
    return Reply(int(status[:3]), dict(headers), data)


@contextlib.contextmanager
def served(routes: Mapping[tuple[str, str], Route], options: WebOptions = LOCAL) -> Iterator[WebServer]:
    """A server of `routes` on a free port."""
    server = WebServer(options, App(Access(options), routes), lambda: None)
    try:
        yield server
    finally:
        server.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def read_reply(connection: socket.socket) -> Reply:
    """Read one answer from a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection, data)
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    length = int(headers.get("Content-Length", "0")) if not first.startswith("HTTP/1.1 304") else 0
    while len(rest) < length:
        rest += _some(connection, data + rest)
    return Reply(int(first.split()[1]), headers, rest)


def _some(connection: socket.socket, previous: bytes) -> bytes:
    data = connection.recv(65536)
    assert data, f"the connection has ended after {previous!r}"
    return data


def exchange(port: int, request: bytes) -> Reply:
    """Send bytes on a new connection, and return the answer."""
    with connect(port) as connection:
        connection.sendall(request)
        return read_reply(connection)


def fetch(
    port: int, path: str, body: Any = None, token: str | None = None, method: str | None = None, **headers: str
) -> Reply:
    """Send a request as a browser would; with `body` a POST of it as JSON."""
    lines = {"Host": f"127.0.0.1:{port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    data = b""
    if body is not None:
        data = json.dumps(body).encode()
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
    if token is not None:
        lines["Authorization"] = f"Bearer {token}"
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    verb = method or ("GET" if body is None else "POST")
    return exchange(port, f"{verb} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + data)
