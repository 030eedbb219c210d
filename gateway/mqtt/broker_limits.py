"""The limits that a broker announces in its CONNACK (MQTT 5.0, section 3.2.2.3). Pure.

paho reads them, but does not keep to them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_LARGEST_OF_OURS = 512 * 1024
"""Bytes; every packet of ours is smaller: payload at most 256 KiB, topic and correlation data at most 64 KiB each, and
a short user property."""


class BrokerLimits(NamedTuple):
    """The limits of a broker. The defaults are those of a broker that announces none, or uses MQTT 3.1.1."""

    receive_maximum: int = 65_535
    maximum_packet: int | None = None
    maximum_qos: int = 2
    retain_available: bool = True

    @property
    def needs_size_check(self) -> bool:
        """Whether each publication has to be checked against the limits: its size, its QoS and its retain flag."""
        may_be_too_large = self.maximum_packet is not None and self.maximum_packet < _LARGEST_OF_OURS
        return may_be_too_large or self.maximum_qos == 0 or not self.retain_available

    def allow(self, size: int, qos: int, retain: bool) -> bool:
        """Return whether the broker accepts a PUBLISH of `size` bytes."""
        fits = self.maximum_packet is None or size <= self.maximum_packet
        return fits and qos <= self.maximum_qos and (self.retain_available or not retain)


def limits_of(connack: Any) -> BrokerLimits:
    """Return the limits in the properties of a CONNACK (None: no properties)."""
    return BrokerLimits(
        getattr(connack, "ReceiveMaximum", 65_535),
        getattr(connack, "MaximumPacketSize", None),
        getattr(connack, "MaximumQoS", 2),
        bool(getattr(connack, "RetainAvailable", 1)),
    )
