"""Reads JSON, with the place of every value and with all duplicate keys; Python's reader shows neither."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from gateway.configuration.document import (
    MAX_DEPTH,
    MAX_VALUES,
    TOO_DEEP,
    Document,
    FaultyDocumentError,
    Path,
    Place,
    dotted,
    refusal,
)
from gateway.errors import ConfigurationError, Finding, bounded


def load_json(text: str, file: str) -> Document:
    """Return the document in a JSON text (RFC 8259). Raises `ConfigurationError` with all errors.

    Places are computed when the first of them is needed: a map of 100,000 entries without errors never needs them.
    """
    has_duplicates = False

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_duplicates
        members = dict(pairs)
        has_duplicates = has_duplicates or len(members) < len(pairs)
        return members

    def refuse(constant: str) -> Any:
        offset = next(match.start() for match in _JSON_SKIM.finditer(text) if match[0] == constant)
        raise refusal(file, text, offset, f"not JSON: {constant} is not allowed", "use a number or null")

    try:
        data = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        deep = _is_deep(data)
    except json.JSONDecodeError as err:
        remedy = r"write \\ for each \ in a text" if "escape" in err.msg else "check commas, quotes and brackets"
        finding = Finding(file, err.lineno, err.colno, "", f"not JSON: {err.msg}", remedy)
        raise ConfigurationError([finding]) from err
    except ValueError as err:  # an integer of thousands of digits
        raise ConfigurationError([Finding(file, 0, 0, "", f"not usable JSON: {err}", "shorten the number")]) from err
    except RecursionError:
        deep = True
    if deep:
        raise refusal(file, text, _deep_offset(text), *TOO_DEEP)
    document = _JsonDocument(file, data, text)
    if has_duplicates:
        findings = bounded(document.duplicates())
        otherwise = document.finding((), "duplicate option", "remove one of the two")
        raise FaultyDocumentError(findings or [otherwise], document)
    return document


# Strings (so that their content is skipped), brackets, and the constants of JavaScript that JSON does not have.
_JSON_SKIM = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}]|NaN|-?Infinity', re.DOTALL)


def _is_deep(data: Any) -> bool:
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [item for value in level if isinstance(value, dict | list)
                 for item in (value.values() if isinstance(value, dict) else value)]  # fmt: skip
    return any(isinstance(value, dict | list) for value in level)


def _deep_offset(text: str) -> int:
    depth = 0
    for match in _JSON_SKIM.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            return match.start()
    return 0


class _JsonDocument(Document):
    is_json = True

    def __init__(self, file: str, data: Any, text: str) -> None:
        super().__init__(file, data)
        self._text = text

    @cached_property
    def _places(self) -> tuple[dict[Path, Place], dict[Path, Place], list[tuple[Path, Place, Place]]]:
        keys: dict[Path, Place] = {}
        values: dict[Path, Place] = {}
        duplicates: list[tuple[Path, Place, Place]] = []
        line_start, line, last = 0, 1, 0
        # A value after the limit gets the place of the nearest mapping or list around it that is known.
        for path, offset, is_key in islice(_scan_json(self._text), 2 * MAX_VALUES):
            newlines = self._text.count("\n", last, offset)
            if newlines:
                line += newlines
                line_start = self._text.rindex("\n", last, offset) + 1
            last = offset
            place = (line, offset - line_start + 1)
            if is_key and path in keys:
                duplicates.append((path, keys[path], place))
            (keys if is_key else values)[path] = place
        return keys, values, duplicates

    def finding(self, path: Path, what: str, remedy: str = "", *, at_key: bool = False) -> Finding:
        keys, values, _ = self._places
        return Document(self.file, None, keys, values).finding(path, what, remedy, at_key=at_key)

    def duplicates(self) -> Iterator[Finding]:
        for path, first, again in self._places[2]:
            what = f"duplicate option, first in line {first[0]}"
            yield Finding(self.file, *again, dotted(path), what, "remove one of the two")


_JSON_SYMBOL = re.compile(r'[ \t\r\n]*([{}\[\],:"]|[^ \t\r\n{}\[\],:"]+)')


def _scan_json(text: str) -> Iterator[tuple[Path, int, bool]]:
    """Yield (path, offset, whether it is a key) of all values of a JSON text, in the order of the text."""
    steps: list[str | int] = []
    in_object: list[bool] = []
    position, at_key = 0, False
    while match := _JSON_SYMBOL.match(text, position):
        symbol, start = match[1], match.start(1)
        position = match.end()
        if symbol in "}]":
            in_object.pop()
            steps.pop()
            at_key = False
        elif symbol == ",":
            if in_object[-1]:
                at_key = True
            else:
                steps[-1] += 1  # type: ignore[operator]
        elif symbol == ":":
            at_key = False
        elif at_key and symbol == '"':
            steps[-1], position = scanstring(text, position)
            yield tuple(steps), start, True
        else:
            yield tuple(steps), start, False
            if symbol in "{[":
                in_object.append(symbol == "{")
                at_key = symbol == "{"
                steps.append(0)
            elif symbol == '"':
                position = scanstring(text, position)[1]
