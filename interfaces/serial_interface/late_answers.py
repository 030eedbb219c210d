"""Which answers a device still owes, and how slow it is. Pure.

A device that is slower than its timeout answers when the next request has been written already. Where both answers look
alike, each answer would be taken for that of the next request, for ever: volts would be published as amperes.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import NamedTuple

from interfaces.serial_interface.transaction import Priority, Transaction

_MAX_EXPECTED = 16  # writes that are remembered: each frame is compared with all of them
_LONGEST_WINDOW = 20.0  # timeouts for which the line is kept silent at most
_SUSPECTED = 10.0  # timeouts after which a command is not taken for what a frame answers, while another command waits


class Owed(NamedTuple):
    """A write that was not answered yet, and when (s) it was."""

    transaction: Transaction
    at: float


def ask_the_same(owed: list[Owed]) -> bool:
    """Return whether it does not matter which of these a frame answers."""
    return all(each.transaction.asks_the_same(owed[0].transaction) for each in owed[1:])


def hold_time(owed: list[Owed]) -> float:
    """Return for how long (s) the answer to the next one of these is waited for, after that to one of them."""
    timeout = owed[-1].transaction.timeout
    longest_gap = max(later.at - earlier.at for earlier, later in itertools.pairwise(owed))
    return timeout + min(longest_gap, _LONGEST_WINDOW * timeout)


class LateAnswers:
    """The writes that were not answered yet, in their order, and how slow the device is. All times in seconds.

    An answer may still come for any of them. Nobody knows for how long, until an answer has come late: then the device
    is taken to need twice as long at most (`silence`), and what was not answered after that time is given up.
    """

    def __init__(self) -> None:
        self._expected: deque[Owed] = deque(maxlen=_MAX_EXPECTED)
        self._given_up: deque[Owed] = deque(maxlen=_MAX_EXPECTED)
        self.has_answered = False
        """Whether an answer has ever come."""
        self.silence = 0.0
        """How long after a write an answer may come, as far as is known; 0: nothing is."""

    def __bool__(self) -> bool:
        return bool(self._expected or self._given_up)

    def add(self, transaction: Transaction, now: float) -> None:
        """Record that `transaction` was written, and that an answer may come."""
        self._expected.append(Owed(transaction, now))

    def window(self, transaction: Transaction) -> float:
        """Return for how long after its last write nothing else may be written, if it is not answered in time."""
        timeout = transaction.timeout
        return max(2 * timeout, min(self.silence, _LONGEST_WINDOW * timeout))

    def is_slower_than(self, transaction: Transaction) -> bool:
        """Return whether the device is known to answer after the timeout of `transaction`."""
        return self.silence > transaction.timeout

    def learn(self, seconds: float, *, is_surprise: bool = False) -> None:
        """Record that the device takes so long. `is_surprise`: it was thought that it does not."""
        self.silence = max(2 * self.silence if is_surprise else self.silence, 2 * seconds)

    def candidates(self, frame: bytes, current: Transaction | None, now: float) -> list[Owed]:
        """Return the writes that `frame` may answer, in their order."""
        self._give_up_old(current, now)
        is_command = current is not None and current.priority is Priority.COMMAND
        return [
            each
            for each in self._expected
            if each.transaction.fits(frame)
            and (
                each.transaction is current or not is_command or now - each.at <= _SUSPECTED * each.transaction.timeout
            )
        ]

    def given_up(self, frame: bytes, now: float) -> list[Owed]:
        """Return the writes that `frame` may answer although they were given up."""
        return [
            each
            for each in self._given_up
            if now - each.at <= _LONGEST_WINDOW * each.transaction.timeout and each.transaction.fits(frame)
        ]

    def remove(self, owed: Owed) -> None:
        """Record that a write was answered, one that was given up, too."""
        self.has_answered = True
        (self._expected if owed in self._expected else self._given_up).remove(owed)

    def writes_of(self, transaction: Transaction) -> list[float]:
        """Return when `transaction` was written without an answer."""
        return [each.at for each in self._expected if each.transaction is transaction]

    def end(self, transaction: Transaction) -> None:
        """Record that no more answers to `transaction` can come."""
        for at in self.writes_of(transaction):
            self._expected.remove(Owed(transaction, at))

    def give_up_all(self) -> None:
        """Record that nobody knows any more which of the writes were answered."""
        self._given_up += self._expected
        self._expected.clear()

    def silent_at(self, heard_at: float = 0.0) -> float:
        """Return from when on no answer to what was given up comes any more, as far as is known; 0: from ever on.

        `heard_at` is when the last one has come, so that the others may come later than was thought.
        """
        return max((max(each.at, heard_at) + self.window(each.transaction) for each in self._given_up), default=0.0)

    def forget_given_up(self) -> None:
        """Forget what was given up: one of it was answered after all, and the others are older."""
        self._given_up.clear()

    def forget_past(self, now: float) -> None:
        """Forget what the device has had the time to answer."""
        for writes in (self._expected, self._given_up):
            for each in list(writes):
                if now >= each.at + self.window(each.transaction):
                    writes.remove(each)

    def _give_up_old(self, current: Transaction | None, now: float) -> None:
        if not self.silence:
            return
        for each in list(self._expected):
            if each.transaction is not current and now - each.at >= self.silence:
                self._expected.remove(each)
                self._given_up.append(each)
