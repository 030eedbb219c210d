"""What is asked of the systemd of a machine under test, whichever way that is booted."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable

from tests.support.waiting import wait_until


class CannotRunError(Exception):
    """The tests cannot run on this machine; the text says why."""


class Units(abc.ABC):
    """The units of a machine in which commands can be run."""

    @abc.abstractmethod
    def run(self, *command: str, code: int = 0) -> str:
        """Run a command in it as root, and return what it has written; fail if it ends with another code."""

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def pid(self, unit: str) -> int:
        """Return the process id of a service, as it is in the machine."""
        return int(self.show(unit, "MainPID"))

    def journal(self, unit: str) -> str:
        """Return what a unit has logged."""
        return self.run("journalctl", "-o", "cat", "--no-pager", "-u", unit)

    def wait(self, condition: Callable[[], object], what: str, unit: str = "", timeout: float = 30) -> float:
        """Wait for a condition, and return after how many seconds it was true."""
        began = time.monotonic()
        wait_until(condition, timeout, lambda: f"{what}\n{self.journal(unit) if unit else ''}", pause=0.1)
        return time.monotonic() - began

    def wait_log(self, unit: str, text: str, count: int = 1, timeout: float = 30) -> float:
        """Wait until a unit has logged a text so often."""
        return self.wait(lambda: self.journal(unit).count(text) >= count, f"{text!r} in the journal", unit, timeout)
