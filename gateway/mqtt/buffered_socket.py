"""A socket that sends and receives in large pieces.

paho sends each packet with a system call of its own, and receives almost byte by byte. Around a non-blocking socket,
this collects what is to be sent until `flush`, and reads ahead. Used by one thread at a time.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

_READ_CHUNK = 64 * 1024  # bytes requested with each system call
_MAX_UNSENT = 256 * 1024  # bytes that are collected before `send` refuses more


class BufferedSocket:
    """Wraps `sock`, a plain or a TLS socket; attributes that are not defined here are those of the socket.

    `taken` counts the bytes that were put into the buffer, and `sent` those that the connection has accepted.

    Raises what the socket raises, with `BlockingIOError` for everything that means "not now". After an error of `send`,
    `flush` or `recv` the connection is lost.
    """

    def __init__(self, sock: Any) -> None:
        self.taken = self.sent = 0
        self._sock = sock
        self._unsent = bytearray()
        self._received = b""
        self._position = 0  # in what was received
        self._failure: OSError | None = None  # of `fill`, for `recv` to raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    @property
    def has_unsent(self) -> bool:
        """Whether `flush` has something to do."""
        return bool(self._unsent)

    def send(self, data: bytes) -> int:
        """Buffer `data` for the next `flush`, after flushing if the buffer is full; return how many bytes of it."""
        if len(self._unsent) + len(data) > _MAX_UNSENT and not self.flush():
            raise BlockingIOError
        self.put(data)
        return len(data)

    def put(self, data: bytes) -> None:
        """Buffer `data` for the next `flush`, however much is in the buffer: the caller limits it."""
        self._unsent += data
        self.taken += len(data)

    def flush(self) -> bool:
        """Send what is in the buffer, as far as the connection accepts it now; return whether that was all of it."""
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            self.sent += sent
            del self._unsent[:sent]
        return True

    def fill(self) -> None:
        """Receive what has arrived, if everything received before was read; an error is left for `recv` to raise."""
        if self._position < len(self._received):
            return
        try:
            self._receive()
        except BlockingIOError:
            return
        except OSError as err:
            self._failure = err

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes; `b""` at the end of the connection."""
        if self._position >= len(self._received):
            if self._failure is not None:
                raise self._failure
            self._receive()
        begin = self._position
        self._position = begin + size
        return self._received[begin : self._position]

    def _receive(self) -> None:
        try:
            self._received = self._sock.recv(_READ_CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as err:
            raise BlockingIOError from err
        self._position = 0

    def packet(self) -> tuple[int, bytes] | None:
        """Return the next MQTT packet, its first byte and its body; None if it has not been received completely."""
        data, at = self._received, self._position + 1
        length = shift = 0
        while at < len(data):
            seven = data[at]
            at += 1
            length |= (seven & 127) << shift
            shift += 7
            if seven < 128:
                break
        else:
            return None
        if at + length > len(data) or shift > 28:  # a length has at most four bytes; paho rejects longer ones
            return None
        first, self._position = data[self._position], at + length
        return first, data[at : self._position]

    def pending(self) -> int:
        """Return how many bytes were received of which `poll` does not know."""
        unread = max(len(self._received) - self._position, 0)
        of_tls = getattr(self._sock, "pending", None)
        return unread or (of_tls() if of_tls is not None else 0)

    def close(self) -> None:
        """Send what the connection still accepts, and close it."""
        with contextlib.suppress(OSError):
            self.flush()
        self._sock.close()
