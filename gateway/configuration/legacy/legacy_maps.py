"""Converts JSON maps that were written for versions before 3.0 to the current form. Pure.

The readers of those versions accepted the following, which the current one does not:

    {"mqtt word": "internal word"}    a field before June 2018: one word for one, MQTT on the left
    {"maptype": "strict", "map": {}}  a map without entries counts as maptype none
    unknown keys                      ignored
    "source"                          what "sender" was called before May 2018
    filters that can match nothing    subscribed to all the same

The first is unambiguous, since a current map has its MQTT words in lists. In a current map the others would be
mistakes. So they are accepted only in a reversed map, or in one that has everything that those versions required: root,
topics and all eight fields, without comments. Unknown keys are accepted only in the latter, where they cannot be a
misspelled field.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from gateway.configuration.document import Document, Path
from gateway.errors import Finding
from gateway.translation.mqtt_map import FIELDS

_REQUIRED = ("root", "topics", *FIELDS)
_KEYS = (*_REQUIRED, "$schema")

Moves: TypeAlias = Mapping[Path, tuple[Path, bool]]
"""For parts of a map: their path in the file, and whether they are the key there."""


class Reading(NamedTuple):
    """A map in the current form, its values at their places in the file; whether it was converted; notes about that."""

    document: Document
    is_legacy: bool
    notes: tuple[str, ...]


def read_json_map(document: Document, current_keys: Collection[str] = ()) -> Reading:
    """Return a map in the current form; a map that has it already is returned unchanged.

    `current_keys` are all keys that a map may have now: a map with a key that is new in 3.0 has the current form.
    """
    renamed = _renamed(document)
    if not isinstance(renamed.data, dict) or (set(current_keys) - set(_KEYS)) & renamed.data.keys():
        return Reading(document, False, ())
    is_reversed, is_complete = _is_reversed(renamed.data), _is_complete(renamed.data)
    if not is_reversed and not is_complete:
        return Reading(document, False, ())
    notes = []
    if renamed is not document:
        notes.append("'source' is read as 'sender', its name since May 2018")
    document = renamed
    if is_reversed:
        document, has_aliases = _unreversed(document)
        note = "read as a map from before June 2018: MQTT words on the left, internal words on the right"
        notes.append(
            f"{note}; if several MQTT words have one internal word, the first is written" if has_aliases else note
        )
    data = dict(document.data)
    for name in FIELDS:
        if isinstance(data.get(name), dict):
            data[name] = _without_empty_map(name, data[name], notes)
    if is_complete:
        data = _without_unknown(data, notes)
    return Reading(document.with_data(data), True, tuple(notes))


def _renamed(document: Document) -> Document:
    data = document.data
    if not isinstance(data, dict) or "source" not in data or "sender" in data:
        return document
    moves: Moves = {("sender",): (("source",), False)}
    data = {"sender" if key == "source" else key: value for key, value in data.items()}
    return _MovedDocument(document, data, moves)


def _is_complete(data: Mapping[str, Any]) -> bool:
    """Return whether a map has all keys that versions before 3.0 required, and no comments, which are new in 3.0."""
    has_comments = any(key.startswith("_") for key in data)
    return not has_comments and all(key in data for key in _REQUIRED)


def _without_empty_map(name: str, field: Mapping[str, Any], notes: list[str]) -> Mapping[str, Any]:
    if field.get("maptype") not in ("loose", "strict") or field.get("map", "missing") not in ({}, None):
        return field
    notes.append(f"{name}: a {field['maptype']} map without entries counts as none: every word passes")
    return {**{key: value for key, value in field.items() if key != "map"}, "maptype": "none"}


def _without_unknown(data: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    supported: dict[str, Any] = {}
    for key, value in data.items():
        if key in FIELDS and isinstance(value, dict):
            supported[key] = {part: value[part] for part in value if part in ("maptype", "map")}
            notes += (
                f"{key}.{part} is not part of a map and is ignored" for part in value if part not in supported[key]
            )
            if value.get("maptype") == "none":
                supported[key].pop("map", None)  # versions before 3.0 ignored it
        elif key in _KEYS:
            supported[key] = value
        else:
            notes.append(f"{key} is not part of a map and is ignored")
    return supported


# --- before June 2018


def _is_reversed(data: Mapping[str, Any]) -> bool:
    """Return whether all entries, at least one, hold a single word where a current map has a list."""
    words = [word for _, entries in _maps(data) for word in entries.values()]
    return any(isinstance(word, str) for word in words) and all(isinstance(word, str | None) for word in words)


def _maps(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in FIELDS:
        part = data.get(name)
        if isinstance(part, dict) and part.get("maptype") != "none" and isinstance(part.get("map"), dict):
            yield name, part["map"]


def _unreversed(document: Document) -> tuple[Document, bool]:
    """Return a reversed map in the current form, and whether an internal word has several MQTT words in it.

    Null meant no word at all: such an MQTT word is read as the empty word, which is written as itself.
    """
    data, moves, has_aliases = dict(document.data), dict[Path, tuple[Path, bool]](), False
    for name, entries in _maps(data):
        entries_now: dict[str, list[str]] = {}
        if None in entries.values() and "" not in entries:
            entries_now[""] = [""]
        for mqtt, internal in entries.items():
            words = entries_now.setdefault(internal or "", [])
            has_aliases = has_aliases or (internal is not None and bool(words))
            moves.setdefault((name, "map", internal or ""), ((name, "map", mqtt), False))
            moves[name, "map", internal or "", len(words)] = ((name, "map", mqtt), True)
            words.append(mqtt)
        data[name] = {**data[name], "map": entries_now}
    return _MovedDocument(document, data, moves), has_aliases


class _MovedDocument(Document):
    """A document some of whose parts have another path in the file, or are a key there."""

    def __init__(self, source: Document, data: Any, moves: Moves) -> None:
        super().__init__(source.file, data)
        self._source = source
        self._moves = moves

    def finding(self, path: Path, what: str, remedy: str = "", *, at_key: bool = False) -> Finding:
        for length in range(len(path), 0, -1):
            if path[:length] in self._moves:
                old, is_key = self._moves[path[:length]]
                return self._source.finding((*old, *path[length:]), what, remedy, at_key=at_key or is_key)
        return self._source.finding(path, what, remedy, at_key=at_key)
