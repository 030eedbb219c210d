"""The port of a serial device: opened by pyserial with all its settings, read and written without blocking for ever.

What pyserial, the terminal driver and sockets raise becomes `DeviceError` here.
"""

from __future__ import annotations

import os
import re
import select
import socket
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import serial

from gateway.errors import DeviceError

_TURN = 2048  # bytes read at a time: some milliseconds of work, after which commands have their turn
_ALL = 65536  # more than any driver's buffer: what comes together is taken together
_CONNECT_TIMEOUT = 5.0  # s, as pyserial has it
_PARITIES = {
    "none": serial.PARITY_NONE,
    "even": serial.PARITY_EVEN,
    "odd": serial.PARITY_ODD,
    "mark": serial.PARITY_MARK,
    "space": serial.PARITY_SPACE,
}


class DescriptorPort:
    """An open serial line or TCP connection: one descriptor, read and written here. Raises `DeviceError` throughout.

    pyserial keeps five descriptors for a port and waits with `select`, which fails beyond descriptor 1,023: some 200
    ports. So it only opens the line: what holds the settings and the lock is the open file, and that is kept.
    """

    def __init__(self, descriptor: int, write_timeout: float, chunk: int = _TURN) -> None:
        self._fd = descriptor
        self._chunk = chunk
        self._write_timeout = write_timeout
        os.set_blocking(descriptor, False)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._fd

    def read(self, *, is_readable: bool) -> bytes:
        """Return what is there, without waiting; `is_readable` tells that the descriptor says there is something."""
        if not is_readable:
            return b""
        try:
            data = os.read(self._fd, self._chunk)
        except BlockingIOError:
            return b""
        except OSError as err:
            raise DeviceError(_reason(err)) from err
        if not data:  # readable, and nothing there: that is how a port says that the other end is gone
            raise DeviceError("the device has hung up")
        return data

    def write(self, data: bytes) -> None:
        """Write `data`; a device that takes none of it within the write timeout has failed."""
        rest = memoryview(data)
        with _as_device_error():
            while True:
                with suppress(BlockingIOError):
                    rest = rest[os.write(self._fd, rest) :]
                if not rest:
                    return
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                if not poll.poll(self._write_timeout * 1000):
                    raise DeviceError(f"it took no bytes for {self._write_timeout:g} s")

    def close(self) -> None:
        """Close the port, whatever state it is in; what could not be written is dropped."""
        with suppress(OSError, termios.error):
            termios.tcflush(self._fd, termios.TCOFLUSH)  # or closing waits for a device that stopped reading
        with _as_device_error():
            os.close(self._fd)


class LibraryPort:
    """An open rfc2217://, loop:// or spy://, which only pyserial can read and write. Raises `DeviceError`."""

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
        """Return what is there, without waiting."""
        data = bytearray()
        with _as_device_error():
            try:
                while len(data) < _ALL and (more := self._port.read(_ALL - len(data))):  # rfc2217:// gives single bytes
                    data += more
            except OSError:
                if not data:  # or the next read meets the end again
                    raise
        return bytes(data)

    def write(self, data: bytes) -> None:
        """Write `data`; a device that takes none of it within the write timeout has failed."""
        try:
            with _as_device_error():
                self._port.write(data)
        except DeviceError as err:
            if isinstance(err.__cause__, serial.SerialTimeoutException):
                raise DeviceError(f"it took no bytes for {self._write_timeout:g} s") from err
            raise

    def close(self) -> None:
        """Close the port, whatever state it is in; what could not be written is dropped."""
        if isinstance(self._port, serial.Serial):
            with suppress(OSError, termios.error):
                self._port.reset_output_buffer()  # or closing waits for a device that stopped reading
        with _as_device_error():
            self._port.close()
        notes = getattr(getattr(self._port, "formatter", None), "output", None)  # spy:// leaves its file open
        if notes is not None and notes is not sys.stderr:
            notes.close()


Port: TypeAlias = DescriptorPort | LibraryPort


def open_port(params: Mapping[str, Any]) -> Port:
    """Open the port that `params`, the options of the serial interface, describe. Raises `DeviceError`."""
    url, write_timeout = params["port"], params["write_timeout"]
    chunk = _ALL if params["framing"]["type"] == "gap" else _TURN  # there, time between two reads would be silence
    with _as_device_error():
        port: Any = serial.serial_for_url(url, do_not_open=True)
        if url.startswith("socket:"):
            return DescriptorPort(_connect(port.from_url(url)), write_timeout, chunk)
        _set(port, params)
        port.open()
        if not isinstance(port, serial.Serial) or url.startswith("spy:"):
            return LibraryPort(port, write_timeout)
        try:
            return DescriptorPort(os.dup(port.fileno()), write_timeout, chunk)
        finally:
            port.close()


def _connect(address: tuple[str, int]) -> int:
    connection = socket.create_connection(address, _CONNECT_TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection.detach()


def _set(port: Any, params: Mapping[str, Any]) -> None:
    port.baudrate = params["baudrate"]
    port.bytesize = params["bytesize"]
    port.parity = _PARITIES[params["parity"]]
    port.stopbits = params["stopbits"]
    for name in ("rtscts", "xonxoff", "dsrdtr"):
        setattr(port, name, params["flow_control"] == name)
    port.timeout = 0
    if not params["port"].startswith("rfc2217:"):  # there, pyserial has none of its own, but 5 s for its socket
        port.write_timeout = params["write_timeout"]
    for name in ("dtr", "rts"):
        if name in params:
            setattr(port, name, params[name])
    if isinstance(port, serial.Serial):
        port.exclusive = params["exclusive"]  # or a second program would read half of the frames


def hide_password(port: str) -> str:
    """Return the name of a port without a password that its URL may hold."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", port)


@contextmanager
def _as_device_error() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, termios.error) as err:  # SerialException is an OSError
        raise DeviceError(_reason(err)) from err


_REASONS = {
    2: "there is no such device",
    5: "it was unplugged or has failed",
    6: "it was unplugged or has failed",
    11: "another program has it open",
    13: "no permission: add the user to the group dialout",
    16: "another program has it open",
    111: "nothing listens there",
}


def _reason(err: Exception) -> str:
    """Say what an error means, without pyserial's wrapping."""
    number = getattr(err, "errno", None)
    if number is None and err.args and isinstance(err.args[0], int):
        number = err.args[0]  # termios.error
    text = hide_password(" ".join(str(err).split())) or type(err).__name__
    quoted = re.search(r"\[Errno (\d+)\]", text)  # pyserial's own errors hold the system's as text
    if number is None and quoted:
        number = int(quoted[1])
    if number in _REASONS:
        return _REASONS[number]
    if "exclusively lock" in text:
        return _REASONS[11]
    return os.strerror(number) if isinstance(number, int) else text
