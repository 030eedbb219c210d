from __future__ import annotations

import os
import resource
import select
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.configuration.schema_check import fill_defaults
from gateway.configuration.schemas import interface_schema
from gateway.errors import DeviceError
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.port import READ_ALL, READ_CHUNK, Port, open_port

BEYOND_SELECT = 1024  # the first descriptor that select() cannot handle


def opened(port: str, read_size: int = READ_CHUNK, **options: object) -> Port:
    params = fill_defaults({"port": port, **options}, interface_schema(SerialInterface))
    return open_port(PortOptions.from_params(params), read_size)


@pytest.fixture
def high_descriptors() -> Iterator[None]:
    """Occupy all descriptors that select() can handle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = BEYOND_SELECT + 100
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    with ExitStack() as stack:
        while True:
            descriptor = os.open(os.devnull, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            if descriptor >= BEYOND_SELECT:
                break
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    """A pty: the descriptor of the device's end, and the path of the gateway's end."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


def wait_readable(descriptor: int | None) -> None:
    assert descriptor is not None
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert poll.poll(5000), "nothing arrived"


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def check_both_directions(port: Port, device: int) -> None:
    """Send something in both directions."""
    os.write(device, b"hello")
    wait_readable(port.fileno())
    assert port.read(is_readable=True) == b"hello"
    assert port.read(is_readable=False) == b""
    port.write(b"and back")
    wait_readable(device)
    assert os.read(device, 100) == b"and back"


@pytest.mark.usefixtures("high_descriptors")
def test_a_line_beyond_the_descriptors_that_select_knows(line: tuple[int, str]) -> None:
    device, path = line
    port = opened(path)
    assert (port.fileno() or 0) > BEYOND_SELECT
    check_both_directions(port, device)
    port.close()


@pytest.mark.usefixtures("high_descriptors")
def test_a_tcp_connection_beyond_the_descriptors_that_select_knows() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = opened(f"socket://127.0.0.1:{server.getsockname()[1]}")
        connection, _ = server.accept()
        with connection:
            assert (port.fileno() or 0) > BEYOND_SELECT
            check_both_directions(port, connection.fileno())
        wait_readable(port.fileno())
        with pytest.raises(DeviceError, match="the device has closed the connection"):
            port.read(is_readable=True)
        port.close()


def test_a_port_has_one_descriptor(line: tuple[int, str]) -> None:
    previous = descriptors()
    port = opened(line[1])
    assert len(descriptors()) == len(previous) + 1
    port.close()
    assert descriptors() == previous


def test_the_lock_is_held_until_the_port_is_closed(line: tuple[int, str]) -> None:
    port = opened(line[1])
    with pytest.raises(DeviceError, match="another program or interface has it open"):
        opened(line[1])
    port.close()
    opened(line[1]).close()


def test_without_the_lock_two_programs_may_open_the_port(line: tuple[int, str]) -> None:
    first, second = opened(line[1], exclusive=False), opened(line[1], exclusive=False)
    first.close()
    second.close()


def test_the_settings_stay_after_pyserial_has_closed_its_descriptors(line: tuple[int, str]) -> None:
    port = opened(line[1], baudrate=19200, stopbits=2)
    settings = termios.tcgetattr(line[0])
    assert settings[4:6] == [termios.B19200, termios.B19200]
    assert settings[2] & termios.CSTOPB
    port.close()


def test_a_device_that_accepts_only_a_part_has_failed(line: tuple[int, str]) -> None:
    port = opened(line[1], write_timeout=0.2)
    with pytest.raises(DeviceError, match=r"it accepted no data for 0\.2 s"):
        port.write(b"x" * 100_000)
    port.close()


@pytest.mark.parametrize("read_size", [READ_CHUNK, READ_ALL])
def test_a_read_returns_at_most_its_size(read_size: int, line: tuple[int, str]) -> None:
    device, path = line
    port = opened(path, read_size)
    os.write(device, b"x" * 3000)
    wait_readable(port.fileno())
    assert len(port.read(is_readable=True)) == min(3000, read_size)
    port.close()


def test_a_port_without_a_descriptor_returns_all_bytes() -> None:
    port = opened("loop://", baudrate=921_600)
    port.write(b"x" * 4000)
    assert port.fileno() is None
    assert len(port.read(is_readable=False)) == 4000
    port.close()


def test_a_lost_connection_is_noticed_by_keepalive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = opened(f"socket://127.0.0.1:{server.getsockname()[1]}")
        descriptor = port.fileno()
        assert descriptor is not None
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [connection.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [60, 10, 3]
        port.close()
