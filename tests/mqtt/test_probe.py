"""A probe of a broker, which must have no side effect."""

from __future__ import annotations

import contextlib

import pytest

from gateway.mqtt.dial import LinkError, Server, dial
from gateway.mqtt.probe import connect_packet, probe
from tests.support.broker import Mosquitto
from tests.support.packets import V3, Splitter
from tests.support.peer import (
    CONNECT,
    DISCONNECT,
    Act,
    Peer,
    answer_with,
    close_after_connect,
    refuse,
    serve,
    stay_silent,
)
from tests.support.waiting import wait_until


def probe_broker(port: int, username: str | None = None, password: str | None = None) -> None:
    server = Server("127.0.0.1", port)
    with contextlib.closing(dial(server, 0.5)) as connection:
        probe(connection, server, "gw-probe", username, password)


def test_a_broker_that_answers(mosquitto: Mosquitto) -> None:
    probe_broker(mosquitto.port)
    wait_until(lambda: "Received DISCONNECT from gw-probe" in mosquitto.log.read_text(), 5, "DISCONNECT")


def test_it_sends_connect_and_disconnect_and_nothing_else() -> None:
    with Peer(serve()) as peer:
        probe_broker(peer.port)
        wait_until(lambda: peer.packets(DISCONNECT), 5, "DISCONNECT")
        assert [pkt.kind for pkt in peer.conversations[0].packets] == [CONNECT, DISCONNECT]


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (refuse(5), "it answered 20 02 00 05"),
        (close_after_connect, "it answered nothing"),
        (answer_with(b"HTTP/1.1 400"), "it answered 48 54 54 50"),
    ],
)
def test_a_broker_that_does_not_accept(act: Act, text: str) -> None:
    with Peer(act) as peer, pytest.raises(LinkError, match=text):
        probe_broker(peer.port)


def test_a_broker_that_does_not_answer() -> None:
    with Peer(stay_silent) as peer, pytest.raises(TimeoutError):
        probe_broker(peer.port)


@pytest.mark.parametrize("name", ["gw-probe", "ä" * 100])
@pytest.mark.parametrize(("username", "password", "flags"), [(None, None, 0x02), ("u", None, 0x82), ("ü", "p", 0xC2)])
def test_connect_is_one_of_3_1_1(name: str, username: str | None, password: str | None, flags: int) -> None:
    (pkt,) = Splitter().feed(connect_packet(name, username, password))
    assert (pkt.kind, pkt.version, pkt.client_id, pkt.is_clean) == (CONNECT, V3, name, True)
    assert pkt.body[7] == flags
    assert pkt.body[8:10] == b"\0\0"
    remaining = pkt.body[12 + len(name.encode()) :]
    expected = [text.encode() for text in (username, password) if text is not None]
    assert remaining == b"".join(len(text).to_bytes(2, "big") + text for text in expected)
