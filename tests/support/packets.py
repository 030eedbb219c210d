"""MQTT control packets (3.1.1 and 5) to bytes and back, as far as the tests need them, without paho. Pure.

Section numbers are those of the MQTT 5.0 standard.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 12, 13, 14  # table 2.1

V3, V5 = 4, 5  # protocol levels of 3.1.1 and 5

Value: TypeAlias = "int | str | bytes | tuple[str, str]"

_PROPERTIES = {
    # Section 2.2.2.2: name, identifier, type (of struct, or s: text, b: bytes, p: pair of texts, v: varint)
    "message_expiry": (0x02, "I"),
    "content_type": (0x03, "s"),
    "response_topic": (0x08, "s"),
    "correlation_data": (0x09, "b"),
    "subscription_identifier": (0x0B, "v"),
    "session_expiry": (0x11, "I"),
    "assigned_client_id": (0x12, "s"),
    "server_keep_alive": (0x13, "H"),
    "request_problem_information": (0x17, "B"),
    "request_response_information": (0x19, "B"),
    "server_reference": (0x1C, "s"),
    "reason_string": (0x1F, "s"),
    "receive_maximum": (0x21, "H"),
    "topic_alias_maximum": (0x22, "H"),
    "topic_alias": (0x23, "H"),
    "maximum_qos": (0x24, "B"),
    "retain_available": (0x25, "B"),
    "user_property": (0x26, "p"),
    "maximum_packet_size": (0x27, "I"),
    "wildcard_available": (0x28, "B"),
    "subscription_ids_available": (0x29, "B"),
    "shared_available": (0x2A, "B"),
    "payload_format": (0x01, "B"),
}
_NAMES = {identifier: (name, form) for name, (identifier, form) in _PROPERTIES.items()}


@dataclass(frozen=True)
class Packet:
    """A received control packet: its kind, the four flag bits, the bytes after the fixed header, and the version."""

    kind: int
    flags: int
    body: bytes
    version: int = V3

    @property
    def size(self) -> int:
        """The number of its bytes on the line."""
        return 1 + len(varint(len(self.body))) + len(self.body)

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def is_duplicate(self) -> bool:
        return bool(self.flags & 8)

    @property
    def topic(self) -> str:
        """The topic of a PUBLISH."""
        return self.body[2 : 2 + int.from_bytes(self.body[:2], "big")].decode()

    @property
    def payload(self) -> bytes:
        """The payload of a PUBLISH."""
        return self._split_publish()[1]

    @property
    def properties(self) -> dict[str, Value]:
        """The properties of a PUBLISH or a CONNECT of version 5; of a repeated one, the last value."""
        if self.kind == CONNECT:
            return read_properties(self.body, 10)[0] if self.version == V5 else {}
        return self._split_publish()[0]

    @property
    def mid(self) -> bytes:
        """The packet identifier of a PUBLISH, PUBACK or SUBSCRIBE, as two bytes."""
        at = 2 + len(self.topic.encode()) if self.kind == PUBLISH else 0
        return self.body[at : at + 2]

    @property
    def reason(self) -> int:
        """The reason code of a PUBACK or DISCONNECT; 0 if it is omitted."""
        at = 2 if self.kind == PUBACK else 0
        return self.body[at] if len(self.body) > at else 0

    @property
    def filters(self) -> list[str]:
        """The filters of a SUBSCRIBE."""
        return [topic_filter for topic_filter, _ in self.subscriptions]

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """The filters of a SUBSCRIBE, each with its options: the QoS, and the bits of section 3.8.3.1."""
        at = read_properties(self.body, 2)[1] if self.version == V5 else 2
        subscriptions, remaining = [], self.body[at:]
        while remaining:
            end = 2 + int.from_bytes(remaining[:2], "big")
            subscriptions.append((remaining[2:end].decode(), remaining[end]))
            remaining = remaining[end + 1 :]
        return subscriptions

    @property
    def client_id(self) -> str:
        """The client id of a CONNECT."""
        at = read_properties(self.body, 10)[1] if self.version == V5 else 10
        return self.body[at + 2 : at + 2 + int.from_bytes(self.body[at : at + 2], "big")].decode()

    @property
    def is_clean(self) -> bool:
        """Whether a CONNECT asks for a new session."""
        return bool(self.body[7] & 2)

    def _split_publish(self) -> tuple[dict[str, Value], bytes]:
        at = 2 + len(self.topic.encode()) + (2 if self.qos else 0)
        if self.version != V5:
            return {}, self.body[at:]
        values, at = read_properties(self.body, at)
        return values, self.body[at:]


def packet(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """Return the bytes of a control packet."""
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def text(value: str) -> bytes:
    """Return a text as encoded in a packet."""
    return len(value.encode()).to_bytes(2, "big") + value.encode()


def varint(value: int) -> bytes:
    """Return a variable byte integer (section 1.5.5)."""
    data = b""
    while True:
        value, seven = divmod(value, 128)
        data += bytes([seven | (128 if value else 0)])
        if not value:
            return data


def properties(values: Mapping[str, Value] | None = None) -> bytes:
    """Return the properties of a packet of version 5, preceded by their length; without any, a length of 0."""
    data = b""
    for name, value in (values or {}).items():
        identifier, form = _PROPERTIES[name]
        data += bytes([identifier])
        if isinstance(value, tuple):
            data += text(value[0]) + text(value[1])
        elif isinstance(value, str):
            data += text(value)
        elif isinstance(value, bytes):
            data += len(value).to_bytes(2, "big") + value
        else:
            data += varint(value) if form == "v" else struct.pack(f">{form}", value)
    return varint(len(data)) + data


def read_properties(data: bytes, at: int) -> tuple[dict[str, Value], int]:
    """Return the properties in `data` from `at` on, and their end."""
    length, at = _read_varint(data, at)
    end = at + length
    values: dict[str, Value] = {}
    while at < end:
        name, form = _NAMES[data[at]]
        at += 1
        if form == "v":
            values[name], at = _read_varint(data, at)
        elif form in "sbp":
            value, at = _read_bytes(data, at)
            values[name] = value if form == "b" else value.decode()
            if form == "p":
                second, at = _read_bytes(data, at)
                values[name] = (value.decode(), second.decode())
        else:
            (values[name],) = struct.unpack_from(f">{form}", data, at)
            at += struct.calcsize(form)
    return values, end


def publish(topic: str, payload: bytes, mid: int = 0, *, flags: int = 0, version: int = V3, **values: Value) -> bytes:
    """Return a PUBLISH, of QoS 1 if it has a packet identifier `mid`; `values` are properties of version 5."""
    head = text(topic) + (mid.to_bytes(2, "big") if mid else b"")
    return packet(PUBLISH, head + (properties(values) if version == V5 else b"") + payload, flags | (2 if mid else 0))


class Splitter:
    """Splits a stream of bytes, in chunks of any size, into packets; a CONNECT among them sets the version."""

    def __init__(self, version: int = V3) -> None:
        self.version = version
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """Return the packets that `data` completes."""
        self._buffer += data
        return list(self._complete())

    def _complete(self) -> Iterator[Packet]:
        at = 0
        view = bytes(self._buffer)
        while at + 1 < len(view):
            length, body = _read_varint(view, at + 1)
            if body < 0 or body + length > len(view):
                break
            head, content = view[at], view[body : body + length]
            if head >> 4 == CONNECT:
                self.version = version_of(content)
            yield Packet(head >> 4, head & 15, content, self.version)
            at = body + length
        del self._buffer[:at]


def version_of(connect: bytes) -> int:
    """Return the protocol level in the body of a CONNECT."""
    at = 2 + int.from_bytes(connect[:2], "big")
    return connect[at] if len(connect) > at else V3


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the variable byte integer at `at`, and its end; -1 if it is not complete."""
    value, shift = 0, 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
    return 0, -1


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 : end], end
