"""Converters: from the text or number in a frame to a value, and back. Pure; no code is evaluated.

A pipeline is a list of steps, each a name (`float`) or a name with its setting (`{scale: 0.1}`). Reading applies the
steps from first to last; writing applies them from last to first, each of them reversed.

`CONVERTERS` is the registry. To add a converter, write a function that returns a `Converter`, and enter it there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from decimal import Decimal

_MAX_DIGITS = 300  # digits of a number in a text: as many as the largest float has, and a few less

Step: TypeAlias = "str | Mapping[str, Any]"


class ConversionError(GatewayError):
    """A value cannot be converted: which value, and why. Also a converter or its setting that is wrong."""


class Converter(NamedTuple):
    """One step: the function that reads a value, and the one that writes it back."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def pipeline(steps: Step | Sequence[Step]) -> Converter:
    """Return the converter that applies `steps`; raise `ConversionError` if a step or its setting is wrong."""
    listed = [steps] if isinstance(steps, str | Mapping) else list(steps)
    converters = [_converter(step) for step in listed]
    if len(converters) == 1:
        return converters[0]

    def read(value: Any) -> Any:
        for converter in converters:
            value = converter.read(value)
        return value

    def write(value: Any) -> Any:
        for converter in reversed(converters):
            value = converter.write(value)
        return value

    return Converter(read, write)


def _converter(step: Step) -> Converter:
    options = {step: None} if isinstance(step, str) else step
    name, setting = next(iter(options.items()), ("", None))
    make = CONVERTERS.get(name)
    if make is None or len(options) != 1:
        raise ConversionError(f"{step!a} is not a converter: use one of {', '.join(CONVERTERS)}")
    try:
        return make(setting)
    except (TypeError, ValueError, AttributeError, LookupError, OverflowError, re.error, ConversionError) as err:
        raise ConversionError(f"{name}: {setting!a} is not a valid setting: {err}") from err


def _without_setting(setting: None, converter: Converter) -> Converter:
    """Return `converter`; raise `ValueError` if it has a setting."""
    if setting is not None:
        raise ValueError("this converter has no setting")
    return converter


# --- numbers


_WHOLE = re.compile(r"\s*[-+]?[0-9]{1,300}\s*")


def _number(value: Any) -> int | float:
    """Return a number, or the number that a text contains; raise `ConversionError` if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConversionError(f"{value!a} is not a number")
    if isinstance(value, str):
        try:
            value = int(value) if _WHOLE.fullmatch(value) else float(_checked_digits(value))
        except ValueError:
            raise ConversionError(f"{value!a} is not a number") from None
    return _finite(value)


def _checked_digits(text: str) -> str:
    """Return `text`; raise `ValueError` if it has underscores or non-ASCII digits, which Python accepts in a number."""
    if "_" in text or not text.isascii():
        raise ValueError
    return text


def _finite(number: float) -> int | float:
    """Return `number`; raise `ConversionError` if it is not finite, or larger than a float can be."""
    try:
        if math.isfinite(number):
            return number
    except OverflowError:
        raise ConversionError("the number is too large") from None
    raise ConversionError(f"{number!a} is not a number")


def check_finite(value: Any) -> Any:
    """Return `value`; raise `ConversionError` if it is a number that is not finite."""
    return _finite(value) if type(value) is float else value


def _whole_number(value: Any) -> int:
    """Return an integer, or the integer that a text contains; raise `ConversionError` if it is none."""
    number = _number(value)
    if number != int(number):
        raise ConversionError(f"{value!a} is not an integer")
    return int(number)


def _setting(value: Any, low: float = -math.inf, high: float = math.inf) -> int | float:
    """Return the numeric setting of a converter; raise `ValueError` if it is not a number within the limits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError("not a number" if math.isinf(low) else f"not a number from {low} to {high}")
    return _finite(value)


