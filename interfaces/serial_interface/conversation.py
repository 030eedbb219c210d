"""When to write: one transaction at a time, by priority, with pauses, answers, timeouts and retries.

Pure: it receives frames and the time, and returns what to write and how each transaction has ended.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Sequence

from gateway.errors import GatewayError
from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.late_answers import LateAnswers, Owed, ask_the_same
from interfaces.serial_interface.options import RateLimit
from interfaces.serial_interface.transaction import Outcome, Priority, Result, Transaction

_MARGIN = 1.5
"""The answer to a retry comes within this many times the time that the first one has taken."""


class Conversation:
    """The queue of transactions, and the current one.

    Call `submit` for each new transaction, `on_frame` with each frame, and `step` when something may be due; `due`
    returns when that is.

    A transaction without an answer ends at its timeout, but its answer may still come, and look like that of the next
    one. So nothing is written for some time after a timeout: what comes then is the answer, but no outcome any more. A
    frame that may answer more than one write is held back until as many have come as were written: they are answered
    in their order. If fewer come, nobody knows which: they are dropped, and the device is given more time from then on.
    """

    def __init__(self, rate_limit: RateLimit) -> None:
        self._rate_limit = rate_limit
        self._queues: dict[Priority, deque[Transaction]] = {priority: deque() for priority in Priority}
        self._current: Transaction | None = None
        self._deadline = 0.0  # of the answer to the current transaction
        self._quiet_until = 0.0
        self._last: Transaction | None = None  # it has ended, but an answer to it may still come
        self._last_until = 0.0  # nothing is written before that time, unless the answer has come
        self._late_answers = LateAnswers()
        self._held: list[tuple[bytes, float]] = []  # frames that were held back, and when they came
        self._held_for: list[Owed] = []  # the writes that they may answer
        self._held_until = 0.0
        self.last_written = 0.0
        self.unattributed = 0
        """Frames that were dropped because nobody knows which request they answer."""

    def reset(self) -> None:
        """Forget the earlier connection; call `abort` when that ends, and this when a new one begins."""
        self._quiet_until = self.last_written = 0.0
        self._last = None
        self._held, self._held_for = [], []
        self._late_answers.clear()

    @property
    def is_idle(self) -> bool:
        """Whether there is no current transaction and none waits: `step` would do nothing."""
        return self._current is None and not self._held and not any(self._queues.values())

    @property
    def current(self) -> Transaction | None:
        """The transaction that waits for its answer."""
        return self._current

    @property
    def needs_frames(self) -> bool:
        """Whether a frame makes a difference; if not, `on_frame` need not be called before the next `submit`."""
        return self._current is not None or bool(self._late_answers) or bool(self._rate_limit.pause)

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
        if not self._late_answers:
            return None
        candidates = self._held_for or self._late_answers.candidates(frame, self._current, now)
        if self._held and not any(each.transaction.fits(frame) for each in candidates):
            return None
        if not candidates:
            return self._on_given_up(frame, now)
        if self._held or not ask_the_same(candidates):
            return self._hold(frame, candidates, now)
        if self._current is None and not ask_the_same([*candidates, *self._late_answers.given_up(frame, now)]):
            # What was given up is answered after all, or else this one: nobody knows. From now on, nothing is expected.
            self._drop([frame], now - candidates[-1].at)
            self._late_answers.forget_given_up()
            return []
        return [self._answered(candidates[0], frame, now)]

    def _on_given_up(self, frame: bytes, now: float) -> Sequence[Result] | None:
        """Process a frame that nothing written can have caused, but what was given up."""
        owed = self._late_answers.given_up(frame, now)
        if not owed:
            return None
        self._late_answers.learn(now - owed[-1].at, is_surprise=True)
        self._late_answers.forget_given_up()
        return [self._result(owed[0], frame, now)] if ask_the_same(owed) else None

    def _hold(self, frame: bytes, candidates: list[Owed], now: float) -> Sequence[Result]:
        self._held.append((frame, now))
        self._held_for = candidates
        if len(self._held) == len(candidates):
            held, self._held, self._held_for = self._held, [], []
            results = []
            for owed, (each, at) in zip(candidates, held, strict=True):
                with contextlib.suppress(CodecError):  # it is one of those, but says nothing
                    results.append(self._answered(owed, each, at))
            return results
        longest_gap = max(later.at - earlier.at for earlier, later in itertools.pairwise(candidates))
        self._held_until = now + longest_gap + candidates[-1].transaction.timeout
        return []

    def _end_hold(self) -> list[Result]:
        """Drop the frames that were held back, since others are missing; return how the current transaction ends."""
        held, candidates = self._held, self._held_for
        self._held, self._held_for = [], []
        self._drop([frame for frame, _ in held], held[0][1] - candidates[-2].at)
        current, self._current = self._current, None
        if current is None:
            return []
        current.error = "it may be the late answer to an earlier request"
        return [_unanswered(current)]

    def _drop(self, frames: list[bytes], seconds: float) -> None:
        self.unattributed += len(frames)
        self._late_answers.forget_given_up()
        self._late_answers.learn(seconds, is_surprise=True)
        self._late_answers.give_up_all()
        self._last = None

    def _answered(self, owed: Owed, frame: bytes, now: float) -> Result:
        """End the transaction that a frame answers, or record that its answer has come late."""
        current = self._current
        if current is not None and owed.transaction is not current and owed.transaction.asks_the_same(current):
            result = self._result(Owed(current, owed.at), frame, now)._replace(is_late=False)
            self._late_answers.remove(owed)
            self._current = None
            return result
        try:
            result = self._result(owed, frame, now)
        except CodecError as err:
            owed.transaction.error = str(err)
            if owed.transaction is not current:
                self._remove(owed)
            raise
        self._remove(owed)
        if result.seconds > owed.transaction.timeout:
            self._late_answers.learn(result.seconds)
        if not result.is_late:
            self._current, owed.transaction.is_answered = None, True
            others = self._late_answers.writes_of(owed.transaction)
            if others:  # each retry may be answered, too
                self._last, self._last_until = owed.transaction, others[-1] + _MARGIN * result.seconds
        return result

    def _remove(self, owed: Owed) -> None:
        self._late_answers.remove(owed)
        if owed.transaction is self._last and not self._late_answers.writes_of(self._last):
            self._last = None

    def _result(self, owed: Owed, frame: bytes, now: float) -> Result:
        answer = owed.transaction.read(frame)
        outcome, values = answer or (Outcome.DONE, ())
        reason = "the device refused it" if outcome is Outcome.REFUSED else ""
        is_late = owed.transaction is not self._current
        return Result(owed.transaction, outcome, reason, frame, values, is_late, now - owed.at)

    # --- time

    def step(self, now: float) -> tuple[bytes, list[Result]]:
        """Return what to write now, and the transactions that have ended. Call it again until it returns no bytes."""
        results = self._expire_commands(now)
        if self._held:
            if now < self._held_until:
                return b"", results
            results += self._end_hold()
        current = self._current
        if current is not None and now >= self._deadline:
            if self._may_retry(current):
                if now < self._quiet_until:
                    return b"", results
                return self._write(current, now), results
            self._current = None
            results.append(_unanswered(current))
            if current.response is None or current.error:
                self._late_answers.end(current)
            else:
                self._last, self._last_until = current, current.written_at + self._late_answers.window(current)
        if self._last is not None and now >= self._last_until:
            if self._last.is_answered:  # the device had time for its other attempts, too
                self._late_answers.end(self._last)
            self._last = None
        if self._current is not None or self._last is not None or now < self._quiet_until:
            return b"", results
        queue = next((queue for queue in self._queues.values() if queue), None)
        if queue is None:
            return b"", results
        transaction = queue.popleft()
        if transaction.prepare is not None:
            try:
                transaction.prepare(transaction)
            except GatewayError as err:
                results.append(Result(transaction, Outcome.REFUSED, str(err)))
                return b"", results
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
            times.append(max(self._quiet_until, self._last_until if self._last is not None else 0.0))
        return min(times, default=None)

    def abort(self) -> list[Result]:
        """End all transactions, because the device is gone; return them."""
        transactions = [*([self._current] if self._current else []), *(t for q in self._queues.values() for t in q)]
        self._current = self._last = None
        self._held, self._held_for = [], []
        self._late_answers.clear()
        for queue in self._queues.values():
            queue.clear()
        return [Result(transaction, Outcome.OFFLINE, "the device went offline") for transaction in transactions]

    def discard(self, priority: Priority) -> None:
        """Forget the transactions of this priority that wait to be written."""
        self._queues[priority].clear()

    def _may_retry(self, transaction: Transaction) -> bool:
        return transaction.response is not None and transaction.attempts <= transaction.retries

    def _write(self, transaction: Transaction, now: float) -> bytes:
        self.pause_after(len(transaction.data), now)
        self._deadline = now + transaction.timeout
        self._current = transaction
        self.last_written = now
        transaction.attempts += 1
        transaction.written_at = now
        if transaction.response is not None or transaction.refusal is not None:
            self._late_answers.add(transaction, now)
        return transaction.data

    def pause_after(self, size: int, now: float) -> None:
        """Write nothing for as long as is due after a frame of `size` bytes that was written at `now`."""
        limit = self._rate_limit
        pauses = [limit.pause]
        if limit.bytes_per_second:
            pauses.append(size / limit.bytes_per_second)
        if limit.frames_per_second:
            pauses.append(1.0 / limit.frames_per_second)
        self._quiet_until = max(self._quiet_until, now + max(pauses))

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
