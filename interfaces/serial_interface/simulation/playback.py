"""A configuration, played against a script on a virtual clock: without port, broker and pause.

An hour of a conversation with its timeouts, retries, pauses and silence takes milliseconds, and is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.core.backoff import Backoff, no_jitter
from gateway.errors import DeviceError
from gateway.message import InternalMsg
from interfaces.serial_interface.options import SerialOptions
from interfaces.serial_interface.polling import earliest
from interfaces.serial_interface.reports import Reports
from interfaces.serial_interface.rules import SerialRules
from interfaces.serial_interface.session import Session
from interfaces.serial_interface.simulation.device import Event, SimulatedDevice
from interfaces.serial_interface.transaction import Outcome

_REOPEN_DELAYS = (0.5, 30.0)  # s: the first and the longest one until a lost port is opened again


class Playback:
    """The session with a simulated device, as the interface holds it, and time that passes only in `run`.

    `params` are the options of the serial interface, `script` those of the device; both are checked, and have their
    defaults. Everything is recorded with its time (s since the start), so that the length of a run is limited by the
    memory only: `messages`, `written` (by the gateway), `received` (from the device), and `line`: whether the port is
    open. `{time}` in a message begins with the year 1970.
    """

    def __init__(self, params: Mapping[str, Any], script: Mapping[str, Any], seed: int = 0) -> None:
        self.now = 0.0
        self.messages: list[tuple[float, InternalMsg]] = []
        self.written: list[tuple[float, bytes]] = []
        self.received: list[tuple[float, bytes]] = []
        self.line: list[tuple[float, bool]] = []
        self.events: list[tuple[float, Event]] = []
        """What the device has done."""
        self.device = SimulatedDevice(script, lambda event: self.events.append((self.now, event)), seed)
        self._options = SerialOptions.from_params(params)
        self._reports = Reports("played", lambda: self.now)
        self.session = Session(SerialRules(params, lambda: self.now), self._options, self._reports)
        self._backoff = Backoff(*_REOPEN_DELAYS, uniform=no_jitter)
        self._is_there = False  # the line to the device
        self._is_open = False
        self._opens_at: float | None = 0.0
        self._follow_line()

    @property
    def unanswered(self) -> list[bytes]:
        """The frames that the script has no answer for, or whose checksum is wrong: without their framing."""
        return [event.frame for _, event in self.events if event.frame is not None and not event.is_known]

    def submit(self, msg: InternalMsg) -> bool:
        """Send a command to the device; return whether it is for this device. Its outcome is a message."""
        if not self.session.rules.encoder.accepts(msg):
            return False
        if not self._is_open:
            self._add([msg.reply(Outcome.OFFLINE.value, "the device is offline")])
            return True
        refused = self.session.submit(msg, self.now)
        self._add([refused] if refused is not None else [])
        self._receive(b"")
        return True

    def run(self, seconds: float) -> None:
        """Pass this time. What is due exactly at its end is left to the next call."""
        end = self.now + seconds
        while True:
            self._follow_line()
            data = self.device.step(self.now)
            if data and self._is_open:
                self.received.append((self.now, data))
            if self._is_open:
                self._receive(data)
            if data:
                continue
            due = earliest(self.device.due(), self.session.due() if self._is_open else self._opens_at)
            if due is None or due >= end:
                self.now = end
                return
            self.now = max(self.now, due)

    def _follow_line(self) -> None:
        """Let the line come and go, and open and close the port."""
        is_there = self.device.is_plugged_in(self.now)
        if is_there != self._is_there:
            self._is_there = is_there
            if is_there:
                self.device.connect(self.now)
            else:
                self.device.disconnect()
        if self._is_open and not is_there:
            self._close()
        if not self._is_open and self._opens_at is not None and self.now >= self._opens_at:
            if is_there:
                self._is_open, self._opens_at = True, None
                self._backoff.reset()
                self.line.append((self.now, True))
                self.session.start(self.now)
            else:
                self._opens_at = self.now + self._backoff.next_delay()

    def _close(self) -> None:
        self._is_open = False
        self.line.append((self.now, False))
        self._add(self.session.end())
        self._opens_at = self.now + self._backoff.next_delay()

    def _receive(self, data: bytes) -> None:
        """Do what the interface does when it has read `data`."""
        session, now = self.session, self.now
        try:
            self._add(session.receive(data, now))
            if not data:  # everything that has arrived was read
                self._add(session.expire_partial_frame(now))
            self._add(session.step(now, self._write))
        except DeviceError:
            self._close()
            return
        if session.is_dead:
            session.report_dead()
            session.restart(now)

    def _write(self, data: bytes) -> None:
        if not self.device.is_plugged_in(self.now):
            raise DeviceError("the line is gone")
        self.written.append((self.now, data))
        self.device.receive(data, self.now)

    def _add(self, messages: Iterable[InternalMsg]) -> None:
        self.messages.extend((self.now, msg) for msg in messages)
