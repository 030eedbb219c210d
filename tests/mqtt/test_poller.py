from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gateway.core.inbox import Wakeup
from gateway.mqtt.buffered_socket import BufferedSocket
from gateway.mqtt.poller import Poller, Ready, has_more

NOTHING = Ready(readable=False, writable=False, woken=False)


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near, far


def test_a_wait_ends_with_what_is_ready(wakeup: Wakeup, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    poller = Poller(wakeup)
    assert poller.wait(near, 0.0, to_write=False) == NOTHING
    assert poller.wait(near, 10.0, to_write=True) == NOTHING._replace(writable=True)
    far.sendall(b"x")
    assert poller.wait(near, 10.0, to_write=False) == NOTHING._replace(readable=True)


def test_the_main_thread_is_woken_once_with_or_without_a_socket(
    wakeup: Wakeup, pair: tuple[socket.socket, socket.socket]
) -> None:
    poller = Poller(wakeup)
    for sock in (None, pair[0]):
        wakeup.set()
        assert poller.wait(sock, 10.0, to_write=False) == NOTHING._replace(woken=True)
        assert poller.wait(sock, 0.0, to_write=False) == NOTHING


def test_a_connection_that_has_ended_is_readable(wakeup: Wakeup, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    far.close()
    assert Poller(wakeup).wait(near, 10.0, to_write=False).readable


def test_bytes_that_were_read_ahead_count_though_the_socket_has_none_any_more(
    wakeup: Wakeup, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = BufferedSocket(pair[0]), pair[1]
    far.sendall(b"abc")
    assert near.recv(1) == b"a"
    assert has_more(near)
    assert Poller(wakeup).wait(near, 10.0, to_write=False) == NOTHING._replace(readable=True)
    near.recv(2)
    assert not has_more(near)


def test_sockets_can_be_replaced(wakeup: Wakeup, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    poller = Poller(wakeup)
    far.sendall(b"x")
    assert poller.wait(near, 0.0, to_write=False).readable
    assert poller.wait(None, 0.0, to_write=False) == NOTHING
    assert poller.wait(far, 0.0, to_write=False) == NOTHING
    assert poller.wait(near, 0.0, to_write=False).readable
