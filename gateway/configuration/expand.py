"""Writes out what a configuration states once for many entries of a list: `for`, and `defaults`. Pure.

An interface uses both by its schema. The entries of a list can have `for` if the schema of an entry has the property
`{"for": {"$ref": "#/$defs/repetition"}}`. An option `defaults` has a property for each list, whose keyword `applies_to`
names this list: `{"polls": {"type": "object", "applies_to": "conversation.polls"}}`. The keyword `alternatives` has
groups of options of which an entry has one at most: `[["message", "messages"]]`; what an entry sets replaces the
others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from gateway.configuration.document import Document, Origin, Path
from gateway.configuration.schema_check import Schema, check_schema, option_schema, resolved_schema
from gateway.configuration.schemas import repetition_schema
from gateway.errors import Finding

_MARK = "#/$defs/repetition"
_NAME = re.compile(r"\{([A-Za-z_]\w*)(?::([^{}]*))?\}")
_WIDE = re.compile(r"[0-9]{4}")

_MAX_ENTRIES = 10_000
"""Most entries that one `for` may stand for."""

_MAX_SIZE = 16 * 1024 * 1024
"""Most bytes that all entries written out may need, each value counted as `_VALUE_SIZE` more than its text."""

_VALUE_SIZE = 64
_MAX_TEXT = 64 * 1024  # characters that are filled into one text
_TEXT: Schema = {"type": "string"}


class Expanded(NamedTuple):
    """Options with all entries written out, the origin of each part by its new path, and what is wrong."""

    options: dict[str, Any]
    origins: Mapping[Path, Origin]
    findings: list[Finding]


def expand(document: Document, options: Mapping[str, Any], schema: Schema, at: Path) -> Expanded:
    """Return the options of an interface, which stand at path `at` of `document`, with all entries written out.

    An entry whose `for` is wrong is left out.
    """
    expander = _Expander(document, schema, at)
    written_out = expander.expand(options)
    return Expanded(written_out, expander.origins, expander.findings)


class _Scope(NamedTuple):
    """Where a value stands: its path when written out, its path as written, and the values of names around it.

    `note` shows these values in a finding.
    """

    path: Path
    written: Path
    names: Mapping[str, Any]
    note: str = ""

    def inner(self, step: str | int, written: str | int | None = None) -> _Scope:
        """Return the scope of a part; `written` is its step as written, if that is another one."""
        return self._replace(path=(*self.path, step), written=(*self.written, step if written is None else written))


class _Row(NamedTuple):
    """Values by name for one entry, and how a finding shows them."""

    values: Mapping[str, Any]
    shown: Mapping[str, str]


class _Defaults(NamedTuple):
    """The options that all entries of a list have, the path where they are written, and which exclude each other."""

    path: Path
    options: Mapping[str, Any]
    alternatives: Sequence[Sequence[str]] = ()

    def for_entry(self, item: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield the options that an entry takes: neither those that it sets, nor those that it has replaced."""
        chosen = {name for name, value in item.items() if value or value == ""}  # not false, and no number of retries
        replaced = {name for group in self.alternatives if not chosen.isdisjoint(group) for name in group}
        for name, value in self.options.items():
            if name not in item and name not in replaced and name != "for":
                yield name, value


_NO_DEFAULTS = _Defaults((), {})


