"""A simulated serial line: a pseudo-terminal under a path that stays the same."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import select
import struct
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from interfaces.serial_interface import SerialInterface

_DEADLINE = 20.0  # s within which the gateway must read what is written


def chunks(data: bytes, seed: int, longest: int = 40) -> Iterator[bytes]:
    """Yield `data` in chunks of random length; the same seed gives the same chunks."""
    generator = random.Random(seed)
    at = 0
    while at < len(data):
        size = generator.randint(1, longest)
        yield data[at : at + size]
        at += size


def frame_counts(interface: SerialInterface) -> dict[str, int]:
    """Return the counters of received and dropped frames that are not 0."""
    stats = interface.stats()
    return {name: n for name, n in stats.items() if name.startswith("frames_") and name != "frames_sent" and n}


class PtyDevice:
    """The device's end of a serial line; the gateway opens `path`, the same after an unplug."""

    def __init__(self, folder: Path, name: str = "tty-device") -> None:
        self.path = folder / name
        self.received = b""
        self._master = self._slave = -1
        self.plug_in()

    def __enter__(self) -> PtyDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    def plug_in(self) -> None:
        """Create the line, again under the same path."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        """Remove the line: a program that has the port open gets an error, and the path does not exist any more."""
        if self._master >= 0:
            self.path.unlink()
            os.close(self._slave)
            os.close(self._master)
            self._master = self._slave = -1

    def write(self, data: bytes) -> None:
        """Send `data` in one burst, as fast as the line accepts it."""
        deadline = time.monotonic() + _DEADLINE
        while data:
            assert time.monotonic() < deadline, f"the gateway did not read; {len(data)} bytes left"
            select.select([], [self._master], [], 0.1)
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                continue

    @property
    def is_plugged_in(self) -> bool:
        """Whether the line exists."""
        return self._master >= 0

    def write_now(self, data: bytes) -> None:
        """Send `data`, or none of it if the line has no room because nobody reads."""
        if select.select([], [self._master], [], 0)[1]:
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, data)

    def write_bytewise(self, data: bytes) -> None:
        """Send `data` one byte at a time."""
        for byte in data:
            self.write(bytes([byte]))

    def write_chunks(self, data: bytes, seed: int) -> None:
        """Send `data` in chunks of random length."""
        for chunk in chunks(data, seed):
            self.write(chunk)

    @property
    def waiting(self) -> int:
        """The number of bytes that the gateway has written and the device has not read yet."""
        return int(struct.unpack("i", fcntl.ioctl(self._master, termios.FIONREAD, bytes(4)))[0])

    def read_until(self, end: bytes, timeout: float = 10) -> bytes:
        """Return the received bytes up to and including `end`; later bytes stay in `received`."""
        deadline = time.monotonic() + timeout
        while end not in self.received:
            assert time.monotonic() < deadline, f"waited {timeout} s for {end!r}; got {self.received!r}"
            self.read_available(0.1)
        head, _, self.received = self.received.partition(end)
        return head + end

    def read_available(self, wait: float = 0.0) -> bytes:
        """Wait up to `wait` seconds for bytes; return all that `read_until` has not returned yet."""
        while select.select([self._master], [], [], wait)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError as err:
                assert err.errno in (errno.EIO, errno.EAGAIN), err
                break
            self.received += data
            wait = 0.0
        return self.received
