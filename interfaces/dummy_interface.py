"""The dummy interface: a simulated lamp. Copy this file to write an interface of your own.

It shows everything that an interface does: options with a schema, the devices, a status every few seconds, commands.
For a device with a file descriptor, override `fileno()`, too; see docs/interfaces.md.

Being the template, it imports from `gateway.api` as an interface of yours does. The other interfaces that are part of
the program import from the modules behind the API, which saves the time to load `gateway.api` (0.2 to 0.3 ms) at each
start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from gateway.api import Addresses, DeviceInterface, InternalMsg, MsgList, Outlet, command


class DummyInterface(DeviceInterface):
    """A lamp that can be switched, and that reports its state every `interval` seconds."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "properties": {
            "interval": {
                "type": "number",
                "minimum": 0.1,
                "default": 5,
                "description": "Seconds between two status messages.",
            },
            "location": {
                "type": "string",
                "default": "office",
                "description": "The location of the simulated lamp.",
            },
        }
    }

    @classmethod
    def addresses(cls, params: Mapping[str, Any]) -> Addresses:
        """Return the addresses of its commands, so that commands for other interfaces do not wake it."""
        return [
            {"device": device, "location": location} for device in ("lamp", "") for location in (params["location"], "")
        ]

    @classmethod
    def devices(cls, params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return its devices, each with its points: which status has the value, and which command sets it."""
        return [
            {
                "id": "lamp",
                "name": "Lamp",
                "address": {"function": "lighting", "location": params["location"], "device": "lamp"},
                "points": {
                    "on": {"from": "LAMP_STATE.on", "write": {"LAMP_ON": True, "LAMP_OFF": False}},
                    "uptime": {"from": "LAMP_STATE.uptime", "type": "integer", "unit": "s"},
                },
            }
        ]

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.read_interval = params["interval"]  # s; read() is called this often
        self.is_on = False
        self.since = self.clock()

    def open(self) -> None:
        """Open the device. Raise OSError or DeviceError if that fails; it is retried automatically."""
        self.since = self.clock()

    def read(self) -> Iterable[InternalMsg]:
        """Return the messages of the device."""
        yield self.state()

    @command("LAMP_ON")
    def switch_on(self) -> Iterable[InternalMsg]:
        """Execute the command LAMP_ON. It is answered with OK, and the returned messages are sent after the answer."""
        self.is_on = True
        return [self.state()]  # immediately, so that everyone sees the new state

    @command("LAMP_OFF")
    def switch_off(self) -> Iterable[InternalMsg]:
        """Execute the command LAMP_OFF."""
        self.is_on = False
        return [self.state()]

    def close(self) -> None:
        """Close the device. A simulated one needs nothing."""

    def accepts(self, msg: InternalMsg) -> bool:
        """Return whether a message is a command for this device."""
        return msg.iscmd and {"device": msg.device, "location": msg.location} in self.addresses(self.params)

    def describe(self) -> str:
        """Return the name of the device for the log."""
        return "the lamp"

    def state(self) -> InternalMsg:
        """Return the state of the lamp as a status."""
        return InternalMsg(
            function="lighting",
            location=self.params["location"],
            device="lamp",
            action="LAMP_STATE",
            arguments={"on": self.is_on, "uptime": round(self.clock() - self.since)},
        )
