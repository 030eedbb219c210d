"""Interfaces that make and take load, named in a configuration by this file's path; what they did stands in a file.

The file outlives a process that is killed: each line of it has left the process when `os.write` returns.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from gateway.api import DeliveryError, Interface, InternalMsg, MsgList, Outlet, Receipt
from tests.support.ledger import entries_in

_BATCH = 50  # statuses pushed before what was accepted of them is written down
_PAUSE = 0.005  # s between two batches
_PATIENCE = 0.1  # s to wait for the disk before going on without its answer
_NEXT_LIFE = 1_000_000  # numbers of a new process begin at a multiple of this: none is used twice


class Load(Interface):
    """Pushes `rate` numbered statuses a second, `count` in all (0: no end), of `devices` devices in turn.

    The devices are called `device` and a number. `book` gets a line `DEVICE NUMBER` for each status, once the
    gateway has accepted it, and a file beside it with the ending `.end` says that all was pushed. The payload is padded
    with `size` bytes.
    """

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "required": ["book"],
        "properties": {
            "book": {"type": "string"},
            "device": {"type": "string", "default": "d"},
            "devices": {"type": "integer", "default": 3},
            "rate": {"type": "number", "default": 500},
            "count": {"type": "integer", "default": 0},
            "size": {"type": "integer", "default": 0},
        },
    }
    waits_itself = True

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self._book = os.open(params["book"], os.O_RDWR | os.O_APPEND | os.O_CREAT)
        last = max((number for _, number in entries_in(Path(params["book"]).read_text())), default=-1)
        self._first = (last // _NEXT_LIFE + 1) * _NEXT_LIFE
        self._pushed = 0
        self._pending: list[tuple[str, Receipt]] = []
        self._began = time.monotonic()

    def loop(self) -> None:
        """Push what is due, write down what was accepted, and pause."""
        due = (time.monotonic() - self._began) * self.params["rate"]
        end = min(int(due), self.params["count"] or int(due), self._pushed + _BATCH)
        for number in range(self._pushed, end):
            device = f"{self.params['device']}{number % self.params['devices']}"
            arguments = {"number": self._first + number, "padding": "x" * self.params["size"]}
            msg = InternalMsg(function="load", device=device, action="N", arguments=arguments)
            self._pending.append((f"{device} {self._first + number}\n", self.msglist_out.publish(msg)))
        self._pushed = end
        self._write_down()
        if end == self.params["count"]:
            Path(f"{self.params['book']}.end").touch()
        if end >= int(due) or end == self.params["count"]:
            self.msglist_in.pull(block=True, timeout=_PAUSE)

    def _write_down(self) -> None:
        """Write down what was accepted: committed, if there is a disk behind the outbox."""
        with contextlib.suppress(DeliveryError):
            if self._pending:
                self._pending[-1][1].wait_accepted(_PATIENCE)
        lines, pending, self._pending = "", self._pending, []
        for line, receipt in pending:
            if receipt.is_accepted:
                lines += line
            elif not receipt.dropped:
                self._pending.append((line, receipt))
        if lines:
            os.write(self._book, lines.encode())

    def loop_stop(self) -> None:
        """Close the book."""
        self._write_down()
        os.close(self._book)


class Doer(Interface):
    """Writes each command that reaches it to `book`, a line of action and arguments, and answers it if it `answers`."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "required": ["book"],
        "properties": {"book": {"type": "string"}, "answers": {"type": "boolean", "default": False}},
    }
    waits_itself = True

    def loop(self) -> None:
        """Do one command."""
        msg = self.msglist_in.pull(block=True, timeout=5.0)
        if msg is None or not msg.iscmd:
            return
        with Path(self.params["book"]).open("a") as book:
            book.write(f"{msg.action} {json.dumps(dict(msg.arguments))}\n")
        if self.params["answers"]:
            self.msglist_out.push(msg.reply("OK"))


class Repeater(Interface):
    """Says every status again that it hears: two of them with overlapping maps never come to an end."""

    waits_itself = True

    def loop(self) -> None:
        """Repeat one status."""
        msg = self.msglist_in.pull(block=True, timeout=5.0)
        if msg is not None and not msg.iscmd:
            self.msglist_out.push(msg.replace(sender=""))
