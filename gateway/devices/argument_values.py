"""Arguments as clients send them: numbers and booleans, also as text. Pure."""

from __future__ import annotations

import json
import math

TYPE_WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "text": "a text",
    "event": "a text",
}
"""What an argument of each type must be, for whoever has sent something else."""

_WORDS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def is_same(value: object, other: object) -> bool:
    """Return whether two values are equal. True is not 1 here, though Python says that they are equal."""
    return value == other and isinstance(value, bool) is isinstance(other, bool)


def read_number(value: object) -> float | int | None:
    """Return the number that `value` stands for: a finite one, or text that is a JSON number. Otherwise None."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer that no float can hold
        return None


def _parsed(text: str) -> object:
    # Unlike `float`, JSON accepts neither underscores nor words such as "infinity".
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def read_integer(value: object) -> int | None:
    """Return the whole number that `value` stands for; 50.0 and "50" stand for 50. Otherwise None."""
    number = read_number(value)
    return int(number) if number is not None and number == int(number) else None


def read_boolean(value: object) -> bool | None:
    """Return the boolean that `value` stands for: true, 1, "on" and "1" for True, in any case. Otherwise None."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    return _WORDS.get(value.strip().lower()) if isinstance(value, str) else None


def stands_for(value: object, wanted: object) -> bool:
    """Return whether `value`, as a client sends it, stands for the argument `wanted`: "3" for 3, and "on" for True."""
    if isinstance(wanted, bool):
        return read_boolean(value) is wanted
    if isinstance(wanted, int | float):
        number = read_number(value)
        return number is not None and number == wanted
    return is_same(value, wanted)
