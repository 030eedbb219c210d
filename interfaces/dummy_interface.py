"""The dummy interface: a lamp and a clock that are not there. Copy this file to write an interface of your own.

It shows all that an interface does: options with a schema, a status every few seconds, commands answered.
For a device with a file descriptor, override `fileno()` too; see docs/interfaces.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from gateway.core.inbox import MsgList
from gateway.interface import DeviceInterface
from gateway.message import InternalMsg
from gateway.routing.command_index import Addresses
from gateway.routing.outlet import Outlet


class DummyInterface(DeviceInterface):
    """A lamp that can be switched, and says every `interval` seconds how it is."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "properties": {
            "interval": {
                "type": "number",
                "minimum": 0.1,
                "default": 5,
                "description": "Seconds between two statuses.",
            },
            "location": {
                "type": "string",
                "default": "office",
                "description": "Where the lamp that is not there stands.",
            },
        }
    }

    ACTIONS = ("LAMP_ON", "LAMP_OFF")

    @classmethod
    def addresses(cls, params: Mapping[str, Any]) -> Addresses:
        """Return the addresses of its commands, so that those for others do not even wake it."""
        return [
            {"device": device, "location": location} for device in ("lamp", "") for location in (params["location"], "")
        ]

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.read_interval = params["interval"]  # read() is called that often
        self.is_on = False
        self.since = time.monotonic()

    def open(self) -> None:
        """Open the device. Raise OSError or DeviceError if it is not there; it is tried again by itself."""
        self.since = time.monotonic()

    def read(self) -> Iterable[InternalMsg]:
        """Return what the device has to say now."""
        yield self.state()

    def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
        """Do what a message says, and return the answers."""
        if not self.accepts(msg):
            return
        problem = self.problem_of(msg)
        if problem:
            yield msg.reply("REFUSED", problem)
            return
        self.is_on = msg.action == "LAMP_ON"
        yield msg.reply("OK")
        yield self.state()  # at once: whoever has switched it wants to see it

    def close(self) -> None:
        """Close the device; nothing to do for one that is not there."""

    def accepts(self, msg: InternalMsg) -> bool:
        """Tell whether a message is a command for this device."""
        return msg.iscmd and {"device": msg.device, "location": msg.location} in self.addresses(self.params)

    def problem_of(self, msg: InternalMsg) -> str:
        """Return what is wrong with a command for this device; `""` if it can be done."""
        if msg.action not in self.ACTIONS:
            return f"{msg.action!a} is not an action of this device: use one of {', '.join(self.ACTIONS)}"
        if msg.arguments:  # left aside, `level=5` would be answered with OK as if it were so
            return f"argument {next(iter(msg.arguments))!a} is not known: this command has none"
        return ""

    def describe(self) -> str:
        """Name the device in the log."""
        return "the lamp"

    def state(self) -> InternalMsg:
        """Return a status that says how the lamp is."""
        return InternalMsg(
            function="lighting",
            location=self.params["location"],
            device="lamp",
            action="LAMP_STATE",
            arguments={"on": self.is_on, "uptime": round(time.monotonic() - self.since)},
        )
