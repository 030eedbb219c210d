"""A PUBLISH as the bytes that it is on the line. Pure. Source: MQTT 3.1.1 and 5.0, section 3.3."""

from __future__ import annotations

from gateway.mqtt.broker_limits import varint

_PUBLISH, _DUP = 0x30, 0x08
_MAX_KNOWN = 20_000  # topics whose bytes are remembered
_MAX_TOPIC = 65_535  # bytes

_BYTES = tuple(bytes((number,)) for number in range(256))
_known: dict[str, bytes] = {}


def publish_packet(
    topic: str, payload: bytes, qos: int, mid: int, properties: bytes, *, retain: bool = False, dup: bool = False
) -> bytes:
    """Return a PUBLISH; `mid` counts with QoS 1 only. `properties` have their length in front; 3.1.1 has none at all.

    Raises `ValueError` for a topic on which nothing can be published.
    """
    name = _known.get(topic) or _topic_name(topic)
    if qos:
        name += mid.to_bytes(2, "big")
    first = _PUBLISH | qos << 1 | retain | (_DUP if dup else 0)
    length = len(name) + len(properties) + len(payload)
    return b"".join((_BYTES[first], _BYTES[length] if length < 128 else varint(length), name, properties, payload))


def _topic_name(topic: str) -> bytes:
    """Return a topic with its length in front."""
    data = topic.encode()
    if not data or b"+" in data or b"#" in data or len(data) > _MAX_TOPIC:
        raise ValueError("a topic is not empty, has no wildcards, and at most 65535 bytes")
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    name = _known[topic] = len(data).to_bytes(2, "big") + data
    return name
