"""An interface for the gateway that counts commands: after the last it reports whether all came in order, once each."""

from __future__ import annotations

from gateway.core.inbox import MsgList
from gateway.interface import Interface
from gateway.message import InternalMsg
from gateway.routing.outlet import Outlet


class SinkInterface(Interface):
    """Counts commands; the option `count` is their total number."""

    waits_itself = True

    def __init__(self, params: dict[str, int], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self._next = 0
        self._is_right = True

    def loop(self) -> None:
        """Check the commands that are waiting."""
        msg = self.msglist_in.pull(block=True)
        while msg is not None:
            self._is_right = self._is_right and msg.argument("n") == self._next
            self._next += 1
            if msg.argument("n") == self.params["count"] - 1:
                result = "DONE" if self._is_right and self._next == self.params["count"] else "WRONG"
                self.msglist_out.push(InternalMsg(function="climate", location="lab", device="probe", action=result))
            msg = self.msglist_in.pull()
