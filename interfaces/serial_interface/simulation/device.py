"""A simulated serial device: bytes in, bytes out, and time as an argument. Pure.

bytes -> framing -> the answer that matches -> state, frames -> faults -> bytes, each at its time
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.core.counting import counted
from gateway.errors import Problem
from interfaces.serial_interface.frame_watch import FrameWatch
from interfaces.serial_interface.framing.wire import FramingError
from interfaces.serial_interface.options import frame_timeout
from interfaces.serial_interface.simulation.faults import Faults
from interfaces.serial_interface.simulation.script import (
    Action,
    ActionError,
    AnswerRule,
    Say,
    check_script,
    make_codec,
    script_schema,
)

_MAX_WAITING = 1024 * 1024  # bytes that wait to be sent; a device that is asked faster than it answers drops more


class Event(NamedTuple):
    """Something that the device does, as a text for people.

    `frame` is the frame that it has received, without its framing, if it is about one; `is_known` is false if no entry
    of `answers` matches it, or if its checksum is wrong.
    """

    text: str
    frame: bytes | None = None
    is_known: bool = True

    def __str__(self) -> str:
        return self.text


class SimulatedDevice:
    """A device that a script describes. All times are in seconds since the start of the simulation.

    Call `connect` when there is a line to the device, `receive` with the bytes that were written to it, `step` when
    `due` has come, until it returns no more bytes, and `disconnect` when the line is gone. `is_plugged_in` returns
    whether there is to be a line. `on_event` is called with what happens. `seed` decides about all that is left to
    chance: with the same seed and the same times, the same happens.
    """

    schema = staticmethod(script_schema)

    @classmethod
    def check(cls, params: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield the problems of a script that its schema cannot find."""
        yield from check_script(params)

    def __init__(
        self, params: Mapping[str, Any], on_event: Callable[[Event], None] = lambda _: None, seed: int = 0
    ) -> None:
        encoding = params["encoding"]
        self.state: dict[str, Any] = dict(params["state"])
        self._on_event = on_event
        self._codec = make_codec(params)
        self._frame_timeout = frame_timeout(params["framing"])
        self._last_byte = 0.0  # when it came
        self._says = [Say(options, encoding) for options in params["says"]]
        self._answers = [AnswerRule(options, encoding) for options in params["answers"]]
        # No secret depends on this chance.
        self._faults = Faults(params["faults"], random.Random(seed))  # noqa: S311
        self._now = 0.0
        self._is_connected = False
        self._plan: list[tuple[float, int]] = []  # a heap: when something is to be said, and its number in `_says`
        self._frames: list[tuple[float, int, bytes, bool]] = []  # a heap: when, in which order, what, if damageable
        self._pieces: Iterator[tuple[float, bytes]] = iter(())  # the following ones of the frame that is being sent
        self._piece: tuple[float, bytes] | None = None  # the next one, and when it is sent
        self._order = itertools.count()
        self._waiting = 0  # bytes in `_frames`
        self._answered_at = 0.0
        self._watch = FrameWatch()
        self._discarded = 0

    # --- the line

    def is_plugged_in(self, now: float) -> bool:
        """Return whether the line is there, which it is unless a fault takes it away."""
        return not self._faults.has(lambda fault: fault.hang_up, now)

    def connect(self, now: float) -> None:
        """Begin to talk: the line is there."""
        self.disconnect()
        self._now, self._is_connected = now, True
        self._watch.reset()
        self._plan = [(now + say.at, index) for index, say in enumerate(self._says)]
        heapq.heapify(self._plan)

    def disconnect(self) -> None:
        """Forget what waits to be sent, and the partial frame: the line is gone. The state stays."""
        self._is_connected = False
        self._codec.framer.reset()
        self._plan, self._frames, self._waiting = [], [], 0
        self._pieces, self._piece = iter(()), None
        self._answered_at = 0.0

    # --- time

    def due(self) -> float | None:
        """Return the time at which `step` would do something, or the line comes or goes; None: never."""
        times = [self._faults.next_change(self._now)]
        if self._is_connected:
            times.append(self._codec.framer.due())
            times.append(self._watch.due())
            times.append(self._partial_until())
            times.append(self._plan[0][0] if self._plan else None)
            times.append(self._piece[0] if self._piece else self._frames[0][0] if self._frames else None)
        return min((when for when in times if when is not None), default=None)

    def _partial_until(self) -> float | None:
        """Return the time at which a partial frame is given up; None if there is none, or it waits for ever."""
        if self._frame_timeout is None or not self._codec.framer.has_partial_frame:
            return None
        return self._last_byte + self._frame_timeout

    def step(self, now: float) -> bytes:
        """Do what is due at `now`; return the next bytes that the device sends, or none."""
        self._now = now
        if not self._is_connected:
            return b""
        self._hear(self._codec.feed(b"", now), now)
        until = self._partial_until()
        if until is not None and now >= until:
            self._hear(self._codec.flush_partial(), now)
        if (without := self._watch.overdue(now)) is not None:
            count = f"{without.received} bytes in {without.seconds:.0f} s"
            told = f"hears {_shown(without.beginning)} ({count}), but no frame has ended"
            self._on_event(Event(f"{told}: check the framing of the script"))
        while self._plan and self._plan[0][0] <= now:
            self._send_planned(now)
        if self._piece is None and self._frames and self._frames[0][0] <= now:
            self._begin_frame(now)
        if self._piece is None or self._piece[0] > now:
            return b""
        data = self._piece[1]
        self._piece = next(self._pieces, None)
        return data

    def receive(self, data: bytes, now: float) -> None:
        """Accept the bytes that have been written to the device at `now`."""
        self._now = now
        if not self._is_connected:
            return
        if self._faults.has(lambda fault: fault.echo, now):
            self._send(data, now, is_own=False)
        self._watch.received(data, now)
        self._last_byte = now
        self._hear(self._codec.feed(data, now), now)

    # --- what it does

    def _send_planned(self, now: float) -> None:
        when, index = self._plan[0]
        say = self._says[index]
        if say.every is None:
            heapq.heappop(self._plan)
        else:
            following = when + say.every * (1 + (now - when) // say.every)
            heapq.heapreplace(self._plan, (following if following > now else following + say.every, index))
        if say.action.counts(self.state) and not self._is_silent(now):
            self._perform(say.action, {}, now, "says")

    def _hear(self, frames: Iterable[tuple[bytes, str]], now: float) -> None:
        for frame, error in frames:
            self._watch.end()
            if error:
                self._on_event(Event(f"hears {_shown(frame)}: {error}", frame, is_known=False))
            else:
                self._answer(frame, now)
        framer = self._codec.framer
        if framer.discarded_bytes > self._discarded:
            self._on_event(Event(f"discards {framer.discarded_bytes - self._discarded} bytes that are no frame"))
        self._discarded = framer.discarded_bytes

    def _answer(self, frame: bytes, now: float) -> None:
        if self._is_silent(now):
            self._on_event(Event(f"hears {_shown(frame)}: it is silent", frame))
            return
        for rule in self._answers:
            sets = rule.match(frame, self.state)
            if sets is not None:
                self._on_event(Event(f"hears {_shown(frame)}: answer {rule.name!a}", frame))
                self._answered_at = max(now + rule.delay + self._faults.delay(now), self._answered_at)
                for values in sets:
                    self._perform(rule.action, values, self._answered_at, "answers")
                return
        self._on_event(Event(f"hears {_shown(frame)}: no answer matches", frame, is_known=False))

    def _perform(self, action: Action, values: Mapping[str, Any], at: float, verb: str) -> None:
        try:
            for content in action.perform(values, self.state):
                self._on_event(Event(f"{verb} {_shown(content)}"))
                self._send(self._codec.wrap(content, action.framing), at)
        except (ActionError, FramingError) as err:
            self._on_event(Event(f"{verb} nothing: {err}"))

    def _is_silent(self, now: float) -> bool:
        return self._faults.has(lambda fault: fault.silent, now)

    # --- what it sends

    def _send(self, data: bytes, at: float, *, is_own: bool = True) -> None:
        if self._waiting + len(data) > _MAX_WAITING:
            self._on_event(
                Event(f"{counted(len(data), 'byte')} dropped: more than {_MAX_WAITING} bytes wait to be sent")
            )
            return
        self._waiting += len(data)
        heapq.heappush(self._frames, (at, next(self._order), data, is_own))

    def _begin_frame(self, now: float) -> None:
        """Take the next frame, with the faults of this time."""
        _, _, data, is_own = heapq.heappop(self._frames)
        self._waiting -= len(data)
        self._pieces = self._timed_pieces(self._faults.damaged(data, now) if is_own else data, now)
        self._piece = next(self._pieces, None)

    def _timed_pieces(self, data: bytes, now: float) -> Iterator[tuple[float, bytes]]:
        at = now
        for pause, piece in self._faults.pieces(data, now):
            at += pause
            yield at, piece


def _shown(data: bytes) -> str:
    """Return bytes as text with control characters escaped, and those that are no text in hexadecimal."""
    text = ascii(data)[1:]
    return data.hex(" ") if "\\x" in text else text
