"""What crosses a thread: a bounded list of messages, and the wake-up that a poll loop can wait on."""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections import deque
from collections.abc import Callable

from gateway.clock import boot_time
from gateway.message import InternalMsg
from gateway.throttled_exception import ThrottledException

LOG = logging.getLogger(__name__)

MAX_MESSAGES = 10_000
"""Messages that may wait for one interface: some seconds of what a broker can send, some MiB of memory."""


LONGEST_WAIT = 10.0
"""Seconds after which a command that no interface has taken is not done any more."""

_ONE = (1).to_bytes(8, "little")  # what an eventfd takes


def poll_milliseconds(timeout: float | None) -> float | None:
    """Return a timeout (s) as `poll` takes it: in ms, never negative, and at most an hour, for it knows no more."""
    return None if timeout is None else min(max(0.0, timeout), 3600.0) * 1000


class StaleCommand(ThrottledException):
    """A command was dropped because its interface did not take it in time."""


def _say_stale(msg: InternalMsg) -> None:
    stale = StaleCommand(f"dropped: a command waited too long for its interface ({msg})", key=msg.device)
    if stale.trigger:
        LOG.warning(stale.report)


class Wakeup:
    """A flag with a file descriptor: readable while the flag is set. Any thread may set it, one waits.

    With `for_signals`, `signal_fileno` is a descriptor for `signal.set_wakeup_fd`: a signal then ends the wait
    even if it comes just before it, or to another thread.
    """

    def __init__(self, *, for_signals: bool = False) -> None:
        if hasattr(os, "eventfd") and not for_signals:  # an eventfd takes eight bytes; a signal writes one
            self._read_fd = self._write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._read_fd, self._write_fd = os.pipe()
            os.set_blocking(self._read_fd, False)
            os.set_blocking(self._write_fd, False)
        self._is_set = False

    def fileno(self) -> int:
        """Return the descriptor to poll for reading."""
        return self._read_fd

    def signal_fileno(self) -> int:
        """Return the descriptor for `signal.set_wakeup_fd`."""
        return self._write_fd

    def set(self) -> None:
        """Wake whoever waits. Costs a system call only when the flag was not set yet."""
        if not self._is_set:
            self._is_set = True
            try:
                os.write(self._write_fd, _ONE)
            except OSError:  # closed: nobody waits any more
                return

    def clear(self) -> None:
        """Take the flag down. Look at what it stands for after this, never before."""
        try:
            os.read(self._read_fd, 4096)
        except OSError:  # it was not set, or is closed
            return
        self._is_set = False

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in {self._read_fd, self._write_fd}:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._read_fd = self._write_fd = -1
        self._is_set = True  # so that a late set() writes nowhere


class MsgList:
    """A bounded list of messages for one interface: the gateway pushes, the interface's thread pulls.

    An interface with a device of its own polls `fileno()` together with the device's; one that only
    waits for messages calls `pull(block=True)`. A command that was not pulled within `LONGEST_WAIT`, or within its
    own lifetime, is not given any more: nobody expects it to be done by then. `on_stale` gets it instead.
    """

    def __init__(self, limit: int = MAX_MESSAGES, clock: Callable[[], float] = boot_time) -> None:
        self.limit = limit
        self.pulled = 0
        self.on_stale: Callable[[InternalMsg], None] = _say_stale
        self._clock = clock
        self._messages: deque[tuple[InternalMsg, float]] = deque()
        self._wakeup = Wakeup()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def push(self, msg: InternalMsg, lifetime: float = LONGEST_WAIT) -> bool:
        """Append `msg`, a command for up to `lifetime` seconds; return False if the list is full or closed."""
        if self._is_closed or len(self._messages) >= self.limit:
            return False
        self._messages.append((msg, self._clock() + min(lifetime, LONGEST_WAIT)))
        self._wakeup.set()
        return True

    def pull(self, block: bool = False, timeout: float | None = None) -> InternalMsg | None:
        """Take the oldest message, or return None if there is none.

        With `block`, wait for one: up to `timeout` seconds, or until something wakes it: `wake`, or, late, a message
        that it has pulled already. Only the thread that owns the list may pull.
        """
        if block and not self._messages:
            self.wait(timeout)
        while self._messages:
            msg, deadline = self._messages.popleft()
            self.pulled += 1
            if not self._messages:
                self._wakeup.clear()
                if self._messages:  # pushed while the flag came down
                    self._wakeup.set()
            if not (msg.iscmd and self._clock() > deadline):
                return msg
            self.on_stale(msg)
        return None

    def wait(self, timeout: float | None = None) -> None:
        """Return when there is a message, `wake` was called, or `timeout` seconds have passed."""
        if self._messages:
            return
        poll = select.poll()
        poll.register(self._wakeup.fileno(), select.POLLIN)
        if poll.poll(poll_milliseconds(timeout)) and not self._messages:
            self._wakeup.clear()
            if self._messages:
                self._wakeup.set()

    def wake(self) -> None:
        """End a wait without a message, so that its thread looks whether it is to stop."""
        self._wakeup.set()

    def fileno(self) -> int:
        """Return the descriptor to poll for reading: readable while there are messages."""
        return self._wakeup.fileno()

    def close(self) -> None:
        """Drop what waits and give the descriptor back; nothing can be pushed any more."""
        self._is_closed = True
        self._messages.clear()
        self._wakeup.close()
