"""Templates of topics, such as `cmnd/{device}/{action}`: to words and back, and whether two can be one topic. Pure.

A level holds fixed text, placeholders, or both. Where several placeholders stand in one level, the text between
two of them separates their words, and the first place where it is found counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gateway.errors import WordError
from gateway.message import ADDRESS_FIELDS
from gateway.topic import word_problem
from gateway.translation.field_map import FieldMap, short

PLACEHOLDERS = (*ADDRESS_FIELDS, "action")
"""The fields that a template can hold; `{root}` stands for the root of the map."""

MAX_LEVELS = 16
"""Of a template, the root apart. Brokers drop a client over very many levels (Mosquitto at 200)."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def fields_in(template: str) -> list[str]:
    """Return the fields that `template` holds."""
    return [name for name in _PLACEHOLDER.findall(template) if name != "root"]


def template_problem(template: str) -> tuple[str, str]:
    """Say why `template` cannot be one, and the remedy; two empty texts if it can."""
    names = fields_in(template)
    for name in names:
        if name not in PLACEHOLDERS:
            return f"{{{name}}} is no field", f"known here: root, {', '.join(PLACEHOLDERS)}"
        if names.count(name) > 1:
            return f"{{{name}}} stands there twice", "keep one of the two"
    fixed = _PLACEHOLDER.sub("", template)
    if set("{}") & set(fixed):
        return "a brace is missing", "a placeholder is written {device}"
    if template.startswith("$"):
        return "topics that begin with '$' belong to the broker", "begin it with another word"
    if template.count("/") >= MAX_LEVELS:
        return f"it has over {MAX_LEVELS} levels", "leave some out"
    problem = next(filter(None, map(word_problem, fixed.split("/"))), "")
    if problem:
        return problem, "use other text"
    close = re.search(r"\{(\w+)\}\{(\w+)\}", template.replace("{root}", ""))
    if close:
        one, other = close.groups()
        topic = template.replace(f"{{{one}}}{{{other}}}", "abc")
        what = (
            f"nothing separates {{{one}}} from {{{other}}}: {one} 'a', {other} 'bc' and {one} 'ab', {other} 'c' "
            f"would both be {topic!a}"
        )
        return what, "put text or a '/' between them"
    return "", ""


class Level:
    """One level of a topic: `prefix`, the word of each map of `maps` with a separator between two, `suffix`."""

    def __init__(
        self, prefix: str, maps: tuple[FieldMap, ...] = (), separators: tuple[str, ...] = (), suffix: str = ""
    ) -> None:
        self.prefix = prefix
        self.maps = maps
        self.separators = separators
        self.suffix = suffix
        self.is_word = len(maps) == 1 and not prefix and not suffix
        """Whether the level is one word and nothing else, as most are."""

    def write(self, words: Mapping[str, object]) -> str:
        """Return the level for the internal `words`; raise `WordError` for one that it cannot hold."""
        if self.is_word:
            field_map = self.maps[0]
            return _checked(field_map, field_map.write(words[field_map.field]))
        if not self.maps:
            return self.prefix
        mqtt = [_checked(field_map, field_map.write(words[field_map.field])) for field_map in self.maps]
        level = _checked(self.maps[0], self.join(mqtt))
        if self.split(level) != mqtt:
            names = " and ".join(field_map.field for field_map in self.maps)
            raise WordError(f"{names}: {short(level)} would be read as other words: one of them holds a separator")
        return level

    def join(self, words: Sequence[str]) -> str:
        """Return the level of the MQTT `words`, one of each map; `split` tells whether it is read as them."""
        parts = [part for pair in zip(words, (*self.separators, self.suffix), strict=False) for part in pair]
        return self.prefix + "".join(parts)

    def split(self, level: str) -> list[str] | None:
        """Return the MQTT words that `level` holds, or None if it has another form."""
        if not self.maps:
            return [] if level == self.prefix else None
        start, end = len(self.prefix), len(level) - len(self.suffix)
        if start > end or not level.startswith(self.prefix) or not level.endswith(self.suffix):
            return None
        words, rest = [], level[start:end]
        for separator in self.separators:
            word, found, rest = rest.partition(separator)
            if not found:
                return None
            words.append(word)
        return [*words, rest]

    def read(self, level: str, words: dict[str, str]) -> None:
        """Put what `level`, which has this form, holds into the internal `words`, by field.

        Raises `WordError` for a word that is not taken.
        """
        if self.is_word:
            field_map = self.maps[0]
            words[field_map.field] = field_map.read(_checked(field_map, level))
            return
        for field_map, word in zip(self.maps, self.split(level) or (), strict=True):
            words[field_map.field] = field_map.read(_checked(field_map, word))
        if self.maps:
            _checked(self.maps[0], level)

    def __contains__(self, level: object) -> bool:
        """Tell whether `level` has this form, in words that the maps read."""
        words = self.split(level) if isinstance(level, str) else None
        return words is not None and all(
            (known := field_map.readable()) is None or word in known
            for field_map, word in zip(self.maps, words, strict=True)
        )

    def listed(self) -> list[str] | None:
        """Return every level of this form if they are few: fixed text, or one word of a strict map; None if not.

        The map of senders does not count: another sender may join it.
        """
        if not self.maps:
            return [self.prefix]
        known = self.maps[0].readable() if len(self.maps) == 1 and self.maps[0].field != "sender" else None
        if known is None:
            return None
        return [f"{self.prefix}{word}{self.suffix}" for word in sorted(known, key=lambda word: (not word, word))]


