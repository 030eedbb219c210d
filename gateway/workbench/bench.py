"""What the page may write of a configuration: the text of an interface's rules, devices and words, tried and saved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from gateway.configuration.document import Document, FaultyDocumentError, dotted
from gateway.configuration.document import Path as DataPath
from gateway.configuration.load_config import load_configuration
from gateway.configuration.load_interfaces import Known
from gateway.configuration.load_map import read_text
from gateway.configuration.page_file import WORDS, editable_options, interfaces_of, page_file_of, read_page
from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.configuration.yaml_reader import is_ini, load_yaml
from gateway.errors import ConfigurationError, Finding, GatewayError
from gateway.message import ADDRESS_FIELDS, Argument, InternalMsg
from gateway.workbench.page_text import has, indented, option_text, raw_document, value_at, with_interface
from gateway.workbench.trial import EDITOR, MOST_TEXT, Base

_SHORTEST_SECRET = 4  # characters; a shorter one is in many texts by chance


class WorkbenchError(GatewayError):
    """What somebody wants to do at the workbench is not possible; with the remedy."""


class Opened(NamedTuple):
    """The text of what the page may write of an interface.

    `options` are their names, `from_page` those that the page file has, `place` is where the interface stands. `note`
    says what cannot be done.
    """

    text: str
    options: tuple[str, ...]
    from_page: tuple[str, ...]
    has_rules: bool
    is_editable: bool
    note: str
    place: DataPath = ()


class Bench:
    """The configuration at `path` as somebody edits it. Any thread may call the methods."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self._path = path
        self._environment = environment
        self._maps: dict[Any, Any] = {}
        self._maps_of: tuple[int, ...] = ()
        self._read = lru_cache(2)(lambda text: (load_yaml(text, str(path), environment), raw_document(text, str(path))))

    # --- the configuration as it is now

    def _documents(self) -> tuple[Document, Document, str]:
        """Return the document of the configuration, that with the texts of variables, and its text."""
        text = read_text(self._path, is_ini)
        if is_ini(text):
            raise WorkbenchError(
                f"{self._path.name} is an INI file, beside which the page writes nothing: convert it with "
                f"'mqttgateway migrate {self._path}'"
            )
        try:
            document, raw = self._read(text)
        except FaultyDocumentError as err:
            raise ConfigurationError(err.findings) from err
        return document, raw, text

    @staticmethod
    def place(interface: InterfaceOptions, document: Document) -> DataPath:
        """Return where an interface stands. Raises `WorkbenchError` if it is gone."""
        places = interfaces_of(document.data)
        at: DataPath = ("interfaces", interface.name)
        if at in places:
            return at
        if ("interface",) in places:
            return ("interface",)
        raise WorkbenchError(f"the configuration has no interface {interface.name!a} any more: reload it")

    def base(self, configuration: Configuration) -> Base:
        """Return what options are tried with; classes and maps are those of the running `configuration`."""
        document, _, _ = self._documents()
        stamps = tuple(stamp for file in configuration.files for stamp in _stamp(file))
        if stamps != self._maps_of:
            self._maps.clear()
            self._maps_of = stamps
        types = {
            at: options.get("type")
            for at, options in interfaces_of(document.data).items()
            if isinstance(options, Mapping)
        }
        classes = {
            kind: interface.cls
            for interface in configuration.interfaces
            if isinstance(kind := types.get(("interfaces", interface.name), types.get(("interface",))), str)
        }
        return Base(self._path, document, self._environment, Known(classes, self._maps))

    def open(self, interface: InterfaceOptions, page: str | None, secrets: tuple[str, ...]) -> Opened:
        """Return what may be written of an interface, where `page` is the text of the page file."""
        document, raw, text = self._documents()
        at = self.place(interface, document)
        editable = editable_options(interface.cls)
        sources: list[tuple[str, Document]] = [(text, raw)]
        if page is not None:
            sources.insert(0, (page, raw_document(page, str(page_file_of(self._path)))))
        parts: list[str] = []
        inner: dict[str, list[str]] = {}
        from_page = []
        for path in [*editable, (WORDS,)]:
            source = next((each for each in sources if has(each[1].data, (*at, *path))), None)
            if source is None:
                continue
            if source[1] is not raw:
                from_page.append(".".join(map(str, path)))
            part = option_text(*source, (*at, *path))
            if len(path) == 1:
                parts.append(part)
            else:
                inner.setdefault(str(path[0]), []).append(part)
        parts[:0] = [f"{name}:\n{indented(''.join(texts))}" for name, texts in inner.items()]
        result = "\n".join(parts)
        long_secrets = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
        has_rules = len(editable) > 1 or editable not in ([("devices",)], [])
        names = (*(".".join(map(str, path)) for path in editable), WORDS)
        if any(secret in result for secret in long_secrets):  # no part of one: that would help to guess it
            note = (
                f"These options contain a secret in plain text, which the page does not show: "
                f"write it as ${{VARIABLE}} in {self._path.name} to edit them here."
            )
            return Opened("", names, tuple(from_page), has_rules, False, note, at)
        note = (
            ""
            if has_rules
            else "This type of interface is code and has no rules: here are its devices, and words of its map."
        )
        return Opened(result, names, tuple(from_page), has_rules, True, note, at)

    # --- what is to be saved

    def new_page(self, interface: InterfaceOptions, page: str | None, text: str) -> str | None:
        """Return the text of the page file with the options in `text`, those that the configuration has not already.

        Raises `ConfigurationError` with the lines of `text` if it cannot be read.
        """
        document, raw, _ = self._documents()
        at = self.place(interface, document)
        if len(text) > MOST_TEXT:
            raise WorkbenchError(f"this is too long: at most {MOST_TEXT} characters")
        read_page(text, EDITOR, document, self._environment, at)
        typed = raw_document(text, EDITOR)
        data = {} if typed.data is None else typed.data
        if not isinstance(data, Mapping):
            finding = Finding(EDITOR, 1, 1, "", "this is no mapping of options", "for example decode: []")
            raise ConfigurationError([finding])
        editable = editable_options(interface.cls)
        parts: list[str] = []
        inner: dict[str, list[str]] = {}
        for name, value in data.items():
            paths = [path for path in editable if path[0] == name and len(path) > 1]
            if paths and isinstance(value, Mapping) and all((name, each) in paths for each in value):
                for each in value:
                    if not _is_equal(value[each], value_at(raw.data, (*at, name, each))):
                        inner.setdefault(name, []).append(option_text(text, typed, (name, each)))
            elif name == WORDS:
                parts += [option_text(text, typed, (name,))] if value else []
            elif not has(raw.data, (*at, name)) or not _is_equal(value, value_at(raw.data, (*at, name))):
                parts.append(option_text(text, typed, (name,)))
        parts[:0] = [f"{name}:\n{indented(''.join(texts))}" for name, texts in inner.items()]
        return with_interface(page, at, "\n".join(parts))

    def in_editor(self, interface: InterfaceOptions, text: str, findings: Iterable[Finding]) -> list[Finding]:
        """Return `findings` in the page file with their places in the options `text` that were saved there."""
        document, _, _ = self._documents()
        typed = raw_document(text, EDITOR).below(self.place(interface, document))
        places = {dotted(path): place for known in (typed.values, typed.keys) for path, place in known.items()}
        file = str(page_file_of(self._path))
        return [
            finding._replace(file=EDITOR, line=place[0], column=place[1])
            if finding.file == file and (place := places.get(finding.without_note().where))
            else finding
            for finding in findings
        ]

    def without(self, interface: InterfaceOptions, page: str | None) -> str | None:
        """Return the text of the page file without an interface."""
        document, _, _ = self._documents()
        return with_interface(page, self.place(interface, document), "")

    def validate(self, page: str | None) -> Configuration:
        """Return the configuration with another page file; raise `ConfigurationError` with all that is wrong."""
        return load_configuration(self._path, self._environment, page=page or "")


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _is_equal(first: Any, second: Any) -> bool:
    return json.dumps(first) == json.dumps(second)  # 1 is not true, and 1.0 not 1


def command_from(text: str, sender: str) -> InternalMsg:
    """Return the command that a line such as `location=hall SET level=50` describes. Raises `WorkbenchError`."""
    words: dict[str, str] = {"sender": sender}
    arguments: dict[str, Argument] = {}
    action = ""
    for part in text.split():
        name, equals, value = part.partition("=")
        if not equals:
            if action:
                raise WorkbenchError(f"a command has one action: {action!a} or {part!a}?")
            action = part
        elif name in ADDRESS_FIELDS:
            words[name] = value
        else:
            try:
                arguments[name] = json.loads(value)
            except (ValueError, RecursionError):
                arguments[name] = value
    if not action:
        raise WorkbenchError("a command needs an action: for example location=hall SET level=50")
    return InternalMsg(iscmd=True, action=action, arguments=arguments, **words)
