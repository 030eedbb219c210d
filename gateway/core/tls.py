"""TLS as every part of the program uses it: its options, the settings made of them, and its errors in words.

The options are described in `tls_schema.json`, to which the schema of a connection refers.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from gateway.core.option_schema import read_schema
from gateway.errors import GatewayError

_OPTIONS = read_schema(Path(__file__).with_name("tls_schema.json"))["properties"]


class TlsError(GatewayError):
    """A file of the TLS options cannot be used."""


class TlsOptions(NamedTuple):
    """The options of TLS. The files are paths that the program can open."""

    enabled: bool = _OPTIONS["enabled"]["default"]
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    verify: bool = _OPTIONS["verify"]["default"]


class TlsNames(NamedTuple):
    """What an error of TLS calls the other end, the section of the options, and the options host and port.

    `without_tls` is how to connect without TLS.
    """

    peer: str
    section: str
    host: str
    port: str
    without_tls: str


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """Return the TLS settings for `options`; raise `TlsError` if one of their files cannot be used.

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
        raise TlsError(f"TLS cannot be set up with {files}: {err}: check these files") from err
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted: store it unencrypted, readable by the gateway only")


# OpenSSL's X509_V_ERR numbers (verify(1)) to remedies
_CERTIFICATE_REMEDIES = {
    9: "check the clock of this machine",  # not yet valid
    10: "renew {peer}'s certificate, or check the clock of this machine",  # has expired
    18: "set {section}.ca_file to it if you trust it",  # self-signed certificate
    19: "set {section}.ca_file to its CA certificate",  # self-signed certificate in chain
    20: "set {section}.ca_file to the CA certificate of {peer}",  # unable to get local issuer
    62: "set {host} to a name in {peer}'s certificate",  # hostname mismatch
    64: "set {host} to a name in {peer}'s certificate",  # IP address mismatch
}
# Errors of ssl.VERIFY_X509_STRICT alone: a key usage or a key identifier is missing, a constraint is not critical, ...
_STRICT_REMEDY = (
    "set {section}.ca_file to its CA certificate, or create CA and certificate again, see docs/operations.md"
)
_CERTIFICATE_REMEDIES |= dict.fromkeys(range(80, 95), _STRICT_REMEDY)


def describe_tls_error(where: str, err: ssl.SSLError, names: TlsNames) -> tuple[str, str]:
    """Return why the TLS handshake with `where` failed, and the remedy."""
    if isinstance(err, ssl.SSLCertVerificationError):
        remedy = _CERTIFICATE_REMEDIES.get(err.verify_code, "check the certificate of {peer}")
        return f"the certificate of {where} is not trusted ({err.verify_message})", remedy.format_map(names._asdict())
    reason = (err.reason or str(err)).replace("_", " ").lower()
    if "wrong version number" in reason or "record layer failure" in reason:
        return f"{where} does not support TLS", f"is {names.port} its TLS port? or {names.without_tls}"
    if "certificate" in reason:
        remedy = f"check {names.section}.certificate_file and {names.section}.key_file"
        return f"{where} refused the client certificate ({reason})", remedy
    return f"the TLS handshake with {where} failed ({reason})", f"check {names.section} and {names.peer}'s log"
