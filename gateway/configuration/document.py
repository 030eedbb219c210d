"""YAML and JSON texts as plain data, with the place of every value.

The YAML read here is the part that people write: one document of mappings, lists and scalars. Scalars
are resolved as in YAML 1.2 (core schema, section 10.3.2), so that `on`, `no` and `12:30` are text.
Aliases, anchors and tags are refused: they hide what a file says.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from json.decoder import scanstring  # type: ignore[attr-defined]
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeAlias

import yaml

from gateway.errors import MAX_FINDINGS, ConfigurationError, Finding, bounded

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys of mappings and indices of lists, from the root."""

Place: TypeAlias = tuple[int, int]
"""Line and column, from 1."""

MAX_BYTES = 16 * 1024 * 1024
"""A file over this is refused; a map of 100,000 entries has a third of it."""

MAX_VALUES = 200_000
"""Values in a YAML text, and places that are known of a JSON text: a file of 16 MiB would have millions."""

_MAX_DEPTH = 40
_NOWHERE: Mapping[Path, Place] = MappingProxyType({})
_TAB = ("not YAML: a tab stands here", "write spaces instead of it, as many as in the lines around")
_TOO_DEEP = (f"nested over {_MAX_DEPTH} deep", "flatten it")


class Document:
    """The data of a file and where each part of it stands.

    `raw` holds the text, as written in the file, of the values that environment variables were put into:
    errors quote it instead of the value, which may be a secret. `notes` are what else is to be said of the file.
    """

    is_legacy: ClassVar[bool] = False
    is_json: ClassVar[bool] = False

    def __init__(
        self,
        file: str,
        data: Any,
        keys: Mapping[Path, Place] = _NOWHERE,
        values: Mapping[Path, Place] = _NOWHERE,
        raw: Mapping[Path, str] = MappingProxyType({}),
        notes: tuple[Finding, ...] = (),
    ) -> None:
        self.file = file
        self.data = data
        self.keys = keys
        self.values = values
        self.raw = raw
        self.notes = notes

    def with_data(self, data: Any) -> Self:
        """Return the same document, with other data at the same places."""
        same = copy.copy(self)
        same.data = data
        return same

    def finding(self, path: Path, what: str, remedy: str = "", *, at_key: bool = False) -> Finding:
        """Return a finding at the value of `path`, or at its key; the nearest place that is known."""
        places = [self.keys, self.values] if at_key else [self.values, self.keys]
        at = path
        while True:
            place = next((known[at] for known in places if at in known), None)
            if place or not at:
                return Finding(self.file, *(place or (0, 0)), dotted(path), what, remedy)
            at = at[:-1]

    def resolve(self, path: Path, text: str, wanted: object) -> str | int | float | bool | None:  # noqa: ARG002
        """Return what `text` at `path` stands for, where the schema wants the type `wanted` and not text.

        Only what came from an environment variable is still to be told; what stands in the file has its type.
        """
        return resolve_scalar(text) if path in self.raw else text

    def quote(self, path: Path, value: object) -> str:
        """Return `value` as an error may show it: as text or number, cut to 60 characters, secrets unread."""
        if path in self.raw:
            return f"{self.raw[path]!r}"
        if isinstance(value, dict | list):
            return "a mapping" if isinstance(value, dict) else "a list"
        text = json.dumps(value)
        return text if len(text) <= 60 else f"{text[:57]}..."


class FaultyDocumentError(ConfigurationError):
    """A text has the form of its language, but not of a `Document`; `document` is what could be read.

    Whoever wants to say everything that is wrong with a file checks that too, before giving up.
    """

    def __init__(self, findings: Iterable[Finding], document: Document) -> None:
        super().__init__(findings)
        self.document = document


def dotted(path: Path) -> str:
    """Write a path as people do: `interface.decode[0].match`."""
    text = ""
    for step in path:
        if isinstance(step, str) and not step.isprintable():  # nothing in a file can harm a terminal, or hide there
            step = ascii(step)[1:-1]
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


