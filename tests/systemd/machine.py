"""A Debian that runs in a tree of its own (see tree.sh), with systemd as process 1, and the gateway as its service."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.units import CannotRunError, Units
from tests.support.waiting import wait_until

HERE = Path(__file__).parent
SUITES = ("trixie", "bookworm")  # systemd 257 and 252
PROGRAM = "/opt/mqttgateway/bin/mqttgateway"

_ENVIRONMENT = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0")


@contextlib.contextmanager
def turn_of_trees() -> Iterator[None]:
    """Wait until no other run uses the trees of this checkout: it would install its wheel below these machines."""
    trees = HERE.parents[1] / ".trees"
    trees.mkdir(exist_ok=True)
    with (trees / "systemd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepare(suite: str, wheel: Path) -> int:
    """Make the tree and install the wheel in it; return 3, after saying why on standard error, where that cannot be."""
    return subprocess.run([HERE / "tree.sh", suite, "prepare", wheel], check=False).returncode


class Machine(Units):
    """Boots when it is entered; what was written in it is gone when it is left.

    `before` is a shell script that is run in it before it boots.
    """

    def __init__(self, suite: str, before: str = "") -> None:
        self.suite = suite
        self._before = before
        self._files = contextlib.ExitStack()
        self._out = self._files.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._others: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        command = [str(HERE / "tree.sh"), self.suite, "boot", self._before]
        self._nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._out)
        try:
            wait_until(self._is_running, 60, lambda: f"systemd to run:\n{self._output}", pause=0.05)
        except AssertionError as err:
            self._end()
            raise CannotRunError(f"systemd does not boot here: {err}") from err
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._others:
            process.kill()
            process.wait()
        assert self._nspawn is not None
        inside = [number for child in _children(self._nspawn.pid) for number in _children(child)]
        for number in inside:  # of which one is process 1 of its namespace: everything in it ends
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        try:
            self._nspawn.wait(10)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._files.close()

    @property
    def _output(self) -> str:
        return Path(self._out.name).read_text(errors="replace")

    def _is_running(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, "systemd-nspawn has ended"
        # unshare -> systemd-nspawn -> systemd, which is process 1 of its namespace; others come and go before it.
        started = (process for child in _children(self._nspawn.pid) for process in _children(child))
        self._leader = next((process for process in started if _inner_ids(process)[1:] == [1]), 0)
        if not self._leader:
            return False
        asked = self._enter("systemctl", "is-system-running")
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() in (
            "running",
            "degraded",
        )

    def _enter(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self._leader), "-a", *_ENVIRONMENT, *command]

    # --- what is done in it

    def run(self, *command: str, code: int = 0, stdin: str = "") -> str:
        """Run a command in it as root, and return what it has written; fail if it ends with another code."""
        ran = subprocess.run(
            self._enter(*command), input=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        output = ran.stdout + ran.stderr
        assert ran.returncode == code, f"{' '.join(command)} ended with {ran.returncode}:\n{output}"
        return output

    def gateway(self, *arguments: str, code: int = 0) -> str:
        """Run the command mqttgateway."""
        return self.run(PROGRAM, *arguments, code=code)

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file."""
        self.run("sh", "-euc", 'mkdir -p "$(dirname "$1")"; cat > "$1"; chmod "$2" "$1"', "sh", path, mode, stdin=text)

    def listen(self, *topics: str) -> Callable[[], list[str]]:
        """Subscribe at its broker; return a function that returns the lines `TOPIC PAYLOAD` received so far."""
        out = self._files.enter_context(tempfile.NamedTemporaryFile("w"))  # noqa: SIM115
        command = ["/opt/mqttgateway/bin/python", "-uc", (HERE / "listener.py").read_text(), *topics]
        self._others.append(subprocess.Popen(self._enter(*command), stdin=subprocess.DEVNULL, stdout=out, text=True))

        def lines() -> list[str]:
            # Opened again: a position that is shared with the listener would have it write over its first lines.
            return Path(out.name).read_text().splitlines()

        wait_until(lambda: "subscribed" in lines(), 20, "the listener to subscribe")
        return lambda: [line for line in lines() if line != "subscribed"]

    def pid_outside(self, unit: str) -> int:
        """Return the process id of a service, as it is on this machine."""
        inner = self.pid(unit)
        (process,) = (child for child in _children(self._leader) if _inner_ids(child)[1:] == [inner])
        return process


def _children(process: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def _inner_ids(process: int) -> list[int]:
    """Return the ids that a process has, from the outermost namespace that is known here to its own."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return []
    return [int(number) for line in status.splitlines() if line.startswith("NSpid:") for number in line.split()[1:]]
