from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.core.clock import boot_time
from gateway.message import Publication
from gateway.mqtt.broker_limits import BrokerLimits
from gateway.mqtt.buffered_socket import BufferedSocket
from gateway.mqtt.paho_hooks import HookedClient
from gateway.mqtt.sender import Sender
from gateway.outbox.outbox import Outbox
from tests.support.packets import V3, Splitter

COUNT = 300


def sender_over(ours: socket.socket, outbox: Outbox) -> tuple[HookedClient, Sender]:
    client = HookedClient(CallbackAPIVersion.VERSION2)
    client._sock = BufferedSocket(ours)  # type: ignore[assignment]
    sender = Sender(client, outbox, 0.0, boot_time)
    sender.link_up("nowhere", BrokerLimits(), is_v5=False)
    sender.begin()
    return client, sender


def test_what_the_connection_takes_at_once_was_never_in_flight() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    outbox = Outbox()
    outbox.put_all([Publication("t", b"%d" % number) for number in range(COUNT)])
    with theirs, ours:
        client, sender = sender_over(ours, outbox)
        sender.send_pending()
        assert (len(sender), outbox.counts().delivered, len(outbox)) == (0, COUNT, 0)
        found = Splitter(V3).feed(theirs.recv(1 << 20))
        assert [packet.payload for packet in found] == [b"%d" % number for number in range(COUNT)]
        client._sock = None


def test_of_what_the_connection_takes_in_part_the_rest_is_in_flight_and_comes_back_with_the_end_of_the_link() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    outbox = Outbox()
    outbox.put_all([Publication("t", b"%099d" % number) for number in range(COUNT)])
    with theirs, ours:
        client, sender = sender_over(ours, outbox)
        sender.send_pending()
        sender.settle()
        delivered = outbox.counts().delivered
        assert 0 < delivered < COUNT
        assert len(sender) == COUNT - delivered
        assert len(Splitter(V3).feed(theirs.recv(1 << 20))) == delivered
        sender.link_lost(may_be_a_message=False)
        client._sock = None
    assert [int(entry.publication.payload) for entry in outbox.take(COUNT)] == list(range(delivered, COUNT))


def test_what_the_connection_has_not_begun_to_take_is_not_to_blame_for_its_end() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    outbox = Outbox()
    with theirs, ours:
        client, sender = sender_over(ours, outbox)
        outbox.put(Publication("t", b"taken"))
        sender.send_pending()
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 4096)
        outbox.put_all([Publication("t", b"%d" % number) for number in range(3)])
        sender.send_pending()
        assert [client.mg_is_unwritten(sent) for sent in sender._in_flight] == [True] * 3
        client._sock = None


def test_a_publication_with_qos_1_follows_those_with_qos_0_before_it() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    outbox = Outbox()
    outbox.put_all([Publication("t", b"%d" % number, int(number % 3 == 2)) for number in range(30)])
    with theirs, ours:
        client, sender = sender_over(ours, outbox)
        sender.send_pending()
        client.loop_write()
        sender.settle()
        found = Splitter(V3).feed(theirs.recv(1 << 20))
        assert [packet.payload for packet in found] == [b"%d" % number for number in range(30)]
        # What is behind the first with QoS 1 is settled after it.
        assert (len(sender), outbox.counts().delivered) == (28, 2)
        client._sock = None


