"""Converts a configuration of a version before 3.0 (INI) to the current form, each value with its place in the file.

Three layouts are read: that of 0.x (`[LOG] debug`, no `mapping`), of 1.x, and of 2.0 (`[MAP]`). Options that no longer
have a meaning become notes. Sources of names and defaults: PyPI mqttgateway 1.1.4, `default.conf`, and version 2.0.0 of
github.com/ppt000/mqttgateway, `defaults.cfg`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Any

from gateway.configuration.document import Document, FaultyDocumentError, Path, Place
from gateway.configuration.interface_loader import is_name
from gateway.configuration.legacy.ini_document import Entry, IniText, read_ini
from gateway.configuration.scalars import resolve_scalar
from gateway.core.quoting import did_you_mean, quote
from gateway.core.topic import filter_problem, root_problem
from gateway.errors import MAX_FINDINGS, ConfigurationError, Finding
from gateway.translation.mqtt_map import MsgMap

KB = 1000
"""Bytes of a KB in `filesize`: versions before 3.0 document 50,000 bytes as 50 kB."""

Find = Callable[[str], FilePath | None]
"""Returns the file at a relative path in the folders that versions before 3.0 searched, or None."""

_BOOLEANS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
_LEVELS = {"CRITICAL": "critical", "ERROR": "error", "WARN": "warning", "WARNING": "warning", "INFO": "info",
           "DEBUG": "debug", "NOTSET": "debug"}  # fmt: skip
_NO_LEVEL = ("NONE", "")

_NO_MAIL = "the gateway sends no mails; let the service manager do it (OnFailure= of systemd)"
OBSOLETE = {
    ("MQTT", "timeout"): "the gateway waits for the network without polling",
    ("MQTT", "reconnect_delay"): "delays between attempts to connect grow automatically",
    ("MQTT", "max_reconnect_attempts"): "the gateway tries until it succeeds",
    **{("LOG", f"{prefix}{name}"): _NO_MAIL for prefix in ("", "email") for name in ("host", "port", "address")},
}
"""Options that have no meaning any more, and why."""

_SECTIONS = ("CONFIG", "DEFAULT", "INTERFACE", "MQTT", "MAP", "LOG")

NEW_PLACES: Mapping[Path, tuple[str, str]] = {
    ("mqtt", "host"): ("MQTT", "host"),
    ("mqtt", "port"): ("MQTT", "port"),
    ("mqtt", "keepalive"): ("MQTT", "keepalive"),
    ("mqtt", "username"): ("MQTT", "username"),
    ("mqtt", "password"): ("MQTT", "password"),
    ("mqtt", "client_id"): ("MAP", "clientid"),
    ("map",): ("MAP", "mapfilename"),
    ("root",): ("MAP", "root"),
    ("topics",): ("MAP", "topics"),
    ("log", "level"): ("LOG", "consolelevel"),
    ("log", "file"): ("LOG", "logfilename"),
    ("log", "file_level"): ("LOG", "filelevel"),
    ("log", "files"): ("LOG", "filenum"),
    ("log", "file_bytes"): ("LOG", "filesize"),
}
"""The present paths of options, with their former sections and names; those of `[MAP]` were in `[MQTT]` before 2.0."""


class IniDocument(Document):
    """The data of an INI file. `entries` maps the path of a value to the option from which it was converted."""

    is_legacy = True

    def __init__(
        self,
        file: str,
        data: Any,
        keys: Mapping[Path, Place],
        values: Mapping[Path, Place],
        entries: Mapping[Path, Entry],
        notes: tuple[Finding, ...],
    ) -> None:
        super().__init__(file, data, keys, values, notes=notes)
        self.entries = entries

    def finding(self, path: Path, what: str, remedy: str = "", *, at_key: bool = False) -> Finding:
        """Return a finding with the name that the option has in the file, and with the file that contains it."""
        finding = super().finding(path, what, remedy, at_key=at_key)
        if path == ("interface", "type") and path not in self.entries:
            return finding._replace(where="[INTERFACE] type")
        entry = next((self.entries[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.entries), None)
        if entry:
            return finding._replace(file=entry.file, where=entry.name)
        section, option = NEW_PLACES.get(path, ("", ""))
        return finding._replace(where=f"[{section}] {option}" if section else "")

    def resolve(self, path: Path, text: str, wanted_type: object) -> str | int | float | bool | None:  # noqa: ARG002
        """Return the value of `text`: everything in an INI file is text."""
        if wanted_type == "boolean":
            return _BOOLEANS.get(text.lower(), text)
        return resolve_scalar(text)


def load_ini(
    text: str, file: FilePath, find: Find, read: Callable[[FilePath], str], notes: list[Finding]
) -> IniDocument:
    """Return a configuration of a version before 3.0 in the current form.

    `read` returns the text of another file that the configuration names, and may add notes. Raises
    `ConfigurationError` if the text is not INI, `FaultyDocumentError` if it names a file that does not exist.
    """
    translator = _Translator(read_ini(text, str(file)), file.stem, find, notes)
    translator.include_common(read)
    translator.translate()
    return translator.document()


class _Translator:
    """Converts the options of an INI text, one after the other, and puts them at their present paths."""

    def __init__(self, ini: IniText, name: str, find: Find, notes: list[Finding]) -> None:
        self.ini = ini
        self.texts = [ini]  # of an option in several texts, the first counts
        self.name = name
        self.find = find
        self.data: dict[str, Any] = {"mqtt": {}, "interface": {}, "log": {}}
        self.keys: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self.entries: dict[Path, Entry] = {}
        self.used: set[tuple[str, str]] = set()
        self.notes = notes
        self.reported: set[str] = set()  # reasons: the three options of a mail share one
        self.findings: list[Finding] = []

    def include_common(self, read: Callable[[FilePath], str]) -> None:
        """Include the file that `[MQTT] filename` names (2.0); its options have priority over those of this file."""
        entry = self.entry("MQTT", "filename")
        if entry is None or not entry.text:
            return
        path = self.find(entry.text)
        if path is None:
            self.findings.append(_at(entry, f"no such file: {entry.text}", "check the path"))
            return
        try:
            self.texts.insert(0, read_ini(read(path), str(path)))
        except ConfigurationError as err:
            self.findings += err.findings

    def translate(self) -> None:
        for name, section in self.ini.sections().items():
            self.values[(name.lower(),)] = section.place
        self.mqtt()
        self.map()
        self.log()
        self.interface()
        self.remaining()
        if not {*_SECTIONS} & {*self.ini.sections()}:
            # A list in YAML, such as [0], looks like the first line of INI. It must not run the default interface.
            what = "it has none of the sections of a configuration of an earlier version"
            known = ", ".join(f"[{name}]" for name in _SECTIONS)
            self.findings.append(Finding(self.ini.file, 1, 1, "", what, f"these are {known}; write new ones in YAML"))

    def document(self) -> IniDocument:
        notes = tuple(sorted(set(self.notes)))
        document = IniDocument(self.ini.file, self.data, self.keys, self.values, self.entries, notes)
        if self.findings:
            raise FaultyDocumentError(self.findings, document)
        return document

    # --- helpers

    def entry(self, section: str, option: str) -> Entry | None:
        """Return an option, or None if it is not set; it is marked as known."""
        self.used.add((section, option))
        entry = next((ini.entries(section)[option] for ini in self.texts if option in ini.entries(section)), None)
        return entry and self.uncommented(entry, is_free=option in ("username", "password"))

    def uncommented(self, entry: Entry, *, is_free: bool) -> Entry:
        """Return `entry` without a comment at its end, with a note; where any text is valid (`is_free`), keep it."""
        bare, comment = entry.uncommented()
        if comment and is_free:
            what = "' ;' and the text after it belong to the value; in Python 2 they were a comment"
            self.note(entry, what, "put a comment on a line of its own")
        elif comment:
            self.note(entry, f"{quote(comment)} is read as a comment, as in Python 2", "put it on a line of its own")
        return entry if is_free else bare

    def filled_entry(self, section: str, option: str) -> Entry | None:
        entry = self.entry(section, option)
        return entry if entry and entry.text else None

    def put(self, path: Path, value: Any, entry: Entry | None = None) -> None:
        """Set the option at `path` to `value`; `entry` is its source, or None if the value is implied."""
        target = self.data
        for step in path[:-1]:
            target = target[str(step)]
        target[str(path[-1])] = value
        if entry:
            self.keys[path], self.values[path], self.entries[path] = entry.key_place, entry.parts[0][0], entry

    def note(self, entry: Entry, what: str, remedy: str = "") -> None:
        self.notes.append(_at(entry, what, remedy))

    def number(self, path: Path, entry: Entry | None, *, at_zero: str, factor: int = 1) -> None:
        """Set a whole number; the schema check reports any other text. `at_zero` is the note about a 0."""
        if entry is None:
            return
        if not re.fullmatch(r"[-+]?[0-9]{1,300}", entry.text):
            self.put(path, entry.text, entry)
        elif int(entry.text) == 0 and at_zero:
            self.note(entry, at_zero)
        else:
            self.put(path, int(entry.text) * factor, entry)

    def flag(self, entry: Entry | None) -> bool | None:
        """Return whether an option is on; None if it is not set."""
        if entry is None:
            return None
        if entry.text.lower() not in _BOOLEANS:
            self.findings.append(_at(entry, f"expected on or off, found {quote(entry.text)}", ""))
        return _BOOLEANS.get(entry.text.lower())

    def path(self, text: str, ending: str) -> str:
        """Return the path of a file; if `text` is a folder, the file in it that is named after the gateway."""
        if text in (".", ".."):
            text += "/"
        if text.endswith("/"):
            text += self.name + ending
        return str(PurePosixPath(text))

    # --- the sections

    def mqtt(self) -> None:
        host = self.entry("MQTT", "host")
        if host:
            self.put(("mqtt", "host"), host.text, host)
        self.number(("mqtt", "port"), self.entry("MQTT", "port"), at_zero="")
        never = "0 switched keepalive off; a dead link is now always noticed, by default after 60 s"
        self.number(("mqtt", "keepalive"), self.entry("MQTT", "keepalive"), at_zero=never)
        username, password = self.filled_entry("MQTT", "username"), self.filled_entry("MQTT", "password")
        switch = self.entry("MQTT", "usecredentials")
        is_on = self.flag(switch)
        if is_on is False:
            return
        if switch and is_on and not username:
            self.findings.append(_at(switch, "it is on, but there is no username", "add username: and password:"))
        if username:
            self.put(("mqtt", "username"), username.text, username)
        if password:
            self.put(("mqtt", "password"), password.text, password)

    def map(self) -> None:
        client_id, mapping, file, root, topics = (
            self.entry("MAP", option) or self.entry("MQTT", option)
            for option in ("clientid", "mapping", "mapfilename", "root", "topics")
        )
        self.used |= {("MQTT", option) for option in ("clientid", "mapping", "mapfilename", "root", "topics")}
        if client_id and client_id.text:
            self.put(("mqtt", "client_id"), client_id.text, client_id)
        # Versions before 0.15 had no option 'mapping', no root and no topics, but always a map.
        is_on = bool(file and not root and not topics) if mapping is None else self.flag(mapping)
        if is_on and (file is None or file.text):
            path = self.path(file.text if file else ".", ".map")
            self.put(("map",), str(self.find(path) or path), file or mapping)
            return
        self.put(("root",), root.text if root else "", root)
        self.put(("topics",), [], topics)
        if topics:
            self.topics(topics, self.data["root"])

    def topics(self, entry: Entry, root: str) -> None:
        """Set the topics that can match a message under `root`; versions before 3.0 ignored the first level."""
        msg_map = None if root_problem(root) else MsgMap(root, sender=self.name)
        for place, topic in _topics(entry):
            if msg_map and not filter_problem(topic) and not msg_map.can_match(topic):
                what = (
                    f"{quote(topic)} matches no topic under the root {root!a}, so the gateway does not subscribe to it"
                )
                self.note(entry, what, "a topic has seven levels, the last of them C or S")
                continue
            self.values["topics", len(self.data["topics"])] = place
            self.data["topics"].append(topic)

    def log(self) -> None:
        console = self.entry("LOG", "consolelevel")
        # Warnings and errors always went to standard error, at any level of the console.
        level = self.level(console, "warnings and errors are written") if console else None
        self.put(("log", "level"), level if level in ("debug", "info") else "warning", console)
        file_of_1, file_of_2 = self.entry("LOG", "logfilename"), self.entry("LOG", "filename")
        file = file_of_1 or file_of_2
        debug, file_level = self.flag(self.entry("LOG", "debug")), self.entry("LOG", "filelevel")
        number, size = self.entry("LOG", "filenum"), self.entry("LOG", "filesize")
        level = self.level(file_level, "no log file is written") if file_level else "debug" if debug else "info"
        name = file.text if file else ""
        if not name and file_level and "MAP" in self.ini.sections():  # 2.0 needed no name, only a level
            name = "."
        if level is None or not name:
            return
        path = self.path(name, ".log")
        self.put(("log", "file"), str(self.find(path) or FilePath(self.ini.file).parent.absolute() / path), file)
        self.put(("log", "file_level"), level, file_level)
        self.put(("log", "files"), 3)
        self.put(("log", "file_bytes"), 50_000 * KB)
        endless = "0 let the file grow without limit; 3 files of 50 MB are kept instead"
        self.number(("log", "files"), number, at_zero=endless)
        self.number(("log", "file_bytes"), size, at_zero=endless, factor=KB)

    def level(self, entry: Entry, otherwise: str) -> str | None:
        """Return a level of the log, or None if the option is not one; `otherwise` is for the note."""
        text = entry.text.upper()
        if text not in _LEVELS and text not in _NO_LEVEL:
            self.note(
                entry, f"{quote(entry.text)} is not a level: {otherwise}", f"levels are {', '.join(_LEVELS)}, NONE"
            )
        return _LEVELS.get(text)

    def interface(self) -> None:
        """Set the options of the interface, and its type, which was in the start script before 3.0."""
        options = {name: entry for ini in reversed(self.texts) for name, entry in ini.entries("INTERFACE").items()}
        short = self.name.removesuffix("2mqtt")
        script = self.find(f"{short}_interface.py") if short else None
        self.put(("interface", "type"), str(script or (short if is_name(short) else "dummy")))
        if not script and not is_name(short) and "type" not in options:
            script_name = f"{short or self.name}_interface.py"
            what = f"the type of the interface is unknown, since there is no {script_name}: using the dummy"
            remedy = "add a type under [INTERFACE], the path of a Python file for example"
            self.notes.append(Finding(self.ini.file, 0, 0, "[INTERFACE]", what, remedy))
        for name, entry in options.items():
            self.put(("interface", name), self.uncommented(entry, is_free=name != "type").text, entry)

    def remaining(self) -> None:
        """Add notes about options without a meaning: obsolete ones, and those that earlier versions ignored, too."""
        used_options = {option for section, option in self.used if section in ("MQTT", "MAP", "LOG")}
        for ini in self.texts:
            for first, again in islice(ini.repeated(), MAX_FINDINGS + 1):  # more would not be kept
                self.note(
                    again, f"duplicate option, first in line {first.key_place[0]}; the last one is used", "remove one"
                )
            for section in ini.sections().values():
                if section.name not in _SECTIONS:
                    what = "unknown section; it is ignored"
                    self.notes.append(Finding(ini.file, *section.place, f"[{section.name}]", what,
                                              did_you_mean(section.name.upper(), _SECTIONS)))  # fmt: skip
            for entry in (ini.entries(name) for name in ("MQTT", "MAP", "LOG") if name in ini.sections()):
                for option in entry.values():
                    self.note_unused(option, used_options)

    def note_unused(self, entry: Entry, used_options: set[str]) -> None:
        reason = OBSOLETE.get((entry.section, entry.option))
        if reason and entry.text and reason not in self.reported:
            self.reported.add(reason)
            self.note(entry, f"no longer has a meaning: {reason}")
        elif not reason and entry.section != "DEFAULT" and (entry.section, entry.option) not in self.used:
            self.note(entry, "unknown option; it is ignored", did_you_mean(entry.option, used_options))


def _at(entry: Entry, what: str, remedy: str) -> Finding:
    return Finding(entry.file, *entry.key_place, entry.name, what, remedy)


def _topics(entry: Entry) -> Iterator[tuple[Place, str]]:
    """Yield the topics of a list with commas, or on several lines, with their places."""
    for (line, column), part in entry.parts:
        for match in re.finditer(r"[^,\s][^,]*", part):
            yield (line, column + match.start()), match[0].rstrip()
