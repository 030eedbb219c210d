"""Devices that connect to the gateway by TCP (tcp-listen://): one at a time, the newest connection counts."""

from __future__ import annotations

import select
import socket

from gateway.errors import DeviceAwaitedError, DeviceError
from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.address import Address, network_address
from interfaces.serial_interface.ports.descriptor_port import READ_ALL, DescriptorPort
from interfaces.serial_interface.ports.network import bind, prepare
from interfaces.serial_interface.ports.reasons import LISTENING_REASONS, as_device_error

_BACKLOG = 16  # connections that wait to be accepted


class ConnectionEndedError(DeviceAwaitedError):
    """The device has ended its connection in order: what it has sent is all that it wanted to say."""


class AcceptedPort(DescriptorPort):
    """A connection of a device. It ends when the device connects again: the old connection may be a dead one.

    That a device hangs up is no failure, since it may connect for each reading.
    """

    hung_up = DeviceAwaitedError
    ended = ConnectionEndedError

    def __init__(self, connection: socket.socket, listener: int, write_timeout: float, read_size: int) -> None:
        self._epoll = select.epoll(2)
        super().__init__(connection.detach(), write_timeout, read_size)
        self._listener = listener
        self._is_replaced = False
        for descriptor in (self._fd, listener):
            self._epoll.register(descriptor, select.EPOLLIN)

    def fileno(self) -> int:
        """Return the descriptor to wait on: it is readable if the connection is, or if there is a newer one."""
        return self._epoll.fileno()

    def read(self, *, is_readable: bool) -> bytes:
        """Return the bytes that have arrived; before the port ends because of a newer connection, all of them."""
        if not is_readable:
            return b""
        if self._is_replaced:
            if data := super().read(is_readable=True):  # this raises another error if the device has ended it
                return data
            raise DeviceAwaitedError("a newer connection has taken its place")
        if any(descriptor == self._listener for descriptor, _ in self._epoll.poll(0)):
            self._is_replaced = True
            self.read_size = READ_ALL
        return super().read(is_readable=True)

    def close(self) -> None:
        """Close the connection; the gateway goes on listening."""
        self._epoll.close()
        super().close()


class TcpListener:
    """Listens for the device from the first attempt to open it on, also while it is not connected."""

    def __init__(self, options: PortOptions) -> None:
        self._address: Address = network_address(options.port)
        self._write_timeout = options.write_timeout
        self._socket: socket.socket | None = None

    def fileno(self) -> int | None:
        """Return the descriptor that becomes readable when a device connects; None if the gateway does not listen."""
        return None if self._socket is None else self._socket.fileno()

    def open(self, read_size: int) -> AcceptedPort:
        """Return a new connection. Raises `DeviceError` if the gateway cannot listen, or if there is none."""
        listener = self._socket or self._listen()
        connection = _accept(listener)
        if connection is None:
            raise DeviceAwaitedError("no device is connected")
        prepare(connection)
        return AcceptedPort(connection, listener.fileno(), self._write_timeout, read_size)

    def _listen(self) -> socket.socket:
        listener = bind(socket.SOCK_STREAM, self._address)
        try:
            with as_device_error(LISTENING_REASONS):
                listener.listen(_BACKLOG)
        except DeviceError:
            listener.close()
            raise
        self._socket = listener
        return listener

    def close(self) -> None:
        """Listen no longer."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _accept(listener: socket.socket) -> socket.socket | None:
    """Return the connection that has waited the longest, None if there is none.

    If others wait behind it, it is read once and then ends, so that nothing is lost of devices that connect for each
    reading. Raises `DeviceError` if it cannot be accepted.
    """
    try:
        with as_device_error():
            return listener.accept()[0]
    except DeviceError as err:
        if isinstance(err.__cause__, BlockingIOError | ConnectionError):  # none waits, or it was closed again
            return None
        raise
