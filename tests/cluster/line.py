"""A device that sends numbered lines as long as it is asked to, and notes which commands it has received."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.device import PtyDevice
from tests.support.ledger import Entry
from tests.support.waiting import wait_until

DEVICES = ("d0", "d1", "d2")
_PAUSE = 0.02  # s between two writes


def interface(path: Path) -> dict[str, object]:
    """Return the options of the interface for this device."""
    decode = [
        {"regex": f"{device} (?P<n>[0-9]+)", "values": {"n": "int"},
         "message": {"device": device, "action": "N", "arguments": {"number": "{n}"}}}
        for device in DEVICES
    ]  # fmt: skip
    arguments = {"n": {"type": "integer"}}
    return {
        "type": "serial",
        "port": str(path),
        "framing": {"terminator": "\n"},
        "address": {"function": "load"},
        "decode": decode,
        "encode": [{"match": {"device": DEVICES[0], "action": "PING"}, "arguments": arguments, "write": "PING {n}"}],
        "devices": [{"id": "d0", "address": {"device": "d0"}, "points": {"number": {"from": "N.number"}}}],
    }


class Line:
    """Sends `rate` lines a second of the devices in turn; `sent` are those that the gateway has to deliver."""

    def __init__(self, folder: Path, rate: float) -> None:
        self.device = PtyDevice(folder)
        self.sent: list[Entry] = []
        self._rate = rate
        self._pings: dict[int, float] = {}  # when each command came
        self._is_over = threading.Event()
        self._may_send = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._may_send.set()
        self._thread.join(30)
        self.device.unplug()

    def start(self) -> None:
        self._may_send.set()

    def stop(self) -> None:
        """Return once no more lines are sent."""
        self._is_over.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def ping_received(self, first: int) -> float | None:
        """Return when the first command with the number `first` or a higher one came; None if none did."""
        return min((at for number, at in list(self._pings.items()) if number >= first), default=None)

    def _run(self) -> None:
        self._may_send.wait()
        began = time.monotonic()
        while not self._is_over.wait(_PAUSE):
            due = int((time.monotonic() - began) * self._rate)
            entries = [(DEVICES[n % len(DEVICES)], n) for n in range(len(self.sent), due)]
            self.device.write("".join(f"{device} {number}\n" for device, number in entries).encode())
            self.sent += entries
            received = self.device.read_available()
            for number in re.findall(rb"PING (\d+)\n", received):
                self._pings.setdefault(int(number), time.monotonic())
            self.device.received = received.rpartition(b"\n")[2]

    def wait_sent(self, count: int) -> None:
        wait_until(lambda: len(self.sent) >= count, 60, f"{count} lines to be sent")
