"""An interface for the gateway that takes commands: when the last has come, it says so, if all were in order."""

from __future__ import annotations

from gateway.interface import Interface
from gateway.mailbox import MsgList
from gateway.message import InternalMsg
from gateway.outlet import Outlet


class SinkInterface(Interface):
    """Counts commands; the option `count` tells which is the last."""

    waits_itself = True

    def __init__(self, params: dict[str, int], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self._next = 0

    def loop(self) -> None:
        """Take what is there."""
        msg = self.msglist_in.pull(block=True)
        while msg is not None:
            self._next += msg.argument("n") == self._next
            if self._next == self.params["count"]:
                self.msglist_out.push(InternalMsg(function="climate", location="lab", device="probe", action="DONE"))
                self._next = 0
            msg = self.msglist_in.pull()
