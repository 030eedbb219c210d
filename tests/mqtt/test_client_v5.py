"""MQTT 5: the version and falling back from it, the session, the limits of the broker and its reason codes."""

from __future__ import annotations

import socket
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.message import Arrival, Publication, ReplyTo
from gateway.mqtt.link_state import LinkState
from gateway.outbox.outbox import Outbox
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto, mosquitto_or_skip
from tests.support.link import Link
from tests.support.packets import PINGREQ, PINGRESP, V3, V5, packet, publish
from tests.support.peer import (
    CONNECT,
    PUBLISH,
    SUBSCRIBE,
    Act,
    Conversation,
    Packet,
    Peer,
    answer_with,
    close_after_connect,
    close_immediately,
    disconnect_packet,
    refuse,
    serve,
    stay_silent,
)
from tests.support.waiting import wait_until

RUN = "g/run"
SESSION = {"wants_session": True, "run_topic": RUN}


def versions(peer: Peer) -> list[int]:
    return [pkt.version for pkt in peer.packets(CONNECT)]


def connect(peer: Peer) -> Packet:
    return peer.packets(CONNECT)[-1]


def published(peer: Peer) -> list[tuple[str, int, bool]]:
    return [(pkt.topic, pkt.qos, bool(pkt.flags & 1)) for pkt in peer.packets(PUBLISH)]


def is_up(link: Link) -> bool:
    return link.state is LinkState.UP


def has_session(link: Link) -> bool:
    return link.client.session_present


def sent(link: Link, peer: Peer, count: int) -> list[Packet]:
    link.run_until(lambda: len(peer.packets(PUBLISH)) >= count, f"{count} publications")
    return peer.packets(PUBLISH)


# --- the version


def test_mqtt_5_is_tried_first() -> None:
    with Peer(serve()) as peer, Link(peer.port) as link:
        link.connect()
        assert versions(peer) == [V5]


def test_only_3_1_1_is_used_where_it_is_configured() -> None:
    with Peer(serve()) as peer, Link(peer.port, version="3.1.1") as link:
        link.connect()
        assert versions(peer) == [V3]


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(serve(versions=[V3]), id="return code 1"),
        pytest.param(refuse(0x84), id="reason code 0x84"),
        pytest.param(close_after_connect, id="closes"),
        pytest.param(stay_silent, id="sends nothing"),
        pytest.param(answer_with(b"\x20\x02\x00\x03"), id="an answer that is no CONNACK of version 5"),
    ],
)
def test_3_1_1_is_used_with_a_broker_that_refuses_mqtt_5(act: Act, caplog: pytest.LogCaptureFixture) -> None:
    with Peer(act, serve()) as peer, Link(peer.port, delay=100, connect_timeout=0.5) as link:  # tried without a delay
        link.connect()
        assert versions(peer) == [V5, V3]
        link.put("a", b"1")
        assert [pkt.payload for pkt in sent(link, peer, 1)] == [b"1"]
    assert any(
        f"127.0.0.1:{peer.port} did not accept MQTT 5; falling back to MQTT 3.1.1: " in text for text in caplog.messages
    )


