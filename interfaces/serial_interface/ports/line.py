"""Serial lines, and what else pyserial opens: rfc2217://, loop://, spy://."""

from __future__ import annotations

import os
import socket
import sys
import termios
from contextlib import suppress
from typing import Any, ClassVar

import serial

from gateway.errors import DeviceError
from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.descriptor_port import READ_ALL, DescriptorPort, Port
from interfaces.serial_interface.ports.network import notice_loss
from interfaces.serial_interface.ports.reasons import as_device_error

_PARITIES = {
    "none": serial.PARITY_NONE,
    "even": serial.PARITY_EVEN,
    "odd": serial.PARITY_ODD,
    "mark": serial.PARITY_MARK,
    "space": serial.PARITY_SPACE,
}


class LibraryPort:
    """An open rfc2217://, loop:// or spy:// port, which only pyserial can read and write. Raises `DeviceError`."""

    may_wait: ClassVar[bool] = True
    is_read_only: ClassVar[bool] = False

    def __init__(self, port: Any, write_timeout: float) -> None:
        self._port = port
        self._write_timeout = write_timeout

    def fileno(self) -> int | None:
        """Return the descriptor to wait on; None for ports without one (rfc2217://, loop://)."""
        try:
            return int(self._port.fileno())
        except (AttributeError, OSError, TypeError):  # io.UnsupportedOperation is an OSError
            return None

    def read(self, *, is_readable: bool) -> bytes:  # noqa: ARG002
        """Return the bytes that have arrived, without waiting."""
        data = bytearray()
        with as_device_error():
            try:
                # A loop, because rfc2217:// returns single bytes.
                while len(data) < READ_ALL and (more := self._port.read(READ_ALL - len(data))):
                    data += more
            except OSError:
                if not data:  # bytes before the error are delivered first; the next read raises it again
                    raise
        return bytes(data)

    def write(self, data: bytes) -> None:
        """Write `data`; raise `DeviceError` if the device accepts no byte within the write timeout."""
        try:
            with as_device_error():
                self._port.write(data)
        except DeviceError as err:
            if isinstance(err.__cause__, serial.SerialTimeoutException):
                raise DeviceError(f"it accepted no data for {self._write_timeout:g} s") from err
            raise

    def set_baudrate(self, speed: int) -> None:
        """Change the speed (bit/s) once everything has been sent; raise `DeviceError` if that is not possible."""
        with as_device_error():
            self._port.flush()
            self._port.baudrate = speed

    def close(self) -> None:
        """Close the port, in whatever state it is; bytes that could not be written are dropped."""
        if isinstance(self._port, serial.Serial):
            with suppress(OSError, termios.error):
                self._port.reset_output_buffer()  # else closing waits for a device that has stopped reading
        with as_device_error():
            self._port.close()
        transcript = getattr(getattr(self._port, "formatter", None), "output", None)  # spy:// leaves its file open
        if transcript is not None and transcript is not sys.stderr:
            transcript.close()


def open_line(options: PortOptions, read_size: int) -> Port:
    """Open what pyserial knows under `options.port`, with all settings of the line. Raises `DeviceError`."""
    url, write_timeout = options.port, options.write_timeout
    with as_device_error():
        port: Any = serial.serial_for_url(url, do_not_open=True)
        _configure(port, options)
        port.open()
        if not isinstance(port, serial.Serial) or url.startswith("spy:"):
            connection = getattr(port, "_socket", None)  # of rfc2217://; pyserial itself sets no keepalive
            if isinstance(connection, socket.socket):
                notice_loss(connection)
            return LibraryPort(port, write_timeout)
        try:
            return DescriptorPort(os.dup(port.fileno()), write_timeout, read_size)
        finally:
            port.close()


def _configure(port: Any, options: PortOptions) -> None:
    port.baudrate = options.baudrate
    port.bytesize = options.bytesize
    port.parity = _PARITIES[options.parity]
    port.stopbits = options.stopbits
    for name in ("rtscts", "xonxoff", "dsrdtr"):
        setattr(port, name, options.flow_control == name)
    port.timeout = 0
    if not options.port.startswith("rfc2217:"):  # pyserial supports no write timeout there; its socket has one of 5 s
        port.write_timeout = options.write_timeout
    if options.dtr is not None:
        port.dtr = options.dtr
    if options.rts is not None:
        port.rts = options.rts
    if isinstance(port, serial.Serial):
        port.exclusive = options.exclusive  # without the lock, a second program would read half of the frames
