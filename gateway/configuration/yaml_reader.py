"""Reads the part of YAML that people write: one document of mappings, lists and scalars.

The reader works on PyYAML's events, because only these still show the place of every value, duplicate keys, and
aliases, anchors and tags. The latter three are errors: they hide what a file says, and a few aliases can expand to
gigabytes. Scalars are resolved as in YAML 1.2 (see `scalars`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from gateway.configuration.document import (
    MAX_BYTES,
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
from gateway.configuration.scalars import resolve_scalar
from gateway.errors import MAX_FINDINGS, ConfigurationError, Finding

INI_HEADER = re.compile(r"\[(.+)\]")

_TAB = ("not YAML: there is a tab here", "replace it by spaces, as many as in the lines around it")


def is_ini(text: str) -> bool:
    """Return whether a text is INI: its first line is `[SECTION]`, with which no mapping begins.

    Empty lines and comments before it do not count.
    """
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            return INI_HEADER.match(stripped) is not None
    return False


def load_yaml(text: str, file: str, environment: Mapping[str, str]) -> Document:
    """Return the document in a YAML text.

    `${NAME}` in a value is replaced by that environment variable; `$${` is a literal `${`. Raises
    `ConfigurationError` with all errors.
    """
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        what = f"not YAML: the character {unprintable.group()!a} is not allowed"
        raise refusal(file, text, unprintable.start(), what, "remove it")
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
    """Return why a text is not YAML, and the remedy. PyYAML's two parsers word their errors differently."""
    mark, begin, lines = err.problem_mark or err.context_mark, err.context_mark, _lines(text)
    what = " ".join(filter(None, (err.context, err.problem)))
    if "nesting" in what:  # libyaml reads ahead, and PyYAML since 6.0.4 has a limit of its own, of 1,000 levels
        return TOO_DEEP
    if mark and _is_tab(text, mark):
        return _TAB
    remedy = "check indentation, colons and quotes"
    if begin and _SWALLOWED.search(lines[begin.line]):
        remedy = "'#' begins a comment here: put the text in quotes"
    elif begin and _ESCAPE.search(err.problem or ""):
        remedy = r"in double quotes, \ begins an escape sequence: use single quotes, as in '\d+'"
    elif begin and (opening := lines[begin.line][begin.column : begin.column + 1]) in _OPENING:
        where = f"the {opening!r} that is opened in line {begin.line + 1}"
        remedy = f"close {where}, or check commas and quotes before this place"
    return f"not YAML: {what}", remedy


def _is_tab(text: str, mark: yaml.Mark) -> bool:
    """Return whether the text stops being YAML at a tab; PyYAML's two parsers word that differently."""
    return _lines(text)[mark.line][mark.column : mark.column + 1] == "\t"


def _lines(text: str) -> list[str]:
    return [*_LINE_BREAK.split(text), ""]


# YAML 1.1, section 5.4, which PyYAML follows.
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

_SWALLOWED = re.compile(r"[\[,]\s*#")  # a topic filter that has become a comment
_ESCAPE = re.compile("escape|hexdecimal")  # this spelling is libyaml's
_OPENING = ("[", "{", "'", '"')
_TYPOGRAPHIC = re.compile(
    "[\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb].*[\u201c\u201d\u2018\u2019\u00ab\u00bb]", re.DOTALL
)

# YAML 1.2, section 5.1. Checked here since PyYAML's two parsers differ in it, and in their error texts.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}")


def variables(raw: str) -> list[str]:
    """Return the names of the environment variables in `raw`, a text as written in a file."""
    return [match[1] for match in _VARIABLE.finditer(raw) if match[1] is not None]


class _YamlReader:
    """Builds data from YAML events."""

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
        if len(self.findings) > MAX_FINDINGS:  # every line of a large file may have an error
            raise ConfigurationError(self.findings)

    def _value(self, event: Any, events: Iterator[yaml.Event], path: Path) -> Any:
        self.values[path] = _mark(event)
        if len(self.values) > MAX_VALUES:
            self._complain(
                event, (), f"over {MAX_VALUES} values", "is it the right file? Put a large map into a file of its own"
            )
            raise ConfigurationError(self.findings)
        if isinstance(event, yaml.AliasEvent):
            self._complain(event, path, f"the alias '*{event.anchor}' is not supported", "write the value out")
            return None
        if getattr(event, "anchor", None):
            self._complain(event, path, f"the anchor '&{event.anchor}' is not supported", "remove it")
        if getattr(event, "tag", None):
            self._complain(event, path, f"the tag '{event.tag}' is not supported", "remove it")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            self._complain(event, (), *TOO_DEEP)
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
                what = f"duplicate option, first in line {self.keys[*path, key][0]}"
                self._complain(key_event, (*path, key), what, "remove one of the two")
            self.keys[*path, key] = place
            members[key] = self._value(next(events), events, (*path, key))
        return members

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Any:
        text: str = event.value
        if event.implicit[0] and _TYPOGRAPHIC.fullmatch(text):
            self._complain(event, path, "these quotes are typographic, and part of the text", 'use plain quotes: "')
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
                what = f"environment variables insert over {MAX_BYTES // 1024**2} MiB"
                self._complain(event, path, what, "shorten their values")
                raise ConfigurationError(self.findings)
            return self.environment[name]

        return _VARIABLE.sub(replace, text)


def _mark(event: yaml.Event) -> Place:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)