def _checked(field_map: FieldMap, text: str) -> str:
    """Return `text`, which is a word of the field or the whole level; raise `WordError` if it may not be in a topic."""
    problem = word_problem(text)
    if problem:
        raise WordError(f"{field_map.field}: {short(text)}: {problem}")
    return text


def parse(template: str, root: str, fields: Mapping[str, FieldMap]) -> tuple[Level, ...]:
    """Return the levels of `template`, which has no problem, for `root` and the maps of its fields."""
    levels: list[Level] = []
    prefix, maps, separators, text = "", [], [], ""  # type: ignore[var-annotated]

    def close() -> None:
        levels.append(Level(prefix, tuple(maps), tuple(separators), text) if maps else Level(text))

    for index, part in enumerate(_PLACEHOLDER.split(template)):
        if index % 2 and part != "root":
            if maps:
                separators.append(text)
            else:
                prefix = text
            maps.append(fields[part])
            text = ""
            continue
        first, *others = (root if index % 2 else part).split("/")
        text += first
        for level in others:
            close()
            prefix, maps, separators, text = "", [], [], level
    close()
    return tuple(levels)


def common_topic(one: Sequence[Level], other: Sequence[Level]) -> str | None:
    """Return a topic that both read, or None if there is none."""
    if len(one) != len(other):
        return None
    found = [_common(a, b) for a, b in zip(one, other, strict=True)]
    return None if None in found else "/".join(level for level in found if level is not None)


def _common(one: Level, other: Level) -> str | None:
    """Return a level that both read, or None.

    Levels of any words have one in common exactly if their beginnings agree, and their ends: what stands between
    in one, the words of the other can hold.
    """
    for few, level in ((one, other), (other, one)):
        listed = few.listed()
        if listed is not None:
            return next((text for text in listed if _reads(level, text)), None)
    prefix, short_prefix = sorted((one.prefix, other.prefix), key=len, reverse=True)
    suffix, short_suffix = sorted((one.suffix, other.suffix), key=len, reverse=True)
    if not prefix.startswith(short_prefix) or not suffix.endswith(short_suffix):
        return None
    middle = "".join((*one.separators, *other.separators)) or one.maps[0].field
    return f"{prefix}{middle}{suffix}"


def _reads(level: Level, text: str) -> bool:
    listed = level.listed()
    return text in listed if listed is not None else level.split(text) is not None
