"""The serial interface: a device on a serial port, described in the configuration, without code.

The shell around framer and codec: it owns the port, and turns what pyserial raises into `DeviceError`.
"""

from __future__ import annotations

import json
import logging
import os
import termios
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any, ClassVar

import serial

from gateway.errors import DeviceError
from gateway.interface import DeviceInterface, Problem
from gateway.mailbox import MsgList
from gateway.message import InternalMsg
from gateway.outlet import Outlet
from gateway.throttled_exception import ThrottledException
from interfaces.codec import CodecError, Decoder, DecodeRule, Encoder, EncodeRule, check_rules
from interfaces.framer import LineFramer

LOG = logging.getLogger(__name__)

_CHUNK = 65536  # bytes read at a time: more than any driver's buffer
_POLL = 0.05  # s between two looks at a port without a descriptor (rfc2217://, loop://)
_PARITIES = {
    "none": serial.PARITY_NONE,
    "even": serial.PARITY_EVEN,
    "odd": serial.PARITY_ODD,
    "mark": serial.PARITY_MARK,
    "space": serial.PARITY_SPACE,
}


class FrameRefused(ThrottledException):
    """A frame that no rule takes, or that does not fit its rule."""


class SerialInterface(DeviceInterface):
    """Bridges one serial device: `decode` rules make messages of its frames, `encode` rules write commands."""

    SCHEMA: ClassVar[Mapping[str, Any]] = json.loads(
        (resources.files("interfaces") / "serial_schema.json").read_text(encoding="utf-8")
    )

    @classmethod
    def check(cls, params: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield what is wrong with the rules, beyond their schema."""
        yield from check_rules(params)

    def __init__(self, params: Mapping[str, Any], msglist_in: MsgList, msglist_out: Outlet) -> None:
        super().__init__(params, msglist_in, msglist_out)
        framing, address = params["framing"], params["address"]
        terminators = framing["terminator"]
        terminators = [terminators] if isinstance(terminators, str) else terminators
        encoding = params["encoding"]
        end = framing.get("write_terminator", terminators[0]).encode(encoding)
        self._framer = LineFramer([t.encode(encoding) for t in terminators], framing["max_length"])
        self._decoder = Decoder([DecodeRule(rule, address) for rule in params["decode"]], encoding)
        self._encoder = Encoder([EncodeRule(rule, address) for rule in params["encode"]], end, encoding)
        self._port: serial.SerialBase | None = None
        self.frames = self.unmatched = 0

    def open(self) -> None:
        """Open the port; an exclusive lock keeps a second program from reading half of the frames."""
        params = self.params
        port: serial.SerialBase | None = None
        try:
            port = serial.serial_for_url(params["port"], do_not_open=True)
            port.baudrate = params["baudrate"]
            port.bytesize = params["bytesize"]
            port.parity = _PARITIES[params["parity"]]
            port.stopbits = params["stopbits"]
            for name in ("rtscts", "xonxoff", "dsrdtr"):
                setattr(port, name, params["flow_control"] == name)
            port.timeout = 0
            port.write_timeout = params["write_timeout"]
            if isinstance(port, serial.Serial):
                port.exclusive = True
            port.open()
        except (OSError, ValueError, termios.error) as err:
            raise DeviceError(_reason(err)) from err
        self._port = port
        self.read_interval = _POLL if self.fileno() is None else None
        self._framer.reset()

    def close(self) -> None:
        """Close the port, whatever state it is in."""
        port, self._port = self._port, None
        if port is not None:
            try:
                port.close()
            except termios.error as err:
                raise DeviceError(_reason(err)) from err

    def fileno(self) -> int | None:
        """Return the descriptor of the port, if it has one."""
        try:
            return self._port.fileno() if self._port is not None else None
        except (AttributeError, OSError):  # io.UnsupportedOperation is one
            return None

    def read(self) -> Iterable[InternalMsg]:
        """Return the messages of all frames that are complete."""
        for frame in self._framer.feed(self._read_port()):
            self.frames += 1
            try:
                messages = self._decoder.decode(frame)
            except CodecError as err:
                self._refuse(frame, str(err))
                continue
            if messages is None:
                self._refuse(frame, "no rule matches")
            else:
                yield from messages

    def write(self, msg: InternalMsg) -> Iterable[InternalMsg]:
        """Write a command to the device and return its answer."""
        if not self.accepts(msg):
            return ()
        try:
            frame = self._encoder.encode(msg)
        except CodecError as err:
            return (msg.reply("ERROR", str(err)),)
        self._write_port(frame)
        return (msg.reply("OK"),)

    def accepts(self, msg: InternalMsg) -> bool:
        """Tell whether `msg` is a command for this device."""
        return self._encoder.accepts(msg)

    def describe(self) -> str:
        """Name the port, without a password that its URL may hold."""
        return str(self.params["port"])

    def _read_port(self) -> bytes:
        port = self._opened()
        try:
            fd = self.fileno()
            if fd is None:
                return bytes(port.read(max(1, port.in_waiting)))
            # One system call for all that is there; pyserial's own read() asks select first, twice.
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return b""
        except (OSError, termios.error) as err:
            raise DeviceError(_reason(err)) from err
        if not data:  # readable, and nothing there: that is how a port says that the other end is gone
            raise DeviceError("the device has hung up")
        return data

    def _write_port(self, data: bytes) -> None:
        try:
            self._opened().write(data)
        except serial.SerialTimeoutException as err:
            raise DeviceError(f"it took no bytes for {self.params['write_timeout']:g} s") from err
        except (OSError, termios.error) as err:
            raise DeviceError(_reason(err)) from err

    def _opened(self) -> Any:
        if self._port is None:
            raise DeviceError("it is not open")
        return self._port

    def _refuse(self, frame: bytes, why: str) -> None:
        self.unmatched += 1
        name = self.msglist_out.name
        refused = FrameRefused(f"{name}: frame dropped: {why}: {_shown(frame)}", key=f"{name} {why}", period=600.0)
        if refused.trigger:
            LOG.info(refused.report)


def _shown(frame: bytes) -> str:
    """Write a frame so that no byte of it can do anything to a terminal or a log."""
    text = ascii(frame)[1:]
    return text if len(text) <= 120 else f"{text[:116]}...'"


def _reason(err: Exception) -> str:
    """Say what pyserial means, without its wrapping."""
    number = getattr(err, "errno", None)
    if number is None and err.args and isinstance(err.args[0], int):
        number = err.args[0]  # termios.error
    known = {
        2: "there is no such device",
        5: "it was unplugged or has failed",
        11: "another program has it open",
        13: "no permission: add the user to the group dialout",
        16: "another program has it open",
    }
    text = " ".join(str(err).split()) or type(err).__name__
    if number in known:
        return known[number]
    if "exclusively lock" in text:
        return known[11]
    return os.strerror(number) if isinstance(number, int) else text
