"""Which values a message, a point and a document can have, and which of them are the same. Pure.

An interface may pass any object of Python: one that JSON cannot represent, or that fails when it is compared or shown.
What is no value is looked at nowhere else.
"""

from __future__ import annotations

import json
import sys

MAX_TEXT = 16 * 1024
"""The characters that a text may have as the value of a point: its document contains those of all points."""

_MOST = int(sys.float_info.max)  # a larger integer is infinite for whoever reads numbers as JSON programs do


def is_value(value: object) -> bool:
    """Return whether `value` can be compared, and written as JSON so that others can read it."""
    kind = type(value)
    if kind is float:
        return value - value == 0.0  # type: ignore[operator, no-any-return]  # neither infinite nor NaN
    if kind is int:
        return -_MOST <= value <= _MOST  # type: ignore[operator]
    if kind is bool or value is None or (kind is str and value.isascii()):  # type: ignore[attr-defined]
        return True
    try:
        if kind is not str:
            return _is_sound(value)
        value.encode()  # type: ignore[attr-defined]  # raises an error for an unpaired surrogate, which is no character
    except Exception:  # noqa: BLE001  (it may be of any class)
        return False
    return True


def _is_sound(value: object) -> bool:
    """Return whether an object can be written and compared, and all in it; raise what its class raises otherwise."""
    if isinstance(value, int | float):
        _compare(value, float(value))
        return is_value(float(value))
    # With `indent`, Python's own code reads the object, as the map does; that in C passes over methods of its class.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=0)
    text.encode()
    _compare(value, json.loads(text))
    return True


def _compare(value: object, other: object) -> None:
    """Raise what the class of `value`, or of something in it, raises when it is compared."""
    bool(value == other)
    bool(value != other)


def is_equal(value: object, wanted: object) -> bool:
    """Return whether `value`, which may be any object, is `wanted`.

    As in JSON, 1 and 1.0 are one number, and True is none, though Python says that it is 1. What is no value equals
    nothing.
    """
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return is_value(value) and value == wanted
