"""What goes wrong with a simulated device, and when. Pure; all times in seconds since the start of the simulation."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.errors import Problem

EFFECTS = ("split", "noise", "slow", "silent", "hang_up", "echo")
"""The options of which each fault has at least one."""

_BITS = 8


class Fault(NamedTuple):
    """One fault: it is at work from `begin` to `end`, and again after each `every`; None: for ever, or only once."""

    begin: float
    end: float | None
    every: float | None
    split: int = 0
    pause: float = 0.0
    noise: float = 0.0
    slow: float = 0.0
    silent: bool = False
    hang_up: bool = False
    echo: bool = False

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Fault:
        """Return the fault that an entry of `faults` describes."""
        effects = {name: options[name] for name in (*EFFECTS, "pause") if name in options}
        return cls(options["from"], options.get("to"), options.get("every"), **effects)

    def is_active(self, now: float) -> bool:
        """Return whether it is at work at `now`."""
        return any(begin <= now and (end is None or now < end) for begin, end in self._windows(now))

    def next_change(self, now: float) -> float | None:
        """Return the next time after `now` at which it begins or ends; None: it does neither."""
        times = [when for window in self._windows(now) for when in window if when is not None and when > now]
        return min(times, default=None)

    def _windows(self, now: float) -> Iterator[tuple[float, float | None]]:
        """Yield beginning and end of the windows around `now`: with those beside them, rounding makes no difference."""
        if self.every is None:
            yield self.begin, self.end
            return
        current = int(now // self.every)
        for number in range(max(0, current - 1), current + 2):
            offset = number * self.every
            yield offset + self.begin, offset + (self.every if self.end is None else self.end)


class Faults:
    """All faults of a device; `chance` decides what is damaged, and where."""

    def __init__(self, options: Sequence[Mapping[str, Any]], chance: random.Random) -> None:
        self._faults = [Fault.from_options(each) for each in options]
        self._chance = chance

    def has(self, test: Callable[[Fault], bool], now: float) -> bool:
        """Return whether a fault for which `test` is true is at work at `now`."""
        return any(test(fault) and fault.is_active(now) for fault in self._faults)

    def delay(self, now: float) -> float:
        """Return how many seconds later an answer comes at `now`."""
        return sum(fault.slow for fault in self._faults if fault.slow and fault.is_active(now))

    def damaged(self, data: bytes, now: float) -> bytes:
        """Return what arrives of a frame: mostly itself, or, by chance, with one byte wrong, lost, or too many."""
        for fault in self._faults:
            if fault.noise and data and fault.is_active(now) and self._chance.random() < fault.noise:
                data = self._damage(data)
        return data

    def _damage(self, data: bytes) -> bytes:
        at = self._chance.randrange(len(data))
        kind = self._chance.randrange(3)
        if kind == 0:
            return data[:at] + bytes([data[at] ^ 1 << self._chance.randrange(_BITS)]) + data[at + 1 :]
        return data[:at] + data[at + 1 :] if kind == 1 else data[:at] + self._chance.randbytes(1) + data[at:]

    def pieces(self, data: bytes, now: float) -> Iterator[tuple[float, bytes]]:
        """Yield the pieces in which `data` arrives, each with the seconds after the one before it."""
        splitting = next((fault for fault in self._faults if fault.split and fault.is_active(now)), None)
        if splitting is None:
            yield 0.0, data
            return
        pause = 0.0
        while data:
            size = self._chance.randint(1, splitting.split)
            yield pause, data[:size]
            data, pause = data[size:], splitting.pause

    def next_change(self, now: float) -> float | None:
        """Return the next time after `now` at which a fault begins or ends; None: none does."""
        times = [when for fault in self._faults if (when := fault.next_change(now)) is not None]
        return min(times, default=None)


def check_faults(faults: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield the problems of `faults` that the schema cannot find."""
    for index, options in enumerate(faults):
        path = ("faults", index)
        begin, end, every = options["from"], options.get("to"), options.get("every")
        if not any(options.get(name) for name in EFFECTS):
            yield Problem(path, "nothing goes wrong", f"add one of {', '.join(EFFECTS)}")
        if end is not None and end <= begin:
            yield Problem((*path, "to"), f"it ends at {end:g} s, before it begins", f"choose more than {begin:g}")
        elif every is not None and begin >= every:
            yield Problem((*path, "from"), f"it begins after the end of its period of {every:g} s", "choose less")
        elif every is not None and end is not None and end > every:
            yield Problem((*path, "to"), f"it ends after the end of its period of {every:g} s", f"choose {every:g}")
