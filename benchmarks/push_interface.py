"""An interface for the gateway: on a command, it pushes `count` messages as fast as it can."""

from __future__ import annotations

from gateway.interface import Interface
from gateway.message import InternalMsg


class PushInterface(Interface):
    """Waits for a command with the argument `count`."""

    waits_itself = True

    def loop(self) -> None:
        """Wait for one command and execute it; return without one when the gateway stops."""
        command = self.msglist_in.pull(block=True)
        if command is None:
            return
        count = command.argument("count")
        assert isinstance(count, int)
        push = self.msglist_out.push
        for number in range(count):
            push(
                InternalMsg(
                    function="climate",
                    location="lab",
                    device="probe",
                    action="TEMPERATURE",
                    arguments={"celsius": number / 10},
                )
            )
