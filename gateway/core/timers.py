"""The timers of one thread: functions that are called after a delay, or periodically. Pure: the clock is an argument.

Nothing here waits or starts a thread: the owner waits in its loop for at most `due_in` seconds, and calls `run_due`.
"""

from __future__ import annotations

import heapq
import itertools
import math
import sys
from collections.abc import Callable

from gateway.message import shown

Function = Callable[[], object]
_MIN_PRUNED = 64
_MOST_COUNTED = 2.0**53  # periods: a float tells more of them apart no longer, and may be infinite
_LONGEST = sys.float_info.max  # s; an integer may be larger


def _call(function: Function) -> object:
    return function()


def name_of(function: Function) -> str:
    """Return the name of `function` for the log."""
    return getattr(function, "__qualname__", None) or repr(function)


class Timer:
    """A function that is called once after a delay, or periodically, until `cancel` is called."""

    __slots__ = ("_function", "_period", "_timers", "is_cancelled", "when")

    def __init__(self, timers: Timers, when: float, function: Function, period: float | None) -> None:
        self.when = when
        self.is_cancelled = False
        self._timers = timers
        self._function = function
        self._period = period

    def __repr__(self) -> str:
        return f"<Timer {self.name} every {self._period:g} s>" if self._period is not None else f"<Timer {self.name}>"

    @property
    def name(self) -> str:
        """The name of the function."""
        return name_of(self._function)

    def cancel(self) -> None:
        """End the timer: the function is not called any more. Any thread may call this, also more than once."""
        self.is_cancelled = True

    def run(self, now: float, call: Callable[[Function], object] = _call) -> None:
        """Call the function, and schedule the next call. An exception of the function is raised, but ends no period."""
        if self._period is None:
            self.is_cancelled = True
            call(self._function)
            return
        # The rhythm is kept: calls that were missed, for example while the machine was suspended, are skipped.
        missed = max(0.0, (now - self.when) / self._period)
        if missed < _MOST_COUNTED:
            self.when += (math.floor(missed) + 1) * self._period
        else:  # such a short period has no rhythm that could be kept
            self.when = now + self._period
        self._timers.add(self)
        if call(self._function) is True:
            self.is_cancelled = True


class Timers:
    """The timers of one thread. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._limit = _MIN_PRUNED  # entries in the heap at which the cancelled ones are removed
        self._count = itertools.count()

    def every(self, seconds: float, function: Function) -> Timer:
        """Call `function` every `seconds`, for the first time after one period, until it returns True.

        Raises `ValueError` unless `seconds` is a finite number above 0.
        """
        if not 0 < seconds <= _LONGEST:
            raise ValueError(f"a period must be a finite number of seconds above 0, not {shown(seconds):.60}")
        return self.add(Timer(self, self._clock() + seconds, function, seconds))

    def after(self, seconds: float, function: Function) -> Timer:
        """Call `function` once, after `seconds`. Raises `ValueError` unless that is a finite number, 0 or above."""
        if not 0 <= seconds <= _LONGEST:
            raise ValueError(f"a delay must be a finite number of seconds, 0 or above, not {shown(seconds):.60}")
        return self.add(Timer(self, self._clock() + seconds, function, None))

    def add(self, timer: Timer) -> Timer:
        """Schedule the next call of `timer`, and return it."""
        if len(self._heap) >= self._limit:
            # A timer that is cancelled and replaced at each reading would otherwise fill the memory until it is due.
            self._heap = [entry for entry in self._heap if not entry[2].is_cancelled]
            heapq.heapify(self._heap)
            self._limit = max(_MIN_PRUNED, 2 * len(self._heap))
        heapq.heappush(self._heap, (timer.when, next(self._count), timer))
        return timer

    def __len__(self) -> int:
        """Return the number of timers that are not over or cancelled."""
        return sum(not timer.is_cancelled for *_, timer in self._heap)

    def due_in(self) -> float:
        """Return in how many seconds the next call is due: 0 if it is already, infinite if there is none."""
        while self._heap and self._heap[0][2].is_cancelled:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else math.inf

    def run_due(self, on_error: Callable[[Timer, Exception], None], call: Callable[[Function], object] = _call) -> int:
        """Call the functions that are due now, each by `call`; return how many were called.

        An exception of a function is passed to `on_error`, and ends neither its timer nor others. If a function starts
        a timer that is due immediately, that one is called by the next `run_due`, so that the thread is never blocked.
        """
        now, due = self._clock(), []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        called = 0
        for timer in due:
            if timer.is_cancelled:
                continue
            called += 1
            try:
                timer.run(now, call)
            except Exception as err:  # noqa: BLE001  (the author's code may raise anything)
                on_error(timer, err)
        return called

    def clear(self) -> None:
        """End all timers."""
        self._heap.clear()
