"""The one import for authors of interfaces: everything in `__all__` is stable and documented (docs/interfaces.md).

    from gateway.api import DeviceInterface, InternalMsg

A name stays here, with its meaning, until a new major version. All other modules of the gateway may change with any
version, also those in which these names are defined. The gateway itself never imports this module, so that it costs a
run nothing; an interface that does imports hardly more than what a run has loaded already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.commands import boolean, choice, command, integer, number, text
from gateway.core.inbox import MsgList, Wakeup
from gateway.core.receipt import Receipt
from gateway.core.timers import Timer
from gateway.errors import CommandRefusedError, DeliveryError, DeviceAwaitedError, DeviceError, Problem
from gateway.interface import DeviceInterface, Interface
from gateway.message import Argument, InternalMsg, ReportRule
from gateway.routing.command_index import Addresses
from gateway.routing.outlet import Outlet

if TYPE_CHECKING:
    from gateway.testing.recording_outlet import RecordingOutlet

__all__ = [
    "Addresses",
    "Argument",
    "CommandRefusedError",
    "DeliveryError",
    "DeviceAwaitedError",
    "DeviceError",
    "DeviceInterface",
    "Interface",
    "InternalMsg",
    "MsgList",
    "Outlet",
    "Problem",
    "Receipt",
    "RecordingOutlet",
    "ReportRule",
    "Timer",
    "Wakeup",
    "boolean",
    "choice",
    "command",
    "integer",
    "number",
    "text",
]


def __getattr__(name: str) -> Any:
    """Import `RecordingOutlet` when it is first used, which only tests do."""
    if name == "RecordingOutlet":
        from gateway.testing.recording_outlet import RecordingOutlet

        return RecordingOutlet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
