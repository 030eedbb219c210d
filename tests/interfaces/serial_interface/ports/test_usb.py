from __future__ import annotations

import os
from pathlib import Path

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from gateway.errors import DeviceError
from interfaces.serial_interface.ports.address import UsbAddress
from interfaces.serial_interface.ports.usb import find_adapter, open_usb
from tests.interfaces.serial_interface.ports.opened import port_options, wait_readable
from tests.support.device import PtyDevice

FTDI = UsbAddress(0x0403, 0x6001)


def info(device: str, vendor: int | None = None, product: int | None = None, serial: str | None = None) -> ListPortInfo:
    result = ListPortInfo(device)
    result.vid, result.pid, result.serial_number = vendor, product, serial
    return result


BUILT_IN = info("/dev/ttyS0")
FIRST = info("/dev/ttyUSB0", *FTDI[:2], "A50285BI")
SECOND = info("/dev/ttyUSB1", *FTDI[:2], "A50285BJ")
WITHOUT_SERIAL = info("/dev/ttyUSB2", 0x1A86, 0x7523)


def reason(address: UsbAddress, *ports: ListPortInfo) -> str:
    with pytest.raises(DeviceError) as caught:
        find_adapter(address, ports)
    return str(caught.value)


def test_an_adapter_is_found_by_vendor_and_product() -> None:
    assert find_adapter(FTDI, [BUILT_IN, WITHOUT_SERIAL, SECOND]) == "/dev/ttyUSB1"


def test_one_of_several_is_found_by_its_serial_number() -> None:
    assert find_adapter(FTDI._replace(serial="A50285BJ"), [FIRST, SECOND]) == "/dev/ttyUSB1"


def test_one_without_a_serial_number_is_not_one_with_any() -> None:
    address = UsbAddress(0x1A86, 0x7523, "X")
    assert reason(address, WITHOUT_SERIAL) == (
        "no USB adapter 1a86:7523 with the serial number X is plugged in; plugged in are 1a86:7523 (/dev/ttyUSB2)"
    )


def test_none_is_plugged_in() -> None:
    assert reason(FTDI, BUILT_IN) == "no USB adapter 0403:6001 is plugged in"


def test_several_alike_need_the_serial_number() -> None:
    assert reason(FTDI, SECOND, FIRST) == (
        "several ports are 0403:6001: 0403:6001/A50285BI (/dev/ttyUSB0), 0403:6001/A50285BJ (/dev/ttyUSB1): "
        "add the serial number"
    )


def test_several_ports_of_one_adapter_need_another_name() -> None:
    port = info("/dev/ttyUSB7", *FTDI[:2], "A50285BI")
    for address in (FTDI, FTDI._replace(serial="A50285BI")):
        assert reason(address, FIRST, port).endswith(": use the name in /dev/serial/by-id instead")


def test_the_line_of_the_adapter_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PtyDevice(tmp_path) as device:
        adapter = info(os.path.realpath(device.path), *FTDI[:2], "A50285BI")
        monkeypatch.setattr(list_ports, "comports", lambda: [BUILT_IN, adapter])
        port = open_usb(port_options("usb://0403:6001/A50285BI", baudrate=19200), 100)
        device.write(b"T 21\n")
        wait_readable(port.fileno())
        assert port.read(is_readable=True) == b"T 21\n"
        port.close()


def test_an_adapter_that_is_missing_is_a_device_that_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its absence is not logged again after it was unplugged."""
    monkeypatch.setattr(list_ports, "comports", list)
    with pytest.raises(DeviceError, match="no USB adapter 0403:6001 is plugged in") as caught:
        open_usb(port_options("usb://0403:6001"), 100)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
