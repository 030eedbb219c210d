"""One reading: the value of a point, when the device gave it, and how good it is. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from gateway.devices.point import Point, PointType
from gateway.devices.report import NEVER, has_moved
from gateway.devices.value import MAX_TEXT, is_equal, is_value
from gateway.message import Argument, InternalMsg, ReportRule, shown


class Quality(enum.Enum):
    """How far a value can be trusted; the values are the words of a state document."""

    GOOD = "good"
    STALE = "stale"
    BAD = "bad"
    UNKNOWN = "unknown"


class Unset:
    """The value of a reading that there has not been yet; None is a value that a device can give."""

    def __repr__(self) -> str:
        return "unset"


UNSET: Final = Unset()


_TYPES: Final = {
    PointType.BOOLEAN: (bool,),
    PointType.NUMBER: (int, float),
    PointType.INTEGER: (int,),
    PointType.TEXT: (str,),
    PointType.EVENT: (str,),
    PointType.CHOICE: (str, int, float, bool),
}
"""The types of a point's values; bool is no number here, though Python derives it from int."""


DUE, WAITING, CHANGED, BAD, HELD, GOOD_AGAIN = 1, 2, 4, 8, 16, 32
"""What a value that has come makes of its message, bit by bit: it goes out now; it has changed, and goes out at the end
of the interval; the state of the device is another one; it is no value; a rule holds it back; there was no good value
before it. Plain numbers, for they are added up for each value of each line, and those of `enum.Flag` take ten times as
long."""

_HELD_REASONS = {
    BAD: "none of its values is one",
    WAITING: "it has changed too soon: the last value goes out at the end of its interval",
    CHANGED: "it has changed by no more than its deadband",
}


def held_reason(flags: int) -> str:
    """Return why nothing of a message with these flags goes out."""
    return next((reason for flag, reason in _HELD_REASONS.items() if flags & flag), "it has not changed")


def bad_values(arguments: Mapping[str, Argument]) -> list[str]:
    """Return the names of the arguments that are no values, such as numbers that are infinite or none (NaN)."""
    return [name for name, value in arguments.items() if not is_value(value)]


def without_bad_values(msg: InternalMsg) -> InternalMsg:
    """Return what is left of `msg` without the arguments that are no values."""
    bad = bad_values(msg.arguments)
    return msg.without_arguments(bad) if bad else msg


