"""Simulated devices: each has the far end of a pseudo-terminal and a thread of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.device import PtyDevice

_READ_TIMEOUT = 0.02  # s after which the thread checks whether to stop


class Simulator:
    """The base of all simulators: a line, and a thread that reads it.

    A device overrides `on_data`. With `is_silent`, it reads and does not answer; `rejected` collects what a real device
    would have rejected.
    """

    def __init__(self, folder: Path) -> None:
        self.line = PtyDevice(folder)
        self.is_silent = False
        self.rejected: list[str] = []
        self._lock = threading.Lock()  # the threads of the test and of the device write to the same line
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    @property
    def path(self) -> Path:
        return self.line.path

    def on_data(self, data: bytes) -> None:
        """Process received bytes, in chunks of any size."""

    def send(self, data: bytes) -> None:
        """Write to the line, in one burst."""
        with self._lock:
            self.line.write(data)

    def answer(self, data: bytes) -> None:
        """Write to the line, unless `is_silent` is set."""
        if not self.is_silent:
            self.send(data)

    def unplug(self) -> None:
        """Remove the line and its path."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.line.unplug()

    def plug_in(self) -> None:
        """Create the line again, under the same path."""
        self.line.plug_in()
        self._start()

    def _start(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"simulated {type(self).__name__}")
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self.line.read_available(_READ_TIMEOUT):
                data, self.line.received = self.line.received, b""
                self.on_data(data)


class LineSimulator(Simulator):
    """A device that receives lines."""

    terminator = b"\n"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lines: list[str] = []
        self._partial = b""

    def on_data(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(self.terminator)
        for line in lines:
            self.lines.append(line.decode("ascii"))
            self.on_line(self.lines[-1])

    def on_line(self, line: str) -> None:
        """Process a complete line."""
