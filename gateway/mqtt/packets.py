"""PUBLISH packets: their bytes, their properties, their size. Pure. Source: MQTT 3.1.1 and 5.0, section 3.3.

Every PUBLISH of the gateway is written by `publish_packet`, whether its properties are those of `publish_properties` or
it is plain, and has none.
"""

from __future__ import annotations

import math

from paho.mqtt.properties import Properties

from gateway.core.bounded_cache import put
from gateway.message import Publication

_PUBLISH, _DUP = 0x30, 0x08
_MAX_TOPIC = 65_535  # bytes

NO_PROPERTIES = (b"", b"\0")
"""The bytes of a PUBLISH's properties if it has none: in MQTT 3.1.1, and in MQTT 5."""

_BYTES = tuple(bytes((number,)) for number in range(256))
_topic_names: dict[str, bytes] = {}  # a cache: the bytes of a topic


class PublishProperties(Properties):
    """The properties of a PUBLISH, packed into bytes immediately: paho takes 40 us to make and pack its own.

    `expiry` is the time (s) until the message expires, rounded up, at least 1; None: never. `user_property` is a name
    and a value; without a name there is none (section 3.3.2.3.7).
    """

    def __init__(
        self, expiry: float | None = None, correlation: bytes = b"", user_property: tuple[str, str] = ("", "")
    ) -> None:
        data = b""
        if expiry is not None:
            data += b"\x02" + min(max(1, math.ceil(expiry)), 0xFFFF_FFFF).to_bytes(4, "big")
        if correlation:
            data += b"\x09" + len(correlation).to_bytes(2, "big") + correlation
        if user_property[0]:
            data += b"\x26" + b"".join(map(_text, user_property))
        object.__setattr__(self, "packed", varint(len(data)) + data)

    def pack(self) -> bytes:
        """Return them as in the packet, with their length in front."""
        return self.packed  # type: ignore[no-any-return, attr-defined]

    def __str__(self) -> str:
        return self.pack().hex(" ")


def publish_properties(publication: Publication, age: float, command_lifetime: float) -> PublishProperties | None:
    """Return the properties of a publication that is `age` s old, for MQTT 5; None if it has none of its own.

    A command expires after its own lifetime (s), or after `command_lifetime` if it has none; 0: never.
    """
    lifetime = 0.0
    if publication.is_command:
        lifetime = command_lifetime if publication.lifetime is None else publication.lifetime
    if not (lifetime or publication.correlation or publication.user_property[0]):
        return None
    expiry = lifetime - age if lifetime else None
    return PublishProperties(expiry, publication.correlation, publication.user_property)


def packed_properties(properties: PublishProperties | None, *, is_v5: bool) -> bytes:
    """Return the bytes of the properties of a PUBLISH, with their length in front: MQTT 3.1.1 has none at all."""
    return properties.pack() if is_v5 and properties is not None else NO_PROPERTIES[is_v5]


def publish_packet(
    topic: str, payload: bytes, qos: int, mid: int, properties: bytes, *, retain: bool = False, dup: bool = False
) -> bytes:
    """Return a PUBLISH; `mid` counts with QoS 1 only. `properties` are those of `packed_properties`.

    Raises `ValueError` for a topic on which nothing can be published.
    """
    name = _topic_names.get(topic) or _topic_name(topic)
    if qos:
        name += mid.to_bytes(2, "big")
    first = _PUBLISH | qos << 1 | retain | (_DUP if dup else 0)
    length = len(name) + len(properties) + len(payload)
    return b"".join((_BYTES[first], _BYTES[length] if length < 128 else varint(length), name, properties, payload))


def plain_packet(publication: Publication, mid: int, no_properties: bytes) -> bytes:
    """Return the PUBLISH of a plain publication; `b""` for any other, and for one with an impossible topic.

    Plain is what has no properties of its own in any version of MQTT: no command, which may expire; no answer, which
    may have correlation data; no reading with a user property. Most publications are plain, and are written and sent
    in the fastest way.
    `no_properties` is one of `NO_PROPERTIES`.
    """
    if publication.is_command or publication.correlation or publication.user_property[0]:
        return b""
    topic, payload, qos, retain = publication[:4]
    try:
        return publish_packet(topic, payload, qos, mid, no_properties, retain=retain)
    except ValueError:
        return b""


def _topic_name(topic: str) -> bytes:
    """Return a topic with its length in front."""
    data = topic.encode()
    if not data or b"+" in data or b"#" in data or len(data) > _MAX_TOPIC:
        raise ValueError("a topic must not be empty, contain wildcards (+ or #), or be longer than 65535 bytes")
    name = len(data).to_bytes(2, "big") + data
    put(_topic_names, topic, name)
    return name


def _text(text: str) -> bytes:
    """Return a text of up to 65,535 bytes with its length in front (MQTT 5.0, section 1.5.4)."""
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def publish_size(topic: str, payload: bytes, qos: int, properties: PublishProperties | None, *, is_v5: bool) -> int:
    """Return how many bytes a PUBLISH has, its header included."""
    length = 2 + len(topic.encode()) + (2 if qos else 0) + len(packed_properties(properties, is_v5=is_v5))
    length += len(payload)
    return 1 + len(varint(length)) + length


def varint(value: int) -> bytes:
    """Return a variable byte integer (MQTT 5.0, section 1.5.5)."""
    data = b""
    while True:
        value, seven = divmod(value, 128)
        data += bytes([seven | (128 if value else 0)])
        if not value:
            return data