# --- past the outbox


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def test_what_the_connection_can_take_at_once_need_not_be_in_the_outbox(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    outbox = Outbox()
    client, sender = sender_over(ours, outbox)
    sender.send_pending()
    assert sender.send_directly([Publication("t", b"%d" % number) for number in range(COUNT)])
    counts = outbox.counts()
    assert (counts.accepted, counts.delivered, len(outbox), len(sender)) == (COUNT, COUNT, 0, 0)
    found = Splitter(V3).feed(theirs.recv(1 << 20))
    assert [packet.payload for packet in found] == [b"%d" % number for number in range(COUNT)]
    client._sock = None


def test_of_what_was_passed_on_the_rest_is_in_flight_and_comes_back_with_the_end_of_the_link(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    outbox = Outbox()
    client, sender = sender_over(ours, outbox)
    sender.send_pending()
    assert sender.send_directly([Publication("t", b"%099d" % number) for number in range(COUNT)]) is False
    assert sender.send_directly([Publication("t", b"later")]) is None, "that would overtake what is in flight"
    sender.settle()
    delivered = outbox.counts().delivered
    assert 0 < delivered < COUNT
    assert len(Splitter(V3).feed(theirs.recv(1 << 20))) == delivered
    sender.link_lost(may_be_a_message=False)
    client._sock = None
    assert [int(entry.publication.payload) for entry in outbox.take(COUNT)] == list(range(delivered, COUNT))
    counts = outbox.counts()
    assert (counts.accepted, counts.waiting, counts.in_flight) == (COUNT, 0, COUNT - delivered)


@pytest.mark.parametrize(
    "publication",
    [
        Publication("t", b"1", 1),
        Publication("t", b"1", retain=True),
        Publication("t", b"1", is_command=True),
        Publication("t", b"1", correlation=b"17"),
        Publication("t/#", b"1"),
    ],
)
def test_what_somebody_has_to_keep_an_eye_on_is_not_passed_on_nor_anything_with_it(
    publication: Publication, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    outbox = Outbox()
    client, sender = sender_over(ours, outbox)
    sender.send_pending()
    assert sender.send_directly([Publication("t", b"0"), publication]) is None
    assert client.mg_flush()
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    assert outbox.counts().accepted == 0
    client._sock = None


def test_nothing_is_passed_on_past_what_waits_or_what_a_link_begins_with_or_what_a_broker_does_not_take(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = pair
    outbox, one = Outbox(), [Publication("t", b"1")]
    client, sender = sender_over(ours, outbox)
    assert sender.send_directly(one) is None, "the states go first"
    sender.send_pending()
    assert sender.send_directly(one)
    outbox.put(Publication("other", b"1"))
    assert sender.send_directly(one) is None, "another waits"
    sender.send_pending()
    assert sender.send_directly(one)
    assert sender.send_directly([Publication("t", bytes(1000))] * 300) is None, "more than is written at once"
    assert client._buffer is not None
    client._buffer.put(b"\xc0\0")
    assert sender.send_directly(one) is None, "paho's own packet goes first"
    assert client.mg_flush()
    for _ in range(3):
        assert sender.send_directly(one)
        sender.poison.lost(one[0], 1)
    assert sender.send_directly(one) is None, "they go one by one, and are counted"
    sender.poison.settled(acknowledged=True)
    assert sender.send_directly(one)
    sender._not_before = time.monotonic() + 60
    assert sender.send_directly(one) is None, "the broker has had too much"
    sender._not_before = 0.0
    sender.pause()
    assert sender.send_directly(one) is None, "the link is about to be given up"
    sender.link_up("nowhere", BrokerLimits(maximum_packet=10), is_v5=False)
    sender.begin()
    sender.send_pending()
    assert sender.send_directly(one) is None, "each is to be looked at"
    client._sock = None


def test_nothing_is_sent_on_a_link_before_its_subscriptions_are_answered(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.setblocking(False)
    outbox = Outbox()
    client, sender = sender_over(ours, outbox)
    outbox.put(Publication("t", b"1", 1))
    sender.send_pending()
    assert client.mg_flush()
    (first,) = Splitter(V3).feed(theirs.recv(1 << 20))
    sender.link_lost(may_be_a_message=False)
    sender.link_up("nowhere", BrokerLimits(), is_v5=False)
    sender.states.set("state", b"online")
    outbox.put(Publication("t", b"2"))
    assert not sender.has_more
    assert not sender.send_pending()
    assert sender.send_directly([Publication("t", b"3")]) is None
    sender.publish_states()
    assert client.mg_flush()
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    assert sender.stalled_for == 0, "nothing of what is in flight was sent on this link"
    sender.begin()
    sender.send_pending()
    assert client.mg_flush()
    again, state, new = Splitter(V3).feed(theirs.recv(1 << 20))
    assert (again.payload, again.mid, again.is_duplicate) == (b"1", first.mid, True)
    assert (state.payload, new.payload) == (b"online", b"2")
    client._sock = None
