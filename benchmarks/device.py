"""A simulated serial device: a pseudo-terminal to which the benchmark writes."""

from __future__ import annotations

import os
import termios
import threading
import tty
from types import TracebackType


class Device:
    """A device at `path`, which exists even while no process has it open, as a plugged-in adapter does."""

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
        if self._writer is not None and self._writer.is_alive():  # no process reads what it writes any more
            os.set_blocking(self._master, False)
            termios.tcflush(self._slave, termios.TCIFLUSH)  # wakes it; the next write fails instead of waiting
            self._writer.join(5)
        os.close(self._master)
        os.close(self._slave)

    @property
    def end(self) -> int:
        """The descriptor of the device's end, for a process that simulates it."""
        return self._master

    def write(self, data: bytes) -> None:
        """Send `data`; wait until the kernel has accepted all of it."""
        while data:
            data = data[os.write(self._master, data) :]

    def write_in_background(self, data: bytes) -> None:
        """Send `data` as fast as it is read, in a thread."""
        self._writer = threading.Thread(target=self._write_all, args=(data,), name="device", daemon=True)
        self._writer.start()

    def _write_all(self, data: bytes) -> None:
        try:
            self.write(data)
        except OSError:  # the benchmark is over
            return
