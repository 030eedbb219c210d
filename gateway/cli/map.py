"""`mqttgateway map`: checks a map, explains how it translates a message, compares two maps, or draws one.

No device and no connection is opened, and nothing is sent.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.cli.message_options import message_from
from gateway.errors import GatewayError, UsageError
from gateway.map_tools.check import check_file
from gateway.map_tools.diff import Change, compare
from gateway.map_tools.graph import draw_in_terminal, drawing_of
from gateway.map_tools.source import MapSource, find_file, load_sources
from gateway.map_tools.svg import draw_svg
from gateway.map_tools.trace import Trace, trace_read, trace_write
from gateway.message import ADDRESS_FIELDS

_MAX_CHANGES = 100  # of one kind in one part of the map


def run_map_command(options: argparse.Namespace) -> int:
    """Execute the subcommand of the command line; return the exit code."""
    return {"check": _check, "explain": _explain, "diff": _diff, "graph": _graph}[options.map_command](options)


def _sources(options: argparse.Namespace, file: str) -> list[MapSource]:
    return load_sources(find_file(file, os.environ), os.environ, sender=options.name)


def _print(line: str) -> None:
    print(line)  # noqa: T201


def _check(options: argparse.Namespace) -> int:
    report = check_file(find_file(options.file, os.environ), os.environ, sender=options.name)
    if options.json:
        _print(report.as_json())
    else:
        for line in report.lines():
            _print(line)
    return 0 if report.is_ok else 1


# --- explain


def _explain(options: argparse.Namespace) -> int:
    if options.conf is None:
        raise UsageError("map explain: which map? give --map FILE, a map or a configuration")
    has_message = bool(options.arg) or any(getattr(options, name) for name in (*ADDRESS_FIELDS, "action"))
    if (options.topic is None) != has_message or (options.topic is None) != (options.payload is None):
        raise UsageError("map explain: give a TOPIC and a PAYLOAD, or a message (--function, --action and so on)")
    sources = _chosen(_sources(options, options.conf), options.interface)
    passes = []
    for source in sources:
        if len(sources) > 1:
            _print(f"{source.label}:")
        if options.topic is None:
            trace = trace_write(source.msg_map, message_from(options, sender=options.sender))
        else:
            payload = options.payload.encode("utf-8", "surrogateescape")
            trace = trace_read(source.msg_map, options.topic, payload, retain=options.retain)
        for line in _trace_lines(source, trace):
            _print(line)
        passes.append(trace.passes)
    return 0 if any(passes) else 1


def _chosen(sources: Sequence[MapSource], interface: str | None) -> Sequence[MapSource]:
    if interface is None:
        return sources
    chosen = [source for source in sources if interface in source.interfaces]
    if not chosen:
        names = ", ".join(name for source in sources for name in source.interfaces) or "none, it is a map"
        raise UsageError(f"--interface: no interface is called {interface!r}: there are: {names}")
    return chosen


def _trace_lines(source: MapSource, trace: Trace) -> Iterator[str]:
    for step in trace.steps:
        place = f"  ({source.place(step.path)})" if step.path else ""
        yield f"  {step.name:<9} {step.text}{place}"
    yield trace.verdict


# --- diff


def _diff(options: argparse.Namespace) -> int:
    old, new = _sources(options, options.old), _sources(options, options.new)
    pairs = [(old[0], new[0])] if len(old) == len(new) == 1 else list(_paired(old, new))
    is_different = len(pairs) < max(len(old), len(new))
    for old_source, new_source in pairs:
        if len(pairs) > 1:
            _print(f"{old_source.label} -> {new_source.label}:")
        changes = list(compare(old_source.msg_map, new_source.msg_map))
        is_different = is_different or bool(changes)
        for line in _diff_lines(changes):
            _print(line)
    return 1 if is_different else 0


def _paired(old: Sequence[MapSource], new: Sequence[MapSource]) -> Iterator[tuple[MapSource, MapSource]]:
    """Yield the pairs of maps of two configurations that have an interface in common; print which have no partner."""
    for old_source in old:
        partners = [source for source in new if set(old_source.interfaces) & set(source.interfaces)]
        if not partners:
            _print(f"{old_source.label}: only in the old file")
        yield from ((old_source, partner) for partner in partners)
    for new_source in new:
        if not any(set(source.interfaces) & set(new_source.interfaces) for source in old):
            _print(f"{new_source.label}: only in the new file")


def _diff_lines(changes: Sequence[Change]) -> Iterator[str]:
    counts: dict[tuple[str, str], int] = {}
    for change in changes:
        key = change.where, change.kind
        counts[key] = counts.get(key, 0) + 1
        if counts[key] > _MAX_CHANGES:
            continue
        direction = f", {change.kind}" if change.kind in ("written", "read") else ""
        yield f"{change.where}{direction}: {change.what}"
        if change.example:
            yield f"    {str(change.example).removesuffix(': ')}"
            yield f"      - {change.old}"
            yield f"      + {change.new}"
    for (where, kind), number in counts.items():
        if number > _MAX_CHANGES:
            yield f"{where}: {number - _MAX_CHANGES} more of the kind {kind}"


# --- graph


def _graph(options: argparse.Namespace) -> int:
    sources = _sources(options, options.file)
    drawings = [drawing_of(source.msg_map, source.label) for source in _chosen(sources, options.interface)]
    if options.svg is None:
        boxes = _can_show("◀─┬▶╰├…")
        width = shutil.get_terminal_size().columns
        for drawing in drawings:
            for line in draw_in_terminal(drawing, width, boxes=boxes):
                _print(line)
        return 0
    if len(drawings) > 1:
        names = ", ".join(name for source in sources for name in source.interfaces)
        raise UsageError(f"map graph: --svg draws one map: choose it with --interface, one of {names}")
    text = draw_svg(drawings[0])
    if options.svg == "-":
        _print(text.rstrip())
        return 0
    try:
        Path(options.svg).write_text(text, encoding="utf-8")
    except (OSError, ValueError) as err:  # ValueError: a path with a NUL
        raise GatewayError(f"{options.svg}: cannot be written: {getattr(err, 'strerror', '') or err}") from err
    return 0


def _can_show(characters: str) -> bool:
    """Return whether the encoding of standard output has these characters."""
    try:
        characters.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
