"""Interfaces that are wrong, each in one way; they are copied beside the configuration of the service under test."""

from __future__ import annotations

import threading
from pathlib import Path

from gateway.api import Interface, InternalMsg

_PAUSE = threading.Event()


class Failing(Interface):
    """Fails as long as the file `/run/broken` is there."""

    def loop(self) -> None:
        if Path("/run/broken").exists():
            raise ValueError("broken on purpose")
        self.msglist_in.wait()


class Quitting(Interface):
    """Wants to end the process, as long as the file `/run/broken` is there."""

    def loop(self) -> None:
        if Path("/run/broken").exists():
            raise SystemExit("quits on purpose")
        self.msglist_in.wait()


class Dying(Interface):
    """Starts a thread that dies, and keeps running."""

    def loop(self) -> None:
        threading.Thread(target=self._die).start()
        self.msglist_in.wait()

    def _die(self) -> None:
        raise ValueError("dies on purpose")


class Hanging(Interface):
    """Hangs when it has a command, as long as the file `/run/broken` is there."""

    waits_itself = True

    def loop(self) -> None:
        if self.msglist_in.pull(block=True, timeout=1) is not None:
            self.read_stubborn_device()

    def read_stubborn_device(self) -> None:
        while Path("/run/broken").exists():
            _PAUSE.wait(0.1)


class Lazy(Interface):
    """Never reads its commands."""

    def loop(self) -> None:
        _PAUSE.wait(0.2)


class Talkative(Interface):
    """Publishes numbers without a pause, as long as the file `/run/broken` is there."""

    number = 0

    def loop(self) -> None:
        if Path("/run/broken").exists():
            self.number += 1
            self.msglist_out.push(InternalMsg(function="talk", action="N", arguments={"n": self.number}))
        _PAUSE.wait(0.001)


class Verbose(Interface):
    """Publishes a message of 5,000 characters, and then one of five, each time it is started."""

    def loop(self) -> None:
        for size in (5000, 5):
            self.msglist_out.push(InternalMsg(function="talk", action="TEXT", arguments={"text": "x" * size}))
        self.msglist_in.wait()
