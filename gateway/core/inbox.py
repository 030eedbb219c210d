"""Passes messages between threads: a bounded inbox, and a flag that a poll loop can wait for."""

from __future__ import annotations

import contextlib
import os
import select
from collections import deque
from collections.abc import Callable
from threading import Lock, RLock

from gateway.core.clock import boot_time
from gateway.core.counting import counted
from gateway.core.open_commands import OpenCommands
from gateway.core.package_logger import package_logger
from gateway.core.tap import TAP
from gateway.core.throttled_exception import ThrottledException
from gateway.message import InternalMsg

LOG = package_logger(__name__)

MAX_MESSAGES = 10_000
"""Maximum number of messages waiting for one interface: what a broker can send in some seconds, some MiB."""

MAX_BYTES = 1 << 24
"""Maximum memory of the messages waiting for one interface: 64 of the largest payload accepted by default."""

MAX_BYTES_OF_ALL = 1 << 26
"""Maximum memory of the messages waiting for all interfaces together."""

_GUARANTEED = 1 << 16  # bytes that each interface may use, whatever the others use
_MESSAGE_SIZE, _NODE_SIZE = 600, 100  # bytes of memory: a message with its words; a JSON object, list or element

LONGEST_WAIT = 10.0
"""Seconds after which a command that its interface has not read is rejected."""

_ONE = (1).to_bytes(8, "little")  # the increment that is written to an eventfd


def poll_milliseconds(timeout: float | None) -> float | None:
    """Return a timeout (s) as `poll` needs it: in ms, not negative, and at most an hour, since its range is limited."""
    return None if timeout is None else min(max(0.0, timeout), 3600.0) * 1000


class StaleCommand(ThrottledException):
    """A command was rejected because its interface did not read it in time; the supervisor logs that."""

    logged_as = "gateway.runtime"


class AcceptsFailed(ThrottledException):
    """The method `accepts` of an interface failed."""


def _log_stale(msg: InternalMsg) -> None:
    stale = StaleCommand(f"dropped: the interface did not read a command in time ({msg})", key=msg.device)
    if stale.trigger:
        LOG.warning(stale.report)


def memory_size(payload: bytes) -> int:
    """Return about how many bytes of memory a message with this payload (JSON or text) uses, rather too many."""
    count = payload.count
    width = 1 if payload.isascii() and b"\\u" not in payload else 4  # one wide character makes its whole text wide
    return _MESSAGE_SIZE + width * len(payload) + _NODE_SIZE * (count(b",") + count(b"[") + count(b"{"))


class ByteBudget:
    """The memory that the messages in several inboxes use together, and its limit (bytes)."""

    def __init__(self, limit: int = MAX_BYTES_OF_ALL) -> None:
        self.limit = limit
        self.used = 0
        self._lock = Lock()

    def add(self, size: int) -> None:
        """Add `size` bytes; a negative size releases them."""
        with self._lock:
            self.used += size


class Wakeup:
    """A flag with a file descriptor that is readable while the flag is set. Any thread may set it, one thread waits.

    With `for_signals`, `signal_fileno` is a descriptor for `signal.set_wakeup_fd`. A signal then ends the wait even
    if it arrives just before the wait begins, or in another thread.
    """

    def __init__(self, *, for_signals: bool = False) -> None:
        if hasattr(os, "eventfd") and not for_signals:  # an eventfd needs writes of eight bytes; a signal writes one
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
        """Wake the waiting thread. This costs a system call only if the flag is not set already."""
        if not self._is_set:
            self._is_set = True
            try:
                os.write(self._write_fd, _ONE)
            except OSError:  # closed: no thread waits any more
                return

    def clear(self) -> None:
        """Clear the flag. Check what it stands for afterwards, never before: else a change in between is missed."""
        try:
            os.read(self._read_fd, 4096)
        except OSError:  # the flag was not set, or is closed
            return
        self._is_set = False

    def close(self) -> None:
        """Close the descriptors."""
        for fd in {self._read_fd, self._write_fd}:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._read_fd = self._write_fd = -1
        self._is_set = True  # so that a late set() writes nowhere


