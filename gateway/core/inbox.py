"""What crosses a thread: a bounded list of messages, and the wake-up that a poll loop can wait on."""

from __future__ import annotations

import contextlib
import os
import select
from collections import deque
from collections.abc import Callable
from threading import Lock, RLock

from gateway.core.clock import boot_time
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.core.unanswered import Unanswered
from gateway.message import InternalMsg

LOG = package_logger(__name__)

MAX_MESSAGES = 10_000
"""Messages that may wait for one interface: some seconds of what a broker can send, some MiB of memory."""

MAX_BYTES = 1 << 24
"""Bytes that the messages for one interface may hold: 64 of the largest payload that is taken by default."""

MAX_BYTES_OF_ALL = 1 << 26
"""Bytes that the messages for all interfaces together may hold."""

_ASSURED = 1 << 16  # bytes for which each interface has room, whatever the others have left
_LEAST, _EACH_NODE = 600, 100  # bytes: a message with its words; about what an object, list or element of JSON takes

LONGEST_WAIT = 10.0
"""Seconds after which a command that no interface has taken is not done any more."""

_ONE = (1).to_bytes(8, "little")  # what an eventfd takes


def poll_milliseconds(timeout: float | None) -> float | None:
    """Return a timeout (s) as `poll` takes it: in ms, never negative, and at most an hour, for it knows no more."""
    return None if timeout is None else min(max(0.0, timeout), 3600.0) * 1000


class StaleCommand(ThrottledException):
    """A command was dropped because its interface did not take it in time."""


class AcceptsFailed(ThrottledException):
    """The code of an interface failed as it was asked whether a command is for its device."""


def _say_stale(msg: InternalMsg) -> None:
    stale = StaleCommand(f"dropped: a command waited too long for its interface ({msg})", key=msg.device)
    if stale.trigger:
        LOG.warning(stale.report)


def held_by(payload: bytes) -> int:
    """Return about how many bytes of memory a message with this payload (JSON or text) holds, rather too many."""
    count = payload.count
    each = 1 if payload.isascii() and b"\\u" not in payload else 4  # one wide character makes all of its text wide
    return _LEAST + each * len(payload) + _EACH_NODE * (count(b",") + count(b"[") + count(b"{"))


