"""Converters between numbers and how devices write them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from interfaces.rules.conversion import (
    MAX_DIGITS,
    ConversionError,
    Converter,
    checked_digits,
    finite,
    number_of,
    setting_of,
    whole_number_of,
    without_setting,
)

if TYPE_CHECKING:
    from decimal import Decimal


def _int(base: int | None) -> Converter:
    try:
        base = 10 if base is None else int(base)
    except (TypeError, ValueError):
        base = 0
    if not 2 <= base <= 36:
        raise ValueError("a base is a number from 2 to 36")

    def read(value: Any) -> int:
        if not isinstance(value, str):
            return whole_number_of(value)
        try:
            return int(finite(int(checked_digits(value) if len(value) <= MAX_DIGITS else "", base)))
        except ValueError:
            raise ConversionError(f"{value!a} is not an integer of base {base}") from None

    def write(value: Any) -> int | str:
        number = whole_number_of(value)
        return number if base == 10 else _in_base(number, base)

    return Converter(read, write)


def _in_base(number: int, base: int) -> str:
    digits = ""
    remaining = abs(number)
    while remaining or not digits:
        remaining, digit = divmod(remaining, base)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
    return digits if number >= 0 else f"-{digits}"


def _float(setting: None) -> Converter:
    return without_setting(setting, Converter(_as_float, _as_float))


def _as_float(value: Any) -> float:
    if (
        type(value) is str and value.isascii() and "_" not in value
    ):  # nearly all values; this branch avoids three function calls
        try:
            number = float(value)
        except ValueError:
            raise ConversionError(f"{value!a} is not a number") from None
        if math.isfinite(number) and number:  # zero continues below, because -0.0 must become 0.0
            return number
    return float(number_of(value))


def _auto(setting: None) -> Converter:
    """Return the converter that reads a number where the text is one, and keeps the text otherwise."""

    def read(value: Any) -> Any:
        try:
            return number_of(value)
        except ConversionError:
            return value

    return without_setting(setting, Converter(read, lambda value: value))


def _decimal_comma(setting: None) -> Converter:
    def read(value: Any) -> float:
        return float(number_of(value.replace(",", ".") if isinstance(value, str) else value))

    return without_setting(setting, Converter(read, lambda value: f"{_exact(number_of(value)):f}".replace(".", ",")))


def _exact(number: float | str) -> Decimal:
    """Return a number as a decimal fraction: 0.1 is exactly a tenth, without an error in the 16th digit."""
    from decimal import Decimal  # only for calculations, which few devices need

    return Decimal(str(number))


def _scale(factor: Any) -> Converter:
    factor = setting_of(factor)
    exact = _exact(factor)
    if not exact:
        raise ValueError("a scale must not be 0")

    def read(value: Any) -> float | int:
        number = number_of(value)
        if isinstance(number, int) and isinstance(factor, int):
            return finite(number * factor)  # an integer may have more digits than a float holds
        return finite(float(_exact(number) * exact))

    def write(value: Any) -> float | int:
        number = number_of(value)
        if isinstance(number, int) and isinstance(factor, int) and number % factor == 0:
            return number // factor
        return _whole_if_possible(_exact(number) / exact)

    return Converter(read, write)


def _offset(amount: Any) -> Converter:
    amount = setting_of(amount)

    def add(value: Any, sign: int) -> float | int:
        number = number_of(value)
        if isinstance(number, int) and isinstance(amount, int):
            return finite(number + sign * amount)
        return finite(float(_exact(number) + sign * _exact(amount)))

    return Converter(lambda value: add(value, 1), lambda value: _whole_if_possible(_exact(add(value, -1))))


def _whole_if_possible(number: Decimal) -> float | int:
    """Return an integer if `number` is one, apart from rounding errors: a layout or the format `{:d}` needs that."""
    whole = number.to_integral_value()
    if abs(number - whole) <= abs(number) * _exact(_ROUNDING_ERROR):
        return int(finite(int(whole)))
    return finite(float(number))


_ROUNDING_ERROR = "1e-14"  # relative error that a few calculations with floats leave


def _round(digits: int | None) -> Converter:
    places = 0 if digits is None else int(setting_of(digits, -300, 300))

    def apply(value: Any) -> float | int:
        try:
            number = round(number_of(value), places)
        except OverflowError:
            raise ConversionError(f"{value!a} cannot be rounded to {places} digits") from None
        return int(number) if places <= 0 else number

    return Converter(apply, apply)


def _twos_complement(bits: int) -> Converter:
    bits = int(setting_of(bits, 1, 256))
    top, modulus = 1 << (bits - 1), 1 << bits

    def read(value: Any) -> int:
        number = whole_number_of(value)
        if not 0 <= number < modulus:
            raise ConversionError(f"{value!a} has more than {bits} bits")
        return number - modulus if number & top else number

    def write(value: Any) -> int:
        number = whole_number_of(value)
        if not -top <= number < top:
            raise ConversionError(f"{value!a} does not fit into {bits} bits")
        return number % modulus

    return Converter(read, write)


def _signed_magnitude(bits: int) -> Converter:
    bits = int(setting_of(bits, 1, 256))
    sign = 1 << (bits - 1)

    def read(value: Any) -> int:
        number = whole_number_of(value)
        if not 0 <= number < 2 * sign:
            raise ConversionError(f"{value!a} has more than {bits} bits")
        return -(number & (sign - 1)) if number & sign else number

    def write(value: Any) -> int:
        number = whole_number_of(value)
        if abs(number) >= sign:
            raise ConversionError(f"{value!a} does not fit into {bits} bits")
        return sign | -number if number < 0 else number

    return Converter(read, write)


def _bcd(digits: int | None) -> Converter:
    width = 0 if digits is None else int(setting_of(digits, 1, 100))

    def read(value: Any) -> int:
        text = value.hex() if isinstance(value, bytes) else f"{whole_number_of(value):x}"
        if not text.isdecimal():
            raise ConversionError(f"{text!a} is not BCD: a digit is over 9")
        return int(text)

    def write(value: Any) -> int:
        number = whole_number_of(value)
        text = str(number)
        if number < 0 or len(text) > (width or 100):
            raise ConversionError(f"{value!a} does not fit into {width or 100} BCD digits")
        return int(text, 16)

    return Converter(read, write)


NUMBER_CONVERTERS: dict[str, Callable[[Any], Converter]] = {
    "int": _int,
    "float": _float,
    "auto": _auto,
    "decimal_comma": _decimal_comma,
    "scale": _scale,
    "offset": _offset,
    "round": _round,
    "twos_complement": _twos_complement,
    "signed_magnitude": _signed_magnitude,
    "bcd": _bcd,
}
