"""Who speaks when: one exchange at a time, in order of urgency, with pauses, answers, timeouts and retries.

Pure: it is given frames and the time, and says what to write and what has become of each exchange.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from interfaces.rules.extractors import Values


class Priority(enum.IntEnum):
    """What is written first: what opens the conversation, then commands, then polls."""

    OPENING = 0
    COMMAND = 1
    POLL = 2


class Outcome(enum.Enum):
    """What has become of an exchange; the values are what a reply says as `response`."""

    DONE = "OK"
    TIMED_OUT = "TIMEOUT"
    REFUSED = "REFUSED"
    OFFLINE = "OFFLINE"


ReadFrame = Callable[[bytes], "list[Values] | None"]


class Transaction:
    """Something to write, and the answer that is waited for.

    `response` and `refusal` read a frame, or say None if it is not the answer. Where there is only a `refusal`,
    silence means that it is done. `subject` is the caller's. Times in seconds.
    """

    def __init__(
        self,
        data: bytes,
        urgency: Priority,
        subject: Any = None,
        response: ReadFrame | None = None,
        refusal: ReadFrame | None = None,
        timeout: float = 1.0,
        retries: int = 0,
    ) -> None:
        self.data = data
        self.urgency = urgency
        self.subject = subject
        self.response = response
        self.refusal = refusal
        self.timeout = timeout
        self.retries = retries
        self.since = 0.0
        self.tries = 0


class Result(NamedTuple):
    """The end of an exchange: the frame that answered it and its values, or why there is none."""

    exchange: Transaction
    outcome: Outcome
    reason: str = ""
    frame: bytes = b""
    values: tuple[Mapping[str, Any], ...] = ()


class RateLimit(NamedTuple):
    """How fast the device may be written to; 0: as fast as it goes. `pause` (s) follows each frame, either way."""

    pause: float = 0.0
    bytes_per_second: float = 0.0
    frames_per_second: float = 0.0
    max_waiting: int = 100
    longest_wait: float = 10.0


class Conversation:
    """The queue of exchanges and the one that is under way.

    Call `submit`, `hear` each frame, and `turn` when something may be due; `due` says when that is.
    """

    def __init__(self, pacing: RateLimit) -> None:
        self._pacing = pacing
        self._waiting: dict[Priority, deque[Transaction]] = {urgency: deque() for urgency in Priority}
        self._current: Transaction | None = None
        self._deadline = 0.0  # of the current exchange's answer
        self._quiet_until = 0.0
        self._late: Transaction | None = None  # whose answer may still come, and would be taken for the next one's
        self._late_until = 0.0
        self.last_written = 0.0

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing is under way, and nothing waits: `turn` would write and end nothing."""
        return self._current is None and not any(self._waiting.values())

    @property
    def listens(self) -> bool:
        """Tell whether a frame means anything to it; if not, `hear` need not be called before the next `submit`."""
        return bool(self._pacing.pause) or self._current is not None or self._late is not None

    def submit(self, exchange: Transaction, now: float) -> bool:
        """Take an exchange; return False if too many commands wait already."""
        queue = self._waiting[exchange.urgency]
        if exchange.urgency is Priority.COMMAND and len(queue) >= self._pacing.max_waiting:
            return False
        exchange.since = now
        queue.append(exchange)
        return True

    def hear(self, frame: bytes, now: float) -> Result | None:
        """Take a frame; return how it ends the current exchange, or None if it is not its answer.

        Raises `CodecError` if it is the answer and cannot be read: then it is none.
        """
        if self._pacing.pause:
            self._quiet_until = max(self._quiet_until, now + self._pacing.pause)
        current = self._current
        if current is None:
            if self._late is not None:
                self._forget_late(self._late, frame, now)
            return None
        if current.refusal is not None and (found := current.refusal(frame)) is not None:
            self._current = None
            return Result(current, Outcome.REFUSED, "the device refused it", frame, tuple(found))
        if current.response is not None and (found := current.response(frame)) is not None:
            self._current = None
            return Result(current, Outcome.DONE, "", frame, tuple(found))
        return None

    def turn(self, now: float) -> tuple[bytes, list[Result]]:
        """Return what to write now, and the exchanges that have ended."""
        results = self._give_up_late(now)
        current = self._current
        if current is not None and now >= self._deadline:
            if self._may_try_again(current):
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
        following = next((queue for queue in self._waiting.values() if queue), None)
        if following is None:
            return b"", results
        exchange = following.popleft()
        data = self._write(exchange, now)
        if exchange.response is None and exchange.refusal is None:
            self._current = None
            results.append(Result(exchange, Outcome.DONE))
        return data, results

    def due(self) -> float | None:
        """Return the time (s) at which `turn` would do something, or None if only a frame can."""
        if self.is_idle:
            return None
        times = [queue[0].since + self._pacing.longest_wait for queue in [self._waiting[Priority.COMMAND]] if queue]
        if self._current is not None:
            times.append(max(self._deadline, self._quiet_until if self._may_try_again(self._current) else 0.0))
        elif any(self._waiting.values()):
            times.append(max(self._quiet_until, self._late_until if self._late is not None else 0.0))
        return min(times, default=None)

    def abort(self) -> list[Result]:
        """Give everything up, for the device is gone."""
        given_up = [*([self._current] if self._current else []), *(e for q in self._waiting.values() for e in q)]
        self._current = self._late = None
        for queue in self._waiting.values():
            queue.clear()
        return [Result(exchange, Outcome.OFFLINE, "the device went offline") for exchange in given_up]

    def _forget_late(self, late: Transaction, frame: bytes, now: float) -> None:
        """End the wait for an answer that is overdue, if this is it, or if that is over."""
        readers = (late.response, late.refusal)
        if now >= self._late_until or any(read is not None and read(frame) is not None for read in readers):
            self._late = None

    def _may_try_again(self, exchange: Transaction) -> bool:
        return exchange.response is not None and exchange.tries <= exchange.retries

    def _write(self, exchange: Transaction, now: float) -> bytes:
        pacing, size = self._pacing, len(exchange.data)
        cost = [pacing.pause]
        if pacing.bytes_per_second:
            cost.append(size / pacing.bytes_per_second)
        if pacing.frames_per_second:
            cost.append(1.0 / pacing.frames_per_second)
        self._quiet_until = now + max(cost)
        self._deadline = now + exchange.timeout
        self._current = exchange
        self.last_written = now
        exchange.tries += 1
        return exchange.data

    def _give_up_late(self, now: float) -> list[Result]:
        """End commands that have waited so long that nobody expects them to be done any more."""
        late: list[Result] = []
        queue = self._waiting[Priority.COMMAND]
        while queue and now >= queue[0].since + self._pacing.longest_wait:
            reason = f"it waited {self._pacing.longest_wait:g} s for the line"
            late.append(Result(queue.popleft(), Outcome.TIMED_OUT, reason))
        return late


def _unanswered(exchange: Transaction) -> Result:
    """Return what it means that no answer has come."""
    if exchange.response is None:
        return Result(exchange, Outcome.DONE)
    times = f" ({exchange.tries} tries)" if exchange.tries > 1 else ""
    return Result(exchange, Outcome.TIMED_OUT, f"the device did not answer within {exchange.timeout:g} s{times}")