def _int(base: int | None) -> Converter:
    base = 10 if base is None else int(base)
    if not 2 <= base <= 36:
        raise ValueError("a base is a number from 2 to 36")

    def read(value: Any) -> int:
        if not isinstance(value, str):
            return _whole_number(value)
        try:
            return int(_finite(int(_checked_digits(value) if len(value) <= _MAX_DIGITS else "", base)))
        except ValueError:
            raise ConversionError(f"{value!a} is not an integer of base {base}") from None

    def write(value: Any) -> int | str:
        number = _whole_number(value)
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
    return _without_setting(setting, Converter(_as_float, _as_float))


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
    return float(_number(value))


def _auto(setting: None) -> Converter:
    """Return the converter that reads a number where the text is one, and keeps the text otherwise."""

    def read(value: Any) -> Any:
        try:
            return _number(value)
        except ConversionError:
            return value

    return _without_setting(setting, Converter(read, lambda value: value))


def _decimal_comma(setting: None) -> Converter:
    def read(value: Any) -> float:
        return float(_number(value.replace(",", ".") if isinstance(value, str) else value))

    return _without_setting(setting, Converter(read, lambda value: f"{_exact(_number(value)):f}".replace(".", ",")))


def _exact(number: float | str) -> Decimal:
    """Return a number as a decimal fraction: 0.1 is exactly a tenth, without an error in the 16th digit."""
    from decimal import Decimal  # only for calculations, which few devices need

    return Decimal(str(number))


def _scale(factor: Any) -> Converter:
    factor = _setting(factor)
    exact = _exact(factor)
    if not exact:
        raise ValueError("a scale must not be 0")

    def read(value: Any) -> float | int:
        number = _number(value)
        if isinstance(number, int) and isinstance(factor, int):
            return _finite(number * factor)  # an integer may have more digits than a float holds
        return _finite(float(_exact(number) * exact))

    def write(value: Any) -> float | int:
        number = _number(value)
        if isinstance(number, int) and isinstance(factor, int) and number % factor == 0:
            return number // factor
        return _whole_if_possible(_exact(number) / exact)

    return Converter(read, write)


def _offset(amount: Any) -> Converter:
    amount = _setting(amount)

    def add(value: Any, sign: int) -> float | int:
        number = _number(value)
        if isinstance(number, int) and isinstance(amount, int):
            return _finite(number + sign * amount)
        return _finite(float(_exact(number) + sign * _exact(amount)))

    return Converter(lambda value: add(value, 1), lambda value: _whole_if_possible(_exact(add(value, -1))))


def _whole_if_possible(number: Decimal) -> float | int:
    """Return an integer if `number` is one, apart from rounding errors: a layout or the format `{:d}` needs that."""
    whole = number.to_integral_value()
    if abs(number - whole) <= abs(number) * _exact(_ROUNDING_ERROR):
        return int(_finite(int(whole)))
    return _finite(float(number))


_ROUNDING_ERROR = "1e-14"  # relative error that a few calculations with floats leave


def _round(digits: int | None) -> Converter:
    places = 0 if digits is None else int(_setting(digits, -300, 300))

    def apply(value: Any) -> float | int:
        try:
            number = round(_number(value), places)
        except OverflowError:
            raise ConversionError(f"{value!a} cannot be rounded to {places} digits") from None
        return int(number) if places <= 0 else number

    return Converter(apply, apply)


def _twos_complement(bits: int) -> Converter:
    bits = int(_setting(bits, 1, 256))
    top, modulus = 1 << (bits - 1), 1 << bits

    def read(value: Any) -> int:
        number = _whole_number(value)
        if not 0 <= number < modulus:
            raise ConversionError(f"{value!a} has more than {bits} bits")
        return number - modulus if number & top else number

    def write(value: Any) -> int:
        number = _whole_number(value)
        if not -top <= number < top:
            raise ConversionError(f"{value!a} does not fit into {bits} bits")
        return number % modulus

    return Converter(read, write)


