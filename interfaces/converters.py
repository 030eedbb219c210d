"""Converters: from what stands in a frame to a value, and back. Pure; a small fixed set, no code evaluated.

A pipeline is a list of steps, each a name (`float`) or a name with its setting (`{scale: 0.1}`). Reading
goes through it from first to last, writing from last to first with each step reversed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from gateway.errors import GatewayError

Step: TypeAlias = "str | Mapping[str, Any]"


class ConversionError(GatewayError):
    """A value does not fit its converter: which, and why."""


class Converter(NamedTuple):
    """One step: how to read, and how to write back."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def pipeline(steps: Step | Sequence[Step]) -> Converter:
    """Return the converter that goes through `steps`; raise `ConversionError` if one is not known or wrong."""
    given = [steps] if isinstance(steps, str | Mapping) else list(steps)
    converters = [_converter(step) for step in given]
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
    name, setting = (step, None) if isinstance(step, str) else next(iter(step.items()))
    make = CONVERTERS.get(name)
    if make is None or (isinstance(step, Mapping) and len(step) != 1):
        raise ConversionError(f"{step!a} is not a converter: use one of {', '.join(CONVERTERS)}")
    try:
        return make(setting)
    except (TypeError, ValueError, AttributeError, KeyError) as err:
        raise ConversionError(f"{name}: {setting!a} is not a setting for it: {err}") from err


# --- numbers


