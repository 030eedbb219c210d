"""`mqttgateway migrate`: converts a configuration of version 0, 1 or 2 (INI) to YAML, including its comments.

It also copies the map, if the YAML is written to another folder, and writes the password to a separate file that only
its owner can read. No file is overwritten, and no password is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.configuration.document import Path as DataPath
from gateway.configuration.legacy.ini_config import IniDocument
from gateway.configuration.legacy.ini_document import Entry, IniText, Section, read_ini
from gateway.configuration.legacy.line_map import is_line_map
from gateway.configuration.load_config import load_configuration, read_document
from gateway.configuration.load_map import read_text
from gateway.configuration.scalars import resolve_scalar
from gateway.configuration.settings import Configuration
from gateway.configuration.yaml_reader import is_ini
from gateway.core.paths import NAME, find_configuration, find_map, shipped
from gateway.errors import GatewayError, UsageError

_GROUPS = ("", "mqtt", "interface", "log")
_GROUP_OF_SECTION = {"MQTT": "mqtt", "INTERFACE": "interface", "LOG": "log"}
_SECRET = re.compile(r"pass|pwd|secret|token|key")
"""The value of an option with such a name may be secret: it is not copied into a comment."""


@dataclass(frozen=True)
class NewFile:
    """A file to be written: its path, text, mode, and a description for the user."""

    path: Path
    text: str
    mode: int
    description: str


def migrate(options: argparse.Namespace) -> int:
    """Convert the configuration that the command line names; return the exit code."""
    return convert(find_configuration(options.old, os.environ), options.output, os.environ)


def convert(old: Path, new: Path | None, environment: Mapping[str, str]) -> int:
    """Write the configuration `old` as YAML to `new`; return the exit code.

    Raises `ConfigurationError` with all findings if it is invalid, `GatewayError` if a file exists already.
    """
    configuration = load_configuration(old, environment)
    document = read_document(old, environment)
    if not isinstance(document, IniDocument):
        raise UsageError(f"{old} is YAML already: there is nothing to migrate")
    files = list(new_files(document, configuration, old, new or old.with_suffix(".yaml"), environment))
    _write(files)
    for file in files:
        print(f"{file.path}: {file.description}")  # noqa: T201
    for note in configuration.notes:
        print(f"note: {note}")  # noqa: T201
    return 0


def new_files(
    document: IniDocument, configuration: Configuration, old: Path, new: Path, environment: Mapping[str, str]
) -> Iterator[NewFile]:
    """Yield the files to write for the configuration read from `old`; the configuration itself comes last."""
    values = _values(document, configuration)
    for at in (("map",), ("interface", "map")):
        if at in values:
            map_file = find_map(values[at], old.parent, environment)
            if map_file.parent == shipped("maps") or _same(map_file.parent, new.parent):
                values[at] = map_file.name
            elif _same(map_file.parent, old.parent):
                values[at] = map_file.name
                yield NewFile(new.parent / map_file.name, read_text(map_file, is_line_map), 0o666, "the map, copied")
            else:
                values[at] = str(map_file.absolute())
    path, colon, class_name = values["interface", "type"].partition(":")
    if path.endswith(".py"):
        file = (old.parent / path).absolute()
        values["interface", "type"] = (file.name if _same(file.parent, new.parent) else str(file)) + colon + class_name
    if ("mqtt", "password") in values:
        secret = new.with_suffix(".password")
        description = "the password; only its owner can read it, which must be the user that the gateway runs as"
        yield NewFile(secret, values["mqtt", "password"] + "\n", 0o600, description)
        values["mqtt", "password"] = secret.name
    texts = [read_ini(read_text(Path(name), is_ini), name) for name in _files(document)]
    text = as_yaml(texts, document, configuration, values)
    yield NewFile(new, text, old.stat().st_mode & 0o777, "the configuration")


def _files(document: IniDocument) -> list[str]:
    """Return the INI files, starting with the configuration."""
    return list(dict.fromkeys([document.file, *(entry.file for entry in document.entries.values())]))


def _same(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()


def _values(document: IniDocument, configuration: Configuration) -> dict[DataPath, Any]:
    """Return every option with its value; also the name, which would otherwise follow from the new file name."""
    values: dict[DataPath, Any] = {("name",): configuration.name}
    for name, value in document.data.items():
        if isinstance(value, dict):
            values |= {(name, option): inner for option, inner in value.items()}
        else:
            values[name,] = value
    (interface,) = configuration.interfaces
    for at in [at for at in values if at[0] == "interface" and at[1] not in ("type", "map", "sender")]:
        if at[1] in interface.params:
            values[at] = interface.params[str(at[1])]  # with the type that its interface expects
        else:
            del values[at]
    return values


def as_yaml(
    texts: list[IniText], document: IniDocument, configuration: Configuration, values: Mapping[DataPath, Any]
) -> str:
    """Return `values` as YAML, in the order of the INI texts and with their comments."""
    places = {(entry.file, entry.key_place): at for at, entry in document.entries.items() if at in values}
    groups: dict[str, list[str]] = {group: [] for group in _GROUPS}
    heads: dict[str, list[str]] = {group: [] for group in _GROUPS}
    for at, value in values.items():
        if at not in document.entries:
            groups[_group(at)].append(_line(at, value))
    top = [f"# Written by {NAME} migrate from {Path(document.file).name}."]
    for item in (item for text in texts for item in text.items):
        if isinstance(item, Section):
            lines = top if item is texts[0].items[0] else heads[_GROUP_OF_SECTION.get(item.name, "")]
            lines += _comments(item.comments)
            continue
        target = places.get((item.file, item.key_place))
        lines = groups[_group(target) if target else _GROUP_OF_SECTION.get(item.section, "")]
        lines += _comments(item.comments)
        if target:
            lines += [*(f"# {note}" for note in _notes_about(item, configuration.notes)), _line(target, values[target])]
        elif item.text:
            lines += _dropped(item, configuration.notes)
    yaml = [*top, *heads[""], *groups[""]]
    for group in _GROUPS[1:]:
        is_empty = not any(line and not line.startswith("#") for line in groups[group])
        yaml += [
            "",
            *heads[group],
            *([] if is_empty else [f"{group}:"]),
            *(f"  {line}".rstrip() for line in groups[group]),
        ]
    yaml += [line for text in texts for line in _comments(text.comments)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(yaml)).rstrip() + "\n"


def _group(at: DataPath) -> str:
    return str(at[0]) if len(at) > 1 else ""


def _line(at: DataPath, value: Any) -> str:
    name = "password_file" if at == ("mqtt", "password") else str(at[-1])
    if isinstance(value, list):
        return f"{name}: [{', '.join(map(_scalar, value))}]"
    return f"{_scalar(name)}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    """Return a value as YAML; text is quoted unless it is certain that YAML reads it back unchanged without quotes."""
    if not isinstance(value, str):
        return json.dumps(value)
    if re.fullmatch(r"[A-Za-z0-9_/][A-Za-z0-9_./-]*", value) and resolve_scalar(value) == value:
        return value
    quoted = json.dumps(value.replace("${", "$${"), ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def _comments(lines: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        text = "".join(c if c.isprintable() else "?" for c in line.replace("\t", " "))
        yield f"#{text[1:]}".rstrip() if text else ""


def _dropped(entry: Entry, notes: tuple[str, ...]) -> Iterator[str]:
    """Yield a comment for an option that no longer exists, without its value if that may be secret."""
    value = "" if _SECRET.search(entry.option) else f": {' '.join(entry.text.split())}"
    reason = "; ".join(_notes_about(entry, notes))
    yield from _comments((f"# was {entry.name}{value}{f' ({reason})' if reason else ''}",))


def _notes_about(entry: Entry, notes: tuple[str, ...]) -> Iterator[str]:
    """Yield the notes about an option, without their place."""
    line, column = entry.key_place
    start = f"{entry.file}:{line}:{column}: {entry.name}: "
    yield from (note.removeprefix(start) for note in notes if note.startswith(start))


def _write(files: list[NewFile]) -> None:
    """Write all of `files`, or none; raise `GatewayError` if one cannot be written or exists already."""
    written: list[Path] = []
    try:
        for file in files:
            descriptor = os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
            written.append(file.path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(file.text)
    except OSError as err:
        for path in written:
            path.unlink()
        remedy = "remove it, or choose another with -o NEW.conf" if isinstance(err, FileExistsError) else ""
        raise GatewayError(
            f"{file.path} cannot be written: {err.strerror}; nothing was written{f'; {remedy}' if remedy else ''}"
        ) from err
