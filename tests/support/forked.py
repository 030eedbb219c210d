"""Starts gateways fast: processes forked from one that has imported the program.

Each runs the command in the usual way, but saves the imports, which take most of the time of a start.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["gateway.cli.main", "gateway.start_gateway", "gateway.cli.broker_session"])


class ForkedGateway:
    """`mqttgateway ARGUMENTS` in a process of its own, with the methods of `subprocess.Popen` that tests use.

    It runs in `folder`, the current one unless another is named. Its output is appended to the files `out` and `err`.
    """

    def __init__(
        self, arguments: Sequence[str], out: Path, err: Path, environment: Mapping[str, str], folder: Path | None = None
    ) -> None:
        start = list(arguments), dict(environment), os.fspath(out), os.fspath(err), os.fspath(folder or Path.cwd())
        self._process = _CONTEXT.Process(target=_run, args=start)
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self.returncode
        if code is None:
            raise subprocess.TimeoutExpired("mqttgateway", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], environment: dict[str, str], out: str, err: str, folder: str) -> None:
    """Run the gateway in this process: with its own folder, environment, signals and standard streams."""
    from gateway.cli.main import main
    from gateway.early_signals import EarlySignals

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    to_write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, out, to_write), (2, err, to_write)):
        fd = os.open(path, flags, 0o600)
        os.dup2(fd, number)
        os.close(fd)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(main(arguments, EarlySignals()))
