"""The WSGI application: a table of addresses, each with the function that answers it, and the rules for all of them.

An address is a fixed text, so that no request can name a file. Answers are JSON, but for the files of the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from gateway.core.allowance import Allowance
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.errors import GatewayError
from gateway.web.access import Access, RequestError, Visitor

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LOG = package_logger(__name__)

MAX_BODY = 512 * 1024
"""Bytes of the largest body of a request: rules of a large interface, with the frames to try them with."""

_MOST_QUERY = 4096  # characters of a query
_MOST_FAILURES = 10  # wrong tokens a minute: a person mistypes a few
_POLICY = (  # everything of the page lies in files of its own, and nothing comes from elsewhere
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
"""Headers of every answer."""


class WrongToken(ThrottledException):
    """Somebody has sent a wrong token."""


class Request(NamedTuple):
    """A request that may be answered: the parameters of its address, its body (JSON), and who has sent it."""

    query: Mapping[str, str]
    body: Mapping[str, Any]
    visitor: Visitor

    def number(self, name: str, default: int, most: int = 2**53) -> int:
        """Return a parameter that is a whole number from -1 to `most`. Raises `RequestError` if it is none."""
        text = self.query.get(name)
        if text is None:
            return default
        if len(text) <= 17 and text.removeprefix("-").isdecimal() and -1 <= int(text) <= most:
            return int(text)
        raise RequestError("400 Bad Request", f"{name} must be a whole number of at most {most}")

    def text(self, name: str, longest: int = 1000) -> str:
        """Return a text of the body, or `""`. Raises `RequestError` if it is none, or too long."""
        value = self.body.get(name, "")
        if not isinstance(value, str) or len(value) > longest:
            raise RequestError("400 Bad Request", f"{name} must be a text of at most {longest} characters")
        return value


class Content(NamedTuple):
    """An answer as bytes, with their type; `tag` identifies them, so that a browser asks only once; `""`: none does."""

    type: str
    data: bytes
    tag: str = ""


class Route(NamedTuple):
    """What answers at an address: a function, and whether it is public, or for whoever has the token only.

    What is public contains nothing of this gateway.
    """

    answer: Callable[[Request], Mapping[str, Any] | Content]
    is_public: bool = False
    is_writing: bool = False


class App:
    """Answers requests by `routes`: by their method, GET or POST, and their path."""

    def __init__(self, access: Access, routes: Mapping[tuple[str, str], Route]) -> None:
        self._access = access
        self._routes = routes
        self._failures = Allowance(_MOST_FAILURES, 60.0)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; see PEP 3333."""
        method = environ["REQUEST_METHOD"]
        more: Sequence[tuple[str, str]] = ()
        try:
            status, answer = "200 OK", self._answer(environ, "GET" if method == "HEAD" else method)
        except RequestError as err:
            status, answer = err.status, {"error": str(err)}
            if status.startswith("401"):
                more = (("WWW-Authenticate", "Bearer"),)
        except GatewayError as err:
            status, answer = "409 Conflict", {"error": str(err)}
        except Exception as err:
            LOG.exception("a request to the page failed: %a", environ.get("PATH_INFO", "")[:200])
            reason = f"this failed, which is a bug: {type(err).__name__}: the log of the gateway shows where"
            status, answer = "500 Internal Server Error", {"error": reason}
        if isinstance(answer, Content):
            is_kept = bool(answer.tag)
            more = (*more, ("Cache-Control", "no-cache" if is_kept else "no-store"))
            more = (*more, ("ETag", answer.tag)) if is_kept else more
            if is_kept and answer.tag in environ.get("HTTP_IF_NONE_MATCH", ""):  # a proxy that compresses adds W/
                start_response("304 Not Modified", [*HEADERS, *more])
                return []
            kind, data = answer.type, answer.data
        else:
            more = (*more, ("Cache-Control", "no-store"))
            kind, data = "application/json", json.dumps(answer).encode("ascii")
        length = ("Content-Length", str(len(data)))
        start_response(status, [("Content-Type", kind), length, *HEADERS, *more])
        return [] if method == "HEAD" else [data]

    def _answer(self, environ: WSGIEnvironment, method: str) -> Mapping[str, Any] | Content:
        visitor = self._visitor(environ)
        path = environ.get("PATH_INFO", "")
        route = self._routes.get((method, path))
        if route is None:
            if any(known == path for _, known in self._routes):
                raise RequestError("405 Method Not Allowed", f"{path} does not answer {method[:20]}")
            raise RequestError("404 Not Found", "there is nothing at this address")
        if not (visitor.may_read or route.is_public):
            raise RequestError("401 Unauthorized", "this needs the token of the page")
        if route.is_writing and not visitor.may_write:
            raise RequestError("401 Unauthorized", "this needs the token of the page")
        return route.answer(Request(_query(environ), _body(environ) if method == "POST" else {}, visitor))

    def _visitor(self, environ: WSGIEnvironment) -> Visitor:
        try:
            return self._access.visitor(environ)
        except RequestError as err:
            if err.status.startswith("401"):
                if not self._failures.take():
                    raise RequestError("429 Too Many Requests", "too many wrong tokens: wait a minute") from err
                wrong = WrongToken(f"somebody at {environ.get('REMOTE_ADDR', '?')} has sent a wrong token to the page")
                if wrong.trigger:
                    LOG.warning(wrong.report)
            raise


def _query(environ: WSGIEnvironment) -> dict[str, str]:
    text = environ.get("QUERY_STRING", "")
    if len(text) > _MOST_QUERY:
        raise RequestError("414 URI Too Long", f"a query has at most {_MOST_QUERY} characters")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=20, errors="strict"))
    except (ValueError, UnicodeDecodeError) as err:
        raise RequestError("400 Bad Request", "the query of the address cannot be read") from err


def _body(environ: WSGIEnvironment) -> Mapping[str, Any]:
    """Return the JSON object that was sent. A form of another site cannot send this type without asking first."""
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestError("415 Unsupported Media Type", "send JSON, as application/json")
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or len(length) > 10 or int(length) > MAX_BODY:
        raise RequestError("413 Content Too Large", f"a request has at most {MAX_BODY} bytes")
    try:
        body = json.loads(environ["wsgi.input"].read(int(length)).decode())
    except (ValueError, RecursionError) as err:
        raise RequestError("400 Bad Request", "this is no JSON") from err
    if not isinstance(body, dict):
        raise RequestError("400 Bad Request", "this is no JSON object")
    return body
