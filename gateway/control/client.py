"""Sends requests to a running gateway, on its control socket."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.control.place import connect, folders_to_search, names_in, peer_of
from gateway.control.protocol import MAX_REPLY, ControlError, decode_line, decode_reply, encode_request
from gateway.core.own_files import NotOwnError, open_own_folder

LONGEST_ANSWER = 35.0
"""Seconds to wait for an answer: more than the gateway allows itself, so that its own reason arrives."""

_READ_CHUNK = 64 * 1024
_MOST_NAMES = 10  # of other gateways that an error names


class NotRunningError(ControlError):
    """No gateway of that name can be reached: which folders were searched, and the remedy."""


class GoneError(ControlError):
    """The gateway has ended the connection before it answered: it stops, or was killed."""


def ask(name: str, request: str, environment: Mapping[str, str], **arguments: Any) -> dict[str, Any]:
    """Send a request to the running gateway called `name`, and return the result.

    Raises `NotRunningError` if there is none, `ControlError` if it refuses the request or does not answer in time.
    """
    line = encode_request(request, arguments)
    with _connect(name, environment) as sock:
        reply, _ = _reply(name, sock, line)
    return decode_reply(reply)


def follow(
    name: str, request: str, environment: Mapping[str, str], interval: float, **arguments: Any
) -> Iterator[dict[str, Any] | None]:
    """Send a request, and yield its result, and then what follows, until the gateway ends it.

    None is yielded after each `interval` (s) in which nothing has come. Raises what `ask` raises before the result.
    """
    line = encode_request(request, arguments)
    with _connect(name, environment) as sock:
        reply, received = _reply(name, sock, line)
        yield decode_reply(reply)
        sock.settimeout(interval)
        while True:
            *lines, rest = received.split(b"\n")
            received = bytearray(rest)
            yield from (decode_line(bytes(each)) for each in lines)
            if len(received) > MAX_REPLY:
                raise ControlError(f"a line of the gateway {name!a} is too long: is it an mqttgateway?")
            try:
                part = sock.recv(_READ_CHUNK)
            except TimeoutError:
                yield None
                continue
            except OSError:
                return
            if not part:
                return
            received += part


def _reply(name: str, sock: socket.socket, line: bytes) -> tuple[bytes, bytearray]:
    """Send the `line` of a request; return the line of the reply, and what was received after it."""
    deadline = time.monotonic() + LONGEST_ANSWER
    reply = bytearray()
    try:
        sock.settimeout(LONGEST_ANSWER)
        with contextlib.suppress(BrokenPipeError):  # refused before the request was sent: the reason can be read
            sock.sendall(line)
        while b"\n" not in reply[-_READ_CHUNK:]:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            part = sock.recv(_READ_CHUNK)
            if not part:
                raise GoneError(f"the gateway {name!a} ended before it answered: see its log")
            reply += part
            if len(reply) > MAX_REPLY:
                raise ControlError(f"the reply of the gateway {name!a} is too long: is it an mqttgateway?")
    except TimeoutError:
        raise ControlError(f"the gateway {name!a} did not answer within {LONGEST_ANSWER:g} s: see its log") from None
    except OSError as err:
        raise GoneError(f"the gateway {name!a} closed the connection ({err.strerror}): see its log") from err
    first, newline, rest = reply.partition(b"\n")
    return bytes(first + newline), bytearray(rest)


def _connect(name: str, environment: Mapping[str, str]) -> socket.socket:
    """Return a connection to the gateway called `name`. Raises `NotRunningError`."""
    searched: list[str] = []
    others: dict[str, None] = {}
    problem = ""
    for path in dict.fromkeys(folders_to_search(environment)):
        try:
            folder = open_own_folder(path)
        except NotOwnError as err:
            problem = problem or f"; {path}: {err.strerror}"
            continue
        except OSError:
            continue
        searched.append(str(path))
        others |= dict.fromkeys(names_in(folder)[:_MOST_NAMES])
        try:
            sock = connect(folder, name, LONGEST_ANSWER)
            if peer_of(sock).uid in (0, os.geteuid(), os.fstat(folder).st_uid):
                return sock
            sock.close()
            problem = f"; {path / name}.sock: another user answers there"
        except PermissionError:
            problem = f"; {path / name}.sock belongs to another user: run this as root, or as the user of the gateway"
        except BlockingIOError:
            raise ControlError(
                f"the gateway {name!a} accepts no requests: too many clients wait, or it hangs"
            ) from None
        except ConnectionRefusedError:
            problem = f"; it was killed or has crashed, since it has left {path / name}.sock behind"
        except OSError:  # no socket
            continue
        finally:
            os.close(folder)
    others.pop(name, None)
    where = f" (searched {', '.join(searched)})" if searched else ""
    which = f" of these: {', '.join(ascii(other)[1:-1] for other in list(others)[:_MOST_NAMES])}" if others else ""
    raise NotRunningError(f"no gateway called {name!a} runs here{where}{problem}: start it, or name another one{which}")