# --- YAML


INI_HEADER = re.compile(r"\[(.+)\]")


def is_ini(text: str) -> bool:
    """Tell whether a text is INI: the first line that says something is `[SECTION]`, which no mapping begins with."""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            return INI_HEADER.match(stripped) is not None
    return False


def load_yaml(text: str, file: str, environment: Mapping[str, str]) -> Document:
    """Read a YAML text; `${NAME}` in a value becomes that environment variable, `$${` stands for `${`.

    Raises `ConfigurationError` with all that is wrong.
    """
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        what = f"not YAML: the character {unprintable.group()!a} may not stand in a text"
        raise _refusal(file, text, unprintable.start(), what, "remove it")
    reader = _YamlReader(file, environment)
    try:
        data = reader.read(text)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        reader.findings.append(Finding(file, *place, "", *_yaml_problem(text, err)))
        raise ConfigurationError(reader.findings) from err
    except yaml.YAMLError as err:
        reader.findings.append(Finding(file, 0, 0, "", f"not YAML: {' '.join(str(err).split())}", "remove it"))
        raise ConfigurationError(reader.findings) from err
    document = Document(file, data, reader.keys, reader.values, reader.raw)
    if reader.findings:
        raise FaultyDocumentError(reader.findings, document)
    return document


def _yaml_problem(text: str, err: yaml.MarkedYAMLError) -> tuple[str, str]:
    """Return what keeps a text from being YAML, and the remedy; its two readers do not say it in the same words."""
    mark, begin, lines = err.problem_mark or err.context_mark, err.context_mark, _lines(text)
    what = " ".join(filter(None, (err.context, err.problem)))
    if "nesting" in what:  # libyaml reads ahead, and since PyYAML 6.0.4 has a limit of its own, of 1,000
        return _TOO_DEEP
    if mark and _is_tab(text, mark):
        return _TAB
    remedy = "check indentation, colons and quotes"
    if begin and _SWALLOWED.search(lines[begin.line]):
        remedy = "'#' begins a comment here: put it in quotes"
    elif begin and _ESCAPE.search(err.problem or ""):
        remedy = r"in double quotes a \ has a meaning of its own: write it in single quotes, as '\d+'"
    elif begin and (opening := lines[begin.line][begin.column : begin.column + 1]) in _OPENING:
        where = f"the {opening!r} that is opened in line {begin.line + 1}"
        remedy = f"close {where}, or check commas and quotes before this place"
    return f"not YAML: {what}", remedy


def _is_tab(text: str, mark: yaml.Mark) -> bool:
    """Return whether a tab stands where the text is no YAML any more; its readers each say that in another way."""
    return _lines(text)[mark.line][mark.column : mark.column + 1] == "\t"


def _lines(text: str) -> list[str]:
    return [*_LINE_BREAK.split(text), ""]


def _refusal(file: str, text: str, offset: int, what: str, remedy: str) -> ConfigurationError:
    line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    return ConfigurationError([Finding(file, line, column, "", what, remedy)])


# YAML 1.1, section 5.4, which PyYAML follows.
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

_SWALLOWED = re.compile(r"[\[,]\s*#")  # a filter that has become a comment
_ESCAPE = re.compile("escape|hexdecimal")  # sic, libyaml
_OPENING = ("[", "{", "'", '"')
_TYPOGRAPHIC = re.compile(
    "[\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb].*[\u201c\u201d\u2018\u2019\u00ab\u00bb]", re.DOTALL
)

# YAML 1.2, section 5.1. Checked here since the two YAML loaders differ in it, and in how they say it.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


_CORE_SCHEMA: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,300}"), int),
    (re.compile(r"0o[0-7]{1,300}"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]{1,300}"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), _finite),
)

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}")


