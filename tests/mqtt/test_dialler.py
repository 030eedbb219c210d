"""Connections are opened in a separate thread, one at a time, and none is left open."""

from __future__ import annotations

import select
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


def pop_when_open(dialler: Dialler) -> object:
    results: list[object] = []

    def is_popped() -> bool:
        results.append(dialler.pop())
        return results[-1] is not None

    wait_until(is_popped, 5, "a connection")
    return results[-1]


def test_a_connection_is_popped_once(wakeup: Wakeup) -> None:
    dialler, slow = Dialler(wakeup), Slow()
    dialler.start(slow)
    assert (dialler.pop(), dialler.is_idle) == (None, False)
    slow.allowed.set()
    assert pop_when_open(dialler) is slow.ours
    assert (dialler.pop(), dialler.is_idle) == (None, True)
    slow.ours.close()
    slow.theirs.close()


def test_a_failure_is_raised_by_pop(wakeup: Wakeup) -> None:
    def fail() -> socket.socket:
        raise OSError("no")

    dialler = Dialler(wakeup)
    dialler.start(fail)
    with pytest.raises(OSError, match="no"):
        pop_when_open(dialler)
    assert dialler.is_idle


@pytest.mark.parametrize("how", ["start", "discard", "close"])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_discarded_connection_is_closed(how: str, is_open: bool, wakeup: Wakeup) -> None:
    dialler, slow, next_one = Dialler(wakeup), Slow(), Slow()
    if is_open:
        slow.allowed.set()
    dialler.start(slow)
    if is_open:
        wait_until(lambda: select.select([wakeup], [], [], 0)[0], 5, "the connection")
    if how == "start":
        next_one.allowed.set()
        dialler.start(next_one)
        assert pop_when_open(dialler) is next_one.ours
    else:
        getattr(dialler, how)()
    slow.allowed.set()
    wait_until(slow.is_closed, 5, "it to be closed")
    for each in (slow, next_one):
        each.ours.close()
        each.theirs.close()
