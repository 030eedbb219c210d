"""`mqttgateway map check`: finds all errors, warnings and notes about the maps of a file.

A map that loads is checked completely. For a map that does not load, the findings are the errors that prevent it, with
example messages if the map is complete enough to make some.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, TypeVar

from gateway.configuration.check_syntax import build_syntax, form_problems
from gateway.configuration.document import Document
from gateway.configuration.schema_check import check_schema
from gateway.configuration.schemas import map_schema
from gateway.core.topic import filter_problem
from gateway.errors import ConfigurationError, Finding, MessageError
from gateway.map_tools.filter_proof import check_filters
from gateway.map_tools.probe import Probe
from gateway.map_tools.proof import SEVERITIES, Flaw, Severity, check_words
from gateway.map_tools.source import MapSource, document_of, is_map, load_sources
from gateway.map_tools.words import Example
from gateway.message import ADDRESS_FIELDS
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap
from gateway.translation.syntax import SEVEN_LEVELS

MAX_OF_A_KIND = 100
"""The number of findings of one kind that are reported; the others are only counted."""


@dataclass(frozen=True, slots=True)
class MapFinding:
    """A finding with its place in the file, its severity, its kind, and an example message."""

    severity: Severity
    kind: str
    finding: Finding
    example: Example | None = None

    def lines(self) -> Iterator[str]:
        """Yield the finding as readable lines."""
        where = ": ".join(filter(None, (self.severity, self.finding.where)))
        yield f"{self.finding._replace(where=where)} [{self.kind}]"
        if self.example:
            yield f"    {self.example}"


_FlawOrFinding = TypeVar("_FlawOrFinding", Flaw, MapFinding)


@dataclass(frozen=True)
class Report:
    """All findings about a file, in the order of their places.

    `counts` has the number of all findings, by severity; `left_out` of those that are not in `findings`, by kind.
    """

    file: str
    findings: tuple[MapFinding, ...]
    counts: Mapping[str, int]
    left_out: Mapping[str, int]

    @property
    def is_ok(self) -> bool:
        """Whether the maps have no errors and no warnings."""
        return not (self.counts.get("error") or self.counts.get("warning"))

    def lines(self) -> Iterator[str]:
        """Yield the report as readable lines."""
        for finding in self.findings:
            yield from finding.lines()
        for kind, number in self.left_out.items():
            yield f"{self.file}: {number} more of the kind [{kind}]"
        counts = [f"{number} {severity}{'s' if number > 1 else ''}" for severity in SEVERITIES
                  if (number := self.counts.get(severity, 0))]  # fmt: skip
        yield f"{self.file}: {'OK' if self.is_ok else 'not OK'}{': ' if counts else ''}{', '.join(counts)}"

    def as_json(self) -> str:
        """Return the report as one JSON document, which docs/maps.md describes."""
        data = {
            "version": 1,
            "file": self.file,
            "good": self.is_ok,
            "counts": {severity: self.counts.get(severity, 0) for severity in SEVERITIES},
            "left_out": dict(self.left_out),
            "findings": [_as_data(finding) for finding in self.findings],
        }
        return json.dumps(data, indent=2)


def check_file(path: FilePath, environment: Mapping[str, str], *, sender: str) -> Report:
    """Return the report about the maps in the file at `path`; raise `ConfigurationError` if it cannot be parsed."""
    document = document_of(path, environment)
    tally = _Tally()
    try:
        sources = load_sources(path, environment, sender=sender)
    except ConfigurationError as err:
        load_errors = _load_errors(err.findings, document if is_map(path) else None, sender)
        findings = list(tally.first_of_each_kind(load_errors))
    else:
        findings = []
        for source in sources:
            flaws = (*check_words(source.msg_map), *check_filters(source.msg_map))
            findings += [_located(source, flaw) for flaw in tally.first_of_each_kind(flaws)]
    findings.sort(key=lambda each: each.finding)
    left_out = {kind: number - MAX_OF_A_KIND for kind, number in tally.kinds.items() if number > MAX_OF_A_KIND}
    return Report(str(path), tuple(findings), tally.severities, left_out)


class _Tally:
    """Counts flaws by severity and kind, and selects the first of each kind: looking up their places takes time."""

    def __init__(self) -> None:
        self.severities: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()

    def first_of_each_kind(self, flaws: Iterable[_FlawOrFinding]) -> Iterator[_FlawOrFinding]:
        """Count all flaws, and yield the first `MAX_OF_A_KIND` of each kind."""
        for flaw in flaws:
            self.severities[flaw.severity] += 1
            self.kinds[flaw.kind] += 1
            if self.kinds[flaw.kind] <= MAX_OF_A_KIND:
                yield flaw


def _located(source: MapSource, flaw: Flaw) -> MapFinding:
    return MapFinding(flaw.severity, flaw.kind, source.finding(flaw.path, flaw.what, flaw.remedy), flaw.example)


# --- a map that does not load


def _load_errors(findings: Iterable[Finding], document: Document | None, sender: str) -> Iterator[MapFinding]:
    """Yield the errors that prevent loading, with the examples of flaws at the same places; then the other flaws."""
    source = _unchecked(document, sender) if document else None
    flaws = _errors_by_place(source) if source else {}
    for finding in findings:
        flaw = flaws.pop((finding.line, finding.column), None)
        yield MapFinding("error", "unloadable", finding, flaw.example if flaw else None)
    yield from flaws.values()


def _unchecked(document: Document, sender: str) -> MapSource | None:
    """Return a map that does not load, built without checks, or None if it does not fit the schema of a map."""
    data = document.data
    if check_schema(document, data, map_schema()):
        return None
    syntax = SEVEN_LEVELS
    if "syntax" in data:
        if any(True for _ in form_problems(data["syntax"], data["root"])):
            return None
        syntax = build_syntax(data["syntax"])
    fields = {name: FieldMap(name, data[name]["maptype"], data[name].get("map")) for name in FIELDS if name in data}
    return MapSource(
        MsgMap(
            data["root"], data["topics"], fields, sender=sender, syntax=syntax, empty_level=data.get("empty_level", "")
        ),
        document,
    )


def _errors_by_place(source: MapSource) -> dict[tuple[int, int], MapFinding]:
    """Return the errors of a map that example messages show, by line and column."""
    errors = [_located(source, flaw) for flaw in check_words(source.msg_map) if flaw.severity == "error"]
    errors += [_located(source, flaw) for flaw in _dead_filters(source.msg_map)]
    return {(error.finding.line, error.finding.column): error for error in errors}


def _dead_filters(msg_map: MsgMap) -> Iterator[Flaw]:
    probe = Probe(msg_map)
    for topic_filter in msg_map.topics:
        is_dead = not filter_problem(topic_filter) and not msg_map.can_match(topic_filter)
        for form in probe.forms if is_dead else ():
            topic = form.topic_matching(topic_filter)
            try:
                msg_map.mqtt2internal(topic, form.payload)
            except MessageError as err:
                example = Example(f"dropped: {err}", None, topic, form.payload)
                yield Flaw(
                    "error", "dead-filter", ("topics", topic_filter), "it matches no topic of this map", "", example
                )
                break


# --- JSON


def _as_data(finding: MapFinding) -> dict[str, Any]:
    example = _example_as_data(finding.example) if finding.example else None
    return {"severity": finding.severity, "kind": finding.kind, **finding.finding._asdict(), "example": example}


def _example_as_data(example: Example) -> dict[str, Any]:
    if example.message is not None:
        msg = example.message
        words = {name: getattr(msg, name) for name in (*ADDRESS_FIELDS, "action")}
        data = {"command": msg.iscmd, **words, "arguments": dict(msg.arguments)}
        return {"message": data, "outcome": example.outcome}
    payload = example.payload.decode("utf-8", "backslashreplace")
    return {"topic": example.topic, "payload": payload, "outcome": example.outcome}
