"""How a port is opened, by the scheme of its URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.address import network_address, scheme_of
from interfaces.serial_interface.ports.descriptor_port import Port
from interfaces.serial_interface.ports.fifo import is_fifo, open_fifo
from interfaces.serial_interface.ports.line import open_line
from interfaces.serial_interface.ports.listen import TcpListener
from interfaces.serial_interface.ports.network import open_socket
from interfaces.serial_interface.ports.tls import open_tls
from interfaces.serial_interface.ports.udp import UdpSocket
from interfaces.serial_interface.ports.usb import open_usb


class Opener(Protocol):
    """Opens a port, any number of times one after the other. It may listen for the device in between."""

    def open(self, read_size: int) -> Port:
        """Return the port, open; a read returns about `read_size` bytes at most. Raises `DeviceError`."""

    def fileno(self) -> int | None:
        """Return a descriptor that becomes readable when a port that is not open can be opened; None: there is none."""

    def close(self) -> None:
        """Release everything; the port is closed."""


class _DirectOpener:
    """Opens a port that the gateway reaches by itself."""

    def __init__(self, open_port: Callable[[int], Port]) -> None:
        self.open = open_port

    def fileno(self) -> int | None:
        """Return None: nothing is waited for."""
        return None

    def close(self) -> None:
        """Release nothing."""


def _open_path(options: PortOptions, read_size: int) -> Port:
    return open_fifo(options, read_size) if is_fifo(options.port) else open_line(options, read_size)


def _open_socket(options: PortOptions, read_size: int) -> Port:
    return open_socket(options, network_address(options.port), read_size)


def _open_tls(options: PortOptions, _read_size: int) -> Port:
    return open_tls(options, network_address(options.port))


_DIRECT: Mapping[str, Callable[[PortOptions, int], Port]] = {
    "": _open_path,
    "socket": _open_socket,
    "ssl": _open_tls,
    "usb": open_usb,
}
_LISTENING: Mapping[str, Callable[[PortOptions], Opener]] = {"tcp-listen": TcpListener, "udp": UdpSocket}


def make_opener(options: PortOptions) -> Opener:
    """Return what opens the port of a device. Raises `ValueError` if its address was not checked, and is wrong."""
    scheme = scheme_of(options.port)
    if scheme in _LISTENING:
        return _LISTENING[scheme](options)
    open_port = _DIRECT.get(scheme, open_line)
    return _DirectOpener(lambda read_size: open_port(options, read_size))
