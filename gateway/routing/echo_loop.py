"""Breaks echo loops: two gateways, each of which repeats the messages that it receives from the other.

One gateway can see only this much of a loop: the same content is sent and comes back from another sender,
alternately, and faster than two devices would send the same by coincidence. Then only incoming messages are refused;
what the gateway's own devices send is always published.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock

from gateway.errors import RefusedError
from gateway.message import InternalMsg

_MAX_RETURNS = 5  # times that a content may come back within _PERIOD; one more is a loop
_PERIOD = 2.0  # s; two sensors that send the same twice a second stay below, a loop makes some hundred round trips
_FIRST_BREAK, _LONGEST_BREAK = 5.0, 60.0  # s; doubled each time, since a persistent loop starts again
_FORGIVEN = 600.0  # s without a loop after which the next break has the first length again
_MAX_CONTENTS = 1000  # contents that were sent, or came back, most recently; a loop returns its own immediately
_MAX_UNREAD = 250  # most recent sent messages of one kind and action, until one of these arrives
_MAX_ACTIONS = 1000  # kinds and actions of which sent messages are kept


class _RoundTrips:
    """The history of one content: whether it was sent since it last arrived, and when it came back."""

    __slots__ = ("break_length", "broken_until", "is_sent", "returned")

    def __init__(self) -> None:
        self.is_sent = False
        self.returned: deque[float] = deque(maxlen=_MAX_RETURNS + 1)
        self.broken_until = self.break_length = 0.0


class EchoLoops:
    """Watches what is sent under one sender name and arrives under others. Any thread may call the methods."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._contents: OrderedDict[int, _RoundTrips] = OrderedDict()
        # Sent messages that have not been looked at yet. Most gateways send much and receive little of the same kind,
        # so that the work is postponed until a message of that kind arrives, and mostly never done.
        self._unread: dict[tuple[bool, str], deque[InternalMsg]] = {}
        self._breaks = 0

    def record_sent(self, msg: InternalMsg) -> None:
        """Record a message that is being sent."""
        unread = self._unread.get((msg.iscmd, msg.action))
        if unread is None:
            with self._lock:
                if len(self._unread) >= _MAX_ACTIONS:
                    del self._unread[next(iter(self._unread))]
                unread = self._unread.setdefault((msg.iscmd, msg.action), deque(maxlen=_MAX_UNREAD))
        unread.append(msg)

    def admit(self, msg: InternalMsg, own_name: str) -> None:
        """Raise `RefusedError` if the incoming message `msg` is part of a loop with the sender name `own_name`."""
        unread = self._unread.get((msg.iscmd, msg.action))
        if unread is None:  # nothing of this kind was sent
            return
        with self._lock:
            for _ in range(len(unread)):  # not "while unread": the sending thread may add faster than this removes
                self._read(unread.popleft())
            trips = self._contents.get(_content(msg))
            if trips is not None and self._is_broken(trips):
                raise RefusedError(
                    "echo loop",
                    f"echo loop between {own_name!a} and {msg.sender!a}: each repeats what the other sends ({msg})",
                    "let only one of the two receive it: use narrower topics in a map, or filters",
                    key=f"{own_name} {msg.sender}",
                )

    def stats(self) -> dict[str, int]:
        """Return the counts: how often a loop was broken, and how many contents are being watched."""
        return {"loops_broken": self._breaks, "contents_watched": len(self._contents)}

    def _read(self, msg: InternalMsg) -> None:
        content = _content(msg)
        trips = self._contents.get(content)
        if trips is None:
            trips = self._contents[content] = _RoundTrips()
            if len(self._contents) > _MAX_CONTENTS:
                self._contents.popitem(last=False)
        else:
            self._contents.move_to_end(content)
        trips.is_sent = True

    def _is_broken(self, trips: _RoundTrips) -> bool:
        now = self._clock()
        if now < trips.broken_until:
            return True
        if not trips.is_sent:  # a repetition by the other side alone is no round trip
            return False
        trips.is_sent = False
        trips.returned.append(now)
        if len(trips.returned) <= _MAX_RETURNS or now - trips.returned[0] > _PERIOD:
            return False
        is_first = not trips.break_length or now - trips.broken_until > _FORGIVEN
        trips.break_length = _FIRST_BREAK if is_first else min(2 * trips.break_length, _LONGEST_BREAK)
        trips.broken_until = now + trips.break_length
        self._breaks += 1
        return True


def _content(msg: InternalMsg) -> int:
    """Return a number that identifies the content of a message, whoever sends it."""
    arguments = repr(sorted(msg.arguments.items())) if msg.arguments else ""
    return hash((msg.iscmd, msg.function, msg.gateway, msg.location, msg.device, msg.action, arguments))
