"""Asks a running gateway on its control socket."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from gateway.control.place import connect, folders_to_search, peer_of
from gateway.control.protocol import MAX_REPLY, ControlError, decode_reply, encode_request
from gateway.core.own_files import NotOwnError, open_own_folder

LONGEST_ANSWER = 35.0
"""Seconds: more than the gateway gives itself."""


class NotRunningError(ControlError):
    """No gateway of that name can be reached: where it was looked for, and the remedy."""


def ask(name: str, request: str, environment: Mapping[str, str], **arguments: Any) -> dict[str, Any]:
    """Ask the running gateway called `name`, and return the result.

    Raises `NotRunningError` if there is none, `ControlError` if it refuses, or does not answer in time.
    """
    line = encode_request(request, arguments)
    with _connect(name, environment) as sock:
        deadline = time.monotonic() + LONGEST_ANSWER
        reply = bytearray()
        try:
            sock.settimeout(LONGEST_ANSWER)
            with contextlib.suppress(BrokenPipeError):  # it was refused before it asked: the reason is there to read
                sock.sendall(line)
            while not reply.endswith(b"\n"):
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                part = sock.recv(64 * 1024)
                if not part:
                    raise ControlError(f"the gateway {name!a} has ended meanwhile: see its log")
                reply += part
                if len(reply) > MAX_REPLY:
                    raise ControlError(f"what answers as the gateway {name!a} says too much: is it one?")
        except TimeoutError:
            what = f"the gateway {name!a} did not answer within {LONGEST_ANSWER:g} s"
            raise ControlError(f"{what}: see its log") from None
        except OSError as err:
            raise ControlError(f"the gateway {name!a} closed the connection ({err.strerror}): see its log") from err
    return decode_reply(bytes(reply))


def _connect(name: str, environment: Mapping[str, str]) -> socket.socket:
    """Return a connection to the gateway called `name`. Raises `NotRunningError`."""
    looked: list[str] = []
    problem = ""
    for path in dict.fromkeys(folders_to_search(environment)):
        try:
            folder = open_own_folder(path)
        except NotOwnError as err:
            problem = problem or f"; {path}: {err.strerror}"
            continue
        except OSError:
            continue
        looked.append(str(path))
        try:
            sock = connect(folder, name, LONGEST_ANSWER)
            if peer_of(sock).uid in (0, os.geteuid(), os.fstat(folder).st_uid):
                return sock
            sock.close()
            problem = f"; {path / name}.sock: another user answers there"
        except PermissionError:
            problem = f"; {path / name}.sock is not yours: be root, or the user that the gateway runs as"
        except OSError:  # none, or one that a killed gateway has left
            continue
        finally:
            os.close(folder)
    where = f" (looked in {', '.join(looked)})" if looked else ""
    raise NotRunningError(f"no gateway called {name!a} runs here{where}{problem}: start it, or name another one")
