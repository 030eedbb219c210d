from __future__ import annotations

import contextlib
import socket
import time

from paho.mqtt.enums import CallbackAPIVersion

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
    sender = Sender(client, outbox, 0.0, time.monotonic)
    sender.link_up("nowhere", BrokerLimits(), is_v5=False)
    return client, sender


def test_what_the_connection_takes_at_once_was_never_in_flight() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    outbox = Outbox()
    outbox.put_all([Publication("t", b"%d" % number) for number in range(COUNT)])
    with theirs, ours:
        client, sender = sender_over(ours, outbox)
        sender.hand_over()
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
        sender.hand_over()
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
        sender.hand_over()
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 4096)
        outbox.put_all([Publication("t", b"%d" % number) for number in range(3)])
        sender.hand_over()
        assert [client.mg_is_unwritten(sent) for sent in sender._in_flight] == [True] * 3
        client._sock = None


def test_a_publication_with_qos_1_follows_those_with_qos_0_before_it() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    outbox = Outbox()
    outbox.put_all([Publication("t", b"%d" % number, int(number % 3 == 2)) for number in range(30)])
    with theirs, ours:
        client, sender = sender_over(ours, outbox)
        sender.hand_over()
        client.loop_write()
        sender.settle()
        found = Splitter(V3).feed(theirs.recv(1 << 20))
        assert [packet.payload for packet in found] == [b"%d" % number for number in range(30)]
        # What is behind the first with QoS 1 is settled after it.
        assert (len(sender), outbox.counts().delivered) == (28, 2)
        client._sock = None