def _signed_magnitude(bits: int) -> Converter:
    bits = int(_setting(bits, 1, 256))
    sign = 1 << (bits - 1)

    def read(value: Any) -> int:
        number = _whole_number(value)
        if not 0 <= number < 2 * sign:
            raise ConversionError(f"{value!a} has more than {bits} bits")
        return -(number & (sign - 1)) if number & sign else number

    def write(value: Any) -> int:
        number = _whole_number(value)
        if abs(number) >= sign:
            raise ConversionError(f"{value!a} does not fit into {bits} bits")
        return sign | -number if number < 0 else number

    return Converter(read, write)


def _bcd(digits: int | None) -> Converter:
    width = 0 if digits is None else int(_setting(digits, 1, 100))

    def read(value: Any) -> int:
        text = value.hex() if isinstance(value, bytes) else f"{_whole_number(value):x}"
        if not text.isdecimal():
            raise ConversionError(f"{text!a} is not BCD: a digit is over 9")
        return int(text)

    def write(value: Any) -> int:
        number = _whole_number(value)
        text = str(number)
        if number < 0 or len(text) > (width or 100):
            raise ConversionError(f"{value!a} does not fit into {width or 100} BCD digits")
        return int(text, 16)

    return Converter(read, write)


# --- texts


def _text(encoding: str | None) -> Converter:
    name = encoding or "latin-1"
    "".encode(name)

    def read(value: Any) -> str:
        try:
            return value.decode(name) if isinstance(value, bytes) else str(value)
        except UnicodeError as err:
            raise ConversionError(f"{value!a} is not {name}: {err}") from None

    return Converter(read, str)


def _strip(characters: str | None) -> Converter:
    "".strip(characters)
    return Converter(lambda value: _decoded(value).strip(characters), lambda value: value)


def _remove(characters: str) -> Converter:
    """Return the converter that removes characters everywhere: the spaces in `+  1.234` of a scale, for example."""
    table = {ord(character): None for character in characters}
    if not table:
        raise ValueError("list the characters to remove")
    return Converter(lambda value: _decoded(value).translate(table), lambda value: value)


def _upper(setting: None) -> Converter:
    return _without_setting(setting, Converter(lambda value: _decoded(value).upper(), lambda value: value))


def _lower(setting: None) -> Converter:
    return _without_setting(setting, Converter(lambda value: _decoded(value).lower(), lambda value: value))


