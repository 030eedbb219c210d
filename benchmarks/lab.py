"""The base of all benchmarks: their own broker, processes that end with them, and the counters of the kernel."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.goals import Goal
from benchmarks.report import WrongResultError
from tests.support.broker import Mosquitto, find_tool
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG = 1  # prctl(2)
_TICK = os.sysconf("SC_CLK_TCK")  # per second, of the times in /proc
_BROKER = """\
allow_anonymous true
log_dest none
set_tcp_nodelay true
max_queued_messages 0
"""


class Broker(Mosquitto):
    """The broker of the tests, without a log line for each message, and without limits on its queues."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _BROKER)

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        program = find_tool("mosquitto")
        if program is None:
            raise SystemExit("mosquitto is missing: apt install mosquitto")
        self.process = spawn([program, "-c", str(self.config)], self.log)
        wait_until(self._answers, what="mosquitto to answer")


@dataclass(frozen=True)
class Lab:
    """Where a benchmark runs: folder, broker, number of rounds, their longest time (s), and whether `--fast` is set.

    Each benchmark appends its results to `goals`.
    """

    folder: Path
    broker: Broker
    rounds: int
    budget: float
    fast: bool
    goals: list[Goal]

    @property
    def port(self) -> int:
        """The port of the broker."""
        return self.broker.port


def spawn(
    command: list[str],
    log: Path,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
    path: Path | None = ROOT,
) -> subprocess.Popen[bytes]:
    """Start a process that is killed when this one ends for any reason. Its output goes to `log`.

    `path` is the first folder that Python searches for modules; None: only the default folders.
    """
    # An empty PYTHONDONTWRITEBYTECODE counts as unset, so that the second start of a program finds its bytecode.
    python = {"PYTHONPATH": str(path or ""), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": ""}
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **python},
            stdin=stdin,
            stdout=file if stdout is None else stdout,
            stderr=file,
            preexec_fn=_die_with_parent,
            pass_fds=pass_fds,
        )


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kill `process` at the end, if it is still running."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def stop_gateway(process: subprocess.Popen[bytes], log: Path) -> None:
    """Stop a gateway as systemd would; raise `WrongResultError` if its exit code is not 0 or its log has a warning."""
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(15)
    except subprocess.TimeoutExpired as err:
        raise WrongResultError("the gateway did not stop within 15 s") from err
    text = log.read_text()
    bad = [
        line for line in text.splitlines() if any(f" {level} " in line for level in ("WARNING", "ERROR", "CRITICAL"))
    ]
    if code or bad or "Traceback" in text:
        raise WrongResultError(f"the gateway ended with {code}: {bad[:3] or text[-400:]}")


# --- counters of the kernel


def cpu_seconds(pid: int) -> float:
    """Return the processor time (s) that a process has used so far, in all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_kib(pid: int) -> int:
    """Return the resident memory of a process, in KiB."""
    return _status(Path(f"/proc/{pid}/status"), "VmRSS")


def proportional_kib(pid: int) -> int:
    """Return the memory of a process in KiB, with its share of what it has in common with others (PSS)."""
    return _status(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def thread_wakeups(pid: int) -> dict[int, int]:
    """Return how often each thread of a process, by its id, has made a voluntary context switch."""
    switches: dict[int, int] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has just ended
            switches[int(task.name)] = _status(task / "status", "voluntary_ctxt_switches")
    return switches


def _status(path: Path, key: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise WrongResultError(f"{path} has no {key}")
