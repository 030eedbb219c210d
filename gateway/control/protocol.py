"""What is said on the control socket: one JSON object a line, a request and its reply. Pure.

{"request": "outbox list", "part": "waiting", "count": 20}
{"ok": true, "result": {...}}      or      {"ok": false, "error": "why not, and the remedy"}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from gateway.errors import ConfigurationError, GatewayError

MAX_REQUEST = 64 * 1024
"""Bytes of a request, its newline included."""

MAX_REPLY = 4 * 1024**2
"""Bytes of a reply, its newline included. What may be longer is asked for in pages."""


class ControlError(GatewayError):
    """A request that cannot be understood, was refused, or got no reply: why, and the remedy."""


class WrongConfigurationError(ControlError):
    """A gateway has refused to take its configuration over: what is wrong with that."""

    exit_code: ClassVar[int] = ConfigurationError.exit_code


class RequestKind(NamedTuple):
    """One kind of request: the function that does it, and its arguments by name, each of one type; all may be missing.

    `handle` gets the arguments that were given, and an `Answer`. It runs in the main thread, to which all that it may
    change belongs, or, if it is not `in_main_thread`, in the thread of the control socket. It may not wait.
    """

    handle: Callable[[Mapping[str, Any], Answer], None]
    arguments: Mapping[str, type] = {}
    in_main_thread: bool = True


class Answer:
    """Takes the answer to one request, from any thread; what comes after the first one is ignored."""

    def __init__(self, send: Callable[[Answer, bytes], None]) -> None:
        self._send = send

    def __call__(self, result: Mapping[str, Any]) -> None:
        """Reply with `result`, which JSON can say."""
        self._send(self, encode_reply({"ok": True, "result": result}))

    def refuse(self, why: str, *, is_configuration_wrong: bool = False) -> None:
        """Reply that the request is not done."""
        more = {"wrong_configuration": True} if is_configuration_wrong else {}
        self._send(self, encode_reply({"ok": False, "error": why, **more}))


def encode_request(request: str, arguments: Mapping[str, Any]) -> bytes:
    """Return the line for a request. Raises `ControlError` if it is too long."""
    line = _line({"request": request, **arguments})
    if len(line) > MAX_REQUEST:
        raise ControlError(f"the request {request!a} is too long ({len(line)} bytes, at most {MAX_REQUEST})")
    return line


def encode_reply(reply: Mapping[str, Any]) -> bytes:
    """Return the line for a reply; one that is too long becomes an error that says so."""
    line = _line(reply)
    if len(line) <= MAX_REPLY:
        return line
    return _line({"ok": False, "error": f"the answer is too long ({len(line)} bytes, at most {MAX_REPLY})"})


def decode_request(line: bytes, kinds: Mapping[str, RequestKind]) -> tuple[RequestKind, dict[str, Any]]:
    """Return what is asked for in `line`, and the arguments. Raises `ControlError`, naming what is wrong with it."""
    given = _object(line)
    name = given.pop("request", None)
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ControlError(f"there is no request {name!a:.80}: there are: {', '.join(sorted(kinds))}")
    for argument, value in given.items():
        wanted = kind.arguments.get(argument)
        if wanted is None:
            raise ControlError(f"the request {name!a} has no argument {argument!a:.80}")
        if type(value) is not wanted:  # not isinstance: true is no number here
            raise ControlError(f"the argument {argument!a} of {name!a} must be of the type {wanted.__name__}")
    return kind, given


def decode_reply(line: bytes) -> dict[str, Any]:
    """Return the result in a reply. Raises `ControlError` if it is none, or says why the request was refused.

    That is a `WrongConfigurationError` where the configuration was.
    """
    reply = _object(line)
    result = reply.get("result")
    if reply.get("ok") is True and isinstance(result, dict):
        return result
    kind = WrongConfigurationError if reply.get("wrong_configuration") is True else ControlError
    raise kind(printable(reply.get("error", "this is no reply of a gateway")))


def printable(text: object) -> str:
    """Return `text`, which another process has said, so that it can harm no terminal; lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(text))


def _line(what: Mapping[str, Any]) -> bytes:
    return json.dumps(what).encode("ascii") + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as err:  # not UTF-8, no JSON, a number of many digits; or nested too deeply
        raise ControlError(f"this is no JSON object in a line ({str(err) or type(err).__name__:.80})") from err
    if not isinstance(found, dict):
        raise ControlError(f"this is no JSON object, but of the type {type(found).__name__}")
    return found
