"""Checks whether a broker accepts connections, without a side effect: for the return to the preferred broker."""

from __future__ import annotations

import struct

from gateway.mqtt.dial import Connection, LinkError, Server
from gateway.mqtt.packets import varint

_CONNACK = 0x20
_DISCONNECT = b"\xe0\x00"


def probe(connection: Connection, server: Server, client_id: str, username: str | None, password: str | None) -> None:
    """Send CONNECT, in MQTT 3.1.1 and with a clean session, wait for CONNACK, and send DISCONNECT.

    `client_id` must differ from that of the gateway, or a cluster of brokers would end the link that is up. The
    connection, which has a time limit, stays open. Raises `LinkError` if the broker refuses, and `OSError` if it does
    not answer.
    """
    connection.send(connect_packet(client_id, username, password))
    answer = b""
    while len(answer) < 4:
        data = connection.recv(4 - len(answer))
        if not data:
            break
        answer += data
    if len(answer) < 4 or answer[0] != _CONNACK or answer[3] != 0:
        raise LinkError(f"{server} does not accept a connection yet", f"it answered {answer.hex(' ') or 'nothing'}")
    connection.send(_DISCONNECT)


def connect_packet(client_id: str, username: str | None, password: str | None) -> bytes:
    """Return a CONNECT of MQTT 3.1.1 (section 3.1) with a clean session and no keepalive."""
    flags = 0x02 | (0x80 if username is not None else 0) | (0x40 if username is not None and password else 0)
    body = _text("MQTT") + bytes([4, flags]) + b"\0\0" + _text(client_id)
    if username is not None:
        body += _text(username) + (_text(password) if password else b"")
    return b"\x10" + varint(len(body)) + body


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("!H", len(data)) + data
