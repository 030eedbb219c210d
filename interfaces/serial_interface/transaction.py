"""One exchange with a device: what is written, the answer that is expected, and how it has ended. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from interfaces.rules.extractors import Values
from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.collecting import TOO_LONG, Collected, read_collected


class Priority(enum.IntEnum):
    """The order of writing: first the opening requests, then commands, then polls."""

    OPENING = 0
    COMMAND = 1
    POLL = 2


class Outcome(enum.Enum):
    """How a transaction has ended; the values are the argument `response` of a reply."""

    DONE = "OK"
    TIMED_OUT = "TIMEOUT"
    REFUSED = "REFUSED"
    OFFLINE = "OFFLINE"


ReadFrame = Callable[[bytes], "list[Values] | None"]


class Transaction:
    """A frame to write, and the answer that is expected. Without `data`, only an answer is waited for.

    `response` and `refusal` return the values of a frame, or None if it is not the answer. If there is only a
    `refusal`, silence until the timeout means success. `subject` belongs to the caller. Times in seconds.

    With `ends`, the answer has several frames, and `ends` returns whether a frame is the last one: `response` reads
    those before it, joined by line ends. For a step of several, `follow` returns the next one, or None after the last
    one; nothing else is written between them. It may raise `CodecError`: what the device has answered cannot be
    written. `pause` is the time after the end in which nothing is written; `baudrate` the speed after the write, which
    lasts to the end of the steps, or, with `is_opening`, of the connection.

    `prepare` completes it just before it is written, with the time of that moment, for example. It may raise
    `GatewayError`: the transaction is then refused.
    """

    ends: Callable[[bytes], bool] | None = None
    follow: Callable[[Result], Transaction | None] | None = None
    pause = 0.0
    baudrate = 0
    is_opening = False

    def __init__(
        self,
        data: bytes,
        priority: Priority,
        subject: Any = None,
        response: ReadFrame | None = None,
        refusal: ReadFrame | None = None,
        timeout: float = 1.0,
        retries: int = 0,
    ) -> None:
        self.data = data
        self.priority = priority
        self.subject = subject
        self.response = response
        self.refusal = refusal
        self.timeout = timeout
        self.retries = retries
        self.submitted_at = 0.0
        self.attempts = 0
        self.written_at = 0.0
        self.is_answered = False
        self.prepare: Callable[[Transaction], None] | None = None  # called before it is written for the first time
        self.question: object = None  # what asks the same has the same one here, even if other bytes are written
        self.error = ""  # why the answer could not be read; the transaction waits for another one

    def read(
        self, frame: bytes, before: Sequence[Collected] = (), *, is_complete: bool = True
    ) -> tuple[Outcome, tuple[Mapping[str, Any], ...]] | None:
        """Return what `frame` answers, and its values; None if it is not the answer.

        `before` are the frames that were collected before it, and `is_complete` whether these are all. Raises
        `CodecError` if it is the answer but cannot be read.
        """
        if self.refusal is not None and (values := self.refusal(frame)) is not None:
            return Outcome.REFUSED, tuple(values)
        if self.ends is not None:
            return self._read_collected(before, is_complete) if self.ends(frame) else None
        if self.response is not None and (values := self.response(frame)) is not None:
            return Outcome.DONE, tuple(values)
        return None

    def _read_collected(
        self, collected: Sequence[Collected], is_complete: bool
    ) -> tuple[Outcome, tuple[Mapping[str, Any], ...]]:
        if not is_complete:
            raise CodecError(TOO_LONG)
        values = read_collected(self.response, collected) if self.response is not None else None
        if values is None:
            raise CodecError("its end has come, but what is before it does not match")
        return Outcome.DONE, tuple(values)

    def fits(self, frame: bytes) -> bool:
        """Return whether `frame` could be the answer, or the end of it."""
        try:
            if self.ends is not None and self.ends(frame):
                return True
            return self.read(frame) is not None
        except CodecError:
            return True

    def asks_the_same(self, other: Transaction) -> bool:
        """Return whether it does not matter which of the two a frame answers: the same was written for both."""
        if self is other or (self.question is not None and self.question is other.question):
            return True
        return self.data == other.data and bool(self.data)


class Result(NamedTuple):
    """The end of a transaction: the answering frame and its values, or the reason why there is none.

    `is_late`: the transaction has ended before, and this is its answer nevertheless. It makes readings, but is no
    outcome any more. `has_more`: it is a step, and others follow.
    """

    transaction: Transaction
    outcome: Outcome
    reason: str = ""
    frame: bytes = b""
    values: tuple[Mapping[str, Any], ...] = ()
    is_late: bool = False
    seconds: float = 0.0
    """The time from the write to the answer, as far as it is known; 0: it is not."""
    has_more: bool = False

    @property
    def is_unanswered(self) -> bool:
        """Whether it was written as often as is allowed, and nothing came back that could be its answer."""
        transaction = self.transaction
        return self.outcome is Outcome.TIMED_OUT and transaction.attempts > 0 and not transaction.error
