"""Interfaces that produce and consume load, named in a configuration by this file's path.

They keep a journal in a file, which survives the kill of the process: each line has left the process when `os.write`
returns.
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

_BATCH = 50  # statuses pushed before the accepted ones are written to the journal
_PAUSE = 0.005  # s between two batches
_ACCEPT_TIMEOUT = 0.1  # s to wait for the disk before continuing without its answer
_NUMBERS_PER_PROCESS = 1_000_000  # numbers of a new process start at a multiple of this, so that none is used twice


class Load(Interface):
    """Pushes `rate` numbered statuses a second, `count` in all (0: no end), of `devices` devices alternately.

    The devices are called `device` and a number. `journal` gets a line `DEVICE NUMBER` for each status, once the
    gateway has accepted it; an empty file beside it with the ending `.end` is created after the last. The payload is
    padded with `size` bytes.
    """

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "required": ["journal"],
        "properties": {
            "journal": {"type": "string"},
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
        self._book, last = self.open_journal()
        self._first = (last // _NUMBERS_PER_PROCESS + 1) * _NUMBERS_PER_PROCESS
        self._pushed = 0
        self._pending: list[tuple[str, Receipt]] = []
        self._began = time.monotonic()

    def open_journal(self) -> tuple[int, int]:
        """Return a descriptor to which accepted statuses are written, and the last number of earlier ones, or -1."""
        path = Path(self.params["journal"])
        journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        return journal, max((number for _, number in entries_in(path.read_text())), default=-1)

    def loop(self) -> None:
        """Push the statuses that are due, write the accepted ones to the journal, and pause."""
        due = (time.monotonic() - self._began) * self.params["rate"]
        end = min(int(due), self.params["count"] or int(due), self._pushed + _BATCH)
        for number in range(self._pushed, end):
            device = f"{self.params['device']}{number % self.params['devices']}"
            arguments = {"number": self._first + number, "padding": "x" * self.params["size"]}
            msg = InternalMsg(function="load", device=device, action="N", arguments=arguments)
            self._pending.append((f"{device} {self._first + number}\n", self.msglist_out.publish(msg)))
        self._pushed = end
        self._write_accepted()
        is_last = end == self.params["count"] > 0
        if is_last:
            Path(f"{self.params['journal']}.end").touch()
        if end >= int(due) or is_last:
            self.msglist_in.pull(block=True, timeout=_PAUSE)

    def _write_accepted(self) -> None:
        """Write the accepted statuses to the journal; with an outbox on disk, they are committed."""
        with contextlib.suppress(DeliveryError):
            if self._pending:
                self._pending[-1][1].wait_accepted(_ACCEPT_TIMEOUT)
        lines, pending, self._pending = "", self._pending, []
        for line, receipt in pending:
            if receipt.is_accepted:
                lines += line
            elif not receipt.dropped:
                self._pending.append((line, receipt))
        if lines:
            os.write(self._book, lines.encode())

    def loop_stop(self) -> None:
        """Write the last accepted statuses, and close the journal."""
        self._write_accepted()
        os.close(self._book)


class CommandRecorder(Interface):
    """Writes each command to `journal`, as a line of action and arguments, and replies if `answers` is set."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "required": ["journal"],
        "properties": {"journal": {"type": "string"}, "answers": {"type": "boolean", "default": False}},
    }
    waits_itself = True

    def loop(self) -> None:
        """Record one command."""
        msg = self.msglist_in.pull(block=True, timeout=5.0)
        if msg is None or not msg.iscmd:
            return
        with Path(self.params["journal"]).open("a") as journal:
            journal.write(f"{msg.action} {json.dumps(dict(msg.arguments))}\n")
        if self.params["answers"]:
            self.msglist_out.push(msg.reply("OK"))


class Repeater(Interface):
    """Repeats every status that it receives, so that two of them with overlapping maps never stop."""

    waits_itself = True

    def loop(self) -> None:
        """Repeat one status."""
        msg = self.msglist_in.pull(block=True, timeout=5.0)
        if msg is not None and not msg.iscmd:
            self.msglist_out.push(msg.replace(sender=""))
