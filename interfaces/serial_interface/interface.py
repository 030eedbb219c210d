"""The serial interface: a device on a serial port that the configuration describes, without code.

This is the shell around `Session`: it owns the port and the clock. Everything else is in modules that have neither.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.core.inbox import MsgList
from gateway.core.proposal import Proposal
from gateway.core.tap import READ, TAP, WRITTEN
from gateway.core.trouble import Trouble
from gateway.devices.declaration import Signatures
from gateway.errors import DeviceError, Problem
from gateway.interface import DeviceInterface
from gateway.message import InternalMsg
from gateway.routing.command_index import Addresses
from gateway.routing.outlet import Outlet
from interfaces.serial_interface.followed import followed
from interfaces.serial_interface.options import SerialOptions
from interfaces.serial_interface.polling import earliest
from interfaces.serial_interface.ports.check import check_port
from interfaces.serial_interface.ports.descriptor_port import READ_ALL, READ_CHUNK, Port
from interfaces.serial_interface.ports.listen import ConnectionEndedError
from interfaces.serial_interface.ports.opener import make_opener
from interfaces.serial_interface.ports.reasons import hide_password
from interfaces.serial_interface.reports import Reports
from interfaces.serial_interface.rules import SerialRules, check_rules, command_addresses, rule_words
from interfaces.serial_interface.schema import read_schema
from interfaces.serial_interface.session import Session
from interfaces.serial_interface.signatures import signatures

if TYPE_CHECKING:
    from interfaces.serial_interface.simulation.device import SimulatedDevice

READ_LOCK = threading.Lock()
"""Held by the one interface of the process that reads and decodes.

