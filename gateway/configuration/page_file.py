"""The file that the page writes beside a configuration: rules, devices and words of its interfaces.

    interfaces:
      boiler:
        decode: [...]                            instead of that in the configuration
        words: {location: {kitchen: [kueche]}}   added to the map of the interface

It has the form of the configuration, but only the options that the schema of an interface marks with `on_page`: nothing
that names code, a file, a host or a secret. What it holds is checked as if it stood in the configuration.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from gateway.configuration.document import Document, FaultyDocumentError, Path
from gateway.configuration.interface_loader import find_interface
from gateway.configuration.load_context import LoadContext
from gateway.configuration.load_map import read_text
from gateway.configuration.schema_check import check_schema
from gateway.configuration.schemas import interface_schema
from gateway.configuration.yaml_reader import load_yaml, variables
from gateway.core.paths import is_file
from gateway.core.quoting import close_matches, did_you_mean
from gateway.errors import ConfigurationError, Finding
from gateway.translation.mqtt_map import FIELDS

WORDS = "words"
"""The option of an interface that only the page file has: words that are added to its map."""

_NEVER = ("type", "map", "sender", "filters", "port")
"""Options that no schema can allow: they name code or files, or decide what else the interface is connected to."""

_WORD_LIST = {"type": "array", "minItems": 1, "items": {"type": "string"}}
_WORDS_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {name: {"type": "object", "additionalProperties": _WORD_LIST} for name in FIELDS},
}


def page_file_of(configuration: FilePath) -> FilePath:
    """Return where the page file of a configuration is."""
    return configuration.with_name(f"{configuration.stem}.page.yaml")


def editable_options(cls: type[Any]) -> list[Path]:
    """Return the options of an interface class that the page may write, as paths below its options; its own first."""
    properties = interface_schema(cls)["properties"]
    paths = [
        path
        for name, option in properties.items()
        if isinstance(option, Mapping) and name not in _NEVER
        for path in _marked((name,), option)
    ]
    return sorted(paths, key=lambda path: path == ("devices",))


def _marked(path: Path, option: Mapping[str, Any]) -> Iterator[Path]:
    if option.get("on_page") is True:
        yield path
    elif len(path) == 1 and isinstance(inner := option.get("properties"), Mapping):
        for name, part in inner.items():
            if isinstance(part, Mapping):
                yield from _marked((*path, name), part)


def interfaces_of(data: Any) -> dict[Path, Any]:
    """Return the options of the interfaces in a configuration or page file, by their paths."""
    if not isinstance(data, Mapping):
        return {}
    found: dict[Path, Any] = {("interface",): data["interface"]} if "interface" in data else {}
    several = data.get("interfaces")
    if isinstance(several, Mapping):
        found |= {("interfaces", key): options for key, options in several.items()}
    return found


def take_page(context: LoadContext, text: str | None = None) -> None:
    """Read the page file of a configuration, or the `text` of one, and change the document of `context` by it."""
    file = page_file_of(context.path)
    if text is None and not os.path.lexists(file):
        return
    if context.document.is_legacy:
        context.notes.append(f"{file} is not used: a configuration in INI has no page file; see 'mqttgateway migrate'")
        return
    if os.path.lexists(file):
        context.page_files.append(file)
    try:
        text = read_page_text(file) if text is None else text
        page = read_page(text, str(file), context.document, context.environment)
    except ConfigurationError as err:
        context.add(err.findings)
        return
    apply_page(context, page)


def read_page_text(file: FilePath) -> str:
    """Return the text of a page file; raise `ConfigurationError` if it cannot be read.

    Only an ordinary file is read: a pipe would be waited for, maybe without end.
    """
    if file.exists() and not is_file(file):
        raise ConfigurationError([Finding(str(file), 0, 0, "", "no ordinary file", "remove it")])
    return read_text(file)


def read_page(text: str, file: str, configuration: Document, environment: Mapping[str, str], at: Path = ()) -> Document:
    """Return the document in the text of a page file, or in one that belongs at path `at` of a page file.

    A variable of the environment may be a secret, which a rule could publish: so there is one only where the same text
    stands at the same option of the configuration. Raises `ConfigurationError`.
    """
    allowed = {(_options_in(path), raw) for path, raw in configuration.raw.items()}
    names = {name for _, raw in allowed for name in variables(raw)}
    faults: list[Finding] = []
    try:
        page = load_yaml(text, file, _Environment(environment, names))
    except FaultyDocumentError as err:
        page, faults = err.document, list(err.findings)
    page = page.below(at)
    for path, raw in page.raw.items():
        if variables(raw) and (_options_in(path), raw) not in allowed:
            what = f"{raw[:100]!a}: the page cannot use a variable of the environment"
            remedy = f"write this rule into {configuration.file}"
            faults.append(page.finding(path, what, remedy))
    if faults:
        raise ConfigurationError(faults)
    return page


def _options_in(path: Path) -> Path:
    """Return the names of options in a path, without the numbers of entries."""
    return tuple(step for step in path if isinstance(step, str))


class _Environment(dict[str, str]):
    """The variables that a page file may use; every other one is empty, for it is refused anyway."""

    def __init__(self, environment: Mapping[str, str], names: set[str]) -> None:
        super().__init__({name: environment[name] for name in names if name in environment})
        self._names = names

    def __contains__(self, name: object) -> bool:
        return name not in self._names or super().__contains__(name)

    def __missing__(self, _: str) -> str:
        return ""


def apply_page(context: LoadContext, page: Document, classes: Mapping[str, type[Any]] | None = None) -> None:
    """Change the document of `context` by that of a page file; what it may not contain becomes findings.

    `classes` are those of interfaces that are known already, by their types.
    """
    _Merger(context, page, classes or {}).merge()


class _Merger:
    def __init__(self, context: LoadContext, page: Document, classes: Mapping[str, type[Any]]) -> None:
        self._context = context
        self._page = page
        self._classes = classes
        self._values: dict[Path, Any] = {}

    def merge(self) -> None:
        """Do it all; nothing is changed if anything is wrong."""
        context, data = self._context, {} if self._page.data is None else self._page.data
        count_before = context.finding_count
        if not isinstance(data, Mapping):
            self._complain((), "a page file is a mapping", "for example interfaces: {NAME: {decode: []}}")
            return
        for name in data:
            if name not in ("interface", "interfaces"):
                self._refuse((name,), "interface and interfaces")
        if "interfaces" in data and not isinstance(data["interfaces"], Mapping):
            self._complain(("interfaces",), "interfaces are a mapping by their names", "remove it")
        known = interfaces_of(context.document.data)
        words: dict[Path, Any] = {}
        notes: list[str] = []
        for at, options in interfaces_of(data).items():
            if at not in known:
                remedy = did_you_mean(str(at[-1]), [str(other[-1]) for other in known])
                self._complain(at, f"{context.path.name} has no such interface", remedy, at_key=True)
            elif options is None:
                continue
            elif not isinstance(options, Mapping):
                self._complain(at, "the options of an interface are a mapping", "write them below it, or remove it")
            elif isinstance(known[at], Mapping):
                taken = self._interface(at, options, known[at])
                notes += self._notes(at, taken)
                if options.get(WORDS):
                    words[at] = options[WORDS]
        if context.finding_count != count_before:
            return
        context.page = self._page
        context.words = words
        context.notes += notes
        parts = dict.fromkeys(self._values, self._page)
        context.document = context.document.with_parts(_replaced(context.document.data, self._values), parts)

    def _interface(self, at: Path, options: Mapping[str, Any], configured: Mapping[str, Any]) -> list[str]:
        """Take the options of an interface; return the names of those that are allowed."""
        try:
            editable = editable_options(self._class_of(configured.get("type")))
        except (Exception, SystemExit):  # noqa: BLE001  (the class may be from anywhere; the loader reports what is wrong)
            return []
        allowed = ", ".join([*(".".join(map(str, path)) for path in editable), WORDS])
        taken = []
        for name, value in options.items():
            if name == WORDS:
                schema_findings = check_schema(self._page, value, _WORDS_SCHEMA, (*at, WORDS))
                self._context.add(schema_findings)
                taken += [] if schema_findings else [WORDS]
            elif (name,) in editable:
                self._values[*at, name] = value
                taken.append(name)
            elif any(path[0] == name for path in editable) and isinstance(value, Mapping):
                for inner in value:
                    if (name, inner) in editable:
                        self._values[*at, name, inner] = value[inner]
                        taken.append(f"{name}.{inner}")
                    else:
                        self._refuse((*at, name, inner), allowed)
            else:
                self._refuse((*at, name), allowed)
        return taken

    def _class_of(self, type_name: Any) -> type[Any]:
        return self._classes.get(type_name) or find_interface(type_name, self._context.path.parent)

    def _notes(self, at: Path, taken: list[str]) -> Iterator[str]:
        named = f"the interface {at[1]!a}" if len(at) > 1 else "the interface"
        options = [name for name in taken if name != WORDS]
        if options:
            where = self._context.path.name
            yield f"{self._page.file}: {named} has its {', '.join(options)} from here: what {where} has is not used"
        if len(options) < len(taken):
            yield f"{self._page.file}: the map of {named} has more words from here"

    def _refuse(self, path: Path, allowed: str) -> None:
        if close := close_matches(str(path[-1]), {*allowed.replace(".", ", ").split(", ")}):
            remedy = f"did you mean {' or '.join(map(repr, close))}?"
        else:
            remedy = f"write it into {self._context.path.name}; the page can change {allowed}"
        self._complain(path, "the page cannot change this option", remedy, at_key=True)

    def _complain(self, path: Path, what: str, remedy: str, *, at_key: bool = False) -> None:
        self._context.add([self._page.finding(path, what, remedy, at_key=at_key)])


def _replaced(data: Any, values: Mapping[Path, Any]) -> Any:
    """Return `data` with other values at some paths; where a mapping is missing on the way, there is one then."""
    for path, value in values.items():
        data = _with_value(data, path, value)
    return data


def _with_value(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    members = data if isinstance(data, Mapping) else {}
    return {**members, path[0]: _with_value(members.get(str(path[0])), path[1:], value)}
