"""The least that Python can do: a pty, a plain socket and `poll` in one thread, each read of lines written at once.

What is published is what the gateway publishes, without framing options, rules, map, outbox or supervision; commands
are written to the device and answered. MQTT 3.1.1, QoS 0.

Arguments: port, device, the topic of what the device says.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from collections.abc import Iterator

from benchmarks.subscriber import packets_in
from benchmarks.topics import COMMAND_TOPIC, READY_TOPIC, STATUS_TOPIC
from tests.support.packets import CONNECT, PUBLISH, SUBACK, SUBSCRIBE, packet, text


def main(port: int, device: str, topic: str) -> None:
    """Run until killed, or until the broker closes the connection."""
    fd = os.open(device, os.O_RDWR | os.O_NOCTTY)
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(packet(CONNECT, text("MQTT") + bytes([4, 2, 0, 0]) + text("")))
    sock.sendall(packet(SUBSCRIBE, bytes([0, 1]) + text(COMMAND_TOPIC) + b"\0", flags=2))
    head, answer_head = text(topic), text(STATUS_TOPIC)
    came, rest = bytearray(), b""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(fd, select.POLLIN)
    while True:
        ready = {number for number, _ in poll.poll()}
        if sock.fileno() in ready:
            data = sock.recv(65536)
            if not data:
                return
            came += data
            for payload in _commands(came, sock):
                command = json.loads(payload)
                os.write(fd, b"S %d\r\n" % command["n"])
                sock.sendall(_publish(answer_head + _json({**command, "response": "OK", "reason": ""})))
        if fd in ready:
            *frames, rest = (rest + os.read(fd, 2048)).split(b"\n")
            said = [frame.decode().partition(" ") for frame in frames]
            values = [float(value) for kind, _, value in said if kind == "T"]
            payloads = [_json({"action": "TEMPERATURE", "celsius": value}) for value in values]
            if payloads:
                sock.sendall(b"".join([_publish(head + payload) for payload in payloads]))


def _commands(came: bytearray, sock: socket.socket) -> Iterator[bytes]:
    """Yield the payloads of what has come whole, and take it away; say that all is ready when it is."""
    done = 0
    for first, body, end in packets_in(bytes(came)):
        if first >> 4 == SUBACK:
            sock.sendall(packet(PUBLISH, text(READY_TOPIC) + b"online"))
        elif first >> 4 == PUBLISH:
            yield bytes(came[body + 2 + int.from_bytes(came[body : body + 2], "big") : end])
        done = end
    del came[:done]


def _publish(body: bytes) -> bytes:
    """Return a PUBLISH of up to 16 KiB, which takes less than one of any length: each line makes one."""
    length = len(body)
    return bytes([0x30, length] if length < 128 else [0x30, length & 127 | 128, length >> 7]) + body


def _json(members: dict[str, object]) -> bytes:
    return json.dumps(members).encode()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
