"""Opens a connection to a broker, and says in words why it cannot be opened.

The one place where errors of DNS, TCP and TLS, which come as half a dozen unrelated classes, become ours.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass

from gateway.errors import GatewayError


class LinkError(GatewayError):
    """The broker cannot be reached, refused the connection, or was lost: what, and the remedy."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}: {remedy}" if remedy else what)
        self.what = what


@dataclass(frozen=True)
class TlsOptions:
    """The `mqtt.tls` part of a configuration."""

    enabled: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    verify: bool = True


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """Return the TLS settings for `options`; raise `LinkError` if a file of them cannot be used."""
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.certificate_file:
            context.load_cert_chain(options.certificate_file, options.key_file, password=_no_password)
    except (OSError, ValueError) as err:
        files = ", ".join(filter(None, (options.ca_file, options.certificate_file, options.key_file)))
        raise LinkError(f"TLS cannot be set up with {files}: {err}", "check these files") from err
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted: store it unencrypted, readable by the gateway only")


def dial(host: str, port: int, timeout: float, context: ssl.SSLContext | None = None) -> socket.socket:
    """Return a socket connected to `host` and `port`, with TLS on it if there is a `context`.

    `timeout` (s) bounds each of connecting and handshake; a name look-up takes as long as the system's
    resolver does. Raises `LinkError`.
    """
    where = f"{host}:{port}"
    connection: socket.socket | None = None
    try:
        connection = socket.create_connection((host, port), timeout)
        if context is None:
            return connection
        return context.wrap_socket(connection, server_hostname=host)
    except Exception as err:
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()
        if isinstance(err, ssl.SSLError):
            raise _tls_error(where, err) from err
        if isinstance(err, OSError | UnicodeError | ValueError):
            raise _tcp_error(host, where, timeout, err, during_tls=connection is not None) from err
        raise


def _tcp_error(host: str, where: str, timeout: float, err: Exception, *, during_tls: bool) -> LinkError:
    if isinstance(err, socket.gaierror):
        return LinkError(f"the host name {host!a} cannot be resolved ({err.strerror})", "check mqtt.host and DNS")
    if isinstance(err, UnicodeError | ValueError):
        return LinkError(f"{host!a} is not a host name ({err})", "correct mqtt.host")
    step = "the TLS handshake" if during_tls else "the connection"
    if isinstance(err, TimeoutError):
        remedy = "is mqtt.port its TLS port?" if during_tls else "check mqtt.host, mqtt.port and firewalls"
        return LinkError(f"{where} does not answer {step} within {timeout:g} s", remedy)
    if isinstance(err, ConnectionRefusedError):
        return LinkError(f"nothing listens at {where}", "is the broker running, and mqtt.port right?")
    remedy = "is mqtt.port its TLS port?" if during_tls else "check network, mqtt.host and mqtt.port"
    reason = getattr(err, "strerror", None) or str(err) or type(err).__name__
    return LinkError(f"{step} to {where} failed ({reason})", remedy)


# OpenSSL's X509_V_ERR numbers (verify(1)) to remedies
_CERTIFICATE_REMEDIES = {
    9: "check the clock of this machine",  # not yet valid
    10: "renew the broker's certificate, or check the clock of this machine",  # has expired
    18: "give it as mqtt.tls.ca_file if you trust it",  # self-signed certificate
    19: "give its CA certificate as mqtt.tls.ca_file",  # self-signed certificate in chain
    20: "give the CA certificate of the broker as mqtt.tls.ca_file",  # unable to get local issuer
    62: "set mqtt.host to a name in the broker's certificate",  # hostname mismatch
    64: "set mqtt.host to a name in the broker's certificate",  # IP address mismatch
}


def _tls_error(where: str, err: ssl.SSLError) -> LinkError:
    if isinstance(err, ssl.SSLCertVerificationError):
        remedy = _CERTIFICATE_REMEDIES.get(err.verify_code, "check the certificate of the broker")
        return LinkError(f"the certificate of {where} is not trusted ({err.verify_message})", remedy)
    reason = (err.reason or str(err)).replace("_", " ").lower()
    if "wrong version number" in reason or "record layer failure" in reason:
        return LinkError(f"{where} does not speak TLS", "is mqtt.port its TLS port? or set mqtt.tls.enabled to false")
    if "certificate" in reason:
        remedy = "check mqtt.tls.certificate_file and mqtt.tls.key_file"
        return LinkError(f"{where} refused the client certificate ({reason})", remedy)
    return LinkError(f"the TLS handshake with {where} failed ({reason})", "check mqtt.tls and the broker's log")
