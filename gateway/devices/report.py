"""When a reading is worth reporting: only what has changed, not too often, and again from time to time. Pure.

In process control this is called report by exception, with a deadband and a heartbeat.
"""

from __future__ import annotations

import math

NEVER = -math.inf
"""The time of what has not happened yet, in seconds of the model's clock."""


def has_moved(previous: object, value: object, deadband: float) -> bool:
    """Return whether `value` differs from `previous`: a number by more than `deadband`, anything else at all.

    True and 1 differ, though Python says that they are equal, and so do 1 and 1.0: their payloads do.
    """
    if type(value) is float and type(previous) is float:  # the usual case, at a quarter of the cost
        return abs(value - previous) > deadband if deadband else previous != value
    if deadband and _is_number(previous) and _is_number(value):
        return bool(abs(value - previous) > deadband)  # type: ignore[operator]
    return previous != value or type(previous) is not type(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def in_whole_seconds(due: float, period: float = 1.0) -> float:
    """Return `due` (s), at the end of a `period`, rounded up to whole seconds, unless the period is shorter than one.

    Otherwise each of a thousand quiet devices would wake the process at a moment of its own.
    """
    return due if period < 1.0 or math.isinf(due) else float(math.ceil(due))
