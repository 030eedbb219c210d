"""Binary layouts: from bytes to named numbers and texts, and back. Pure.

A layout is a list of fields, each with a `type` and, unless it is padding, a `name`. Fields follow one another; `at`
sets the offset of a field (from the end, if negative). A `Layout` raises `LayoutError` if its fields are contradictory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interfaces.rules.layout_fields import Field, LayoutError, Scan, whole_number
from interfaces.rules.layout_parts import LayoutBuilder, RepeatPart, SwitchPart
from interfaces.rules.repetition import FrameValues

__all__ = ["Layout", "LayoutError"]


class Layout:
    """A list of fields; `names` are the values that reading returns, `lists` are those of them that are lists.

    `groups` are the names of the values of each repetition that is read apart (`each`).
    """

    def __init__(self, fields: Sequence[Mapping[str, Any]], byte_order: str = "big", length: int | None = None) -> None:
        builder = LayoutBuilder(byte_order)
        self.fields = builder.parts(fields, "fields")
        self.groups: Sequence[frozenset[str]] = builder.groups
        self.names = frozenset(name for field in self.fields for name in field.names)
        self.lists = frozenset[str]().union(*(field.lists for field in self.fields))
        self._can_repeat = any(
            isinstance(field, RepeatPart | SwitchPart) or field.has_namesake for field in self.fields
        )
        self._writable_fields = [field for field in self.fields if isinstance(field, Field)]
        self._length = length
        if length is not None:
            self._check_length(length)

    def _check_length(self, length: int) -> None:
        """Raise `LayoutError` if a field goes beyond a frame of this length, so that no frame matches."""
        least = 0  # bytes before the next field, as far as that does not depend on the frame
        for index, field in enumerate(self.fields):
            if not isinstance(field, Field):
                least = 0
                continue
            start = least if field.at is None else field.at + (length if field.at < 0 else 0)
            least = start + (field.size if field.has_fixed_size else 0)
            if start < 0 or least > length:
                text = f"{field.name or field.kind}: it is beyond the frame, which has {length} bytes: no frame matches"
                raise LayoutError(text).inside("fields", index)

    @property
    def prefix(self) -> bytes:
        """The constant bytes that each frame begins with."""
        prefix = b""
        for field in self.fields:
            if not isinstance(field, Field) or field.constant is None or field.at is not None:
                break
            prefix += field.constant
        return prefix

    def read(self, frame: bytes) -> dict[str, Any] | None:
        """Return the values of `frame`, or None if it does not match: its length or a constant differs, for example.

        They are `FrameValues` if a part of the frame may occur again.
        """
        if self._length is not None and len(frame) != self._length:
            return None
        scan = Scan(frame)
        for field in self.fields:
            if not field.read_from(scan):
                return None
        return FrameValues(scan.values, scan.repetitions, scan.lost) if self._can_repeat else scan.values

    @property
    def needs(self) -> frozenset[str]:
        """The values that are needed to write a frame."""
        return frozenset(name for field in self._writable_fields for name in field.needs)

    def check_writable(self) -> None:
        """Raise `LayoutError` if a field can only be read, or counts from the end of a frame of unknown length."""
        for index, field in enumerate(self.fields):
            if not isinstance(field, Field) or field.length_name:
                text = f"{field.kind}: what depends on the bytes of a frame can be read, but not written"
                raise LayoutError(text).inside("fields", index)
            if self._length is None and field.at is not None and field.at < 0:
                text = f"{field.name or field.kind}: an offset from the end needs the length of the frame"
                raise LayoutError(text).inside("fields", index)

    def write(self, values: Mapping[str, Any]) -> bytes:
        """Return the frame for `values`, padding as zeros; raise `LayoutError` if one is missing or does not fit."""
        frame = bytearray(self._length or 0)
        position = 0
        for field in self._writable_fields:
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


def _shifted(name: str, value: Any, bits: int | Sequence[int]) -> int:
    low, high = (bits, bits) if isinstance(bits, int) else (min(bits), max(bits))
    try:
        number = int(value) if isinstance(value, float) else whole_number(value)
    except (ValueError, OverflowError) as err:
        raise LayoutError(f"{name}: {value!a} does not fit: {err}") from err
    if not 0 <= number < 1 << (high - low + 1):
        raise LayoutError(f"{name}: {value!a} does not fit into {high - low + 1} bits")
    return number << low
