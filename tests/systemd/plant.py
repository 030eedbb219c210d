"""An interface and a hook for the service under test; they are copied beside its configuration."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from gateway.api import Interface, InternalMsg

_NEVER = threading.Event()


class Plant(Interface):
    """Publishes a number every `interval` seconds, up to `count`; hangs as soon as the file `stall` exists."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "properties": {
            "interval": {"type": "number", "default": 0.05},
            "count": {"type": "integer", "default": 1_000_000},
            "stall": {"type": "string", "default": "/nowhere"},
        }
    }
    waits_itself = True
    number = 0

    def loop(self) -> None:
        if self.number < self.params["count"]:
            self.msglist_out.push(InternalMsg(function="plant", action="N", arguments={"n": self.number}))
            self.number += 1
        self.msglist_in.pull(block=True, timeout=self.params["interval"])
        if Path(self.params["stall"]).exists():
            self.read_stubborn_device()

    def read_stubborn_device(self) -> None:
        _NEVER.wait()


def hang(msg: InternalMsg) -> InternalMsg:
    """A hook that does not return from the command HANG."""
    if msg.action == "HANG":
        _NEVER.wait()
    return msg
