"""Waits for the broker's socket, or for the wake-up."""

from __future__ import annotations

import select
from typing import Any

from gateway.mailbox import Wakeup


def wait_for(sock: Any, wakeup: Wakeup, timeout: float, *, to_write: bool) -> tuple[bool, bool]:
    """Wait up to `timeout` seconds; return whether `sock` is readable and writable. `sock` may be None."""
    poll = select.poll()
    poll.register(wakeup.fileno(), select.POLLIN)
    fd = sock.fileno() if sock is not None else -1
    if fd >= 0:
        poll.register(fd, select.POLLIN | (select.POLLOUT if to_write else 0))
        if _pending(sock):
            timeout = 0.0
    events = dict(poll.poll(timeout * 1000))
    if wakeup.fileno() in events:
        wakeup.clear()
    event = events.get(fd, 0)
    return bool(event & ~select.POLLOUT) or (fd >= 0 and _pending(sock)), bool(event & select.POLLOUT)


def has_more(sock: Any) -> bool:
    """Tell whether `sock` can be read again at once."""
    if _pending(sock):
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _pending(sock: Any) -> bool:
    """Tell whether a TLS socket has bytes that select does not know of."""
    pending = getattr(sock, "pending", None)
    return bool(pending()) if pending is not None else False