def test_the_version_is_remembered_and_mqtt_5_tried_again_later(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(serve(versions=[V3])) as peer, Link(peer.port) as link:
        link.connect()
        for expected in ([V5, V3, V3], [V5, V3, V3, V3]):
            peer.conversations[-1].hang_up()
            link.run_until(lambda: link.state is not LinkState.UP, "the loss")
            link.connect()
            assert versions(peer) == expected
        assert len([text for text in caplog.messages if "falling back to MQTT 3.1.1" in text]) == 1
        link.pass_time(3600)
        peer.conversations[-1].hang_up()
        link.run_until(lambda: len(versions(peer)) == 6, "the next link")
        link.connect()
        assert versions(peer) == [V5, V3, V3, V3, V5, V3]


def test_after_a_slow_connack_3_1_1_is_used_for_one_link_only(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(stay_silent, serve()) as peer, Link(peer.port, connect_timeout=0.5) as link:
        link.connect()
        peer.conversations[-1].hang_up()
        link.run_until(lambda: link.client.connects == 2, "the next link")
        assert versions(peer) == [V5, V3, V5]


def test_a_broker_that_closes_with_each_version_is_not_remembered_as_one_of_3_1_1(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "closed the connection without a CONNACK: does it support MQTT 3.1.1, without TLS, and retained messages?"
    )
    with Peer(close_after_connect, close_after_connect, serve()) as peer, Link(peer.port) as link:
        link.connect()
        assert versions(peer) == [V5, V3, V5]


def test_that_a_broker_closes_with_each_version_is_logged_once(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect(
        "closed the connection without a CONNACK: does it support MQTT 3.1.1, without TLS, and retained messages?"
    )
    with Peer(*[close_after_connect] * 6, serve()) as peer, Link(peer.port) as link:
        link.connect()
        assert versions(peer) == [V5, V3] * 3 + [V5]
    assert len([text for text in caplog.messages if "does it support MQTT 5" in text]) == 1


def test_a_failure_with_another_cause_does_not_change_the_version(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("refused the connection: Not authorized: check mqtt.username")
    with Peer(refuse(0x87), serve()) as peer, Link(peer.port) as link:
        link.connect()
        assert versions(peer) == [V5, V5]


@pytest.mark.parametrize("act", [close_after_connect, stay_silent])
def test_mqtt_5_stays_with_a_broker_that_has_accepted_it(act: Act, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ", "no connection to the broker: ")
    with Peer(serve(), act, serve()) as peer, Link(peer.port, connect_timeout=0.5) as link:
        link.connect()
        peer.conversations[0].hang_up()
        link.run_until(lambda: link.client.connects == 2, "the next link")
        assert versions(peer) == [V5, V5, V5]


@pytest.mark.parametrize("act", [close_immediately, close_after_connect])
def test_falling_back_is_not_a_failure(act: Act) -> None:
    """`send` and `watch` end at the first failure, which this is not."""
    with Peer(act, serve()) as peer, Link(peer.port, delay=100) as link:
        link.client.mg_connect()
        while link.state is not LinkState.UP:
            link.step(0.05)
            assert link.client.last_failure is None


def test_what_is_in_flight_survives_the_change_of_version(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(serve(pubacks=0), refuse(0x84), serve()) as peer, Link(peer.port) as link:
        link.connect()
        link.outbox.put(Publication("a", b"1", 1, correlation=b"asked"))
        sent(link, peer, 1)
        peer.conversations[0].hang_up()
        link.run_until(lambda: link.outbox.counts().delivered == 1, "the acknowledgement")
        first, second = peer.packets(PUBLISH)
        assert (first.properties, second.properties) == ({"correlation_data": b"asked"}, {})
        assert (second.version, second.payload, second.is_duplicate) == (V3, b"1", True)


# --- CONNECT and the session


def test_connect_asks_for_a_lasting_session_and_declares_limits() -> None:
    with Peer(serve()) as peer, Link(peer.port, session_expiry=7200, client=SESSION) as link:
        link.connect()
        assert not connect(peer).is_clean
        assert connect(peer).client_id == "test"
        assert connect(peer).properties == {
            "session_expiry": 7200,
            "receive_maximum": 100,
            "maximum_packet_size": 512 * 1024,
        }


@pytest.mark.parametrize("options", [{"session_expiry": 0}, {"version": "3.1.1"}])
def test_no_session_is_clean_at_each_connect(options: dict[str, Any], expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(serve()) as peer, Link(peer.port, **options) as link:
        link.connect()
        peer.conversations[0].hang_up()
        link.run_until(lambda: link.client.connects == 2, "the next link")
        assert [pkt.is_clean for pkt in peer.packets(CONNECT)] == [True, True]
        assert "session_expiry" not in connect(peer).properties


@pytest.mark.parametrize("client", [{}, {"wants_session": True}, {"run_topic": RUN}])
def test_no_session_is_asked_for_where_none_is_configured_or_its_old_messages_could_not_be_recognized(
    client: dict[str, Any],
) -> None:
    with Peer(serve()) as peer, Link(peer.port, client=client) as link:
        link.connect()
        assert connect(peer).is_clean
        assert "session_expiry" not in connect(peer).properties


def test_whether_a_session_is_wanted_counts_from_the_next_connect_on(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(serve()) as peer, Link(peer.port, client={"run_topic": RUN}) as link:
        for count, wants_session in enumerate((True, False, True), 1):
            link.connect()
            link.client.mg_subscribe((), wants_session=wants_session)
            peer.conversations[-1].hang_up()
            link.run_until(lambda expected=count: link.client.connects > expected, "the next link")  # type: ignore[misc]
        assert [pkt.is_clean for pkt in peer.packets(CONNECT)] == [True, False, True, False]


@pytest.mark.parametrize("outage", [0.0, 60.0])
def test_what_waited_in_a_session_is_marked(outage: float, mosquitto: Mosquitto, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    arrivals: list[Arrival] = []
    with Link(mosquitto.port, "a/#", on_msg=arrivals.append, client=SESSION) as link, mosquitto.client() as other:
        link.connect()
        assert not has_session(link)
        other.publish("a/C", b"before")
        link.run_until(lambda: len(arrivals) == 1, "a message")
        link.run_for(0.1)  # its acknowledgement
        sock: Any = link.client.socket()
        link.delay = 0.3
        sock.shutdown(socket.SHUT_RDWR)
        link.run_until(lambda: link.state is LinkState.BACKING_OFF, "the loss")
        for number in range(200):
            other.publish("a/C", b"%d" % number)
        link.clock.shift += outage
        link.connect()
        assert has_session(link)
        link.run_until(lambda: link.client.is_caught_up, "the barrier")
        other.publish("a/C", b"after")
        link.run_until(lambda: len(arrivals) == 202, "the next message")
    assert [arrival.payload for arrival in arrivals if arrival.resumed] == [b"%d" % number for number in range(200)]
    assert not any(arrival.resumed for arrival in (arrivals[0], arrivals[-1]))


def test_a_session_outlives_a_restart_of_the_broker(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    mosquitto_or_skip()
    expected_logs.expect("lost the broker: ")
    arrivals: list[Arrival] = []
    extra = f"allow_anonymous true\npersistence true\npersistence_location {tmp_path}/\n"
    with (
        Mosquitto(tmp_path, extra) as broker,
        Link(broker.port, "a/#", on_msg=arrivals.append, delay=0.05, client=SESSION) as link,
    ):
        link.connect()
        assert broker.process is not None
        broker.process.terminate()
        broker.process.wait()
        link.run_until(lambda: link.state is LinkState.BACKING_OFF, "the loss")
        broker.start()
        with broker.client() as other:
            other.publish("a/C", b"open")
        link.client.link.end_delay()
        link.run_until(lambda: len(arrivals) == 1, "what waited")
        assert link.client.session_present
        assert arrivals[0].resumed


def routes_the_run_topic(conversation: Conversation, *, behind: threading.Event | None = None) -> None:
    """Resume a session, and send back what is published on the run topic, once `behind` is set."""
    conversation.read()
    conversation.connack(is_resumed=True, values={"subscription_ids_available": 0})
    for pkt in conversation.packets_until_closed():
        if pkt.kind == SUBSCRIBE:
            conversation.suback(pkt, b"\1" * len(pkt.filters))
        elif pkt.kind == PUBLISH:
            conversation.puback(pkt)
            if pkt.topic == RUN:
                assert behind is None or behind.wait(10)
                conversation.send(publish(RUN, pkt.payload, version=V5))


@pytest.mark.parametrize("pause", [0.0, 1.5, 4.0])
def test_messages_before_the_token_have_waited_and_those_after_it_are_new_whatever_the_pauses(
    pause: float,
) -> None:
    is_over = threading.Event()
    arrivals: list[Arrival] = []
    act = partial(routes_the_run_topic, behind=is_over)
    with Peer(act) as peer, Link(peer.port, "a", on_msg=arrivals.append, client=SESSION) as link:
        link.connect()
        link.run_until(lambda: peer.packets(PUBLISH) and not len(link.client.sender), "the token's PUBACK")
        for number in range(12):
            link.pass_time(pause)
            peer.conversations[0].send(publish("a", b"%d" % number, version=V5))
            link.run_until(lambda count=number: len(arrivals) > count, "the next one")  # type: ignore[misc]
        is_over.set()
        link.run_until(lambda: link.client.is_caught_up, "the token")
        peer.conversations[0].send(publish("a", b"new", version=V5))
        link.run_until(lambda: len(arrivals) == 13, "a new one")
    assert [arrival.resumed for arrival in arrivals] == [True] * 12 + [False]


def test_after_new_filters_a_quiet_session_has_no_waiting_messages() -> None:
    arrivals: list[Arrival] = []
    with Peer(routes_the_run_topic) as peer, Link(peer.port, "a", on_msg=arrivals.append, client=SESSION) as link:
        link.connect()
        link.run_until(lambda: link.client.is_caught_up, "the token")
        link.client.mg_subscribe(["a", "b"], wants_session=True)
        link.run_until(lambda: link.client.is_subscribed, "the other subscription")
        peer.conversations[0].send(publish("a", b"live", version=V5))
        link.run_until(lambda: arrivals, "a message")
    assert not arrivals[0].resumed


# --- the run topic, which shows what the broker remembers


def test_a_run_topic_that_was_refused_for_some_time_is_used_again_without_a_new_link(
    expected_logs: ExpectedLogs,
) -> None:
    """A node of a cluster refuses filters while the cluster elects a leader."""
    expected_logs.expect("the broker does not let the gateway write and read the topic 'g/run'")
    expected_logs.expect("lost the broker: the broker's session cannot be used: connecting again without it")
    is_elected = threading.Event()

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        for pkt in conversation.packets_until_closed():
            if pkt.kind == SUBSCRIBE:
                conversation.suback(pkt, b"\1" if pkt.filters != [RUN] or is_elected.is_set() else b"\x87")
            elif pkt.kind == PUBLISH:
                conversation.puback(pkt)
                conversation.send(publish(pkt.topic, pkt.payload, version=V5))
            elif pkt.kind == PINGREQ:
                conversation.send(packet(PINGRESP))

    with Peer(act) as peer, Link(peer.port, "a", client=SESSION) as link:
        link.connect()
        link.run_until(lambda: link.client.connects == 2, "the link without a session")
        link.run_until(lambda: link.client.is_subscribed, "its subscription")
        assert link.client.forbidden_run_topic == RUN
        is_elected.set()
        link.pass_time(11)
        link.run_until(lambda: peer.packets(PUBLISH), "a token")
        link.run_until(lambda: not link.client.memory.run.is_waiting, "its return")
        assert link.client.forbidden_run_topic == ""
        assert link.client.connects == 2


@pytest.mark.parametrize("how", ["SUBACK", "PUBACK", "silence"])
def test_where_the_run_topic_is_forbidden_the_link_is_opened_again_without_a_session(
    how: str, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("the broker does not let the gateway write and read the topic 'g/run'")
    expected_logs.expect("lost the broker: the broker's session cannot be used: connecting again without it")
    arrivals: list[Arrival] = []

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack(is_resumed=not conversation.packets[0].is_clean)
        if not conversation.packets[0].is_clean:
            conversation.send(publish("a", b"waited", version=V5))
        for pkt in conversation.packets_until_closed():
            if pkt.kind == SUBSCRIBE:
                refused = how == "SUBACK" and pkt.filters == [RUN]
                conversation.suback(pkt, b"\x87" if refused else b"\1")
            elif pkt.kind == PUBLISH:
                conversation.puback(pkt, 0x87 if how == "PUBACK" and pkt.topic == RUN else 0)
            elif pkt.kind == PINGREQ:
                conversation.send(packet(PINGRESP))

    outbox = Outbox()
    outbox.put(Publication("state", b"on", 1, retain=True))
    with Peer(act) as peer, Link(peer.port, "a", on_msg=arrivals.append, outbox=outbox, client=SESSION) as link:

        def is_open_again() -> bool:
            if how == "silence":
                link.clock.shift += 0.5
            return link.client.connects == 2

        link.client.mg_subscribe(["a"], wants_session=True, max_age=30.0)
        link.client.mg_connect()
        link.run_until(is_open_again, "the second link")
        link.run_until(lambda: link.client.is_subscribed, "its subscriptions")
        assert [pkt.is_clean for pkt in peer.packets(CONNECT)] == [False, True]
        peer.conversations[1].send(publish("a", b"new", version=V5))
        link.run_until(lambda: arrivals and arrivals[-1].payload == b"new", "a new message")
        assert [arrival.resumed for arrival in arrivals] == [True, False]
        link.run_until(lambda: len(link.outbox) == 0, "the state to be sent again")
        assert [pkt.payload for pkt in peer.conversations[1].of_kind(PUBLISH)] == [b"on"]
    assert sum("does not let the gateway" in text for text in caplog.messages) == 1


def test_states_are_published_again_only_to_a_broker_that_has_lost_them(
    mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("lost the broker: ")
    with Link(mosquitto.port, "a/#", client={"run_topic": RUN}) as link, mosquitto.client("state") as other:
        link.connect()
        link.outbox.put(Publication("state", b"on", 1, retain=True))
        link.run_until(lambda: other.messages and len(link.outbox) == 0, "the state")
        for count in (2, 3):
            sock: Any = link.client.socket()
            sock.shutdown(socket.SHUT_RDWR)
            link.run_until(lambda expected=count: link.client.connects == expected, "the next link")  # type: ignore[misc]
            link.run_for(0.3)
        assert not link.client.session_present
        assert len(other.messages) == 1, "the broker has not lost it"
        mosquitto.kill()
        link.run_until(lambda: link.state is LinkState.BACKING_OFF, "the loss")
        mosquitto.start()
        with mosquitto.client("state") as late:
            link.run_until(lambda: late.messages, "the state, published again")
            assert late.pairs() == [("state", b"on")]


@pytest.mark.parametrize("seconds", [31.0, 3600.0])
def test_messages_after_a_hang_of_the_network_are_late_until_the_broker_has_answered_again(seconds: float) -> None:
    arrivals: list[Arrival] = []
    answers = threading.Event()

    def act(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        for pkt in conversation.packets_until_closed():
            if pkt.kind == SUBSCRIBE:
                conversation.suback(pkt, b"\1" * len(pkt.filters))
            elif pkt.kind == PINGREQ:
                answers.wait(10)
                conversation.send(packet(PINGRESP))

    client = {"max_age": 30.0}
    with Peer(act) as peer, Link(peer.port, "a", on_msg=arrivals.append, client=client, keepalive=65_000) as link:
        link.connect()
        peer.conversations[0].send(publish("a", b"prompt", version=V5))
        link.run_until(lambda: len(arrivals) == 1, "a message")
        link.clock.shift += 11
        link.run_until(lambda: peer.packets(PINGREQ), "the question")
        link.clock.shift += seconds - 11
        peer.conversations[0].send(publish("a", b"held back", version=V5))
        link.run_until(lambda: len(arrivals) == 2, "a message")
        answers.set()
        link.run_until(lambda: len(peer.packets(PINGREQ)) == 2, "the next question")
        link.run_for(0.2)  # its answer
        peer.conversations[0].send(publish("a", b"prompt again", version=V5))
        link.run_until(lambda: len(arrivals) == 3, "a message")
    assert [(arrival.payload, arrival.late > 0) for arrival in arrivals] == [
        (b"prompt", False), (b"held back", True), (b"prompt again", False),
    ]  # fmt: skip


def test_the_question_is_sent_in_the_step_in_which_it_is_due(mosquitto: Mosquitto) -> None:
    """Otherwise the wait of the next step would count as the broker's round trip, and as the age of messages."""
    client = {"run_topic": RUN, "max_age": 30.0}
    with mosquitto.client(RUN) as other, Link(mosquitto.port, client=client) as link:
        link.connect()
        link.run_until(lambda: other.messages and not len(link.client.sender), "the first question")
        link.run_for(0.2)  # its answer
        asked = len(other.messages)
        link.clock.shift += 11
        link.client.loop_with_reconnect(0)
        wait_until(lambda: len(other.messages) > asked, 5, "the next question")


def test_a_state_of_qos_0_is_complete_when_it_is_sent(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("does not support QoS 1: messages are sent with QoS 0")
    with Peer(serve(values={"maximum_qos": 0})) as peer, Link(peer.port, availability="g/availability") as link:
        link.connect()
        link.run_until(lambda: not len(link.client.sender), "online to be sent")
        link.client.set_state("g/availability", b"busy")
        link.client.loop_with_reconnect(0)
        assert not len(link.client.sender)


def test_messages_of_a_new_session_are_not_marked() -> None:
    arrivals: list[Arrival] = []
    with (
        Peer(serve(first=publish("a", b"1", version=V5))) as peer,
        Link(peer.port, "a", on_msg=arrivals.append) as link,
    ):
        link.connect()
        link.run_until(lambda: arrivals, "a message")
        assert arrivals == [Arrival("a", b"1")]


def test_a_filter_of_an_earlier_run_in_the_session_duplicates_no_message(mosquitto: Mosquitto) -> None:
    arrivals: list[Arrival] = []
    copies: list[int] = []
    with mosquitto.client() as other:
        for filters in (["a/C"], ["a/#", "b/#"], ["+/C"]):
            with Link(mosquitto.port, *filters, on_msg=arrivals.append, client=SESSION) as link:
                link.connect()
                link.run_until(lambda caught_up=link: caught_up.client.is_caught_up, "the barrier")  # type: ignore[misc]
                for number in (1, 2):
                    other.publish("a/C", b"%d" % number)
                other.publish("a/C", b"last")
                link.run_until(lambda: arrivals and arrivals[-1].payload == b"last", "the last one")
                link.run_for(0.1)  # a second copy of it would come now
                copies.append(link.client.receive_counts.get("copies", 0))
            assert [arrival.payload for arrival in arrivals] == [b"1", b"2", b"last"]
            assert not any(arrival.resumed for arrival in arrivals)
            arrivals.clear()
    assert copies[0] == 0 < copies[1] < copies[2], "dropped copies are counted"


def test_messages_that_waited_under_a_filter_of_an_earlier_run_are_delivered_as_such(mosquitto: Mosquitto) -> None:
    arrivals: list[Arrival] = []
    with Link(mosquitto.port, "a/C", client=SESSION) as link:
        link.connect()
    with mosquitto.client() as other:
        other.publish("a/C", b"waited")
    with Link(mosquitto.port, "a/#", on_msg=arrivals.append, client=SESSION) as link:
        link.connect()
        link.run_until(lambda: arrivals, "what waited")
    assert [(arrival.payload, arrival.resumed) for arrival in arrivals] == [(b"waited", True)]


def test_an_arrival_has_its_properties_of_mqtt_5() -> None:
    asked = {"message_expiry": 5, "response_topic": "answers/me", "correlation_data": b"\0x"}
    first = publish("a", b"1", 7, flags=8, version=V5, **asked)  # type: ignore[arg-type]
    first += publish("a", b"2", version=V5, response_topic="answers/me")
    first += publish("a", b"3", flags=1, version=V5)
    arrivals: list[Arrival] = []
    with Peer(serve(first=first)) as peer, Link(peer.port, "a", on_msg=arrivals.append) as link:
        link.connect()
        link.run_until(lambda: len(arrivals) == 3, "the messages")
    assert arrivals == [
        Arrival("a", b"1", qos=1, duplicate=True, expiry=5, reply_to=ReplyTo("answers/me", b"\0x")),
        Arrival("a", b"2", reply_to=ReplyTo("answers/me")),
        Arrival("a", b"3", retain=True),
    ]


# --- subscriptions


def options_of(peer: Peer) -> dict[str, int]:
    return dict(pair for pkt in peer.packets(SUBSCRIBE) for pair in pkt.subscriptions)


def test_retained_messages_are_not_asked_for() -> None:
    with Peer(serve()) as peer, Link(peer.port, "a/#", "$share/g/b/#") as link:
        link.connect()
        assert options_of(peer) == {"a/#": 0x21, "$share/g/b/#": 0x21}


def test_retained_messages_and_no_local_are_asked_for_on_request() -> None:
    client = {"wants_retained": True, "no_local": True}
    with Peer(serve()) as peer, Link(peer.port, "a/#", "$share/g/b/#", client=client) as link:
        link.connect()
        assert options_of(peer) == {"a/#": 0x05, "$share/g/b/#": 0x01}


def test_a_real_broker_keeps_retained_and_own_messages_to_itself(mosquitto: Mosquitto) -> None:
    with mosquitto.client() as other, Link(mosquitto.port, "a/#", client={"no_local": True}) as link:
        other.publish("a/old", b"0", retain=True)
        link.connect()
        link.put("a/own", b"1")
        link.run_until(lambda: len(link.outbox) == 0, "the publication")
        other.publish("a/other", b"2")
        link.run_until(lambda: link.received, "a message")
        assert link.received == [("a/other", b"2", False)]


# --- publications


def test_a_command_expires_at_the_broker_when_it_would_in_the_outbox() -> None:
    with Peer(serve()) as peer, Link(peer.port, client={"command_lifetime": 30.0}) as link:
        for topic, is_command in (("command", True), ("status", False)):
            link.outbox.put(Publication(topic, b"", 0, is_command=is_command))
        link.clock.shift = 20.5
        link.connect()
        sent(link, peer, 2)
        link.pass_time(60)
        link.outbox.put(Publication("late", b"", 0, is_command=True))
        properties = {packet.topic: packet.properties for packet in sent(link, peer, 3)}
        assert properties == {"command": {"message_expiry": 10}, "status": {}, "late": {"message_expiry": 1}}


def test_an_answer_carries_the_correlation_data_of_its_command(mosquitto: Mosquitto) -> None:
    arrivals: list[Arrival] = []
    with Link(mosquitto.port, client_id="asker", on_msg=arrivals.append) as asker, Link(mosquitto.port) as link:
        link.outbox.put(Publication("answers/me", b"OK", 1, correlation=b"\xff17"))
        link.connect()
        link.run_until(lambda: len(link.outbox) == 0, "the answer to be sent")
        asker.connect()
    with Peer(serve()) as peer, Link(peer.port) as link:
        link.outbox.put(Publication("answers/me", b"OK", 1, correlation=b"\xff17"))
        link.connect()
        assert sent(link, peer, 1)[0].properties == {"correlation_data": b"\xff17"}


# --- limits of the broker


def test_no_packet_is_larger_than_the_broker_allows(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("a packet of 101 bytes is over the broker's limit of 100")
    with Peer(serve(values={"maximum_packet_size": 100})) as peer, Link(peer.port) as link:
        link.connect()
        for size in (92, 93):  # and 8 bytes around them: 2 of header, 3 of topic, 2 of identifier, 1 of properties
            link.put("t", bytes(size))
        link.put("t", b"behind them")
        link.run_until(lambda: len(link.outbox) == 0, "all to be dealt with")
        assert [pkt.size for pkt in peer.packets(PUBLISH)] == [100, 19]
        assert link.outbox.counts().dead_letters == 1


def test_a_real_broker_says_how_large_a_packet_may_be(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    mosquitto_or_skip()
    expected_logs.expect("is over the broker's limit of 2000")
    with Mosquitto(tmp_path, "allow_anonymous true\nmax_packet_size 2000\n") as broker, Link(broker.port) as link:
        with broker.client("t") as other:
            link.connect()
            for number in range(1900, 2100):
                link.put("t", bytes(number))
            link.run_until(lambda: len(link.outbox) == 0, "all to be dealt with")
            counts = link.outbox.counts()
            wait_until(lambda: len(other.messages) == counts.delivered, 10, "all to arrive")
        assert link.client.connects == 1
        assert (
            counts.delivered == 2000 - (1 + 2 + 3 + 2 + 1) - 1900 + 1
        )  # header and length, topic, identifier, properties


def test_the_window_is_no_larger_than_the_receive_maximum() -> None:
    with Peer(serve(values={"receive_maximum": 3}, pubacks=4)) as peer, Link(peer.port, availability="av") as link:
        link.client.set_state("other", b"online")
        link.connect()
        for number in range(20):
            link.put("n", b"%d" % number)
        sent(link, peer, 7)
        link.run_for(0.2)
        assert len(peer.packets(PUBLISH)) == 4 + 3


def test_messages_in_flight_obey_the_limits_of_the_next_broker(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(serve(pubacks=0), serve(values={"receive_maximum": 2}, pubacks=0)) as peer, Link(peer.port) as link:
        link.connect()
        for number in range(5):
            link.put("n", b"%d" % number)
        sent(link, peer, 5)
        peer.conversations[0].hang_up()
        sent(link, peer, 7)
        link.run_for(0.2)
        assert [pkt.payload for pkt in peer.conversations[1].of_kind(PUBLISH)] == [b"0", b"1"]
        assert len(link.outbox) == 5


def test_a_broker_without_qos_1_and_retain_gets_neither(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "does not support QoS 1: messages are sent with QoS 0",
        "does not support retained messages: they are sent without",
    )
    limits = {"maximum_qos": 0, "retain_available": 0}
    with Peer(serve(values=limits)) as peer, Link(peer.port, availability="av") as link:
        link.outbox.put(Publication("a", b"", 1, retain=True))
        link.connect()
        sent(link, peer, 2)
        assert published(peer) == [("av", 0, False), ("a", 0, False)]
        link.run_until(lambda: len(link.outbox) == 0, "all to be settled")


@pytest.mark.parametrize(("code", "name"), [(0x9A, "Retain not supported"), (0x9B, "QoS not supported")])
def test_a_will_that_the_broker_does_not_accept_is_weakened(code: int, name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(f"refused the connection: {name}: the gateway retries with a last will ")
    with Peer(refuse(code), serve()) as peer, Link(peer.port, availability="av") as link:
        link.connect()
        flags = [pkt.body[7] for pkt in peer.packets(CONNECT)]
        assert [(flag >> 5 & 1, flag >> 3 & 3) for flag in flags] == [(1, 1), (0, 1) if code == 0x9A else (1, 0)]


def test_the_keepalive_is_the_servers(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("has been silent for 1.5 x keepalive")
    silent = serve(values={"server_keep_alive": 10}, pings=False)
    with Peer(silent) as peer, Link(peer.port, keepalive=60, delay=100) as link:
        link.connect()
        link.clock.shift += 14
        link.run_for(0.1)
        assert is_up(link)
        link.clock.shift += 2
        link.run_for(0.1)
        assert not is_up(link)


def test_the_keepalive_of_the_next_broker_is_the_configured_one_again(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost the broker: ")
    with Peer(serve(values={"server_keep_alive": 10}), serve()) as peer, Link(peer.port, keepalive=60) as link:
        link.connect()
        peer.conversations[0].hang_up()
        link.run_until(lambda: link.client.connects == 2, "the next link")
        assert [int.from_bytes(pkt.body[8:10], "big") for pkt in peer.packets(CONNECT)] == [60, 60]


# --- refused publications


def refusing(reasons: dict[bytes, int], **others: Any) -> Act:
    return serve(reasons=lambda pkt: reasons.get(pkt.payload, 0), **others)


def test_a_publication_that_the_broker_refuses_is_dead_lettered_and_not_delivered(expected_logs: ExpectedLogs) -> None:
    reasons = {b"1": 0x87, b"2": 0x99, b"3": 0x90, b"6": 0x10, b"7": 0xF7}
    names = ("Not authorized", "Payload format invalid", "Topic name invalid")
    expected_logs.expect(*(f"the broker refused it: {name}" for name in names))
    expected_logs.expect("the broker refused it: reason code 0xF7")
    with Peer(refusing(reasons)) as peer, Link(peer.port) as link:
        link.connect()
        for number in range(10):
            link.put(f"t/{number}", b"%d" % number)
        link.run_until(lambda: len(link.outbox) == 0, "all to be dealt with")
        counts = link.outbox.counts()
        assert (counts.delivered, counts.dead_letters) == (6, 4)
        assert link.client.connects == 1


def test_a_real_broker_that_does_not_allow_a_topic(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    mosquitto_or_skip()
    expected_logs.expect(
        "2 bytes to 'no': the broker refused it: Not authorized: allow the gateway to publish on 'no' in the broker's "
    )
    expected_logs.allow("lost the broker: ")  # Mosquitto 2.0 closes after that PUBACK, 2.1 does not
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite yes\n")
    with Mosquitto(tmp_path, f"allow_anonymous true\nacl_file {acl}\n") as broker, Link(broker.port) as link:
        with broker.client("yes") as other:
            link.connect()
            for topic in ("yes", "no", "yes"):
                link.put(topic, topic.encode())
            link.run_until(lambda: len(link.outbox) == 0, "all to be dealt with")
            wait_until(lambda: len(other.messages) == 2, 10, "what is allowed")
        assert (link.outbox.counts().delivered, link.outbox.counts().dead_letters) == (2, 1)


def test_a_quota_that_is_exceeded_is_waited_out(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("does not accept messages at the moment: Quota exceeded: they will be sent again")
    answers = iter([0, 0x97, 0, 0])
    with Peer(serve(reasons=lambda _: next(answers), values={"receive_maximum": 1})) as peer, Link(peer.port) as link:
        link.connect()
        for number in range(3):
            link.put("n", b"%d" % number)
        sent(link, peer, 2)
        link.run_for(0.3)
        assert (len(peer.packets(PUBLISH)), len(link.outbox)) == (2, 2)
        link.pass_time(5)
        link.run_until(lambda: len(link.outbox) == 0, "the remaining messages")
        assert [pkt.payload for pkt in peer.packets(PUBLISH)] == [b"0", b"1", b"1", b"2"]


def test_a_state_that_the_broker_refuses_is_suspended_and_tried_again_later(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "the broker does not accept the state 'av': it answered Not authorized: retrying in 10 s: allow it"
    )
    expected_logs.expect("lost the broker: ")
    with Peer(refusing({b"online": 0x87})) as peer, Link(peer.port, availability="av") as link:
        link.connect()
        link.put("a", b"1")
        link.run_until(lambda: link.outbox.counts().delivered == 1, "the publication")
        assert link.client.stats()["unacknowledged"] == 0
        peer.conversations[0].hang_up()
        link.run_until(lambda: link.client.connects == 2, "the next link")
        link.put("a", b"2")
        link.run_until(lambda: link.outbox.counts().delivered == 2, "the next publication")
        assert [pkt.payload for pkt in peer.conversations[1].of_kind(PUBLISH)] == [b"2"]
        assert all(pkt.body[7] & 4 for pkt in peer.packets(CONNECT)), "the last will stays"
        for delay in (10, 20):
            before = len(peer.packets(PUBLISH))
            link.pass_time(delay + 1)
            link.run_until(lambda count=before: len(peer.packets(PUBLISH)) > count, "the state")  # type: ignore[misc]
            link.run_for(0.1)
            assert len(peer.packets(PUBLISH)) == before + 1


# --- ends of the link, in words


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (
            disconnect_packet(0x8B),
            "closed the connection (Server shutting down): the gateway retries until the broker is back",
        ),
        (
            disconnect_packet(0x9C, {"server_reference": "other:1883"}),
            "closed the connection (Use another server, 'other:1883'): set mqtt.host to the server that it names",
        ),
        (
            disconnect_packet(0x98, {"reason_string": "go away"}),
            "closed the connection (Administrative action, 'go away'): ask",
        ),
        (
            disconnect_packet(0x8D),
            "closed the connection (Keep alive timeout): check the network, or raise mqtt.keepalive",
        ),
    ],
)
def test_the_reason_that_the_broker_gives_for_closing_is_logged(
    last: bytes, text: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(text)

    def has_publish(conversation: Conversation) -> bool:
        return bool(conversation.of_kind(PUBLISH))

    with Peer(serve(until=has_publish, last=last), serve()) as peer, Link(peer.port) as link:
        link.connect()
        link.put("a", b"1")
        link.run_until(lambda: link.client.connects == 2, "the next link")


def test_a_refusal_of_mqtt_5_names_another_server(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("refused the connection: Server moved, 'new.example': set mqtt.host to the server")

    def moved(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack(0x9D, {"server_reference": "new.example"})

    with Peer(moved, serve()) as peer, Link(peer.port) as link:
        link.connect()
