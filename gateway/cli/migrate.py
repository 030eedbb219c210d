"""`mqttgateway migrate`: writes the YAML that a configuration of the original amounts to, comments and all.

Beside it go the map, where that stands in another folder, and the password, in a file for its owner only. Nothing is
overwritten, and no password is printed.
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
from gateway.configuration.document import is_ini, resolve_scalar
from gateway.configuration.legacy.ini_config import OldDocument
from gateway.configuration.legacy.ini_document import Entry, IniText, Section, read_ini
from gateway.configuration.legacy.line_map import is_line_map
from gateway.configuration.load_config import load_configuration, read_document
from gateway.configuration.load_map import read_text
from gateway.configuration.settings import Configuration
from gateway.core.paths import NAME, find_configuration, find_map, shipped
from gateway.errors import GatewayError, UsageError

_GROUPS = ("", "mqtt", "interface", "log")
_GROUP_OF_SECTION = {"MQTT": "mqtt", "INTERFACE": "interface", "LOG": "log"}
_SECRET = re.compile(r"pass|pwd|secret|token|key")
"""In the name of an option: its value is written nowhere but where it is needed."""


@dataclass(frozen=True)
class NewFile:
    """A file to be written: where, its text, its mode, and what it is."""

    path: Path
    text: str
    mode: int
    what: str


def migrate(options: argparse.Namespace) -> int:
    """Convert the configuration that the command line names; return the exit code."""
    return convert(find_configuration(options.old, os.environ), options.output, os.environ)


def convert(old: Path, new: Path | None, environment: Mapping[str, str]) -> int:
    """Write the configuration `old` as YAML to `new`; return the exit code.

    Raises `ConfigurationError` with everything that is wrong with it, `GatewayError` if a file is there already.
    """
    configuration = load_configuration(old, environment)
    document = read_document(old, environment)
    if not isinstance(document, OldDocument):
        raise UsageError(f"{old} is YAML already: nothing is to be migrated")
    files = list(new_files(document, configuration, old, new or old.with_suffix(".yaml"), environment))
    _write(files)
    for file in files:
        print(f"{file.path}: {file.what}")  # noqa: T201
    for note in configuration.notes:
        print(f"note: {note}")  # noqa: T201
    return 0


def new_files(
    document: OldDocument, configuration: Configuration, old: Path, new: Path, environment: Mapping[str, str]
) -> Iterator[NewFile]:
    """Yield the files that the configuration read from `old` amounts to, its own last."""
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
        what = "the password; only its owner can read it, who must be the user that the gateway runs as"
        yield NewFile(secret, values["mqtt", "password"] + "\n", 0o600, what)
        values["mqtt", "password"] = secret.name
    texts = [read_ini(read_text(Path(name), is_ini), name) for name in _files(document)]
    text = as_yaml(texts, document, configuration, values)
    yield NewFile(new, text, old.stat().st_mode & 0o777, "the configuration")


def _files(document: OldDocument) -> list[str]:
    """Return the INI files, that of the configuration first."""
    return list(dict.fromkeys([document.file, *(entry.file for entry in document.entries.values())]))


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _values(document: OldDocument, configuration: Configuration) -> dict[DataPath, Any]:
    """Return every option of the configuration with its value, the name among them, which a new file name changes."""
    values: dict[DataPath, Any] = {("name",): configuration.name}
    for name, value in document.data.items():
        if isinstance(value, dict):
            values |= {(name, option): inner for option, inner in value.items()}
        else:
            values[name,] = value
    (interface,) = configuration.interfaces
    for at in [at for at in values if at[0] == "interface" and at[1] not in ("type", "map", "sender")]:
        if at[1] in interface.params:
            values[at] = interface.params[str(at[1])]  # with the type that its interface wants
        else:
            del values[at]
    return values


def as_yaml(
    texts: list[IniText], document: OldDocument, configuration: Configuration, values: Mapping[DataPath, Any]
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
            lines += [*(f"# {why}" for why in _said(item, configuration.notes)), _line(target, values[target])]
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
    """Write a value so that YAML reads it back: text without quotes only where that is beyond doubt."""
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
    """Yield a comment for an option that has no place any more, without the value of one that is secret."""
    value = "" if _SECRET.search(entry.option) else f": {' '.join(entry.text.split())}"
    why = "; ".join(_said(entry, notes))
    yield from _comments((f"# was {entry.name}{value}{f' ({why})' if why else ''}",))


def _said(entry: Entry, notes: tuple[str, ...]) -> Iterator[str]:
    """Yield what the notes say of an option."""
    line, column = entry.key_place
    start = f"{entry.file}:{line}:{column}: {entry.name}: "
    yield from (note.removeprefix(start) for note in notes if note.startswith(start))


def _write(files: list[NewFile]) -> None:
    """Write all of `files`, or none. Raises `GatewayError`."""
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
