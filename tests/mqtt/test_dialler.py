"""Connections are opened in a thread of their own, one at a time, and none is left open."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gateway.core.inbox import Wakeup
from gateway.mqtt.dialler import Dialler
from tests.support.waiting import wait_until


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()


class Slow:
    """Opens one end of a pair of sockets once it is allowed."""

    def __init__(self) -> None:
        self.allowed = threading.Event()
        self.ours, self.theirs = socket.socketpair()

    def __call__(self) -> socket.socket:
        assert self.allowed.wait(10)
        return self.ours

    def is_closed(self) -> bool:
        self.theirs.settimeout(0.01)
        try:
            return self.theirs.recv(1) == b""
        except TimeoutError:
            return False


def taken(dialler: Dialler) -> object:
    found: list[object] = []

    def take() -> bool:
        found.append(dialler.pop())
        return found[-1] is not None

    wait_until(take, 5, "a connection")
    return found[-1]


def test_a_connection_is_handed_over_once(wakeup: Wakeup) -> None:
    dialler, slow = Dialler(wakeup), Slow()
    dialler.start(slow)
    assert (dialler.pop(), dialler.is_idle) == (None, False)
    slow.allowed.set()
    assert taken(dialler) is slow.ours
    assert (dialler.pop(), dialler.is_idle) == (None, True)
    slow.ours.close()
    slow.theirs.close()


def test_a_failure_is_raised_where_it_is_taken(wakeup: Wakeup) -> None:
    def fail() -> socket.socket:
        raise OSError("no")

    dialler = Dialler(wakeup)
    dialler.start(fail)
    with pytest.raises(OSError, match="no"):
        taken(dialler)
    assert dialler.is_idle


@pytest.mark.parametrize("how", ["start", "discard", "close"])
@pytest.mark.parametrize("is_open", [True, False])
def test_what_nobody_wants_any_more_is_closed(how: str, is_open: bool, wakeup: Wakeup) -> None:
    dialler, slow, next_one = Dialler(wakeup), Slow(), Slow()
    if is_open:
        slow.allowed.set()
    dialler.start(slow)
    if is_open:
        wait_until(lambda: dialler._result is not None, 5, "the connection")
    if how == "start":
        next_one.allowed.set()
        dialler.start(next_one)
        assert taken(dialler) is next_one.ours
    else:
        getattr(dialler, how)()
    slow.allowed.set()
    wait_until(slow.is_closed, 5, "it to be closed")
    for one in (slow, next_one):
        one.ours.close()
        one.theirs.close()
