"""A serial device that is a pseudo terminal: what it says is written here."""

from __future__ import annotations

import os
import termios
import threading
import tty
from types import TracebackType


class Device:
    """A device at `path`. It stays there while nobody has it open, as a plugged adapter does."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._writer: threading.Thread | None = None

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None and self._writer.is_alive():  # nobody takes what it writes any more
            os.set_blocking(self._master, False)
            termios.tcflush(self._slave, termios.TCIFLUSH)  # wakes it; the next write fails instead of waiting
            self._writer.join(5)
        os.close(self._master)
        os.close(self._slave)

    @property
    def end(self) -> int:
        """The descriptor of the device's end, for a process that plays it."""
        return self._master

    def write(self, data: bytes) -> None:
        """Say `data`; waits until the kernel has taken it."""
        while data:
            data = data[os.write(self._master, data) :]

    def write_behind(self, data: bytes) -> None:
        """Say `data` as fast as it is taken, in a thread."""
        self._writer = threading.Thread(target=self._write_all, args=(data,), name="device", daemon=True)
        self._writer.start()

    def _write_all(self, data: bytes) -> None:
        try:
            self.write(data)
        except OSError:  # the benchmark is over
            return
