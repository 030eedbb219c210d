"""`mqttgateway simulate` as a process."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.gateway_process import COMMAND
from tests.support.waiting import wait_until


class SimulateProcess:
    """Plays a script, which it writes to `folder`, until it is ended with Ctrl-C."""

    def __init__(self, folder: Path, script: str, *where: str) -> None:
        (folder / "device.sim").write_text(script)
        self._file = folder / "simulate.txt"
        with self._file.open("w") as file:
            words = [*COMMAND, "simulate", "device.sim", *where]
            self._process = subprocess.Popen(words, cwd=folder, stdout=file, stderr=file)

    def __enter__(self) -> Self:
        wait_until(lambda: "the device is there" in self.output, timeout=20, what="the device")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.end() == 0, self.output

    @property
    def output(self) -> str:
        """What it has printed up to now."""
        return self._file.read_text()

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it with a signal, that of Ctrl-C by default; return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(10)
