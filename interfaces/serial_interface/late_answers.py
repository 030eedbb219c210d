"""Which answers a device still owes, and whether a frame could be one of them. Pure.

A device that is slower than its timeout answers when the next request has been written already. Where both answers look
alike, each answer would be taken for that of the next request, for ever: volts would be published as amperes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import NamedTuple

from interfaces.serial_interface.transaction import Transaction

MARGIN = 1.5
"""A device answers within this many times the longest time that it has taken."""

_WINDOW = 2.0  # timeouts after a write in which nothing else is written, if no answer comes
_SUSPECTED = 6.0  # timeouts after a write in which a frame may be its answer, if nothing is known of the device
_KEPT = 60.0  # s after a write in which a frame is its answer, if it can be no other one
_MAX_OWED = 8  # writes that are remembered: each frame that no request expects is compared with all of them


class Owed(NamedTuple):
    """A write that was not answered in time, and when (s) it was."""

    transaction: Transaction
    at: float


class LateAnswers:
    """The writes that were not answered, and how slow the device is. All times in seconds.

    Call `add` with each write that is given up, `learn` with the time that an answer has taken.
    """

    def __init__(self) -> None:
        self._owed: deque[Owed] = deque(maxlen=_MAX_OWED)
        self._slowest: dict[Hashable, float] = {}

    def __bool__(self) -> bool:
        return bool(self._owed)

    def clear(self) -> None:
        """Forget all: the connection is a new one."""
        self._owed.clear()
        self._slowest.clear()

    def learn(self, transaction: Transaction, seconds: float) -> None:
        """Record that the device has taken so long for an answer."""
        if seconds > self._slowest.get(transaction.kind, 0.0):
            self._slowest[transaction.kind] = seconds

    def window(self, transaction: Transaction) -> float:
        """Return for how long after its last write nothing else may be written, since the answer may still come."""
        return max(_WINDOW * transaction.timeout, MARGIN * self._slowest.get(transaction.kind, 0.0))

    def add(self, transaction: Transaction) -> None:
        """Record that the writes of `transaction` have not been answered, and are waited for no more."""
        self._owed += [Owed(transaction, at) for at in transaction.unanswered]

    def suspects(self, frame: bytes, transaction: Transaction, now: float) -> list[Owed]:
        """Return the earlier writes that `frame` may answer instead of `transaction`; none if that makes no difference.

        The device answers in the order of the writes.
        """
        self._drop_old(now)
        owed = [each for each in self._owed if self._is_suspected(each, now) and each.transaction.fits(frame)]
        return owed if any(not each.transaction.asks_the_same(transaction) for each in owed) else []

    def take_same(self, transaction: Transaction, now: float) -> bool:
        """Take the first of the earlier writes that ask the same as `transaction`; return whether there is one."""
        same = [each for each in self._owed if each.transaction.asks_the_same(transaction)]
        suspected = [each for each in same if self._is_suspected(each, now)]
        self.forget(suspected[:1])
        return bool(suspected)

    def take(self, frame: bytes, now: float) -> Owed | None:
        """Return the earlier write that a frame answers which no current request expects; None if that is unknown."""
        self._drop_old(now)
        owed = [each for each in self._owed if each.transaction.fits(frame)]
        if not owed or any(not each.transaction.asks_the_same(owed[0].transaction) for each in owed[1:]):
            return None
        self.forget(owed[:1])
        return owed[0]

    def forget(self, owed: list[Owed]) -> None:
        """Record that nothing is waited for any more: these were answered, or never will be."""
        for each in owed:
            self._owed.remove(each)

    def _is_suspected(self, owed: Owed, now: float) -> bool:
        transaction = owed.transaction
        memory = max(_SUSPECTED * transaction.timeout, 2 * self.window(transaction))
        return now - owed.at <= memory

    def _drop_old(self, now: float) -> None:
        while self._owed and now - self._owed[0].at > max(_KEPT, 2 * self.window(self._owed[0].transaction)):
            self._owed.popleft()