class MsgList:
    """The `msglist_in` of an interface, a bounded queue: the gateway pushes messages, the interface pulls them.

    An interface that has a device with a file descriptor polls that and `fileno()` together; one that only waits for
    messages calls `pull(block=True)`. A command that was not pulled within `LONGEST_WAIT`, or within its own
    lifetime, is passed to `on_stale` instead of the interface: its sender does not expect it to be executed any more.
    Commands that were pulled and are not answered yet are in `open_commands`.

    It holds up to `limit` messages and `max_bytes` bytes, as long as the `budget` that it shares with other inboxes
    allows it. `name` is that of the interface, for those who follow its messages.
    """

    def __init__(
        self,
        limit: int = MAX_MESSAGES,
        clock: Callable[[], float] = boot_time,
        *,
        max_bytes: int = MAX_BYTES,
        budget: ByteBudget | None = None,
        name: str = "",
    ) -> None:
        self.name = name
        self.limit = limit
        self.max_bytes = max_bytes
        self.pulled = 0
        self._stale = 0
        self.on_stale: Callable[[InternalMsg], None] = _log_stale
        self.accepts: Callable[[InternalMsg], bool] = _is_command
        """Returns whether a message is a command for this interface: it is answered even if the interface cannot."""
        self.open_commands = OpenCommands()
        self.is_waiting = False
        self.bytes = 0
        self._budget = budget or ByteBudget()
        self._clock = clock
        self._messages: deque[tuple[InternalMsg, float, float, int]] = deque()  # with arrival time, lifetime and size
        self._lock = RLock()  # protects the above
        self._pulled_at = 0.0
        self._wakeup = Wakeup()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def push(self, msg: InternalMsg, lifetime: float = LONGEST_WAIT, size: int = _MESSAGE_SIZE) -> bool:
        """Append `msg`; a command may wait up to `lifetime` seconds. `size` is its memory in bytes (see `memory_size`).

        Return False if the inbox is full or closed: `rejection_reason` then returns the reason.
        """
        with self._lock:
            if self._is_closed or not self._has_room(size):
                return False
            self._messages.append((msg, self._clock(), min(lifetime, LONGEST_WAIT), size))
            self.bytes += size
            self._budget.add(size)
        self._wakeup.set()
        return True

    def _has_room(self, size: int) -> bool:
        total = self.bytes + size
        return (
            len(self._messages) < self.limit
            and total <= self.max_bytes
            and (total <= _GUARANTEED or self._budget.used + size <= self._budget.limit)
        )

    def rejection_reason(self) -> str:
        """Return why `push` has just returned False."""
        if self._is_closed:
            return "it is stopping"
        waiting = f"{counted(len(self._messages), 'message is', 'messages are')} already waiting"
        if len(self._messages) >= self.limit:
            return waiting
        if self.bytes + _GUARANTEED < self.max_bytes and self._budget.used + _GUARANTEED >= self._budget.limit:
            return f"{waiting}, and those for all interfaces use {self._budget.used / (1 << 20):.1f} MiB"
        return f"{waiting}, which use {self.bytes / (1 << 20):.1f} MiB"

    def pull(self, block: bool = False, timeout: float | None = None) -> InternalMsg | None:
        """Remove and return the oldest message; return None if there is none.

        With `block`, wait for a message up to `timeout` seconds. The wait can end earlier without a message, because
        of `wake`, or because of a message that was pulled already. Only the thread of the interface may pull.
        """
        if block and not self._messages:
            self.wait(timeout)
        while self._messages:
            with self._lock:
                if not self._messages:  # another thread has answered the messages
                    break
                msg, since, lifetime, size = self._messages.popleft()
                self.pulled += 1
                self._release(size)
                if not self._messages:
                    self._clear_wakeup()
                self._pulled_at = now = self._clock()
                is_stale = msg.iscmd and now - since > lifetime
                self._stale += is_stale
                if msg.iscmd and not is_stale:
                    self.open_commands.add(msg, size, now)
            if not is_stale:
                recorder = TAP.recorder
                if recorder is not None:
                    recorder.taken(self.name, msg)
                return msg
            self.on_stale(msg)
        return None

    def _release(self, size: int) -> None:
        self.bytes -= size
        self._budget.add(-size)

    def _clear_wakeup(self) -> None:
        self._wakeup.clear()
        if self._messages:  # pushed while the flag was being cleared
            self._wakeup.set()

    def wait(self, timeout: float | None = None) -> None:
        """Return when there is a message, `wake` has been called, or `timeout` seconds have passed."""
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
                    self._clear_wakeup()

    def wake(self) -> None:
        """End a wait without a message, so that its thread checks whether it must stop."""
        self._wakeup.set()

    @property
    def unread_for(self) -> float:
        """How long (s) messages that should have been read have been waiting. Any thread may read it; takes no lock.

        Statuses may wait until the inbox is full: not every interface wants to know them.
        """
        try:
            msg, since, _, _ = self._messages[0]
        except IndexError:
            return 0.0
        return self._clock() - since if msg.iscmd or len(self._messages) >= self.limit else 0.0

    def stats(self) -> dict[str, int]:
        """Return the counts: messages waiting and their memory (bytes), pulled, and commands that waited too long.

        Any thread may call this; it takes no lock.
        """
        return {
            "waiting": len(self._messages),
            "waiting_bytes": self.bytes,
            "pulled": self.pulled,
            "stale_commands": self._stale,
            "open_commands": len(self.open_commands.commands),
        }

    def fileno(self) -> int:
        """Return the descriptor to poll for reading, which is readable while there are messages."""
        return self._wakeup.fileno()

    # --- for the supervisor of the interface, in any thread

    def would_execute(self, msg: InternalMsg) -> bool:
        """Return whether `msg` is a command for the interface, so that it must have an outcome, whatever happens to it.

        Returns True also if `accepts` fails: one outcome too many is better than none.
        """
        if not msg.iscmd:
            return False
        try:
            return bool(self.accepts(msg))
        except Exception as err:
            text = f"accepts() failed: {err!r}: this is a bug in the interface"
            failed = AcceptsFailed(text, key=type(err).__name__)
            if failed.trigger:
                LOG.warning(failed.report, exc_info=err if failed.is_first else None)
            return True

    def now(self) -> float:
        """Return the time (s) by the clock of the inbox, which `open_commands` uses, too."""
        return self._clock()

    def stalled_for(self) -> float:
        """Return for how long (s) messages have been waiting without one being pulled."""
        with self._lock:
            return self._clock() - max(self._messages[0][1], self._pulled_at) if self._messages else 0.0

    def pop_stale(self) -> list[InternalMsg]:
        """Remove and return the commands that have waited too long."""
        with self._lock:
            now = self._clock()
            stale = [entry for entry in self._messages if entry[0].iscmd and now - entry[1] > entry[2]]
            if stale:
                self._stale += len(stale)
                remaining = [entry for entry in self._messages if not (entry[0].iscmd and now - entry[1] > entry[2])]
                self._messages.clear()
                self._messages.extend(remaining)
            for entry in stale:
                self._release(entry[3])
        return [entry[0] for entry in stale]

    def pop_all(self) -> list[InternalMsg]:
        """Remove and return all messages."""
        with self._lock:
            messages = [entry[0] for entry in self._messages]
            self._messages.clear()
            self._release(self.bytes)
        return messages

    def stop_accepting(self) -> None:
        """Reject all messages that are pushed from now on."""
        with self._lock:  # afterwards a concurrent push has either appended its message, or is rejected
            self._is_closed = True

    def close(self) -> None:
        """Drop the waiting messages, close the descriptor, and reject all further messages."""
        self.stop_accepting()
        self.pop_all()
        self._wakeup.close()


def _is_command(msg: InternalMsg) -> bool:
    return msg.iscmd