def variables(raw: str) -> list[str]:
    """Return the names of the environment variables that stand in `raw`, a text as written in a file."""
    return [match[1] for match in _VARIABLE.finditer(raw) if match[1] is not None]


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """Return what an unquoted YAML scalar stands for (YAML 1.2 core schema, without infinity and NaN)."""
    for pattern, convert in _CORE_SCHEMA:
        if pattern.fullmatch(text):
            return convert(text)  # type: ignore[no-any-return]
    return text


class _YamlReader:
    """Builds data from YAML events, which alone still tell aliases, anchors and tags."""

    def __init__(self, file: str, environment: Mapping[str, str]) -> None:
        self.file = file
        self.environment = environment
        self.findings: list[Finding] = []
        self.keys: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self.raw: dict[Path, str] = {}
        self.substituted = 0  # characters that came from the environment

    def read(self, text: str) -> Any:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        events = yaml.parse(text, Loader=loader)
        data = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._complain(event, (), "a second document begins here", "remove the line '---'")
                    break
            elif isinstance(event, yaml.NodeEvent):
                data = self._value(event, events, ())
        return data

    def _complain(self, event: yaml.Event, path: Path, what: str, remedy: str) -> None:
        line, column = _mark(event)
        self.findings.append(Finding(self.file, line, column, dotted(path), what, remedy))
        if len(self.findings) > MAX_FINDINGS:  # nobody reads more; a file may be wrong in each of its lines
            raise ConfigurationError(self.findings)

    def _value(self, event: Any, events: Iterator[yaml.Event], path: Path) -> Any:
        self.values[path] = _mark(event)
        if len(self.values) > MAX_VALUES:
            self._complain(
                event, (), f"over {MAX_VALUES} values", "is it the right file? A large map has one of its own"
            )
            raise ConfigurationError(self.findings)
        if isinstance(event, yaml.AliasEvent):
            self._complain(event, path, f"the alias '*{event.anchor}' is not taken", "write the value out")
            return None
        if getattr(event, "anchor", None):
            self._complain(event, path, f"the anchor '&{event.anchor}' is not taken", "remove it")
        if getattr(event, "tag", None):
            self._complain(event, path, f"the tag '{event.tag}' is not taken", "remove it")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= _MAX_DEPTH:
            self._complain(event, (), *_TOO_DEEP)
            raise ConfigurationError(self.findings)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                items.append(self._value(event, events, (*path, len(items))))
            return items
        return self._mapping(events, path)

    def _mapping(self, events: Iterator[yaml.Event], path: Path) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while not isinstance(key_event := next(events), yaml.MappingEndEvent):
            place = _mark(key_event)
            if isinstance(key_event, yaml.ScalarEvent) and not (key_event.anchor or key_event.tag):
                key = key_event.value
            else:
                self._complain(key_event, path, "a key must be plain text", "write the key as text")
                self._value(key_event, events, (*path, "?"))
                self._value(next(events), events, (*path, "?"))
                continue
            if key in members:
                first = self.keys[*path, key]
                self._complain(key_event, (*path, key), f"given twice, first in line {first[0]}", "keep one of the two")
            self.keys[*path, key] = place
            members[key] = self._value(next(events), events, (*path, key))
        return members

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Any:
        text: str = event.value
        if event.implicit[0] and _TYPOGRAPHIC.fullmatch(text):
            self._complain(event, path, "these quotes are typographic, and part of the text", 'write plain ones: "')
        if "${" not in text:
            return resolve_scalar(text) if event.implicit[0] else text
        self.raw[path] = text

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return "${"
            if name not in self.environment:
                what = f"the environment variable {name!r} is not set"
                self._complain(event, path, what, "set it, or write $${ for a literal ${")
                return ""
            self.substituted += len(self.environment[name])
            if self.substituted > MAX_BYTES:
                self._complain(
                    event, path, f"environment variables fill in over {MAX_BYTES // 1024**2} MiB", "shorten it"
                )
                raise ConfigurationError(self.findings)
            return self.environment[name]

        return _VARIABLE.sub(replace, text)


