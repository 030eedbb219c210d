"""Waits until the broker's socket is ready, or the main thread is woken."""

from __future__ import annotations

import select
from typing import Any, NamedTuple

from gateway.core.inbox import Wakeup, poll_milliseconds


class Ready(NamedTuple):
    """What ended a wait: the socket is readable or writable, or the main thread was woken; all false: the timeout."""

    readable: bool
    writable: bool
    woken: bool


class Poller:
    """Waits for one socket at a time, and for `wakeup`. Used by the main thread only."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._poll = select.poll()
        self._poll.register(wakeup.fileno(), select.POLLIN)
        self._watched = (-1, 0)  # descriptor and events

    def wait(self, sock: Any, timeout: float, *, to_write: bool) -> Ready:
        """Wait up to `timeout` seconds; return what ended the wait. `sock` may be None."""
        fd = sock.fileno() if sock is not None else -1
        self._watch(fd, select.POLLIN | (select.POLLOUT if to_write else 0))
        is_pending = fd >= 0 and _pending(sock)
        event, is_woken = 0, False
        for ready, events in self._poll.poll(0 if is_pending else poll_milliseconds(timeout)):
            if ready == fd:
                event = events
            else:
                self._wakeup.clear()
                is_woken = True
        return Ready(is_pending or bool(event & ~select.POLLOUT), bool(event & select.POLLOUT), is_woken)

    def _watch(self, fd: int, events: int) -> None:
        if self._watched == (fd, events):
            return
        previous = self._watched[0]
        if previous >= 0:
            self._poll.unregister(previous)
        if fd >= 0:
            self._poll.register(fd, events)
        self._watched = (fd, events)


def has_more(sock: Any) -> bool:
    """Return whether `sock` can be read again immediately."""
    if _pending(sock):
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _pending(sock: Any) -> bool:
    """Return whether a socket has bytes that `poll` does not know of: decrypted by TLS, or read ahead."""
    pending = getattr(sock, "pending", None)
    return bool(pending()) if pending is not None else False
