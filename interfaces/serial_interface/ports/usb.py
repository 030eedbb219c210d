"""USB adapters, found by vendor, product and serial number (usb://)."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Protocol

from gateway.errors import DeviceError
from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.address import UsbAddress, usb_address
from interfaces.serial_interface.ports.descriptor_port import Port
from interfaces.serial_interface.ports.line import open_line


class PortInfo(Protocol):
    """What is known of a serial port: that is a `ListPortInfo` of pyserial. The numbers are None without USB."""

    device: str
    vid: int | None
    pid: int | None
    serial_number: str | None


def find_adapter(address: UsbAddress, ports: Iterable[PortInfo]) -> str:
    """Return the path of the only port at `address`; raise `DeviceError` if there is none, or if there are several."""
    adapters = sorted((port for port in ports if port.vid is not None), key=lambda port: port.device)
    found = [
        port
        for port in adapters
        if (port.vid, port.pid) == address[:2] and address.serial in ("", port.serial_number or "")
    ]
    if not found:
        others = f"; plugged in are {_listed(adapters)}" if adapters else ""
        text = f"no USB adapter {address} is plugged in{others}"
        raise DeviceError(text) from FileNotFoundError(errno.ENODEV, text)
    if len(found) > 1:
        serials = {port.serial_number for port in found}
        distinct = not address.serial and len(serials) == len(found)
        remedy = "add the serial number" if distinct else "use the name in /dev/serial/by-id instead"
        raise DeviceError(f"several ports are {address}: {_listed(found)}: {remedy}")
    return found[0].device


def _listed(ports: Iterable[PortInfo]) -> str:
    return ", ".join(
        f"{port.vid:04x}:{port.pid:04x}{f'/{port.serial_number}' * bool(port.serial_number)} ({port.device})"
        for port in ports
    )


def open_usb(options: PortOptions, read_size: int) -> Port:
    """Open the serial line of the USB adapter that `options.port` names. Raises `DeviceError`."""
    from serial.tools import list_ports  # only for this kind of port

    path = find_adapter(usb_address(options.port), list_ports.comports())
    return open_line(options._replace(port=path), read_size)
