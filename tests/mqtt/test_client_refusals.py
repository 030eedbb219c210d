"""A message over which a broker closes the link is found and set aside, and no other; and two clients with one id."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.message import Publication
from gateway.mqtt.link_state import LinkState
from gateway.outbox.outbox import Outbox
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto, mosquitto_or_skip
from tests.support.link import Link
from tests.support.packets import publish
from tests.support.peer import CONNECT, PUBLISH, SUBSCRIBE, Act, Conversation, Packet, Peer, goodbye, serve
from tests.support.waiting import wait_until

ASKING = {"run_topic": "g/run", "max_age": 6.0}  # so that others pass at the place of a message, if it has no company
FORBIDDEN = "the broker does not let the gateway write and read the topic"  # these peers send nothing back

VERSIONS = pytest.mark.parametrize("version", [5, "3.1.1"])


def closes_at(is_fatal: Callable[[Packet], bool], last: bytes = b"") -> Act:
    """Acknowledge all but a PUBLISH that is fatal, which is answered with `last` and the end of the connection."""

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        for found in conversation.packets_until_closed():
            if found.kind == PUBLISH and is_fatal(found):
                conversation.send(last)
                return
            if found.kind == PUBLISH:
                conversation.puback(found)
            elif found.kind == SUBSCRIBE:
                conversation.suback(found, b"\1" * len(found.filters))

    return act


def closes_on(payload: bytes, last: bytes = b"") -> Act:
    """Acknowledge all but a PUBLISH of `payload`."""
    return closes_at(lambda found: found.payload == payload, last)


def drain(link: Link) -> None:
    """Turn until nothing waits any more; the clock goes on a little with each turn, past every probation."""

    def is_empty() -> bool:
        link.pass_time(0.1)
        return len(link.outbox) == 0

    link.run_until(is_empty, "an empty outbox", timeout=30)


@VERSIONS
@pytest.mark.parametrize("availability", ["", "av"])
def test_a_message_that_closes_the_link_is_set_aside_and_the_rest_flows(
    version: object, availability: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("lost the broker: ", "set aside: 3 bytes to 't/5': the broker closed the link right after it")
    with Peer(closes_on(b"bad")) as peer, Link(peer.port, version=version, availability=availability) as link:
        link.connect()
        for number in range(10):
            link.put(f"t/{number}", b"bad" if number == 5 else b"good")
        drain(link)
        counts = link.outbox.counts()
        assert (counts.delivered, counts.set_aside) == (9, 1)
        bad = [found for found in peer.packets(PUBLISH) if found.payload == b"bad"]
        assert len(bad) >= 6  # three times among others, three times alone
        assert link.bounds[-1] == 1, "once it is known which one it is, nothing is to be waited for"
        assert link.bounds.count(1) == 4, "at first, one by one, without it, and after others have passed"
        order = [found.topic for found in peer.packets(PUBLISH) if found.payload == b"good"]
        assert list(dict.fromkeys(order)) == [f"t/{number}" for number in range(10) if number != 5]


def test_innocent_neighbours_whose_acknowledgements_are_lost_with_the_link_are_not_set_aside(
    expected_logs: ExpectedLogs,
) -> None:
    """A broker that closes with data unread takes acknowledgements with it that it has sent."""
    expected_logs.expect("lost the broker: ", "set aside: 3 bytes to 't/2'")

    def close_before_it_acknowledges(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        batch = []
        for found in conversation.packets_until_closed():
            batch.append(found)
            if found.payload == b"bad":
                return
            if len(conversation.of_kind(PUBLISH)) < 3 and not link.client.sender._suspicion.is_strong:
                continue
            while batch:
                conversation.puback(batch.pop(0))

    with Peer(close_before_it_acknowledges) as peer, Link(peer.port, version="3.1.1") as link:
        link.connect()
        for number in range(9):
            link.put(f"t/{number}", b"bad" if number == 2 else b"good")
        drain(link)
        counts = link.outbox.counts()
        assert (counts.delivered, counts.set_aside) == (8, 1)


@pytest.mark.parametrize("reason", [0x95, 0x99, 0x82])
def test_a_broker_that_says_that_it_closes_over_a_message(reason: int, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ", "set aside: 3 bytes to 't'")
    expected_logs.allow(FORBIDDEN)
    with Peer(closes_on(b"bad", goodbye(reason))) as peer, Link(peer.port, availability="av", client=ASKING) as link:
        link.connect()
        link.put("t", b"bad")
        link.put("t", b"good")
        drain(link)
        assert link.outbox.counts().delivered == 1


@pytest.mark.parametrize("reason", [0x8E, 0x8B, 0x89, 0x98, 0x8D])
def test_a_broker_that_has_reasons_of_its_own_blames_no_message(reason: int, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    acts = itertools.repeat(closes_on(b"good", goodbye(reason)), 8)
    with Peer(*acts, serve()) as peer, Link(peer.port) as link:
        link.connect()
        link.put("t", b"good")
        drain(link)
        assert (link.outbox.counts().delivered, link.outbox.counts().set_aside) == (1, 0)


def test_a_link_that_ends_before_the_message_was_written_blames_no_message(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")

    def close(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()

    with Peer(*itertools.repeat(close, 8), serve()) as peer, Link(peer.port) as link:
        link.put("t", b"good")
        link.client.mg_connect()
        link.run_until(lambda: link.outbox.counts().delivered == 1, "the message", timeout=30)
        assert link.outbox.counts().set_aside == 0


def test_a_link_that_is_lost_long_after_the_message_blames_it_not(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(*itertools.repeat(serve(pubacks=0), 8), serve()) as peer, Link(peer.port) as link:
        link.put("t", b"good")
        for count in range(1, 9):
            link.client.mg_connect()
            link.run_until(lambda wanted=count: len(peer.packets(PUBLISH)) == wanted, "it to be sent")  # type: ignore[misc]
            link.clock.shift += 11
            peer.conversations[-1].hang_up()
            link.run_until(lambda wanted=count: link.client.connects > wanted, "the next link")  # type: ignore[misc]
        drain(link)
        assert link.outbox.counts().set_aside == 0


@VERSIONS
def test_a_broker_that_is_killed_again_and_again_costs_no_message(
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
        assert link.outbox.counts().set_aside == 0
        assert link.outbox.counts().delivered == 2400


@pytest.mark.parametrize("qos", [0, 1])
def test_a_real_broker_of_3_1_1_that_closes_over_a_large_message(
    qos: int, tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    mosquitto_or_skip()
    expected_logs.expect("lost the broker: ")
    if qos:
        expected_logs.expect("set aside: 250000 bytes to 't'")
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


def test_a_message_that_is_cut_off_in_the_middle_is_set_aside_too(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ", "set aside: 8000000 bytes to 't'")

    def close_at_once_when_it_comes(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        first = conversation.sock.recv(5)
        while first[:1] in b"\x32\x33" and len(first) == 5 and first[1] < 128:  # short: it was read as a whole
            length = first[1]
            rest = conversation._take(length - 3)
            at = 2 + 1 - 0
            mid = (first[2:] + rest)[at : at + 2]
            conversation.send(b"\x40\x02" + mid)
            first = conversation.sock.recv(5)

    with Peer(close_at_once_when_it_comes) as peer, Link(peer.port, version="3.1.1", availability="a") as link:
        link.connect()
        link.put("t", bytes(8_000_000), 0)
        link.put("t", b"after")

        def is_set_aside() -> bool:
            link.pass_time(0.1)
            if len(link.outbox) == 1:
                link.put("o", b"company")
            return link.outbox.counts().set_aside == 1

        link.run_until(is_set_aside, "the message to be set aside", timeout=30)
        drain(link)


@VERSIONS
def test_a_state_that_closes_the_link_is_left_out_for_a_while_and_its_will_stays(
    version: object, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("lost the broker: ")
    expected_logs.expect("the broker does not take the state 'av': the broker closed the link right after it, three ")
    with Peer(closes_on(b"online")) as peer, Link(peer.port, version=version, availability="av") as link:
        link.client.set_state("other", b"well")
        for number in range(10):
            link.put(f"t/{number}", b"good")
        link.client.mg_connect()
        drain(link)
        said = peer.packets(PUBLISH)
        assert sum(found.payload == b"online" for found in said) == 6  # three times among others, three times alone
        assert sum(found.payload == b"well" for found in peer.conversations[-1].of_kind(PUBLISH)) == 1
        assert (link.outbox.counts().delivered, link.outbox.counts().set_aside) == (10, 0)
        assert all(found.body[7] & 4 for found in peer.packets(CONNECT)), "killed now, it is to be offline all the same"


def test_states_are_said_again_after_everything_was_taken_back(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ", "set aside: 3 bytes to 't'")
    expected_logs.allow(FORBIDDEN)
    with Peer(closes_on(b"bad")) as peer, Link(peer.port, availability="av", client=ASKING) as link:
        link.connect()
        link.put("t", b"bad")
        drain(link)
        link.run_until(
            lambda: (
                [found.payload for found in peer.conversations[-1].of_kind(PUBLISH) if found.topic == "av"]
                == [b"online"]
            ),
            "the state",
        )


# --- two clients with one id


def test_a_takeover_is_said_once_with_its_remedy_and_backed_off(expected_logs: ExpectedLogs) -> None:
    said = "closed the connection: another client has the client id 'test': give each client its own mqtt.client_id"
    expected_logs.expect(said)

    def taken_over(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        assert conversation.is_over.wait(10)
        conversation.send(goodbye(0x8E))

    with Peer(taken_over) as peer, Link(peer.port) as link:
        for count in range(1, 5):
            link.client.mg_connect()
            link.run_until(lambda wanted=count: link.client.connects == wanted, "the link")  # type: ignore[misc]
            link.pass_time(40)  # it had held
            peer.conversations[-1].is_over.set()
            link.run_until(lambda wanted=count: len(link.bounds) == wanted, "the takeover")  # type: ignore[misc]
        assert link.bounds == [1, 2, 4, 8]


@VERSIONS
def test_two_clients_with_one_id_at_a_real_broker(
    version: object, mosquitto: Mosquitto, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("lost the broker: ")  # Mosquitto 2.0.11 gives no reason to a client of version 5 either
    with Link(mosquitto.port, version=version) as one, Link(mosquitto.port, version=version) as two:
        for _ in range(4):
            for link in (one, two):
                link.client.link.end_delay()
                link.client.mg_connect()
                link.run_until(lambda who=link: who.state is LinkState.UP, "a link")  # type: ignore[misc]
                other = two if link is one else one
                if other.client.connects:
                    other.delay = 100
                    other.run_until(lambda who=other: who.state is LinkState.BACKING_OFF, "a loss")  # type: ignore[misc]
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert any("client id 'test'" in text for text in warnings)
        assert len(warnings) <= 2
        assert one.bounds == [2.0**number for number in range(len(one.bounds))]


# --- a broker in trouble, or something before it


def closes_on_any_publish_until(is_well: threading.Event) -> Act:
    """Take CONNECT and SUBSCRIBE and close at each PUBLISH, until all is well."""
    return closes_at(lambda _: not is_well.is_set())


@VERSIONS
@pytest.mark.parametrize("availability", ["", "av"])
def test_a_link_that_ends_at_whatever_is_published_condemns_nothing(
    version: object, availability: str, expected_logs: ExpectedLogs
) -> None:
    """Everything is delivered, in its order, once all is well; and the availability is said again."""
    expected_logs.expect("lost the broker: ")
    if availability:
        expected_logs.expect("the broker does not take the state 'av': ")
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
        assert link.outbox.counts().set_aside == 0
        is_well.set()
        drain(link)
        assert link.outbox.counts().delivered == 5
        by_topic = [found.payload for found in peer.conversations[-1].of_kind(PUBLISH) if found.topic == "t/0"]
        assert by_topic == [b"0", b"2", b"4"]
        if availability:

            def is_online() -> bool:
                link.pass_time(1)
                return any(topic == "av" for topic, _ in peer.taken())

            link.run_until(is_online, "the availability")


def test_after_others_have_passed_a_message_that_ends_the_link_again_is_set_aside_and_an_innocent_one_is_not(
    expected_logs: ExpectedLogs,
) -> None:
    expected_logs.expect("lost the broker: ", "set aside: 3 bytes to 'bad/1'")
    trouble = threading.Event()

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        for found in conversation.packets_until_closed():
            is_in_trouble = trouble.is_set() and found.topic == "good/1" if found.kind == PUBLISH else False
            if found.kind == PUBLISH and (found.payload == b"bad" or is_in_trouble):
                return
            if found.kind == PUBLISH:
                conversation.puback(found)

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
        assert (link.outbox.counts().delivered, link.outbox.counts().set_aside) == (2, 0)
        link.put("bad/1", b"bad")
        link.put("good/3", b"3")
        link.put("bad/1", b"behind it")
        drain(link)
        assert (link.outbox.counts().delivered, link.outbox.counts().set_aside) == (4, 1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_link_that_ends_at_each_so_manieth_publish_condemns_nothing(count: int, expected_logs: ExpectedLogs) -> None:
    """The states that go first pass, and then each message ends the link: it is the place, not the message."""
    expected_logs.expect("lost the broker: ")
    expected_logs.allow("the broker does not take the state", FORBIDDEN)
    is_well = threading.Event()

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        for found in conversation.packets_until_closed():
            if found.kind == PUBLISH and len(conversation.of_kind(PUBLISH)) > count and not is_well.is_set():
                return
            if found.kind == PUBLISH:
                conversation.puback(found)
                if found.topic == "g/run":
                    conversation.send(publish("g/run", found.payload, version=conversation.version))
            elif found.kind == SUBSCRIBE:
                conversation.suback(found, b"\1" * len(found.filters))

    with Peer(act) as peer, Link(peer.port, "c/#", availability="av", client=ASKING) as link:
        for number in range(4):
            link.put("t", b"%d" % number)
        link.client.mg_connect()

        def has_tried_often() -> bool:
            link.pass_time(0.1)
            return link.client.connects > 50

        link.run_until(has_tried_often, "fifty links", timeout=40)
        assert link.outbox.counts().set_aside == 0
        is_well.set()
        drain(link)
        taken = [payload for topic, payload in peer.taken() if topic == "t"]
        assert list(dict.fromkeys(taken)) == [b"0", b"1", b"2", b"3"]
        assert link.outbox.counts().set_aside == 0


def test_a_topic_that_waits_for_its_first_message_fills_no_more_than_a_window(expected_logs: ExpectedLogs) -> None:
    """One device, one topic, and a broker in trouble for long: what waits stays in the outbox, within its limits."""
    expected_logs.expect("lost the broker: ", "outbox")
    is_well = threading.Event()
    outbox = Outbox(max_messages=500)
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
        assert link.outbox.counts().set_aside == 0