class Reading:
    """A reading, and what of it was reported last.

    `value` is the last good one, also while `quality` is stale or bad; `reason` says why it is bad. `time` (s, Unix
    time) and `seen_at` (s, the model's clock) are those of the value; `reported` and `reported_at` are what went out
    last. `point` is None where only a report rule of a message has brought it about.
    """

    __slots__ = (
        "choices", "none", "point", "quality", "reason", "report", "reported", "reported_at", "seen_at", "time",
        "types", "value",
    )  # fmt: skip

    def __init__(self, point: Point | None = None) -> None:
        self.point = point
        self.report: ReportRule | None = None if point is None else point.report
        self.none: tuple[Argument, ...] = () if point is None else point.none
        self.choices: tuple[Argument, ...] = () if point is None else point.choices
        self.types: tuple[type, ...] = () if point is None else _TYPES.get(point.type, ())
        self.value: Argument | Unset = UNSET
        self.time = 0.0
        self.seen_at = NEVER
        self.quality = Quality.UNKNOWN
        self.reason = ""
        self.reported: Argument | Unset = UNSET
        self.reported_at = NEVER

    def __repr__(self) -> str:
        return f"<Reading {self.value!r} {self.quality.value}>"

    def update(self, name: str, value: Argument, rule: ReportRule | None, now: float, wall: float) -> int:
        """Record that the argument `name` of a message has `value`; `rule` is that of the message.

        The rule of the point goes before it. The caller calls `set_reported` if the message goes out.
        """
        # Minus itself, only an infinite number and one that is none (NaN) are not 0: cheaper than a call for each.
        if (value - value != 0.0 if type(value) is float else not is_value(value)) or (
            self.none and _is_any(value, self.none)
        ):
            return self.set_bad(f"{shown(value):.60} is no value")
        kind = type(value)
        is_plain = kind in self.types and not (self.choices or kind is str)  # most are, and need no further look
        if self.types and not is_plain and not self._is_of_point(value):
            return self.set_bad(f"{shown(value):.60} is no {self.point.type.value} of the point")  # type: ignore[union-attr]
        verdict, previous = 0, self.value
        if self.quality is not Quality.GOOD:
            self.quality, self.reason = Quality.GOOD, ""
            verdict = CHANGED | GOOD_AGAIN
        elif previous != value or type(previous) is not type(value):
            verdict = CHANGED  # whether or not a rule holds back the message: it is no rule for the state
        self.value, self.time, self.seen_at = value, wall, now
        rule = self.report or rule
        if rule is None:
            return verdict | DUE
        deadband = rule.deadband
        if not rule.on_change or has_moved(
            self.reported, value, deadband if type(deadband) is float else rule.deadband_of(name)
        ):
            return verdict | DUE if now - self.reported_at >= rule.interval else verdict | HELD | WAITING
        if rule.refresh is not None and now - self.reported_at >= rule.refresh:
            return verdict | HELD | DUE
        return verdict | HELD

    def _is_of_point(self, value: object) -> bool:
        # An interface may pass members of an enum, or the numbers of a library, which are derived from plain ones.
        is_of_type = isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool))
        # As in JSON, 50.0 is an integer.
        is_whole = self.types == (int,) and isinstance(value, float) and value.is_integer()
        if not (is_of_type or is_whole) or (isinstance(value, str) and len(value) > MAX_TEXT):
            return False
        return not self.choices or _is_any(value, self.choices)

    def set_bad(self, reason: str) -> int:
        """Record that the device has sent something that is no value, and why; return its flags, as `update`."""
        is_new = self.quality is not Quality.BAD or self.reason != reason
        self.quality, self.reason = Quality.BAD, reason
        return BAD | CHANGED if is_new else BAD

    def doubt(self) -> None:
        """Record that nobody knows whether a good value is still so."""
        if self.quality is Quality.GOOD:
            self.quality = Quality.STALE

    def has_moved(self, name: str, rule: ReportRule) -> bool:
        """Return whether the value of the argument `name` differs from what was reported last, as `rule` wants it."""
        return has_moved(self.reported, self.value, rule.deadband_of(name) if rule.deadband else 0.0)

    def is_fit(self, value: object) -> bool:
        """Return whether `value` is one that the point, of which there must be one, can have."""
        if not is_value(value) or (self.none and _is_any(value, self.none)):
            return False
        return self._is_of_point(value)

    def can_follow(self, previous: Reading) -> bool:
        """Return whether the value of a reading of another configuration is one that the point can have."""
        return previous.value is UNSET or self.is_fit(previous.value)

    def set_reported(self, value: Argument, now: float) -> None:
        """Record that `value` has gone out."""
        self.reported, self.reported_at = value, now

    def restore(self, value: Argument, wall: float) -> None:
        """Begin with a value of an earlier run: nobody knows whether it is still so."""
        if self.quality is Quality.UNKNOWN:
            self.value, self.time, self.quality = value, wall, Quality.STALE

    def carry_over(self, previous: Reading) -> None:
        """Go on with the value of a reading that meant the same before the configuration was reloaded."""
        if previous.quality is Quality.UNKNOWN:
            return  # it has no value, and this one may have that of an earlier run
        for name in ("value", "time", "seen_at", "quality", "reason", "reported", "reported_at"):
            setattr(self, name, getattr(previous, name))


class Companion(Reading):
    """An argument that no point and no rule covers, of messages that the rule of a point may hold back.

    It holds back nothing, but where it has changed, its message goes out.
    """

    __slots__ = ()

    def update(self, name: str, value: Argument, rule: ReportRule | None, now: float, wall: float) -> int:  # noqa: ARG002
        """Record the value, as `Reading.update` does. It is no part of the state, so that this does not change."""
        if not is_value(value):
            return self.set_bad(f"{shown(value):.60} is no value") & ~CHANGED
        self.value, self.time, self.seen_at, self.quality = value, wall, now, Quality.GOOD
        return DUE if has_moved(self.reported, value, 0.0) else 0


def _is_any(value: object, known: tuple[Argument, ...]) -> bool:
    return any(is_equal(value, each) for each in known)
