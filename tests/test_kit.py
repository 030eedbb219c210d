"""The kit of the fault tests: a proxy, a ledger or a packet that errs would prove anything."""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ledger import Verdict, entries_in, entry_of, judge
from tests.support.packets import (
    CONNECT,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    V3,
    V5,
    Packet,
    Splitter,
    packet,
    properties,
    publish,
    read_properties,
    text,
    varint,
)
from tests.support.peer import Conversation, Peer
from tests.support.proxy import Passage, Proxy, Way
from tests.support.waiting import wait_until

CONNECT_5 = packet(CONNECT, text("MQTT") + b"\x05\x02\0\x3c" + properties({"session_expiry": 60}) + text("me"))
STREAM = CONNECT_5 + b"".join(publish(f"t/{n}", b"x" * n, n + 1, version=V5) for n in range(200))

# --- packets


@pytest.mark.parametrize(("value", "data"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (16_384, b"\x80\x80\x01")])
def test_a_length_is_written_as_the_standard_says(value: int, data: bytes) -> None:
    assert varint(value) == data


@settings(max_examples=30)
@given(st.lists(st.integers(1, 400), min_size=1))
def test_any_pieces_give_the_same_packets(sizes: list[int]) -> None:
    splitter, result = Splitter(), []
    for end, size in zip(accumulate(sizes), sizes, strict=True):
        result += splitter.feed(STREAM[end - size : end])
    result += splitter.feed(STREAM[sum(sizes) :])
    assert [(each.kind, each.version) for each in result] == [(CONNECT, V5), *[(PUBLISH, V5)] * 200]
    assert [(each.topic, each.payload, each.mid) for each in result[1:]] == [
        (f"t/{n}", b"x" * n, (n + 1).to_bytes(2, "big")) for n in range(200)
    ]
    assert sum(each.size for each in result) == len(STREAM)
    assert (result[0].client_id, result[0].is_clean, result[0].properties) == ("me", True, {"session_expiry": 60})


def test_properties_of_every_type_are_read_as_they_were_written() -> None:
    values: dict[str, int | str | bytes | tuple[str, str]] = {
        "message_expiry": 7, "subscription_identifier": 300, "receive_maximum": 9, "maximum_qos": 1,
        "response_topic": "a/b",
        "correlation_data": b"\0\1", "user_property": ("k", "v"),
    }  # fmt: skip
    data = b"head" + properties(values) + b"tail"
    assert read_properties(data, 4) == (values, len(data) - 4)


def test_the_description_of_a_packet() -> None:
    assert Packet(PUBACK, 0, b"\0\7").reason == 0
    assert Packet(PUBACK, 0, b"\0\7\x87", V5).reason == 0x87
    again = Packet(PUBLISH, 0b1011, text("a") + b"\0\1p")
    assert (again.qos, again.is_duplicate, again.payload) == (1, True, b"p")
    for version, head in ((V3, b"\0\1"), (V5, b"\0\1" + properties())):
        assert Packet(SUBSCRIBE, 2, head + text("a/#") + b"\1", version).subscriptions == [("a/#", 1)]


# --- the ledger


def numbered(*numbers: int, device: str = "d") -> list[tuple[str, int]]:
    return [(device, number) for number in numbers]


@pytest.mark.parametrize(
    ("seen", "acknowledged", "verdict"),
    [
        (numbered(0, 1, 2), [], Verdict(3, 3, 0)),
        (numbered(0, 1, 1, 2), [], Verdict(3, 3, 1)),
        (numbered(0, 1, 0, 1, 2), [], Verdict(3, 3, 2)),  # sent again as a whole: doubled, not out of order
        (numbered(0, 2), [], Verdict(3, 2, 0, lost=(("d", 1),))),
        (numbered(0, 2), numbered(1), Verdict(3, 2, 0, lost_by_broker=(("d", 1),))),
        (numbered(0, 2, 1), [], Verdict(3, 3, 0, disordered=(("d", 1),))),
        ([*numbered(0, 1, 2), ("e", 0)], [], Verdict(3, 3, 0)),  # not accepted, or not yet reported as such
        ([], [], Verdict(3, 0, 0, lost=tuple(numbered(0, 1, 2)))),
    ],
)
def test_the_verdict(seen: list[tuple[str, int]], acknowledged: list[tuple[str, int]], verdict: Verdict) -> None:
    result = judge(numbered(0, 1, 2), seen, acknowledged)
    assert result == verdict
    assert result.is_ok is not bool(verdict.lost or verdict.disordered)


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_all_that_is_accepted_is_accounted_for(order: list[int], missing: set[int]) -> None:
    seen = numbered(*(number for number in order if number not in missing))
    result = judge(numbered(*range(6)), seen)
    assert result.delivered + len(result.lost) == 6
    assert {number for _, number in result.lost} == missing
    assert bool(result.disordered) == (seen != sorted(seen))


