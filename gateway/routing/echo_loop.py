"""Cuts echo loops: two gateways, each of which repeats what it hears, and hears what the other repeats.

What one gateway can see of it is that the same content goes out and comes back from another sender, in turns, and
faster than two devices would say the same by chance. Only what comes in is held back then: what its own devices
say always goes out.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock

from gateway.errors import RefusedError
from gateway.message import InternalMsg

_TURNS = 5  # times that a content may come back within the next; one more is a loop
_WITHIN = 2.0  # s; two sensors that say the same twice a second stay below, a loop makes some hundred turns
_FIRST_CUT, _LONGEST_CUT = 5.0, 60.0  # s; doubled each time, since a loop that is still there begins again
_FORGIVEN = 600.0  # s without a loop after which the next one is cut as the first
_REMEMBERED = 1000  # contents that went out last, and came back; a loop brings its own back at once
_UNREAD = 250  # messages of one kind and action that went out last, until one such comes in
_ACTIONS = 1000  # kinds and actions of which such are kept


class _Turns:
    """What is known of one content: whether it has gone out since it last came in, and when it came back."""

    __slots__ = ("cut_for", "cut_until", "is_out", "returned")

    def __init__(self) -> None:
        self.is_out = False
        self.returned: deque[float] = deque(maxlen=_TURNS + 1)
        self.cut_until = self.cut_for = 0.0


class EchoLoops:
    """Watches what goes out under one sender, and comes in under others. Any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._contents: OrderedDict[int, _Turns] = OrderedDict()
        # What has gone out and has not been looked at: many gateways say a lot, and hear little of the like.
        self._unread: dict[tuple[bool, str], deque[InternalMsg]] = {}

    def note_sent(self, msg: InternalMsg) -> None:
        """Take note of a message that goes out."""
        unread = self._unread.get((msg.iscmd, msg.action))
        if unread is None:
            with self._lock:
                if len(self._unread) >= _ACTIONS:
                    del self._unread[next(iter(self._unread))]
                unread = self._unread.setdefault((msg.iscmd, msg.action), deque(maxlen=_UNREAD))
        unread.append(msg)

    def admit(self, msg: InternalMsg, own: str) -> None:
        """Raise `RefusedError` if `msg`, which has come in, goes round in a loop with the sender `own`."""
        unread = self._unread.get((msg.iscmd, msg.action))
        if unread is None:  # nothing like it has gone out
            return
        with self._lock:
            for _ in range(len(unread)):  # not until it is empty: its thread may be faster
                self._read(unread.popleft())
            turns = self._contents.get(_content(msg))
            if turns is not None and self._is_cut(turns):
                raise RefusedError(
                    "echo loop",
                    f"an echo loop of {own!a} and {msg.sender!a}: each repeats what the other says ({msg})",
                    "let only one of the two hear it: narrow topics in a map, or set filters",
                    key=f"{own} {msg.sender}",
                )

    def _read(self, msg: InternalMsg) -> None:
        content = _content(msg)
        turns = self._contents.get(content)
        if turns is None:
            turns = self._contents[content] = _Turns()
            if len(self._contents) > _REMEMBERED:
                self._contents.popitem(last=False)
        else:
            self._contents.move_to_end(content)
        turns.is_out = True

    def _is_cut(self, turns: _Turns) -> bool:
        now = self._clock()
        if now < turns.cut_until:
            return True
        if not turns.is_out:  # nothing of ours has come back
            return False
        turns.is_out = False
        turns.returned.append(now)
        if len(turns.returned) <= _TURNS or now - turns.returned[0] > _WITHIN:
            return False
        is_first = not turns.cut_for or now - turns.cut_until > _FORGIVEN
        turns.cut_for = _FIRST_CUT if is_first else min(2 * turns.cut_for, _LONGEST_CUT)
        turns.cut_until = now + turns.cut_for
        return True


def _content(msg: InternalMsg) -> int:
    """Return a number for what a message says, whoever says it."""
    arguments = repr(sorted(msg.arguments.items())) if msg.arguments else ""
    return hash((msg.iscmd, msg.function, msg.gateway, msg.location, msg.device, msg.action, arguments))
