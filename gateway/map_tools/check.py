"""`mqttgateway map check`: everything that is wrong with the maps of a file, or good to know about them.

A map that loads is proven. Of one that does not, what keeps it from loading is said, and shown by messages
where it is sound enough to make some.
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
from gateway.map_tools.filter_proof import prove_filters
from gateway.map_tools.probe import Probe
from gateway.map_tools.proof import SEVERITIES, Flaw, Severity, prove_words
from gateway.map_tools.source import MapSource, document_of, is_map, load_sources
from gateway.map_tools.words import Example
from gateway.message import ADDRESS_FIELDS
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap
from gateway.translation.syntax import SEVEN_LEVELS

MAX_OF_A_KIND = 100
"""Findings of one kind that are kept; the others are counted."""


@dataclass(frozen=True, slots=True)
class Found:
    """A finding about a map: how grave it is, its kind, and a message that shows it."""

    severity: Severity
    kind: str
    finding: Finding
    example: Example | None = None

    def lines(self) -> Iterator[str]:
        """Yield it as a person reads it."""
        where = ": ".join(filter(None, (self.severity, self.finding.where)))
        yield f"{self.finding._replace(where=where)} [{self.kind}]"
        if self.example:
            yield f"    {self.example}"


_FlawOrFound = TypeVar("_FlawOrFound", Flaw, Found)


@dataclass(frozen=True)
class Report:
    """All that was found in a file, in its order.

    `counts` counts everything, by severity; `left_out` what is not in `found`, by kind.
    """

    file: str
    found: tuple[Found, ...]
    counts: Mapping[str, int]
    left_out: Mapping[str, int]

    @property
    def is_good(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return not (self.counts.get("error") or self.counts.get("warning"))

    def lines(self) -> Iterator[str]:
        """Yield the report as a person reads it."""
        for found in self.found:
            yield from found.lines()
        for kind, number in self.left_out.items():
            yield f"{self.file}: {number} more of the kind [{kind}]"
        counts = [f"{number} {severity}{'s' if number > 1 else ''}" for severity in SEVERITIES
                  if (number := self.counts.get(severity, 0))]  # fmt: skip
        yield f"{self.file}: {'proven' if self.is_good else 'not good'}{': ' if counts else ''}{', '.join(counts)}"

    def as_json(self) -> str:
        """Return the report as one JSON document; docs/maps.md says what it holds."""
        data = {
            "version": 1,
            "file": self.file,
            "good": self.is_good,
            "counts": {severity: self.counts.get(severity, 0) for severity in SEVERITIES},
            "left_out": dict(self.left_out),
            "findings": [_as_data(found) for found in self.found],
        }
        return json.dumps(data, indent=2)


def check_file(path: FilePath, environment: Mapping[str, str], *, sender: str) -> Report:
    """Return what there is to say about the maps in the file at `path`.

    Raises `ConfigurationError` if it cannot be read at all.
    """
    document = document_of(path, environment)
    tally = _Tally()
    try:
        sources = load_sources(path, environment, sender=sender)
    except ConfigurationError as err:
        found = list(tally.kept(_faults(err.findings, document if is_map(path) else None, sender)))
    else:
        found = [_found(source, flaw) for source in sources
                 for flaw in tally.kept((*prove_words(source.msg_map), *prove_filters(source.msg_map)))]  # fmt: skip
    found.sort(key=lambda one: one.finding)
    left_out = {kind: number - MAX_OF_A_KIND for kind, number in tally.kinds.items() if number > MAX_OF_A_KIND}
    return Report(str(path), tuple(found), tally.severities, left_out)


class _Tally:
    """Counts what was found, and keeps the first of each kind: it takes time to look up where things stand."""

    def __init__(self) -> None:
        self.severities: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()

    def kept(self, found: Iterable[_FlawOrFound]) -> Iterator[_FlawOrFound]:
        for one in found:
            self.severities[one.severity] += 1
            self.kinds[one.kind] += 1
            if self.kinds[one.kind] <= MAX_OF_A_KIND:
                yield one


def _found(source: MapSource, flaw: Flaw) -> Found:
    return Found(flaw.severity, flaw.kind, source.finding(flaw.path, flaw.what, flaw.remedy), flaw.example)


# --- a map that does not load


def _faults(findings: Iterable[Finding], document: Document | None, sender: str) -> Iterator[Found]:
    source = _unchecked(document, sender) if document else None
    shown = _shown(source) if source else {}
    for finding in findings:
        example = shown.pop((finding.line, finding.column), None)
        yield Found("error", "unloadable", finding, example.example if example else None)
    yield from shown.values()


def _unchecked(document: Document, sender: str) -> MapSource | None:
    """Return a map that does not load as it stands in its document, or None if it has not the form of a map."""
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


def _shown(source: MapSource) -> dict[tuple[int, int], Found]:
    """Return, by their places, the errors of a map that messages show."""
    errors = [_found(source, flaw) for flaw in prove_words(source.msg_map) if flaw.severity == "error"]
    errors += [_found(source, flaw) for flaw in _dead_filters(source.msg_map)]
    return {(one.finding.line, one.finding.column): one for one in errors}


def _dead_filters(msg_map: MsgMap) -> Iterator[Flaw]:
    probe = Probe(msg_map)
    for topic_filter in msg_map.topics:
        is_dead = not filter_problem(topic_filter) and not msg_map.hears(topic_filter)
        for form in probe.forms if is_dead else ():
            topic = form.filled(topic_filter)
            try:
                msg_map.mqtt2internal(topic, form.payload)
            except MessageError as err:
                example = Example(f"dropped: {err}", None, topic, form.payload)
                yield Flaw("error", "dead-filter", ("topics", topic_filter), "it matches nothing", "", example)
                break


# --- JSON


def _as_data(found: Found) -> dict[str, Any]:
    example = _example_as_data(found.example) if found.example else None
    return {"severity": found.severity, "kind": found.kind, **found.finding._asdict(), "example": example}


def _example_as_data(example: Example) -> dict[str, Any]:
    if example.message is not None:
        msg = example.message
        words = {name: getattr(msg, name) for name in (*ADDRESS_FIELDS, "action")}
        data = {"command": msg.iscmd, **words, "arguments": dict(msg.arguments)}
        return {"message": data, "outcome": example.outcome}
    payload = example.payload.decode("utf-8", "backslashreplace")
    return {"topic": example.topic, "payload": payload, "outcome": example.outcome}
