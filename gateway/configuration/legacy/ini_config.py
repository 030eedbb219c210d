"""Translates a configuration of the original (INI) into the data of one of today, each value with its old place.

Three layouts are read: that of 0.x (`[LOG] debug`, no `mapping`), of 1.x, and of 2.0 (`[MAP]`). What has no meaning
any more becomes a note. The original's names and defaults: PyPI mqttgateway 1.1.4, `default.conf`, and version 2.0.0
of github.com/ppt000/mqttgateway, `defaults.cfg`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path as FilePath
from pathlib import PurePosixPath
from typing import Any

from gateway.configuration.document import Document, FaultyDocumentError, Path, Place, resolve_scalar
from gateway.configuration.interface_loader import is_name
from gateway.configuration.legacy.ini_document import Entry, IniText, read_ini
from gateway.core.quoting import did_you_mean, quote
from gateway.core.topic import filter_problem, root_problem
from gateway.errors import MAX_FINDINGS, ConfigurationError, Finding
from gateway.translation.mqtt_map import MsgMap

KB = 1000
"""Bytes of a KB in `filesize`. The original's texts call its 50,000 bytes 50 kB."""

Find = Callable[[str], FilePath | None]
"""Finds a file by a relative path where the original looked for it, or not."""

_BOOLEANS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
_LEVELS = {"CRITICAL": "critical", "ERROR": "error", "WARN": "warning", "WARNING": "warning", "INFO": "info",
           "DEBUG": "debug", "NOTSET": "debug"}  # fmt: skip
_NO_LEVEL = ("NONE", "")