def test_entries_are_read_from_books_and_publications() -> None:
    assert entries_in("d1 0\nd2 17\nd1 1") == [("d1", 0), ("d2", 17)]
    assert entry_of("home/load///d1/gw/S", b'{"action": "N", "number": 5}') == ("d1", 5)
    assert entry_of("home/gw/load/availability", b"online") is None


# --- the proxy


class RecordingPeer:
    """A peer that keeps the bytes that it receives, and answers each chunk with as many bytes of `!`."""

    def __init__(self) -> None:
        self.received = bytearray()

    def __call__(self, conversation: Conversation) -> None:
        while data := conversation.sock.recv(4096):
            self.received += data
            conversation.send(b"!" * len(data))


def through(passage: Passage, expected: Callable[[bytes], object], *, more: bytes = b"") -> tuple[bytes, bytes]:
    """Send `STREAM` and `more` through a proxy until the peer has the `expected` bytes; return those of both ends."""
    recorder = RecordingPeer()
    with (
        Peer(recorder) as peer,
        Proxy(peer.port, passage) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as me,
    ):
        me.settimeout(10)
        me.sendall(STREAM + more)
        wait_until(lambda: expected(bytes(recorder.received)), what=lambda: f"it; got {len(recorder.received)} bytes")
        answered = bytearray()
        try:
            while len(answered) < len(recorder.received) and (data := me.recv(4096)):
                answered += data
        except ConnectionResetError:
            answered += b"reset"
        return bytes(recorder.received), bytes(answered)


@pytest.mark.parametrize("way", [Way(), Way(longest=50), Way(rate=1_000_000), Way(delay=0.05)])
def test_all_passes_in_both_directions(way: Way) -> None:
    assert through(Passage(way, way), lambda received: received == STREAM) == (STREAM, b"!" * len(STREAM))


@pytest.mark.parametrize("packets", [1, 2, 50])
def test_a_way_ends_behind_a_packet(packets: int) -> None:
    at = len(CONNECT_5) + sum(len(publish(f"t/{n}", b"x" * n, n + 1, version=V5)) for n in range(packets - 1))
    received, _ = through(Passage(up=Way(after_packets=packets)), lambda received: len(received) >= at)
    assert received == STREAM[:at]


@pytest.mark.parametrize("end", ["close", "reset", "hang"])
def test_a_way_ends_behind_a_byte(end: str) -> None:
    way = Way(after_bytes=33, end=end)  # type: ignore[arg-type]
    received, answered = through(Passage(up=way), lambda received: len(received) >= 33)
    assert received == STREAM[:33]
    if end == "hang":
        assert answered == b"!" * 33


def test_data_that_is_not_mqtt_passes_unread() -> None:
    noise = b"\x16\x03\x01" + bytes(range(256)) * 20
    recorder, seen = RecordingPeer(), []
    with (
        Peer(recorder) as peer,
        Proxy(peer.port, on_packet=lambda *what: seen.append(what)) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as me,
    ):
        me.sendall(noise)
        wait_until(lambda: recorder.received == noise, what="all of it")
    assert seen == []


def test_each_packet_is_reported_once_with_its_direction() -> None:
    recorder, seen = RecordingPeer(), []
    with (
        Peer(recorder) as peer,
        Proxy(peer.port, Passage(up=Way(longest=7)), on_packet=lambda *what: seen.append(what)) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as me,
    ):
        me.sendall(STREAM)
        wait_until(lambda: recorder.received == STREAM, what="all of it")
        informed = [(number, result.kind) for number, is_up, result in seen if is_up]
    assert informed == [(0, CONNECT), *[(0, PUBLISH)] * 200]


def test_a_link_can_be_paused_blocked_or_cut() -> None:
    recorder = RecordingPeer()
    with Peer(recorder) as peer, Proxy(peer.port) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port)) as me:
            me.settimeout(10)
            proxy.hang()
            me.sendall(STREAM)
            me.settimeout(0.2)
            with pytest.raises(TimeoutError):
                me.recv(1)
            assert not recorder.received
            me.settimeout(10)
            proxy.resume()
            wait_until(lambda: recorder.received == STREAM, what="all of it")
            proxy.refuse_connections()
            while me.recv(4096):
                pass
        with socket.create_connection(("127.0.0.1", proxy.port)) as me:
            me.settimeout(10)
            assert me.recv(1) == b""
        proxy.accept_connections()
        recorder.received.clear()
        with socket.create_connection(("127.0.0.1", proxy.port)) as me:
            me.sendall(STREAM)
            wait_until(lambda: recorder.received == STREAM, what="all of it")
        assert proxy.connections == 2