def _number(value: Any) -> int | float:
    """Take a number, or text that is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConversionError(f"{value!a} is not a number")
    if isinstance(value, str):
        try:
            value = int(value) if re.fullmatch(r"\s*[-+]?[0-9]{1,300}\s*", value) else float(value)
        except ValueError:
            raise ConversionError(f"{value!a} is not a number") from None
    number: int | float = value
    if not math.isfinite(number):
        raise ConversionError(f"{value!a} is not a number")
    return number


def _int(base: int | None) -> Converter:
    base = 10 if base is None else int(base)
    if not 2 <= base <= 36:
        raise ValueError("a base is 2 to 36")

    def read(value: Any) -> int:
        if isinstance(value, str):
            try:
                return int(value[:300], base)
            except ValueError:
                raise ConversionError(f"{value!a} is not a whole number of base {base}") from None
        number = _number(value)
        if number != int(number):
            raise ConversionError(f"{value!a} is not a whole number")
        return int(number)

    def write(value: Any) -> int | str:
        number = read(value) if base == 10 or not isinstance(value, str) else int(value)
        return number if base == 10 else _in_base(number, base)

    return Converter(read, write)


def _in_base(number: int, base: int) -> str:
    digits = ""
    rest = abs(number)
    while rest or not digits:
        rest, digit = divmod(rest, base)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
    return digits if number >= 0 else f"-{digits}"


def _float(_: None) -> Converter:
    return Converter(lambda value: float(_number(value)), lambda value: float(_number(value)))


def _auto(_: None) -> Converter:
    """A number where it is one, text where it is not."""

    def read(value: Any) -> Any:
        try:
            return _number(value)
        except ConversionError:
            return value

    return Converter(read, lambda value: value)


def _decimal_comma(_: None) -> Converter:
    def read(value: Any) -> float:
        return float(_number(value.replace(",", ".") if isinstance(value, str) else value))

    return Converter(read, lambda value: str(_number(value)).replace(".", ","))


def _tidy(number: float) -> float:
    """Drop the noise that a multiplication by 0.1 leaves in the 16th digit."""
    return float(f"{number:.12g}")


def _scale(factor: float) -> Converter:
    if not factor:
        raise ValueError("a scale is not 0")
    return Converter(lambda value: _kept(_number(value) * factor), lambda value: _whole(_number(value) / factor))


def _offset(amount: float) -> Converter:
    return Converter(lambda value: _kept(_number(value) + amount), lambda value: _whole(_number(value) - amount))


def _kept(number: float) -> float | int:
    """Keep a whole number whole: it may have more digits than a float holds."""
    return number if type(number) is int else _tidy(number)


def _whole(number: float) -> float | int:
    """Give a number that is whole, but for noise, as one: a layout or `{:d}` wants that."""
    tidy = _tidy(number)
    return int(tidy) if tidy == int(tidy) else tidy


def _round(digits: int | None) -> Converter:
    places = 0 if digits is None else int(digits)

    def apply(value: Any) -> float | int:
        number = round(_number(value), places)
        return int(number) if places <= 0 else number

    return Converter(apply, apply)


def _twos_complement(bits: int) -> Converter:
    bits = int(bits)
    top, modulus = 1 << (bits - 1), 1 << bits

    def read(value: Any) -> int:
        number = int(_number(value))
        if not 0 <= number < modulus:
            raise ConversionError(f"{value!a} has more than {bits} bits")
        return number - modulus if number & top else number

    def write(value: Any) -> int:
        number = int(_number(value))
        if not -top <= number < top:
            raise ConversionError(f"{value!a} does not fit into {bits} bits")
        return number % modulus

    return Converter(read, write)


def _signed_magnitude(bits: int) -> Converter:
    bits = int(bits)
    sign = 1 << (bits - 1)

    def read(value: Any) -> int:
        number = int(_number(value))
        if not 0 <= number < 2 * sign:
            raise ConversionError(f"{value!a} has more than {bits} bits")
        return -(number & (sign - 1)) if number & sign else number

    def write(value: Any) -> int:
        number = int(_number(value))
        if abs(number) >= sign:
            raise ConversionError(f"{value!a} does not fit into {bits} bits")
        return sign | -number if number < 0 else number

    return Converter(read, write)


def _bcd(digits: int | None) -> Converter:
    width = 0 if digits is None else int(digits)

    def read(value: Any) -> int:
        text = value.hex() if isinstance(value, bytes) else f"{int(_number(value)):x}"
        if not text.isdecimal():
            raise ConversionError(f"{text!a} is not BCD: a digit is over 9")
        return int(text)

    def write(value: Any) -> int:
        number = int(_number(value))
        text = str(number)
        if number < 0 or (width and len(text) > width):
            raise ConversionError(f"{value!a} does not fit into {width} BCD digits")
        return int(text, 16)

    return Converter(read, write)


# --- words


def _text(encoding: str | None) -> Converter:
    name = encoding or "latin-1"
    "".encode(name)

    def read(value: Any) -> str:
        try:
            return value.decode(name) if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError as err:
            raise ConversionError(f"{value!a} is not {name}: {err.reason}") from None

    return Converter(read, str)


def _strip(characters: str | None) -> Converter:
    return Converter(lambda value: _said(value).strip(characters), lambda value: value)


def _upper(_: None) -> Converter:
    return Converter(lambda value: _said(value).upper(), lambda value: value)


def _lower(_: None) -> Converter:
    return Converter(lambda value: _said(value).lower(), lambda value: value)


def _said(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _bool(words: Mapping[str, Any] | None) -> Converter:
    settings = words or {"true": ["1", "on", "yes", "true"], "false": ["0", "off", "no", "false"]}
    table: dict[str, bool] = {}
    first: dict[bool, str] = {}
    for name, meaning in (("true", True), ("false", False)):
        listed = settings[name] if isinstance(settings[name], list) else [settings[name]]
        if not listed:
            raise ValueError(f"no word for {name}")
        table.update({str(word).lower(): meaning for word in listed})
        first[meaning] = str(listed[0])

    def read(value: Any) -> bool:
        word = str(value).strip().lower()
        if word not in table:
            raise ConversionError(f"{value!a} is not one of {', '.join(table)}")
        return table[word]

    def write(value: Any) -> str:
        if not isinstance(value, bool):
            raise ConversionError(f"{value!a} is not true or false")
        return first[value]

    return Converter(read, write)


def _enum(table: Mapping[str, Any]) -> Converter:
    by_key = {str(key): meaning for key, meaning in table.items()}
    back = {str(meaning): key for key, meaning in reversed(by_key.items())}

    def read(value: Any) -> Any:
        key = str(value).strip()
        if key not in by_key:
            if "*" in by_key:
                return by_key["*"]
            raise ConversionError(f"{value!a} is not one of {', '.join(by_key)}")
        return by_key[key]

    def write(value: Any) -> Any:
        if str(value) not in back:
            raise ConversionError(f"{value!a} is not one of {', '.join(back)}")
        key = back[str(value)]
        return int(key) if re.fullmatch(r"-?[0-9]{1,20}", key) else key

    return Converter(read, write)


def _timestamp(form: str) -> Converter:
    """Between a time as the device writes it (strftime, or `unix`) and ISO 8601 in UTC."""
    if form != "unix":
        datetime.now(UTC).strftime(form)

    def read(value: Any) -> str:
        try:
            if form == "unix":
                return _iso(datetime.fromtimestamp(_number(value), UTC))
            when = datetime.strptime(str(value).strip(), form)
        except (ValueError, OverflowError, OSError):
            raise ConversionError(f"{value!a} is not a time like {form}") from None
        if when.year == 1900:  # a time without a date
            return when.time().isoformat()
        return _iso(when) if when.tzinfo else when.isoformat()

    def write(value: Any) -> Any:
        try:
            when = datetime.fromisoformat(str(value))
        except ValueError:
            raise ConversionError(f"{value!a} is not an ISO 8601 time") from None
        if form == "unix":
            return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
        return when.strftime(form)

    return Converter(read, write)


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


_POSITION = re.compile(r"([0-9]{1,3})([0-9]{2}(?:\.[0-9]{1,12})?)\s*,?\s*([NSEW])")


def _nmea_position(digits: int | None) -> Converter:
    """Between NMEA 0183's `ddmm.mmmm,N` and signed decimal degrees."""
    places = 6 if digits is None else int(digits)

    def read(value: Any) -> float:
        match = _POSITION.fullmatch(str(value).strip())
        limit = 90 if match and match[3] in "NS" else 180
        if match is None or float(match[2]) >= 60 or int(match[1]) + float(match[2]) / 60 > limit:
            raise ConversionError(f"{value!a} is not a position like 5251.0094,N")
        degrees = int(match[1]) + float(match[2]) / 60
        return round(-degrees if match[3] in "SW" else degrees, places)

    def write(value: Any) -> str:
        raise ConversionError(f"{value!a}: a position cannot be written back: its axis is not known")

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
    "upper": _upper,
    "lower": _lower,
    "bool": _bool,
    "enum": _enum,
    "timestamp": _timestamp,
    "nmea_position": _nmea_position,
}
"""The converters by name; each is made from its setting, None where it has none."""


def check_pipeline(steps: Step | Sequence[Step]) -> Iterator[str]:
    """Yield what is wrong with a pipeline."""
    try:
        pipeline(steps)
    except ConversionError as err:
        yield str(err)
