"""What converters are made of: their contract, and what a number, a text or a setting is to them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from gateway.errors import GatewayError

MAX_DIGITS = 300
"""Digits of a number in a text: as many as the largest float has, and a few less."""

Step: TypeAlias = "str | Mapping[str, Any]"


class ConversionError(GatewayError):
    """A value cannot be converted: which value, and why. Also a converter or its setting that is wrong."""


class Converter(NamedTuple):
    """One step: the function that reads a value, and the one that writes it back.

    `write_bytes` is what takes the place of `write` behind a step that `makes_bytes` when it reads: it returns bytes.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]
    write_bytes: Callable[[Any], bytes] | None = None
    makes_bytes: bool = False


def without_setting(setting: None, converter: Converter) -> Converter:
    """Return `converter`; raise `ValueError` if it has a setting."""
    if setting is not None:
        raise ValueError("this converter has no setting")
    return converter


_WHOLE = re.compile(r"\s*[-+]?[0-9]{1,300}\s*")


def number_of(value: Any) -> int | float:
    """Return a number, or the number that a text contains; raise `ConversionError` if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConversionError(f"{value!a} is not a number")
    if isinstance(value, str):
        try:
            value = int(value) if _WHOLE.fullmatch(value) else float(checked_digits(value))
        except ValueError:
            raise ConversionError(f"{value!a} is not a number") from None
    return finite(value)


def checked_digits(text: str) -> str:
    """Return `text`; raise `ValueError` if it has underscores or non-ASCII digits, which Python accepts in a number."""
    if "_" in text or not text.isascii():
        raise ValueError
    return text


def finite(number: float) -> int | float:
    """Return `number`; raise `ConversionError` if it is not finite, or larger than a float can be."""
    try:
        if math.isfinite(number):
            return number
    except OverflowError:
        raise ConversionError("the number is too large") from None
    raise ConversionError(f"{number!a} is not a number")


def check_finite(value: Any) -> Any:
    """Return `value`; raise `ConversionError` if it is a number that is not finite."""
    return finite(value) if type(value) is float else value


def whole_number_of(value: Any) -> int:
    """Return an integer, or the integer that a text contains; raise `ConversionError` if it is none."""
    number = number_of(value)
    if number != int(number):
        raise ConversionError(f"{value!a} is not an integer")
    return int(number)


def setting_of(value: Any, low: float = -math.inf, high: float = math.inf) -> int | float:
    """Return the numeric setting of a converter; raise `ValueError` if it is not a number within the limits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError("not a number" if math.isinf(low) else f"not a number from {low} to {high}")
    return finite(value)


def decoded(value: Any) -> str:
    """Return a value as text; each byte is a character."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
