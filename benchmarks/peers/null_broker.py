"""A broker that discards: it accepts one client, acknowledges, and counts what is published on one topic.

It prints `port N`, `ready` once the client has connected, subscribed if it does, and been quiet;
`COUNT SECONDS BAD` when the last payload has come: how many, in how long, and how many were wrong.
Arguments: the topic, the number of messages. The payloads expected are those of `benchmarks.topics`, as JSON.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

from benchmarks.topics import payloads

_QUIET = 0.5  # s


def main(topic: str, count: int) -> None:
    """Serve one client until it leaves."""
    server = socket.create_server(("127.0.0.1", 0))
    print(f"port {server.getsockname()[1]}", flush=True)
    while True:
        client = server.accept()[0]
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _serve(client, topic.encode(), payloads(count))


def _serve(client: socket.socket, topic: bytes, expected: list[bytes]) -> None:
    buffer, found, began, is_new, is_said = b"", list[bytes](), 0.0, False, False
    head = len(topic).to_bytes(2, "big") + topic
    while True:
        if is_new and not is_said and not select.select([client], [], [], _QUIET)[0]:
            print("ready", flush=True)
            is_said = True
        chunk = client.recv(1 << 18)
        if not chunk:
            return
        buffer += chunk
        at, size = 0, len(buffer)
        while at + 1 < size:
            body, length, shift = at + 1, 0, 0
            while body < size:
                seven = buffer[body]
                body += 1
                length |= (seven & 127) << shift
                shift += 7
                if seven < 128:
                    break
            else:
                break
            end = body + length
            if end > size:
                break
            first = buffer[at]
            if first >> 4 != 3:
                is_new = _answer(client, first, buffer[body:end]) or is_new
            elif buffer.startswith(head, body):
                payload = buffer[body + len(head) : end]
                if b"{" in payload:  # or it is the original that says that it is ready
                    began = began or time.monotonic()
                    found.append(payload)
            elif first & 0x06:  # QoS 1, such as the availability
                where = body + 2 + int.from_bytes(buffer[body : body + 2], "big")
                client.sendall(b"\x40\x02" + buffer[where : where + 2])
            at = end
        buffer = buffer[at:]
        if len(found) == len(expected):
            _say(found, expected, time.monotonic() - began)
            found = []


_version = 4


def _answer(client: socket.socket, first: int, body: bytes) -> bool:
    """Acknowledge a packet that is no PUBLISH; tell whether it is one with which a client begins."""
    global _version
    kind = first >> 4
    if kind == 1:
        _version = body[6]
        client.sendall(b"\x20\x03\x00\x00\x00" if _version == 5 else b"\x20\x02\x00\x00")
    elif kind == 8:
        filters = _filters(body[2:])
        properties = b"\x00" if _version == 5 else b""
        rest = body[:2] + properties + b"\x00" * filters
        client.sendall(bytes([0x90, len(rest)]) + rest)
    elif kind == 12:
        client.sendall(b"\xd0\x00")
    return kind in (1, 8)


def _filters(body: bytes) -> int:
    at = 1 + body[0] if _version == 5 else 0  # short properties only
    found = 0
    while at < len(body):
        at += 3 + int.from_bytes(body[at : at + 2], "big")
        found += 1
    return found


def _say(found: list[bytes], expected: list[bytes], seconds: float) -> None:
    # v5 has the length of the properties before the payload: 0 or a few bytes; JSON begins with a brace.
    bad = sum(
        json.loads(one[one.index(b"{") :]) != json.loads(other) for one, other in zip(found, expected, strict=True)
    )
    print(f"{len(found)} {seconds:.6f} {bad}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