class _Expander:
    """Writes out the options at path `at`."""

    def __init__(self, document: Document, schema: Schema, at: Path) -> None:
        self.origins: dict[Path, Origin] = {}
        self.findings: list[Finding] = []
        self._document = document
        self._schema = schema
        self._at = at
        self._defaults: dict[Path, _Defaults] = {}  # by the path of their list
        self._used: set[str] = set()  # the names that the current entry contains
        self._size: float = 0  # of all entries with names, up to now

    def expand(self, options: Mapping[str, Any]) -> dict[str, Any]:
        schema = self._schema.get("properties", {}).get("defaults", {})
        parts = resolved_schema(schema, self._schema).get("properties", {})
        targets = {name: part for name, part in parts.items() if "applies_to" in part}
        if targets and "defaults" in options:
            self._read_defaults(options["defaults"], schema, targets)
            options = {name: value for name, value in options.items() if name != "defaults"}
        if not self._defaults and not _contains_for(options):
            return dict(options)
        return self._mapping(options, self._schema, _Scope(self._at, self._at, {}))

    def _read_defaults(self, defaults: Any, schema: Schema, targets: Mapping[str, Schema]) -> None:
        at = (*self._at, "defaults")
        whole = {**schema, "$defs": self._schema.get("$defs", {})}
        self.findings += check_schema(self._document, defaults, whole, at)
        for name, options in defaults.items() if isinstance(defaults, dict) else ():
            if name in targets and isinstance(options, dict):
                target = targets[name]
                path = (*self._at, *target["applies_to"].split("."))
                self._defaults[path] = _Defaults((*at, name), options, target.get("alternatives", ()))

    def _complain(self, scope: _Scope, what: str, remedy: str) -> None:
        self.findings.append(self._document.finding(scope.written, what, remedy).noted(scope.note))

    # --- values

    def _value(self, value: Any, schema: Any, scope: _Scope) -> Any:
        schema = resolved_schema(schema, self._schema)
        if scope.names:
            self._size += _VALUE_SIZE
        elif not _has_parts(schema):
            return value
        if isinstance(value, dict):
            return self._mapping(value, schema, scope)
        if isinstance(value, list):
            items = resolved_schema(schema.get("items", {}), self._schema)
            if _is_repeatable(items):
                return list(self._entries(value, items, scope))
            return [self._value(item, items, scope.inner(index)) for index, item in enumerate(value)]
        return self._text(value, schema, scope) if isinstance(value, str) and scope.names else value

    def _mapping(self, value: Mapping[str, Any], schema: Schema, scope: _Scope) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, inner in value.items():
            key = self._text(name, _TEXT, scope) if scope.names else name
            place = scope.inner(key, name)
            if key != name:
                self.origins[place.path] = Origin(place.written, scope.note)
            if key in result:
                self._complain(place, f"{key!r} is there twice when its names are filled in", "use other names")
            result[key] = self._value(inner, option_schema(schema, key), place)
        return result

    # --- entries

    def _entries(self, items: list[Any], schema: Schema, scope: _Scope) -> Iterator[Any]:
        """Yield the entries of a list written out, each with the defaults of the list."""
        count = 0
        for index, item in enumerate(items):
            copies = (
                self._copies(item, schema, scope, index, count)
                if isinstance(item, dict)
                else [self._value(item, schema, self._place(scope, count, index, _Row({}, {})))]
            )
            for entry in copies:
                yield entry
                count += 1

    def _copies(
        self, item: Mapping[str, Any], schema: Schema, scope: _Scope, index: int, number: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the entries for which an item of a list stands; the first of them has this number."""
        defaults = self._defaults.get(scope.path, _NO_DEFAULTS)
        rows, outer, seen = self._rows(item, defaults, scope.inner(index)), self._used, set()
        for row in rows:
            if self._is_full(scope.inner(index)):
                break
            self._used = set()
            place = self._place(scope, number, index, row)
            yield self._entry(item, defaults, schema, place)
            number += 1
            filled_in = tuple((name, repr(value)) for name, value in row.values.items() if name in self._used)
            if filled_in in seen:
                self._complain_of_equal(row, place)
                break
            seen.add(filled_in)
            outer |= self._used - row.values.keys()
        self._used = outer

    def _is_full(self, scope: _Scope) -> bool:
        """Return whether the entries would need too much memory; complain the first time."""
        if self._size > _MAX_SIZE and self._size != math.inf:
            what = f"written out, the entries up to here would need more than {_MAX_SIZE >> 20} MiB"
            self._complain(scope, what, "write fewer values into 'for'")
            self._size = math.inf
        return self._size > _MAX_SIZE

    def _place(self, scope: _Scope, number: int, index: int, row: _Row) -> _Scope:
        """Return the scope of the entry that has this number when written out, and this index as written."""
        note = ", ".join(filter(None, (scope.note, *(f"{name}: {text}" for name, text in row.shown.items()))))
        place = scope.inner(number, index)._replace(names={**scope.names, **row.values}, note=note)
        if row.values or number != index:
            self.origins[place.path] = Origin(place.written, note)
        return place

    def _entry(self, item: Mapping[str, Any], defaults: _Defaults, schema: Schema, place: _Scope) -> dict[str, Any]:
        own = {name: value for name, value in item.items() if name != "for"}
        result = self._mapping(own, schema, place)
        for name, value in defaults.for_entry(item):
            inner = place._replace(path=(*place.path, name), written=(*defaults.path, name))
            self.origins[inner.path] = Origin(inner.written, place.note)
            result[name] = self._value(value, option_schema(schema, name), inner)
        return result

    def _complain_of_equal(self, row: _Row, place: _Scope) -> None:
        unused = ", ".join(f"{{{name}}}" for name in row.values if name not in self._used)
        what = f"{unused} is not used in it" if unused else "the same values are listed twice in 'for'"
        remedy = "use it, or take it out of 'for'; for: {} has the entry once" if unused else "list them once"
        self._complain(place, f"two of its entries would be the same: {what}", remedy)

    # --- for

    def _rows(self, item: Mapping[str, Any], defaults: _Defaults, scope: _Scope) -> list[_Row]:
        """Return the values of the entries that an item stands for: one without names if it has no `for`."""
        if "for" in item:
            value, place = item["for"], scope.inner("for")
        elif "for" in defaults.options:
            value, place = defaults.options["for"], scope._replace(written=(*defaults.path, "for"))
        else:
            return [_Row({}, {})]
        findings = check_schema(self._document, value, repetition_schema(), place.written)
        self.findings += findings
        if findings:
            return []
        value = self._value(value, {}, place)
        return list(self._combinations(value, place) if isinstance(value, dict) else self._listed(value, place))

    def _combinations(self, lists: Mapping[str, list[Any]], scope: _Scope) -> Iterator[_Row]:
        """Yield each combination of a value from each list."""
        count = math.prod(map(len, lists.values()))
        if count > _MAX_ENTRIES:
            what = f"it stands for {count} entries, but at most {_MAX_ENTRIES} are allowed"
            self._complain(scope, what, "write fewer values")
            return
        cells = [
            [(name, *self._cell(value, scope.inner(name).inner(index))) for index, value in enumerate(values)]
            for name, values in lists.items()
        ]
        for row in product(*cells):
            yield _Row({name: value for name, value, _ in row}, {name: shown for name, _, shown in row})

    def _listed(self, rows: list[dict[str, Any]], scope: _Scope) -> Iterator[_Row]:
        """Yield the rows of a list, which must have the same names."""
        for index, row in enumerate(rows):
            if row.keys() != rows[0].keys():
                what = f"it has the names {', '.join(row)}; the first one has {', '.join(rows[0])}"
                self._complain(scope.inner(index), what, "give each of them the same names")
                return
        for index, row in enumerate(rows):
            cells = {name: self._cell(value, scope.inner(index).inner(name)) for name, value in row.items()}
            values, shown = ({name: cell[part] for name, cell in cells.items()} for part in (0, 1))
            yield _Row(values, shown)

    def _cell(self, value: Any, scope: _Scope) -> tuple[Any, str]:
        """Return a value of `for` and how a finding shows it: as it is written, for it may be a secret."""
        if isinstance(value, str):
            value = self._document.resolve(scope.written, value, None)
        return value, self._document.quote(scope.written, value).strip("\"'")

    # --- texts

    def _text(self, text: str, schema: Schema, scope: _Scope) -> Any:
        """Return a text with its names filled in; a value that is the whole of it keeps its type if it may."""
        self._size += len(text)
        whole = _NAME.fullmatch(text)
        if whole and whole[2] is None and whole[1] in scope.names:
            self._used.add(whole[1])
            value = scope.names[whole[1]]
            return _plain(value) if _wants_text(schema, value) else value
        parts, end, size = [], 0, 0
        for match in _NAME.finditer(text):
            name, spec = match[1], match[2]
            if name not in scope.names:
                continue
            self._used.add(name)
            parts += [text[end : match.start()], self._formatted(scope, name, spec)]
            size, end = size + len(parts[-1]), match.end()
            if size > _MAX_TEXT:
                self._complain(scope, f"more than {_MAX_TEXT} characters would be filled in", "use shorter values")
                return text
        self._size += size
        return "".join([*parts, text[end:]])

    def _formatted(self, scope: _Scope, name: str, spec: str | None) -> str:
        value = scope.names[name]
        if not spec:
            return _plain(value)
        reason = f"the format is none for {'a text' if isinstance(value, str) else 'this value'}"
        try:
            if not _WIDE.search(spec):
                return format(value, spec)
            reason = "at most 999 characters are possible"
        except (ValueError, TypeError, OverflowError):
            pass
        self._complain(scope, f"{value!a} cannot be written as {{{name}:{spec}}}: {reason}", "use another format")
        return ""


def _contains_for(value: Any) -> bool:
    """Return whether a part of `value` has an option `for`: most configurations have none, and may be large."""
    if isinstance(value, dict):
        return "for" in value or any(map(_contains_for, value.values()))
    return isinstance(value, list) and any(map(_contains_for, value))


def _has_parts(schema: Schema) -> bool:
    """Return whether a value may have parts in which an entry is repeated."""
    return any(isinstance(schema.get(name), Mapping) for name in ("properties", "additionalProperties", "items"))


def _is_repeatable(schema: Schema) -> bool:
    """Return whether an entry with `schema` may have `for`."""
    option = schema.get("properties", {}).get("for")
    return isinstance(option, Mapping) and option.get("$ref") == _MARK


def _wants_text(schema: Schema, value: Any) -> bool:
    """Return whether an option may be a text, and not `value`."""
    types = _types(schema).union(*map(_types, schema.get("anyOf", ())))
    fitting = {"boolean"} if isinstance(value, bool) else {"number", "integer"}
    return "string" in types and not isinstance(value, str) and types.isdisjoint(fitting)


def _types(schema: Schema) -> set[str]:
    types = schema.get("type", ())
    return {types} if isinstance(types, str) else set(types)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
