"""The link to the broker: how it is opened, why that fails, when it is dropped, and when it is opened again."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core.tls import TlsOptions
from gateway.message import Arrival, Publication
from gateway.mqtt.link_state import LinkState
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto, free_port, mosquitto_or_skip
from tests.support.certificates import Authority
from tests.support.link import Link
from tests.support.packets import V5, publish
from tests.support.peer import (
    CONNACK,
    CONNECT,
    PINGREQ,
    Act,
    Peer,
    accept_and_read_no_more,
    accept_then_silence,
    answer_with,
    close_after_connect,
    close_immediately,
    packet,
    refuse,
    serve,
    stay_silent,
)
from tests.support.waiting import wait_until


def is_up(link: Link) -> Callable[[], bool]:
    return lambda: link.state is LinkState.UP


def is_backing_off(link: Link) -> Callable[[], bool]:
    return lambda: link.state is LinkState.BACKING_OFF


# --- the states


def test_a_link_goes_through_its_states(mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    with Link(mosquitto.port) as link:
        assert link.state is LinkState.IDLE
        link.connect()
    where = f"link to 127.0.0.1:{mosquitto.port}"
    assert [m for m in caplog.messages if m.startswith("link to ")][:3] == [
        f"{where}: idle -> connecting",
        f"{where}: connecting -> waiting for CONNACK",
        f"{where}: waiting for CONNACK -> up",
    ]
    assert repr(link.client) == f"<MgClient 127.0.0.1:{mosquitto.port} idle>"


def test_small_packets_are_sent_immediately(mosquitto: Mosquitto) -> None:
    with Link(mosquitto.port) as link:
        link.connect()
        sock: Any = link.client.socket()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_link_with_tls(tmp_path: Path) -> None:
    mosquitto_or_skip()
    authority = Authority(tmp_path)
    certificate, key = authority.sign("server")
    extra = f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}\n"
    tls = TlsOptions(enabled=True, ca_file=str(authority.ca_file))
    with Mosquitto(tmp_path, extra) as broker, Link(broker.port, "big/#", tls=tls) as link:
        link.connect()
        link.put("big/1", payload := bytes(range(256)) * 1000)
        link.run_until(lambda: link.received, "a message longer than a TLS record")
        assert link.received == [("big/1", payload, False)]


# --- one connection at a time


def test_no_second_connection_while_the_connack_is_pending() -> None:
    with Peer(stay_silent) as peer, Link(peer.port) as link:
        link.client.mg_connect()
        link.run_until(lambda: link.state is LinkState.AWAITING_CONNACK)
        for _ in range(50):
            link.client.mg_connect()
            link.client.mg_reconnect()
            link.step(0.01)
        assert link.state is LinkState.AWAITING_CONNACK
        assert len(peer.conversations) == 1


def test_no_second_connection_while_one_is_being_opened() -> None:
    with Peer(stay_silent) as peer, Link(peer.port, tls=TlsOptions(enabled=True), connect_timeout=1.0) as link:
        for _ in range(20):
            link.client.mg_connect()
            link.client.mg_reconnect()
            link.step(0.01)
        assert link.state is LinkState.CONNECTING
        assert len(peer.conversations) == 1


def test_connecting_again_leaves_a_link_that_is_up_alone(mosquitto: Mosquitto) -> None:
    with Link(mosquitto.port, "a/#") as link:
        link.connect()
        link.client.mg_connect()
        link.put("a/1", b"still there")
        link.run_until(lambda: link.received, "a message over the same link")
        assert link.client.connects == 1


def test_a_broker_that_starts_later_is_connected_to(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    mosquitto_or_skip()
    expected_logs.expect("no connection to the broker: nothing listens at")
    broker = Mosquitto(tmp_path)
    with Link(broker.port, delay=0.05) as link, contextlib.ExitStack() as later:
        link.client.mg_connect()
        link.run_until(lambda: len(link.bounds) >= 2, "a second attempt")
        later.enter_context(broker)
        link.run_until(is_up(link), "the link to be up")


# --- CONNACK


def test_a_late_connack_is_waited_for() -> None:
    allowed = threading.Event()
    with Peer(serve(when=allowed)) as peer, Link(peer.port) as link:
        link.client.mg_connect()
        link.run_until(lambda: peer.packets(CONNECT), "the peer to have CONNECT")
        link.run_for(0.3)
        assert link.state is LinkState.AWAITING_CONNACK
        allowed.set()
        link.run_until(is_up(link), "the link to be up")
        assert link.client.connects == len(peer.conversations) == 1


def test_a_connack_that_never_comes(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("sent no CONNACK within 0.3 s: is it an MQTT broker?")
    with Peer(stay_silent, serve()) as peer, Link(peer.port, connect_timeout=0.3, version="3.1.1") as link:
        began = time.monotonic()
        link.client.mg_connect()
        link.run_until(is_backing_off(link), "the link to be dropped")
        assert 0.3 <= time.monotonic() - began < 3
        link.run_until(is_up(link), "the next attempt")
        wait_until(lambda: peer.conversations[0].is_closed)


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (2, "Client identifier not valid", "choose another mqtt.client_id"),
        (3, "Server unavailable", "the broker is busy or stopping; the gateway retries automatically"),
        (4, "Bad user name or password", "check mqtt.username and mqtt.password_file"),
        (5, "Not authorized", "check mqtt.username, mqtt.password_file and the broker's access rules"),
    ],
)
def test_a_refusal_is_logged_with_reason_and_remedy(
    code: int, reason: str, remedy: str, expected_logs: ExpectedLogs
) -> None:
    with Peer(refuse(code), serve()) as peer:
        text = f"127.0.0.1:{peer.port} refused the connection: {reason}: {remedy}"
        expected_logs.expect(f"no connection to the broker: {text} (retrying in ")
        with Link(peer.port, version="3.1.1") as link:
            link.client.mg_connect()
            link.run_until(is_backing_off(link), "the refusal")
            assert link.failure == text
            link.run_until(is_up(link), "the next attempt")
            assert link.client.last_failure is None


def test_a_real_broker_that_requires_a_password(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    mosquitto_or_skip()
    expected_logs.expect("refused the connection: Not authorized: check mqtt.username")
    wrong: dict[str, Any] = {"username": "gate", "password": "wrong"}
    with Mosquitto(tmp_path, "allow_anonymous false\n") as broker, Link(broker.port, delay=10, **wrong) as link:
        link.client.mg_connect()
        link.run_until(is_backing_off(link), "the refusal")


def test_a_broker_that_refuses_the_version_of_the_protocol(expected_logs: ExpectedLogs) -> None:
    with Peer(refuse(1), serve()) as peer:
        text = f"127.0.0.1:{peer.port} does not support MQTT 3.1.1: is it a broker, and mqtt.port its port for that?"
        expected_logs.expect(f"no connection to the broker: {text}")
        with Link(peer.port, version="3.1.1") as link:
            link.client.mg_connect()
            link.run_until(is_backing_off(link), "the refusal")
            assert link.failure == text
            link.run_until(is_up(link), "the next attempt")


def test_a_broker_of_3_1_1_that_closes_for_the_retained_will_is_asked_about_it(
    tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("no connection to the broker: 127.0.0.1:")
    with (
        Mosquitto(tmp_path, "allow_anonymous true\nretain_available false\n") as broker,
        Link(broker.port, delay=10, version="3.1.1", availability="home/gw/availability") as link,
    ):
        link.client.mg_connect()
        link.run_until(is_backing_off(link), "the failure")
        assert link.failure.endswith("does it support MQTT 3.1.1, without TLS, and retained messages?")


@pytest.mark.parametrize("act", [close_immediately, close_after_connect])
def test_a_connection_closed_instead_of_a_connack(act: Act, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("no connection to the broker: 127.0.0.1:")
    with Peer(act, serve()) as peer, Link(peer.port, version="3.1.1") as link:
        link.client.mg_connect()
        link.run_until(is_backing_off(link), "the failure")
        assert re.fullmatch(
            r"127.0.0.1:\d+ closed the connection without a CONNACK: "
            r"does it support MQTT 3.1.1, without TLS, and retained messages\?"
            r"|the connection to 127.0.0.1:\d+ failed \(.*\)",
            link.failure,
        )
        link.run_until(is_up(link), "the next attempt")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" + bytes(100), id="HTTP"),
        pytest.param(b"220 mail.example ESMTP ready\r\n", id="SMTP"),
        pytest.param(b"\x00" * 64, id="zeros"),
        pytest.param(b"\xff" * 64, id="ones"),
        pytest.param(packet(CONNACK), id="CONNACK without a body"),
        pytest.param(packet(CONNACK, b"\0"), id="CONNACK without a code"),
        pytest.param(packet(CONNACK, b"\0\x99"), id="CONNACK with an unknown code"),
        pytest.param(packet(CONNACK, b"\0\0\0\0\0"), id="CONNACK too long"),
        pytest.param(b"\x20\xff\xff\xff\xff\x7f", id="a length of five bytes"),
    ],
)
def test_garbage_instead_of_a_connack(data: bytes, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("no connection to the broker: ")
    with Peer(answer_with(data), serve()) as peer, Link(peer.port, version="3.1.1", connect_timeout=0.5) as link:
        link.client.mg_connect()
        link.run_until(is_backing_off(link), "the failure")
        link.run_until(is_up(link), "the next attempt")
        assert len(peer.conversations) == 2


# --- backing off


def test_delays_double_up_to_their_limit(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("refused the connection: Server unavailable")
    with Peer(refuse(3)) as peer, Link(peer.port, version="3.1.1", reconnect_max=10) as link:
        link.client.mg_connect()
        link.run_until(lambda: len(link.bounds) >= 6, "six tries")
    assert link.bounds[:6] == [1, 2, 4, 8, 10, 10]


def test_delays_grow_until_a_link_was_stable(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("no connection to the broker: ", "lost the broker: ")
    with Peer(refuse(3), refuse(3), serve()) as peer, Link(peer.port, version="3.1.1") as link:
        link.connect()
        assert link.bounds == [1, 2]
        peer.conversations[-1].hang_up()
        link.run_until(lambda: link.client.connects == 2, "the link to be up again")
        assert link.bounds == [1, 2, 4]
        link.clock.shift += 29
        peer.conversations[-1].hang_up()
        link.run_until(lambda: link.client.connects == 3, "the link to be up again")
        assert link.bounds == [1, 2, 4, 8]
        link.clock.shift += 31
        peer.conversations[-1].hang_up()
        link.run_until(lambda: link.client.connects == 4, "the link to be up again")
        assert link.bounds == [1, 2, 4, 8, 1]


def test_a_delay_is_kept(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("retrying in 100.0 s")
    with Peer(refuse(3)) as peer, Link(peer.port, version="3.1.1", delay=100) as link:
        link.client.mg_connect()
        link.run_until(is_backing_off(link), "the refusal")
        link.clock.shift += 99
        link.run_for(0.1)
        assert len(peer.conversations) == 1
        assert not link.client.lag_test()
        link.clock.shift += 1
        assert link.client.lag_test()
        link.run_until(lambda: len(peer.conversations) == 2, "the next attempt")


# --- a link that is lost


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "publishing"])
def test_a_silent_broker_is_detected(busy: bool, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("has been silent for 1.5 x keepalive: check network and broker")
    with Peer(accept_then_silence) as peer, Link(peer.port, keepalive=1, delay=100) as link:
        link.client.mg_connect()
        link.run_until(is_up(link), "the link to be up")
        began = time.monotonic()
        while link.state is LinkState.UP and time.monotonic() - began < 5:
            if busy:
                link.put("a", b"", qos=0)
            link.step(0.1)
        assert link.state is LinkState.BACKING_OFF
        assert 1.4 < time.monotonic() - began < 2.2
        wait_until(lambda: peer.conversations[0].is_closed, 5, "the connection to be closed")


def test_the_link_to_a_broker_that_answers_pings_is_kept() -> None:
    with Peer(serve()) as peer, Link(peer.port, keepalive=1) as link:
        link.connect()
        link.run_for(2.5)
        assert link.state is LinkState.UP
        assert len(peer.packets(PINGREQ)) in (2, 3)


def test_pings_are_sent_on_a_link_that_receives_all_the_time() -> None:
    with Peer(serve()) as peer, Link(peer.port, keepalive=1) as link:
        link.connect()
        link.run_for(0.1)
        began = time.monotonic()
        while not peer.packets(PINGREQ) and time.monotonic() - began < 5:
            peer.conversations[0].send(publish("a", b"1", version=V5))
            link.step(1.0)
        assert time.monotonic() - began < 2


def test_stopping_while_a_connection_is_pending_closes_it() -> None:
    with Peer(stay_silent) as peer, Link(peer.port) as link:
        link.client.mg_connect()
        link.run_until(lambda: peer.packets(CONNECT), "the peer to have CONNECT")
        began = time.monotonic()
        link.client.mg_stop(5.0)
        assert time.monotonic() - began < 1
        wait_until(lambda: peer.conversations[0].is_closed, 5, "the connection to be closed")
        assert link.state is LinkState.IDLE


def test_stopping_while_a_connection_is_being_opened_closes_it() -> None:
    with Peer(stay_silent) as peer, Link(peer.port, tls=TlsOptions(enabled=True), connect_timeout=1.0) as link:
        link.client.mg_connect()
        wait_until(lambda: peer.conversations, 5, "the connection")
        began = time.monotonic()
        link.client.mg_stop(5.0)
        assert time.monotonic() - began < 0.5
        wait_until(lambda: peer.conversations[0].is_closed, 5, "the connection to be closed")


# --- no busy loop


def test_no_busy_loop_while_opening_a_connection() -> None:
    with Peer(stay_silent) as peer, Link(peer.port, tls=TlsOptions(enabled=True), connect_timeout=2.0) as link:
        link.client.mg_connect()
        assert link.run_for(0.8) <= 3
        assert link.state is LinkState.CONNECTING


def test_no_busy_loop_while_waiting_for_connack() -> None:
    with Peer(stay_silent) as peer, Link(peer.port) as link:
        link.client.mg_connect()
        assert link.run_for(0.8) <= 5
        assert link.state is LinkState.AWAITING_CONNACK


def test_no_busy_loop_while_backing_off(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("nothing listens at")
    with Link(free_port(), delay=100) as link:
        link.client.mg_connect()
        assert link.run_for(0.8) <= 4
        assert link.state is LinkState.BACKING_OFF


def test_no_busy_loop_while_the_link_is_idle(mosquitto: Mosquitto) -> None:
    with Link(mosquitto.port, "a/#", availability="home/test/availability") as link:
        link.connect()
        link.run_for(0.2)
        assert link.run_for(1.0) <= 2


def test_no_busy_loop_while_the_broker_reads_nothing() -> None:
    with Peer(accept_and_read_no_more) as peer, Link(peer.port) as link:
        link.client.mg_connect()
        link.run_until(is_up(link), "the link to be up")
        for _ in range(100):
            link.put("a", bytes(200_000))
        link.run_until(lambda: link.client.want_write(), "the socket to be full")
        link.run_for(0.3)
        assert link.run_for(0.8) <= 5


def test_a_stop_after_a_long_wait_for_the_interfaces_sends_the_last_messages(mosquitto: Mosquitto) -> None:
    with mosquitto.client("#") as listener, Link(mosquitto.port, availability="g/availability") as link:
        link.connect()
        link.outbox.put(Publication("last", b"words", 1))
        link.send_clock.shift += 20
        assert link.client.mg_stop(5)
        listener.wait_topic("last", b"words")
        listener.wait_topic("g/availability", b"offline")
    assert link.client.connects == 1


def test_the_counters_can_be_read_while_another_thread_holds_the_send_lock(mosquitto: Mosquitto) -> None:
    stats: list[dict[str, int]] = []

    def read_in_another_thread(_: Arrival) -> None:
        """Read them while the main thread, which delivers a message, holds the lock."""
        reader = threading.Thread(target=lambda: stats.append(link.client.stats()))
        reader.start()
        reader.join(10)
        assert stats, "it waits for a lock"

    with Link(mosquitto.port, "a/#", availability="g/availability", on_msg=read_in_another_thread) as link:
        link.connect()
        link.outbox.put(Publication("b", b"1", 1))
        link.run_until(lambda: link.client.stats()["acknowledged_on_link"] == 2)
        link.outbox.put(Publication("a/b", b"1", 1))
        link.run_until(lambda: stats, "the message")
    assert {type(number) for number in stats[0].values()} == {int}
    expected = {"connects": 1, "states": 1, "states_published": 1, "filters": 1, "standstills": 0}
    assert expected.items() <= stats[0].items()
