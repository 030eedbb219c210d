from __future__ import annotations

import socket

import pytest

from gateway.errors import DeviceAwaitedError, DeviceError
from tests.interfaces.serial_interface.ports.opened import is_readable, opener, read, wait_readable
from tests.support.broker import free_port


def connected(number: int) -> socket.socket:
    result = socket.create_connection(("127.0.0.1", number), 5)
    result.settimeout(5)
    return result


def test_a_device_connects() -> None:
    number = free_port()
    with opener(f"tcp-listen://127.0.0.1:{number}") as gateway:
        assert gateway.fileno() is None
        with pytest.raises(DeviceAwaitedError, match="no device is connected"):
            gateway.open(100)
        assert not is_readable(gateway.fileno())
        with connected(number) as device:
            wait_readable(gateway.fileno())
            port = gateway.open(100)
            assert not is_readable(port.fileno())
            device.sendall(b"hello")
            assert read(port) == b"hello"
            assert port.read(is_readable=True) == b""
            assert port.read(is_readable=False) == b""
            port.write(b"and back")
            assert device.recv(100) == b"and back"
        wait_readable(port.fileno())
        with pytest.raises(DeviceError, match="the device has closed the connection"):
            port.read(is_readable=True)
        port.close()
        with pytest.raises(DeviceAwaitedError):
            gateway.open(100)


def test_the_newest_connection_takes_the_place_of_the_old_one() -> None:
    number = free_port()
    with opener(f"tcp-listen://127.0.0.1:{number}") as gateway:
        with pytest.raises(DeviceAwaitedError):
            gateway.open(100)
        with connected(number) as old:
            wait_readable(gateway.fileno())
            port = gateway.open(10)
            old.sendall(b"the last words of the old one")
            wait_readable(port.fileno())
            with connected(number) as new:
                wait_readable(gateway.fileno())
                assert port.read(is_readable=True) == b"the last words of the old one"
                with pytest.raises(DeviceError, match="a newer connection has taken its place"):
                    port.read(is_readable=True)
                port.close()
                assert old.recv(100) == b""
                port = gateway.open(100)
                new.sendall(b"hello")
                assert read(port) == b"hello"
                port.close()


def test_nothing_is_lost_of_devices_that_connect_for_each_reading() -> None:
    number = free_port()
    with opener(f"tcp-listen://127.0.0.1:{number}") as gateway:
        with pytest.raises(DeviceAwaitedError):
            gateway.open(100)
        for text in (b"1", b"2"):
            with connected(number) as device:
                device.sendall(text)
        with connected(number) as device:
            device.sendall(b"3")
            data = []
            for _ in range(3):
                wait_readable(gateway.fileno())
                port = gateway.open(100)
                data.append(read(port))
                if len(data) < 3:
                    with pytest.raises(DeviceError, match=r"a newer connection has taken its place|has closed"):
                        read(port)
                    port.close()
            assert data == [b"1", b"2", b"3"]
            port.write(b"to the newest")
            assert device.recv(100) == b"to the newest"
            port.close()


def test_a_port_that_is_in_use_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        with opener(f"tcp-listen://127.0.0.1:{number}") as gateway:
            for _ in range(2):
                with pytest.raises(DeviceError, match="another program or interface uses this port"):
                    gateway.open(100)
            assert gateway.fileno() is None
            other.close()
            with pytest.raises(DeviceAwaitedError):
                gateway.open(100)


def test_on_all_addresses() -> None:
    number = free_port()
    with opener(f"tcp-listen://:{number}") as gateway:
        for host in ("127.0.0.1", "::1"):
            with pytest.raises(DeviceAwaitedError):
                gateway.open(100)
            with socket.create_connection((host, number), 5):
                wait_readable(gateway.fileno())
                gateway.open(100).close()


def test_after_the_end_nothing_listens() -> None:
    number = free_port()
    with opener(f"tcp-listen://127.0.0.1:{number}") as gateway, pytest.raises(DeviceAwaitedError):
        gateway.open(100)
    with pytest.raises(ConnectionRefusedError):
        connected(number)