class Room:
    """How many bytes the messages in several lists hold together, and may hold."""

    def __init__(self, limit: int = MAX_BYTES_OF_ALL) -> None:
        self.limit = limit
        self.used = 0
        self._lock = Lock()

    def use(self, size: int) -> None:
        """Count `size` bytes more; less, if negative."""
        with self._lock:
            self.used += size


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
    What was pulled and is not answered yet is in `unanswered`.

    It holds up to `limit` messages and `max_bytes` bytes, as far as `room`, shared with other lists, has room for.
    """

    def __init__(
        self,
        limit: int = MAX_MESSAGES,
        clock: Callable[[], float] = boot_time,
        *,
        max_bytes: int = MAX_BYTES,
        room: Room | None = None,
    ) -> None:
        self.limit = limit
        self.max_bytes = max_bytes
        self.pulled = 0
        self.on_stale: Callable[[InternalMsg], None] = _say_stale
        self.accepts: Callable[[InternalMsg], bool] = _is_command
        """Whether a message is a command that its interface would do: it is answered if the interface cannot."""
        self.unanswered = Unanswered()
        self.is_waiting = False
        self.bytes = 0
        self._room = room or Room()
        self._clock = clock
        self._messages: deque[tuple[InternalMsg, float, float, int]] = deque()  # with time, lifetime and size
        self._lock = RLock()  # of the above
        self._pulled_at = 0.0
        self._wakeup = Wakeup()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def push(self, msg: InternalMsg, lifetime: float = LONGEST_WAIT, size: int = _LEAST) -> bool:
        """Append `msg`, a command for up to `lifetime` seconds, that holds about `size` bytes (see `held_by`).

        Return False if the list is full or closed: `why_refused` tells in words.
        """
        with self._lock:
            if self._is_closed or not self._has_room(size):
                return False
            self._messages.append((msg, self._clock(), min(lifetime, LONGEST_WAIT), size))
            self.bytes += size
            self._room.use(size)
        self._wakeup.set()
        return True

    def _has_room(self, size: int) -> bool:
        total = self.bytes + size
        return (
            len(self._messages) < self.limit
            and total <= self.max_bytes
            and (total <= _ASSURED or self._room.used + size <= self._room.limit)
        )

    def why_refused(self) -> str:
        """Return why a message was refused just now."""
        if self._is_closed:
            return "it is being stopped"
        waiting = f"{len(self._messages)} messages wait for it already"
        if len(self._messages) >= self.limit:
            return waiting
        if self.bytes + _ASSURED < self.max_bytes and self._room.used + _ASSURED >= self._room.limit:
            return f"{waiting}, and those for all interfaces hold {self._room.used / (1 << 20):.1f} MiB"
        return f"{waiting}, which hold {self.bytes / (1 << 20):.1f} MiB"

    def pull(self, block: bool = False, timeout: float | None = None) -> InternalMsg | None:
        """Take the oldest message, or return None if there is none.

        With `block`, wait for one: up to `timeout` seconds, or until something wakes it: `wake`, or, late, a message
        that it has pulled already. Only the thread that owns the list may pull.
        """
        if block and not self._messages:
            self.wait(timeout)
        while self._messages:
            with self._lock:
                if not self._messages:  # another thread has answered what was there
                    break
                msg, since, lifetime, size = self._messages.popleft()
                self.pulled += 1
                self._leave(size)
                if not self._messages:
                    self._take_flag_down()
                self._pulled_at = now = self._clock()
                is_stale = msg.iscmd and now - since > lifetime
                if msg.iscmd and not is_stale:
                    self.unanswered.add(msg, size, now)
            if not is_stale:
                return msg
            self.on_stale(msg)
        return None

    def _leave(self, size: int) -> None:
        self.bytes -= size
        self._room.use(-size)

    def _take_flag_down(self) -> None:
        self._wakeup.clear()
        if self._messages:  # pushed while the flag came down
            self._wakeup.set()

    def wait(self, timeout: float | None = None) -> None:
        """Return when there is a message, `wake` was called, or `timeout` seconds have passed."""
        if self._messages:
            return
        poll = select.poll()
        poll.register(self._wakeup.fileno(), select.POLLIN)
        self.is_waiting = True
        is_woken = poll.poll(poll_milliseconds(timeout))
        self.is_waiting = False
        if is_woken:
            with self._lock:
                if not self._messages:
                    self._take_flag_down()

    def wake(self) -> None:
        """End a wait without a message, so that its thread looks whether it is to stop."""
        self._wakeup.set()

    def fileno(self) -> int:
        """Return the descriptor to poll for reading: readable while there are messages."""
        return self._wakeup.fileno()

    def stats(self) -> dict[str, int]:
        """Return how many messages wait, the bytes they hold, and how many were pulled. Any thread may call it."""
        return {"waiting": len(self._messages), "bytes": self.bytes, "pulled": self.pulled}

    # --- for whoever looks after the interface, in any thread

    def is_own(self, msg: InternalMsg) -> bool:
        """Return whether `msg` is a command that the interface would do: it has an outcome, whatever happens to it.

        Also where the code that knows fails: better one outcome too many than none.
        """
        if not msg.iscmd:
            return False
        try:
            return bool(self.accepts(msg))
        except Exception as err:
            what = f"accepts() failed: {err!r}: a bug in the interface"
            failed = AcceptsFailed(what, key=type(err).__name__)
            if failed.trigger:
                LOG.warning(failed.report, exc_info=err if failed.is_first else None)
            return True

    def now(self) -> float:
        """Return the time (s) by the clock of the list, as `unanswered` has it."""
        return self._clock()

    def untouched_for(self) -> float:
        """Return for how long (s) messages have waited, and none was pulled."""
        with self._lock:
            return self._clock() - max(self._messages[0][1], self._pulled_at) if self._messages else 0.0

    def take_stale(self) -> list[InternalMsg]:
        """Take out the commands that have waited too long, and return them."""
        with self._lock:
            now = self._clock()
            stale = [entry for entry in self._messages if entry[0].iscmd and now - entry[1] > entry[2]]
            if stale:
                kept = [entry for entry in self._messages if not (entry[0].iscmd and now - entry[1] > entry[2])]
                self._messages.clear()
                self._messages.extend(kept)
            for entry in stale:
                self._leave(entry[3])
        return [entry[0] for entry in stale]

    def take_all(self) -> list[InternalMsg]:
        """Take out all messages, and return them."""
        with self._lock:
            messages = [entry[0] for entry in self._messages]
            self._messages.clear()
            self._leave(self.bytes)
        return messages

    def refuse(self) -> None:
        """Let nothing be pushed any more."""
        with self._lock:  # what is being pushed is in, or will not be
            self._is_closed = True

    def close(self) -> None:
        """Drop what waits and give the descriptor back; nothing can be pushed any more."""
        self.refuse()
        self.take_all()
        self._wakeup.close()


def _is_command(msg: InternalMsg) -> bool:
    return msg.iscmd
