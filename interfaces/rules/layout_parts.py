"""The parts of a binary layout that are found or chosen by the frame itself: find, switch, repeat. Pure.

They can be read, but not written. `LayoutBuilder` makes all parts of a layout.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from interfaces.rules.layout_fields import Field, LayoutError, LayoutPart, Scan
from interfaces.rules.repetition import Repetition, as_lists

_MAX_DEPTH = 4  # repetitions within repetitions
_OTHERS = "*"
_FLAGS = {"true": 1, "false": 0}
_LOST = "it occurs more than once in the frame, and only the last one is used: add each: true to its repetition"


class FindPart(LayoutPart):
    """Goes on behind the next place where certain bytes stand."""

    OPTIONS = frozenset(("at", "bytes"))
    REQUIRED = ("bytes",)

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        try:
            self._bytes = bytes.fromhex(options["bytes"])
        except ValueError as err:
            raise LayoutError(
                f"find: {options['bytes']!a} is not a list of bytes: write two hexadecimal digits for each"
            ) from err
        if not self._bytes:
            raise LayoutError("find: there are no bytes to find")

    def is_in(self, scan: Scan, end: int) -> bool:
        """Return whether the bytes still stand somewhere before `end`."""
        return scan.frame.find(self._bytes, scan.position, end) >= 0

    def read_from(self, scan: Scan) -> bool:
        """Go on behind the bytes; False if they do not stand there."""
        place = scan.frame.find(self._bytes, max(0, self.start_in(scan)), scan.end)
        scan.position = place + len(self._bytes)
        return place >= 0


class SwitchPart(LayoutPart):
    """The fields that an earlier value of the frame chooses."""

    OPTIONS = frozenset(("at", "on", "cases"))
    REQUIRED = ("on", "cases")

    def __init__(self, options: Mapping[str, Any], builder: LayoutBuilder) -> None:
        super().__init__(options)
        self._on: str = builder.earlier(self.kind, options["on"])
        self._cases: dict[int | bytes, Sequence[LayoutPart]] = {}
        self._others: Sequence[LayoutPart] | None = None
        cases = builder.cases(options["cases"])
        for key, fields in cases.items():
            if key == _OTHERS:
                self._others = fields
                continue
            for value in _values_of(key):
                if self._cases.setdefault(value, fields) is not fields:
                    raise LayoutError(f"switch: there are two cases for {key}")
        listed = [field for fields in cases.values() for field in fields]
        self.names = list(dict.fromkeys(name for field in listed for name in field.names))
        self.lists = frozenset[str]().union(*(field.lists for field in listed))
        self.in_cases = frozenset(self.names)

    def read_from(self, scan: Scan) -> bool:
        """Read the fields of the case; False if there is no case for the value."""
        value = scan.value(self._on)
        fields = self._cases.get(value, self._others) if isinstance(value, int | bytes) else self._others
        scan.position = self.start_in(scan)
        return fields is not None and scan.position >= 0 and read_parts(fields, scan)


def _values_of(key: str) -> list[int | bytes]:
    """Return the values for which a case stands: the text, and, if it is one, the number (`103`, `0x67`, `true`)."""
    values: list[int | bytes] = [key.encode("utf-8")]
    with contextlib.suppress(ValueError):
        values.append(_FLAGS[key] if key in _FLAGS else int(key, 16 if key.lower().startswith("0x") else 10))
    return values


class RepeatPart(LayoutPart):
    """Fields that occur again: `count` times, in the next `length` bytes, or to the end of the frame.

    Without `each`, a list is made of each of its values, except of those that a `switch` in it chooses.
    """

    OPTIONS = frozenset(("at", "count", "length", "correction", "fields", "each", "index"))
    REQUIRED = ("fields",)

    def __init__(self, options: Mapping[str, Any], builder: LayoutBuilder) -> None:
        super().__init__(options)
        if "count" in options and "length" in options:
            raise LayoutError("repeat: it has a count or a length, not both")
        self._count: int | str | None = builder.number_or_earlier(self.kind, options.get("count"))
        self._length: int | str | None = builder.number_or_earlier(self.kind, options.get("length"))
        self._correction: int = options.get("correction", 0)
        if self._correction and not isinstance(self._length, str):
            raise LayoutError("repeat: a correction needs a length that is the name of a value")
        self._index: str = options.get("index", "")
        is_apart = options.get("each", False)
        if self._index and not is_apart:
            raise LayoutError("repeat: an index needs each: true")
        self._fields = builder.repeated(options["fields"], self._index, is_apart=is_apart)
        own = [self._index] if self._index else []
        self.names = list(dict.fromkeys([*own, *(name for field in self._fields for name in field.names)]))
        inner = frozenset[str]().union(*(field.lists for field in self._fields))
        self.in_cases = frozenset[str]().union(*(field.in_cases for field in self._fields))
        self.lists = inner if is_apart else inner | (frozenset(self.names) - self.in_cases)
        self._group = builder.add_group(self.names) if is_apart else 0

    @property
    def is_to_the_end(self) -> bool:
        """Whether it goes on as long as there are bytes."""
        return self._count is None and self._length is None and not isinstance(self._fields[0], FindPart)

    def read_from(self, scan: Scan) -> bool:
        """Read all repetitions; False if one is incomplete, or there are too many."""
        scan.position = self.start_in(scan)
        count, end = _number(self._count, scan), self._end_in(scan)
        if scan.position < 0 or end is None or (count is None and self._count is not None):
            return False
        items: list[dict[str, Any]] = []
        root = scan.root
        while len(items) < count if count is not None else self._has_more(scan, end):
            inner = Scan(scan.frame, scan, end)
            if self._index:
                inner.values[self._index] = len(items) + 1
            root.budget -= 1
            if root.budget < 0 or not read_parts(self._fields, inner) or inner.position <= scan.position:
                return False
            scan.position = inner.position
            items.append(inner.values)
        if self._length is not None:
            scan.position = end
        if self._group:
            root.repetitions = [*root.repetitions, *(Repetition(self._group, item) for item in items)]
        else:
            self._add_values(scan, items)
        return True

    def _end_in(self, scan: Scan) -> int | None:
        """Return where the repetitions end at the latest; None if the frame is too short for that."""
        if self._length is None:
            return scan.end
        length = _number(self._length, scan)
        end = -1 if length is None else scan.position + length + self._correction
        return end if scan.position <= end <= scan.end else None

    def _has_more(self, scan: Scan, end: int) -> bool:
        """Return whether another repetition follows: to the end, or to the last of the bytes that it begins with."""
        first = self._fields[0]
        return first.is_in(scan, end) if isinstance(first, FindPart) else scan.position < end

    def _add_values(self, scan: Scan, items: Sequence[Mapping[str, Any]]) -> None:
        """Add lists to the values, and those that a switch has chosen as they are."""
        scan.values.update(as_lists((name for name in self.names if name not in self.in_cases), items))
        for name, value in ((name, item[name]) for item in items for name in item if name in self.in_cases):
            if scan.values.get(name, value) != value:
                scan.root.lost = {**scan.root.lost, name: _LOST}
            scan.values[name] = value


def _number(number: int | str | None, scan: Scan) -> int | None:
    """Return a number that a layout states, or names: then the frame states it."""
    return scan.number(number) if isinstance(number, str) else number


def read_parts(parts: Iterable[LayoutPart], scan: Scan) -> bool:
    """Read `parts` one after the other; return False as soon as one of them does not match."""
    for part in parts:  # noqa: SIM110  (a loop: a generator costs each frame a call for each field)
        if not part.read_from(scan):
            return False
    return True


def _needs_bytes(part: LayoutPart) -> bool:
    """Return whether a part cannot be read at the end of a frame."""
    return part.at is None and isinstance(part, Field) and part.has_fixed_size


class LayoutBuilder:
    """Makes the parts of a layout. `known` are the values that the fields so far have read.

    `groups` are the names of the values of each repetition that is read apart, in the order of their numbers, from 1.
    """

    def __init__(self, byte_order: str) -> None:
        self._byte_order = byte_order
        self._depth = 0
        self.known: set[str] = set()
        self.groups: list[frozenset[str]] = []

    def parts(self, listed: Sequence[Mapping[str, Any]], *place: str | int) -> list[LayoutPart]:
        """Return the parts that the options describe, which stand at `place`. Raises `LayoutError`."""
        parts: list[LayoutPart] = []
        names: set[str] = set()
        for index, options in enumerate(listed):
            try:
                part = self._part(options)
                if isinstance(part, Field):
                    part.has_namesake = not names.isdisjoint(part.names)
                    names.update(part.names)
            except LayoutError as err:
                raise err.inside(*place, index) from err.__cause__
            parts.append(part)
        for index, (part, following) in enumerate(pairwise(parts)):
            if isinstance(part, RepeatPart) and part.is_to_the_end and _needs_bytes(following):
                what = f"nothing is left for the {following.kind} behind it"
                text = f"repeat: it goes on to the end of the frame, and {what}: add a count or a length"
                raise LayoutError(text).inside(*place, index)
        return parts

    def _part(self, options: Mapping[str, Any]) -> LayoutPart:
        part: LayoutPart
        kind = options["type"]
        if kind == "find":
            part = FindPart(options)
        elif kind == "switch":
            part = SwitchPart(options, self)
        elif kind == "repeat":
            part = RepeatPart(options, self)
        else:
            part = field = Field(options, self._byte_order)
            if field.length_name:
                self.earlier(kind, field.length_name)
            self.known.update(field.names)
        if self._depth and part.at is not None and part.at < 0:
            raise LayoutError(f"{kind}: an offset from the end has no meaning in a repetition")
        return part

    def earlier(self, kind: str, name: str) -> str:
        """Return `name`; raise `LayoutError` if it is not an earlier value."""
        if name not in self.known:
            listed = f"the values before it are {', '.join(sorted(self.known))}" if self.known else "it is the first"
            raise LayoutError(f"{kind}: {name!a} is not an earlier value: {listed}")
        return name

    def number_or_earlier(self, kind: str, value: int | str | None) -> int | str | None:
        """Return `value`, as a number or the name of an earlier value; raise `LayoutError` if there is none."""
        return self.earlier(kind, value) if isinstance(value, str) else value

    def repeated(self, listed: Sequence[Mapping[str, Any]], index: str, *, is_apart: bool) -> list[LayoutPart]:
        """Return the parts of a repetition. Raises `LayoutError`."""
        if self._depth >= _MAX_DEPTH:
            raise LayoutError(f"repeat: at most {_MAX_DEPTH} repetitions can stand within one another")
        if self._depth and is_apart:
            raise LayoutError("repeat: each: true is possible only outside of other repetitions")
        known = set(self.known)
        self.known |= {index} if index else set()
        self._depth += 1
        fields = self.parts(listed, "fields")
        self._depth -= 1
        self.known = known  # behind it, its values are lists, which are no number
        return fields

    def cases(self, cases: Mapping[str, Any]) -> dict[str, list[LayoutPart]]:
        """Return the parts of each case of a switch, which is a field or a list of them. Raises `LayoutError`."""
        known, after = self.known, set(self.known)
        parts = {}
        for key, case in cases.items():
            self.known = set(known)  # the fields of the other cases are not read before those of this one
            parts[key] = self._case(key, case)
            after |= self.known
        self.known = after
        return parts

    def _case(self, key: str, case: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[LayoutPart]:
        if not isinstance(case, Mapping):
            return self.parts(case, "cases", key)
        try:
            return self.parts([case])
        except LayoutError as err:
            err.path = ("cases", key, *err.path[1:])  # it is no list
            raise

    def add_group(self, names: Iterable[str]) -> int:
        """Return the number of a new group of repetitions that are read apart."""
        self.groups.append(frozenset(names))
        return len(self.groups)
