"""Requests that are followed by a stream: slow and vanished clients, limits, and the end of the gateway."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.control import server as server_module
from gateway.control.client import ask, follow
from gateway.control.place import connect
from gateway.control.protocol import Answer, ControlError, RequestKind, encode_line
from gateway.control.server import MAX_CLIENTS, MAX_FOLLOWERS, ControlServer
from gateway.core.errands import Errands
from gateway.core.own_files import open_own_folder
from tests.conftest import ExpectedLogs
from tests.support.waiting import wait_until


class Numbers:
    """A stream of numbers up to `count`, and then nothing, or an error."""

    def __init__(self, count: int, error: Exception | None = None, size: int = 0) -> None:
        self.next = 0
        self.count = count
        self.error = error
        self.padding = "x" * size
        self.is_closed = False

    def lines(self) -> bytes:
        if self.next < self.count:
            self.next += 1
            return encode_line({"number": self.next, "padding": self.padding})
        if self.error is not None:
            raise self.error
        return b""

    def close(self) -> None:
        self.is_closed = True


class Desk:
    """A server of such streams, and of a request that is answered at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.streams: list[Numbers] = []
        self.count, self.size = 3, 0
        self.error: Exception | None = None
        kinds = {
            "follow": RequestKind(self._follow, in_main_thread=False),
            "echo": RequestKind(lambda _, answer: answer({}), in_main_thread=False),
        }
        self.server = ControlServer(open_own_folder(folder), "gw", kinds, Errands(lambda: None))
        self.environment = {"RUNTIME_DIRECTORY": str(folder)}

    def _follow(self, _: Mapping[str, Any], answer: Answer) -> None:
        stream = Numbers(self.count, self.error, self.size)
        self.streams.append(stream)
        answer.follow({"stream": len(self.streams)}, stream)

    def follow(self) -> Iterator[dict[str, Any] | None]:
        return follow("gw", "follow", self.environment, 0.01)

    def connect(self) -> socket.socket:
        """Return a connection that has asked for a stream and reads nothing of it."""
        folder = open_own_folder(self.folder)
        try:
            sock = connect(folder, "gw", 10.0)
        finally:
            os.close(folder)
        wanted = len(self.streams) + 1
        sock.sendall(b'{"request": "follow"}\n')
        wait_until(lambda: len(self.streams) >= wanted)
        return sock

    def close(self) -> None:
        self.server.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def test_what_follows_comes_after_the_answer_and_nothing_is_waited_for(desk: Desk) -> None:
    events = desk.follow()
    assert next(events) == {"stream": 1}
    numbers: list[int] = []
    while len(numbers) < 3:
        event = next(events)
        if event is not None:
            numbers.append(event["number"])
    assert numbers == [1, 2, 3]
    assert next(events) is None


def test_a_stream_ends_with_the_client(desk: Desk) -> None:
    sock = desk.connect()
    sock.close()
    wait_until(lambda: desk.streams[0].is_closed)
    ask("gw", "echo", desk.environment)


def test_a_client_that_reads_nothing_keeps_nobody_waiting_and_is_ended_at_last(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.count, desk.size = 1_000_000, 100_000
    with desk.connect():
        (stream,) = desk.streams
        wait_until(lambda: stream.next > 1)
        for _ in range(3):
            ask("gw", "echo", desk.environment)
        monkeypatch.setattr(server_module, "LONGEST_STANDSTILL", 0.1)
        wait_until(lambda: len(desk.streams) == 1)
        assert not stream.is_closed  # its deadline was set before
        assert stream.next < 100  # what it does not read is not made either
    wait_until(lambda: stream.is_closed)
    with desk.connect():
        wait_until(lambda: desk.streams[1].is_closed, what="the end of a client that reads nothing")


def test_those_that_follow_are_limited_and_keep_no_other_request_out(desk: Desk) -> None:
    desk.count = 0
    socks = [desk.connect() for _ in range(MAX_FOLLOWERS)]
    with pytest.raises(ControlError, match=f"{MAX_FOLLOWERS} others follow this gateway"):
        next(desk.follow())
    wait_until(lambda: desk.streams[-1].is_closed)
    for _ in range(2 * MAX_CLIENTS):
        ask("gw", "echo", desk.environment)
    socks.pop().close()
    wait_until(lambda: sum(stream.is_closed for stream in desk.streams) == 2)
    assert next(desk.follow()) == {"stream": MAX_FOLLOWERS + 2}
    for sock in socks:
        sock.close()


def test_a_stream_that_fails_ends_only_itself(desk: Desk, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("what a client of the control socket follows has failed")
    desk.error = ValueError("odd")
    events = desk.follow()
    assert [event for event in events if event is not None][-1]["number"] == 3
    wait_until(lambda: desk.streams[0].is_closed)
    ask("gw", "echo", desk.environment)


def test_the_end_of_the_gateway_is_told(desk: Desk) -> None:
    events = desk.follow()
    next(events)
    threading.Timer(0.1, desk.server.close).start()
    received = [event for event in events if event is not None]
    assert received[-1] == {"end": "the gateway is being stopped"}
    wait_until(lambda: desk.streams[0].is_closed)


def test_what_a_client_says_meanwhile_is_ignored(desk: Desk) -> None:
    with desk.connect() as sock:
        sock.sendall(b'{"request": "follow"}\n' * 10)
        with sock.makefile("rb") as stream:
            lines = [json.loads(stream.readline()) for _ in range(4)]
    assert [line.get("number") for line in lines] == [None, 1, 2, 3]
    assert len(desk.streams) == 1
