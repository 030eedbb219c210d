"""The hooks into paho have the same effect as the code that they replace."""

from __future__ import annotations

import inspect
import socket
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket

from gateway.message import Publication
from gateway.mqtt.buffered_socket import BufferedSocket
from gateway.mqtt.packets import PublishProperties
from gateway.mqtt.paho_hooks import HookedClient
from tests.support.packets import V3, V5, Splitter, publish

PLAIN = Publication("t", b"")
VERSIONS = {V3: MQTTProtocolVersion.MQTTv311, V5: MQTTProtocolVersion.MQTTv5}


def received(cls: type[mqtt.Client], version: int, data: bytes, *, sent: int = 0) -> tuple[Any, ...]:
    """Return the effect of a received packet on a client, with `sent` publications unacknowledged."""
    client = cls(CallbackAPIVersion.VERSION2)
    client._protocol = VERSIONS[version]
    client.on_socket_register_write = lambda *_: None
    client._sock = object()  # type: ignore[assignment]
    infos = [client.publish("t", b"", 1) for _ in range(sent)]
    client._out_packet.clear()
    messages: list[Any] = []
    client.on_message = lambda _c, _u, got: messages.append(
        (got.topic, bytes(got.payload), got.qos, got.retain, got.dup, got.mid, str(got.properties or "[]"))
    )
    body = Splitter(version).feed(data)[0].body
    client._in_packet["command"], client._in_packet["packet"] = data[0], bytearray(body)
    try:
        code: Any = client._packet_handle()
    except MalformedPacket:
        code = "malformed"
    client._sock = None
    written = [bytes(packet["packet"]) for packet in client._out_packet]
    assert client._protocol == VERSIONS[version]
    left = (list(client._out_messages), client._inflight_messages, [info.is_published() for info in infos])
    return code, messages, written, left


@given(
    st.sampled_from([V3, V5]),
    st.text("aä/$", min_size=0, max_size=20),
    st.binary(max_size=300),
    st.integers(0, 65_535),
    st.sampled_from([0, 1, 8, 9]),
    st.sampled_from([{}, {}, {"message_expiry": 7}, {"correlation_data": b"\0" * 10}]),
)
def test_a_publish_is_read_as_paho_reads_it(
    version: int, topic: str, payload: bytes, mid: int, flags: int, values: dict[str, Any]
) -> None:
    data = publish(topic, payload, mid, flags=flags, version=version, **values)
    if version == V5 and not topic:  # MQTT 5 allows it, for topic aliases, which we have not asked for
        data = publish("x", payload, mid, flags=flags, version=version, **values)
    assert received(HookedClient, version, data)[:3] == received(mqtt.Client, version, data)[:3]


def test_of_thousands_of_received_topics_a_limited_number_of_short_ones_is_cached() -> None:
    client = HookedClient(CallbackAPIVersion.VERSION2)
    for number in range(25_000):
        topic = b"t/%d" % number
        message = client._plain_message(mqtt.PUBLISH, len(topic).to_bytes(2, "big") + topic + b"x")
        assert message is not None
        assert message.topic == topic.decode()
    assert 0 < len(client._topics) <= 20_000
    client._topics.clear()
    for _ in range(2):
        message = client._plain_message(mqtt.PUBLISH, (1000).to_bytes(2, "big") + b"t" * 1000 + b"x")
        assert message is not None
        assert (message.topic, message.payload) == ("t" * 1000, b"x")
    assert not client._topics


@given(st.sampled_from([V3, V5]), st.binary(max_size=12), st.sampled_from([0x30, 0x32, 0x34, 0x40]))
def test_garbage_is_read_as_paho_reads_it(version: int, body: bytes, kind: int) -> None:
    data = bytes([kind, len(body)]) + body
    ours, theirs = (received(cls, version, data, sent=3) for cls in (HookedClient, mqtt.Client))
    if theirs[0] != "malformed":
        assert ours == theirs


@pytest.mark.parametrize("version", [V3, V5])
@pytest.mark.parametrize("mid", [1, 2, 3, 4])
def test_a_puback_settles_its_publication(version: int, mid: int) -> None:
    data = b"\x40\x02" + mid.to_bytes(2, "big")
    result = received(HookedClient, version, data, sent=3)
    assert result == received(mqtt.Client, version, data, sent=3)
    assert result[3] == (
        [number for number in (1, 2, 3) if number != mid],
        3 if mid == 4 else 2,
        [mid == number for number in (1, 2, 3)],
    )


def test_a_puback_of_3_1_1_has_no_reason() -> None:
    assert received(HookedClient, V3, b"\x40\x03\0\2\x80", sent=3)[0] == "malformed"


@pytest.mark.parametrize(
    "name",
    [
        "_create_socket",
        "_handle_pubackcomp",
        "_handle_publish",
        "_mid_generate",
        "loop_read",
        "loop_write",
        "want_write",
    ],
)
def test_paho_has_the_hooked_methods(name: str) -> None:
    assert inspect.signature(getattr(mqtt.Client, name)) == inspect.signature(getattr(HookedClient, name)).replace(
        return_annotation=inspect.signature(getattr(mqtt.Client, name)).return_annotation
    )


def test_paho_has_the_attributes_that_are_used() -> None:
    base = mqtt.Client(CallbackAPIVersion.VERSION2)
    used = {"_protocol", "_in_packet", "_out_packet", "_out_messages", "_will_qos", "_will_retain", "_userdata"}
    assert {*used, "_last_msg_out", "_last_bytes_received", "_clean_start", "_connect_properties"} <= set(vars(base))
    assert callable(base.drop_out_messages)


# --- publications of our own


