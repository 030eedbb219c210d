"""A device that is not there and answers all the same: at the far end of a pseudo-terminal, in a thread of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.device import PtyDevice

_LOOK = 0.02  # s between two looks whether to stop


class Simulator:
    """The base of all simulators: a line, a thread that reads it, and what was said on it.

    A device overrides `hear`. `is_silent` makes it a device that listens and does not answer; `complaints`
    is what a real device would not have understood.
    """

    def __init__(self, folder: Path) -> None:
        self.line = PtyDevice(folder)
        self.is_silent = False
        self.complaints: list[str] = []
        self._lock = threading.Lock()  # the test's thread and the device's write to one line
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

    def hear(self, data: bytes) -> None:
        """Take what has come in, in pieces of any size."""

    def send(self, data: bytes) -> None:
        """Write to the line, in one burst."""
        with self._lock:
            self.line.write(data)

    def answer(self, data: bytes) -> None:
        """Write to the line, unless the device has been told to be silent."""
        if not self.is_silent:
            self.send(data)

    def unplug(self) -> None:
        """Be gone, path and all."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.line.unplug()

    def plug_in(self) -> None:
        """Be there again, under the same path."""
        self.line.plug_in()
        self._start()

    def _start(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"simulated {type(self).__name__}")
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self.line.read_available(_LOOK):
                data, self.line.received = self.line.received, b""
                self.hear(data)


class LineSimulator(Simulator):
    """A device that is spoken to in lines."""

    terminator = b"\n"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lines: list[str] = []
        self._rest = b""

    def hear(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(self.terminator)
        for line in lines:
            self.lines.append(line.decode("ascii"))
            self.hear_line(self.lines[-1])

    def hear_line(self, line: str) -> None:
        """Take a line that is complete."""
