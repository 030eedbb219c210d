"""When to write: one transaction at a time, by priority, with pauses, answers, timeouts and retries.

Pure: it receives frames and the time, and returns what to write and how each transaction has ended.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import GatewayError
from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.collecting import Collected, Collector
from interfaces.serial_interface.late_answers import LateAnswers, Owed, ask_the_same, hold_time
from interfaces.serial_interface.options import RateLimit
from interfaces.serial_interface.transaction import Outcome, Priority, Result, Transaction


class _Heard(NamedTuple):
    """A frame that may be an answer, when it came, and what was collected before it."""

    frame: bytes
    at: float
    before: Sequence[Collected] = ()
    is_complete: bool = True


class Conversation:
    """The queue of transactions, and the current one.

    Call `submit` for each new transaction, `on_frame` with each frame, and `step` when something may be due; `due`
    returns when that is.

    A transaction without an answer ends at its timeout, but its answer may still come, and look like that of the next
    one. So nothing is written for some time after a timeout: what comes then is the answer, but no outcome any more. A
    frame that may answer more than one write is held back until as many have come as were written: they are answered
    in their order. If fewer come, nobody knows which: they are dropped, and the device is given more time from then on.
    Where others may still come then, nothing is written until the line has been silent for that time.

    While an answer of several frames is awaited, `collecting` is its transaction: call `collect` with each frame that
    may be part of it. What turns out to be no part of an answer is in `released`, for the caller to take from there.

    The steps of a transaction are written one after the other, and nothing between them. One may change the speed of
    the line: data is to be written at `write_speed`, and read at `speed` then (bit/s; 0: that of the port).
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
        self._silent_at = 0.0  # before that time, answers may come of which nobody knows whose: nothing is written
        self._following: Transaction | None = None  # the next step, which nothing else is written before
        self._broken_off: list[Result] = []  # of steps that a new connection has ended
        self._collector = Collector()
        self.released: list[bytes] = []
        self._held: list[_Heard] = []  # frames that were held back
        self._held_for: list[Owed] = []  # the writes that they may answer
        self._held_until = 0.0
        self.last_written = 0.0
        self.speed = self.write_speed = 0
        self._lasting_speed = 0  # after the end of the steps: that which the opening has set
        self.unattributed = 0
        """Frames that were dropped because nobody knows which request they answer."""

    def reset(self, now: float, *, goes_on: bool = False) -> None:
        """Forget the earlier connection; call `abort` when that ends, and this when a new one begins.

        `goes_on`: the device does not know of that, and what was written or waits goes on. Otherwise it may have
        forgotten all, or only a serial server was away, and an answer comes now: nothing is written for as long as the
        device may need for that. If it has never answered, nobody knows how long that is; then an answer may come for
        what was written before, too.
        """
        self._quiet_until = self.last_written = 0.0
        for step in (self._current, self._following):
            if step is not None and step.follow is not None:
                self._broken_off.append(Result(step, Outcome.OFFLINE, "the port was opened again between its steps"))
                self._current = None
        self._forget_connection()
        if not goes_on:
            self._last = None
            self._late_answers.forget_past(now)
            if self._late_answers.has_answered:
                self._dispute()

    def _forget_connection(self) -> None:
        self._following = None
        self._release(self._collector.take()[0])
        if self._held:
            self._drop_held()
        self.speed = self._lasting_speed = 0

    @property
    def is_idle(self) -> bool:
        """Whether there is no current transaction and none waits: `step` would do nothing."""
        has_work = self._current or self._following or self._held or self._collector or self._broken_off
        return not has_work and not any(self._queues.values())

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
        heard = _Heard(frame, now)
        if any(each.transaction.ends is not None for each in candidates):
            heard = _Heard(frame, now, *self._collector.take())
        if self._held or not ask_the_same(candidates):
            return self._hold(heard, candidates)
        given_up = [] if self._current is not None else self._late_answers.given_up(frame, now)
        if not ask_the_same([*given_up, *candidates]):
            # What was given up is answered after all, or else this one: nobody knows. From now on, nothing is expected.
            self._drop([heard], [*given_up, *candidates], now - candidates[-1].at)
            self._dispute()
            return []
        return self._answered(candidates[0], heard)

    def _on_given_up(self, frame: bytes, now: float) -> Sequence[Result] | None:
        """Process a frame that nothing written can have caused, but what was given up.

        While nobody knows whose answers come, as many are taken as were asked for, in their order: so what is left
        always contains those that may still come.
        """
        owed = self._late_answers.given_up(frame, now)
        if not owed:
            return None
        is_disputed = now < self._silent_at
        self._late_answers.learn(now - owed[-1].at, is_surprise=not is_disputed)
        if is_disputed:
            self._late_answers.remove(owed[0])
            self._silent_at = self._late_answers.silent_at(now)
        else:
            self._late_answers.forget_given_up()
        if ask_the_same(owed):
            return [self._result(owed[0], _Heard(frame, now))]
        if not is_disputed:
            return None
        self.unattributed += 1
        return []

    def _hold(self, heard: _Heard, candidates: list[Owed]) -> Sequence[Result]:
        self._held.append(heard)
        self._held_for = candidates
        if len(self._held) == len(candidates):
            held, self._held, self._held_for = self._held, [], []
            results: list[Result] = []
            for owed, each in zip(candidates, held, strict=True):
                with contextlib.suppress(CodecError):  # it is one of those, but says nothing
                    results += self._answered(owed, each)
            return results
        self._held_until = heard.at + hold_time(candidates)
        return []

    def _end_hold(self) -> list[Result]:
        """Drop the frames that were held back, since others are missing; return how the current transaction ends."""
        heard_at, missing = self._held[-1].at, len(self._held_for) - len(self._held)
        self._drop_held()
        self._late_answers.forget_given_up()
        if missing == 1:  # it has been waited for just now
            self._late_answers.give_up_all()
        else:
            self._dispute()
        if self._current is None:
            return []
        self._current.error = "it may be the late answer to an earlier request"
        return self._end(_unanswered(self._current), heard_at)

    def _drop_held(self) -> None:
        held, candidates = self._held, self._held_for
        self._held, self._held_for = [], []
        earlier = candidates[-len(held) - 1 :]  # one of them has come late, or else the last ones were answered
        self._drop(held, candidates, max(heard.at - owed.at for heard, owed in zip(held, earlier, strict=False)))

    def _drop(self, dropped: list[_Heard], candidates: list[Owed], seconds: float) -> None:
        self.unattributed += len(dropped)
        for heard, owed in zip(dropped, candidates, strict=False):
            self._release(heard.before)
            self._late_answers.remove(owed)
        self._late_answers.learn(seconds, is_surprise=True)
        self._last = None

    def _dispute(self) -> None:
        """Give up all that was written, and write nothing for as long as answers to that may come."""
        self._late_answers.give_up_all()
        self._silent_at = self._late_answers.silent_at()

    def _answered(self, owed: Owed, heard: _Heard) -> list[Result]:
        """End the transaction that a frame answers, or record that its answer has come late."""
        current = self._current
        if current is not None and owed.transaction is not current and owed.transaction.asks_the_same(current):
            result = self._result(Owed(current, owed.at), heard)._replace(is_late=False)
            self._late_answers.remove(owed)
            return self._end(result, heard.at)
        try:
            result = self._result(owed, heard)
        except CodecError as err:
            owed.transaction.error = str(err)
            if owed.transaction is not current:
                self._remove(owed)
            raise
        self._remove(owed)
        if result.seconds > owed.transaction.timeout:
            self._late_answers.learn(result.seconds)
        if result.is_late:
            return [result]
        owed.transaction.is_answered = True
        others = self._late_answers.writes_of(owed.transaction)
        if others:  # each retry may be answered, too
            self._last, self._last_until = owed.transaction, others[-1] + self._late_answers.window(owed.transaction)
        return self._end(result, heard.at)

    def _remove(self, owed: Owed) -> None:
        self._late_answers.remove(owed)
        if owed.transaction is self._last and not self._late_answers.writes_of(self._last):
            self._last = None

    def _result(self, owed: Owed, heard: _Heard) -> Result:
        try:
            answer = owed.transaction.read(heard.frame, heard.before, is_complete=heard.is_complete)
        except CodecError:
            self._release(heard.before)
            raise
        outcome, values = answer or (Outcome.DONE, ())
        if outcome is Outcome.REFUSED:
            self._release(heard.before)
        reason = "the device refused it" if outcome is Outcome.REFUSED else ""
        is_late = owed.transaction is not self._current
        return Result(owed.transaction, outcome, reason, heard.frame, values, is_late, heard.at - owed.at)

    # --- answers of several frames

    @property
    def collecting(self) -> Transaction | None:
        """The transaction whose answer has several frames, if that is awaited."""
        transaction = self._current or self._last
        return None if transaction is None or transaction.ends is None else transaction

    def collect(self, collected: Collected, now: float) -> bool:
        """Add a frame to the answer that is awaited, whose timeout begins again; return False if it is too long.

        A frame that the decode rules have read, too, is not released if it is no part of an answer.
        """
        if not self._collector.add(collected):
            return False
        if self._current is not None:
            self._deadline = max(self._deadline, now + self._current.timeout)
        elif self._last is not None:
            self._last_until = max(self._last_until, now + self._last.timeout)
        return True

    def _release(self, frames: Sequence[Collected]) -> None:
        self.released += [collected.frame for collected in frames if not collected.is_decoded]

    # --- steps

    def _end(self, result: Result, now: float) -> list[Result]:
        """End the current transaction; if it is a step, prepare the one that follows."""
        transaction, self._current = result.transaction, None
        if transaction.pause:
            self._quiet_until = max(self._quiet_until, now + transaction.pause)
        if transaction.follow is None:
            return [result]
        following = None
        results = [result]
        if result.outcome is Outcome.DONE:
            try:
                following = transaction.follow(result)
            except CodecError as err:
                results = [result._replace(has_more=True), Result(transaction, Outcome.REFUSED, str(err))]
        if following is None:
            if transaction.is_opening and results[-1].outcome is Outcome.DONE:
                self._lasting_speed = self.speed
            self.speed = self._lasting_speed
            return results
        results = [result._replace(has_more=True)]
        if following.data:
            self._following = following
        else:  # nothing is written, so it begins at once: what comes from now on may be its answer
            results += self._begin(following, now)[1]
        return results

    def _begin(self, transaction: Transaction, now: float) -> tuple[bytes, list[Result]]:
        """Make a transaction the current one; return what is to be written, and how it has ended already."""
        if transaction.prepare is not None:
            try:
                transaction.prepare(transaction)
            except GatewayError as err:
                return b"", self._end(Result(transaction, Outcome.REFUSED, str(err)), now)
        data = self._write(transaction, now)
        if transaction.response is None and transaction.refusal is None:
            return data, self._end(Result(transaction, Outcome.DONE), now)
        return data, []

    # --- time

    def step(self, now: float) -> tuple[bytes, list[Result]]:
        """Return what to write now, and the transactions that have ended. Call it again until it returns no bytes."""
        results = [*self._broken_off, *self._expire_commands(now)]
        self._broken_off = []
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
            results += self._end(_unanswered(current), now)
            if current.error or (current.response is None and not self._late_answers.is_slower_than(current)):
                self._late_answers.end(current)
            else:
                self._last, self._last_until = current, current.written_at + self._late_answers.window(current)
        if self._last is not None and now >= self._last_until:
            # The device had time for its other attempts, too; or its silence was the answer.
            if self._last.is_answered or self._last.response is None:
                self._late_answers.end(self._last)
            self._last = None
        if self._silent_at and now >= self._silent_at:
            self._late_answers.forget_given_up()
            self._silent_at = 0.0
        if self._collector and self._current is None and self._last is None:
            self._release(self._collector.take()[0])
        if self._current is not None or self._last is not None or now < max(self._quiet_until, self._silent_at):
            return b"", results
        transaction, self._following = self._following, None
        if transaction is None:
            queue = next((queue for queue in self._queues.values() if queue), None)
            if queue is None:
                return b"", results
            transaction = queue.popleft()
        data, ended = self._begin(transaction, now)
        return data, [*results, *ended]

    def due(self) -> float | None:
        """Return the time (s) at which `step` would do something, or None if only a frame can cause that."""
        if self.is_idle:
            return None
        commands = self._queues[Priority.COMMAND]
        times = [commands[0].submitted_at + self._rate_limit.longest_wait] if commands else []
        if self._broken_off:
            times.append(0.0)
        if self._held:
            times.append(self._held_until)
        elif self._current is not None:
            times.append(max(self._deadline, self._quiet_until if self._may_retry(self._current) else 0.0))
        elif self._following or self._collector or any(self._queues.values()):
            times.append(max(self._quiet_until, self._last_until if self._last is not None else 0.0, self._silent_at))
        return min(times, default=None)

    def abort(self) -> list[Result]:
        """End all transactions, because the device is gone; return them."""
        first = self._current or self._following
        transactions = [*([first] if first else []), *(t for q in self._queues.values() for t in q)]
        self._current = None
        self._forget_connection()
        for queue in self._queues.values():
            queue.clear()
        broken_off, self._broken_off = self._broken_off, []
        return [*broken_off, *(Result(each, Outcome.OFFLINE, "the device went offline") for each in transactions)]

    def discard_opening(self) -> None:
        """Forget opening requests that wait to be written."""
        for priority, queue in self._queues.items():
            self._queues[priority] = deque(each for each in queue if not each.is_opening)

    def _may_retry(self, transaction: Transaction) -> bool:
        return transaction.response is not None and transaction.attempts <= transaction.retries

    def _write(self, transaction: Transaction, now: float) -> bytes:
        if self._collector:
            self._release(self._collector.take()[0])
        if transaction.data:
            self.pause_after(len(transaction.data), now)
            self.last_written = now
            if transaction.attempts == 0:
                self.write_speed = self.speed
            self.speed = self.write_speed
        begins_at = now if transaction.data else max(now, self._quiet_until)
        self.speed = transaction.baudrate or self.speed
        self._deadline = begins_at + transaction.timeout
        self._current = transaction
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
