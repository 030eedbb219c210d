"""What a broker takes, as its CONNACK says (MQTT 5.0, section 3.2.2.3), and how large a packet is. Pure.

paho reads these and does nothing about them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from paho.mqtt.properties import Properties

_LONGEST = 512 * 1024  # bytes of a packet than which ours are shorter: payload 256 KiB, topic and correlation 64 each


class BrokerLimits(NamedTuple):
    """The limits of a broker. The defaults are those of one that says nothing, or speaks MQTT 3.1.1."""

    receive_maximum: int = 65_535
    maximum_packet: int | None = None
    maximum_qos: int = 2
    retain_available: bool = True

    @property
    def concern_each(self) -> bool:
        """Tell whether each publication is to be looked at."""
        may_be_too_long = self.maximum_packet is not None and self.maximum_packet < _LONGEST
        return may_be_too_long or self.maximum_qos == 0 or not self.retain_available

    def take(self, size: int, qos: int, retain: bool) -> bool:
        """Tell whether the broker takes a PUBLISH of `size` bytes."""
        fits = self.maximum_packet is None or size <= self.maximum_packet
        return fits and qos <= self.maximum_qos and (self.retain_available or not retain)


def limits_of(connack: Any) -> BrokerLimits:
    """Return the limits that the properties of a CONNACK say."""
    return BrokerLimits(
        getattr(connack, "ReceiveMaximum", 65_535),
        getattr(connack, "MaximumPacketSize", None),
        getattr(connack, "MaximumQoS", 2),
        bool(getattr(connack, "RetainAvailable", 1)),
    )


class PublishProperties(Properties):
    """The properties of a PUBLISH of ours, as the bytes that they are: what paho has for them takes 40 us to make."""

    def __init__(self, expiry: float | None = None, correlation: bytes = b"") -> None:
        """Take the seconds (rounded up, at least 1) until the message expires, and the correlation data."""
        data = b""
        if expiry is not None:
            data += b"\x02" + min(max(1, math.ceil(expiry)), 0xFFFF_FFFF).to_bytes(4, "big")
        if correlation:
            data += b"\x09" + len(correlation).to_bytes(2, "big") + correlation
        object.__setattr__(self, "packed", varint(len(data)) + data)

    def pack(self) -> bytes:
        """Return them as they stand in the packet, with their length in front."""
        return self.packed  # type: ignore[no-any-return, attr-defined]

    def __str__(self) -> str:
        return self.pack().hex(" ")


def publish_size(topic: str, payload: bytes, qos: int, properties: PublishProperties | None, *, is_v5: bool) -> int:
    """Return the bytes of a PUBLISH on the line, with its header (MQTT 5.0, section 3.3)."""
    rest = 2 + len(topic.encode()) + (2 if qos else 0) + len(payload)
    if is_v5:
        rest += len(properties.pack()) if properties is not None else 1
    return 1 + len(varint(rest)) + rest


def varint(value: int) -> bytes:
    """Return a variable byte integer (MQTT 5.0, section 1.5.5)."""
    data = b""
    while True:
        value, seven = divmod(value, 128)
        data += bytes([seven | (128 if value else 0)])
        if not value:
            return data
