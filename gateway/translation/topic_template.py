"""Templates of topics, such as `cmnd/{device}/{action}`: to words and back, and whether two can be one topic. Pure.

A level holds fixed text, placeholders, or both. Where several placeholders stand in one level, the text between
two of them separates their words, and the first place where it is found counts.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import NamedTuple

from gateway.core.topic import first_word_problem, word_problem
from gateway.errors import WordError
from gateway.message import ADDRESS_FIELDS
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
    problem = first_word_problem(fixed.split("/"))
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
    """Return a topic that both read, or None if there is none.

    A topic is not empty and does not begin with `$`, which is the broker's own (MQTT 3.1.1, section 4.7).
    """
    if len(one) != len(other):
        return None
    found = [_common(a, b, () if index else ("$",)) for index, (a, b) in enumerate(zip(one, other, strict=True))]
    return None if None in found else "/".join(level for level in found if level is not None) or None


def _common(one: Level, other: Level, barred: tuple[str, ...]) -> str | None:
    """Return a level that both read and that begins with no letter of `barred`, or None; the empty one comes last.

    If the levels of one are few, each is tried. Otherwise both are read side by side, letter by letter, the shortest
    texts first. There are endless texts but few places in a level, and how a text may go on depends on these alone.
    """
    here, there = _Reader(one), _Reader(other)
    for few, reader in ((one, there), (other, here)):
        listed = few.listed()
        if listed is not None:
            return next((text for text in listed if reader.reads(text) and not text.startswith(barred)), None)
    queue = deque([("", _START, _START)])
    seen = {(_START, _START)}
    while queue:
        text, a, b = queue.popleft()
        letters = here.letters(a) or there.letters(b)
        if not letters:
            # Any letter may follow in both, or in none. The name of a field makes the best word, unless it ends it.
            name = here.parts[a.part].field
            if (here.after(a, name), there.after(b, name)) == (a, b):
                text += name
            letters = _distinct_letters(here.parts[a.part].end + there.parts[b.part].end)
        if here.is_end(a) and there.is_end(b):
            return text
        for letter in letters:
            if not text and letter in barred:
                continue
            next_a, next_b = here.after(a, letter), there.after(b, letter)
            if next_a and next_b and (next_a, next_b) not in seen:
                seen.add((next_a, next_b))
                queue.append((text + letter, next_a, next_b))
    return None


def _distinct_letters(text: str) -> list[str]:
    """Return the letters of `text`, and one that is not there, as an example of all others."""
    others = chain(string.ascii_lowercase, map(chr, count(0x100)))
    return [*dict.fromkeys(text), next(letter for letter in others if letter not in text)]


class _Part(NamedTuple):
    """A word of a level with the fixed text that ends it; `texts` are all that both can be, sorted, or None if any."""

    field: str
    texts: Sequence[str] | None
    end: str


class _Place(NamedTuple):
    """How far a level is read: the index of a part, and what was read of it, as far as it counts for what follows."""

    part: int
    text: str


_START = _Place(0, "")


class _Reader:
    """Reads a level letter by letter, as `Level.split` splits it. Any sender is read, see `Level.listed`."""

    def __init__(self, level: Level) -> None:
        self.parts: list[_Part] = []
        if level.prefix or not level.maps:
            self.parts.append(_Part("", [level.prefix], level.prefix))  # an empty word, and the prefix ends it
        for field_map, end in zip(level.maps, (*level.separators, level.suffix), strict=False):
            known = None if field_map.field == "sender" else field_map.readable()
            texts = None if known is None else sorted(word + end for word in known)
            self.parts.append(_Part(field_map.field, texts, end))

    def letters(self, place: _Place) -> list[str]:
        """Return the letters that may follow `place`; none where any may, or where the level must end."""
        texts, size = self.parts[place.part].texts or (), len(place.text)
        found, index = [], bisect_left(texts, place.text)
        while index < len(texts) and texts[index].startswith(place.text):
            head = texts[index][: size + 1]
            found.append(head[size:])
            index = bisect_right(texts, head, index, key=lambda text: text[: size + 1])  # past all with this letter
        return [letter for letter in found if letter]

    def after(self, place: _Place, text: str) -> _Place | None:
        """Return the place after `text` was read at `place`, or None if no level of this form has it there."""
        part, read = place
        for letter in text:
            _, texts, end = self.parts[part]
            read += letter
            if part < len(self.parts) - 1 and read.endswith(end):  # the first separator counts, even within a word
                if texts is not None and not _holds(texts, read):
                    return None
                part, read = part + 1, ""
            elif texts is None:
                while not end.startswith(read):  # all that counts is how much of the end stands there
                    read = read[1:]
            elif not _holds_start(texts, read):
                return None
        return _Place(part, read)

    def is_end(self, place: _Place) -> bool:
        """Return whether a level may end at `place`."""
        _, texts, end = self.parts[place.part]
        is_whole = place.text == end if texts is None else _holds(texts, place.text)
        return is_whole and place.part == len(self.parts) - 1

    def reads(self, text: str) -> bool:
        """Return whether `text` is such a level."""
        place = self.after(_START, text)
        return place is not None and self.is_end(place)


def _holds(texts: Sequence[str], text: str) -> bool:
    """Return whether `text` is one of `texts`, which are sorted."""
    index = bisect_left(texts, text)
    return index < len(texts) and texts[index] == text


def _holds_start(texts: Sequence[str], start: str) -> bool:
    """Return whether one of `texts`, which are sorted, begins with `start`."""
    index = bisect_left(texts, start)
    return index < len(texts) and texts[index].startswith(start)
