"""What is remembered of messages for their report rules: what went out last, and what waits for its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gateway.devices.device_state import DeviceState
from gateway.devices.point import Point
from gateway.devices.reading import Quality, Reading
from gateway.message import Argument, InternalMsg

MAX_SERIES = 10_000
"""Messages that differ in address, action or the arguments of `by`, and are remembered for a report rule alone."""


class Series:
    """The messages of one address and action, and one set of values of the arguments that tell them apart."""

    __slots__ = ("constants", "pending", "readings", "reported", "scheduled", "states")

    def __init__(self) -> None:
        self.readings: dict[str, Reading] = {}
        self.constants: list[tuple[Reading, Argument]] = []
        self.states: list[DeviceState] = []
        self.reported: InternalMsg | None = None  # the last message that went out
        self.pending: InternalMsg | None = None  # one that goes out at the end of an interval
        self.scheduled = math.inf

    def has_other_arguments(self, msg: InternalMsg) -> bool:
        """Return whether the arguments of `msg` are others than those of the last one: it tells more, or less."""
        return self.reported is not None and self.reported.arguments.keys() != msg.arguments.keys()

    def set_reported(self, msg: InternalMsg, now: float) -> None:
        """Record that `msg` goes out."""
        self.pending, self.reported = None, msg
        for reading, value in self.constants:
            reading.set_reported(value, now)
        for name, value in msg.arguments.items():
            reading = self.readings.get(name)  # type: ignore[assignment]
            if reading is not None:
                reading.set_reported(value, now)

    def readings_of(self, msg: InternalMsg | None) -> list[tuple[str, Reading]]:
        """Return the readings that `msg`, one of the series, tells: others of the series say nothing of it."""
        names = () if msg is None else msg.arguments
        told = [(name, self.readings[name]) for name in names if name in self.readings]
        return [*told, *(("", reading) for reading, _ in self.constants)]

    def due(self) -> float:
        """Return when a message is to go out without another one coming in; infinite: never."""
        due = math.inf
        last = self.pending or self.reported
        rule = None if last is None else last.report
        for name, reading in self.readings_of(last):
            own = reading.report or rule
            if own is None:
                continue
            if self.pending is not None:
                if own.on_change and not reading.has_moved(name, own):
                    continue  # another value of the message waits
                due = min(due, reading.reported_at + own.interval)
            elif own.refresh is not None:
                due = min(due, reading.reported_at + own.refresh)
        return due

    def message_due(self, now: float) -> InternalMsg | None:
        """Return what is to be sent: what waited for the end of an interval, or the last message once more."""
        due = self.due()
        if due == math.inf:
            self.pending = None  # another message has taken back meanwhile what waited
        if due > now:
            return None
        if self.pending is not None:
            # Another action may have told something else meanwhile: then it is that one's turn.
            is_so = all(reading.value == value for reading, value in self.constants)
            msg, self.pending = self.pending, None
            return msg if is_so else None
        readings = [reading for _, reading in self.readings_of(self.reported)]
        is_so = all(reading.quality is Quality.GOOD for reading in readings) and all(
            reading.value == value for reading, value in self.constants
        )
        if not is_so:
            for reading in readings:
                reading.reported_at = max(reading.reported_at, now)  # asked again after a refresh, not at once
            return None
        return self.reported

    def doubt(self) -> None:
        """Record that nobody knows whether what was read is still so."""
        for reading in (*self.readings.values(), *(reading for reading, _ in self.constants)):
            reading.doubt()


class Group:
    """The messages of one address and action."""

    __slots__ = ("by", "children", "feeds")

    def __init__(self) -> None:
        self.by: tuple[str, ...] = ()
        self.children: dict[tuple[str, ...], Series] = {}
        self.feeds: list[tuple[DeviceState, Point, Mapping[str, Argument]]] = []

    def key_of(self, arguments: Mapping[str, Argument]) -> tuple[str, ...]:
        """Return the key in `children` of messages with `arguments`."""
        return tuple([repr(arguments.get(name)) for name in self.by]) if self.by else ()

    def series_of(self, msg: InternalMsg) -> Series | None:
        """Return what is remembered of messages like `msg`; None: nothing."""
        return self.children.get(self.key_of(msg.arguments))
