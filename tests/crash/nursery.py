"""Starts gateways fast: a process that has imported all they need, and forks one for each configuration it is told.

Each gateway is a process of its own, and runs the command as any other; a quarter of a second of imports is saved.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType


class Nursery:
    """The harness's end: `start` a gateway, and kill it by its process id. All write to one log."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "gateway.log"
        environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "none"), "XDG_STATE_HOME": str(folder / "state")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def start(self, conf: Path) -> int:
        """Start a gateway; return its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{conf}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def is_alive(pid: int) -> bool:
    """Tell whether a gateway still runs; the nursery leaves no zombies."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _serve() -> None:
    """Fork a gateway for each line on standard input, and say its process id on standard output."""
    import gateway.start_gateway  # noqa: F401  (what every run needs, and the command imports late)
    from gateway import command_line

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            os._exit(command_line.main(["--conf", line.strip()]))
        print(pid, flush=True)


if __name__ == "__main__":
    _serve()
