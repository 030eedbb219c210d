"""The minimal program in Python: a pty, a plain socket and `poll` in one thread; each read is published immediately.

It publishes the same as the gateway, without framing options, rules, map, outbox or supervision; commands are
written to the device and answered. MQTT 3.1.1, QoS 0.

Arguments: port, device, the topic for the lines of the device.
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
    received, partial_line = bytearray(), b""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(fd, select.POLLIN)
    while True:
        ready = {number for number, _ in poll.poll()}
        if sock.fileno() in ready:
            data = sock.recv(65536)
            if not data:
                return
            received += data
            for payload in _commands(received, sock):
                command = json.loads(payload)
                os.write(fd, b"S %d\r\n" % command["n"])
                sock.sendall(_publish(answer_head + _json({**command, "response": "OK", "reason": ""})))
        if fd in ready:
            *frames, partial_line = (partial_line + os.read(fd, 2048)).split(b"\n")
            words = [frame.decode().partition(" ") for frame in frames]
            values = [float(value) for kind, _, value in words if kind == "T"]
            payloads = [_json({"action": "TEMPERATURE", "celsius": value}) for value in values]
            if payloads:
                sock.sendall(b"".join([_publish(head + payload) for payload in payloads]))


def _commands(received: bytearray, sock: socket.socket) -> Iterator[bytes]:
    """Yield the payloads of complete commands and remove them from the buffer; on SUBACK, publish `online`."""
    done = 0
    for first, body, end in packets_in(bytes(received)):
        if first >> 4 == SUBACK:
            sock.sendall(packet(PUBLISH, text(READY_TOPIC) + b"online"))
        elif first >> 4 == PUBLISH:
            yield bytes(received[body + 2 + int.from_bytes(received[body : body + 2], "big") : end])
        done = end
    del received[:done]


def _publish(body: bytes) -> bytes:
    """Return a PUBLISH of up to 16 KiB, which is faster to build than one of any length."""
    length = len(body)
    return bytes([0x30, length] if length < 128 else [0x30, length & 127 | 128, length >> 7]) + body


def _json(members: dict[str, object]) -> bytes:
    return json.dumps(members).encode()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
