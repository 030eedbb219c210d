"""An MQTT 5 broker with limits, reasons and sessions: they are respected, and accepted messages are delivered."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto
from tests.support.configuration import replaying_map
from tests.support.health import wait_named
from tests.support.ledger import Verdict, entry_of
from tests.support.packets import CONNECT, PINGREQ, PUBLISH, V3, V5, Packet
from tests.support.peer import Peer, disconnect_packet, refuse, serve
from tests.support.stream import Stream, load
from tests.support.waiting import wait_until
from tests.support.witness import Witness

FULL = bool(os.environ.get("FAULTS_FULL"))

_REFUSALS = (0x80, 0x81, 0x82, 0x83, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C,
             0x9D, 0x9F)  # fmt: skip
_FEW = (0x80, 0x86, 0x88, 0x97)


def count_of_load(packets: list[Packet]) -> int:
    return sum(1 for each in packets if entry_of(each.topic, each.payload))


def test_connections_refused_by_reason_code(tmp_path: Path) -> None:
    """Each code of table 3.1 (in full), one after the other, until the broker accepts the connection."""
    codes = _REFUSALS if FULL else _FEW
    with Peer(*map(refuse, codes), serve()) as peer:
        with Stream(tmp_path, peer.port, count=200, rate=1000, seen=peer.acknowledged) as stream:
            gateway = stream.start()
            assert stream.finish(60 if FULL else 20) == Verdict(200, 200, 0)
            assert {each.version for each in peer.packets(CONNECT)} == {V5}
            assert "no connection to the broker: " in gateway.log
            wait_named(gateway, "no connection to the broker: ", "refused the connection")
            stream.stop()


def test_a_broker_without_mqtt_5(tmp_path: Path) -> None:
    with Peer(serve(versions=[V3])) as peer:
        with Stream(tmp_path, peer.port, count=200, rate=1000, seen=peer.acknowledged) as stream:
            stream.start()
            assert stream.finish() == Verdict(200, 200, 0)
            assert {each.version for each in peer.packets(CONNECT)} == {V3, V5}
            stream.stop()


def test_never_more_in_flight_than_the_broker_receives(tmp_path: Path) -> None:
    few = {"receive_maximum": 7}
    with Peer(serve(values=few, pubacks=0), serve(values=few)) as peer:
        with Stream(tmp_path, peer.port, count=300, rate=3000, seen=peer.acknowledged) as stream:
            stream.start()
            stream.wait_accepted(300)
            wait_until(lambda: len(peer.packets(PUBLISH)) >= 7, what="the window to be used")
            assert len([each for each in peer.packets(PUBLISH) if each.qos]) == 7
            stream.proxy.cut()
            verdict = stream.finish()
            assert (verdict.delivered, verdict.lost) == (300, ())
            stream.stop()


def test_a_message_larger_than_the_broker_accepts_becomes_a_dead_letter(tmp_path: Path) -> None:
    with Peer(serve(values={"maximum_packet_size": 2000})) as peer:
        large = load(tmp_path, journal=str(tmp_path / "large"), device="large", size=5000, count=2)
        with Stream(tmp_path, peer.port, count=300, rate=1000, seen=peer.acknowledged, more={"large": large}) as stream:
            gateway = stream.start()
            assert stream.finish() == Verdict(300, 300, 0)
            gateway.wait_log("dead letter: ")
            wait_named(gateway, "the outbox has dead letters")
            assert max(each.size for each in peer.packets(PUBLISH)) <= 2000
            assert len(peer.conversations) == 1
            stream.stop()


def test_a_broker_without_qos_1(tmp_path: Path) -> None:
    with Peer(serve(values={"maximum_qos": 0})) as peer:

        def seen() -> list[tuple[str, bytes]]:
            return [(each.topic, each.payload) for each in peer.packets(PUBLISH)]

        with Stream(tmp_path, peer.port, count=300, rate=1000, seen=seen) as stream:
            gateway = stream.start()
            assert stream.finish() == Verdict(300, 300, 0)
            wait_named(gateway, "does not support QoS 1")
            assert {each.qos for each in peer.packets(PUBLISH)} == {0}
            stream.stop()


def test_a_broker_that_retains_nothing(tmp_path: Path) -> None:
    with Peer(serve(values={"retain_available": 0})) as peer:
        with Stream(tmp_path, peer.port, count=300, rate=1000, seen=peer.acknowledged) as stream:
            gateway = stream.start()
            assert stream.finish() == Verdict(300, 300, 0)
            wait_named(gateway, "does not support retained messages")
            assert not [each for each in peer.packets(PUBLISH) if each.flags & 1]
            stream.stop()


def test_the_keepalive_of_the_broker_is_used(tmp_path: Path) -> None:
    with Peer(serve(values={"server_keep_alive": 1})) as peer:
        with Stream(tmp_path, peer.port, count=10, seen=peer.acknowledged, mqtt={"keepalive": 60}) as stream:
            stream.start()
            wait_until(lambda: len(peer.packets(PINGREQ)) >= 2, 6, "two PINGREQ")
            stream.stop()


def test_a_message_refused_by_reason_code_becomes_a_dead_letter(tmp_path: Path) -> None:
    def not_d1(packet: Packet) -> int:
        return 0x87 if "/d1/" in packet.topic else 0

    with Peer(serve(reasons=not_d1)) as peer:
        with Stream(tmp_path, peer.port, count=300, rate=1000, seen=peer.acknowledged) as stream:
            gateway = stream.start()
            wait_until(lambda: len(stream.seen) == 200, what=lambda: f"the others: {stream.verdict()}: {stream.log}")
            gateway.wait_log("dead letter: ")
            wait_named(gateway, "the outbox has dead letters")
            stream.stop()
            assert count_of_load(peer.packets(PUBLISH)) == 300
            assert stream.seen == sorted(stream.seen, key=lambda entry: entry[1])


def test_topics_that_are_refused_for_some_time_hold_back_no_others(tmp_path: Path) -> None:
    """RabbitMQ refuses what is for a subscriber as long as the node with the queue of that subscriber is down."""
    is_back = threading.Event()

    def not_d1_yet(packet: Packet) -> int:
        return 0x83 if "/d1/" in packet.topic and not is_back.is_set() else 0

    with Peer(serve(reasons=not_d1_yet)) as peer:
        with Stream(tmp_path, peer.port, count=3000, rate=1000, seen=peer.acknowledged) as stream:
            gateway = stream.start()
            wait_until(lambda: len(stream.seen) == 2000, what=lambda: f"the others: {stream.verdict()}: {stream.log}")
            refused = count_of_load(peer.packets(PUBLISH)) - 2000
            assert refused < 200, "those that were in flight, and the first of them a few times more"
            wait_named(gateway, "the broker refuses messages on home/load///d1/gw/S without saying why")
            is_back.set()
            assert stream.finish() == Verdict(3000, 3000, 0)
            gateway.wait_log("accepts all messages again")
            assert "dead letter" not in gateway.log
            stream.stop()


@pytest.mark.parametrize("reason", [0x8B, 0x8E, 0x98])
def test_a_broker_that_sends_disconnect(reason: int, tmp_path: Path) -> None:
    """It is shutting down, another client has connected with its client id, or its administrator has acted."""
    leaves = serve(until=lambda talk: count_of_load(talk.of_kind(PUBLISH)) >= 50, last=disconnect_packet(reason))
    with Peer(leaves, serve()) as peer:
        with Stream(tmp_path, peer.port, count=300, rate=1000, seen=peer.acknowledged) as stream:
            gateway = stream.start()
            verdict = stream.finish()
            assert (verdict.delivered, verdict.lost) == (300, ())
            assert "lost the broker: " in gateway.log
            wait_named(gateway, "lost the broker: ")
            assert {each.version for each in peer.packets(CONNECT)} == {V5}
            stream.stop()


@pytest.mark.parametrize("is_resumed", [True, False])
def test_a_session_that_is_resumed_or_lost(is_resumed: bool, tmp_path: Path) -> None:
    """Messages in flight are sent again in both cases."""
    leaves = serve(pubacks=20, until=lambda talk: count_of_load(talk.of_kind(PUBLISH)) >= 50)
    with Peer(leaves, serve(is_resumed=is_resumed)) as peer:
        conf = {"map": replaying_map(tmp_path)}
        with Stream(tmp_path, peer.port, count=300, rate=1000, seen=peer.acknowledged, conf=conf) as stream:
            stream.start()
            verdict = stream.finish()
            assert (verdict.delivered, verdict.lost, verdict.disordered) == (300, (), ())
            first, second = peer.packets(CONNECT)[:2]
            assert not second.is_clean
            assert first.client_id == second.client_id
            assert int(str(second.properties["session_expiry"])) > 0
            stream.stop()


def test_servers_that_die_in_turn(tmp_path: Path) -> None:
    """The other broker is used when the preferred one dies, until that is available again."""
    (tmp_path / "spare").mkdir()
    with Mosquitto(tmp_path) as preferred, Mosquitto(tmp_path / "spare") as spare:
        with Witness(preferred.port) as one, Witness(spare.port) as other:

            def seen() -> list[tuple[str, bytes]]:
                return [*one.pairs, *other.pairs]

            with Stream(tmp_path, preferred.port, count=1500, rate=300, seen=seen) as stream:
                stream.use_servers(f"127.0.0.1:{preferred.port}", f"127.0.0.1:{spare.port}")
                stream.start()
                stream.wait_seen(50)
                preferred.kill()
                one.wait_lost()
                wait_until(lambda: len(other.pairs) > 50, 10, lambda: f"the spare broker: {stream.log}")
                preferred.start()
                one.wait_subscribed()
                stream.wait_accepted(1500)
                wait_until(lambda: set(stream.accepted) <= set(stream.seen), 20, lambda: f"{stream.verdict()}")
                stream.stop()
