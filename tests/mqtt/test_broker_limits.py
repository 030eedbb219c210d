"""What a broker takes, and how large a packet of ours is: to the byte, as paho writes it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.mqtt.broker_limits import BrokerLimits, PublishProperties, limits_of, publish_size, varint
from gateway.translation.payload import MAX_PAYLOAD_BYTES


class Recorder(Client):
    """Keeps the packets that paho writes."""

    def __init__(self, protocol: MQTTProtocolVersion) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=protocol)
        self.written: list[bytes] = []
        self._sock: Any = object()

    def _packet_queue(self, command: int, packet: bytes | bytearray, *_: Any) -> Any:
        self.written.append(bytes(packet))
        return 0

    def __del__(self) -> None:
        self._sock = None


@pytest.mark.parametrize("length", [0, 1, 100, 127, 128, 16_383, 16_384, 300_000])
@given(
    topic=st.text("aä€𝄞/", min_size=1, max_size=40), qos=st.sampled_from([0, 1]), correlation=st.binary(max_size=200)
)
def test_the_size_is_that_of_the_packet(length: int, topic: str, qos: int, correlation: bytes) -> None:
    properties = PublishProperties(1.5, correlation)
    v5, v3 = Recorder(MQTTProtocolVersion.MQTTv5), Recorder(MQTTProtocolVersion.MQTTv311)
    v5.publish(topic, bytes(length), qos, False, properties)
    v5.publish(topic, bytes(length), qos)
    v3.publish(topic, bytes(length), qos)
    assert list(map(len, v5.written + v3.written)) == [
        publish_size(topic, bytes(length), qos, properties, is_v5=True),
        publish_size(topic, bytes(length), qos, None, is_v5=True),
        publish_size(topic, bytes(length), qos, None, is_v5=False),
    ]


@given(st.one_of(st.none(), st.floats(0, 2**32)), st.binary(max_size=1000))
def test_properties_are_what_paho_would_make_of_them(expiry: float | None, correlation: bytes) -> None:
    read = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    packed = PublishProperties(expiry, correlation).pack()
    assert read.unpack(packed)[1] == len(packed)  # type: ignore[no-untyped-call]
    assert getattr(read, "CorrelationData", b"") == correlation
    left: Any = getattr(read, "MessageExpiryInterval", None)
    assert (left is None) == (expiry is None)
    if expiry is not None and left is not None:
        assert left == 2**32 - 1 or left - 1 < max(expiry, 1) <= left


@pytest.mark.parametrize(("value", "data"), [(0, "00"), (127, "7f"), (128, "80 01"), (2_097_152, "80 80 80 01")])
def test_variable_byte_integers_are_those_of_the_standard(value: int, data: str) -> None:
    assert varint(value) == bytes.fromhex(data)


def test_a_broker_that_says_nothing_has_no_limits() -> None:
    limits = limits_of(Properties(PacketTypes.CONNACK))  # type: ignore[no-untyped-call]
    assert limits == limits_of(None) == BrokerLimits()
    assert not limits.concern_each
    assert limits.take(10**9, 2, True)


def test_limits_are_read_from_connack() -> None:
    connack = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    connack.ReceiveMaximum, connack.MaximumPacketSize, connack.MaximumQoS, connack.RetainAvailable = 7, 100, 1, 0
    limits = limits_of(connack)
    assert limits == BrokerLimits(7, 100, 1, False)
    assert limits.concern_each
    assert limits.take(100, 1, False)
    assert not limits.take(101, 1, False)
    assert not limits.take(100, 2, False)
    assert not limits.take(100, 1, True)


@pytest.mark.parametrize(("maximum", "concerns"), [(2_000_000, False), (600_000, False), (500_000, True)])
def test_a_limit_that_no_packet_of_ours_comes_near_costs_nothing(maximum: int, concerns: bool) -> None:
    """Mosquitto 2.1 names one at each connect."""
    assert BrokerLimits(maximum_packet=maximum).concern_each is concerns
    properties = PublishProperties(1.0, bytes(65_535))
    assert publish_size("t" * 65_535, bytes(MAX_PAYLOAD_BYTES), 1, properties, is_v5=True) < 512 * 1024
