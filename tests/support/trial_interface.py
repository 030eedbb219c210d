"""Interfaces that a configuration names by this file's path: correct ones and faulty ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from gateway.api import DeviceInterface, Interface, InternalMsg, MsgList, Outlet


def status(action: str, **arguments: Any) -> InternalMsg:
    return InternalMsg(function="trial", action=action, arguments=arguments)


class Ticker(Interface):
    """Publishes a number every `interval` seconds, and LAST when it is stopped."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {"properties": {"interval": {"type": "number", "default": 0.05}}}
    waits_itself = True

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.number = 0

    def loop(self) -> None:
        self.msglist_out.push(status("TICK", number=self.number))
        self.number += 1
        self.msglist_in.pull(block=True, timeout=self.params["interval"])

    def loop_stop(self) -> None:
        self.msglist_out.push(status("LAST", number=self.number))


class Recorder(Interface):
    """Publishes each message that has reached the device."""

    waits_itself = True

    def loop(self) -> None:
        msg = self.msglist_in.pull(block=True, timeout=1.0)
        if msg is not None:
            self.msglist_out.push(status("GOT", what=str(msg)))


class Counting(Recorder):
    """A recorder that counts its commands."""

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.commands = 0

    def loop(self) -> None:
        msg = self.msglist_in.pull(block=True, timeout=1.0)
        self.commands += msg is not None

    def stats(self) -> dict[str, int]:
        return {"commands": self.commands}


class Threaded:
    """The other form of the contract, with `loop_start` and `loop_stop`."""

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        self.msglist_out = msglist_out

    def loop_start(self) -> None:
        self.msglist_out.push(status("STARTED"))

    def loop_stop(self) -> None:
        self.msglist_out.push(status("STOPPED"))


class Failing(Interface):
    """Fails at its first `failures` starts, each time after a TRIED, and then keeps running."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "properties": {
            "failures": {"type": "integer", "default": 2},
            "quits": {"type": "boolean", "default": False},
        }
    }
    starts: ClassVar[int] = 0

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        Failing.starts += 1

    def loop(self) -> None:
        if Failing.starts <= self.params["failures"]:
            self.msglist_out.push(status("TRIED", start=Failing.starts))
            raise SystemExit("quits") if self.params["quits"] else ValueError("broken on purpose")
        self.msglist_out.push(status("RUNS", start=Failing.starts))
        self.msglist_in.wait()


class Dying(Interface):
    """Starts a thread that dies, and keeps running."""

    def loop(self) -> None:
        threading.Thread(target=self._die, name="its own").start()
        self.msglist_in.wait()

    def _die(self) -> None:
        raise ValueError("on purpose")


class NeverReading(Interface):
    """Never reads a message, and stops in time."""

    def loop(self) -> None:
        time.sleep(0.05)


class LinkReporter(Interface):
    """Sends a status whenever it is notified of the link to the broker."""

    waits_itself = True

    def loop(self) -> None:
        self.msglist_in.pull(block=True, timeout=1.0)

    def on_link(self, up: bool, session_present: bool) -> Iterable[InternalMsg]:
        thread = threading.current_thread().name
        return [status("LINK", up=up, session_present=session_present, connected=self.is_connected, thread=thread)]


class Stuck(Interface):
    """Never returns from `loop`."""

    def loop(self) -> None:
        threading.Event().wait()


class Repeater(Interface):
    """Repeats every message that it receives, in the name of its own gateway, as in an echo loop."""

    waits_itself = True

    def loop(self) -> None:
        msg = self.msglist_in.pull(block=True, timeout=1.0)
        if msg is not None:
            self.msglist_out.push(msg.replace(sender=""))


class Slow(DeviceInterface):
    """Answers every command, and takes `seconds` for HANG."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {"properties": {"seconds": {"type": "number", "default": 15}}}

    def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
        if msg.action == "HANG":
            time.sleep(self.params["seconds"])
        return [msg.reply("OK")]

    def accepts(self, msg: InternalMsg) -> bool:
        return msg.iscmd and msg.device == "slow"

    def describe(self) -> str:
        return "the slow one"
