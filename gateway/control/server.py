"""The control socket of a running gateway: a thread that receives requests, and passes most of them to the main thread.

It sleeps until a client connects, serves a limited number of clients, each with a deadline, and never blocks on one.
Clients that follow something are read from at short intervals, so that no thread of the data path has to wake it.
Only root and the user that the gateway runs as may send requests.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.control.place import file_at, file_of, listen, path_of, peer_of, remove
from gateway.control.protocol import (
    MAX_REQUEST,
    Answer,
    ControlError,
    RequestKind,
    Stream,
    decode_request,
    encode_line,
)
from gateway.core.errands import Errands
from gateway.core.inbox import Wakeup, poll_milliseconds
from gateway.core.own_files import open_own_folder
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.errors import GatewayError

LOG = package_logger(__name__)

MAX_CLIENTS = 8
MAX_FOLLOWERS = 8
"""Clients that follow something, beside those above: they must not keep `mqttgateway status` out."""

FOLLOW_INTERVAL = 0.05
"""Seconds between two looks for what is new for those that follow something."""

LONGEST_STANDSTILL = 60.0
"""Seconds in which a client that follows something has to accept a byte of what is sent to it."""

LONGEST_TRANSFER = 5.0
"""Seconds in which a client has to send its request, and then to receive the reply."""

LONGEST_ANSWER = 30.0
"""Seconds in which a request has to be answered."""

_READ_CHUNK = 16 * 1024
_STOPPED = "the gateway is being stopped"
_PAUSE = 1.0  # s without accepting clients, after the process had no file descriptor left for one


class SocketLost(ThrottledException):
    """The file of the control socket was removed, and no new one can be created."""


class _Client:
    """One connection: what was received from it, what is to be sent to it, and its deadline (monotonic, s)."""

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock = sock
        self.received = bytearray()
        self.to_send = b""
        self.answer: Answer | None = None  # the answer that it waits for
        self.stream: Stream | None = None  # what it follows
        self.is_last = False  # whether the connection is closed once everything is sent
        self.deadline = now + LONGEST_TRANSFER

    @property
    def events(self) -> int:
        """The events to poll for; none while it waits for an answer: `poll` reports a closed connection in any case."""
        if self.to_send:
            return select.POLLOUT
        if self.stream is not None:
            return select.POLLIN
        return select.POLLIN if self.answer is None else 0

    def reply(self, line: bytes, now: float) -> None:
        """Set the line to send, a reply or an error."""
        self.to_send, self.answer, self.deadline = line, None, now + LONGEST_TRANSFER

    def feed(self, now: float) -> None:
        """Take what is new of what it follows, if everything before that has been sent."""
        if self.stream is not None and not self.to_send:
            self.to_send = self.stream.lines()
            self.deadline = now + LONGEST_STANDSTILL if self.to_send else math.inf


class ControlServer:
    """Serves the gateway called `name` in the folder with the descriptor `folder`, which it closes at the end.

    `kinds` are the requests by name; those for the main thread are left in `errands`. Raises `ControlError` or
    `OSError` if the socket cannot be created.
    """

    def __init__(self, folder: int, name: str, kinds: Mapping[str, RequestKind], errands: Errands) -> None:
        self._folder, self._name, self._kinds, self._errands = folder, name, kinds, errands
        self._path = path_of(folder)
        self._listener = listen(folder, name)
        self._file = file_of(folder, name)
        self._wakeup = Wakeup()
        self._clients: dict[int, _Client] = {}
        self._answers: deque[tuple[Answer, bytes]] = deque()  # at most one for each client
        self._accepts_at = 0.0
        self._is_closing = self._is_lost = False
        self.failure = ""
        """Why the socket cannot be created again that was removed. Any thread may read it."""
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    # --- the main thread

    def check(self) -> None:
        """Create the socket again if its file was removed, in the thread of the socket. Any thread may call it."""
        if not self._is_closing and file_at(self._path, self._name) != self._file:
            self._is_lost = True
            self._wakeup.set()

    def close(self) -> None:
        """End the thread, and remove the socket; clients that wait for an answer receive the reason."""
        self._is_closing = True
        self._wakeup.set()
        self._thread.join(LONGEST_TRANSFER)

    # --- the thread of the socket

    def _run(self) -> None:
        try:
            while not self._is_closing:
                self._serve()
        finally:
            self._end()

    def _end(self) -> None:
        remove(self._folder, self._name, self._file)
        self._listener.close()
        os.close(self._folder)
        self._send_answers()
        for client in list(self._clients.values()):
            if client.answer is not None:
                client.answer.refuse(_STOPPED)
        self._send_answers()
        for client in list(self._clients.values()):
            if client.stream is not None:
                client.to_send += encode_line({"end": _STOPPED})
        for client in list(self._clients.values()):
            self._send(client)
            self._drop(client)
        self._wakeup.close()

    def _create_again(self) -> None:
        """Create the socket again after its file or its folder was removed; the clients stay connected."""
        self._is_lost = False
        try:
            folder = open_own_folder(self._path, create=True)
            try:
                listener = listen(folder, self._name)
            except BaseException:
                os.close(folder)
                raise
        except (ControlError, OSError) as err:
            reason = getattr(err, "strerror", None) or err
            self.failure = f"it was removed and cannot be created again: {reason}"
            failed = SocketLost(f"the control socket was removed and cannot be created again: {reason}")
            if failed.trigger:
                LOG.warning(failed.report)
            return
        self.failure = ""
        self._listener.close()
        os.close(self._folder)
        self._listener, self._folder, self._file = listener, folder, file_of(folder, self._name)
        LOG.warning("the control socket was removed; created it again as %s", self._path / f"{self._name}.sock")

    def _serve(self) -> None:
        """Wait for the next event or deadline, and handle it."""
        now = time.monotonic()
        poll = select.poll()
        poll.register(self._wakeup.fileno(), select.POLLIN)
        deadlines = [client.deadline for client in self._clients.values()]
        if now >= self._accepts_at:
            poll.register(self._listener, select.POLLIN)
        else:
            deadlines.append(self._accepts_at)
        for descriptor, client in self._clients.items():
            poll.register(descriptor, client.events)
        if any(client.stream is not None and not client.to_send for client in self._clients.values()):
            deadlines.append(now + FOLLOW_INTERVAL)
        due = min(deadlines, default=math.inf)
        for descriptor, _ in poll.poll(poll_milliseconds(None if due == math.inf else due - now + 0.001)):
            if descriptor == self._wakeup.fileno():
                self._wakeup.clear()
                self._send_answers()
                if self._is_lost:
                    self._create_again()
            elif descriptor == self._listener.fileno():
                self._accept()
            elif descriptor in self._clients:
                self._handle_event(self._clients[descriptor])
        now = time.monotonic()
        for client in [client for client in self._clients.values() if now >= client.deadline]:
            self._time_out(client, now)
        for client in [client for client in self._clients.values() if client.stream is not None]:
            self._feed(client, now)

    def _feed(self, client: _Client, now: float) -> None:
        try:
            client.feed(now)
        except Exception:
            LOG.exception("what a client of the control socket follows has failed")
            self._drop(client)
            return
        if client.to_send:
            self._send(client)

    def _time_out(self, client: _Client, now: float) -> None:
        if client.stream is not None:
            LOG.info("a client that follows messages has read nothing for %.0f s: ended it", LONGEST_STANDSTILL)
        if client.answer is None:  # too slow in sending its request, or in receiving the reply
            self._drop(client)
            return
        client.is_last = True  # an answer that comes later finds no client
        reason = f"no answer within {LONGEST_ANSWER:g} s: the gateway is busy or hangs: see its log"
        Answer(lambda _, line: client.reply(line, now)).refuse(reason)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as err:
            if err.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                self._accepts_at = (
                    time.monotonic() + _PAUSE
                )  # it stays readable, so that polling it would be a busy loop
            return
        sock.setblocking(False)
        client = _Client(sock, time.monotonic())
        self._clients[sock.fileno()] = client
        refusal = ""
        if peer_of(sock).uid not in (0, os.geteuid()):
            refusal = "only root and the user that the gateway runs as may send requests"
        elif sum(each.stream is None for each in self._clients.values()) > MAX_CLIENTS:
            refusal = f"{MAX_CLIENTS} other clients are connected: try again later"
        if refusal:  # sent without waiting: what the socket does not accept now is lost
            Answer(lambda _, line: client.reply(line, 0.0)).refuse(refusal)
            self._send(client)
            self._drop(client)

    def _handle_event(self, client: _Client) -> None:
        if client.to_send:
            self._send(client)
        elif client.answer is not None:  # polled for no event, so this is an error: the client has disconnected
            self._drop(client)
        else:
            self._receive(client)

    def _receive(self, client: _Client) -> None:
        try:
            part = client.sock.recv(_READ_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self._drop(client)
            return
        if client.stream is None:  # whoever follows something has nothing more to say
            client.received += part
            self._next_request(client)

    def _next_request(self, client: _Client) -> None:
        line, newline, remaining = client.received.partition(b"\n")
        if len(line) >= MAX_REQUEST:
            client.is_last = True
            client.received.clear()
            Answer(lambda _, reply: client.reply(reply, time.monotonic())).refuse(
                f"a request has at most {MAX_REQUEST} bytes, its newline included"
            )
        elif newline:
            client.received = remaining
            self._begin(client, bytes(line))

    def _begin(self, client: _Client, line: bytes) -> None:
        client.answer = Answer(self._put_answer)
        client.deadline = time.monotonic() + LONGEST_ANSWER
        try:
            kind, arguments = decode_request(line, self._kinds)
        except ControlError as err:
            client.answer.refuse(str(err))
            return
        if not kind.in_main_thread:
            self._handle(kind, arguments, client.answer)
        elif not self._errands.add(partial(self._handle, kind, arguments, client.answer)):
            client.answer.refuse("too many requests wait: the gateway hangs: see its log")

    def _handle(self, kind: RequestKind, arguments: dict[str, Any], answer: Answer) -> None:
        try:
            kind.handle(arguments, answer)
        except GatewayError as err:
            answer.refuse(str(err))
        except Exception as err:
            LOG.exception("a request on the control socket failed")
            answer.refuse(f"this failed, which is a bug: {type(err).__name__}: {err}")

    def _put_answer(self, answer: Answer, line: bytes) -> None:
        self._answers.append((answer, line))
        self._wakeup.set()

    def _send_answers(self) -> None:
        while self._answers:
            answer, line = self._answers.popleft()
            client = next((each for each in self._clients.values() if each.answer is answer), None)
            if client is None:
                if answer.stream is not None:
                    answer.stream.close()
                continue
            client.reply(line, time.monotonic())
            if answer.stream is not None:
                self._follow(client, answer.stream)

    def _follow(self, client: _Client, stream: Stream) -> None:
        """Send what comes from `stream` to a client, unless there are too many that follow something."""
        if sum(each.stream is not None for each in self._clients.values()) < MAX_FOLLOWERS:
            client.stream = stream
            client.received.clear()
            return
        stream.close()
        client.is_last = True
        reason = f"{MAX_FOLLOWERS} others follow this gateway: end one of them"
        Answer(lambda _, line: client.reply(line, time.monotonic())).refuse(reason)

    def _send(self, client: _Client) -> None:
        try:
            sent = client.sock.send(client.to_send) if client.to_send else 0
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        client.to_send = client.to_send[sent:]
        if client.stream is not None and sent:
            client.deadline = time.monotonic() + LONGEST_STANDSTILL if client.to_send else math.inf
        if not client.to_send and client.is_last:
            self._drop(client)
        elif not client.to_send and client.stream is None:
            self._next_request(client)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.sock.fileno(), None) is not None:
            client.sock.close()
            if client.stream is not None:
                client.stream.close()