def _decoded(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _bool(words: Mapping[str, Any] | None) -> Converter:
    settings = words or {"true": ["1", "on", "yes", "true"], "false": ["0", "off", "no", "false"]}
    table: dict[str, bool] = {}
    first_words: dict[bool, str] = {}
    for name, meaning in (("true", True), ("false", False)):
        texts = settings[name] if isinstance(settings[name], list) else [settings[name]]
        if not texts:
            raise ValueError(f"no word for {name}")
        for word in texts:
            if table.setdefault(str(word).lower(), meaning) is not meaning:
                raise ValueError(f"{word!a} means both true and false")
        first_words[meaning] = str(texts[0])

    def read(value: Any) -> bool:
        word = str(value).strip().lower()
        if word not in table:
            raise ConversionError(f"{value!a} is not one of {', '.join(table)}")
        return table[word]

    def write(value: Any) -> str:
        if not isinstance(value, bool):
            raise ConversionError(f"{value!a} is not true or false")
        return first_words[value]

    return Converter(read, write)


def _enum(table: Mapping[str, Any]) -> Converter:
    by_key = {str(key): meaning for key, meaning in table.items()}
    keys = {str(meaning): key for key, meaning in reversed(by_key.items()) if key != "*"}

    def read(value: Any) -> Any:
        key = str(int(value) if isinstance(value, bool) else value).strip()  # a single bit of a layout is a bool
        if key not in by_key:
            if "*" in by_key:
                return by_key["*"]
            raise ConversionError(f"{value!a} is not one of {', '.join(by_key)}")
        return by_key[key]

    def write(value: Any) -> Any:
        if str(value) not in keys:
            raise ConversionError(f"{value!a} is not one of {', '.join(keys)}")
        key = keys[str(value)]
        return (
            int(key) if re.fullmatch(r"0|-?[1-9][0-9]{0,19}", key) else key
        )  # "01" stays a text: as a number it would lose its zero

    return Converter(read, write)


def _timestamp(form: str) -> Converter:
    """Return the converter between a device's times (a strftime format, or `unix`) and ISO 8601 in UTC.

    Where the format has no year, the year is 1900, and 1904 on 29 February and on day 366.
    """
    has_date = has_year = True
    if form != "unix":
        sample, with_other_date, with_other_year = (when.strftime(form) for when in _SAMPLES)
        has_date, has_year = sample != with_other_date, sample != with_other_year
        _parse_time(sample, form, has_year)

    def read(value: Any) -> str:
        try:
            if form == "unix":
                return _iso(datetime.fromtimestamp(_number(value), UTC))
            when = _parse_time(str(value).strip(), form, has_year)
            if not has_date:
                return when.time().isoformat()
            return _iso(when) if when.tzinfo else when.isoformat()
        except (ValueError, OverflowError, OSError):
            raise ConversionError(f"{value!a} is not a time in the format {form}") from None

    def write(value: Any) -> Any:
        try:
            when = _moment(str(value), has_date)
        except ValueError:
            raise ConversionError(f"{value!a} is not an ISO 8601 time") from None
        if form == "unix":
            return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
        return when.strftime(form)

    return Converter(read, write)


def _parse_time(text: str, form: str, has_year: bool) -> datetime:
    """Return the time in `text`; raise `ValueError` if it does not have this format.

    strptime always gets a year: without one it rejects 29 February, and Python 3.15 may reject any day.
    """
    if has_year:
        return datetime.strptime(text, form)
    try:
        return datetime.strptime(f"1900 {text}", f"%Y {form}")
    except ValueError:
        return datetime.strptime(f"1904 {text}", f"%Y {form}")  # a leap year


_SAMPLES = (
    datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2012, 11, 10, 4, 5, 6, tzinfo=UTC),  # another date
    datetime(2007, 2, 3, 4, 5, 6, tzinfo=UTC),  # another year only: the weekdays are the same
)


def _moment(text: str, has_date: bool) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        if has_date:
            raise
        return datetime.combine(date(1900, 1, 1), time.fromisoformat(text))


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


_POSITION = re.compile(r"([0-9]{1,3})([0-9]{2}(?:\.[0-9]{1,12})?)\s*,?\s*([NSEW])")


def _nmea_position(digits: int | None) -> Converter:
    """Return the converter from `ddmm.mmmm,N` (NMEA 0183) to signed decimal degrees."""
    places = 6 if digits is None else int(digits)

    def read(value: Any) -> float:
        match = _POSITION.fullmatch(str(value).strip())
        limit = 90 if match and match[3] in "NS" else 180
        if match is None or float(match[2]) >= 60 or int(match[1]) + float(match[2]) / 60 > limit:
            raise ConversionError(f"{value!a} is not a position like 5251.0094,N")
        degrees = int(match[1]) + float(match[2]) / 60
        return round(-degrees if match[3] in "SW" else degrees, places)

    def write(value: Any) -> str:
        raise ConversionError(
            f"{value!a}: a position cannot be written, because its axis (latitude or longitude) is unknown"
        )

    return Converter(read, write)


CONVERTERS: Mapping[str, Callable[[Any], Converter]] = {
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
    "text": _text,
    "strip": _strip,
    "remove": _remove,
    "upper": _upper,
    "lower": _lower,
    "bool": _bool,
    "enum": _enum,
    "timestamp": _timestamp,
    "nmea_position": _nmea_position,
}
"""The converters by name; each is made from its setting, which is None if there is none."""
