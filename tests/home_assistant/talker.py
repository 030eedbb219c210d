"""A device behind a pseudo-terminal that reports again and again, and answers each line that it gets."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.device import PtyDevice
from tests.support.waiting import wait_until

_STEP = 0.005  # s between two looks at the line


class Talker(ABC):
    """Runs in a thread of its own while it is entered; `beat` are the seconds between two reports."""

    def __init__(self, folder: Path, name: str, beat: float) -> None:
        self.received: list[str] = []
        self.line = PtyDevice(folder, f"tty-{name}")
        self._name, self._steps = name, int(beat / _STEP)
        self._lock = threading.RLock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self.line.unplug()

    @abstractmethod
    def report(self) -> None:
        """Write one report; called with the lock held."""

    @abstractmethod
    def answer(self, text: str) -> None:
        """Answer one line; called with the lock held."""

    def unplug(self) -> None:
        with self._lock:
            self.line.unplug()

    def plug_in(self) -> None:
        with self._lock:
            self.line.plug_in()

    def wait_received(self, request: str, count: int = 1, timeout: float = 5) -> None:
        """Return once it has received a request that often."""
        wait_until(
            lambda: self.received.count(request) >= count,
            timeout,
            lambda: f"{request!r} at the {self._name}; it received {self.received}",
            pause=0.001,
        )

    def _run(self) -> None:
        steps = 0
        while not self._is_over.wait(_STEP):
            with self._lock:
                if not self.line.is_plugged_in:
                    continue
                self._read()
                steps += 1
                if steps % self._steps == 0:
                    self.report()

    def _read(self) -> None:
        self.line.read_available()
        *requests, self.line.received = self.line.received.split(b"\n")
        for request in requests:
            text = request.strip().decode()
            self.received.append(text)
            self.answer(text)
