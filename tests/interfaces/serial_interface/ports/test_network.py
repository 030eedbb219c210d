from __future__ import annotations

import os
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import serial
from serial.rfc2217 import PortManager

from gateway.errors import DeviceError
from interfaces.serial_interface.ports.descriptor_port import Port
from tests.interfaces.serial_interface.ports.opened import opened, opener, wait_readable
from tests.support.broker import free_port

KEEPALIVE = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 60,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 10,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 90_000,
}
"""A dead connection fails, whether the gateway waits for data, or for the acknowledgement of what it has written."""


def options_of(connection: socket.socket) -> dict[tuple[int, int], int]:
    return {option: connection.getsockopt(*option) for option in KEEPALIVE}


def check_keepalive(descriptor: int | None) -> None:
    assert descriptor is not None
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        assert options_of(connection) == KEEPALIVE


def test_a_lost_connection_is_noticed_in_both_directions() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = opened(f"socket://127.0.0.1:{server.getsockname()[1]}")
        check_keepalive(port.fileno())
        port.close()


def test_the_lost_connection_of_a_device_that_has_connected_is_noticed() -> None:
    number = free_port()
    with opener(f"tcp-listen://127.0.0.1:{number}") as gateway:
        with pytest.raises(DeviceError):
            gateway.open(100)
        with socket.create_connection(("127.0.0.1", number)) as device:
            wait_readable(gateway.fileno())
            with closing(gateway.open(100)):
                assert tcp_connections()[device.getpeername(), device.getsockname()] == KEEPALIVE


def sockets() -> Iterator[socket.socket]:
    """Yield each socket of this process, as a copy that is closed afterwards."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            copy = os.dup(int(entry.name))
        except OSError:
            continue
        if not stat.S_ISSOCK(os.fstat(copy).st_mode):
            os.close(copy)
            continue
        with socket.socket(fileno=copy) as connection:
            yield connection


def tcp_connections() -> dict[tuple[object, object], dict[tuple[int, int], int]]:
    """Return the options of each TCP connection of this process, by the addresses of its two ends."""
    found = {}
    for connection in sockets():
        with suppress(OSError):
            if connection.family == socket.AF_INET:
                found[connection.getsockname(), connection.getpeername()] = options_of(connection)
    return found


def serve_line(server: socket.socket) -> None:
    """Serve a line by RFC 2217 until the gateway has closed the connection."""
    connection, _ = server.accept()
    line: Any = serial.serial_for_url("loop://", timeout=0)
    answers: Any = SimpleNamespace(write=connection.sendall)
    with connection:
        manager = PortManager(line, answers)
        while data := connection.recv(1024):
            line.write(b"".join(manager.filter(data)))
            connection.sendall(b"".join(manager.escape(line.read(1024))))
    line.close()


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # of pyserial
def test_the_lost_connection_of_a_remote_line_is_noticed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve_line, args=(server,))
        thread.start()
        port = opened(f"rfc2217://127.0.0.1:{server.getsockname()[1]}")
        connections = tcp_connections().values()
        port.close()
        thread.join(10)
    assert KEEPALIVE in connections


def failure(port: str) -> str:
    with pytest.raises(DeviceError) as caught:
        opened(port).close()
    return str(caught.value)


def test_nothing_listens() -> None:
    assert failure(f"socket://127.0.0.1:{free_port()}") == "nothing listens there"


def test_a_name_that_cannot_be_resolved() -> None:
    assert failure("socket://no-such-host.invalid:7000").startswith("the host name cannot be resolved (")


def reset(port: Port, device: socket.socket) -> None:
    device.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    device.close()
    wait_readable(port.fileno())


def test_a_connection_that_the_device_resets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = opened(f"socket://127.0.0.1:{server.getsockname()[1]}")
        reset(port, server.accept()[0])
        with pytest.raises(DeviceError, match="the device has reset the connection"):
            port.read(is_readable=True)
        port.close()
