"""A look at a broker that must not disturb it."""

from __future__ import annotations

import contextlib

import pytest

from gateway.mqtt.dial import LinkError, Server, dial
from gateway.mqtt.probe import connect_packet, probe
from tests.support.broker import Mosquitto
from tests.support.packets import V3, Splitter
from tests.support.peer import CONNECT, DISCONNECT, Act, Peer, close_after_connect, refuse, say, serve, stay_silent
from tests.support.waiting import wait_until


def look(port: int, username: str | None = None, password: str | None = None) -> None:
    server = Server("127.0.0.1", port)
    with contextlib.closing(dial(server, 0.5)) as connection:
        probe(connection, server, "gw-probe", username, password)


def test_a_broker_that_answers(mosquitto: Mosquitto) -> None:
    look(mosquitto.port)
    wait_until(lambda: "Received DISCONNECT from gw-probe" in mosquitto.log.read_text(), 5, "DISCONNECT")


def test_it_says_connect_and_disconnect_and_no_more() -> None:
    with Peer(serve()) as peer:
        look(peer.port)
        wait_until(lambda: peer.packets(DISCONNECT), 5, "DISCONNECT")
        assert [found.kind for found in peer.conversations[0].packets] == [CONNECT, DISCONNECT]


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (refuse(5), "it answered 20 02 00 05"),
        (close_after_connect, "it answered nothing"),
        (say(b"HTTP/1.1 400"), "it answered 48 54 54 50"),
    ],
)
def test_a_broker_that_does_not_accept(act: Act, said: str) -> None:
    with Peer(act) as peer, pytest.raises(LinkError, match=said):
        look(peer.port)


def test_a_broker_that_does_not_answer() -> None:
    with Peer(stay_silent) as peer, pytest.raises(TimeoutError):
        look(peer.port)


@pytest.mark.parametrize("name", ["gw-probe", "ä" * 100])
@pytest.mark.parametrize(("username", "password", "flags"), [(None, None, 0x02), ("u", None, 0x82), ("ü", "p", 0xC2)])
def test_connect_is_that_of_3_1_1(name: str, username: str | None, password: str | None, flags: int) -> None:
    (found,) = Splitter().feed(connect_packet(name, username, password))
    assert (found.kind, found.version, found.client_id, found.is_clean) == (CONNECT, V3, name, True)
    assert found.body[7] == flags
    assert found.body[8:10] == b"\0\0"
    rest = found.body[12 + len(name.encode()) :]
    expected = [text.encode() for text in (username, password) if text is not None]
    assert rest == b"".join(len(text).to_bytes(2, "big") + text for text in expected)
