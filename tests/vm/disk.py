"""A disk with a volatile write cache, for the machine under test: an NBD server for an image.

A write is done as soon as it is in the cache. What the machine has flushed is on the disk for good; the other writes
are on it or not when the power is cut, each by chance, and the one that is under way may be there in part, at the
boundary of a sector. That is what a disk promises, no more: a write that the program believes to be safe without having
waited for a flush is lost here sooner or later.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_SECTOR = 512
_CACHE_BYTES = 64 << 20  # of writes that are not flushed; the oldest beyond that are on the disk

# The protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
_OPTION_REPLY = 0x3E889045565A9
_REQUEST, _REPLY = 0x25609513, 0x67446698
_GO, _INFO, _ACK, _UNSUPPORTED = 7, 3, 1, 0x80000001
_FLAGS = 0b101  # there are flags, and FLUSH
_READ, _WRITE, _DISCONNECT, _FLUSH = range(4)
_INVALID = 22


class Write(NamedTuple):
    """A write: where, what was there before, and what was written."""

    offset: int
    before: bytes
    data: bytes


class WriteCache:
    """The image `path`, as the machine sees it, and what the cut of the power makes of it.

    With `is_lying`, a flush is reported as done and does nothing. With `is_recording`, `history` has all writes and
    flushes (None), in their order.
    """

    def __init__(self, path: Path, *, is_lying: bool = False, is_recording: bool = False) -> None:
        self.lost_writes = 0
        self.history: list[Write | None] = []
        self._is_lying = is_lying
        self._is_recording = is_recording
        self._unflushed: deque[Write] = deque()
        self._bytes = 0
        self._path = path
        self._fd = os.open(path, os.O_RDWR)
        self.size = os.fstat(self._fd).st_size

    def close(self) -> None:
        """Close the image, with all that was written."""
        os.close(self._fd)

    def read(self, offset: int, length: int) -> bytes:
        """Return what the machine has written there."""
        return os.pread(self._fd, length, offset)

    def write(self, offset: int, data: bytes) -> None:
        """Take a write into the cache."""
        write = Write(offset, os.pread(self._fd, len(data), offset), data)
        os.pwrite(self._fd, data, offset)
        self._unflushed.append(write)
        if self._is_recording:
            self.history.append(write)
        self._bytes += len(data)
        while self._bytes > _CACHE_BYTES:
            self._bytes -= len(self._unflushed.popleft().data)

    def flush(self) -> None:
        """Put all writes on the disk for good."""
        if self._is_recording:
            self.history.append(None)
        if not self._is_lying:
            self._unflushed.clear()
            self._bytes = 0

    def cut(self, chance: random.Random) -> None:
        """Cut the power: of the writes since the last flush, each is lost or not by `chance`."""
        self.lost_writes += _cut(self._fd, self._unflushed, chance)
        self._unflushed.clear()
        self._bytes = 0

    def copy_cut(self, target: Path, chance: random.Random) -> None:
        """Make a copy of the image as it would be if the power were cut now."""
        subprocess.run(["cp", "--sparse=always", self._path, target], check=True)
        with target.open("r+b") as copy:
            self.lost_writes += _cut(copy.fileno(), self._unflushed, chance)


def _cut(fd: int, unflushed: Sequence[Write], chance: random.Random) -> int:
    """Undo some of the writes since the last flush, by chance; return how many."""
    share, lost = chance.choice((0.0, 0.5, 0.9, 1.0)), 0  # of them that are kept
    for write in reversed(unflushed):
        os.pwrite(fd, write.before, write.offset)
    torn = chance.randrange(len(unflushed)) if unflushed else 0
    for number, write in enumerate(unflushed):
        kept = len(write.data) if chance.random() < share else 0
        if number == torn:
            kept = chance.randint(0, len(write.data) // _SECTOR) * _SECTOR
        os.pwrite(fd, write.data[:kept], write.offset)
        lost += kept < len(write.data)
    return lost


class Disk:
    """Serves an image at the Unix socket `address`, to one machine at a time."""

    def __init__(self, image: Path, address: Path, *, is_lying: bool = False, is_recording: bool = False) -> None:
        self.cache = WriteCache(image, is_lying=is_lying, is_recording=is_recording)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen()
        self._is_idle = threading.Event()
        self._is_idle.set()
        self._thread = threading.Thread(target=self._run, name="disk")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._thread.join(30)
        self._listener.close()
        self.cache.close()

    def cut_power(self, chance: random.Random) -> None:
        """To be called once the machine is dead: lose what it has not flushed."""
        assert self._is_idle.wait(30), "a machine still uses the disk"
        self.cache.cut(chance)

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._is_idle.clear()
            with sock, contextlib.suppress(OSError):  # the machine has died
                self._greet(sock)
                self._serve(sock)
            self._is_idle.set()

    def _greet(self, sock: socket.socket) -> None:
        sock.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 1))
        _receive(sock, 4)
        while True:
            _, option, length = struct.unpack(">QII", _receive(sock, 16))
            _receive(sock, length)
            if option == _GO:
                self._answer(sock, option, _INFO, struct.pack(">HQH", 0, self.cache.size, _FLAGS))
                self._answer(sock, option, _ACK)
                return
            self._answer(sock, option, _UNSUPPORTED)

    def _answer(self, sock: socket.socket, option: int, kind: int, data: bytes = b"") -> None:
        sock.sendall(struct.pack(">QIII", _OPTION_REPLY, option, kind, len(data)) + data)

    def _serve(self, sock: socket.socket) -> None:
        while True:
            magic, _, command, handle, offset, length = struct.unpack(">IHHQQI", _receive(sock, 28))
            assert magic == _REQUEST
            error, data = 0, b""
            if command == _READ:
                data = self.cache.read(offset, length)
            elif command == _WRITE:
                self.cache.write(offset, _receive(sock, length))
            elif command == _FLUSH:
                self.cache.flush()
            elif command == _DISCONNECT:
                return
            else:
                error = _INVALID
            sock.sendall(struct.pack(">IIQ", _REPLY, error, handle) + data)


def _receive(sock: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = sock.recv(length - len(data))
        if not part:
            raise ConnectionError("the machine has closed the disk")
        data += part
    return bytes(data)
