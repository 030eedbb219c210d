"""Devices that send UDP packets to the gateway (udp://): each is read by itself, and answers go to the last sender."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import Any, ClassVar

from gateway.errors import DeviceAwaitedError
from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.address import Address, network_address
from interfaces.serial_interface.ports.descriptor_port import READ_ALL, no_speed, wait_ready
from interfaces.serial_interface.ports.network import bind
from interfaces.serial_interface.ports.reasons import as_device_error


class UdpPort:
    """A socket that has received packets, with their last sender. All methods raise `DeviceError`."""

    may_wait: ClassVar[bool] = False
    is_read_only: ClassVar[bool] = False

    def __init__(self, owner: UdpSocket, connection: socket.socket, write_timeout: float) -> None:
        self._owner = owner
        self._socket = connection
        self._write_timeout = write_timeout

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def read(self, *, is_readable: bool) -> bytes:
        """Return one packet: a framing may depend on the borders of packets."""
        if is_readable:
            with as_device_error(), suppress(BlockingIOError):
                data, self._owner.peer = self._socket.recvfrom(READ_ALL)
                return data
        return b""

    def write(self, data: bytes) -> None:
        """Write `data` as one packet to the last sender."""
        with as_device_error():
            try:
                self._socket.sendto(data, self._owner.peer)
            except BlockingIOError:
                wait_ready(self.fileno(), select.POLLOUT, self._write_timeout)
                self._socket.sendto(data, self._owner.peer)

    def set_baudrate(self, speed: int) -> None:
        """Raise `DeviceError`: a network connection has no speed."""
        raise no_speed(speed)

    def close(self) -> None:
        """Leave the socket open: packets that arrive before the port is opened again are not lost."""


class UdpSocket:
    """Receives packets from the first attempt to open the port on; `peer` is the last sender, None before the first."""

    def __init__(self, options: PortOptions) -> None:
        self._address: Address = network_address(options.port)
        self._write_timeout = options.write_timeout
        self._socket: socket.socket | None = None
        self.peer: Any = None

    def fileno(self) -> int | None:
        """Return the descriptor that becomes readable when a packet arrives; None if none is received."""
        return None if self._socket is None else self._socket.fileno()

    def open(self, read_size: int) -> UdpPort:  # noqa: ARG002
        """Return the port. Raises `DeviceError` if the address cannot be used, or if no packet has arrived yet."""
        if self._socket is None:
            self._socket = bind(socket.SOCK_DGRAM, self._address)
        if self.peer is None:
            try:
                _, self.peer = self._socket.recvfrom(1, socket.MSG_PEEK)
            except BlockingIOError as err:
                raise DeviceAwaitedError("no device has sent anything yet") from err
        return UdpPort(self, self._socket, self._write_timeout)

    def close(self) -> None:
        """Receive nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
