"""The commands that an interface has received and not answered yet: each must have exactly one outcome."""

from __future__ import annotations

from collections import deque
from threading import Lock

from gateway.message import InternalMsg

_MAX_COMMANDS = 10_000  # received in one call of loop(), the maximum that can wait; older ones are forgotten
_MAX_BYTES = 1 << 24


class _OpenCommand:
    __slots__ = ("is_answered", "msg", "since", "size")

    def __init__(self, msg: InternalMsg, size: int, since: float) -> None:
        self.msg = msg
        self.size = size
        self.since = since
        self.is_answered = False  # the gateway has answered it in place of the interface


class OpenCommands:
    """Commands from the moment at which an interface receives them until it answers them, or has finished with them.

    The inbox adds commands, and the outlet removes the answered ones. The code that calls the interface releases the
    remaining ones when the call has returned, because not every interface answers. If the interface fails or hangs,
    `settle` returns the commands that the gateway must answer in its place. If the interface then answers such a
    command after all, that would be a second outcome, which `answer` reports. Any thread may call the methods.
    """

    def __init__(self) -> None:
        self.commands: deque[_OpenCommand] = deque()  # public only as a cheap check whether there are any
        self._bytes = 0
        self._lock = Lock()

    def add(self, msg: InternalMsg, size: int, now: float) -> None:
        """Add `msg`, which uses about `size` bytes of memory and was received at the time `now` (s)."""
        with self._lock:
            self.commands.append(_OpenCommand(msg, size, now))
            self._bytes += size
            while len(self.commands) > _MAX_COMMANDS or (self._bytes > _MAX_BYTES and len(self.commands) > 1):
                self._bytes -= self.commands.popleft().size

    def answer(self, reply: InternalMsg) -> bool:
        """Remove the command that `reply` answers; return False if the gateway has answered it already."""
        with self._lock:
            index = self._index_of(reply)
            if index is None:
                return True
            command = self.commands[index]
            del self.commands[index]
            self._bytes -= command.size
            return not command.is_answered

    def _index_of(self, reply: InternalMsg) -> int | None:
        """Return the index of the command that `reply` answers: same words and, if possible, same request."""
        first: int | None = None
        for index, command in enumerate(self.commands):  # usually it is the oldest one
            if _is_answer(command.msg, reply):
                if reply.reply_to in (command.msg.request, command.msg.reply_to):
                    return index
                first = index if first is None else first
        # An interface may answer in other words than the command's; with one open command there is no doubt.
        return 0 if first is None and len(self.commands) == 1 else first

    def release(self, msg: InternalMsg | None = None) -> None:
        """Forget `msg`, or all commands: the interface has returned, and will not answer them any more."""
        with self._lock:
            remaining = [] if msg is None else [command for command in self.commands if command.msg is not msg]
            self.commands.clear()
            self.commands.extend(remaining)
            self._bytes = sum(command.size for command in remaining)

    def release_before(self, time: float) -> None:
        """Forget what was received before `time` (s, by the clock of the inbox)."""
        with self._lock:
            while self.commands and self.commands[0].since < time:
                self._bytes -= self.commands.popleft().size

    def settle(self, received_before: float | None = None) -> list[InternalMsg]:
        """Return the commands that the gateway must answer now, each only once.

        With `received_before` (s) only those that were received up to then.
        """
        with self._lock:
            overdue = [command for command in self.commands
                       if not command.is_answered
                       and (received_before is None or command.since <= received_before)]  # fmt: skip
            for command in overdue:
                command.is_answered = True
            return [command.msg for command in overdue]

    def oldest(self) -> float | None:
        """Return when the oldest command was received (s, by the clock of the inbox); None if there is none."""
        with self._lock:
            return self.commands[0].since if self.commands else None


def _is_answer(command: InternalMsg, reply: InternalMsg) -> bool:
    return (command.action, command.device, command.location, command.function, command.gateway) == (
        reply.action,
        reply.device,
        reply.location,
        reply.function,
        reply.gateway,
    )
