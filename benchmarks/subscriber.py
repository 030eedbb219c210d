"""The measuring subscriber: MQTT 3.1.1 on a plain socket, so that it costs little compared with what it measures.

It subscribes with QoS 0 and has no thread. Bytes are read as they arrive, and parsed when no time is measured.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from benchmarks.report import WrongResultError
from tests.support.packets import CONNECT, PUBLISH, SUBSCRIBE, packet, text

_CHUNK = 1 << 20  # bytes read at a time
_PAUSE = 0.004  # s between two reads of a stream: long enough to leave the processor to the contender
_SILENCE = 10.0  # s without a byte; messages that are missing then are lost
_RETAINED = 0x01


@dataclass(frozen=True)
class Received:
    """One message."""

    topic: str
    payload: bytes
    retained: bool


class Subscriber:
    """A connection to the broker on `port` of the loopback, subscribed to `filters`."""

    def __init__(self, port: int, *filters: str) -> None:
        self._buffer = bytearray()
        self._chunk = memoryview(bytearray(_CHUNK))
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll = select.poll()  # select cannot handle descriptors above 1,023
        self._poll.register(self._socket, select.POLLIN)
        self._send(CONNECT, text("MQTT") + bytes([4, 2, 0, 0]) + text(""))  # level 4, clean session, no keepalive
        self._expect(0x20)
        if filters:
            subscriptions = b"".join(text(topic_filter) + b"\0" for topic_filter in filters)
            self._send(SUBSCRIBE, bytes([0, 1]) + subscriptions, flags=2)
            self._expect(0x90)

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def publish(self, topic: str, members: dict[str, Any]) -> None:
        """Publish a JSON object, QoS 0."""
        self._send(PUBLISH, text(topic) + json.dumps(members).encode())

    def publish_all(self, topic: str, payloads: Sequence[bytes]) -> None:
        """Publish payloads of some bytes, QoS 0, as fast as the broker accepts them."""
        head = text(topic)
        self._socket.sendall(b"".join(bytes([0x30, len(head) + len(payload)]) + head + payload for payload in payloads))

    def receive(self, timeout: float) -> list[Received]:
        """Wait up to `timeout` (s) for bytes; return the messages that are complete."""
        if not self._is_readable(timeout):
            return []
        self._read()
        end, messages = _messages(self._buffer)
        del self._buffer[:end]
        return messages

    def wait_live(self, topic: str, payload: bytes, timeout: float = 10.0) -> None:
        """Return when `payload` is published on `topic`; retained messages do not count."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for message in self.receive(deadline - time.monotonic()):
                if (message.topic, message.payload, message.retained) == (topic, payload, False):
                    return
        raise WrongResultError(f"no {payload!r} on {topic} within {timeout:g} s")

    def stream(self, last: bytes, timeout: float = 60.0) -> tuple[float, list[Received]]:
        """Read until a message has ended with `last`; return the moment (s, monotonic) and all messages.

        It also ends after a silence or after `timeout` (s), and then returns what has arrived.
        """
        deadline = time.monotonic() + timeout
        last_read = time.monotonic()
        while not self._buffer.endswith(last) and time.monotonic() < min(deadline, last_read + _SILENCE):
            if self._is_readable(0.1):
                self._read()
                last_read = time.monotonic()
                if not self._buffer.endswith(last):
                    time.sleep(_PAUSE)
        end, messages = _messages(self._buffer)
        del self._buffer[:end]
        return last_read, messages

    def _is_readable(self, timeout: float) -> bool:
        return bool(self._poll.poll(max(0.0, timeout) * 1000))

    def _read(self) -> None:
        size = self._socket.recv_into(
            self._chunk
        )  # into the existing buffer: allocating a MiB for each read costs more
        if not size:
            raise WrongResultError("the broker has closed the connection of the subscriber")
        self._buffer += self._chunk[:size]

    def _send(self, kind: int, body: bytes, flags: int = 0) -> None:
        self._socket.sendall(packet(kind, body, flags))

    def _expect(self, head: int) -> None:
        """Wait for the acknowledgement that begins with `head`; retained messages stay behind it."""
        while not any(each[0] == head for each in packets_in(self._buffer)):
            self._read()
        start = 0
        for first, _, end in packets_in(bytes(self._buffer)):
            if first == head:
                del self._buffer[start:end]
                return
            start = end


def packets_in(data: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Yield first byte, start of the body and end of each complete packet in `data`."""
    at = 0
    while at + 1 < len(data):
        body, length, shift = at + 1, 0, 0
        while body < len(data):
            seven = data[body]
            body += 1
            length |= (seven & 127) << shift
            shift += 7
            if seven < 128:
                break
        else:
            return
        if body + length > len(data):
            return
        yield data[at], body, body + length
        at = body + length


def _messages(buffer: bytearray) -> tuple[int, list[Received]]:
    """Return where the last complete packet ends, and the messages up to there."""
    data, done = bytes(buffer), 0
    messages: list[Received] = []
    for first, body, end in packets_in(data):
        if first >> 4 == PUBLISH:
            cut = body + 2 + int.from_bytes(data[body : body + 2], "big")
            messages.append(Received(data[body + 2 : cut].decode(), data[cut:end], bool(first & _RETAINED)))
        done = end
    return done, messages