_NO_MAIL = "no mails are sent any more; let the service manager do it (OnFailure= of systemd)"
OBSOLETE = {
    ("MQTT", "timeout"): "the network is waited for without polling",
    ("MQTT", "reconnect_delay"): "delays between tries to connect grow by themselves",
    ("MQTT", "max_reconnect_attempts"): "it is tried until it works",
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
"""Where the options stand today, and what they were called; those of `[MAP]` stood in `[MQTT]` before 2.0."""


class OldDocument(Document):
    """The data of an INI file. `entries` tells which option a value comes from."""

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
        """Return a finding that names the option as the file does, and the file it really stands in."""
        found = super().finding(path, what, remedy, at_key=at_key)
        if path == ("interface", "type") and path not in self.entries:
            return found._replace(where="[INTERFACE] type")
        entry = next((self.entries[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.entries), None)
        if entry:
            return found._replace(file=entry.file, where=entry.name)
        section, option = NEW_PLACES.get(path, ("", ""))
        return found._replace(where=f"[{section}] {option}" if section else "")

    def resolve(self, path: Path, text: str, wanted: object) -> str | int | float | bool | None:  # noqa: ARG002
        """Return what `text` stands for: everything in an INI file is text."""
        if wanted == "boolean":
            return _BOOLEANS.get(text.lower(), text)
        return resolve_scalar(text)


def load_ini(
    text: str, file: FilePath, find: Find, read: Callable[[FilePath], str], notes: list[Finding]
) -> OldDocument:
    """Read a configuration of the original. `read` returns the text of another file that it names, and may add notes.

    Raises `ConfigurationError` where the text is no INI, `FaultyDocumentError` where it names what is not there.
    """
    translator = _Translator(read_ini(text, str(file)), file.stem, find, notes)
    translator.include_common(read)
    translator.translate()
    return translator.document()


class _Translator:
    """Takes the options of an INI text one after the other and puts them where they belong today."""

    def __init__(self, ini: IniText, name: str, find: Find, notes: list[Finding]) -> None:
        self.ini = ini
        self.texts = [ini]  # the first that has an option counts
        self.name = name
        self.find = find
        self.data: dict[str, Any] = {"mqtt": {}, "interface": {}, "log": {}}
        self.keys: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self.entries: dict[Path, Entry] = {}
        self.used: set[tuple[str, str]] = set()
        self.notes = notes
        self.said: set[str] = set()  # the three options of a mail have one reason
        self.findings: list[Finding] = []

    def include_common(self, read: Callable[[FilePath], str]) -> None:
        """Take in the file that `[MQTT] filename` names (2.0); what it says goes before this one."""
        entry = self.take("MQTT", "filename")
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
        self.rest()

    def document(self) -> OldDocument:
        notes = tuple(sorted(set(self.notes)))
        document = OldDocument(self.ini.file, self.data, self.keys, self.values, self.entries, notes)
        if self.findings:
            raise FaultyDocumentError(self.findings, document)
        return document

    # --- what all of them need

    def take(self, section: str, option: str) -> Entry | None:
        """Return an option, which is known then."""
        self.used.add((section, option))
        entry = next((ini.entries(section)[option] for ini in self.texts if option in ini.entries(section)), None)
        return entry and self.uncommented(entry, is_free=option in ("username", "password"))

    def uncommented(self, entry: Entry, *, is_free: bool) -> Entry:
        """Return `entry` without a comment at its end, and say so; where any text may stand (`is_free`), leave it."""
        bare, comment = entry.uncommented()
        if comment and is_free:
            what = "' ;' and what follows is part of the value; in Python 2 it was a comment"
            self.note(entry, what, "put a comment on a line of its own")
        elif comment:
            self.note(entry, f"{quote(comment)} is taken for a comment, as in Python 2", "put it on a line of its own")
        return entry if is_free else bare

    def take_filled(self, section: str, option: str) -> Entry | None:
        entry = self.take(section, option)
        return entry if entry and entry.text else None

    def put(self, path: Path, value: Any, entry: Entry | None = None) -> None:
        """Put `value`, of `entry` where it does not go without saying, to where it stands in a configuration."""
        target = self.data
        for step in path[:-1]:
            target = target[str(step)]
        target[str(path[-1])] = value
        if entry:
            self.keys[path], self.values[path], self.entries[path] = entry.key_place, entry.parts[0][0], entry

    def note(self, entry: Entry, what: str, remedy: str = "") -> None:
        self.notes.append(_at(entry, what, remedy))

    def number(self, path: Path, entry: Entry | None, *, at_zero: str, factor: int = 1) -> None:
        """Put a whole number; what is none is left to the schema. `at_zero` is said where 0 is not taken."""
        if entry is None:
            return
        if not re.fullmatch(r"[-+]?[0-9]{1,300}", entry.text):
            self.put(path, entry.text, entry)
        elif int(entry.text) == 0 and at_zero:
            self.note(entry, at_zero)
        else:
            self.put(path, int(entry.text) * factor, entry)

    def flag(self, entry: Entry | None) -> bool | None:
        """Return whether an option is on, None where it is not given."""
        if entry is None:
            return None
        if entry.text.lower() not in _BOOLEANS:
            self.findings.append(_at(entry, f"expected on or off, found {quote(entry.text)}", ""))
        return _BOOLEANS.get(entry.text.lower())

    def path(self, text: str, ending: str) -> str:
        """Return a path with the name filled in that goes without saying: that of the gateway."""
        if text in (".", ".."):
            text += "/"
        if text.endswith("/"):
            text += self.name + ending
        return str(PurePosixPath(text))

    # --- the sections

    def mqtt(self) -> None:
        host = self.take("MQTT", "host")
        if host:
            self.put(("mqtt", "host"), host.text, host)
        self.number(("mqtt", "port"), self.take("MQTT", "port"), at_zero="")
        never = "0 switched the sign of life off; a dead link is always noticed now, after 60 s as by default"
        self.number(("mqtt", "keepalive"), self.take("MQTT", "keepalive"), at_zero=never)
        username, password = self.take_filled("MQTT", "username"), self.take_filled("MQTT", "password")
        wanted = self.take("MQTT", "usecredentials")
        is_wanted = self.flag(wanted)
        if is_wanted is False:
            return
        if wanted and is_wanted and not username:
            self.findings.append(_at(wanted, "it is on, but there is no username", "add username: and password:"))
        if username:
            self.put(("mqtt", "username"), username.text, username)
        if password:
            self.put(("mqtt", "password"), password.text, password)

    def map(self) -> None:
        client_id, mapping, file, root, topics = (
            self.take("MAP", option) or self.take("MQTT", option)
            for option in ("clientid", "mapping", "mapfilename", "root", "topics")
        )
        self.used |= {("MQTT", option) for option in ("clientid", "mapping", "mapfilename", "root", "topics")}
        if client_id and client_id.text:
            self.put(("mqtt", "client_id"), client_id.text, client_id)
        # Before there was the option 'mapping', in version 0.15, there was always a map, and neither root nor topics.
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
        """Put the topics that can bring a message of `root`; the original did not look at the first level."""
        msg_map = None if root_problem(root) else MsgMap(root, sender=self.name)
        for place, topic in _topics(entry):
            if msg_map and not filter_problem(topic) and not msg_map.hears(topic):
                what = f"{quote(topic)} matches no topic under the root {root!a}, and is not subscribed to"
                self.note(entry, what, "a topic has seven levels, the last of them C or S")
                continue
            self.values["topics", len(self.data["topics"])] = place
            self.data["topics"].append(topic)

    def log(self) -> None:
        console = self.take("LOG", "consolelevel")
        # Warnings and errors always went to standard error, whatever the level of the console.
        level = self.level(console, "warnings and errors are written") if console else None
        self.put(("log", "level"), level if level in ("debug", "info") else "warning", console)
        file_of_1, file_of_2 = self.take("LOG", "logfilename"), self.take("LOG", "filename")
        file = file_of_1 or file_of_2
        debug, file_level = self.flag(self.take("LOG", "debug")), self.take("LOG", "filelevel")
        number, size = self.take("LOG", "filenum"), self.take("LOG", "filesize")
        level = self.level(file_level, "no log file is written") if file_level else "debug" if debug else "info"
        given = file.text if file else ""
        if not given and file_level and "MAP" in self.ini.sections():  # 2.0 needed no name, only a level
            given = "."
        if level is None or not given:
            return
        path = self.path(given, ".log")
        self.put(("log", "file"), str(self.find(path) or FilePath(self.ini.file).parent.absolute() / path), file)
        self.put(("log", "file_level"), level, file_level)
        self.put(("log", "files"), 3)
        self.put(("log", "file_bytes"), 50_000 * KB)
        endless = "0 let the file grow without end; 3 files of 50 MB are kept instead"
        self.number(("log", "files"), number, at_zero=endless)
        self.number(("log", "file_bytes"), size, at_zero=endless, factor=KB)

    def level(self, entry: Entry, otherwise: str) -> str | None:
        """Return a level of the log, or None where there is none; `otherwise` says what that means."""
        text = entry.text.upper()
        if text not in _LEVELS and text not in _NO_LEVEL:
            self.note(
                entry, f"{quote(entry.text)} is not a level: {otherwise}", f"levels are {', '.join(_LEVELS)}, NONE"
            )
        return _LEVELS.get(text)

    def interface(self) -> None:
        """Put the options of the interface, and its type, which the original had in its start script."""
        options = {name: entry for ini in reversed(self.texts) for name, entry in ini.entries("INTERFACE").items()}
        short = self.name.removesuffix("2mqtt")
        script = self.find(f"{short}_interface.py") if short else None
        self.put(("interface", "type"), str(script or (short if is_name(short) else "dummy")))
        if not script and not is_name(short) and "type" not in options:
            what = (
                f"nothing tells which interface it is: there is no {short or self.name}_interface.py: the dummy is run"
            )
            remedy = "add a type under [INTERFACE], the path of a Python file for example"
            self.notes.append(Finding(self.ini.file, 0, 0, "[INTERFACE]", what, remedy))
        for name, entry in options.items():
            self.put(("interface", name), self.uncommented(entry, is_free=name != "type").text, entry)

    def rest(self) -> None:
        """Say what has no meaning: obsolete options, and those that the original ignored too."""
        known = {option for section, option in self.used if section in ("MQTT", "MAP", "LOG")}
        for ini in self.texts:
            for first, again in islice(ini.repeated(), MAX_FINDINGS + 1):  # nobody reads more
                self.note(again, f"given twice, first in line {first.key_place[0]}; the last counts", "keep one")
            for section in ini.sections().values():
                if section.name not in _SECTIONS:
                    what = "an unknown section, which is not read"
                    self.notes.append(Finding(ini.file, *section.place, f"[{section.name}]", what,
                                              did_you_mean(section.name.upper(), _SECTIONS)))  # fmt: skip
            for entry in (ini.entries(name) for name in ("MQTT", "MAP", "LOG") if name in ini.sections()):
                for option in entry.values():
                    self.say_unused(option, known)

    def say_unused(self, entry: Entry, known: set[str]) -> None:
        reason = OBSOLETE.get((entry.section, entry.option))
        if reason and entry.text and reason not in self.said:
            self.said.add(reason)
            self.note(entry, f"has no meaning any more: {reason}")
        elif not reason and entry.section != "DEFAULT" and (entry.section, entry.option) not in self.used:
            self.note(entry, "an unknown option, which is not read", did_you_mean(entry.option, known))


def _at(entry: Entry, what: str, remedy: str) -> Finding:
    return Finding(entry.file, *entry.key_place, entry.name, what, remedy)


def _topics(entry: Entry) -> Iterator[tuple[Place, str]]:
    """Yield the topics of a list with commas, or on several lines, with their places."""
    for (line, column), part in entry.parts:
        for match in re.finditer(r"[^,\s][^,]*", part):
            yield (line, column + match.start()), match[0].rstrip()