def _mark(event: yaml.Event) -> Place:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


# --- JSON


def load_json(text: str, file: str) -> Document:
    """Read a JSON text (RFC 8259). Raises `ConfigurationError` with all that is wrong.

    Places are worked out when the first of them is asked for: a good map of 100,000 entries never needs them.
    """
    twice = False

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        members = dict(pairs)
        twice = twice or len(members) < len(pairs)
        return members

    def refuse(constant: str) -> Any:
        offset = next(match.start() for match in _JSON_SKIM.finditer(text) if match[0] == constant)
        raise _refusal(file, text, offset, f"not JSON: {constant} is not a number in it", "use a number or null")

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
        raise _refusal(file, text, _deep_offset(text), *_TOO_DEEP)
    document = _JsonDocument(file, data, text)
    if twice:
        found = bounded(document.duplicates())
        what = "an option is given twice"
        raise FaultyDocumentError(found or [document.finding((), what, "keep one of the two")], document)
    return document


# Of a JSON text, strings (to skip what stands in them), brackets, and the constants that are none.
_JSON_SKIM = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}]|NaN|-?Infinity', re.DOTALL)


def _is_deep(data: Any) -> bool:
    level = [data]
    for _ in range(_MAX_DEPTH):
        level = [item for value in level if isinstance(value, dict | list)
                 for item in (value.values() if isinstance(value, dict) else value)]  # fmt: skip
    return any(isinstance(value, dict | list) for value in level)


def _deep_offset(text: str) -> int:
    depth = 0
    for match in _JSON_SKIM.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > _MAX_DEPTH:
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
        twice: list[tuple[Path, Place, Place]] = []
        line_start, line, last = 0, 1, 0
        # What lies behind has the place of the nearest mapping or list around it that is known.
        for path, offset, is_key in islice(_scan_json(self._text), 2 * MAX_VALUES):
            newlines = self._text.count("\n", last, offset)
            if newlines:
                line += newlines
                line_start = self._text.rindex("\n", last, offset) + 1
            last = offset
            place = (line, offset - line_start + 1)
            if is_key and path in keys:
                twice.append((path, keys[path], place))
            (keys if is_key else values)[path] = place
        return keys, values, twice

    def finding(self, path: Path, what: str, remedy: str = "", *, at_key: bool = False) -> Finding:
        keys, values, _ = self._places
        return Document(self.file, None, keys, values).finding(path, what, remedy, at_key=at_key)

    def duplicates(self) -> Iterator[Finding]:
        for path, first, again in self._places[2]:
            yield Finding(
                self.file, *again, dotted(path), f"given twice, first in line {first[0]}", "keep one of the two"
            )


_JSON_SIGN = re.compile(r'[ \t\r\n]*([{}\[\],:"]|[^ \t\r\n{}\[\],:"]+)')


def _scan_json(text: str) -> Iterator[tuple[Path, int, bool]]:
    """Walk a text that is known to be JSON; yield (path, offset, whether it is a key) in the order of the text."""
    steps: list[str | int] = []
    in_object: list[bool] = []
    position, at_key = 0, False
    while match := _JSON_SIGN.match(text, position):
        sign, start = match[1], match.start(1)
        position = match.end()
        if sign in "}]":
            in_object.pop()
            steps.pop()
            at_key = False
        elif sign == ",":
            if in_object[-1]:
                at_key = True
            else:
                steps[-1] += 1  # type: ignore[operator]
        elif sign == ":":
            at_key = False
        elif at_key and sign == '"':
            steps[-1], position = scanstring(text, position)
            yield tuple(steps), start, True
        else:
            yield tuple(steps), start, False
            if sign in "{[":
                in_object.append(sign == "{")
                at_key = sign == "{"
                steps.append(0)
            elif sign == '"':
                position = scanstring(text, position)[1]
