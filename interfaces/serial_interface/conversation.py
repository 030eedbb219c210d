"""When to write: one transaction at a time, by priority, with pauses, answers, timeouts and retries.

Pure: it receives frames and the time, and returns what to write and how each transaction has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.late_answers import MARGIN, LateAnswers, Owed
from interfaces.serial_interface.options import RateLimit
from interfaces.serial_interface.transaction import Outcome, Priority, Result, Transaction


class _Held(NamedTuple):
    """A frame that may be the answer to more than one request, and what it says if it is that of the latest."""

    frame: bytes
    outcome: Outcome
    values: tuple[Mapping[str, Any], ...]
    at: float


class Conversation:
    """The queue of transactions, and the current one.

    Call `submit` for each new transaction, `on_frame` with each frame, and `step` when something may be due; `due`
    returns when that is.

    A transaction without an answer ends at its timeout. Its answer may still arrive, and be taken for that of the next
    transaction. So nothing is written for some time after that (`_late`); what arrives then is the answer, but no
    outcome any more. A frame that arrives later still, and may answer an earlier transaction as well as the current
    one, is held back: if the device is so slow, a second frame follows for the current one, and if none does within
    that time, the first was its answer.
    """

    def __init__(self, rate_limit: RateLimit) -> None:
        self._rate_limit = rate_limit
        self._queues: dict[Priority, deque[Transaction]] = {priority: deque() for priority in Priority}
        self._current: Transaction | None = None
        self._deadline = 0.0  # of the answer to the current transaction
        self._quiet_until = 0.0
        self._late: Transaction | None = None  # one that has ended, of which an answer may still arrive
        self._late_until = 0.0
        self._late_answers = LateAnswers()
        self._suspects: list[Owed] = []  # the earlier writes that the frames held back may answer
        self._held: list[_Held] = []
        self._held_until = 0.0
        self.last_written = 0.0
        self.unattributed = 0
        """Frames that were the late answer to some earlier request, but it is unknown to which."""

    def reset(self) -> None:
        """Forget the earlier connection; call `abort` when that ends, and this when a new one begins."""
        self._quiet_until = self.last_written = 0.0
        self._late = None
        self._held, self._suspects = [], []
        self._late_answers.clear()

    @property
    def is_idle(self) -> bool:
        """Whether there is no current transaction and none waits: `step` would do nothing."""
        return self._current is None and not self._held and not any(self._queues.values())

    @property
    def needs_frames(self) -> bool:
        """Whether a frame makes a difference; if not, `on_frame` need not be called before the next `submit`."""
        is_waiting = self._current is not None or self._late is not None or bool(self._late_answers)
        return is_waiting or bool(self._rate_limit.pause)

    def submit(self, transaction: Transaction, now: float) -> bool:
        """Append a transaction to its queue; return False if too many commands already wait."""
        queue = self._queues[transaction.priority]
        if transaction.priority is Priority.COMMAND and len(queue) >= self._rate_limit.max_waiting:
            return False
        transaction.submitted_at = now
        queue.append(transaction)
        return True

    # --- frames

    def on_frame(self, frame: bytes, now: float) -> Sequence[Result] | None:
        """Process a received frame; return the transactions that it ends, or None if it is not an answer.

        There are none as long as it is unknown whose answer it is. Raises `CodecError` if it is an answer but cannot
        be read; the transaction then continues to wait.
        """
        if self._rate_limit.pause:
            self._quiet_until = max(self._quiet_until, now + self._rate_limit.pause)
        asked = self._current or self._late
        try:
            answer = asked.read(frame) if asked is not None else None
        except CodecError as err:
            self._record_unreadable(err)
            raise
        if asked is None or answer is None:
            return self._on_late_frame(frame, now) if self._late_answers else None
        held = _Held(frame, *answer, now)
        suspects = self._suspects or self._late_answers.suspects(frame, asked, now)
        if suspects:
            return self._hold(held, asked, suspects)
        if self._late_answers and self._late_answers.take_same(asked, now):
            # It may be the answer to that one, which says the same. Then the one to the current request follows.
            self._late_answers.add(asked)
            asked.unanswered = []
        return [self._answered(asked, held)]

    def _record_unreadable(self, err: CodecError) -> None:
        asked = self._current or self._late
        if asked is None:
            return
        asked.error = str(err)
        del asked.unanswered[:1]
        if asked is self._late and not asked.unanswered:
            self._late = None

    def _on_late_frame(self, frame: bytes, now: float) -> Sequence[Result] | None:
        owed = self._late_answers.take(frame, now)
        return None if owed is None else self._late_result(owed, frame, now)

    def _late_result(self, owed: Owed, frame: bytes, now: float) -> Sequence[Result]:
        """Return the result of a frame that is the late answer to an earlier transaction."""
        seconds = now - owed.at
        self._late_answers.learn(owed.transaction, seconds)
        answer = owed.transaction.read(frame)
        return [] if answer is None else [Result(owed.transaction, answer[0], "", frame, answer[1], True, seconds)]

    def _hold(self, held: _Held, asked: Transaction, suspects: list[Owed]) -> Sequence[Result]:
        if not self._held:
            self._suspects = suspects
            self._held_until = asked.written_at + MARGIN * (held.at - suspects[0].at)
        self._held.append(held)
        return self._resolve(asked) if len(self._held) > len(self._suspects) else []

    def _resolve(self, asked: Transaction) -> list[Result]:
        """Return the results of the frames that were held back: the last one answers the latest request.

        The device answers in the order of the requests. If not all of the earlier ones were answered, it is unknown
        which of them, and the other frames are dropped.
        """
        (*earlier, last), suspects = self._held, self._suspects
        self._held, self._suspects = [], []
        self._late_answers.forget(suspects)
        results: list[Result] = []
        if len(earlier) == len(suspects):
            for owed, held in zip(suspects, earlier, strict=True):
                try:
                    results += self._late_result(owed, held.frame, held.at)
                except CodecError:
                    self.unattributed += 1
        else:
            self.unattributed += len(earlier)
        return [*results, self._answered(asked, last, is_slow=bool(earlier))]

    def _answered(self, asked: Transaction, answer: _Held, *, is_slow: bool = False) -> Result:
        """End a transaction, or record that its answer has come late; return how."""
        is_late = asked is not self._current
        self._current = self._late = None
        written_at, *others = asked.unanswered or [asked.written_at]
        seconds = answer.at - written_at
        if is_slow or is_late or not others:
            self._late_answers.learn(asked, seconds)
        asked.unanswered = others
        if others:  # each retry may be answered, too
            self._late, self._late_until = asked, others[-1] + MARGIN * seconds
        reason = "the device refused it" if answer.outcome is Outcome.REFUSED else ""
        return Result(asked, answer.outcome, reason, answer.frame, answer.values, is_late, seconds)

    # --- time

    def step(self, now: float) -> tuple[bytes, list[Result]]:
        """Return what to write now, and the transactions that have ended. Call it again until it returns no bytes."""
        results = self._expire_commands(now)
        asked = self._current or self._late
        if asked is not None and self._held and now >= self._held_until:
            results += self._resolve(asked)
        current = self._current
        if current is not None and not self._held and now >= self._deadline:
            if self._may_retry(current):
                if now < self._quiet_until:
                    return b"", results
                return self._write(current, now), results
            self._current = None
            results.append(_unanswered(current))
            if current.response is not None and current.unanswered:
                self._late = current
                self._late_until = current.written_at + self._late_answers.window(current)
        if self._late is not None and not self._held and now >= self._late_until:
            self._late_answers.add(self._late)
            self._late = None
        if self._current is not None or self._late is not None or now < self._quiet_until:
            return b"", results
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
        if self._held:
            times.append(self._held_until)
        elif self._current is not None:
            times.append(max(self._deadline, self._quiet_until if self._may_retry(self._current) else 0.0))
        elif any(self._queues.values()):
            times.append(max(self._quiet_until, self._late_until if self._late is not None else 0.0))
        return min(times, default=None)

    def abort(self) -> list[Result]:
        """End all transactions, because the device is gone; return them."""
        transactions = [*([self._current] if self._current else []), *(t for q in self._queues.values() for t in q)]
        self._current = self._late = None
        self._held, self._suspects = [], []
        for queue in self._queues.values():
            queue.clear()
        return [Result(transaction, Outcome.OFFLINE, "the device went offline") for transaction in transactions]

    def discard(self, priority: Priority) -> None:
        """Forget the transactions of this priority that wait to be written."""
        self._queues[priority].clear()

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
        transaction.written_at = now
        transaction.unanswered.append(now)
        return transaction.data

    def _expire_commands(self, now: float) -> list[Result]:
        """End commands that have waited too long: their clients no longer expect them to be executed."""
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
