"""A frame inside a frame: a part of it that has a layout or a text format of its own. Pure.

regex: '\\+RCV=(?P<node>[0-9]+),[0-9]+,(?P<data>[0-9A-F]*),.*'
nested: {of: "{data}", convert: {bytes: hex}, binary: {fields: [{type: i16, name: t}]}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.errors import Problem
from interfaces.rules.conversion import ConversionError
from interfaces.rules.converters import pipeline
from interfaces.rules.extractors import (
    EXTRACTORS,
    ExtractError,
    Extractor,
    ExtractorError,
    Values,
    extractor_kinds,
    make_extractor,
)
from interfaces.rules.layout import LayoutError
from interfaces.rules.safe_regex import RegexError
from interfaces.rules.template import Template, TemplateError

MAX_DEPTH = 4
"""Most extractors of a rule: its own, and those that are nested in it."""


class NestedExtractor(Extractor):
    """An extractor whose values, or parts of them, are read once more by another one; the values of both are joined.

    A frame matches if both do. The inner extractor gets the text `of`, or the bytes that `convert` makes of it.
    """

    def __init__(self, outer: Extractor, inner: Extractor, options: Mapping[str, Any], encoding: str) -> None:
        self._outer, self._inner = outer.extract, inner.extract
        self._of = Template(options["of"])
        self._convert = pipeline(options["convert"]).read if "convert" in options else None
        self._encoding = encoding
        self.names = None if outer.names is None or inner.names is None else outer.names | inner.names
        self.prefix = outer.prefix
        self.is_quick = outer.is_quick and inner.is_quick
        self.reads_floats = outer.reads_floats or inner.reads_floats

    def extract(self, frame: bytes) -> list[Values] | None:
        """Return the values of both; raise `ExtractError` if the part cannot be converted, or either raises it."""
        result = []
        for values in self._outer(frame) or ():
            part = self._part(values)
            if part is not None:
                result += [{**values, **more} for more in self._inner(part) or ()]
        return result or None

    def _part(self, values: Values) -> bytes | None:
        """Return the part of the frame that is read once more; None if one of its values is missing."""
        used = {name: values[name] for name in self._of.names if values.get(name) is not None}
        if len(used) < len(self._of.names):
            return None
        encoding = self._encoding
        if any(isinstance(value, bytes) for value in used.values()):  # each byte is a character, and becomes a byte
            encoding = "latin-1"
            used = {name: value.decode(encoding) if isinstance(value, bytes) else value for name, value in used.items()}
        try:
            part: Any = self._of.fill(used)
            if self._convert is not None:
                part = self._convert(part)
            return part if isinstance(part, bytes) else str(part).encode(encoding)
        except (ConversionError, TemplateError) as err:
            raise ExtractError(f"nested: {err}") from err
        except UnicodeEncodeError as err:
            raise ExtractError(f"nested: {part!a} cannot be written as {encoding}") from err


def make_reader(options: Mapping[str, Any], encoding: str) -> Extractor:
    """Return the extractor of a rule, with what is nested in it.

    Raises the errors of `make_extractor`, `TemplateError` and `ConversionError` if its options are wrong.
    """
    extractor = make_extractor(options, encoding)
    if "nested" not in options:
        return extractor
    return NestedExtractor(extractor, make_reader(options["nested"], encoding), options["nested"], encoding)


def check_reader(options: Mapping[str, Any], encoding: str, depth: int = 1) -> Iterator[Problem]:
    """Yield the problems of the extractor of a rule, and of what is nested in it; paths begin at the rule."""
    kinds = list(extractor_kinds(options))
    if len(kinds) != 1:
        present = " and ".join(kinds) if kinds else "none"
        message = f"a rule has exactly one of {', '.join(EXTRACTORS)}; this one has {present}"
        yield Problem((), message, "keep or add one of them: it describes how the rule reads a frame")
        return
    try:
        names = make_extractor(options, encoding).names
    except (RegexError, LayoutError, ExtractorError) as err:
        yield Problem((kinds[0],), str(err), "correct it")
        return
    if "nested" not in options:
        return
    if depth == MAX_DEPTH:
        yield Problem(("nested",), f"more than {MAX_DEPTH} extractors are nested", "read less of the frame")
        return
    problems = list(_check_part(options["nested"], names))
    if not problems:
        problems = list(check_reader(options["nested"], encoding, depth + 1))
    yield from (problem._replace(path=("nested", *problem.path)) for problem in problems)
    if not problems:
        yield from _check_twice(names, make_reader(options["nested"], encoding).names)


def _check_part(options: Mapping[str, Any], names: frozenset[str] | None) -> Iterator[Problem]:
    try:
        needed = Template(options["of"]).names
    except TemplateError as err:
        yield Problem(("of",), str(err))
        return
    if not needed:
        yield Problem(("of",), "it contains no value of the frame", "use {name} for the value to read")
    for name in sorted(needed - names if names is not None else ()):
        known = f"the values here: {', '.join(sorted(names or ())) or 'none'}"
        yield Problem(("of",), f"{{{name}}} is not a value of the extractor around it", known)
    try:
        pipeline(options.get("convert", "strip"))
    except ConversionError as err:
        yield Problem(("convert",), str(err))


def _check_twice(outer: frozenset[str] | None, inner: frozenset[str] | None) -> Iterator[Problem]:
    for name in sorted((outer or frozenset()) & (inner or frozenset())):
        yield Problem(("nested",), f"{name!a} is already a value of the extractor around it", "use another name")
