"""Loads the maps of a file, each with the document that contains it. The file is a map, or a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from gateway.configuration.document import Document, FaultyDocumentError, Path
from gateway.configuration.load_config import load_configuration, read_document
from gateway.configuration.load_map import load_map, read_map
from gateway.configuration.settings import Configuration
from gateway.core.paths import find_configuration, find_map
from gateway.errors import Finding
from gateway.translation.mqtt_map import MsgMap


@dataclass(frozen=True)
class MapSource:
    """A map, the interfaces that use it (none for a map on its own), its document, and its path in the document."""

    msg_map: MsgMap
    document: Document
    at: Path = ()
    interfaces: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The text for a heading: the file, and the interfaces."""
        return f"{self.document.file} ({', '.join(self.interfaces)})" if self.interfaces else self.document.file

    def finding(self, path: Path, what: str, remedy: str = "") -> Finding:
        """Return a finding at `path` of the map; the path of a filter is `("topics", the filter)`.

        The finding has no place if it is about a form and the map has no `syntax`. A constant that the form itself
        does not give is found among the constants of all forms.
        """
        data: Any = self.document.data
        for step in self.at:
            data = data[step] if isinstance(data, dict) else {}
        data = data if isinstance(data, dict) else {}
        if path[:1] == ("syntax",) and "syntax" not in data:
            path = ()
        elif path[3:4] == ("constants",) and path[4] not in data["syntax"][path[1]][path[2]].get("constants", {}):
            path = ("syntax", *path[3:])
        if path[:1] == ("topics",) and len(path) == 2:
            topics = data.get("topics")
            path = ("topics", topics.index(path[1])) if isinstance(topics, list) and path[1] in topics else ("topics",)
        is_entry = len(path) == 3 and path[1] == "map"
        return self.document.finding((*self.at, *path), what, remedy, at_key=is_entry)

    def place(self, path: Path) -> str:
        """Return the place of `path` as `file:line`."""
        finding = self.finding(path, "")
        return f"{finding.file}:{finding.line}" if finding.line else finding.file


def find_file(name: str, environment: Mapping[str, str]) -> FilePath:
    """Return the path of the map or configuration called `name`; raise `ConfigurationError` if there is none."""
    if is_map(FilePath(name)):
        return find_map(name, FilePath(), environment)
    return find_configuration(name, environment)


def is_map(path: FilePath) -> bool:
    """Return whether the file holds a map, by its name; any other file is a configuration."""
    return path.suffix in (".json", ".map")


def document_of(path: FilePath, environment: Mapping[str, str]) -> Document:
    """Return the document in the file at `path`, even if it has errors, as long as it can be parsed.

    Raises `ConfigurationError` if it cannot be parsed.
    """
    if is_map(path):
        return read_map(path)[0].document
    try:
        return read_document(path, environment)
    except FaultyDocumentError as err:
        return err.document


def load_sources(path: FilePath, environment: Mapping[str, str], *, sender: str) -> list[MapSource]:
    """Return the maps of the file at `path`; `sender` is the gateway's name for a map on its own.

    Raises `ConfigurationError` with all findings if the file is invalid.
    """
    if is_map(path):
        return [MapSource(load_map(path, sender=sender), document_of(path, environment))]
    configuration = load_configuration(path, environment)
    sources: dict[tuple[object, ...], MapSource] = {}
    for source in _sources(configuration, document_of(path, environment), environment):
        key = (source.document.file, source.at, source.msg_map.sender)
        first = sources.get(key)
        sources[key] = replace(first, interfaces=first.interfaces + source.interfaces) if first else source
    return list(sources.values())


def _sources(configuration: Configuration, document: Document, environment: Mapping[str, str]) -> Iterator[MapSource]:
    data = document.data
    for interface in configuration.interfaces:
        at: Path = ("interfaces", interface.name) if "interfaces" in data else ("interface",)
        options = data
        for step in at:
            options = options[step]
        at = (*at, "map") if "map" in options else ("map",) if "map" in data else ()
        value = options.get("map", data.get("map"))
        place = (document, at)
        if isinstance(value, str):  # the name of a file; else the map itself
            map_file = find_map(value, configuration.file.parent, environment)
            place = (document_of(map_file, environment), ())
        yield MapSource(interface.msg_map, *place, (interface.name,))
