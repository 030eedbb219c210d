"""The protocol of the control socket: one JSON object per line, a request and its reply. Pure.

{"request": "outbox list", "part": "waiting", "count": 20}
{"ok": true, "result": {...}}      or      {"ok": false, "error": "the reason, and the remedy"}

After the reply to a request that follows something, further lines come, each an object, until one of both sides closes
the connection. The last one is {"end": "the reason"} if the gateway ends it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from gateway.core.quoting import escaped
from gateway.errors import ConfigurationError, GatewayError

MAX_REQUEST = 64 * 1024
"""Bytes of a request, its newline included."""

MAX_REPLY = 4 * 1024**2
"""Bytes of a reply, its newline included. A longer result is requested in pages."""


class ControlError(GatewayError):
    """A request that cannot be understood, was refused, or got no reply: the reason, and the remedy."""


class WrongConfigurationError(ControlError):
    """A gateway has rejected its changed configuration: what is wrong with it."""

    exit_code: ClassVar[int] = ConfigurationError.exit_code


class RequestKind(NamedTuple):
    """One kind of request: the function that executes it, and the types of its arguments by name; all are optional.

    `handle` gets the arguments of the request, and an `Answer`. With `in_main_thread` it runs in the main thread, which
    owns everything that a request may change; otherwise in the thread of the control socket. It must not block.
    """

    handle: Callable[[Mapping[str, Any], Answer], None]
    arguments: Mapping[str, type] = {}
    in_main_thread: bool = True


class Stream(Protocol):
    """What follows the reply to a request. Only the thread of the control socket calls its methods."""

    def lines(self) -> bytes:
        """Return the lines to be sent next (see `encode_line`); empty: there is nothing new. It must not wait."""

    def close(self) -> None:
        """End it: the client is gone, or is refused."""


class Answer:
    """Accepts the answer to one request, from any thread; only the first one is sent."""

    stream: Stream | None = None
    """What follows the answer."""

    def __init__(self, send: Callable[[Answer, bytes], None]) -> None:
        self._send = send

    def __call__(self, result: Mapping[str, Any]) -> None:
        """Reply with `result`, which must be serialisable as JSON."""
        self._send(self, encode_reply({"ok": True, "result": result}))

    def follow(self, result: Mapping[str, Any], stream: Stream) -> None:
        """Reply with `result`, and then with what comes from `stream`."""
        self.stream = stream
        self(result)

    def refuse(self, reason: str, *, is_configuration_wrong: bool = False) -> None:
        """Reply that the request was refused, and why."""
        more = {"wrong_configuration": True} if is_configuration_wrong else {}
        self._send(self, encode_reply({"ok": False, "error": reason, **more}))


def encode_request(request: str, arguments: Mapping[str, Any]) -> bytes:
    """Return the line for a request. Raises `ControlError` if it is too long."""
    line = _line({"request": request, **arguments})
    if len(line) > MAX_REQUEST:
        raise ControlError(f"the request {request!a} is too long ({len(line)} bytes, at most {MAX_REQUEST})")
    return line


def encode_line(value: Mapping[str, Any]) -> bytes:
    """Return a line that follows a reply."""
    return _line(value)


def encode_reply(reply: Mapping[str, Any]) -> bytes:
    """Return the line for a reply; if it is too long, the line for an error that reports this."""
    line = _line(reply)
    if len(line) <= MAX_REPLY:
        return line
    return _line({"ok": False, "error": f"the answer is too long ({len(line)} bytes, at most {MAX_REPLY})"})


def decode_request(line: bytes, kinds: Mapping[str, RequestKind]) -> tuple[RequestKind, dict[str, Any]]:
    """Return the kind of the request in `line`, and its arguments. Raises `ControlError`, which names what is wrong."""
    arguments = _object(line)
    name = arguments.pop("request", None)
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ControlError(f"there is no request {name!a:.80}; the requests are: {', '.join(sorted(kinds))}")
    for argument, value in arguments.items():
        expected = kind.arguments.get(argument)
        if expected is None:
            raise ControlError(f"the request {name!a} has no argument {argument!a:.80}")
        if type(value) is not expected:  # not isinstance, for which a boolean is an integer
            raise ControlError(f"the argument {argument!a} of {name!a} must be of the type {expected.__name__}")
    return kind, arguments


def decode_reply(line: bytes) -> dict[str, Any]:
    """Return the result in a reply. Raises `ControlError` if it is no reply, or if the request was refused.

    If it was refused for errors in the configuration, that is a `WrongConfigurationError`.
    """
    reply = _object(line)
    result = reply.get("result")
    if reply.get("ok") is True and isinstance(result, dict):
        return result
    kind = WrongConfigurationError if reply.get("wrong_configuration") is True else ControlError
    raise kind(printable(reply.get("error", "this is no reply of a gateway")))


def decode_line(line: bytes) -> dict[str, Any]:
    """Return the object in a line that follows a reply. Raises `ControlError` if there is none."""
    return _object(line)


def printable(text: object) -> str:
    """Return `text`, which comes from another process, with control characters escaped, except line breaks.

    They could change what a terminal shows, or what it does.
    """
    return escaped(str(text), keeps_lines=True)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode("ascii") + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
    except (
        ValueError,
        RecursionError,
    ) as err:  # not UTF-8, no JSON, or a number with too many digits; nested too deeply
        raise ControlError(f"this is no JSON object in one line ({str(err) or type(err).__name__:.80})") from err
    if not isinstance(value, dict):
        raise ControlError(f"this is no JSON object, but of the type {type(value).__name__}")
    return value
