"""The text of a page file, and of single options as they stand in a configuration, with their comments. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.configuration.document import Document, Path
from gateway.configuration.page_file import interfaces_of
from gateway.configuration.yaml_reader import load_yaml
from gateway.configuration.yaml_writer import flow, scalar
from gateway.errors import ConfigurationError

_HEAD = """\
# Written by the page of mqttgateway (docs/workbench.md). What is here is used instead of what the configuration has
# at the same place; words are added. Without this file, the configuration counts alone.
"""
_NOTHING = object()
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # those of YAML


class _Raw(dict[str, str]):
    """An environment in which each variable has its own text as value."""

    def __contains__(self, _: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return f"${{{name}}}"


def raw_document(text: str, file: str = "") -> Document:
    """Return a document with the texts of variables instead of their values; raise `ConfigurationError`."""
    document = load_yaml(text, file, _Raw())
    data = document.data
    for path, raw in document.raw.items():
        data = _with(data, path, raw)
    return document.with_data(data)


def _with(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    data[path[0]] = _with(data[path[0]], path[1:], value)
    return data


def has(data: Any, path: Path) -> bool:
    """Return whether there is a value at `path`."""
    return value_at(data, path, _NOTHING) is not _NOTHING


def value_at(data: Any, path: Path, default: Any = None) -> Any:
    """Return the value at `path`; `default` if there is none."""
    for step in path:
        if not isinstance(data, Mapping) or step not in data:
            return default
        data = data[step]
    return data


def lines_of(text: str) -> list[str]:
    """Return the lines of a text as YAML sees them."""
    lines = _LINE_BREAK.split(text)
    return lines[:-1] if lines and not lines[-1] else lines


def option_text(text: str, document: Document, path: Path) -> str:
    """Return the option at `path` of a text, whose `raw_document` this is, with its comments, at the left margin.

    Where it does not stand in lines of its own, it is written anew, without comments.
    """
    block = _block(lines_of(text), document, path)
    value = value_at(document.data, path)
    if block is not None:
        try:
            if raw_document(block).data == {path[-1]: value}:
                return block
        except ConfigurationError:
            pass
    return "".join(f"{line}\n" for line in _member(str(path[-1]), value))


def _block(lines: Sequence[str], document: Document, path: Path) -> str | None:
    """Return the lines of an option; None if other options stand in them, too."""
    line, column = document.keys.get(path, (0, 0))
    margin = " " * (column - 1)
    if not line or lines[line - 1][: column - 1] != margin:
        return None
    first = line - 1
    while first and lines[first - 1].startswith(f"{margin}#"):
        first -= 1
    siblings = [at for other, (at, _) in document.keys.items() if len(other) == len(path) and other[:-1] == path[:-1]]
    end = min((at - 1 for at in siblings if at > line), default=len(lines))
    last = line
    while last < end and _belongs(lines[last], margin):
        last += 1
    while last > line and (not lines[last - 1].strip() or lines[last - 1].startswith(f"{margin}#")):
        last -= 1
    block = [each[len(margin) :] if each.startswith(margin) else each.lstrip() for each in lines[first:last]]
    return "".join(f"{each.rstrip()}\n" if not each.strip() else f"{each}\n" for each in block)


def _belongs(line: str, margin: str) -> bool:
    """Return whether a line can be part of an option with this margin: deeper, an item, a comment, or empty."""
    stripped = line.strip()
    if not stripped or stripped.startswith("#"):
        return True
    return line.startswith((f"{margin} ", f"{margin}- ")) or line.rstrip() == f"{margin}-"


def indented(text: str, margin: str = "  ") -> str:
    """Return a text with each line further to the right."""
    return "".join(f"{margin}{line}\n" if line.strip() else "\n" for line in lines_of(text))


def with_interface(text: str | None, at: Path, options: str) -> str | None:
    """Return the text of a page file in which the interface at path `at` has these `options`, if any.

    The other interfaces stay as they are. None: nothing is left that the file could hold.
    """
    texts = {}
    if text is not None:
        document = raw_document(text)
        for other, value in interfaces_of(document.data).items():
            if value:
                texts[other] = option_text(text, document, other)
    texts.pop(at, None)
    if options.strip():
        texts[at] = f"{scalar(str(at[-1]))}:\n{indented(options)}"
    if not texts:
        return None
    single = texts.pop(("interface",), "")
    several = "".join(indented(each) for each in texts.values())
    return "".join([_HEAD, single, f"interfaces:\n{several}" if several else ""])


# --- values written anew


def _member(name: str, value: Any) -> Iterator[str]:
    if _is_short(value):
        yield f"{scalar(name)}: {flow(value)}"
        return
    yield f"{scalar(name)}:"
    yield from (f"  {line}" for line in _lines(value))


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _member(name, each)
        return
    for item in value:
        if _is_short(item):
            yield f"- {flow(item)}"
            continue
        for index, line in enumerate(_lines(item)):
            yield f"{'  ' if index else '- '}{line}"


def _is_short(value: Any) -> bool:
    if not isinstance(value, Mapping | list) or not value:
        return True
    inner = value.values() if isinstance(value, Mapping) else value
    is_flat = not any(isinstance(each, Mapping | list) and each for each in inner)
    return is_flat and len(flow(value)) <= 80
