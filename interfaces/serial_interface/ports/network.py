"""TCP connections to a device (socket://), and the sockets on which the gateway listens for devices."""

from __future__ import annotations

import socket

from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.address import Address
from interfaces.serial_interface.ports.descriptor_port import DescriptorPort
from interfaces.serial_interface.ports.reasons import LISTENING_REASONS, as_device_error

CONNECT_TIMEOUT = 5.0  # s, as in pyserial

_LOSS = 90  # s
_KEEPALIVE = {
    socket.TCP_KEEPIDLE: 60,
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 3,
    # No probes are sent while data is unacknowledged: the system would send that again for a quarter of an hour.
    socket.TCP_USER_TIMEOUT: _LOSS * 1000,
}
"""After 60 s of silence, a probe every 10 s; the connection has failed when nothing was acknowledged for 90 s."""


def notice_loss(connection: socket.socket) -> None:
    """Let a TCP connection fail if the other end is gone without closing it, whoever was to send something."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def connect(host: str, port: int) -> socket.socket:
    """Return a TCP connection, each write of which is sent at once. Raises `DeviceError`."""
    with as_device_error():
        connection = socket.create_connection((host, port), CONNECT_TIMEOUT)
        prepare(connection)
        return connection


def prepare(connection: socket.socket) -> None:
    """Set the options of a TCP connection to a device."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    notice_loss(connection)


def open_socket(options: PortOptions, address: Address, read_size: int) -> DescriptorPort:
    """Open a socket:// port. Raises `DeviceError`."""
    connection = connect(address.host, address.port)
    return DescriptorPort(connection.detach(), options.write_timeout, read_size)


def bind(kind: socket.SocketKind, address: Address) -> socket.socket:
    """Return a non-blocking socket of the kind at a local address; without a host, at all addresses of this machine.

    Raises `DeviceError`.
    """
    with as_device_error(LISTENING_REASONS):
        if address.host:
            family, _, _, _, place = socket.getaddrinfo(address.host, address.port, type=kind)[0]
        else:
            both = socket.has_dualstack_ipv6()
            family, place = (socket.AF_INET6, ("::", address.port)) if both else (socket.AF_INET, ("", address.port))
        result = socket.socket(family, kind)
        try:
            if kind == socket.SOCK_STREAM:
                result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                result.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if address.host else 0)
            result.bind(place)
            result.setblocking(False)
        except BaseException:
            result.close()
            raise
        return result
