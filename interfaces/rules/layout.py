"""Binary layouts: from bytes to named numbers and texts, and back. Pure.

A layout is a list of fields, each with a `type` and, unless it is padding, a `name`. Fields follow one another; `at`
sets the offset of a field (from the end, if negative). A `Layout` raises `LayoutError` if its fields are contradictory.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import GatewayError

# type -> struct code; struct has no 24-bit numbers, so these are converted with int.from_bytes
_NUMBERS = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q",
            "f32": "f", "f64": "d"}  # fmt: skip
_SIZES = {**{name: struct.calcsize(code) for name, code in _NUMBERS.items()}, "u24": 3, "i24": 3}
_ORDERS = {"big": ">", "little": "<"}


class LayoutError(GatewayError):
    """The fields of a layout are contradictory, or a value is missing or does not fit into its field."""


class Field:
    """One field of a layout."""

    def __init__(self, options: Mapping[str, Any], default_order: str) -> None:
        self.name: str = options.get("name", "")
        self.kind: str = options["type"]
        self.at: int | None = options.get("at")
        self.order: str = options.get("byte_order", default_order)
        self.is_swapped: bool = options.get("word_swap", False)
        self.size: int = _SIZES.get(self.kind) or options.get("length", 1)
        self.is_open_ended: bool = self.kind in ("bytes", "text") and "length" not in options
        self.bits: Mapping[str, Any] = options.get("bits", {})
        self._check()
        self.constant = self.write(options["is"]) if "is" in options else None
        """The bytes that the field must hold, if it is a constant."""

    def _check(self) -> None:
        """Raise `LayoutError` for options with which the field could not be read, or not be written back."""
        if self.bits and not (self.kind in _SIZES and self.kind[0] == "u"):
            raise LayoutError(f"{self.kind}: only unsigned numbers have bits")
        highest = max((max([bits] if isinstance(bits, int) else bits) for bits in self.bits.values()), default=0)
        if highest >= 8 * self.size:
            raise LayoutError(f"{self.kind}: there is no bit {highest}; the highest is {8 * self.size - 1}")
        if self.is_swapped and (self.is_open_ended or self.size % 2):
            raise LayoutError(f"{self.kind}: only an even number of bytes has words to swap")

    @property
    def names(self) -> list[str]:
        """The values that reading this field returns."""
        return [*([self.name] if self.name else []), *self.bits]

    @property
    def needs(self) -> list[str]:
        """The values that are needed to write this field; padding and constants need none."""
        if self.bits or self.constant is not None or self.kind == "skip":
            return list(self.bits)
        return self.names

    def read(self, data: bytes) -> Any:
        """Return the value of `data`, the bytes of this field."""
        if self.is_swapped:
            data = b"".join(reversed([data[i : i + 2] for i in range(0, len(data), 2)]))
        if self.kind in _NUMBERS:
            return struct.unpack(_ORDERS[self.order] + _NUMBERS[self.kind], data)[0]
        if self.kind in ("u24", "i24"):
            order: Any = self.order
            return int.from_bytes(data, order, signed=self.kind == "i24")
        return data

    def write(self, value: Any) -> bytes:
        """Return the bytes for `value`; raise `LayoutError` if it does not fit."""
        try:
            data = self._packed(value)
        except (ValueError, TypeError, OverflowError, struct.error) as err:
            raise LayoutError(f"{self.name or self.kind}: {value!a} does not fit: {err}") from err
        if self.is_swapped:
            data = b"".join(reversed([data[i : i + 2] for i in range(0, len(data), 2)]))
        return data

    def _packed(self, value: Any) -> bytes:
        order: Any = self.order
        if self.kind in ("f32", "f64"):
            return struct.pack(_ORDERS[order] + _NUMBERS[self.kind], value)
        if self.kind in _SIZES:
            number = int(value)
            if isinstance(value, float) and number != value:
                raise ValueError("not a whole number")
            return number.to_bytes(self.size, order, signed=self.kind[0] == "i")
        if isinstance(value, int) and not self.is_open_ended:
            return value.to_bytes(self.size, order)  # a number in `bytes`: BCD digits, for example
        data = value.encode("latin-1") if isinstance(value, str) else memoryview(value).tobytes()
        if self.is_open_ended:
            return data
        if len(data) > self.size:
            raise ValueError(f"longer than {self.size} bytes")
        return data.ljust(self.size, b"\x00")


class Layout:
    """A list of fields; `names` are the values that reading returns."""

    def __init__(self, fields: Sequence[Mapping[str, Any]], byte_order: str = "big", length: int | None = None) -> None:
        self.fields = [Field(options, byte_order) for options in fields]
        self.names = frozenset(name for field in self.fields for name in field.names)
        self._length = length

    @property
    def prefix(self) -> bytes:
        """The constant bytes that each frame begins with."""
        prefix = b""
        for field in self.fields:
            if field.constant is None or field.at is not None:
                break
            prefix += field.constant
        return prefix

    def read(self, frame: bytes) -> dict[str, Any] | None:
        """Return the values of `frame`, or None if its length or one of its constants differs."""
        if self._length is not None and len(frame) != self._length:
            return None
        values: dict[str, Any] = {}
        position = 0
        for field in self.fields:
            start = position if field.at is None else field.at + (len(frame) if field.at < 0 else 0)
            end = len(frame) if field.is_open_ended else start + field.size
            data = frame[start:end]
            if start < 0 or (not field.is_open_ended and len(data) < field.size):
                return None
            position = end
            if field.constant not in (None, data):
                return None
            value = field.read(data)
            if field.name:
                values[field.name] = value
            for name, bits in field.bits.items():
                values[name] = _extract_bits(value, bits)
        return values

    def check_writable(self) -> None:
        """Raise `LayoutError` if a field counts from the end of a frame whose length is not declared."""
        for field in self.fields:
            if self._length is None and field.at is not None and field.at < 0:
                raise LayoutError(f"{field.name or field.kind}: an offset from the end needs the length of the frame")

    def write(self, values: Mapping[str, Any]) -> bytes:
        """Return the frame for `values`, padding as zeros; raise `LayoutError` if one is missing or does not fit."""
        frame = bytearray(self._length or 0)
        position = 0
        for field in self.fields:
            start = position if field.at is None else field.at + (self._length or 0 if field.at < 0 else 0)
            data = self._field_data(field, values)
            if not 0 <= start <= (self._length or start + len(data)) - len(data):
                raise LayoutError(f"{field.name or field.kind}: does not fit into the frame")
            frame += bytes(max(0, start - len(frame)))
            frame[start : start + len(data)] = data
            position = start + len(data)
        return bytes(frame)

    def _field_data(self, field: Field, values: Mapping[str, Any]) -> bytes:
        missing = [name for name in field.needs if name not in values]
        if missing:
            raise LayoutError(f"missing: {', '.join(map(repr, missing))}")
        if field.bits:
            constant_bits = 0 if field.constant is None else field.read(field.constant)
            return field.write(
                sum(_shifted(name, values[name], bits) for name, bits in field.bits.items()) | constant_bits
            )
        if field.constant is not None:
            return field.constant
        return field.write(values[field.name]) if field.needs else bytes(0 if field.is_open_ended else field.size)


def _extract_bits(value: int, bits: int | Sequence[int]) -> int | bool:
    """Return one bit as a boolean, or a range of bits (first, last) as a number."""
    if isinstance(bits, int):
        return bool(value >> bits & 1)
    low, high = min(bits), max(bits)
    return value >> low & ((1 << (high - low + 1)) - 1)


def _shifted(name: str, value: Any, bits: int | Sequence[int]) -> int:
    low, high = (bits, bits) if isinstance(bits, int) else (min(bits), max(bits))
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError) as err:
        raise LayoutError(f"{name}: {value!a} does not fit: {err}") from err
    if not 0 <= number < 1 << (high - low + 1):
        raise LayoutError(f"{name}: {value!a} does not fit into {high - low + 1} bits")
    return number << low
