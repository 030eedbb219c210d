"""A socket that sends and receives in large pieces.

paho sends each packet with a system call of its own, and reads nearly byte by byte. Around a socket that is not
blocking, this collects what is sent until `flush`, and reads ahead. Used by one thread at a time.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

_READ = 64 * 1024  # bytes asked for at once
_MAX_UNSENT = 256 * 1024  # bytes collected before the sender is told to wait


class BufferedSocket:
    """Wraps `sock`, a plain or a TLS socket; what is not here is the socket's own.

    `taken` and `sent` count the bytes that it was given, and that the connection has taken of them.

    Raises what the socket does, with `BlockingIOError` for whatever means "not now". After an error of `send`,
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
        """Tell whether `flush` has something to do."""
        return bool(self._unsent)

    def send(self, data: bytes) -> int:
        """Take `data` for the next `flush`; return how many bytes of it. Flushes by itself when much waits."""
        if len(self._unsent) + len(data) > _MAX_UNSENT and not self.flush():
            raise BlockingIOError
        self.put(data)
        return len(data)

    def put(self, data: bytes) -> None:
        """Take `data` for the next `flush`, however much waits: the caller bounds it."""
        self._unsent += data
        self.taken += len(data)

    def flush(self) -> bool:
        """Send what was taken, as far as the connection takes it now; return whether that was all of it."""
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            self.sent += sent
            del self._unsent[:sent]
        return True

    def fill(self) -> None:
        """Receive what is there now, if all that was here has been read; what goes wrong is left to `recv`."""
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
            self._received = self._sock.recv(_READ)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as err:
            raise BlockingIOError from err
        self._position = 0

    def packet(self) -> tuple[int, bytes] | None:
        """Take an MQTT packet that is here already, whole: its first byte and its body. None if there is none."""
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
        if at + length > len(data) or shift > 28:  # four bytes of length at most: what has more is not for us to judge
            return None
        first, self._position = data[self._position], at + length
        return first, data[at : self._position]

    def pending(self) -> int:
        """Return how many bytes are here already, of which `poll` knows nothing."""
        rest = max(len(self._received) - self._position, 0)
        of_tls = getattr(self._sock, "pending", None)
        return rest or (of_tls() if of_tls is not None else 0)

    def close(self) -> None:
        """Send what the connection still takes, and close it."""
        with contextlib.suppress(OSError):
            self.flush()
        self._sock.close()
