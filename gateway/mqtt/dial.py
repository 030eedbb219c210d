"""Opens a connection to a broker, and explains why it cannot be opened.

Errors of DNS, TCP and TLS, which come as half a dozen unrelated classes, become a `LinkError` here and nowhere else.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any, Literal, NamedTuple, TypeAlias

from paho.mqtt.client import WebsocketConnectionError, _WebsocketWrapper

from gateway.core.tls import TlsNames, describe_tls_error
from gateway.errors import GatewayError

Transport: TypeAlias = Literal["tcp", "websockets", "unix"]

Connection: TypeAlias = socket.socket | _WebsocketWrapper
"""What paho accepts as its socket."""


class Server(NamedTuple):
    """The address of a broker: host and port, or the path of a unix socket, without a port."""

    host: str
    port: int = 0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


class LinkError(GatewayError):
    """The broker cannot be reached, refused the connection, or was lost: what happened, and the remedy."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}: {remedy}" if remedy else message)


_TLS_NAMES = TlsNames(
    peer="the broker",
    section="mqtt.tls",
    host="mqtt.host",
    port="mqtt.port",
    without_tls="set mqtt.tls.enabled to false",
)


def dial(
    server: Server,
    timeout: float,
    context: ssl.SSLContext | None = None,
    transport: Transport = "tcp",
    path: str = "/mqtt",
) -> Connection:
    """Return a connection to `server`, with TLS if there is a `context`, and with websockets at `path` on request.

    `timeout` (seconds) limits connecting and each of the handshakes; a name look-up takes as long as the resolver of
    the system does. Raises `LinkError`.
    """
    connection: socket.socket | None = None
    step = "the connection"
    try:
        if transport == "unix":
            connection = _dial_unix(server.host, timeout)
        else:
            connection = socket.create_connection((_encoded(server.host), server.port), timeout)
            # Nagle's algorithm would keep a burst of small packets for 40 ms, until the broker acknowledges the first.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            step = "the TLS handshake"
            connection = context.wrap_socket(connection, server_hostname=server.host)
        if transport == "websockets":
            step = "the websocket handshake"
            host = f"[{server.host}]" if ":" in server.host else server.host
            return _WebsocketWrapper(connection, host, server.port, context is not None, path, None)
        return connection
    except Exception as err:
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()
        if isinstance(err, WebsocketConnectionError) or (step == "the websocket handshake" and _is_no_http(err)):
            remedy = "is mqtt.port its port for websockets, and mqtt.path right?"
            raise LinkError(f"{server} refused the websocket handshake", remedy) from err
        if isinstance(err, ssl.SSLError):
            raise LinkError(*describe_tls_error(str(server), err, _TLS_NAMES)) from err
        if isinstance(err, OSError | UnicodeError | ValueError):
            raise _unix_error(server, err) if transport == "unix" else _tcp_error(server, timeout, err, step) from err
        raise


def _encoded(host: str) -> Any:
    """Return `host` as bytes if it is ASCII: Python converts text to an international name, which takes 4 ms."""
    return host.encode() if host.isascii() else host


def is_websocket(connection: Connection) -> bool:
    """Return whether `connection` puts data into websocket frames, each of which is sent whole or not at all."""
    return isinstance(connection, _WebsocketWrapper)


def _is_no_http(err: Exception) -> bool:
    """Return whether paho's websockets could not parse an answer, rather than that the network failed."""
    return isinstance(err, ValueError | LookupError)


def _dial_unix(path: str, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _unix_error(server: Server, err: Exception) -> LinkError:
    if isinstance(err, FileNotFoundError | ConnectionRefusedError):
        return LinkError(f"nothing listens at {server}", "is the broker running, and mqtt.host its unix socket?")
    if isinstance(err, PermissionError):
        return LinkError(f"no permission to open {server}", "give this user access to the broker's unix socket")
    reason = getattr(err, "strerror", None) or str(err) or type(err).__name__
    return LinkError(f"the connection to {server} failed ({reason})", "check mqtt.host")


_PORT_REMEDIES = {
    "the TLS handshake": "is mqtt.port its TLS port?",
    "the websocket handshake": "is mqtt.port its port for websockets?",
}


def _tcp_error(server: Server, timeout: float, err: Exception, step: str) -> LinkError:
    host, where = server.host, str(server)
    if isinstance(err, socket.gaierror):
        return LinkError(f"the host name {host!a} cannot be resolved ({err.strerror})", "check mqtt.host and DNS")
    if isinstance(err, UnicodeError | ValueError):
        return LinkError(f"{host!a} is not a host name ({err})", "correct mqtt.host")
    remedy = _PORT_REMEDIES.get(step, "check mqtt.host, mqtt.port and firewalls")
    if isinstance(err, TimeoutError):
        return LinkError(f"{where} does not answer {step} within {timeout:g} s", remedy)
    if isinstance(err, ConnectionRefusedError):
        return LinkError(f"nothing listens at {where}", "is the broker running, and mqtt.port right?")
    remedy = _PORT_REMEDIES.get(step, "check network, mqtt.host and mqtt.port")
    reason = getattr(err, "strerror", None) or str(err) or type(err).__name__
    return LinkError(f"{step} to {where} failed ({reason})", remedy)
