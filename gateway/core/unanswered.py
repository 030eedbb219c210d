"""The commands that an interface has taken and not answered yet: each is to have one outcome, whatever happens."""

from __future__ import annotations

from collections import deque
from threading import Lock

from gateway.message import InternalMsg

_MAX_COMMANDS = 10_000  # taken in one turn, as many as wait at most: those that were taken before are forgotten
_MAX_BYTES = 1 << 24


class _Taken:
    __slots__ = ("is_told", "msg", "since", "size")

    def __init__(self, msg: InternalMsg, size: int, since: float) -> None:
        self.msg = msg
        self.size = size
        self.since = since
        self.is_told = False  # its sender has been told an outcome in place of the interface


class Unanswered:
    """What an interface is at: commands from the moment it takes them until it answers, or is done with them.

    The inbox adds, the outlet removes what is answered, and whoever calls the interface releases the rest when it
    has returned: not every interface answers. If it fails or hangs, `settle` gives those that are to be answered in
    its place. What it answers itself after that would be a second outcome; `answer` tells. Any thread may call this.
    """

    def __init__(self) -> None:
        self.taken: deque[_Taken] = deque()  # to be asked only whether there are any
        self._bytes = 0
        self._lock = Lock()

    def add(self, msg: InternalMsg, size: int, now: float) -> None:
        """Record that `msg`, which holds about `size` bytes, was taken."""
        with self._lock:
            self.taken.append(_Taken(msg, size, now))
            self._bytes += size
            while len(self.taken) > _MAX_COMMANDS or (self._bytes > _MAX_BYTES and len(self.taken) > 1):
                self._bytes -= self.taken.popleft().size

    def answer(self, reply: InternalMsg) -> bool:
        """Record that a command is answered; return False if that has been done in place of the interface."""
        with self._lock:
            place = self._place_of(reply)
            if place is None:
                return True
            taken = self.taken[place]
            del self.taken[place]
            self._bytes -= taken.size
            return not taken.is_told

    def _place_of(self, reply: InternalMsg) -> int | None:
        """Return where the command stands that `reply` answers: with its words, asked for at the same place if any."""
        first: int | None = None
        for place, taken in enumerate(self.taken):  # the oldest is mostly the one
            if _is_answer(taken.msg, reply):
                if taken.msg.reply_to == reply.reply_to:
                    return place
                first = place if first is None else first
        return 0 if first is None and len(self.taken) == 1 else first  # the only one, whatever words it uses

    def release(self, msg: InternalMsg | None = None) -> None:
        """Forget `msg`, or all: the interface has returned, and answers nothing of it any more."""
        with self._lock:
            kept = [] if msg is None else [taken for taken in self.taken if taken.msg is not msg]
            self.taken.clear()
            self.taken.extend(kept)
            self._bytes = sum(taken.size for taken in kept)

    def release_before(self, time: float) -> None:
        """Forget what was taken before a monotonic time."""
        with self._lock:
            while self.taken and self.taken[0].since < time:
                self._bytes -= self.taken.popleft().size

    def settle(self, taken_before: float | None = None) -> list[InternalMsg]:
        """Return the commands, but those taken later than that, that are to be answered in place of the interface."""
        with self._lock:
            found = [taken for taken in self.taken
                     if not taken.is_told and (taken_before is None or taken.since <= taken_before)]  # fmt: skip
            for taken in found:
                taken.is_told = True
            return [taken.msg for taken in found]

    def oldest(self) -> float | None:
        """Return when the oldest of them was taken; None if there is none."""
        with self._lock:
            return self.taken[0].since if self.taken else None


def _is_answer(command: InternalMsg, reply: InternalMsg) -> bool:
    return (command.action, command.device, command.location, command.function, command.gateway) == (
        reply.action,
        reply.device,
        reply.location,
        reply.function,
        reply.gateway,
    )
