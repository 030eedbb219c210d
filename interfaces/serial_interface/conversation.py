"""When to write: one transaction at a time, by priority, with pauses, answers, timeouts and retries.

Pure: it receives frames and the time, and returns what to write and how each transaction has ended.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from interfaces.rules.extractors import Values
from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.options import RateLimit


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
    """A frame to write, and the answer that is expected.

    `response` and `refusal` return the values of a frame, or None if it is not the answer. If there is only a
    `refusal`, silence until the timeout means success. `subject` belongs to the caller. Times in seconds.
    """

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
        self.error = ""  # why the answer could not be read; the transaction waits for another one


class Result(NamedTuple):
    """The end of a transaction: the answering frame and its values, or the reason why there is none."""

    transaction: Transaction
    outcome: Outcome
    reason: str = ""
    frame: bytes = b""
    values: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_unanswered(self) -> bool:
        """Whether it was written as often as is allowed, and nothing came back that could be its answer."""
        transaction = self.transaction
        return self.outcome is Outcome.TIMED_OUT and transaction.attempts > 0 and not transaction.error


class Conversation:
    """The queue of transactions, and the current one.

    Call `submit` for each new transaction, `on_frame` with each frame, and `step` when something may be due; `due`
    returns when that is.
    """

    def __init__(self, rate_limit: RateLimit) -> None:
        self._rate_limit = rate_limit
        self._queues: dict[Priority, deque[Transaction]] = {priority: deque() for priority in Priority}
        self._current: Transaction | None = None
        self._deadline = 0.0  # of the answer to the current transaction
        self._quiet_until = 0.0
        # After a timeout the answer may still arrive. If the next transaction were already written, that answer would
        # be taken for its own. So for one more timeout nothing is written until the late answer arrives.
        self._late: Transaction | None = None
        self._late_until = 0.0
        self.last_written = 0.0

    def reset(self) -> None:
        """Forget the pauses of the earlier connection; call `abort` when that ends, and this when a new one begins."""
        self._quiet_until = self.last_written = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether there is no current transaction and none waits: `step` would do nothing."""
        return self._current is None and not any(self._queues.values())

    @property
    def needs_frames(self) -> bool:
        """Whether a frame makes a difference; if not, `on_frame` need not be called before the next `submit`."""
        return bool(self._rate_limit.pause) or self._current is not None or self._late is not None

    def submit(self, transaction: Transaction, now: float) -> bool:
        """Append a transaction to its queue; return False if too many commands already wait."""
        queue = self._queues[transaction.priority]
        if transaction.priority is Priority.COMMAND and len(queue) >= self._rate_limit.max_waiting:
            return False
        transaction.submitted_at = now
        queue.append(transaction)
        return True

    def on_frame(self, frame: bytes, now: float) -> Result | None:
        """Process a received frame; return how it ends the current transaction, or None if it is not its answer.

        Raises `CodecError` if it is the answer but cannot be read; the transaction then continues to wait.
        """
        if self._rate_limit.pause:
            self._quiet_until = max(self._quiet_until, now + self._rate_limit.pause)
        current = self._current
        if current is None:
            if self._late is not None:
                self._end_late_wait(self._late, frame, now)
            return None
        try:
            if current.refusal is not None and (values := current.refusal(frame)) is not None:
                self._current = None
                return Result(current, Outcome.REFUSED, "the device refused it", frame, tuple(values))
            if current.response is not None and (values := current.response(frame)) is not None:
                self._current = None
                return Result(current, Outcome.DONE, "", frame, tuple(values))
        except CodecError as err:
            current.error = str(err)
            raise
        return None

    def step(self, now: float) -> tuple[bytes, list[Result]]:
        """Return what to write now, and the transactions that have ended. Call it again until it returns no bytes."""
        results = self._expire_commands(now)
        current = self._current
        if current is not None and now >= self._deadline:
            if self._may_retry(current):
                if now < self._quiet_until:
                    return b"", results
                return self._write(current, now), results
            self._current = None
            results.append(_unanswered(current))
            if current.response is not None:
                self._late, self._late_until = current, now + current.timeout
        if self._current is not None or now < self._quiet_until:
            return b"", results
        if self._late is not None and now < self._late_until:
            return b"", results
        self._late = None
        queue = next((queue for queue in self._queues.values() if queue), None)
        if queue is None:
            return b"", results
        transaction = queue.popleft()
        data = self._write(transaction, now)
        if transaction.response is None and transaction.refusal is None:
            self._current = None
            results.append(Result(transaction, Outcome.DONE))
        return data, results

    def due(self) -> float | None:
        """Return the time (s) at which `step` would do something, or None if only a frame can cause that."""
        if self.is_idle:
            return None
        commands = self._queues[Priority.COMMAND]
        times = [commands[0].submitted_at + self._rate_limit.longest_wait] if commands else []
        if self._current is not None:
            times.append(max(self._deadline, self._quiet_until if self._may_retry(self._current) else 0.0))
        elif any(self._queues.values()):
            times.append(max(self._quiet_until, self._late_until if self._late is not None else 0.0))
        return min(times, default=None)

    def abort(self) -> list[Result]:
        """End all transactions, because the device is gone; return them."""
        transactions = [*([self._current] if self._current else []), *(t for q in self._queues.values() for t in q)]
        self._current = self._late = None
        for queue in self._queues.values():
            queue.clear()
        return [Result(transaction, Outcome.OFFLINE, "the device went offline") for transaction in transactions]

    def discard(self, priority: Priority) -> None:
        """Forget the transactions of this priority that wait to be written."""
        self._queues[priority].clear()

    def _end_late_wait(self, late: Transaction, frame: bytes, now: float) -> None:
        """Stop waiting for a late answer if `frame` is that answer, or if the wait is over."""
        readers = (late.response, late.refusal)
        if now >= self._late_until or any(read is not None and read(frame) is not None for read in readers):
            self._late = None

    def _may_retry(self, transaction: Transaction) -> bool:
        return transaction.response is not None and transaction.attempts <= transaction.retries

    def _write(self, transaction: Transaction, now: float) -> bytes:
        limit, size = self._rate_limit, len(transaction.data)
        pauses = [limit.pause]
        if limit.bytes_per_second:
            pauses.append(size / limit.bytes_per_second)
        if limit.frames_per_second:
            pauses.append(1.0 / limit.frames_per_second)
        self._quiet_until = now + max(pauses)
        self._deadline = now + transaction.timeout
        self._current = transaction
        self.last_written = now
        transaction.attempts += 1
        return transaction.data

    def _expire_commands(self, now: float) -> list[Result]:
        """End commands that have waited too long: nobody expects them to be executed any more."""
        expired: list[Result] = []
        queue, longest_wait = self._queues[Priority.COMMAND], self._rate_limit.longest_wait
        while queue and now >= queue[0].submitted_at + longest_wait:
            reason = f"timed out after {longest_wait:g} s in the send queue"
            expired.append(Result(queue.popleft(), Outcome.TIMED_OUT, reason))
        return expired


def _unanswered(transaction: Transaction) -> Result:
    """Return the result of a transaction that no answer has ended until its timeout."""
    if transaction.response is None:
        return Result(transaction, Outcome.DONE)
    if transaction.error:
        return Result(transaction, Outcome.TIMED_OUT, f"the device's answer could not be read: {transaction.error}")
    attempts = f" ({transaction.attempts} attempts)" if transaction.attempts > 1 else ""
    reason = f"the device did not answer within {transaction.timeout:g} s{attempts}"
    return Result(transaction, Outcome.TIMED_OUT, reason)