class Desk:
    """A client of each kind, connected to a socket of the test, and the bytes that they have written."""

    def __init__(self, cls: type[mqtt.Client], version: int, *, buffered: bool) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.settimeout(10)
        self.client = cls(CallbackAPIVersion.VERSION2)
        self.client._protocol = VERSIONS[version]
        self.client.on_socket_register_write = lambda *_: None
        self.client._sock = BufferedSocket(self.near) if buffered else self.near  # type: ignore[assignment]

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.client._sock = None
        self.near.close()
        self.far.close()

    def written(self) -> bytes:
        """Return the written bytes that the socket has accepted."""
        self.client.loop_write()
        self.far.setblocking(False)
        try:
            return self.far.recv(1 << 20)
        except BlockingIOError:
            return b""


@pytest.mark.parametrize("buffered", [True, False])
@given(
    st.sampled_from([V3, V5]),
    st.text("aä/$", min_size=1, max_size=60),
    st.one_of(st.binary(max_size=300), st.integers(16_300, 16_400).map(bytes)),
    st.sampled_from([0, 1]),
    st.booleans(),
    st.one_of(st.none(), st.builds(PublishProperties, st.floats(1, 99), st.binary(max_size=20))),
)
def test_a_publication_is_written_as_paho_writes_it(
    buffered: bool, version: int, topic: str, payload: bytes, qos: int, retain: bool, properties: Any
) -> None:
    with Desk(HookedClient, version, buffered=buffered) as ours, Desk(mqtt.Client, version, buffered=False) as theirs:
        assert isinstance(ours.client, HookedClient)
        theirs.client._last_mid = ours.client._last_mid = 65_530 if qos else 0
        in_flight = ours.client.mg_publish(Publication(topic, payload), qos, retain, properties)
        theirs.client.publish(topic, payload, qos, retain, properties)
        assert in_flight is not None
        assert (ours.client.want_write(), in_flight.is_published()) == (True, False)
        assert ours.client.mg_is_unwritten(in_flight)
        assert ours.written() == theirs.written()
        assert (ours.client.want_write(), in_flight.is_published()) == (False, qos == 0)
        assert not ours.client.mg_is_unwritten(in_flight)


def test_without_a_connection_nothing_is_accepted() -> None:
    assert HookedClient(CallbackAPIVersion.VERSION2).mg_publish(PLAIN, 1, False) is None


@pytest.mark.parametrize("topic", ["", "a/+/b", "#", "ä" * 32_768])
def test_an_invalid_topic_is_refused(topic: str) -> None:
    with Desk(HookedClient, V3, buffered=True) as desk, pytest.raises(ValueError, match="wildcards"):
        assert isinstance(desk.client, HookedClient)
        desk.client.mg_publish(Publication(topic, b""), 0, False)


@pytest.mark.parametrize("was_written", [True, False])
def test_a_publish_sent_again_is_marked_as_duplicate_if_it_was_written(was_written: bool) -> None:
    with Desk(HookedClient, V3, buffered=True) as first, Desk(HookedClient, V3, buffered=True) as second:
        client = first.client
        assert isinstance(client, HookedClient)
        in_flight = client.mg_publish(Publication("t", b"x"), 1, False)
        before = first.written() if was_written else b"\x32\x06\0\x01t\0\x01x"
        client._sock = second.client._sock
        assert in_flight is not None
        client.mg_publish_again(in_flight)
        second.client._sock = None
        client.loop_write()
        after = second.far.recv(100)
        assert before[0] == 0x32
        assert after == bytes([0x3A if was_written else 0x32]) + before[1:]
        client._sock = None


def test_an_identifier_in_use_is_not_assigned_again() -> None:
    with Desk(HookedClient, V3, buffered=True) as desk:
        client = desk.client
        assert isinstance(client, HookedClient)
        first = client.mg_publish(PLAIN, 1, False)
        client._last_mid = 65_535
        second = client.mg_publish(PLAIN, 1, False)
        assert first is not None
        assert second is not None
        assert (first.mid, second.mid) == (1, 2)
        client._last_mid = 65_535
        client.mg_forget_in_flight()
        assert client._mid_generate() == 1


@given(
    st.lists(st.tuples(st.text("aä/", min_size=1, max_size=9), st.binary(max_size=400)), min_size=1, max_size=9),
    st.lists(st.integers(1, 900), min_size=1, max_size=9),
)
def test_packets_are_read_whole_or_in_pieces(messages: list[tuple[str, bytes]], sizes: list[int]) -> None:
    data, got = b"".join(publish(topic, payload, 1, flags=0) for topic, payload in messages), []
    with Desk(HookedClient, V3, buffered=True) as desk:
        desk.client.on_message = lambda _c, _u, message: got.append((message.topic, bytes(message.payload)))
        number = 0
        while data:
            piece, data = data[: sizes[number % len(sizes)]], data[sizes[number % len(sizes)] :]
            desk.far.sendall(piece)
            number += 1
            for _ in range(len(messages) + 1):
                desk.client.loop_read(3)
    assert got == messages


@pytest.mark.parametrize(("reason", "refusal"), [(0x00, 0), (0x10, 0), (0x80, 0x80), (0x97, 0x97)])
@pytest.mark.parametrize("end", [b"", b"\0"])
def test_a_puback_of_mqtt_5_reports_a_refusal(reason: int, refusal: int, end: bytes) -> None:
    with Desk(HookedClient, V5, buffered=True) as desk:
        client = desk.client
        assert isinstance(client, HookedClient)
        in_flight = [client.mg_publish(PLAIN, 1, False) for _ in range(3)]
        body = b"\0\2" + bytes([reason]) + end
        desk.far.sendall(b"\x40" + bytes([len(body)]) + body)
        client.loop_read()
        assert [(each.is_published(), each.refusal) for each in in_flight if each is not None] == [
            (False, 0),
            (True, refusal),
            (False, 0),
        ]
