"""The port of a serial device: opened by pyserial with all its settings, read and written with time limits.

The exceptions of pyserial, of the terminal driver and of sockets become `DeviceError` here.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import socket
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import serial

from gateway.errors import DeviceError
from interfaces.serial_interface.options import PortOptions

READ_CHUNK = 2048
"""Bytes read at a time: a few milliseconds of work, after which waiting commands are written."""

READ_ALL = 65536
"""Bytes that are more than any driver's buffer holds: one read returns everything that has arrived."""

_INPUT_SPEED, _OUTPUT_SPEED = 4, 5  # where they stand in what `tcgetattr` returns
_DRAIN_INTERVAL = 0.005  # s
_CONNECT_TIMEOUT = 5.0  # s, as in pyserial
_KEEPALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
"""After 60 s of silence, a probe every 10 s; the connection has failed when three of them are not answered."""

_PARITIES = {
    "none": serial.PARITY_NONE,
    "even": serial.PARITY_EVEN,
    "odd": serial.PARITY_ODD,
    "mark": serial.PARITY_MARK,
    "space": serial.PARITY_SPACE,
}


class DescriptorPort:
    """An open serial line or TCP connection: one descriptor, read and written here. All methods raise `DeviceError`.

    pyserial keeps five descriptors for a port and waits with `select`, which fails beyond descriptor 1,023: with about
    200 ports. Therefore pyserial only opens the line. The settings and the lock belong to the open file, which stays
    open through the duplicated descriptor.
    """

    def __init__(self, descriptor: int, write_timeout: float, read_size: int = READ_CHUNK) -> None:
        self._fd = descriptor
        self.read_size = read_size
        self._write_timeout = write_timeout
        os.set_blocking(descriptor, False)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._fd

    def read(self, *, is_readable: bool) -> bytes:
        """Return the bytes that have arrived, without waiting; `is_readable`: whether the descriptor is readable."""
        if not is_readable:
            return b""
        try:
            data = os.read(self._fd, self.read_size)
        except BlockingIOError:
            return b""
        except OSError as err:
            raise DeviceError(_reason(err)) from err
        if not data:  # a descriptor that is readable, but has no bytes: the other end is closed
            raise DeviceError("the device has closed the connection")
        return data

    def write(self, data: bytes) -> None:
        """Write `data`; raise `DeviceError` if the device accepts no byte within the write timeout."""
        remaining = memoryview(data)
        with _as_device_error():
            while True:
                with suppress(BlockingIOError):
                    remaining = remaining[os.write(self._fd, remaining) :]
                if not remaining:
                    return
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                if not poll.poll(self._write_timeout * 1000):
                    raise DeviceError(f"it accepted no data for {self._write_timeout:g} s")

    def set_baudrate(self, speed: int) -> None:
        """Change the speed (bit/s) once everything has been sent; raise `DeviceError` if that is not possible."""
        constant = getattr(termios, f"B{speed}", None)
        if constant is None:
            raise DeviceError(f"it cannot be changed to {speed} bit/s")
        with _as_device_error():
            self._drain()
            settings = termios.tcgetattr(self._fd)
            settings[_INPUT_SPEED] = settings[_OUTPUT_SPEED] = constant
            termios.tcsetattr(self._fd, termios.TCSANOW, settings)

    def _drain(self) -> None:
        """Wait until everything has been sent. `tcdrain` alone would never return if the device accepts nothing."""
        deadline = time.monotonic() + self._write_timeout
        while struct.unpack("i", fcntl.ioctl(self._fd, termios.TIOCOUTQ, bytes(4)))[0]:
            if time.monotonic() > deadline:
                raise DeviceError(f"it accepted no data for {self._write_timeout:g} s")
            time.sleep(_DRAIN_INTERVAL)
        termios.tcdrain(self._fd)  # what is left is in the hardware

    def close(self) -> None:
        """Close the port, in whatever state it is; bytes that could not be written are dropped."""
        with suppress(OSError, termios.error):
            termios.tcflush(self._fd, termios.TCOFLUSH)  # else closing waits for a device that has stopped reading
        with _as_device_error():
            os.close(self._fd)


class LibraryPort:
    """An open rfc2217://, loop:// or spy:// port, which only pyserial can read and write. Raises `DeviceError`."""

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
        with _as_device_error():
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
            with _as_device_error():
                self._port.write(data)
        except DeviceError as err:
            if isinstance(err.__cause__, serial.SerialTimeoutException):
                raise DeviceError(f"it accepted no data for {self._write_timeout:g} s") from err
            raise

    def set_baudrate(self, speed: int) -> None:
        """Change the speed (bit/s) once everything has been sent; raise `DeviceError` if that is not possible."""
        with _as_device_error():
            self._port.flush()
            self._port.baudrate = speed

    def close(self) -> None:
        """Close the port, in whatever state it is; bytes that could not be written are dropped."""
        if isinstance(self._port, serial.Serial):
            with suppress(OSError, termios.error):
                self._port.reset_output_buffer()  # else closing waits for a device that has stopped reading
        with _as_device_error():
            self._port.close()
        transcript = getattr(getattr(self._port, "formatter", None), "output", None)  # spy:// leaves its file open
        if transcript is not None and transcript is not sys.stderr:
            transcript.close()


Port: TypeAlias = DescriptorPort | LibraryPort


def open_port(options: PortOptions, read_size: int = READ_CHUNK) -> Port:
    """Open the port that `options` describe; a read returns at most `read_size` bytes. Raises `DeviceError`."""
    url, write_timeout = options.port, options.write_timeout
    with _as_device_error():
        port: Any = serial.serial_for_url(url, do_not_open=True)
        if url.startswith("socket:"):
            return DescriptorPort(_connect(port.from_url(url)), write_timeout, read_size)
        _configure(port, options)
        port.open()
        if not isinstance(port, serial.Serial) or url.startswith("spy:"):
            return LibraryPort(port, write_timeout)
        try:
            return DescriptorPort(os.dup(port.fileno()), write_timeout, read_size)
        finally:
            port.close()


def _connect(address: tuple[str, int]) -> int:
    connection = socket.create_connection(address, _CONNECT_TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Without this, a device that only sends, and that lost its power, would be waited for for ever.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    return connection.detach()


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


def hide_password(port: str) -> str:
    """Return the name of a port, with a password in its URL replaced by asterisks."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", port)


@contextmanager
def _as_device_error() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, termios.error) as err:  # SerialException is an OSError
        raise DeviceError(_reason(err)) from err


_REASONS = {
    # by errno of Linux
    2: "there is no such device",
    5: "it was unplugged or has failed",
    6: "it was unplugged or has failed",
    11: "another program or interface has it open",
    13: "no permission: add the user to the group dialout",
    16: "another program or interface has it open",
    111: "nothing listens there",
}


def _reason(err: Exception) -> str:
    """Return what an error means, in words, without the text that pyserial puts around it."""
    number = getattr(err, "errno", None)
    if number is None and err.args and isinstance(err.args[0], int):
        number = err.args[0]  # termios.error
    text = hide_password(" ".join(str(err).split())) or type(err).__name__
    in_text = re.search(r"\[Errno (\d+)\]", text)  # pyserial's own errors contain that of the system as text
    if number is None and in_text:
        number = int(in_text[1])
    if number in _REASONS:
        return _REASONS[number]
    if "exclusively lock" in text:
        return _REASONS[11]
    return os.strerror(number) if isinstance(number, int) else text
