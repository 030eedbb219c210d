"""Several brokers: the one that is used, and the return to the preferred one; TCP, websockets and unix sockets."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.core.tls import TlsOptions
from gateway.mqtt.dial import LinkError, Server, dial
from gateway.mqtt.link_state import LinkState
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto, free_port, mosquitto_or_skip
from tests.support.certificates import Authority
from tests.support.link import Link
from tests.support.packets import V3
from tests.support.peer import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    Conversation,
    Peer,
    answer_with,
    close_immediately,
    refuse,
    serve,
    stay_silent,
)
from tests.support.waiting import wait_until


def at(*ports: int) -> tuple[Server, ...]:
    return tuple(Server("127.0.0.1", port) for port in ports)


def where(link: Link) -> str:
    assert link.state is LinkState.UP
    return link.client.broker.rpartition(":")[2]


# --- several brokers


def test_the_next_broker_is_tried_without_a_delay(expected_logs: ExpectedLogs) -> None:
    closed_port = free_port()
    with Peer(refuse(0x88)) as busy, Peer(serve()) as peer:
        expected_logs.expect(f"nothing listens at 127.0.0.1:{closed_port}: ", f"(trying 127.0.0.1:{busy.port} next)")
        expected_logs.expect("refused the connection: Server unavailable: the broker is busy")
        with Link(0, servers=at(closed_port, busy.port, peer.port), delay=100) as link:
            link.connect()
            assert where(link) == str(peer.port)
            assert link.client.last_failure is None
            assert link.bounds == []


def test_after_all_brokers_have_failed_there_is_a_delay(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("refused the connection: Server unavailable")
    with Peer(refuse(0x88)) as first, Peer(refuse(0x88)) as second:  # noqa: SIM117
        with Link(0, servers=at(first.port, second.port), delay=100) as link:
            link.client.mg_connect()
            link.run_until(lambda: link.client.last_failure is not None, "an attempt with each")
            assert (len(first.conversations), len(second.conversations), link.bounds) == (1, 1, [1])


def test_messages_in_flight_are_sent_to_the_next_broker(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    mosquitto_or_skip()
    expected_logs.expect("lost the broker: ", "nothing listens at", "(trying 127.0.0.1:")
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
    with Mosquitto(folders[0]) as first, Mosquitto(folders[1]) as second, second.client("n") as other:
        with Link(0, servers=at(first.port, second.port)) as link:
            link.connect()
            assert where(link) == str(first.port)
            assert first.process is not None
            first.process.send_signal(signal.SIGSTOP)  # it reads no more
            for number in range(300):
                link.put("n", b"%d" % number)
            link.step(0.0)
            first.process.kill()
            first.process.wait()
            link.run_until(lambda: len(link.outbox) == 0, "all to be delivered", timeout=20)
            assert where(link) == str(second.port)
        wait_until(lambda: len(other.messages) >= 300, 10, "all to arrive")
        assert list(dict.fromkeys(int(payload) for _, payload in other.pairs())) == list(range(300))


def test_the_link_returns_to_the_preferred_broker_when_it_answers_again(
    tmp_path: Path, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    mosquitto_or_skip()
    expected_logs.expect("nothing listens at", "(trying 127.0.0.1:")
    folder = tmp_path / "preferred"
    folder.mkdir()
    preferred = Mosquitto(folder)
    with Mosquitto(tmp_path) as spare, spare.client("av") as other:
        with Link(0, servers=at(preferred.port, spare.port), availability="av") as link:
            link.connect()
            link.clock.shift += 61
            link.run_for(0.2)
            assert where(link) == str(spare.port)  # the preferred broker does not answer
            with preferred:
                link.pass_time(61)
                link.run_until(lambda: link.client.connects == 2, "the return")
                assert where(link) == str(preferred.port)
                other.wait_topic("av", b"offline")  # subscribers there learn that the gateway has gone
                link.put("n", b"1")
                link.run_until(lambda: len(link.outbox) == 0, "a publication")
        text = f"switching from 127.0.0.1:{spare.port} back to the preferred broker 127.0.0.1:{preferred.port}"
        assert text in caplog.messages
        assert "as test-probe" in preferred.log.read_text()


def test_the_link_does_not_return_to_a_preferred_broker_that_refuses(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("Server unavailable")
    acts = (refuse(0x88), refuse(0x03), answer_with(b"HTTP/1.1 "), close_immediately, serve())
    with Peer(*acts) as first, Peer(serve()) as second:  # noqa: SIM117
        with Link(0, servers=at(first.port, second.port), version=5) as link:
            link.connect()
            for tries in range(2, 5):
                link.pass_time(60)
                link.run_until(lambda count=tries: len(first.conversations) == count, "a probe")  # type: ignore[misc]
                link.run_for(0.1)
                assert where(link) == str(second.port)
            link.pass_time(60)
            link.run_until(lambda: link.client.connects == 2, "the return")
            probing = first.conversations[4]
            wait_until(lambda: probing.is_closed, what="the probe to be over")
            assert [pkt.kind for pkt in probing.packets] == [CONNECT, DISCONNECT]
            assert (probing.packets[0].client_id, probing.packets[0].is_clean) == ("test-probe", True)
            assert probing.packets[0].version == V3


def test_the_return_waits_for_messages_in_flight(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("Server unavailable")
    allowed = threading.Event()

    def slow(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        for pkt in conversation.packets_until_closed():
            if pkt.kind == PUBLISH:
                assert allowed.wait(10)
                conversation.puback(pkt)

    with Peer(refuse(0x88), serve()) as first, Peer(slow) as second:  # noqa: SIM117
        with Link(0, servers=at(first.port, second.port), keepalive=60) as link:
            link.connect()
            link.put("a", b"1")
            link.run_until(lambda: second.packets(PUBLISH), "a publication")
            link.pass_time(60)
            link.run_until(lambda: link.client.link.is_returning, "a probe that the preferred one answers")
            link.put("a", b"2")
            link.run_for(0.3)
            assert where(link) == str(second.port)
            allowed.set()
            began = time.monotonic()
            while not first.packets(PUBLISH):
                link.client.loop_with_reconnect()
            assert time.monotonic() - began < 3, "it does not wait for the next check of the keepalive"
            link.run_until(lambda: len(link.outbox) == 0, "all to be delivered")
            assert [pkt.payload for pkt in second.packets(PUBLISH)] == [b"1"]
            assert [pkt.payload for pkt in first.packets(PUBLISH)] == [b"2"]


def test_a_slow_probe_blocks_nothing(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("Server unavailable", "lost the broker: ")
    with Peer(refuse(0x88), stay_silent, serve()) as first, Peer(serve()) as second:  # noqa: SIM117
        with Link(0, servers=at(first.port, second.port), connect_timeout=2.0) as link:
            link.connect()
            link.pass_time(60)
            link.run_until(lambda: len(first.conversations) == 2, "a probe")
            link.put("a", b"1")
            link.run_until(lambda: len(link.outbox) == 0, "a publication")
            second.conversations[-1].hang_up()
            link.run_until(lambda: link.client.connects == 2, "the next link, beside that probe")
            assert where(link) == str(first.port)


# --- transports


def exchange(link: Link, broker: Mosquitto) -> None:
    with broker.client("up/#") as other:
        link.connect()
        link.put("up/1", payload := bytes(range(256)) * 500)
        link.run_until(lambda: other.pairs() == [("up/1", payload)], "what goes up")
        other.publish("down/1", payload)
        other.publish("down/2", b"short")
        link.run_until(lambda: len(link.received) == 2, "what comes down")
    assert link.received == [("down/1", payload, False), ("down/2", b"short", False)]
    for number in range(500):
        link.put("up/2", b"%d" % number)
    link.run_until(lambda: len(link.outbox) == 0, "all to be delivered")


@pytest.mark.parametrize("version", [5, "3.1.1"])
def test_websockets(version: object, tmp_path: Path) -> None:
    mosquitto_or_skip()
    port = free_port()
    extra = f"allow_anonymous true\nlistener {port} 127.0.0.1\nprotocol websockets\n"
    with Mosquitto(tmp_path, extra) as broker, Link(port, "down/#", transport="websockets", version=version) as link:
        exchange(link, broker)


def test_websockets_with_tls(tmp_path: Path) -> None:
    mosquitto_or_skip()
    authority, port = Authority(tmp_path), free_port()
    certificate, key = authority.sign("server")
    extra = f"allow_anonymous true\nlistener {port} 127.0.0.1\nprotocol websockets\n"
    extra += f"certfile {certificate}\nkeyfile {key}\n"
    tls = TlsOptions(enabled=True, ca_file=str(authority.ca_file))
    with Mosquitto(tmp_path, extra) as broker, Link(port, "down/#", transport="websockets", tls=tls) as link:
        exchange(link, broker)


def test_a_unix_socket(tmp_path: Path) -> None:
    mosquitto_or_skip()
    path = tmp_path / "mqtt.sock"
    with Mosquitto(tmp_path, f"allow_anonymous true\nlistener 0 {path}\n") as broker:  # noqa: SIM117
        with Link(0, "down/#", transport="unix", host=str(path)) as link:
            assert repr(link.client) == f"<MgClient {path} idle>"
            exchange(link, broker)


def failure(server: Server, **options: Any) -> str:
    with pytest.raises(LinkError) as caught:
        dial(server, 0.5, **options)
    return str(caught.value)


def test_a_unix_socket_that_does_not_exist(tmp_path: Path) -> None:
    path = str(tmp_path / "none.sock")
    text = f"nothing listens at {path}: is the broker running, and mqtt.host its unix socket?"
    assert failure(Server(path), transport="unix") == text
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        assert failure(Server(path), transport="unix") == text


def test_a_unix_socket_whose_path_is_too_long() -> None:
    assert failure(Server("/tmp/" + "x" * 200), transport="unix").endswith("(AF_UNIX path too long): check mqtt.host")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nSec-WebSocket-Accept\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
    ],
)
def test_a_server_without_mqtt_over_websockets(answer: bytes) -> None:
    def act(conversation: Conversation) -> None:
        conversation.sock.recv(4096)
        conversation.send(answer)

    with Peer(act) as peer:
        text = failure(Server("127.0.0.1", peer.port), transport="websockets")
    what = f"127.0.0.1:{peer.port} refused the websocket handshake"
    assert text == f"{what}: is mqtt.port its port for websockets, and mqtt.path right?"


def test_a_server_that_never_answers_the_websocket_handshake() -> None:
    with Peer(stay_silent_bytes) as peer:
        text = failure(Server("127.0.0.1", peer.port), transport="websockets")
    assert text.endswith("does not answer the websocket handshake within 0.5 s: is mqtt.port its port for websockets?")


def stay_silent_bytes(conversation: Conversation) -> None:
    while conversation.sock.recv(4096):
        pass


def test_tls_without_verification_is_logged_at_each_start(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    mosquitto_or_skip()
    authority = Authority(tmp_path)
    certificate, key = authority.sign("server")
    extra = f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}\n"
    with Mosquitto(tmp_path, extra) as broker, Link(broker.port, tls=TlsOptions(enabled=True, verify=False)) as link:
        expected_logs.expect(f"the certificate of 127.0.0.1:{broker.port} is not verified: anyone in between can read")
        link.connect()
