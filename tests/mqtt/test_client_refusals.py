"""A message that makes the broker close the link is dead-lettered, and no other; and two clients with one id."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.message import Publication
from gateway.mqtt.link_state import LinkState
from gateway.outbox.options import OutboxOptions
from gateway.outbox.outbox import Outbox
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto, mosquitto_or_skip
from tests.support.link import Link
from tests.support.packets import publish
from tests.support.peer import CONNECT, PUBLISH, SUBSCRIBE, Act, Conversation, Packet, Peer, disconnect_packet, serve
from tests.support.waiting import wait_until

ASKING = {
    "run_topic": "g/run",
    "max_age": 6.0,
}  # so that tokens are accepted at the position of a message that is alone
FORBIDDEN = "the broker does not let the gateway write and read the topic"  # these peers send nothing back

VERSIONS = pytest.mark.parametrize("version", [5, "3.1.1"])


def closes_at(is_fatal: Callable[[Packet], bool], last: bytes = b"") -> Act:
    """Acknowledge all but a PUBLISH that is fatal, which is answered with `last` and the end of the connection."""

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        for pkt in conversation.packets_until_closed():
            if pkt.kind == PUBLISH and is_fatal(pkt):
                conversation.send(last)
                return
            if pkt.kind == PUBLISH:
                conversation.puback(pkt)
            elif pkt.kind == SUBSCRIBE:
                conversation.suback(pkt, b"\1" * len(pkt.filters))

    return act


def closes_on(payload: bytes, last: bytes = b"") -> Act:
    """Acknowledge all but a PUBLISH of `payload`."""
    return closes_at(lambda pkt: pkt.payload == payload, last)


def drain(link: Link) -> None:
    """Run the loop until the outbox is empty; each step moves the clock on a little, past every probation."""

    def is_empty() -> bool:
        link.pass_time(0.1)
        return len(link.outbox) == 0

    link.run_until(is_empty, "an empty outbox", timeout=30)


@VERSIONS
@pytest.mark.parametrize("availability", ["", "av"])
def test_a_message_that_closes_the_link_is_dead_lettered_and_the_others_are_sent(
    version: object, availability: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(
        "lost the broker: ", "dead letter: 3 bytes to 't/5': the broker closed the link right after it"
    )
    with Peer(closes_on(b"bad")) as peer, Link(peer.port, version=version, availability=availability) as link:
        link.connect()
        for number in range(10):
            link.put(f"t/{number}", b"bad" if number == 5 else b"good")
        drain(link)
        counts = link.outbox.counts()
        assert (counts.delivered, counts.dead_letters) == (9, 1)
        bad = [pkt for pkt in peer.packets(PUBLISH) if pkt.payload == b"bad"]
        assert len(bad) >= 6  # three times among others, three times alone
        assert link.bounds[-1] == 1, "once the message is known, there is no reason to wait"
        assert link.bounds.count(1) == 4, "at first, one by one, without it, and after others were accepted"
        order = [pkt.topic for pkt in peer.packets(PUBLISH) if pkt.payload == b"good"]
        assert list(dict.fromkeys(order)) == [f"t/{number}" for number in range(10) if number != 5]


def test_other_messages_whose_acknowledgements_are_lost_with_the_link_are_not_dead_lettered(
    expected_logs: ExpectedLogs,
) -> None:
    """If a broker closes with data unread, acknowledgements that it has sent may be lost."""
    expected_logs.expect("lost the broker: ", "dead letter: 3 bytes to 't/2'")

    def close_before_it_acknowledges(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        batch = []
        for pkt in conversation.packets_until_closed():
            batch.append(pkt)
            if pkt.payload == b"bad":
                return
            if len(conversation.of_kind(PUBLISH)) < 3 and not link.client.sender.poison.one_by_one:
                continue
            while batch:
                conversation.puback(batch.pop(0))

    with Peer(close_before_it_acknowledges) as peer, Link(peer.port, version="3.1.1") as link:
        link.connect()
        for number in range(9):
            link.put(f"t/{number}", b"bad" if number == 2 else b"good")
        drain(link)
        counts = link.outbox.counts()
        assert (counts.delivered, counts.dead_letters) == (8, 1)


@pytest.mark.parametrize("reason", [0x95, 0x99, 0x82])
def test_a_broker_that_reports_that_it_closes_because_of_a_message(reason: int, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ", "dead letter: 3 bytes to 't'")
    expected_logs.allow(FORBIDDEN)
    with (
        Peer(closes_on(b"bad", disconnect_packet(reason))) as peer,
        Link(peer.port, availability="av", client=ASKING) as link,
    ):
        link.connect()
        link.put("t", b"bad")
        link.put("t", b"good")
        drain(link)
        assert link.outbox.counts().delivered == 1


@pytest.mark.parametrize("reason", [0x8E, 0x8B, 0x89, 0x98, 0x8D])
def test_no_message_is_blamed_where_the_broker_has_another_reason(reason: int, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    acts = itertools.repeat(closes_on(b"good", disconnect_packet(reason)), 8)
    with Peer(*acts, serve()) as peer, Link(peer.port) as link:
        link.connect()
        link.put("t", b"good")
        drain(link)
        assert (link.outbox.counts().delivered, link.outbox.counts().dead_letters) == (1, 0)


def test_no_message_is_blamed_that_was_not_written_yet(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")

    def close(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()

    with Peer(*itertools.repeat(close, 8), serve()) as peer, Link(peer.port) as link:
        link.put("t", b"good")
        link.client.mg_connect()
        link.run_until(lambda: link.outbox.counts().delivered == 1, "the message", timeout=30)
        assert link.outbox.counts().dead_letters == 0


def test_no_message_is_blamed_that_was_sent_long_before(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(*itertools.repeat(serve(pubacks=0), 8), serve()) as peer, Link(peer.port) as link:
        link.put("t", b"good")
        for count in range(1, 9):
            link.client.mg_connect()
            link.run_until(lambda expected=count: len(peer.packets(PUBLISH)) == expected, "it to be sent")  # type: ignore[misc]
            link.clock.shift += 11
            peer.conversations[-1].hang_up()
            link.run_until(lambda expected=count: link.client.connects > expected, "the next link")  # type: ignore[misc]
        drain(link)
        assert link.outbox.counts().dead_letters == 0


@VERSIONS
def test_no_message_is_lost_if_the_broker_is_killed_repeatedly(
    version: object, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("lost the broker: ")
    expected_logs.expect("nothing listens")
    with Link(mosquitto.port, version=version, delay=0.02) as link:
        for number in range(8):
            link.client.link.end_delay()
            link.client.mg_connect()
            link.run_until(lambda: link.state is LinkState.UP, "the link")
            for index in range(300):
                link.put("n", b"%d %d" % (number, index))
            link.step(0.0)
            mosquitto.kill()
            link.run_until(lambda: "nothing listens" in link.failure, "the loss")
            mosquitto.start()
        drain(link)
        assert link.outbox.counts().dead_letters == 0
        assert link.outbox.counts().delivered == 2400


@pytest.mark.parametrize("qos", [0, 1])
def test_a_real_broker_of_3_1_1_that_closes_because_of_a_large_message(
    qos: int, tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    mosquitto_or_skip()
    expected_logs.expect("lost the broker: ")
    if qos:
        expected_logs.expect("dead letter: 250000 bytes to 't'")
    with (
        Mosquitto(tmp_path, "allow_anonymous true\nmax_packet_size 2000\n") as broker,
        Link(broker.port, version="3.1.1", availability="av", client=ASKING) as link,
        broker.client("t") as other,
    ):
        link.connect()
        link.put("t", b"before", qos)
        link.put("t", bytes(250_000), qos)
        link.put("t", b"after", 1)
        drain(link)
        wait_until(lambda: ("t", b"after") in other.pairs(), 10, "what came after it")


def test_a_message_that_the_broker_cuts_off_is_dead_lettered_too(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ", "dead letter: 8000000 bytes to 't'")

    def close_immediately_when_it_comes(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        first = conversation.sock.recv(5)
        while first[:1] in b"\x32\x33" and len(first) == 5 and first[1] < 128:  # short: the broker has read all of it
            length = first[1]
            remaining = conversation.receive(length - 3)
            at = 2 + 1 - 0
            mid = (first[2:] + remaining)[at : at + 2]
            conversation.send(b"\x40\x02" + mid)
            first = conversation.sock.recv(5)

    with Peer(close_immediately_when_it_comes) as peer, Link(peer.port, version="3.1.1", availability="a") as link:
        link.connect()
        link.put("t", bytes(8_000_000), 0)
        link.put("t", b"after")

        def is_dead_lettered() -> bool:
            link.pass_time(0.1)
            if len(link.outbox) == 1:
                link.put("o", b"company")
            return link.outbox.counts().dead_letters == 1

        link.run_until(is_dead_lettered, "the dead letter", timeout=30)
        drain(link)


@VERSIONS
def test_a_state_that_closes_the_link_is_suspended_and_its_will_stays(
    version: object, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("lost the broker: ")
    expected_logs.expect("the broker does not accept the state 'av': the broker closed the link right after it, three ")
    with Peer(closes_on(b"online")) as peer, Link(peer.port, version=version, availability="av") as link:
        link.client.set_state("other", b"well")
        for number in range(10):
            link.put(f"t/{number}", b"good")
        link.client.mg_connect()
        drain(link)
        text = peer.packets(PUBLISH)
        assert sum(pkt.payload == b"online" for pkt in text) == 6  # three times among others, three times alone
        assert sum(pkt.payload == b"well" for pkt in peer.conversations[-1].of_kind(PUBLISH)) == 1
        assert (link.outbox.counts().delivered, link.outbox.counts().dead_letters) == (10, 0)
        assert all(pkt.body[7] & 4 for pkt in peer.packets(CONNECT)), (
            "if the gateway is killed now, its availability becomes offline all the same"
        )


def test_states_are_published_again_after_everything_was_requeued(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ", "dead letter: 3 bytes to 't'")
    expected_logs.allow(FORBIDDEN)
    with Peer(closes_on(b"bad")) as peer, Link(peer.port, availability="av", client=ASKING) as link:
        link.connect()
        link.put("t", b"bad")
        drain(link)
        link.run_until(
            lambda: (
                [pkt.payload for pkt in peer.conversations[-1].of_kind(PUBLISH) if pkt.topic == "av"] == [b"online"]
            ),
            "the state",
        )


# --- two clients with one id


def test_a_takeover_is_logged_once_with_its_remedy_and_backed_off(expected_logs: ExpectedLogs) -> None:
    text = "closed the connection: another client has the client id 'test': give each client its own mqtt.client_id"
    expected_logs.expect(text)

    def taken_over(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        assert conversation.is_over.wait(10)
        conversation.send(disconnect_packet(0x8E))

    with Peer(taken_over) as peer, Link(peer.port) as link:
        for count in range(1, 5):
            link.client.mg_connect()
            link.run_until(lambda expected=count: link.client.connects == expected, "the link")  # type: ignore[misc]
            link.pass_time(40)  # s: it was stable
            peer.conversations[-1].is_over.set()
            link.run_until(lambda expected=count: len(link.bounds) == expected, "the takeover")  # type: ignore[misc]
        assert link.bounds == [1, 2, 4, 8]


@VERSIONS
def test_two_clients_with_one_id_at_a_real_broker(
    version: object, mosquitto: Mosquitto, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("lost the broker: ")  # Mosquitto 2.0.11 gives no reason to a client of version 5 either
    with Link(mosquitto.port, version=version) as first, Link(mosquitto.port, version=version) as second:
        for _ in range(4):
            for link in (first, second):
                link.client.link.end_delay()
                link.client.mg_connect()
                link.run_until(lambda who=link: who.state is LinkState.UP, "a link")  # type: ignore[misc]
                other = second if link is first else first
                if other.client.connects:
                    other.delay = 100
                    other.run_until(lambda who=other: who.state is LinkState.BACKING_OFF, "a loss")  # type: ignore[misc]
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert any("client id 'test'" in text for text in warnings)
        assert len(warnings) <= 2
        assert first.bounds == [2.0**number for number in range(len(first.bounds))]


# --- a broker that fails, or a network device before it


def closes_on_any_publish_until(is_well: threading.Event) -> Act:
    """Accept CONNECT and SUBSCRIBE and close at each PUBLISH, until `is_well` is set."""
    return closes_at(lambda _: not is_well.is_set())


@VERSIONS
@pytest.mark.parametrize("availability", ["", "av"])
def test_no_message_is_blamed_where_every_publish_ends_the_link(
    version: object, availability: str, expected_logs: ExpectedLogs
) -> None:
    """Once the broker works again, everything is delivered in its order; and the availability is published again."""
    expected_logs.expect("lost the broker: ")
    if availability:
        expected_logs.expect("the broker does not accept the state 'av': ")
    is_well = threading.Event()
    peer = Peer(closes_on_any_publish_until(is_well))
    with peer, Link(peer.port, "c/#", version=version, availability=availability) as link:
        for number in range(5):
            link.put(f"t/{number % 2}", b"%d" % number)
        link.client.mg_connect()

        def has_tried_often() -> bool:
            link.clock.shift += 0.05
            return link.client.connects > 40

        link.run_until(has_tried_often, "forty links", timeout=30)
        assert link.outbox.counts().dead_letters == 0
        is_well.set()
        drain(link)
        assert link.outbox.counts().delivered == 5
        by_topic = [pkt.payload for pkt in peer.conversations[-1].of_kind(PUBLISH) if pkt.topic == "t/0"]
        assert by_topic == [b"0", b"2", b"4"]
        if availability:

            def is_online() -> bool:
                link.pass_time(1)
                return any(topic == "av" for topic, _ in peer.acknowledged())

            link.run_until(is_online, "the availability")


def test_a_message_that_ends_the_link_again_after_others_were_accepted_is_dead_lettered_and_another_one_is_not(
    expected_logs: ExpectedLogs,
) -> None:
    expected_logs.expect("lost the broker: ", "dead letter: 3 bytes to 'bad/1'")
    trouble = threading.Event()

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        for pkt in conversation.packets_until_closed():
            is_in_trouble = trouble.is_set() and pkt.topic == "good/1" if pkt.kind == PUBLISH else False
            if pkt.kind == PUBLISH and (pkt.payload == b"bad" or is_in_trouble):
                return
            if pkt.kind == PUBLISH:
                conversation.puback(pkt)

    with Peer(act) as peer, Link(peer.port, version="3.1.1") as link:
        trouble.set()
        link.put("good/1", b"1")
        link.connect()

        def has_lost_six() -> bool:
            link.clock.shift += 0.05
            return link.client.connects > 6

        link.run_until(has_lost_six, "six links")
        trouble.clear()
        link.put("good/2", b"2")
        drain(link)
        assert (link.outbox.counts().delivered, link.outbox.counts().dead_letters) == (2, 0)
        link.put("bad/1", b"bad")
        link.put("good/3", b"3")
        link.put("bad/1", b"behind it")
        drain(link)
        assert (link.outbox.counts().delivered, link.outbox.counts().dead_letters) == (4, 1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_message_is_blamed_where_every_nth_publish_ends_the_link(count: int, expected_logs: ExpectedLogs) -> None:
    """The states, which are sent first, are accepted; then each message ends the link: the position is the cause."""
    expected_logs.expect("lost the broker: ")
    expected_logs.allow("the broker does not accept the state", FORBIDDEN)
    is_well = threading.Event()

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        for pkt in conversation.packets_until_closed():
            if pkt.kind == PUBLISH and len(conversation.of_kind(PUBLISH)) > count and not is_well.is_set():
                return
            if pkt.kind == PUBLISH:
                conversation.puback(pkt)
                if pkt.topic == "g/run":
                    conversation.send(publish("g/run", pkt.payload, version=conversation.version))
            elif pkt.kind == SUBSCRIBE:
                conversation.suback(pkt, b"\1" * len(pkt.filters))

    with Peer(act) as peer, Link(peer.port, "c/#", availability="av", client=ASKING) as link:
        for number in range(4):
            link.put("t", b"%d" % number)
        link.client.mg_connect()

        def has_tried_often() -> bool:
            link.pass_time(0.1)
            return link.client.connects > 50

        link.run_until(has_tried_often, "fifty links", timeout=40)
        assert link.outbox.counts().dead_letters == 0
        is_well.set()
        drain(link)
        accepted = [payload for topic, payload in peer.acknowledged() if topic == "t"]
        assert list(dict.fromkeys(accepted)) == [b"0", b"1", b"2", b"3"]
        assert link.outbox.counts().dead_letters == 0


def test_a_topic_that_waits_for_its_first_message_uses_no_more_than_a_window(expected_logs: ExpectedLogs) -> None:
    """One device, one topic, and a broker that fails for long: messages stay in the outbox, within its limits."""
    expected_logs.expect("lost the broker: ", "outbox")
    is_well = threading.Event()
    outbox = Outbox(OutboxOptions(max_messages=500))
    with Peer(closes_on_any_publish_until(is_well)) as peer, Link(peer.port, outbox=outbox) as link:
        link.client.mg_connect()
        number = 0

        def has_tried_often() -> bool:
            nonlocal number
            link.pass_time(0.1)
            for _ in range(20):
                number += 1
                link.outbox.put(Publication("t", b"%d" % number, 1))
            return link.client.connects > 30

        link.run_until(has_tried_often, "thirty links", timeout=40)
        assert len(link.outbox) <= 700
        is_well.set()
        began = link.clock.shift
        drain(link)
        assert link.clock.shift - began < 700, "at the latest when the longest delay is over"
        assert link.outbox.counts().dead_letters == 0