Python runs one thread at a time anyway, but where many threads are ready, its own lock passes to another thread at each
system call. Threads that wait here do not compete for it: with a hundred devices, throughput is 40 % higher. The lock
must not be held during anything that waits, or that takes long without Python's lock.
"""
_NO_LOCK = nullcontext()

_POLL_INTERVAL = 0.05  # s between two reads of a port without a descriptor (rfc2217://, loop://)


class SerialInterface(DeviceInterface):
    """Connects one serial device: `decode` rules make messages of its frames, `encode` rules write commands to it."""

    answers_at_close = True

    SCHEMA: ClassVar[Mapping[str, Any]] = read_schema()

    @classmethod
    def check(cls, params: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield the problems of the port and the rules that the schema cannot find."""
        yield from check_port(params)
        yield from check_rules(params)

    @classmethod
    def words(cls, params: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
        """Yield the words that the rules put into messages whatever the device sends."""
        yield from rule_words(params)

    @classmethod
    def addresses(cls, params: Mapping[str, Any]) -> Addresses:
        """Return the addresses of the commands that the rules match, without their actions."""
        return command_addresses(params)

    @classmethod
    def explain_frame(cls, params: Mapping[str, Any], data: bytes) -> Iterator[str | InternalMsg | Problem]:
        """Yield what becomes of bytes from the device."""
        from interfaces.serial_interface.explain import explain_frame  # only for `check`, not for a run

        yield from explain_frame(params, data, time.time)

    @classmethod
    def explain_command(cls, params: Mapping[str, Any], msg: InternalMsg) -> Iterator[str | Problem]:
        """Yield what is written for a command."""
        from interfaces.serial_interface.explain import explain_command

        yield from explain_command(params, msg, time.time)

    @classmethod
    def propose(cls, params: Mapping[str, Any], frames: Sequence[bytes], name: str) -> Proposal:
        """Return rules that take `frames`, or ignore them."""
        from gateway.configuration.schemas import interface_schema  # only for the page
        from interfaces.serial_interface.propose import propose

        return propose(params, frames, name, interface_schema(cls))

    @classmethod
    def simulated_device(cls) -> type[SimulatedDevice]:
        """Return the class of the devices that a script describes."""
        from interfaces.serial_interface.simulation.device import SimulatedDevice  # only for `simulate`, not for a run

        return SimulatedDevice

    @classmethod
    def signatures(cls, params: Mapping[str, Any]) -> Signatures:
        """Return what is known of the messages that the rules make, and of the commands that they write."""
        return signatures(params)

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        self.options = SerialOptions.from_params(params)
        reports = Reports(msglist_out.name, self.clock)
        self.session = Session(
            SerialRules(params, time.time),
            self.options,
            reports,
            self._on_request_ended,
            msglist_out.values_unreadable,
            self._set_speed,
        )
        self._opener = make_opener(self.options.port)
        self.port: Port | None = None
        self.measures_silence = self.session.measures_silence
        self._uses_read_lock = False
        self._last_read = 0.0

    def reconfigure(self, params: Mapping[str, Any]) -> bool:
        """Use other rules while the port stays open; return False if another option has changed, so it must not."""
        # The requests were built with the address, so that a new address needs new requests.
        replaceable = {"decode", "decode_every_rule", "encode", *(() if self.session.has_requests else ("address",))}
        if any(params.get(name) != self.params.get(name) for name in {*params, *self.params} - replaceable):
            return False
        self.session.use_rules(SerialRules(params, time.time))
        self.params = params
        self._update_read_lock_use()
        return True

    def stats(self) -> dict[str, int]:
        """Return the counters of the device since the start of the interface. Any thread may call this.

        Frames: `frames_received`, of which dropped: `frames_bad_checksum`, `frames_unreadable`, `frames_unmatched`
        (`unmatched_kinds` different ones), `frames_ignored`, `frames_unjoined` (collected by a `join`, and the others
        of their text have not come); `answers_received`, of which `answers_late` came after the timeout, and
        `answers_unattributed`, which were dropped because nobody knows which request they answer. What was written and
        came back, so that it was taken off: `echoes_removed`. Values that could not be converted, while others of the
        frame could: `values_unreadable`. Bytes outside of frames: `bytes_discarded`, `partial_frames_discarded`.
        Writing: `frames_sent`, of which `replies_sent`; replies that were too many: `replies_dropped`; how commands,
        and opening requests and polls have ended: `commands_...` and `requests_...` with `done`, `timed_out`,
        `refused`, `offline`. How often the port was opened again because nothing answered: `ports_reopened`.
        """
        return self.session.stats()

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong with what the device sends, or does not answer."""
        return self.session.reception.trouble(self.clock()) if self.is_open else None

    def _update_read_lock_use(self) -> None:
        """Decide whether reads wait for the lock.

        They must not where silence is measured, because it is measured from read to read; nor where pyserial reads,
        because that may wait; nor where a frame may take long to decode.
        """
        may_wait = self.port is None or self.port.may_wait
        self._uses_read_lock = not may_wait and not self.measures_silence and self.session.rules.is_quick

    # --- the port

    def open(self) -> None:
        """Open the port and begin the conversation."""
        self._open()
        self.session.start(self.clock())

    def _open(self) -> None:
        # Where silence is measured, the time between two reads of a long burst would count as silence.
        port = self._opener.open(READ_ALL if self.measures_silence else READ_CHUNK)
        if port.is_read_only and self.session.writes:
            port.close()
            raise DeviceError("it can only be read, but encode, opening or polls would write to it")
        self.port = port
        self._update_read_lock_use()

    def close(self) -> None:
        """Close the port; commands that have not ended get their outcome: offline."""
        port, self.port = self.port, None
        for reply in self.session.end():
            self.msglist_out.push(reply)
        if port is not None:
            port.close()

    def _reopen(self) -> None:
        """Close the port and open it again, because nothing answers: an adapter may hang, or a connection be lost.

        The device does not become offline for that: whoever is silent is known from its readings. Raises `DeviceError`
        if the port cannot be opened; then it does.
        """
        self.session.report_dead()
        self._watch(-1)
        port, self.port = self.port, None
        if port is not None:
            with suppress(DeviceError):
                port.close()
        self._open()
        self.session.restart(self.clock())
        fd = self.fileno()
        self._watch(-1 if fd is None else fd)

    def fileno(self) -> int | None:
        """Return the descriptor of the port, if it has one."""
        return self.port.fileno() if self.port is not None else None

    def opening_fileno(self) -> int | None:
        """Return the descriptor that becomes readable when the device connects to the gateway, if it listens."""
        return self._opener.fileno()

    def loop_stop(self) -> None:
        """Close the port, and listen for the device no longer."""
        try:
            super().loop_stop()
        finally:
            self._opener.close()

    def describe(self) -> str:
        """Return the name of the port, without a password that its URL may contain."""
        return hide_password(self.options.port.port)

    def time_to_read(self) -> float | None:
        """Return in how many seconds something is due that no byte from the device will cause, or None."""
        due = self.session.due()
        if self.fileno() is None:
            due = earliest(due, self._last_read + _POLL_INTERVAL)
        return None if due is None else due - self.clock()

    # --- messages

    def read(self) -> Iterable[InternalMsg]:
        """Return the messages of all complete frames, and do what is due."""
        messages: list[InternalMsg] = []
        session = self.session
        try:
            with READ_LOCK if self.is_readable and self._uses_read_lock else _NO_LOCK:
                now = heard_until = self._last_read = self.clock()
                if not self.is_readable and self.fileno() is not None:
                    heard_until = self.listened_until  # what has come since then is not read below
                session.codec.framer.restart_silence(self.listening_since)
                data = self._open_port().read(is_readable=self.is_readable)
                if data:
                    self.heard_at = now
                    if (wire := TAP.wire) is not None:
                        wire.note(self.msglist_out.name, READ, data)
                if (recorder := TAP.recorder) is None:
                    messages.extend(session.receive(data, heard_until))
                else:
                    work = partial(session.receive, data, heard_until)
                    messages.extend(followed(recorder, self.msglist_out.name, session, work, data))
                self.understood_at = session.understood_at
        except ConnectionEndedError:
            yield from messages
            yield from session.finish(heard_until)
            raise
        except Exception:
            yield from messages  # the messages before the error are valid
            raise
        yield from messages
        if (recorder := TAP.recorder) is None:
            yield from session.expire_partial_frame(heard_until)
        else:
            work = partial(session.expire_partial_frame, heard_until)
            yield from followed(recorder, self.msglist_out.name, session, work)
        yield from session.step(now, self._write)
        if session.is_dead:
            self._reopen()

    def accepts(self, msg: InternalMsg) -> bool:
        """Return whether `msg` is a command for this device."""
        return self.session.rules.encoder.accepts(msg)

    def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
        """Queue a command and write it if the device is free; its outcome follows as a status."""
        if not self.accepts(msg):
            return
        now = self.clock()
        refused = self.session.submit(msg, now)
        if refused is not None:
            yield refused
            return
        yield from self.session.step(now, self._write)

    def ask(self, actions: Collection[str]) -> None:
        """Make the polls due whose answers make a message with one of these actions."""
        self.session.ask(actions, self.clock())

    def _on_request_ended(self, messages: Sequence[InternalMsg], is_answered: bool) -> None:
        """Pass on that a request for `messages` was answered without them, or not at all."""
        if is_answered:
            self.msglist_out.request_refused(messages)
        else:
            self.msglist_out.request_unanswered(messages)

    def _write(self, data: bytes) -> None:
        self._open_port().write(data)
        if (wire := TAP.wire) is not None:
            wire.note(self.msglist_out.name, WRITTEN, data)

    def _set_speed(self, speed: int) -> None:
        self._open_port().set_baudrate(speed or self.options.port.baudrate)

    def _open_port(self) -> Port:
        if self.port is None:
            raise DeviceError("the port is not open")
        return self.port
