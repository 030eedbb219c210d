"""A broker that discards all messages: it accepts one client, acknowledges, and counts the messages on one topic.

It prints `port N`; `ready` once the client has connected, has subscribed if it does, and has sent nothing for a while;
and `COUNT SECONDS BAD` when the last payload has arrived: how many, in what time, and how many were wrong.
Arguments: the topic, the number of messages. The payloads expected are those of `benchmarks.topics`, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time

from benchmarks.subscriber import packets_in
from benchmarks.topics import last_of_legacy, payloads

_QUIET = 0.5  # s


def main(topic: str, count: int) -> None:
    """Serve one client after the other."""
    server = socket.create_server(("127.0.0.1", 0))
    print(f"port {server.getsockname()[1]}", flush=True)
    while True:
        client = server.accept()[0]
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            _serve(client, topic.encode(), payloads(count))


def _serve(client: socket.socket, topic: bytes, expected: list[bytes]) -> None:
    incomplete = _welcome(client)
    print("ready", flush=True)
    ends = (expected[-1], last_of_legacy(len(expected)))
    longest = max(map(len, ends))
    # Packets are parsed only after all of them have arrived: parsing would take processor time from the client.
    chunks, began, tail = [incomplete], 0.0, b""
    while not any(end in tail for end in ends):
        if not (chunk := client.recv(1 << 18)):
            raise ConnectionError("the client has disconnected")
        began = began or time.monotonic()
        chunks.append(chunk)
        tail = tail[-longest:] + chunk
    seconds = time.monotonic() - began
    head = len(topic).to_bytes(2, "big") + topic
    data = b"".join(chunks)
    bodies = [data[body:end] for _, body, end in packets_in(data)]
    _print_result([body[len(head) :] for body in bodies if body.startswith(head) and b"{" in body], expected, seconds)
    while client.recv(1 << 18):
        pass


def _welcome(client: socket.socket) -> bytes:
    """Answer a client until it has subscribed, if it does, and is silent; return the bytes of an incomplete packet."""
    incomplete, is_new = b"", False
    while not is_new or select.select([client], [], [], _QUIET)[0]:
        if not (chunk := client.recv(1 << 18)):
            raise ConnectionError("the client has disconnected")
        data, done = incomplete + chunk, 0
        for first, body, end in packets_in(data):
            is_new = _answer(client, first, data[body:end]) or is_new
            done = end
        incomplete = data[done:]
    return incomplete


_version = 4


def _answer(client: socket.socket, first: int, body: bytes) -> bool:
    """Acknowledge a packet; return whether it is a CONNECT or SUBSCRIBE."""
    global _version
    kind = first >> 4
    if kind == 3 and first & 0x06:  # QoS 1, such as the availability
        where = 2 + int.from_bytes(body[:2], "big")
        client.sendall(b"\x40\x02" + body[where : where + 2])
    elif kind == 1:
        _version = body[6]
        client.sendall(b"\x20\x03\x00\x00\x00" if _version == 5 else b"\x20\x02\x00\x00")
    elif kind == 8:
        filters = _filters(body[2:])
        properties = b"\x00" if _version == 5 else b""
        suback = body[:2] + properties + b"\x00" * filters
        client.sendall(bytes([0x90, len(suback)]) + suback)
    elif kind == 12:
        client.sendall(b"\xd0\x00")
    return kind in (1, 8)


def _filters(body: bytes) -> int:
    at = 1 + body[0] if _version == 5 else 0  # short properties only
    count = 0
    while at < len(body):
        at += 3 + int.from_bytes(body[at : at + 2], "big")
        count += 1
    return count


def _print_result(payloads: list[bytes], expected: list[bytes], seconds: float) -> None:
    # v5 has the length of the properties before the payload: 0 or a few bytes; JSON begins with a brace.
    bad = sum(
        json.loads(payload[payload.index(b"{") :]) != json.loads(other)
        for payload, other in zip(payloads, expected, strict=False)
    )
    print(f"{len(payloads)} {seconds:.6f} {bad}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
