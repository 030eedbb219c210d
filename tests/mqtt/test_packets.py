"""PUBLISH packets: byte for byte those that paho writes."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.message import Publication
from gateway.mqtt.packets import (
    NO_PROPERTIES,
    PublishProperties,
    packed_properties,
    plain_packet,
    publish_packet,
    publish_properties,
    publish_size,
    varint,
)
from gateway.translation.payload import MAX_PAYLOAD_BYTES

topics = st.text("aä€𝄞/", min_size=1, max_size=40)
payloads = st.one_of(st.binary(max_size=300), st.sampled_from([0, 127, 128, 16_383, 16_384, 300_000]).map(bytes))
user_properties = st.sampled_from([("", ""), ("read_at", "2026-11-29T21:30:05.120Z"), ("ä€", "")])
properties = st.one_of(
    st.none(), st.builds(PublishProperties, st.floats(1, 99), st.binary(max_size=200), user_properties)
)
publications = st.builds(
    Publication,
    topic=st.one_of(topics, st.sampled_from(["", "a/#"])),
    payload=payloads,
    qos=st.sampled_from([0, 1]),
    retain=st.booleans(),
    is_command=st.booleans(),
    lifetime=st.sampled_from([None, 0.0, 30.0]),
    correlation=st.sampled_from([b"", b"17"]),
    user_property=user_properties,
)


class Recorder(Client):
    """Keeps the packets that paho writes."""

    def __init__(self, *, is_v5: bool) -> None:
        protocol = MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311
        super().__init__(CallbackAPIVersion.VERSION2, protocol=protocol)
        self.written: list[bytes] = []
        self._sock: Any = object()

    def _packet_queue(self, command: int, packet: bytes | bytearray, *_: Any) -> Any:
        self.written.append(bytes(packet))
        return 0

    def __del__(self) -> None:
        self._sock = None


def packet_of_paho(
    topic: str,
    payload: bytes,
    qos: int,
    mid: int,
    own_properties: Properties | None,
    *,
    is_v5: bool,
    retain: bool,
    dup: bool,
) -> bytes:
    paho = Recorder(is_v5=is_v5)
    paho._send_publish(mid, topic.encode(), payload, qos, retain, dup, None, own_properties)
    (packet,) = paho.written
    return packet


@given(
    topics,
    payloads,
    st.sampled_from([0, 1, 2]),
    st.integers(1, 65_535),
    properties,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_a_packet_is_the_same_as_that_of_paho(
    topic: str, payload: bytes, qos: int, mid: int, own_properties: Any, is_v5: bool, retain: bool, dup: bool
) -> None:
    packed = packed_properties(own_properties, is_v5=is_v5)
    packet = publish_packet(topic, payload, qos, mid, packed, retain=retain, dup=dup)
    assert packet == packet_of_paho(topic, payload, qos, mid, own_properties, is_v5=is_v5, retain=retain, dup=dup)
    assert len(packet) == publish_size(topic, payload, qos, own_properties, is_v5=is_v5)


@given(publications, st.integers(1, 65_535), st.booleans())
def test_a_plain_packet_is_the_same_as_well_and_everything_else_is_left_to_the_other_writer(
    publication: Publication, mid: int, is_v5: bool
) -> None:
    packet = plain_packet(publication, mid, NO_PROPERTIES[is_v5])
    topic, payload, qos, retain = publication[:4]
    if packet:
        assert publish_properties(publication, age=1.0, command_lifetime=30.0) is None
        assert packet == packet_of_paho(topic, payload, qos, mid, None, is_v5=is_v5, retain=retain, dup=False)
    else:
        has_properties = publication.is_command or publication.correlation or publication.user_property[0]
        assert has_properties or topic in ("", "a/#")


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"qos": 0}, "30 05 00 01 74 61 62"),
        ({"qos": 1, "mid": 258}, "32 07 00 01 74 01 02 61 62"),
        ({"qos": 1, "mid": 258, "dup": True, "retain": True}, "3b 07 00 01 74 01 02 61 62"),
        ({"qos": 0, "retain": True, "properties": b"\0"}, "31 06 00 01 74 00 61 62"),
        ({"qos": 0, "payload": bytes(124)}, "30 7f 00 01 74" + " 00" * 124),
        ({"qos": 0, "payload": bytes(125)}, "30 80 01 00 01 74" + " 00" * 125),
    ],
)
def test_packets_are_those_of_the_standard(options: dict[str, object], data: str) -> None:
    arguments = {"payload": b"ab", "mid": 0, "properties": b"", **options}
    assert publish_packet("t", **arguments).hex(" ") == data  # type: ignore[arg-type]


@pytest.mark.parametrize("topic", ["", "+", "a/#", "x" * 65_536])
def test_a_topic_on_which_nothing_can_be_published_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="wildcards"):
        publish_packet(topic, b"", 0, 0, b"")


def test_any_number_of_topics_may_come() -> None:
    for number in range(10_000):
        assert publish_packet(f"t/{number}", b"", 0, 0, b"").endswith(b"t/%d" % number)


# --- properties


@pytest.mark.parametrize(
    ("options", "packed"),
    [
        ({}, None),
        ({"is_command": True, "lifetime": 0.0}, None),
        ({"is_command": True}, "05 02 00 00 00 14"),  # 30 s by default, of which 10 are over
        ({"is_command": True, "lifetime": 15.5}, "05 02 00 00 00 06"),
        ({"is_command": True, "lifetime": 5.0}, "05 02 00 00 00 01"),  # never 0
        ({"lifetime": 15.0}, None),
        ({"correlation": b"ab"}, "05 09 00 02 61 62"),
    ],
)
def test_a_command_expires_and_an_answer_has_correlation_data(options: dict[str, Any], packed: str | None) -> None:
    result = publish_properties(Publication("t", b"", **options), age=10.0, command_lifetime=30.0)
    assert (result.pack().hex(" ") if result is not None else None) == packed


def test_a_command_without_a_lifetime_does_not_expire() -> None:
    assert publish_properties(Publication("t", b"", is_command=True), age=10.0, command_lifetime=0.0) is None


@given(st.one_of(st.none(), st.floats(0, 2**32)), st.binary(max_size=1000))
def test_properties_are_those_that_paho_would_read(expiry: float | None, correlation: bytes) -> None:
    read = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    packed = PublishProperties(expiry, correlation).pack()
    assert read.unpack(packed)[1] == len(packed)  # type: ignore[no-untyped-call]
    assert getattr(read, "CorrelationData", b"") == correlation
    seconds: Any = getattr(read, "MessageExpiryInterval", None)
    assert (seconds is None) == (expiry is None)
    if expiry is not None and seconds is not None:
        assert seconds == 2**32 - 1 or seconds - 1 < max(expiry, 1) <= seconds


@pytest.mark.parametrize(("value", "data"), [(0, "00"), (127, "7f"), (128, "80 01"), (2_097_152, "80 80 80 01")])
def test_variable_byte_integers_are_those_of_the_standard(value: int, data: str) -> None:
    assert varint(value) == bytes.fromhex(data)


def test_no_packet_of_ours_is_larger_than_half_a_mebibyte() -> None:
    """So a broker's limit above that need not be checked: see `BrokerLimits`."""
    largest = PublishProperties(1.0, bytes(65_535))
    assert publish_size("t" * 65_535, bytes(MAX_PAYLOAD_BYTES), 1, largest, is_v5=True) < 512 * 1024


def test_long_topics_do_not_fill_the_memory() -> None:
    """A client chooses the response topic of its command, and so on which topics the gateway publishes."""
    tracemalloc.start()
    try:
        for number in range(200):
            publish_packet(f"{number}{'x' * 60_000}", b"1", 0, 0, NO_PROPERTIES[False])
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 1_000_000
