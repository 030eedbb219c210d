"""Who may read the page, and who may change something by it. Pure.

On this machine alone, everybody may read; who has the token may change something, too. A page that can be reached from
elsewhere shows nothing without the token. A browser sends the token in a header, which no other site can make it do.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.errors import GatewayError
from gateway.web.options import WebOptions, is_loopback

NO_TLS = (
    "This connection is not encrypted: whoever can listen on the network sees the token and everything else. "
    "Put a proxy with TLS before the page (docs/page.md says how)."
)
"""What the page says first where a token travels in the clear."""


_OF_PROXIES = ("HTTP_X_FORWARDED", "HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_CF_")  # how names begin


class RequestError(GatewayError):
    """A request that is not answered: the `status` of HTTP, and why."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Visitor(NamedTuple):
    """What whoever sent a request may do, and whether a proxy or this machine keeps what is sent a secret."""

    may_read: bool
    may_write: bool
    is_secure: bool


class Access:
    """Decides who may do what by the options of the page; `names` are those of this machine."""

    def __init__(self, options: WebOptions, names: tuple[str, ...] = ()) -> None:
        self._options = options
        self._names = {name.lower() for name in ("localhost", *names, *options.hosts)}
        if not options.host.replace(".", "").isdigit():
            self._names.add(options.host.lower())

    def visitor(self, environ: Mapping[str, Any]) -> Visitor:
        """Return what the sender of a request may do; `environ` as in WSGI (PEP 3333).

        Raises `RequestError` if the request has come in a way in which only another site, or a mistake, would send it,
        or with a wrong token.
        """
        host = environ.get("HTTP_HOST", "")
        if not self._is_own(host):
            raise RequestError(
                "421 Misdirected Request",
                f"this page is not known as {host[:100]!a}: add the name to web.hosts in the configuration, "
                "or use the address of the machine",
            )
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            raise RequestError("403 Forbidden", "another site has sent this request")
        if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in ("same-origin", "none") and not _is_link(environ):
            raise RequestError("403 Forbidden", "another site has sent this request")
        has_token = self._has_token(environ.get("HTTP_AUTHORIZATION"))
        peer = str(environ.get("REMOTE_ADDR", ""))
        is_by_tls_proxy = is_loopback(peer) and environ.get("HTTP_X_FORWARDED_PROTO") == "https"
        is_forwarded = _is_forwarded(environ)
        return Visitor(
            may_read=has_token or (self._options.is_local and not is_forwarded),
            may_write=has_token,
            is_secure=is_by_tls_proxy or (is_loopback(peer) and not is_forwarded),
        )

    def _has_token(self, header: str | None) -> bool:
        if header is None:
            return False
        kind, _, token = header.partition(" ")
        own = self._options.token
        if own is None:
            raise RequestError("401 Unauthorized", "this page has no token: set web.token_file in the configuration")
        given = token.strip().encode("latin-1", "replace")
        if kind.lower() != "bearer" or not hmac.compare_digest(given, own.encode()):
            raise RequestError(
                "401 Unauthorized", "this is not the token of this page: it is in the file web.token_file"
            )
        return True

    def _is_own(self, host: str) -> bool:
        """Return whether a Host header names this page: an address, or a name that is known to be its own.

        A site that lets its own name point to this machine could read the page otherwise; an address cannot do so.
        """
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
        if name.lower().rstrip(".") in self._names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]").partition("%")[0])
        except ValueError:
            return False
        return True


def _is_link(environ: Mapping[str, Any]) -> bool:
    """Return whether somebody has followed a link of another site, which sees nothing of what is shown then."""
    mode, target = environ.get("HTTP_SEC_FETCH_MODE"), environ.get("HTTP_SEC_FETCH_DEST")
    return (environ.get("REQUEST_METHOD"), mode, target) == ("GET", "navigate", "document")


def _is_forwarded(environ: Mapping[str, Any]) -> bool:
    """Return whether a proxy has sent a request for somebody. Only a proxy speaks HTTP/1.0, as nginx does untold."""
    return environ.get("SERVER_PROTOCOL") == "HTTP/1.0" or any(name.startswith(_OF_PROXIES) for name in environ)
