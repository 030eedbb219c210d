from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.message import Lane, Publication
from gateway.mqtt.broker_limits import BrokerLimits
from gateway.mqtt.buffered_socket import BufferedSocket
from gateway.mqtt.paho_hooks import HookedClient
from gateway.mqtt.sender import Sender
from gateway.outbox.outbox import Outbox
from tests.conftest import ExpectedLogs
from tests.support.fake_clock import FakeClock
from tests.support.packets import PUBACK, V3, V5, Packet, Splitter, packet

COUNT = 300
PLAIN = Publication("t", b"1")


class SocketClient(HookedClient):
    """A client with a connection that is open already."""

    def __init__(self, sock: socket.socket, version: int) -> None:
        protocol = MQTTProtocolVersion.MQTTv5 if version == V5 else MQTTProtocolVersion.MQTTv311
        super().__init__(CallbackAPIVersion.VERSION2, protocol=protocol)
        self.connection = BufferedSocket(sock)
        self._sock = self.connection  # type: ignore[assignment]

    def forget_connection(self) -> None:
        """Keep paho from closing the connection."""
        self._sock = None


class Bench:
    """A sender whose client is connected to `theirs`; all subscriptions are answered."""

    def __init__(self, ours: socket.socket, theirs: socket.socket, version: int = V3) -> None:
        self.clock = FakeClock()
        self.outbox = Outbox()
        self.client = SocketClient(ours, version)
        self.sender = Sender(self.client, self.outbox, 0.0, self.clock)
        self.version = version
        self._ours, self._theirs = ours, theirs
        self._splitter = Splitter(version)
        theirs.setblocking(False)
        self.link_up()

    def link_up(self, limits: BrokerLimits = BrokerLimits()) -> None:  # noqa: B008
        self.sender.link_up("nowhere", limits, is_v5=self.version == V5)
        self.sender.begin()

    def limit_connection(self) -> None:
        """Let the connection accept only a few kilobytes."""
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def block_connection(self) -> None:
        """Let the connection accept nothing more."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._ours.send(b"x" * 4096)

    def send(self) -> None:
        """Send the waiting messages of the outbox."""
        self.sender.send_pending()
        self.client.loop_write()
        self.sender.settle()

    def received(self) -> list[Packet]:
        """Return the bytes that the other end has received since the last call."""
        try:
            return self._splitter.feed(self._theirs.recv(1 << 20))
        except BlockingIOError:
            return []

    def answer(self, mid: bytes, reason: int = 0) -> None:
        """Answer a publication with a PUBACK."""
        self._theirs.sendall(packet(PUBACK, mid + (bytes([reason]) if self.version == V5 else b"")))
        self.client.loop_read()
        self.sender.settle()


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def bench(sockets: tuple[socket.socket, socket.socket]) -> Iterator[Bench]:
    bench = Bench(*sockets)
    yield bench
    bench.client.forget_connection()


@pytest.fixture
def bench_v5(sockets: tuple[socket.socket, socket.socket]) -> Iterator[Bench]:
    bench = Bench(*sockets, V5)
    yield bench
    bench.client.forget_connection()


# --- from the outbox


def test_what_the_connection_accepts_immediately_was_never_in_flight(bench: Bench) -> None:
    bench.outbox.put_all([Publication("t", b"%d" % number) for number in range(COUNT)])
    bench.sender.send_pending()
    assert (len(bench.sender), bench.outbox.counts().delivered, len(bench.outbox)) == (0, COUNT, 0)
    assert [packet.payload for packet in bench.received()] == [b"%d" % number for number in range(COUNT)]


def test_what_the_connection_does_not_accept_is_in_flight_and_returns_when_the_link_ends(bench: Bench) -> None:
    bench.limit_connection()
    bench.outbox.put_all([Publication("t", b"%099d" % number) for number in range(COUNT)])
    bench.sender.send_pending()
    bench.sender.settle()
    delivered = bench.outbox.counts().delivered
    assert 0 < delivered < COUNT
    assert len(bench.sender) == COUNT - delivered
    assert len(bench.received()) == delivered
    bench.sender.link_lost(may_be_a_message=False)
    assert [int(entry.publication.payload) for entry in bench.outbox.take(COUNT)] == list(range(delivered, COUNT))


@pytest.mark.parametrize("is_blocked", [True, False])
def test_a_message_of_which_nothing_was_written_is_not_suspected(bench: Bench, is_blocked: bool) -> None:
    if is_blocked:
        bench.block_connection()
    bench.outbox.put(Publication("t", b"1", 1))
    bench.send()
    assert len(bench.sender) == 1
    bench.sender.link_lost(may_be_a_message=True)
    assert bench.sender.poison.is_active is not is_blocked


def test_a_publication_with_qos_1_is_sent_after_those_with_qos_0_before_it(bench: Bench) -> None:
    bench.outbox.put_all([Publication("t", b"%d" % number, int(number % 3 == 2)) for number in range(30)])
    bench.send()
    assert [packet.payload for packet in bench.received()] == [b"%d" % number for number in range(30)]
    # What was sent after the first one with QoS 1 is settled after it.
    assert (len(bench.sender), bench.outbox.counts().delivered) == (28, 2)
    stats = bench.sender.stats()
    assert (stats["in_flight"], stats["unacknowledged"], stats["acknowledged_on_link"]) == (28, 10, 0)


def test_nothing_is_sent_on_a_link_before_its_subscriptions_are_answered(bench: Bench) -> None:
    sender = bench.sender
    bench.outbox.put(Publication("t", b"1", 1))
    bench.send()
    (first,) = bench.received()
    sender.link_lost(may_be_a_message=False)
    sender.link_up("nowhere", BrokerLimits(), is_v5=False)
    sender.states.set("state", b"online")
    bench.outbox.put(Publication("t", b"2"))
    assert not sender.has_more
    assert not sender.send_pending()
    assert sender.send_directly([Publication("t", b"3")]) is None
    sender.publish_states()
    assert bench.client.mg_flush()
    assert bench.received() == []
    assert sender.stalled_for == 0, "nothing of what is in flight was sent on this link"
    sender.begin()
    bench.send()
    again, state, new = bench.received()
    assert (again.payload, again.mid, again.is_duplicate) == (b"1", first.mid, True)
    assert (state.payload, new.payload) == (b"online", b"2")
    assert sender.stats()["resent"] == 1


# --- refusals


def test_a_refused_message_is_dead_lettered_and_one_over_the_quota_is_sent_again_later(
    bench_v5: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(
        "nowhere does not accept messages at the moment: Quota exceeded: they will be sent again",
        "the broker refused it: Not authorized: allow the gateway to publish on 'no' in the broker's access rules",
    )
    bench = bench_v5
    bench.outbox.put_all([Publication("no", b"1", 1), Publication("later", b"2", 1)])
    bench.send()
    refused, deferred = bench.received()
    bench.answer(refused.mid, 0x87)
    bench.answer(deferred.mid, 0x97)
    bench.send()
    assert bench.received() == []
    assert bench.sender.time_left == 5.0
    bench.clock.now += 5.0
    bench.send()
    (again,) = bench.received()
    assert again.payload == b"2"
    stats = bench.sender.stats()
    assert (stats["refused"], stats["deferred"], stats["in_flight"]) == (1, 1, 1)


@pytest.mark.parametrize(("code", "tried"), [(0x80, [b"0"]), (0x83, [b"0"]), (0x97, [b"0", b"1", b"2"])])
def test_a_broker_that_refuses_everything_for_some_time_loses_nothing_and_no_order(
    code: int, tried: list[bytes], bench_v5: Bench, expected_logs: ExpectedLogs
) -> None:
    """RabbitMQ answers 0x83 as long as the node with the queue of a subscriber is down."""
    expected_logs.expect("nowhere does not accept messages")
    bench = bench_v5
    bench.outbox.put_all([Publication("t", b"%d" % number, 1) for number in range(3)])
    expected = [b"0", b"1", b"2"]
    for _ in range(20):
        bench.send()
        packets = bench.received()
        assert [each.payload for each in packets] == expected, "again, in their order"
        for each in packets:
            bench.answer(each.mid, code)
        bench.clock.now += bench.sender.time_left
        expected = tried
    received = []
    for _ in range(2):
        bench.send()
        for each in bench.received():
            received.append(each.payload)
            bench.answer(each.mid)
    assert received == [b"0", b"1", b"2"]
    counts = bench.outbox.counts()
    assert (counts.delivered, counts.dead_letters) == (3, 0)


@pytest.mark.parametrize(("lane", "expected"), [(Lane.LATEST, []), (Lane.EVENT, [b"1"])])
def test_a_state_that_is_put_off_does_not_replace_a_newer_one(
    lane: Lane, expected: list[bytes], bench_v5: Bench, expected_logs: ExpectedLogs
) -> None:
    """The node of the cluster that had refused the older one was back for the newer one."""
    expected_logs.expect("nowhere does not accept messages on 't' at the moment: Implementation specific error")
    bench = bench_v5
    for payload in (b"1", b"2"):
        bench.outbox.put(Publication("t", payload, 1, retain=True, lane=lane))
        bench.send()
    for each in bench.received():
        bench.answer(each.mid, 0x83 if each.payload == b"1" else 0)
    bench.clock.now += bench.sender.time_left
    bench.send()
    assert [each.payload for each in bench.received()] == expected, "of events, each matters"
    counts = bench.outbox.counts()
    assert (counts.delivered, counts.dead_letters) == (1, 0)
    assert bench.outbox.stats()["superseded"] == (lane is Lane.LATEST)


def test_what_is_put_off_goes_first_on_the_next_link(bench_v5: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("nowhere does not accept messages at the moment: Quota exceeded")
    bench = bench_v5
    bench.outbox.put_all([Publication("t", b"%d" % number, 1) for number in range(4)])
    bench.send()
    for each in bench.received()[:2]:
        bench.answer(each.mid, 0x97)
    bench.sender.link_lost(may_be_a_message=False)
    bench.link_up()
    bench.send()
    assert [each.payload for each in bench.received()] == [b"0", b"1", b"2", b"3"]


def test_a_message_that_is_refused_again_after_others_of_its_topic_were_accepted_is_dead_lettered(
    bench_v5: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("nowhere does not accept messages on 't' at the moment: Implementation specific error")
    expected_logs.expect("dead letter: 3 bytes to 't': the broker refused it: Implementation specific error")
    bench = bench_v5
    bench.outbox.put_all([Publication("t", payload, 1) for payload in (b"bad", b"good", b"good")])
    for _ in range(2):
        bench.send()
        for each in bench.received():
            bench.answer(each.mid, 0x83 if each.payload == b"bad" else 0)
        bench.clock.now += 1.0
    counts = bench.outbox.counts()
    assert (counts.delivered, counts.dead_letters) == (2, 1)
    assert (bench.sender.stats()["refused"], bench.sender.stats()["kept_back"]) == (1, 0)


def test_a_state_that_was_refused_is_published_once_the_broker_accepts_all_messages_again(
    bench_v5: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(
        "nowhere does not accept messages on 't' at the moment", "does not accept the state 'document'"
    )
    bench = bench_v5
    bench.sender.states.set("document", b"{}")
    bench.outbox.put(Publication("t", b"1", 1))
    bench.send()
    for each in bench.received():
        bench.answer(each.mid, 0x83)
    bench.clock.now += 1.0
    bench.send()
    (again,) = bench.received()
    bench.answer(again.mid)
    bench.sender.publish_states()
    bench.client.loop_write()
    assert [each.topic for each in bench.received()] == ["document"]


def test_what_is_kept_back_is_sent_in_its_order_on_the_next_link(bench_v5: Bench, expected_logs: ExpectedLogs) -> None:
    """The first of its topic had been sent again, and was not answered."""
    expected_logs.expect("nowhere does not accept messages on 't' at the moment: Implementation specific error")
    bench = bench_v5
    bench.outbox.put_all([Publication("t", b"%d" % number, 1) for number in range(3)])
    bench.send()
    for each in bench.received()[:2]:
        bench.answer(each.mid, 0x83)
    bench.outbox.put_all([Publication(topic, topic.encode(), 1) for topic in ("t", "u")])
    bench.clock.now += 1.0
    bench.send()
    assert [each.payload for each in bench.received()] == [b"0", b"u"]
    bench.sender.link_lost(may_be_a_message=False)
    bench.link_up()
    assert not bench.sender.refused_topics
    bench.send()
    assert [each.payload for each in bench.received()] == [b"0", b"1", b"2", b"t", b"u"]


def test_a_state_that_the_broker_refuses_is_suspended(bench_v5: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the broker does not accept the state 'availability': it answered Not authorized: retrying in")
    bench = bench_v5
    bench.sender.states.set("availability", b"online")
    bench.send()
    (state,) = bench.received()
    bench.answer(state.mid, 0x87)
    assert bench.sender.states.is_suspended("availability")
    assert bench.sender.time_left == 10.0
    bench.clock.now += 10.0
    bench.sender.publish_states()
    bench.send()
    (again,) = bench.received()
    bench.answer(again.mid)
    assert bench.sender.states.stats() == {
        "states": 1,
        "states_pending": 0,
        "states_suspended": 0,
        "states_published": 2,
    }


def test_a_state_with_qos_0_that_was_lost_with_its_link_is_published_on_the_next_one(
    bench: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("does not support QoS 1")
    only_qos_0 = BrokerLimits(maximum_qos=0)
    bench.link_up(only_qos_0)
    bench.block_connection()
    bench.sender.states.set("av", b"online")
    bench.sender.publish_states()
    bench.client.loop_write()
    assert (len(bench.sender), bench.sender.stats()["states_published"]) == (1, 1)
    bench.sender.link_lost(may_be_a_message=False)
    bench.link_up(only_qos_0)
    bench.sender.publish_states()
    assert bench.sender.stats()["states_published"] == 2


def test_what_the_broker_does_not_support_is_sent_without(bench: Bench, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "the broker at nowhere does not support QoS 1: messages are sent with QoS 0 and may be lost",
        "the broker at nowhere does not support retained messages: they are sent without the retain flag",
        "a packet of 104 bytes is over the broker's limit of 100",
    )
    bench.link_up(BrokerLimits(maximum_packet=100, maximum_qos=0, retain_available=False))
    bench.outbox.put_all([Publication("t", b"1", 1, retain=True), Publication("t", bytes(99))])
    bench.send()
    (sent,) = bench.received()
    assert (sent.payload, sent.flags) == (b"1", 0)
    stats = bench.sender.stats()
    assert (stats["downgraded"], stats["refused"]) == (2, 1)


# --- past the outbox


def test_what_the_connection_can_accept_immediately_need_not_be_in_the_outbox(bench: Bench) -> None:
    bench.sender.send_pending()
    assert bench.sender.send_directly([Publication("t", b"%d" % number) for number in range(COUNT)])
    counts = bench.outbox.counts()
    assert (counts.accepted, counts.delivered, len(bench.outbox), len(bench.sender)) == (COUNT, COUNT, 0, 0)
    assert [packet.payload for packet in bench.received()] == [b"%d" % number for number in range(COUNT)]


def test_of_what_was_sent_directly_the_remainder_is_in_flight_and_returns_when_the_link_ends(bench: Bench) -> None:
    bench.limit_connection()
    sender, outbox = bench.sender, bench.outbox
    sender.send_pending()
    assert sender.send_directly([Publication("t", b"%099d" % number) for number in range(COUNT)]) is False
    assert sender.send_directly([Publication("t", b"later")]) is None, "that would overtake what is in flight"
    sender.settle()
    delivered = outbox.counts().delivered
    assert 0 < delivered < COUNT
    assert len(bench.received()) == delivered
    sender.link_lost(may_be_a_message=False)
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
def test_what_has_to_be_kept_is_not_sent_directly_nor_anything_with_it(bench: Bench, publication: Publication) -> None:
    bench.sender.send_pending()
    assert bench.sender.send_directly([Publication("t", b"0"), publication]) is None
    assert bench.client.mg_flush()
    assert bench.received() == []
    assert bench.outbox.counts().accepted == 0


def test_on_a_new_link_the_states_go_first(bench: Bench) -> None:
    assert bench.sender.send_directly([PLAIN]) is None
    bench.sender.send_pending()
    assert bench.sender.send_directly([PLAIN])


def test_nothing_is_sent_directly_while_something_waits(bench: Bench) -> None:
    bench.sender.send_pending()
    bench.outbox.put(Publication("other", b"1"))
    assert bench.sender.send_directly([PLAIN]) is None
    bench.sender.send_pending()
    assert bench.sender.send_directly([PLAIN])
    bench.client.connection.put(b"\xc0\0")
    assert bench.sender.send_directly([PLAIN]) is None, "paho's own packet goes first"
    assert bench.client.mg_flush()
    assert bench.sender.send_directly([PLAIN])


def test_not_more_is_sent_directly_than_is_written_at_once(bench: Bench) -> None:
    bench.sender.send_pending()
    assert bench.sender.send_directly([Publication("t", bytes(1000))] * 300) is None


def test_nothing_is_sent_directly_during_a_search_for_poison(bench: Bench) -> None:
    bench.sender.send_pending()
    for _ in range(3):
        assert bench.sender.send_directly([PLAIN])
        bench.sender.poison.lost(PLAIN, 1)
    assert bench.sender.send_directly([PLAIN]) is None, "messages go one by one, and are counted"
    bench.sender.poison.settled(acknowledged=True)
    assert bench.sender.send_directly([PLAIN])


def test_nothing_is_sent_directly_while_the_broker_asks_for_a_pause(
    bench_v5: Bench, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("does not accept messages at the moment: Quota exceeded")
    bench = bench_v5
    bench.outbox.put(Publication("t", b"1", 1))
    bench.send()
    bench.answer(bench.received()[0].mid, 0x97)
    assert bench.sender.send_directly([PLAIN]) is None
    bench.clock.now += 5.0
    bench.send()
    bench.answer(bench.received()[0].mid)
    assert bench.sender.send_directly([PLAIN])


def test_nothing_is_sent_directly_on_a_link_that_is_about_to_be_closed(bench: Bench) -> None:
    bench.sender.send_pending()
    bench.sender.pause()
    assert bench.sender.send_directly([PLAIN]) is None


def test_nothing_is_sent_directly_if_each_message_has_to_be_checked(bench: Bench) -> None:
    bench.link_up(BrokerLimits(maximum_packet=10))
    bench.sender.send_pending()
    assert bench.sender.send_directly([PLAIN]) is None


# --- states and messages


def test_a_state_that_changes_while_a_backlog_is_sent_does_not_wait_for_all_of_it(bench: Bench) -> None:
    """Behind a slow link, that of a day can take hours: a device that is offline must not be online until then."""
    bench.outbox.put_all([Publication("t", b"%d" % number, 1) for number in range(COUNT)])
    bench.send()
    waiting = bench.received()
    bench.sender.states.set("availability", b"offline")
    before = 0
    while waiting[0].topic != "availability":
        bench.answer(waiting.pop(0).mid)
        bench.send()
        bench.sender.publish_states()
        bench.client.loop_write()
        waiting += bench.received()
        before += 1
    assert before <= 102, "those in flight, and not many more"


def test_states_that_change_all_the_time_leave_room_for_messages(bench: Bench) -> None:
    bench.outbox.put_all([Publication("t", b"%d" % number, 1) for number in range(COUNT)])
    bench.send()
    waiting = bench.received()
    answered = []
    for turn in range(2 * COUNT):
        for number in range(3):
            bench.sender.states.set(f"state/{number}", b"%d" % turn)
        packet = waiting.pop(0)
        answered.append(packet.topic)
        bench.answer(packet.mid)
        bench.send()
        bench.sender.publish_states()
        bench.client.loop_write()
        waiting += bench.received()
    assert answered.count("t") >= COUNT - 20
    assert answered.count("state/0") >= 20
