from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import DeviceAwaitedError, DeviceError
from tests.interfaces.serial_interface.ports.opened import opener, read, wait_readable
from tests.support.broker import free_port


@pytest.fixture
def device() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as result:
        result.settimeout(5)
        yield result


def test_packets_in_both_directions(device: socket.socket) -> None:
    number = free_port()
    with opener(f"udp://127.0.0.1:{number}") as gateway:
        with pytest.raises(DeviceAwaitedError, match="no device has sent anything yet"):
            gateway.open(100)
        device.sendto(b"first", ("127.0.0.1", number))
        wait_readable(gateway.fileno())
        port = gateway.open(100)
        port.write(b"welcome")  # even before the packet is read, its sender is known
        assert device.recv(100) == b"welcome"
        assert read(port) == b"first"
        assert port.read(is_readable=True) == b""
        port.close()


def test_each_read_returns_one_packet(device: socket.socket) -> None:
    number = free_port()
    packets = [b"one", b"", b"x" * 5000, b"two"]
    with opener(f"udp://127.0.0.1:{number}") as gateway:
        with pytest.raises(DeviceAwaitedError):
            gateway.open(100)
        for packet in packets:
            device.sendto(packet, ("127.0.0.1", number))
        wait_readable(gateway.fileno())
        port = gateway.open(100)
        assert [read(port) for _ in packets] == packets


def test_answers_go_to_the_last_sender_also_after_the_port_was_opened_again(device: socket.socket) -> None:
    number = free_port()
    with (
        opener(f"udp://:{number}") as gateway,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other,
    ):
        other.settimeout(5)
        with pytest.raises(DeviceAwaitedError):
            gateway.open(100)
        device.sendto(b"one", ("127.0.0.1", number))
        wait_readable(gateway.fileno())
        port = gateway.open(100)
        assert read(port) == b"one"
        other.sendto(b"two", ("::1", number))
        assert read(port) == b"two"
        port.close()
        device.sendto(b"while it is closed", ("127.0.0.1", number))
        port = gateway.open(100)
        port.write(b"to the last that was read")
        assert other.recv(100) == b"to the last that was read"
        assert read(port) == b"while it is closed"
        port.write(b"to the last")
        assert device.recv(100) == b"to the last"


def test_an_address_that_is_in_use_or_not_of_this_machine() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        number = other.getsockname()[1]
        with opener(f"udp://127.0.0.1:{number}") as gateway:
            with pytest.raises(DeviceError, match="another program or interface uses this port"):
                gateway.open(100)
            other.close()
            with pytest.raises(DeviceAwaitedError):  # tried again
                gateway.open(100)
        with (
            opener(f"udp://192.0.2.1:{number}") as gateway,
            pytest.raises(DeviceError, match="this machine has no such address: correct the host"),
        ):
            gateway.open(100)


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=5))
def test_the_borders_of_packets_are_kept(packets: list[bytes]) -> None:
    number = free_port()
    with (
        opener(f"udp://127.0.0.1:{number}") as gateway,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device,
    ):
        with pytest.raises(DeviceAwaitedError):
            gateway.open(100)
        for packet in packets:
            device.sendto(packet, ("127.0.0.1", number))
        wait_readable(gateway.fileno())
        port = gateway.open(100)
        assert [read(port) for _ in packets] == packets
