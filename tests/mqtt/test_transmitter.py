"""Sending in whatever thread puts a message, over a connection that is a pair of sockets."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator

import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.core.clock import boot_time
from gateway.core.inbox import Wakeup
from gateway.message import Publication
from gateway.mqtt.broker_limits import BrokerLimits
from gateway.mqtt.link_state import LinkEvent, LinkStateMachine
from gateway.mqtt.paho_hooks import HookedClient
from gateway.mqtt.sender import Sender
from gateway.mqtt.transmitter import Transmitter
from gateway.outbox.outbox import Outbox
from tests.support.packets import V3, Splitter
from tests.support.peer import PUBLISH


class Bench:
    """A transmitter for a link that is up, and the broker's end of the connection."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.wakeup, self.outbox = Wakeup(), Outbox()
        self.client = HookedClient(CallbackAPIVersion.VERSION2)
        self.client.on_socket_register_write = lambda *_: None
        self.client.connect_async("broker", 1883)
        self.client.mg_adopt(ours, MQTTProtocolVersion.MQTTv311)
        self.state_machine = LinkStateMachine(boot_time)
        self.sender = Sender(self.client, self.outbox, 0.0, boot_time)
        self.transmitter = Transmitter(self.client, self.state_machine, self.sender, self.wakeup)
        self.outbox.attach(self.transmitter)
        self._splitter = Splitter(V3)

    def bring_up(self) -> None:
        for event in (LinkEvent.CONNECT, LinkEvent.OPENED, LinkEvent.ACCEPTED):
            self.state_machine.advance(event)
        self.sender.link_up("broker:1883", BrokerLimits(), is_v5=False)
        self.sender.begin()
        self.transmitter.send()

    def payloads(self) -> list[bytes]:
        """Return the payloads received at the broker's end since the last call."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while part := self.theirs.recv(1 << 16):
                data += part
        return [packet.payload for packet in self._splitter.feed(data) if packet.kind == PUBLISH]

    def is_woken(self) -> bool:
        """Return whether the main thread was woken since the last call."""
        is_set = bool(select.select([self.wakeup.fileno()], [], [], 0.0)[0])
        self.wakeup.clear()
        return is_set

    def close(self) -> None:
        self.client.mg_close_socket()
        self.theirs.close()
        self.wakeup.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_is_sent_by_the_thread_that_puts_it(bench: Bench, qos: int) -> None:
    bench.bring_up()
    bench.outbox.put(Publication("t", b"1", qos))
    assert bench.payloads() == [b"1"]
    assert bench.outbox.counts().delivered == 1 - qos
    assert not bench.is_woken(), "the main thread sleeps on"


def test_more_messages_than_are_sent_in_one_go_are_all_sent_by_the_thread_that_puts_them(bench: Bench) -> None:
    bench.bring_up()
    count = 2500
    publications = [Publication("t", b"%d" % number) for number in range(count)]
    publications[-1] = publications[-1]._replace(retain=True)  # which has to go through the outbox
    bench.outbox.put_all(publications)
    assert bench.payloads() == [b"%d" % number for number in range(count)]
    assert not bench.is_woken()


def test_without_a_link_the_main_thread_is_not_woken_for_each_message(bench: Bench) -> None:
    bench.client.mg_close_socket()
    bench.outbox.put(Publication("t", b"1", 1))
    assert not bench.is_woken()


@pytest.mark.parametrize("qos", [0, 1])
def test_without_a_link_a_message_stays_in_the_outbox_until_the_main_thread_sends_it(bench: Bench, qos: int) -> None:
    bench.outbox.put(Publication("t", b"1", qos))
    assert (bench.payloads(), len(bench.outbox), bench.transmitter.has_more) == ([], 1, False)
    bench.bring_up()
    assert bench.payloads() == [b"1"]


def test_while_another_thread_has_the_send_lock_a_message_is_left_to_that(bench: Bench) -> None:
    bench.bring_up()
    with bench.transmitter.send_lock:
        assert not bench.transmitter.send_directly([Publication("t", b"1")], False)
        bench.outbox.put(Publication("t", b"2"))
        assert bench.payloads() == []
        assert bench.transmitter.has_more
        bench.transmitter.send()
    assert bench.payloads() == [b"2"]
    assert not bench.transmitter.has_more


def test_a_connection_that_is_full_wakes_the_main_thread(bench: Bench) -> None:
    bench.bring_up()
    count = 0
    while not bench.client.want_write():
        bench.outbox.put(Publication("t", b"%d" % count + bytes(10_000)))
        count += 1
    assert bench.is_woken()
    sent: list[bytes] = []
    while len(bench.outbox) or bench.client.want_write():
        sent += bench.payloads()
        bench.transmitter.send()
    assert [int(payload.rstrip(b"\0")) for payload in sent + bench.payloads()] == list(range(count))


def test_a_connection_that_is_lost_is_no_error_in_the_thread_that_puts(bench: Bench) -> None:
    bench.bring_up()
    bench.theirs.close()
    bench.outbox.put(Publication("t", b"1", 1))
    assert bench.is_woken(), "the main thread is to see the end of the link"
    bench.client.mg_close_socket()
    bench.outbox.put(Publication("t", b"2", 1))
    assert len(bench.outbox) == 2
