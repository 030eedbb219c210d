"""A gateway as its users run it: the command in its own process, with its log."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

from tests.support.forked import ForkedGateway
from tests.support.waiting import wait_until

COMMAND = (sys.executable, "-m", "gateway")


class GatewayProcess:
    """`mqttgateway ARGUMENTS --conf FILE`; what it writes to standard error is `log`, to standard output `output`.

    `prefix` is a command that runs it, such as `ip netns exec NAME`; `environment` is added to that of the tests.
    """

    def __init__(
        self,
        conf: Path,
        *arguments: str,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.conf = conf
        self._out = conf.with_suffix(f".{'-'.join(('out', *arguments[:1]))}")
        self._err = conf.with_suffix(f".{'-'.join(('err', *arguments[:1]))}")
        whole = {
            **os.environ,
            "XDG_CONFIG_HOME": str(conf.parent / "none"),
            "XDG_STATE_HOME": str(conf.parent / "state"),
            "XDG_RUNTIME_DIR": str(conf.parent),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | ForkedGateway
        with self._out.open("wb") as out, self._err.open("wb") as err:
            if not prefix and not environment:
                self.process = ForkedGateway([*arguments, "--conf", str(conf)], self._out, self._err, whole)
                return
            self.process = subprocess.Popen(
                [*prefix, *COMMAND, *arguments, "--conf", str(conf)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=whole,
                start_new_session=True,
            )

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def log(self) -> str:
        return self._err.read_text(errors="replace")

    @property
    def output(self) -> str:
        return self._out.read_text(errors="replace")

    @property
    def returncode(self) -> int | None:
        return self.process.poll()

    def wait_log(self, text: str, count: int = 1, timeout: float = 15) -> None:
        """Return once the log has `text` `count` times; fail if the process ends before that."""

        def is_complete() -> bool:
            ended = self.process.poll() is not None
            is_logged = self.log.count(text) >= count
            assert is_logged or not ended, f"ended with {self.returncode}: {self.log}"
            return is_logged

        wait_until(is_complete, timeout, lambda: f"{text!r} in the log:\n{self.log}")

    def wait_output(self, pattern: str, timeout: float = 15) -> re.Match[str]:
        """Return the match of `pattern` in the output, once there is one."""
        wait_until(
            lambda: re.search(pattern, self.output), timeout, lambda: f"{pattern!r} in:\n{self.output}{self.log}"
        )
        match = re.search(pattern, self.output)
        assert match is not None
        return match

    def wait(self, timeout: float = 15) -> int:
        """Return the exit code, once the process has ended."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {timeout} s:\n{self.log}") from None

    def stop(self, number: int = signal.SIGTERM, timeout: float = 15) -> float:
        """Send a signal and wait for the end; return how long that took (s). The exit code must be 0."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.wait(timeout)
        assert code == 0, f"ended with {code}: {self.log}"
        return time.monotonic() - began

    def wake_ups(self, seconds: float) -> int:
        """Return how often the threads of the process have made a voluntary context switch within `seconds`."""
        previous, deadline = self._switches(), time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= deadline, seconds + 5)
        return self._switches() - previous

    def _switches(self) -> int:
        total = 0
        for status in Path(f"/proc/{self.process.pid}/task").glob("*/status"):
            with contextlib.suppress(OSError):  # a thread that has just ended
                lines = status.read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
        return total

    def kill(self) -> None:
        if self.process.poll() is None:
            if isinstance(self.process, ForkedGateway):
                self.process.kill()
            else:
                os.killpg(self.process.pid, signal.SIGKILL)  # killing a tracer does not kill the traced process
            self.process.wait()


def run_command(conf: Path, *arguments: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    """Run a command until it ends, and return its output and exit code."""
    return run_line([*arguments, "--conf", str(conf)], Path.cwd(), os.environ, timeout)


def run_line(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float = 20
) -> subprocess.CompletedProcess[str]:
    """Run a command line in `folder` until it ends, and return its output and exit code."""
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        process = ForkedGateway(arguments, out, err, environment, folder)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())
