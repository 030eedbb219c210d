"""Opens a connection to a broker, and explains why it cannot be opened.

Errors of DNS, TCP and TLS, which come as half a dozen unrelated classes, become a `LinkError` here and nowhere else.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any, Literal, NamedTuple, TypeAlias

from paho.mqtt.client import WebsocketConnectionError, _WebsocketWrapper

from gateway.core.option_schema import section_defaults
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


_TLS_DEFAULT = section_defaults(__file__, "tls")


class TlsOptions(NamedTuple):
    """The `mqtt.tls` section of a configuration."""

    enabled: bool = _TLS_DEFAULT["enabled"]
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    verify: bool = _TLS_DEFAULT["verify"]


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """Return the TLS settings for `options`; raise `LinkError` if one of their files cannot be used.

    Since version 3.13 Python also refuses certificates without certain extensions of RFC 5280, such as the key usage.
    That strictness is kept for the authorities of the system. Where the user names an authority in `ca_file`, it is
    switched off, as other MQTT clients have it: an authority made by the recipe of mosquitto-tls(7) has no key usage.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.certificate_file:
            context.load_cert_chain(options.certificate_file, options.key_file, password=_no_password)
        if options.ca_file:
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    except (OSError, ValueError) as err:
        files = ", ".join(filter(None, (options.ca_file, options.certificate_file, options.key_file)))
        raise LinkError(f"TLS cannot be set up with {files}: {err}", "check these files") from err
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted: store it unencrypted, readable by the gateway only")


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
            raise _tls_error(str(server), err) from err
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


# OpenSSL's X509_V_ERR numbers (verify(1)) to remedies
_CERTIFICATE_REMEDIES = {
    9: "check the clock of this machine",  # not yet valid
    10: "renew the broker's certificate, or check the clock of this machine",  # has expired
    18: "set mqtt.tls.ca_file to it if you trust it",  # self-signed certificate
    19: "set mqtt.tls.ca_file to its CA certificate",  # self-signed certificate in chain
    20: "set mqtt.tls.ca_file to the CA certificate of the broker",  # unable to get local issuer
    62: "set mqtt.host to a name in the broker's certificate",  # hostname mismatch
    64: "set mqtt.host to a name in the broker's certificate",  # IP address mismatch
}
# Errors of ssl.VERIFY_X509_STRICT alone: a key usage or a key identifier is missing, a constraint is not critical, ...
_STRICT_REMEDY = (
    "set mqtt.tls.ca_file to its CA certificate, or create CA and certificate again, see docs/operations.md"
)
_CERTIFICATE_REMEDIES |= dict.fromkeys(range(80, 95), _STRICT_REMEDY)


def _tls_error(where: str, err: ssl.SSLError) -> LinkError:
    if isinstance(err, ssl.SSLCertVerificationError):
        remedy = _CERTIFICATE_REMEDIES.get(err.verify_code, "check the certificate of the broker")
        return LinkError(f"the certificate of {where} is not trusted ({err.verify_message})", remedy)
    reason = (err.reason or str(err)).replace("_", " ").lower()
    if "wrong version number" in reason or "record layer failure" in reason:
        return LinkError(f"{where} does not support TLS", "is mqtt.port its TLS port? or set mqtt.tls.enabled to false")
    if "certificate" in reason:
        remedy = "check mqtt.tls.certificate_file and mqtt.tls.key_file"
        return LinkError(f"{where} refused the client certificate ({reason})", remedy)
    return LinkError(f"the TLS handshake with {where} failed ({reason})", "check mqtt.tls and the broker's log")
