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
from interfaces.rules.repetition import FrameValues, Repetition
from interfaces.rules.safe_regex import RegexError
from interfaces.rules.template import Template, TemplateError

MAX_DEPTH = 4
"""Most extractors of a rule: its own, and those that are nested in it."""


MAX_PARTS = 256 * 1024
"""Most bytes of all parts of a frame that are read once more: repetitions may have the same bytes in common."""


class NestedExtractor(Extractor):
    """An extractor whose values, or parts of them, are read once more by another one; the values of both are joined.

    A frame matches if both do. The inner extractor gets the text `of`, or the bytes that `convert` makes of it. If `of`
    needs a value of a repetition, each repetition that has it is read once more.
    """

    def __init__(self, outer: Extractor, inner: Extractor, options: Mapping[str, Any], encoding: str) -> None:
        self._outer, self._inner = outer.extract, inner.extract
        self._of = Template(options["of"])
        self._groups = _groups_with(self._of.names, outer)
        self._count = len(outer.groups)
        self._left = MAX_PARTS
        self._convert = pipeline(options["convert"]).read if "convert" in options else None
        self._encoding = encoding
        self.names = None if outer.names is None or inner.names is None else outer.names | inner.names
        self.lists = outer.lists | inner.lists
        self.groups = [
            names | (inner.names or frozenset()) if number in self._groups else names
            for number, names in enumerate(outer.groups, 1)
        ] + [*inner.groups]
        self.prefix = outer.prefix
        self.is_quick = outer.is_quick and inner.is_quick
        self.reads_floats = outer.reads_floats or inner.reads_floats

    def extract(self, frame: bytes) -> list[Values] | None:
        """Return the values of both; raise `ExtractError` if the part cannot be converted, or either raises it."""
        self._left = MAX_PARTS
        result: list[Values] = []
        for values in self._outer(frame) or ():
            if self._groups:
                result += self._read_repetitions(values)
            else:
                result += [self._joined(values, more) for more in self._read(values) or ()]
        if any(type(values) is FrameValues for values in result):
            return [values if type(values) is FrameValues else FrameValues(values) for values in result]
        return result or None

    def parts(self, frame: bytes) -> Iterator[bytes]:
        """Yield the parts of a frame that are read once more. Raises `ExtractError`, as `extract` does."""
        for values in self._outer(frame) or ():
            sets: list[Mapping[str, Any]] = [values]
            if self._groups:
                repetitions = values.repetitions if isinstance(values, FrameValues) else ()
                sets = [{**values, **own} for group, own in repetitions if group in self._groups]
            for each in sets:
                part = self._part(each)
                if part is not None:
                    yield part

    def _read_repetitions(self, values: Values) -> Iterator[FrameValues]:
        """Yield the values with those of what is nested in the repetitions; nothing if none of it matches."""
        if not isinstance(values, FrameValues):
            return
        repetitions = []
        has_matched = False
        lost = values.lost
        for group, own in values.repetitions:
            read = self._read({**values, **own}) if group in self._groups else None
            has_matched = has_matched or bool(read)
            if read is None:
                repetitions.append(Repetition(group, own))
            for more in read or ():
                repetitions.append(Repetition(group, {**own, **more}))
                lost = {**lost, **_lost(more)}
        if has_matched:
            yield FrameValues(values, repetitions, lost)

    def _joined(self, values: Values, more: Values) -> Values:
        if type(values) is not FrameValues and type(more) is not FrameValues:
            return {**values, **more}
        own = values.repetitions if isinstance(values, FrameValues) else ()
        others = more.repetitions if isinstance(more, FrameValues) else ()
        others = [Repetition(self._count + group, each) for group, each in others]
        return FrameValues({**values, **more}, [*own, *others], {**_lost(values), **_lost(more)})

    def _read(self, values: Mapping[str, Any]) -> list[Values] | None:
        """Return what the inner extractor reads, nothing if it does not match; None: its part is not there."""
        part = self._part(values)
        if part is None:
            return None
        self._left -= len(part)
        if self._left < 0:
            raise ExtractError(f"nested: the parts of the frame have more than {MAX_PARTS} bytes together")
        return self._inner(part) or []

    def _part(self, values: Mapping[str, Any]) -> bytes | None:
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


def _lost(values: Values) -> Mapping[str, str]:
    return values.lost if isinstance(values, FrameValues) else {}


def _groups_with(needed: frozenset[str], outer: Extractor) -> frozenset[int]:
    """Return the numbers of the groups of repetitions that have those of the needed values which are repeated."""
    used = needed & frozenset[str]().union(*outer.groups)
    return frozenset(number for number, names in enumerate(outer.groups, 1) if used and used <= names)


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
    if not kinds and "until" in options and "nested" not in options:
        return  # the end of such an answer is enough
    if len(kinds) != 1:
        present = " and ".join(kinds) if kinds else "none"
        message = f"a rule has exactly one of {', '.join(EXTRACTORS)}; this one has {present}"
        yield Problem((), message, "keep or add one of them: it describes how the rule reads a frame")
        return
    try:
        outer = make_extractor(options, encoding)
    except (RegexError, LayoutError, ExtractorError) as err:
        path = err.path if isinstance(err, LayoutError) else ()
        yield Problem((kinds[0], *path), str(err), "correct it")
        return
    if "nested" not in options:
        return
    if depth == MAX_DEPTH:
        yield Problem(("nested",), f"more than {MAX_DEPTH} extractors are nested", "read less of the frame")
        return
    problems = list(_check_part(options["nested"], outer))
    if not problems:
        problems = list(check_reader(options["nested"], encoding, depth + 1))
    if not problems:
        problems = list(_check_both(outer, make_reader(options["nested"], encoding), options["nested"]))
    yield from (problem._replace(path=("nested", *problem.path)) for problem in problems)


def _check_part(options: Mapping[str, Any], outer: Extractor) -> Iterator[Problem]:
    names = outer.names
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
    for name in sorted(needed & outer.lists):
        yield Problem(("of",), f"{{{name}}} is a list, which cannot be a part of a text",
                      "add each: true to its repetition")  # fmt: skip
    if needed & frozenset[str]().union(*outer.groups) and not _groups_with(needed, outer):
        yield Problem(("of",), "no repetition has all of the values that it needs", "use values of one repetition")
    try:
        pipeline(options.get("convert", "strip"))
    except ConversionError as err:
        yield Problem(("convert",), str(err))


def _check_both(outer: Extractor, inner: Extractor, options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what the two extractors cannot do together; paths begin at the inner one."""
    for name in sorted((outer.names or frozenset()) & (inner.names or frozenset())):
        yield Problem((), f"{name!a} is already a value of the extractor around it", "use another name")
    if not _groups_with(Template(options["of"]).names, outer):
        return
    if inner.groups:
        yield Problem((), "each: true is possible only outside of other repetitions", "leave it out: it makes lists")
    if inner.names is None:
        yield Problem((), "its values are not known, but they belong to a repetition", "list them: 'at', or 'keys'")
