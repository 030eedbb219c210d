"""Reads INI texts as Python's configparser does, with the place of every value and the comments. Pure.

Versions before 3.0 read their configurations with configparser: `[SECTION]`, then `option: value` or `option = value`,
names of options in any case, comments on lines of their own, and indented lines that continue a value. The options in
`[DEFAULT]` apply to every section. Of a duplicate option, the last value counts; `%` has no special meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gateway.configuration.document import Place
from gateway.configuration.yaml_reader import INI_HEADER
from gateway.errors import ConfigurationError, Finding

_DEFAULT = "DEFAULT"
_INLINE_COMMENT = re.compile(r"([^;]*[^;\s])\s+(;.*)")
_OPTION = re.compile(r"(.*?)\s*[=:]\s*(.*)$", re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A line `[name]`, and the comments and empty lines before it."""

    name: str
    place: Place
    comments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """An option, its value, the places of both, and the comments and empty lines before it.

    `parts` are the lines of the value with their places; `text` joins them as configparser does.
    """

    file: str
    section: str
    option: str
    key_place: Place
    parts: tuple[tuple[Place, str], ...]
    comments: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return the value, with all its lines."""
        return "\n".join(text for _, text in self.parts).rstrip()

    @property
    def name(self) -> str:
        """Return the name of the option for errors: `[MQTT] host`."""
        return f"[{self.section}] {self.option}"

    def uncommented(self) -> tuple[Entry, str]:
        """Return this option without the comment at the end of its first line, and that comment, or `""`.

        To Python 2, ' ;' and the text after it were a comment; to Python 3 they belong to the value.
        """
        (place, line), *others = self.parts
        match = _INLINE_COMMENT.fullmatch(line)
        return (replace(self, parts=((place, match[1]), *others)), match[2]) if match else (self, "")


@dataclass(frozen=True)
class IniText:
    """The sections and options of an INI file in their order; `comments` are those at its end."""

    file: str
    items: tuple[Section | Entry, ...]
    comments: tuple[str, ...] = ()

    def sections(self) -> dict[str, Section]:
        """Return the sections by name; of a repeated section, the first."""
        return {item.name: item for item in reversed(self.items) if isinstance(item, Section)}

    def entries(self, section: str) -> dict[str, Entry]:
        """Return the options of a section by name, those of `[DEFAULT]` included."""
        entries: dict[str, Entry] = {}
        for name in (_DEFAULT, section):
            entries |= {item.option: item for item in self.items if isinstance(item, Entry) and item.section == name}
        return entries

    def repeated(self) -> Iterator[tuple[Entry, Entry]]:
        """Yield each duplicate option, after the one that it replaces."""
        seen: dict[tuple[str, str], Entry] = {}
        for item in self.items:
            if isinstance(item, Entry):
                first = seen.get((item.section, item.option))
                if first:
                    yield first, item
                seen[item.section, item.option] = item


@dataclass
class _Open:
    """An option whose value may continue in the next line."""

    section: str
    option: str
    key_place: Place
    parts: list[tuple[Place, str]]
    comments: tuple[str, ...]


@dataclass
class _Reader:
    file: str
    items: list[Section | Entry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    section: str = ""
    entry: _Open | None = None
    indent: int = 0

    def line(self, number: int, line: str) -> None:
        text = line.strip()
        column = len(line) - len(line.lstrip()) + 1
        place = (number, column)
        if not text or text[0] in "#;":
            self.comments.append(text)
            if not text and self.entry:
                self.entry.parts.append((place, ""))
        elif self.entry and column > self.indent:
            self.entry.parts.append((place, text))
        else:
            self.indent = column
            header = INI_HEADER.match(text)
            if header:
                self.end_entry()
                self.section = header[1]
                self.items.append(Section(self.section, place, self.pop_comments()))
            else:
                self.option(text, place)

    def option(self, text: str, place: Place) -> None:
        self.end_entry()
        match = _OPTION.match(text)
        if not self.section:
            self.complain(place, "no [SECTION] before it", "put it into a section, for example [MQTT]")
        elif not match or not match[1]:
            self.complain(place, f"{text!a} is not an option", "write it as option: value")
        else:
            value_place = (place[0], place[1] + match.start(2))
            option = match[1].lower()
            self.entry = _Open(self.section, option, place, [(value_place, match[2])], self.pop_comments())

    def end_entry(self) -> None:
        if self.entry:
            entry, self.entry = self.entry, None
            while len(entry.parts) > 1 and not entry.parts[-1][1]:
                entry.parts.pop()
            self.items.append(
                Entry(self.file, entry.section, entry.option, entry.key_place, tuple(entry.parts), entry.comments)
            )

    def pop_comments(self) -> tuple[str, ...]:
        comments, self.comments = tuple(self.comments), []
        return comments

    def complain(self, place: Place, what: str, remedy: str) -> None:
        self.findings.append(Finding(self.file, *place, "", what, remedy))


def read_ini(text: str, file: str) -> IniText:
    """Return the content of an INI text. Raises `ConfigurationError` with every line that is not INI."""
    reader = _Reader(file)
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        reader.line(number, line)
    reader.end_entry()
    if reader.findings:
        raise ConfigurationError(reader.findings)
    return IniText(file, tuple(reader.items), reader.pop_comments())
