"""A meter with a change of speed (IEC 62056-21, mode C), on a real terminal line."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import DeviceError
from gateway.message import InternalMsg
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.descriptor_port import READ_CHUNK
from interfaces.serial_interface.ports.opener import make_opener
from tests.support.configuration import serial_params
from tests.support.desk import Desk
from tests.support.device import PtyDevice

READOUT: dict[str, Any] = {
    "name": "readout",
    "every": 900,
    "steps": [
        {
            "write": "/?!",
            "response": {
                "regex": "/[A-Z]{3}(?P<z>(?P<speed>[0-6])).*",
                "values": {"speed": {"enum": {"5": 9600, "4": 4800}}},
            },
        },
        {
            "write": "\x060{z}0", "baudrate": "{speed}", "timeout": 20,
            "response": {
                "until": "!", "lines": {"patterns": [r".?1\.8\.0\((?P<kwh>[0-9.]+)\*kWh\)", r"0\.0\.0\((?P<no>.*)\)"]},
                "message": {"action": "ENERGY", "arguments": "*"},
            },
        },
    ],
}  # fmt: skip


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    with PtyDevice(tmp_path) as pty:
        yield pty


def meter(device: PtyDevice) -> SerialInterface:
    desk = Desk()
    params = serial_params(port=str(device.path), baudrate=300, conversation={"timeout": 20, "polls": [READOUT]})
    interface = SerialInterface(params, desk.inbox, desk.outlet)
    interface.open()
    read(interface, wait=0)
    return interface


def read(interface: SerialInterface, wait: float = 10) -> list[InternalMsg]:
    """Read what the device has sent, after at most `wait` seconds."""
    fd = interface.fileno()
    interface.is_readable = fd is not None and bool(select.select([fd], [], [], wait)[0])
    return list(interface.read())


def test_the_readout_of_a_meter_is_at_the_speed_that_it_has_named(device: PtyDevice) -> None:
    interface = meter(device)
    assert (device.read_until(b"\r\n"), device.speed) == (b"/?!\r\n", 300)
    device.write(b"/XYZ5METER\r\n")
    read(interface)
    assert (device.read_until(b"\r\n"), device.speed) == (b"\x06050\r\n", 9600)
    device.write(b"\x021.8.0(001234.56*kWh)\r\n0.0.0(12345678)\r\n!\r\n\x03u")
    (reading,) = read(interface)
    assert reading.arguments == {"kwh": "001234.56", "no": "12345678"}
    assert device.speed == 300
    interface.close()


def test_a_port_that_is_opened_again_has_its_own_speed(device: PtyDevice) -> None:
    interface = meter(device)
    device.write(b"/XYZ4METER\r\n")
    read(interface)
    assert device.speed == 4800
    interface.close()
    interface.open()
    assert device.speed == 300
    interface.close()


def test_a_speed_that_the_driver_does_not_have_is_an_error(device: PtyDevice) -> None:
    options = PortOptions.from_params(serial_params(port=str(device.path)))
    port = make_opener(options).open(READ_CHUNK)
    with pytest.raises(DeviceError, match="its speed cannot be changed to 77 bit/s"):
        port.set_baudrate(77)
    port.set_baudrate(115200)
    assert device.speed == 115200
    port.close()


def test_a_port_of_the_library_changes_its_speed_too() -> None:
    port = make_opener(PortOptions.from_params(serial_params(port="loop://"))).open(READ_CHUNK)
    port.set_baudrate(300)
    port.write(b"x")
    assert port.read(is_readable=True) == b"x"
    port.close()
