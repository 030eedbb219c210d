"""The serial interface with ports at which the device is awaited, and those behind TLS."""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.message import InternalMsg
from interfaces.serial_interface.interface import SerialInterface
from tests.conftest import ExpectedLogs
from tests.support.broker import free_port
from tests.support.configuration import serial_params
from tests.support.desk import Desk
from tests.support.fake_clock import FakeClock
from tests.support.waiting import wait_until

DECODE = [{"regex": "T (?P<t>[0-9]+)", "message": {"action": "T", "arguments": {"t": "{t}"}}}]
ENCODE = [{"match": {"action": "ON"}, "write": "1"}]


class Bench:
    """An interface that is looped by hand, and its surroundings."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, **options: Any) -> None:
        self.desk = Desk()
        kind = type("Clocked", (SerialInterface,), {"clock": staticmethod(clock)})
        self.interface = kind(serial_params(**options), self.desk.inbox, self.desk.outlet)

    def loop(self) -> None:
        self.desk.inbox.wake()  # so that it does not wait
        self.interface.loop()

    def loop_until(self, condition: Callable[[], bool]) -> None:
        def loop_once() -> bool:
            self.loop()
            return condition()

        wait_until(loop_once, what=lambda: f"{self.desk.availability}, {self.desk.messages}")

    def wait_availability(self, *expected: str) -> None:
        self.loop_until(lambda: self.desk.availability == list(expected))

    def wait_texts(self, *expected: str) -> None:
        self.loop_until(lambda: [msg.arguments["t"] for msg in self.desk.collect()] == list(expected))

    def close(self) -> None:
        self.interface.loop_stop()
        self.desk.inbox.close()


@pytest.fixture
def benches() -> Iterator[list[Bench]]:
    result: list[Bench] = []
    yield result
    for bench in result:
        bench.close()


def start(benches: list[Bench], port: str, **options: Any) -> Bench:
    benches.append(Bench(port=port, decode=DECODE, **options))
    return benches[-1]


def test_a_device_that_connects_is_online_while_it_is_connected(
    benches: list[Bench], caplog: pytest.LogCaptureFixture
) -> None:
    number = free_port()
    bench = start(benches, f"tcp-listen://127.0.0.1:{number}")
    bench.wait_availability("offline")
    with socket.create_connection(("127.0.0.1", number)) as device:
        device.sendall(b"T 1\nT ")
        bench.wait_texts("1")
        device.sendall(b"2\n")
        bench.wait_texts("1", "2")
        assert bench.desk.availability == ["offline", "online"]
    bench.wait_availability("offline", "online", "offline")
    with socket.create_connection(("127.0.0.1", number)) as device:
        device.sendall(b"T 3\n")
        bench.wait_texts("1", "2", "3")
    port = f"dev: tcp-listen://127.0.0.1:{number}"
    texts = [record.getMessage() for record in caplog.records if record.getMessage().startswith(port)]
    assert [text.removeprefix(port) for text in texts] == [
        ": no device is connected; waiting for it",
        " is open",
        ": the device has closed the connection; waiting for it",
        " is open",
    ]


def test_a_device_that_connects_for_each_reading_is_online_and_fills_no_log(
    benches: list[Bench], caplog: pytest.LogCaptureFixture
) -> None:
    """It has come back three times, after 100 s: then it is expected back, and only a command for it is OFFLINE."""
    clock, number = FakeClock(), free_port()
    bench = start(benches, f"tcp-listen://127.0.0.1:{number}", clock=clock, encode=ENCODE)
    bench.wait_availability("offline")
    for count in range(1, 7):
        with socket.create_connection(("127.0.0.1", number)) as device:
            if count % 2:  # it may also end the connection by a reset
                device.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            device.sendall(b"T %d\n" % count)
            bench.wait_texts(*map(str, range(1, count + 1)))
        bench.loop_until(lambda: not bench.interface.is_open)
        for _ in range(10):
            clock.now += 10
            bench.loop()
    assert bench.desk.availability == ["offline", *(["online", "offline"] * 3), "online"]
    bench.desk.inbox.push(InternalMsg(iscmd=True, device="dev", action="ON"))
    bench.loop_until(lambda: any(msg.arguments.get("response") == "OFFLINE" for msg in bench.desk.collect()))
    clock.now += 99
    bench.loop()
    assert bench.desk.availability[-1] == "online"
    clock.now += 1
    bench.wait_availability("offline", *(["online", "offline"] * 4))
    records = [record for record in caplog.records if record.name == "mqttgateway.interfaces"]
    assert [record.getMessage().partition(f":{number}")[2] for record in records if record.levelno > logging.DEBUG] == [
        ": no device is connected; waiting for it",
        " is open",
        ": the device has reset the connection: it has restarted, or serves another client; waiting for it",
        " is open",
        ": the device has closed the connection; waiting for it",
        " is open",
    ]


LINE: dict[str, Any] = {}
XOR = {"type": "xor", "form": "hex"}


@pytest.mark.parametrize(
    ("framing", "checksum", "data"),
    [
        (LINE, None, b"T 1\nT 2"),
        (LINE, {**XOR, "strip": True}, b"T 145\nT 246"),
        ([{"name": "n", "start": "#", "type": "fixed", "length": 9}, {"start": "T"}], None, b"T 1\nT 2"),
        ([{"name": "n", "start": "T"}, {"start": "#"}], None, b"T 1\r\nT 2"),
        ([{"name": "n", "start": "#", "terminator": ";"}, {}], None, b"T 1\nT 2"),
        ({"type": "gap", "gap": 10}, None, b"T 2"),
    ],
)
def test_the_last_line_before_a_device_closes_its_connection_needs_no_terminator(
    benches: list[Bench], framing: Any, checksum: dict[str, Any] | None, data: bytes
) -> None:
    number = free_port()
    options = {"framing": framing, **({} if checksum is None else {"checksum": checksum})}
    bench = start(benches, f"tcp-listen://127.0.0.1:{number}", **options)
    bench.wait_availability("offline")
    texts = [str(count) for count in (1, 2) if b"T %d" % count in data]
    for times in (1, 2):
        with socket.create_connection(("127.0.0.1", number)) as device:
            device.sendall(data)
        bench.wait_texts(*times * texts)
    assert bench.interface.stats()["bytes_discarded"] == 0


@pytest.mark.parametrize(
    ("framing", "checksum", "data"),
    [
        (LINE, {**XOR, "strip": True}, b"T 145\nT 244"),
        ({"type": "markers", "start": "<", "stop": ">"}, None, b"<T 1><T 2"),
        ({"type": "slip"}, None, b"\xc0T 1\xc0\xc0T 2"),
        ([{"type": "slip", "name": "n"}, {"type": "fixed", "length": 9}], None, b"\xc0T 1\xc0\xc0T 2"),
        ({"type": "fixed", "length": 3}, None, b"T 1T "),
    ],
)
def test_what_is_no_whole_frame_when_a_device_closes_its_connection_is_discarded(
    benches: list[Bench], framing: Any, checksum: dict[str, Any] | None, data: bytes, expected_logs: ExpectedLogs
) -> None:
    if checksum:
        expected_logs.expect("wrong checksum")
    number = free_port()
    options = {"framing": framing, **({} if checksum is None else {"checksum": checksum})}
    bench = start(benches, f"tcp-listen://127.0.0.1:{number}", **options)
    bench.wait_availability("offline")
    with socket.create_connection(("127.0.0.1", number)) as device:
        device.sendall(data)
    bench.wait_texts("1")
    bench.loop_until(lambda: not bench.interface.is_open)
    with socket.create_connection(("127.0.0.1", number)):
        bench.loop_until(lambda: bench.interface.is_open)
    bench.loop_until(lambda: not bench.interface.is_open)
    assert [msg.arguments["t"] for msg in bench.desk.collect()] == ["1"]


def test_the_last_line_of_a_connection_is_read_also_if_the_next_one_is_there_already(benches: list[Bench]) -> None:
    number = free_port()
    bench = start(benches, f"tcp-listen://127.0.0.1:{number}")
    bench.wait_availability("offline")
    for count in range(1, 4):
        with socket.create_connection(("127.0.0.1", number)) as device:
            device.sendall(b"T %d" % count)
    bench.wait_texts("1", "2", "3")


def test_half_a_line_is_discarded_if_the_connection_is_reset_or_was_made_by_the_gateway(
    benches: list[Bench], expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("the device has closed the connection")
    number = free_port()
    bench = start(benches, f"tcp-listen://127.0.0.1:{number}")
    bench.wait_availability("offline")
    with socket.create_connection(("127.0.0.1", number)) as device:
        device.sendall(b"T 1\nT 2")
        bench.wait_texts("1")
        device.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    bench.loop_until(lambda: not bench.interface.is_open)
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = start(benches, f"socket://127.0.0.1:{server.getsockname()[1]}")
        client.loop_until(lambda: client.interface.is_open)
        with server.accept()[0] as device:
            device.sendall(b"T 1\nT 2")
        client.wait_texts("1")
        client.loop_until(lambda: not client.interface.is_open)
    assert [msg.arguments["t"] for one in (bench, client) for msg in one.desk.collect()] == ["1", "1"]


def test_a_device_that_is_awaited_is_opened_at_once(benches: list[Bench]) -> None:
    """Not after the delay, which has grown to 30 s if the device was away for long."""
    number = free_port()
    bench = start(benches, f"tcp-listen://127.0.0.1:{number}")
    bench.wait_availability("offline")
    for _ in range(20):
        bench.interface.reopen_backoff.next_delay()
    with socket.create_connection(("127.0.0.1", number)) as device:
        device.sendall(b"T 1\n")
        bench.wait_texts("1")


def test_a_device_that_connects_again_takes_the_place_of_its_dead_connection(
    benches: list[Bench],
) -> None:
    number = free_port()
    bench = start(benches, f"tcp-listen://127.0.0.1:{number}", encode=ENCODE)
    bench.wait_availability("offline")
    with socket.create_connection(("127.0.0.1", number)) as dead:
        dead.sendall(b"T 1\nT ")
        bench.wait_texts("1")
        with socket.create_connection(("127.0.0.1", number)) as alive:
            alive.sendall(b"T 2\n")
            bench.wait_texts("1", "2")
            assert bench.desk.availability == ["offline", "online"]
    assert bench.interface.stats()["partial_frames_discarded"] == 1


def test_devices_that_connect_one_after_the_other_are_served_without_delay(benches: list[Bench]) -> None:
    """More connections than may wait: each reading comes, because the next one is accepted at once."""
    number = free_port()
    bench = start(benches, f"tcp-listen://127.0.0.1:{number}")
    bench.wait_availability("offline")
    readings = [str(count) for count in range(40)]

    def send() -> None:
        for text in readings:
            with socket.create_connection(("127.0.0.1", number)) as device:
                device.sendall(b"T %s\n" % text.encode())

    sender = threading.Thread(target=send)
    sender.start()
    bench.wait_texts(*readings)
    sender.join()


def test_a_port_that_another_program_uses_is_tried_again(benches: list[Bench], expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("another program or interface uses this port; will keep retrying")
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        bench = start(benches, f"tcp-listen://127.0.0.1:{number}")
        bench.wait_availability("offline")
    bench.loop_until(lambda: bench.interface.opening_fileno() is not None)
    with socket.create_connection(("127.0.0.1", number)) as device:
        device.sendall(b"T 1\n")
        bench.wait_texts("1")


def test_a_device_that_sends_packets_is_online_once_it_has_sent_one(benches: list[Bench]) -> None:
    number = free_port()
    polls = {"polls": [{"every": 60, "write": "?"}]}
    bench = start(benches, f"udp://127.0.0.1:{number}", conversation=polls)
    bench.wait_availability("offline")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.settimeout(5)
        device.sendto(b"T 1\nT 2\n", ("127.0.0.1", number))
        bench.wait_texts("1", "2")
        assert bench.desk.availability == ["offline", "online"]
        assert device.recv(100) == b"?\r\n"


def test_a_fifo(tmp_path: Path, benches: list[Bench]) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    bench = start(benches, str(path))
    bench.wait_availability("online")
    for number in (1, 2):
        path.write_text(f"T {number}\n")
        bench.wait_texts(*map(str, range(1, number + 1)))
    assert bench.desk.availability == ["online"]


def test_a_fifo_that_would_be_written_to_is_not_opened(
    tmp_path: Path, benches: list[Bench], expected_logs: ExpectedLogs
) -> None:
    """It was no FIFO, or did not exist, when the configuration was checked."""
    expected_logs.expect("it can only be read, but encode, opening or polls would write to it")
    path = tmp_path / "fifo"
    os.mkfifo(path)
    bench = start(benches, str(path), encode=ENCODE)
    bench.wait_availability("offline")
