"""A port with a descriptor, which is read and written here, with time limits."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from contextlib import suppress
from typing import ClassVar, Protocol

from gateway.errors import DeviceError
from interfaces.serial_interface.ports.reasons import as_device_error, reason_of

READ_CHUNK = 2048
"""Bytes read at a time: a few milliseconds of work, after which waiting commands are written."""

READ_ALL = 65536
"""Bytes that are more than any driver's buffer holds: one read returns everything that has arrived."""


_INPUT_SPEED, _OUTPUT_SPEED = 4, 5  # where they stand in what `tcgetattr` returns
_DRAIN_INTERVAL = 0.005  # s


class Port(Protocol):
    """An open port. All methods but `fileno` raise `DeviceError` if the device has failed."""

    may_wait: ClassVar[bool]
    """Whether a read may wait for something else than the processor."""

    is_read_only: ClassVar[bool]
    """Whether nothing can be written."""

    def fileno(self) -> int | None:
        """Return the descriptor to wait on; None for ports without one."""

    def read(self, *, is_readable: bool) -> bytes:
        """Return the bytes that have arrived, without waiting; `is_readable`: whether the descriptor is readable."""

    def write(self, data: bytes) -> None:
        """Write `data`; raise `DeviceError` if the device accepts no byte within the write timeout."""

    def set_baudrate(self, speed: int) -> None:
        """Change the speed (bit/s) once everything has been sent; raise `DeviceError` if that is not possible."""

    def close(self) -> None:
        """Close the port, in whatever state it is; bytes that could not be written are dropped."""


class DescriptorPort:
    """An open serial line or TCP connection: one descriptor, read and written here. All methods raise `DeviceError`.

    pyserial keeps five descriptors for a port and waits with `select`, which fails beyond descriptor 1,023: with about
    200 ports. Therefore pyserial only opens the line. The settings and the lock belong to the open file, which stays
    open through the duplicated descriptor.
    """

    may_wait: ClassVar[bool] = False
    is_read_only: ClassVar[bool] = False
    hung_up: ClassVar[type[DeviceError]] = DeviceError
    """What is raised where the connection has failed at the other end."""
    ended: ClassVar[type[DeviceError]] = DeviceError
    """What is raised where the other end has closed the connection in order."""

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
        except ConnectionError as err:
            raise self.hung_up(reason_of(err)) from err
        except OSError as err:
            raise DeviceError(reason_of(err)) from err
        if not data:  # a descriptor that is readable, but has no bytes: the other end is closed
            raise self.ended("the device has closed the connection")
        return data

    def write(self, data: bytes) -> None:
        """Write `data`; raise `DeviceError` if the device accepts no byte within the write timeout."""
        remaining = memoryview(data)
        with as_device_error():
            while True:
                try:
                    remaining = remaining[os.write(self._fd, remaining) :]
                except BlockingIOError:
                    pass
                except ConnectionError as err:
                    raise self.hung_up(reason_of(err)) from err
                if not remaining:
                    return
                wait_ready(self._fd, select.POLLOUT, self._write_timeout)

    def set_baudrate(self, speed: int) -> None:
        """Change the speed (bit/s) once everything has been sent; raise `DeviceError` if that is not possible."""
        constant = getattr(termios, f"B{speed}", None)
        if constant is None or not os.isatty(self._fd):
            raise no_speed(speed)
        with as_device_error():
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
        with as_device_error():
            os.close(self._fd)


def no_speed(speed: int) -> DeviceError:
    """Return the error of a port whose speed cannot be changed to `speed` (bit/s)."""
    return DeviceError(f"its speed cannot be changed to {speed} bit/s")


def wait_ready(descriptor: int, events: int, timeout: float) -> None:
    """Wait until a descriptor is ready for `events` of `select.poll`; raise `DeviceError` after `timeout` seconds."""
    poll = select.poll()
    poll.register(descriptor, events)
    if not poll.poll(timeout * 1000):
        raise DeviceError(f"it accepted no data for {timeout:g} s")
