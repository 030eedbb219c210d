"""The traffic of the link: subscriptions, availability, publications in their order; and malformed packets."""

from __future__ import annotations

import contextlib
import random
import select
import signal
import socket
import threading
import time
from dataclasses import replace
from typing import Any, NoReturn, cast

import pytest

from gateway.message import Arrival, Lane, Publication
from gateway.mqtt.link_state import LinkState
from gateway.mqtt.options import Version
from gateway.mqtt.sender import WINDOW
from gateway.outbox.outbox import Outbox
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto
from tests.support.link import DEFAULTS, Link
from tests.support.peer import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    Conversation,
    Packet,
    Peer,
    accept_and_read_no_more,
    accept_then_silence,
    packet,
    serve,
    stay_silent,
)
from tests.support.proxy import Passage, Proxy, Way
from tests.support.waiting import wait_until

AVAILABILITY = "home/test/availability"


@pytest.fixture(autouse=True, params=[5, "3.1.1"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Version:
    """Run each test with both versions of MQTT."""
    monkeypatch.setitem(DEFAULTS, "version", request.param)
    return cast(Version, request.param)


def numbers(messages: list[tuple[str, bytes]]) -> list[int]:
    return [int(payload) for _, payload in messages]


# --- subscriptions


def test_subscriptions_are_renewed_after_a_restart_of_the_broker(
    mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("lost the broker: ", "nothing listens at")
    with Link(mosquitto.port, "a/#", "b/+", delay=0.05) as link:
        link.connect()
        mosquitto.kill()
        link.run_until(lambda: "nothing listens" in link.failure, "the loss and an attempt")
        mosquitto.start()
        link.run_until(lambda: link.client.connects == 2 and link.client.is_subscribed, "the link to be up again")
        with mosquitto.client() as other:
            other.publish("a/x/y", b"1")
            other.publish("b/x", b"2")
            link.run_until(lambda: len(link.received) == 2, "both messages")
    assert link.received == [("a/x/y", b"1", False), ("b/x", b"2", False)]


@pytest.mark.parametrize("bad", ["a/#/b", "a+/b", "", "a/b#", "n\0l", "\ud800"])
def test_a_bad_filter_does_not_lose_the_others(bad: str, mosquitto: Mosquitto, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(f"cannot subscribe to {bad!a}: ")
    with Link(mosquitto.port, "a/#", bad, "b/#") as link:
        link.connect()
        with mosquitto.client() as other:
            other.publish("a/1", b"1")
            other.publish("b/1", b"2")
            link.run_until(lambda: len(link.received) == 2, "both messages")
        assert link.client.connects == 1


def test_a_refused_filter_is_named(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the broker refused the filter 'b/#': ")
    with Peer(serve(refused={"b/#": 0x80})) as peer, Link(peer.port, "a/#", "b/#", "c/#") as link:
        link.connect()
        assert [pkt.filters for pkt in peer.packets(SUBSCRIBE)] == [["a/#"], ["b/#"], ["c/#"]]
        link.run_for(0.1)
        assert link.state is LinkState.UP


# --- availability


def test_availability_is_retained_and_ends_with_offline_before_disconnect(mosquitto: Mosquitto) -> None:
    with mosquitto.client(AVAILABILITY) as other:
        with Link(mosquitto.port, availability=AVAILABILITY) as link:
            link.connect()
            link.run_until(lambda: other.messages, "online")
            with mosquitto.client(AVAILABILITY) as late:
                assert late.wait_topic(AVAILABILITY, b"online").retain
            assert link.client.mg_stop(5.0)
        other.wait_topic(AVAILABILITY, b"offline")
        with mosquitto.client(AVAILABILITY) as late:
            assert late.wait_topic(AVAILABILITY, b"offline").retain
    assert [payload for _, payload in other.pairs()] == [b"online", b"offline"]
    wait_until(lambda: "Received DISCONNECT from test" in mosquitto.log.read_text(), 5, "DISCONNECT")


def test_the_will_is_published_when_the_link_is_cut(mosquitto: Mosquitto, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with (
        mosquitto.client(AVAILABILITY) as other,
        Link(mosquitto.port, availability=AVAILABILITY) as link,
    ):
        link.connect()
        link.run_until(lambda: other.messages, "online")
        sock = link.client.socket()
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
        other.wait_topic(AVAILABILITY, b"offline")
        link.run_until(lambda: link.client.connects == 2, "the link to be up again")
        link.run_until(lambda: len(other.messages) == 3, "online again")
        assert [payload for _, payload in other.pairs()] == [b"online", b"offline", b"online"]


def test_a_clean_stop_sends_what_waits_then_offline_then_disconnect() -> None:
    with Peer(serve()) as peer, Link(peer.port, availability=AVAILABILITY) as link:
        link.connect()
        link.run_until(lambda: len(peer.packets(PUBLISH)) == 1, "online")
        for number in range(3):
            link.put("a", b"%d" % number)
        assert link.client.mg_stop(5.0)
        wait_until(lambda: peer.packets(DISCONNECT), 5, "DISCONNECT")
        (conversation,) = peer.conversations
        sent = [(pkt.kind, pkt.payload if pkt.kind == PUBLISH else b"") for pkt in conversation.packets]
        assert sent[1:] == [(PUBLISH, payload) for payload in (b"online", b"0", b"1", b"2", b"offline")] + [
            (DISCONNECT, b"")
        ]


# --- publications


def test_nothing_is_lost_and_order_is_kept_through_an_outage(mosquitto: Mosquitto, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Link(mosquitto.port) as link:
        with mosquitto.client("n") as first:
            link.connect()
            for number in range(300):
                link.put("n", b"%d" % number)
            link.run_until(lambda: link.outbox.counts().delivered >= 50, "some to be delivered")
            for number in range(300, 600):
                link.put("n", b"%d" % number)
            link.step(0.0)
            mosquitto.kill()
            before = numbers(first.pairs())
        link.run_until(lambda: link.state is LinkState.BACKING_OFF, "the loss")
        acknowledged = link.outbox.counts().delivered
        for number in range(600, 1000):
            link.put("n", b"%d" % number)
        mosquitto.start()
        with mosquitto.client("n") as second:
            link.run_until(lambda: len(link.outbox) == 0, "all to be delivered")
            wait_until(lambda: numbers(second.pairs())[-1:] == [999], 10, "the last one")
            after = numbers(second.pairs())
    assert before == list(range(len(before)))
    assert after == list(range(acknowledged, 1000))
    assert 50 <= acknowledged < 600


def test_qos_0_put_during_an_outage_arrives_once_and_in_order(
    mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("lost the broker: ")
    with Link(mosquitto.port) as link:
        link.connect()
        mosquitto.kill()
        link.run_until(lambda: link.state is LinkState.BACKING_OFF, "the loss")
        for number in range(500):
            link.put("n", b"%d" % number, qos=0)
        mosquitto.start()
        with mosquitto.client("n") as other:
            link.run_until(lambda: len(link.outbox) == 0, "all to be sent")
            wait_until(lambda: len(other.messages) >= 500, 10, "all to arrive")
        assert numbers(other.pairs()) == list(range(500))


def test_the_window_is_never_exceeded(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(serve(pubacks=40), serve(pubacks=0)) as peer, Link(peer.port) as link:
        link.connect()
        for number in range(1000):
            link.put("n", b"%d" % number)
        link.run_until(lambda: link.outbox.counts().delivered == 40, "what the peer acknowledges")
        link.run_for(0.2)
        first = peer.conversations[0]
        wait_until(lambda: len(first.of_kind(PUBLISH)) == 40 + WINDOW, 5, "the window to be full")
        first.hang_up()
        link.run_until(lambda: link.client.connects == 2, "the link to be up again")
        link.run_for(0.3)
        again = peer.conversations[1].of_kind(PUBLISH)
        assert [int(pkt.payload) for pkt in again] == list(range(40, 40 + WINDOW))
        assert all(pkt.is_duplicate for pkt in again)
        counts = link.outbox.counts()
        assert (counts.delivered, counts.in_flight, counts.waiting) == (40, WINDOW, 1000 - 40 - WINDOW)


def test_a_publication_that_paho_refuses_is_dead_lettered(mosquitto: Mosquitto, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dead letter: ")
    with mosquitto.client("good") as other, Link(mosquitto.port) as link:
        link.connect()
        link.put("bad/+/topic", b"1")
        link.put("good", b"2")
        link.run_until(lambda: other.messages, "the valid one")
        link.run_until(lambda: len(link.outbox) == 0, "an empty outbox")
        assert link.client.connects == 1


def test_a_put_from_another_thread_is_sent_immediately(mosquitto: Mosquitto) -> None:
    with mosquitto.client("a") as other, Link(mosquitto.port) as link:
        link.connect()
        link.run_for(0.1)
        putting = threading.Timer(0.2, link.put, ("a", b"1"))
        putting.start()
        began = time.monotonic()
        link.step(5.0)  # waits for something to do
        link.run_until(lambda: other.messages, "the message")
        putting.join()
        assert time.monotonic() - began < 2


# --- sent by the thread that puts


@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_is_sent_by_the_thread_that_puts_it_while_the_main_thread_sleeps(
    qos: int, mosquitto: Mosquitto
) -> None:
    with mosquitto.client("a") as other, Link(mosquitto.port) as link:
        link.connect()
        link.run_until(lambda: not woken(link))
        for number in range(3):
            link.send_clock.shift += 0.001  # s: it follows no other closely,
            link.put("a", b"%d" % number, qos)  # and the loop does not run
            wait_until(lambda: len(other.pairs()) > number)  # noqa: B023
        assert numbers(other.pairs()) == [0, 1, 2]
        assert not woken(link), "the main thread may continue to wait"
        link.run_until(lambda: len(link.outbox) == 0, "all to be settled")


def test_messages_in_quick_succession_are_sent_in_few_writes(mosquitto: Mosquitto) -> None:
    count = 2000
    with mosquitto.client("a") as other, Link(mosquitto.port) as link:
        link.connect()
        buffer: Any = link.client.socket()
        assert buffer is not None
        writes = []
        flush = buffer.flush
        buffer.flush = lambda: (writes.append(buffer.taken - buffer.sent), flush())[1]  # type: ignore[func-returns-value]
        with link.send_clock.frozen():  # however slow this machine is
            for number in range(count):
                link.put("a", b"%d" % number, 0)
        assert len(writes) <= count / 100, "all of them in batches"
        link.run_until(lambda: len(other.pairs()) == count, "all to arrive")
        assert numbers(other.pairs()) == list(range(count))


@pytest.mark.parametrize("qos", [0, 1])
def test_no_message_stays_unsent_whatever_the_rate(qos: int, mosquitto: Mosquitto) -> None:
    chance = random.Random(20261127)
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            link.client.loop_with_reconnect()  # waits for seconds, unless it is woken

    with Link(mosquitto.port) as link:
        link.connect()
        main = threading.Thread(target=run)
        main.start()
        try:
            for number in range(60):
                gap = chance.choice([0.0, 0.0, 0.00003, 0.0001])
                for _ in range(chance.randint(1, 150)):
                    link.put("a", b"%d" % number, qos)
                    until = time.monotonic() + gap
                    while time.monotonic() < until:
                        pass
                wait_until(lambda: len(link.outbox) == 0, 2, pause=0.0005)  # s; the main thread sleeps for five
        finally:
            stopping.set()
            link.wakeup.set()
            main.join()


def test_in_a_burst_the_main_thread_reads_from_the_broker_and_can_be_woken(mosquitto: Mosquitto) -> None:
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            link.client.loop_with_reconnect()

    with mosquitto.client("state") as other, Link(mosquitto.port, "in") as link:
        link.connect()
        link.run_until(lambda: not woken(link))
        main = threading.Thread(target=run)
        main.start()
        try:
            with link.send_clock.frozen():  # the burst does not end
                for number in range(5):
                    link.put("a", b"%d" % number, 0)
                other.publish("in", "1")
                wait_until(lambda: link.received)
                link.client.set_state("state", b"on")
                wait_until(lambda: other.messages)
        finally:
            stopping.set()
            link.wakeup.set()
            main.join()


def test_messages_put_while_the_main_thread_holds_the_send_lock_are_sent_by_it(mosquitto: Mosquitto) -> None:
    with mosquitto.client("a") as other, Link(mosquitto.port) as link:
        link.connect()
        link.run_until(lambda: not woken(link))
        with link.client.transmitter.send_lock:
            link.put("a", b"1", 0)
            assert link.outbox.has_waiting
        began = time.monotonic()
        link.step(30.0)  # does not wait
        assert time.monotonic() - began < 10
        wait_until(lambda: other.messages)


def test_a_message_put_just_before_the_main_thread_waits_keeps_it_from_waiting(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mosquitto.client("a") as other, Link(mosquitto.port) as link:
        link.connect()
        link.run_until(lambda: not woken(link))

        def put_meanwhile() -> float:
            """Act as another thread that puts after the last check, while the send lock is still held."""
            putting = threading.Thread(target=link.put, args=("a", b"1", 0))
            putting.start()
            putting.join()
            return 30.0

        monkeypatch.setattr(link.client, "_time_left", put_meanwhile)
        began = time.monotonic()
        link.step(30.0)
        assert time.monotonic() - began < 10
        wait_until(lambda: other.messages)


def test_messages_put_while_another_thread_holds_the_send_lock_are_sent_by_that_thread(mosquitto: Mosquitto) -> None:
    with mosquitto.client("a") as other, Link(mosquitto.port) as link:
        link.connect()
        link.run_until(lambda: not woken(link))
        buffer: Any = link.client.socket()
        assert buffer is not None
        flush, is_there, may_go_on = buffer.flush, threading.Event(), threading.Event()

        def slow_flush() -> bool:
            is_there.set()
            assert may_go_on.wait(10)
            return bool(flush())

        buffer.flush = slow_flush
        first = threading.Thread(target=link.put, args=("a", b"0", 0))
        first.start()
        assert is_there.wait(10)
        link.send_clock.shift += 0.001  # s: it follows no other closely
        link.put("a", b"1", 0)
        assert link.outbox.has_waiting
        may_go_on.set()
        first.join()
        wait_until(lambda: numbers(other.pairs()) == [0, 1])
        assert not woken(link), "the main thread may continue to wait"


def test_an_error_of_the_link_in_another_thread_is_left_to_the_main_thread(
    mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    def fails(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("a bug")

    expected_logs.expect("could not be handled: RuntimeError('a bug')", "lost the broker: ")
    with Link(mosquitto.port) as link:
        link.connect()
        link.run_until(lambda: not woken(link))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gateway.mqtt.paho_hooks.plain_packet", fails)
            patch.setattr(link.client, "mg_publish", fails)  # where the broker limits packets: Mosquitto 2.1
            link.put("a", b"1", 0)
            assert woken(link)
            link.put("a", b"2", 0)
            link.run_until(lambda: link.state is not LinkState.UP, "the link to be dropped")
        with mosquitto.client("a") as other:
            link.run_until(lambda: numbers(other.pairs()) == [1, 2], "nothing to be lost")


def test_a_message_put_after_a_standstill_is_left_to_the_main_thread_which_drops_the_link(
    mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("the gateway did not run for")
    with mosquitto.client("a") as other, Link(mosquitto.port) as link:
        link.connect()
        link.run_until(lambda: not woken(link))
        link.send_clock.shift += 60  # s: as after SIGSTOP and SIGCONT
        link.put("a", b"1", 0)
        assert link.outbox.has_waiting, "not written to a link that may be dead"
        link.run_until(lambda: other.messages, "the message, on the next link")
        assert link.client.connects == 2


def test_nothing_is_written_before_the_broker_has_accepted_the_connection() -> None:
    with Peer(stay_silent) as peer, Link(peer.port) as link:
        link.client.mg_connect()
        link.run_until(lambda: link.state is LinkState.AWAITING_CONNACK, "the connection")
        link.put("a", b"1", 0)
        assert link.outbox.has_waiting
        link.outbox.settle(link.outbox.take(1))


def test_a_message_put_without_a_link_waits_and_does_not_wake_the_main_thread() -> None:
    with Link(1) as link:
        link.put("a", b"1")
        assert not woken(link)
        assert link.outbox.has_waiting
        link.outbox.settle(link.outbox.take(1))  # otherwise it would be sent at the stop


def test_threads_that_put_simultaneously_lose_duplicate_and_mix_no_message(mosquitto: Mosquitto) -> None:
    count, threads = 1500, 4

    def put(thread: int) -> None:
        for number in range(count):
            link.put(f"a/{thread}", b"%d" % number, thread % 2)

    with mosquitto.client("a/#") as other, Link(mosquitto.port) as link:
        link.connect()
        putting = [threading.Thread(target=put, args=(thread,)) for thread in range(threads)]
        for putter in putting:
            putter.start()
        link.run_until(lambda: not any(map(threading.Thread.is_alive, putting)), "all to be put", 30)
        link.run_until(lambda: len(link.outbox) == 0, "all to be settled", 30)
        wait_until(lambda: len(other.pairs()) >= count * threads, 30)
        for thread in range(threads):
            of_thread = [(topic, payload) for topic, payload in other.pairs() if topic == f"a/{thread}"]
            assert numbers(of_thread) == list(range(count))
        assert link.client.connects == 1


@pytest.mark.parametrize("is_cut", [False, True])
def test_batches_of_many_lanes_over_a_slow_network_keep_their_order(
    is_cut: bool, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    """The connection accepts batches in pieces; with QoS 0, only what was written before a cut is lost."""
    count, threads, size = 1500, 3, 2000
    slow = Way(longest=50_000, rate=20e6)
    script = [Passage(up=replace(slow, after_packets=700, end="reset"))] if is_cut else []
    if is_cut:
        expected_logs.expect("lost the broker: ")

    def put(thread: int) -> None:
        for start in range(0, count, 50):
            wait_until(lambda: link.outbox.is_empty, 30, pause=0.0005)  # so that a batch may bypass it
            link.outbox.put_all([
                Publication(f"a/{thread}", b"%d " % number + bytes(size), lane=(Lane.BULK, Lane.EVENT)[number % 2])
                for number in range(start, start + 50)
            ])  # fmt: skip

    with (
        mosquitto.client("a/#") as other,
        Proxy(mosquitto.port, *script, Passage(up=slow)) as proxy,
        Link(proxy.port) as link,
    ):
        link.connect()
        sock: Any = link.client.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)  # less than a whole batch at a time
        putting = [threading.Thread(target=put, args=(thread,)) for thread in range(threads)]
        for putter in putting:
            putter.start()
        link.run_until(lambda: not any(map(threading.Thread.is_alive, putting)), "all to be put", 30)
        link.run_until(lambda: link.outbox.is_empty and link.state is LinkState.UP, "all to be settled", 30)
        for thread in range(threads):
            link.put(f"a/{thread}", b"%d last" % count)
        link.run_until(lambda: link.outbox.is_empty, "the last to be settled", 30)
        wait_until(lambda: sum(payload.endswith(b"last") for _, payload in other.pairs()) == threads, 30)
        for thread in range(threads):
            numbers_of_thread = [int(payload.split()[0]) for topic, payload in other.pairs() if topic == f"a/{thread}"]
            assert numbers_of_thread == sorted(set(numbers_of_thread)), "in order, each once"
            assert is_cut or len(numbers_of_thread) == count + 1
        assert link.client.connects == 1 + is_cut
        assert link.outbox.counts().accepted == (count + 1) * threads


def test_bytes_that_the_connection_does_not_accept_are_left_to_the_main_thread() -> None:
    with Peer(accept_and_read_no_more) as peer, Link(peer.port) as link:
        link.client.mg_connect()
        link.run_until(lambda: link.state is LinkState.UP, "the link to be up")
        link.run_until(lambda: not woken(link))
        while not link.client.want_write():
            link.send_clock.shift += 0.001  # s: it follows no other closely
            link.put("a", bytes(100_000), 0)
        assert woken(link)


def test_a_lost_connection_is_left_to_the_main_thread(mosquitto: Mosquitto, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Link(mosquitto.port, delay=0.05) as link:
        link.connect()
        mosquitto.kill()
        for number in range(5):
            link.put("a", b"%d" % number)  # raises nothing
        mosquitto.start()
        with mosquitto.client("a") as other:
            link.run_until(lambda: set(numbers(other.pairs())) == set(range(5)), "what was put")


def woken(link: Link) -> bool:
    """Return whether the main thread was woken for a message that was put."""
    return bool(select.select([link.wakeup.fileno()], [], [], 0)[0])


# --- received messages


def test_a_message_whose_handling_fails_does_no_harm(mosquitto: Mosquitto, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("a message on 'a/1' failed: ZeroDivisionError('division by zero')")
    received: list[bytes] = []

    def on_msg(arrival: Arrival) -> None:
        received.append(arrival.payload)
        assert 1 / int(arrival.payload)

    with mosquitto.client() as other, Link(mosquitto.port, "a/#", on_msg=on_msg) as link:
        link.connect()
        other.publish("a/1", b"0")
        other.publish("a/1", b"1")
        link.run_until(lambda: len(received) == 2, "both messages")
        assert link.state is LinkState.UP
        assert link.client.connects == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(packet(0), id="kind 0"),
        pytest.param(packet(15), id="kind 15"),
        pytest.param(packet(CONNECT), id="CONNECT"),
        pytest.param(packet(DISCONNECT), id="DISCONNECT"),
        pytest.param(packet(PUBLISH), id="PUBLISH without a topic"),
        pytest.param(packet(PUBLISH, b"\0\x09a"), id="PUBLISH with a topic longer than itself"),
        pytest.param(packet(PUBLISH, b"\0\1a", flags=2), id="PUBLISH without an identifier"),
        pytest.param(packet(PUBLISH, b"\0\1a\0\1", flags=6), id="PUBLISH with QoS 3"),
        pytest.param(packet(4), id="PUBACK without an identifier"),
        pytest.param(packet(4, b"\0"), id="PUBACK with half an identifier"),
        pytest.param(packet(5), id="PUBREC without an identifier"),
        pytest.param(packet(6), id="PUBREL without an identifier"),
        pytest.param(packet(7), id="PUBCOMP without an identifier"),
        pytest.param(packet(SUBACK), id="SUBACK without anything"),
        pytest.param(packet(SUBACK, b"\0\1\x55"), id="SUBACK with an unknown code"),
        pytest.param(packet(13, b"abc"), id="PINGRESP with a body"),
        pytest.param(b"\x30\xff\xff\xff\xff\xff", id="a length of five bytes"),
    ],
)
def test_a_malformed_packet_ends_the_link_and_nothing_else(data: bytes, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(serve(first=data), serve()) as peer, Link(peer.port) as link:
        link.client.mg_connect()
        link.run_until(lambda: link.client.connects == 2, "the next link")
        _works(link, peer)


PASSED_OVER = {
    "topic not UTF-8": (b"\0\4a/\xff\xfe", b"x", "a message on 'a/\\\\xff\\\\xfe' is, or has, text that is not UTF-8"),
    "too long": (b"\0\3a/b", bytes(600_000), "a message on 'a/b' is, or has, a packet of 60000"),
    "the longest packet": (b"\0\3a/b", bytes(20_000_000), "a message on 'a/b' is, or has, a packet of 20000"),
}


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("what", PASSED_OVER)
def test_an_unusable_message_is_acknowledged_and_counted_and_does_not_end_the_link(
    what: str, qos: int, version: Version, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    """If the broker has retained it, it comes again at each connect."""
    topic, payload, text = PASSED_OVER[what]
    expected_logs.expect(text)
    is_v5 = version == 5
    body = topic + (b"\0\7" if qos else b"") + (b"\0" if is_v5 else b"") + payload
    first = packet(PUBLISH, body, flags=qos << 1 | 1)
    with Peer(serve(first=first + b"\xd0\0")) as peer, Link(peer.port, "a/#") as link:
        link.connect()
        link.run_until(lambda: link.client.receive_counts["unusable"], "the message", timeout=30)
        _works(link, peer)
        answer = {0: [], 1: [(4, b"\0\7")], 2: [(5, b"\0\7")]}[qos]
        wait_until(lambda: [(pkt.kind, pkt.body) for pkt in peer.conversations[0].packets if pkt.kind in (4, 5)]
                   == answer, 5, "the acknowledgement")  # fmt: skip
        assert link.client.connects == 1
        assert not link.received
    assert not any(record.exc_info for record in caplog.records)


def test_a_string_of_mqtt_5_that_is_not_utf_8_does_not_end_the_link(
    version: Version, expected_logs: ExpectedLogs
) -> None:
    if version != 5:
        return
    expected_logs.expect("a message on 'a/b' is, or has, a form that is not MQTT")
    properties = b"\x08\0\2\xff\xfe"  # a response topic
    first = packet(PUBLISH, b"\0\3a/b\0\7" + bytes([len(properties)]) + properties + b"x", flags=2)
    with Peer(serve(first=first)) as peer, Link(peer.port, "a/#") as link:
        link.connect()
        link.run_until(lambda: link.client.receive_counts["unusable"], "the message")
        _works(link, peer)
        assert link.client.connects == 1


def test_a_packet_that_is_too_long_and_not_a_publish_ends_the_link(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(serve(first=packet(SUBACK, bytes(600_000))), serve()) as peer, Link(peer.port) as link:
        link.client.mg_connect()
        link.run_until(lambda: link.client.connects == 2, "the next link")
        _works(link, peer)


def test_callbacks_assigned_by_others_are_called_and_cannot_break_anything(
    mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("on_connect of the MQTT client failed, in ", "ZeroDivisionError")
    subscribed: list[Any] = []
    with mosquitto.client() as other, Link(mosquitto.port, "a/#") as link:
        link.client.on_connect = lambda *_: 1 / 0
        link.client.on_subscribe = lambda *arguments: subscribed.append(arguments)
        link.connect()
        assert len(subscribed) == 1
        link.client.on_message = lambda *_: None
        link.client.on_message = None
        other.publish("a/1", b"1")
        link.run_until(lambda: link.received, "a message")


def test_a_malformed_packet_without_a_meaning_is_ignored() -> None:
    with Peer(serve(first=packet(SUBACK, b"\0\1"))) as peer, Link(peer.port, version="3.1.1") as link:
        link.client.mg_connect()
        link.run_until(lambda: link.state is LinkState.UP, "the link")
        link.run_for(0.1)
        _works(link, peer)
        assert link.client.connects == 1


def _works(link: Link, peer: Peer) -> None:
    link.put("still/there", b"1")
    link.run_until(lambda: [pkt for pkt in peer.packets(PUBLISH) if pkt.topic == "still/there"], "a message")


# --- the end


def test_stopping_waits_for_a_connack_that_is_pending() -> None:
    allowed = threading.Event()
    with Peer(serve(when=allowed)) as peer, Link(peer.port) as link:
        link.client.mg_connect()
        link.run_until(lambda: peer.packets(CONNECT), "the peer to have CONNECT")
        link.put("a", b"last words")
        letting = threading.Timer(0.3, allowed.set)
        letting.start()
        assert link.client.mg_stop(5.0)
        letting.join()
        assert [pkt.payload for pkt in peer.packets(PUBLISH)] == [b"last words"]


@pytest.mark.parametrize("qos", [0, 1])
def test_stopping_waits_no_longer_than_sending(qos: int, mosquitto: Mosquitto) -> None:
    with mosquitto.client("a") as other, Link(mosquitto.port, availability=AVAILABILITY) as link:
        link.connect()
        for number in range(500):
            link.put("a", b"%d" % number, qos)
        began = time.monotonic()
        assert link.client.mg_stop(5.0)
        assert time.monotonic() - began < 1
        wait_until(lambda: len(other.messages) == 500, 5, "all to arrive")


def test_stopping_does_not_wait_for_the_end_of_a_delay(mosquitto: Mosquitto, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Link(mosquitto.port, delay=100) as link:
        link.connect()
        mosquitto.kill()
        link.run_until(lambda: link.state is LinkState.BACKING_OFF, "the loss")
        link.put("a", b"last words")
        mosquitto.start()
        with mosquitto.client("a") as other:
            assert link.client.mg_stop(5.0)
            other.wait_topic("a", b"last words")


@pytest.mark.parametrize("act", [stay_silent, accept_and_read_no_more, serve(pubacks=0)])
def test_stopping_is_bounded_when_the_broker_does_not_respond(act: object, expected_logs: ExpectedLogs) -> None:
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(Peer(act))  # type: ignore[arg-type]
        link = stack.enter_context(Link(peer.port, availability=AVAILABILITY))
        link.client.mg_connect()
        link.run_until(lambda: peer.packets(CONNECT), "the peer to have CONNECT")
        link.run_for(0.1)
        link.put("a", b"last words")
        began = time.monotonic()
        assert not link.client.mg_stop(0.5)
        assert time.monotonic() - began < 2


def test_no_message_is_lost_if_the_broker_hangs_for_a_while(mosquitto: Mosquitto) -> None:
    with mosquitto.client("n") as other, Link(mosquitto.port) as link:
        link.connect()
        mosquitto.signal(signal.SIGSTOP)
        for number in range(500):
            link.put("n", b"%d" % number)
        link.run_for(0.3)
        assert link.outbox.counts().delivered == 0
        mosquitto.signal(signal.SIGCONT)
        link.run_until(lambda: len(link.outbox) == 0, "all to be delivered")
        wait_until(lambda: len(other.messages) >= 500, 10, "all to arrive")
    assert numbers(other.pairs()) == list(range(500))


def test_the_link_to_a_broker_that_acknowledges_nothing_is_dropped(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("no longer acknowledges messages")
    with Peer(serve(pubacks=0)) as peer, Link(peer.port, keepalive=60) as link:
        link.connect()
        link.outbox.put(Publication("home/t", b"1", qos=1))
        link.run_for(0.05)
        link.pass_time(85.0)  # it answers our pings
        link.run_for(0.05)
        assert link.state is LinkState.UP
        link.pass_time(10.0)
        link.run_until(lambda: link.state is not LinkState.UP, "the link to be dropped")


def test_a_state_is_published_once_at_each_connect(mosquitto: Mosquitto) -> None:
    topic = "home/gw/device/availability"
    with mosquitto.client(topic) as other, Link(mosquitto.port) as link:
        link.client.set_state(topic, b"online")
        link.connect()
        link.run_until(lambda: len(other.messages) == 1, "the state")
        link.client.set_state(topic, b"offline")
        link.run_until(lambda: len(other.messages) == 2, "the change")
        assert [payload for _, payload in other.pairs()] == [b"online", b"offline"]


def test_messages_sent_while_the_process_was_suspended_are_not_read(
    mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("the gateway did not run for")
    with Link(mosquitto.port, "gate/#", version="3.1.1") as link, mosquitto.client() as other:
        link.connect()
        link.run_until(lambda: link.client.is_subscribed, "the subscription")
        other.publish("gate/C", b"open")
        link.send_clock.shift += 60  # s: as after SIGSTOP and SIGCONT
        link.run_until(lambda: link.client.connects == 2 and link.client.is_subscribed, "the link to be up again")
        other.publish("gate/C", b"close")
        link.run_until(lambda: bool(link.received), "the next message")
    assert link.received == [("gate/C", b"close", False)]


@pytest.mark.parametrize("refused", [{}, {"b/#": 0x80}])
def test_subscriptions_go_first_and_online_waits_until_all_of_them_are_answered(
    refused: dict[str, int], expected_logs: ExpectedLogs
) -> None:
    if refused:
        expected_logs.expect("the broker refused the filter 'b/#': ")
    is_allowed = threading.Event()

    def answers_late(conversation: Conversation) -> None:
        """Answer SUBSCRIBE only when the test allows it."""
        conversation.read()
        conversation.connack()
        subscribes: list[Packet | None] = []
        while len(subscribes) < 2:
            subscribes.append(conversation.read())
        assert is_allowed.wait(10)
        for pkt in subscribes:
            assert pkt is not None
            assert pkt.kind == SUBSCRIBE, "nothing else is sent before the subscriptions"
            conversation.suback(pkt, bytes(refused.get(topic_filter, 1) for topic_filter in pkt.filters))
        for pkt in conversation.packets_until_closed():
            if pkt.kind == PUBLISH and pkt.qos:
                conversation.puback(pkt)

    outbox = Outbox()
    outbox.put_all([Publication("home/t", b"1", qos=1), Publication("home/t", b"2")])
    with Peer(answers_late) as peer, Link(peer.port, "a/#", "b/#", availability=AVAILABILITY, outbox=outbox) as link:
        link.client.mg_connect()
        link.run_until(lambda: len(peer.packets(SUBSCRIBE)) == 2, "the subscriptions")
        link.put("home/t", b"3")
        link.run_for(0.2)
        assert not peer.packets(PUBLISH)
        is_allowed.set()
        link.run_until(lambda: len(peer.packets(PUBLISH)) == 4, "all that waited")
        assert [pkt.payload for pkt in peer.packets(PUBLISH)] == [b"online", b"1", b"2", b"3"]


def test_the_link_to_a_broker_that_never_answers_the_subscriptions_is_dropped(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("does not answer the subscriptions")
    with Peer(accept_then_silence) as peer, Link(peer.port, "a/#", keepalive=4) as link:
        link.client.mg_connect()
        link.run_until(lambda: peer.packets(SUBSCRIBE), "the subscription")
        link.run_for(0.05)
        link.pass_time(11.0)  # the broker sends other packets
        link.run_until(lambda: link.state is not LinkState.UP, "the link to be dropped")
