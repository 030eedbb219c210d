"""Maps written for the original (mqttgateway before 3.0), as maps of today. Pure.

What its readers took, and those of today do not:

    {"mqtt word": "internal word"}    the form of a field before June 2018: one word for one, MQTT left
    {"maptype": "strict", "map": {}}  a map without entries counts as maptype none
    unknown keys                      ignored
    "source"                          what "sender" was called before May 2018
    filters that can match nothing    subscribed to all the same

The first cannot be mistaken: a map of today has its MQTT words in lists. The others would be slips in a map of
today. So they are taken only from a reversed map, or one that has everything that the original insisted on: root,
topics and all eight fields, without comments. Unknown keys only from the latter: they cannot be a field misspelt.
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
"""For parts of a map: where they stand in the file, and whether as the key there."""


class Reading(NamedTuple):
    """A document as a map of today, its values at their old places; whether it is of the original; what was done."""

    document: Document
    is_old: bool
    notes: tuple[str, ...]


def read_old_map(document: Document, keys_of_today: Collection[str] = ()) -> Reading:
    """Return what a map means today. One that is not of the original is returned as it is.

    `keys_of_today` are all that a map may have today: one with a key that the original did not know is of today.
    """
    renamed = _renamed(document)
    if not isinstance(renamed.data, dict) or (set(keys_of_today) - set(_KEYS)) & renamed.data.keys():
        return Reading(document, False, ())
    is_reversed, is_complete = _is_reversed(renamed.data), _is_complete(renamed.data)
    if not is_reversed and not is_complete:
        return Reading(document, False, ())
    notes = []
    if renamed is not document:
        notes.append("'source' is read as sender, which it is called since May 2018")
    document = renamed
    if is_reversed:
        document, has_aliases = _turned(document)
        note = "taken for a map of before June 2018: MQTT words on the left, internal words on the right"
        notes.append(f"{note}; where several stand for one, the first is written" if has_aliases else note)
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
    """Tell whether it has all that the original insisted on, and no comments as maps of today have them."""
    has_comments = any(key.startswith("_") for key in data)
    return not has_comments and all(key in data for key in _REQUIRED)


def _without_empty_map(name: str, field: Mapping[str, Any], notes: list[str]) -> Mapping[str, Any]:
    if field.get("maptype") not in ("loose", "strict") or field.get("map", "missing") not in ({}, None):
        return field
    notes.append(f"{name}: a {field['maptype']} map without entries counts as none: every word passes")
    return {**{key: value for key, value in field.items() if key != "map"}, "maptype": "none"}


def _without_unknown(data: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for key, value in data.items():
        if key in FIELDS and isinstance(value, dict):
            known[key] = {part: value[part] for part in value if part in ("maptype", "map")}
            notes += (f"{key}.{part} is no part of a map and ignored" for part in value if part not in known[key])
            if value.get("maptype") == "none":
                known[key].pop("map", None)  # the original did not look at it
        elif key in _KEYS:
            known[key] = value
        else:
            notes.append(f"{key} is no part of a map and ignored")
    return known


# --- before June 2018


def _is_reversed(data: Mapping[str, Any]) -> bool:
    """Tell whether single words stand where a map of today has lists: in all entries, and in one at least."""
    words = [word for _, entries in _maps(data) for word in entries.values()]
    return any(isinstance(word, str) for word in words) and all(isinstance(word, str | None) for word in words)


def _maps(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in FIELDS:
        part = data.get(name)
        if isinstance(part, dict) and part.get("maptype") != "none" and isinstance(part.get("map"), dict):
            yield name, part["map"]


def _turned(document: Document) -> tuple[Document, bool]:
    """Return a reversed map as one of today, and whether an internal word has several MQTT words in it.

    Null stood for no word at all: such an MQTT word is read as the empty one, which is written as itself.
    """
    data, moves, has_aliases = dict(document.data), dict[Path, tuple[Path, bool]](), False
    for name, entries in _maps(data):
        turned: dict[str, list[str]] = {}
        if None in entries.values() and "" not in entries:
            turned[""] = [""]
        for mqtt, internal in entries.items():
            words = turned.setdefault(internal or "", [])
            has_aliases = has_aliases or (internal is not None and bool(words))
            moves.setdefault((name, "map", internal or ""), ((name, "map", mqtt), False))
            moves[name, "map", internal or "", len(words)] = ((name, "map", mqtt), True)
            words.append(mqtt)
        data[name] = {**data[name], "map": turned}
    return _MovedDocument(document, data, moves), has_aliases


class _MovedDocument(Document):
    """A document some of whose parts stand elsewhere in the original: at another path, perhaps as its key."""

    def __init__(self, original: Document, data: Any, moves: Moves) -> None:
        super().__init__(original.file, data)
        self._original = original
        self._moves = moves

    def finding(self, path: Path, what: str, remedy: str = "", *, at_key: bool = False) -> Finding:
        for length in range(len(path), 0, -1):
            if path[:length] in self._moves:
                old, is_key = self._moves[path[:length]]
                return self._original.finding((*old, *path[length:]), what, remedy, at_key=at_key or is_key)
        return self._original.finding(path, what, remedy, at_key=at_key)
