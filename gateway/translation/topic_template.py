"""Topic templates, such as `cmnd/{device}/{action}`: write and read topics, and detect ambiguous templates. Pure.

A level contains fixed text, placeholders, or both. If one level contains several placeholders, the text between two of
them separates their words at its first occurrence.
"""

from __future__ import annotations

import re
import string
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import NamedTuple

from gateway.core.quoting import quote
from gateway.core.topic import first_word_problem, word_problem
from gateway.errors import WordError
from gateway.message import ADDRESS_FIELDS
from gateway.translation.field_map import FieldMap

PLACEHOLDERS = (*ADDRESS_FIELDS, "action")
"""The fields for which a template can have a place; `{root}` is the root of the map."""

MAX_LEVELS = 16
"""Most levels of a template, without the root. Brokers disconnect a client for too many levels (Mosquitto for 200)."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def fields_in(template: str) -> list[str]:
    """Return the fields in `template`, in their order."""
    return [name for name in _PLACEHOLDER.findall(template) if name != "root"]


def template_problem(template: str) -> tuple[str, str]:
    """Return what is wrong with `template`, and the remedy; two empty texts if it is correct."""
    names = fields_in(template)
    for name in names:
        if name not in PLACEHOLDERS:
            return f"{{{name}}} is no field", f"known here: root, {', '.join(PLACEHOLDERS)}"
        if names.count(name) > 1:
            return f"{{{name}}} occurs twice", "remove one of the two"
    fixed = _PLACEHOLDER.sub("", template)
    if set("{}") & set(fixed):
        return "a brace is missing", "a placeholder is written {device}"
    if template.startswith("$"):
        return "topics that begin with '$' belong to the broker", "begin it with another word"
    if template.count("/") >= MAX_LEVELS:
        return f"it has over {MAX_LEVELS} levels", "use fewer levels"
    problem = first_word_problem(fixed.split("/"))
    if problem:
        return problem, "use other text"
    adjacent = re.search(r"\{(\w+)\}\{(\w+)\}", template.replace("{root}", ""))
    if adjacent:
        first, second = adjacent.groups()
        topic = template.replace(f"{{{first}}}{{{second}}}", "abc")
        what = (
            f"nothing separates {{{first}}} from {{{second}}}: {first} 'a', {second} 'bc' "
            f"and {first} 'ab', {second} 'c' would both be {topic!a}"
        )
        return what, "put text or a '/' between them"
    return "", ""


class Level:
    """One level of a topic: `prefix`, the words of `maps` with a separator between each two, and `suffix`."""

    def __init__(
        self, prefix: str, maps: tuple[FieldMap, ...] = (), separators: tuple[str, ...] = (), suffix: str = ""
    ) -> None:
        self.prefix = prefix
        self.maps = maps
        self.separators = separators
        self.suffix = suffix
        self.is_word = len(maps) == 1 and not prefix and not suffix
        """Whether the level consists of one word only, which is the usual case."""

    def write(self, words: Mapping[str, object]) -> str:
        """Return the level for the internal `words`; raise `WordError` for a word that is not possible in it."""
        if self.is_word:
            field_map = self.maps[0]
            return _checked(field_map, field_map.write(words[field_map.field]))
        if not self.maps:
            return self.prefix
        mqtt = [_checked(field_map, field_map.write(words[field_map.field])) for field_map in self.maps]
        level = _checked(self.maps[0], self.join(mqtt))
        if self.split(level) != mqtt:
            names = " and ".join(field_map.field for field_map in self.maps)
            raise WordError(f"{names}: {quote(level)} would be read as other words: one of them contains a separator")
        return level

    def join(self, words: Sequence[str]) -> str:
        """Return the level for the MQTT `words`, one for each map; `split` shows whether it is read back as these."""
        parts = [part for pair in zip(words, (*self.separators, self.suffix), strict=False) for part in pair]
        return self.prefix + "".join(parts)

    def split(self, level: str) -> list[str] | None:
        """Return the MQTT words in `level`, or None if it has another form."""
        if not self.maps:
            return [] if level == self.prefix else None
        start, end = len(self.prefix), len(level) - len(self.suffix)
        if start > end or not level.startswith(self.prefix) or not level.endswith(self.suffix):
            return None
        words, remainder = [], level[start:end]
        for separator in self.separators:
            word, match, remainder = remainder.partition(separator)
            if not match:
                return None
            words.append(word)
        return [*words, remainder]

    def read(self, level: str, words: dict[str, str]) -> None:
        """Add the internal words in `level`, which has this form, to `words`, by field.

        Raises `WordError` for a word that the map refuses.
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
        """Return whether `level` has this form, with words that the maps accept."""
        words = self.split(level) if isinstance(level, str) else None
        return words is not None and all(
            (readable := field_map.readable()) is None or word in readable
            for field_map, word in zip(self.maps, words, strict=True)
        )

    def enumerated(self) -> list[str] | None:
        """Return all levels of this form if their number is finite and small: fixed text, or one word of a strict map.

        None if it is not. The map of senders does not count, since other senders are possible.
        """
        if not self.maps:
            return [self.prefix]
        words = self.maps[0].readable() if len(self.maps) == 1 and self.maps[0].field != "sender" else None
        if words is None:
            return None
        return [f"{self.prefix}{word}{self.suffix}" for word in sorted(words, key=lambda word: (not word, word))]


def _checked(field_map: FieldMap, text: str) -> str:
    """Return `text`, a word of the field or the whole level; raise `WordError` if it is not allowed in a topic."""
    problem = word_problem(text)
    if problem:
        raise WordError(f"{field_map.field}: {quote(text)}: {problem}")
    return text


def parse(template: str, root: str, fields: Mapping[str, FieldMap]) -> tuple[Level, ...]:
    """Return the levels of `template`, which must be correct, for `root` and the maps of its fields."""
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


def common_topic(first: Sequence[Level], second: Sequence[Level]) -> str | None:
    """Return a topic that belongs to both templates, or None if there is none.

    A topic is not empty and does not begin with `$`, which is reserved for the broker (MQTT 3.1.1, section 4.7).
    """
    if len(first) != len(second):
        return None
    levels = [_common(a, b, () if index else ("$",)) for index, (a, b) in enumerate(zip(first, second, strict=True))]
    return None if None in levels else "/".join(level for level in levels if level is not None) or None


def _common(first: Level, second: Level, forbidden: tuple[str, ...]) -> str | None:
    """Return a text that is a level of both, and begins with none of `forbidden`, or None; the empty text comes last.

    If one form has few levels, each is tried. Otherwise this is a breadth-first search, letter by letter, through the
    pairs of places that the two readers can reach. The number of texts is infinite, but the number of places is not,
    and the possible continuations of a text depend only on the places.
    """
    reader_a, reader_b = _Reader(first), _Reader(second)
    for form, other in ((first, reader_b), (second, reader_a)):
        levels = form.enumerated()
        if levels is not None:
            return next((text for text in levels if other.reads(text) and not text.startswith(forbidden)), None)
    queue = deque([("", _START, _START)])
    seen = {(_START, _START)}
    while queue:
        text, a, b = queue.popleft()
        letters = reader_a.letters(a) or reader_b.letters(b)
        if not letters:
            # In both any letter may follow, or none. The name of the field makes the clearest example, unless it ends
            # the word.
            name = reader_a.parts[a.part].field
            if (reader_a.after(a, name), reader_b.after(b, name)) == (a, b):
                text += name
            letters = _distinct_letters(reader_a.parts[a.part].end + reader_b.parts[b.part].end)
        if reader_a.is_end(a) and reader_b.is_end(b):
            return text
        for letter in letters:
            if not text and letter in forbidden:
                continue
            next_a, next_b = reader_a.after(a, letter), reader_b.after(b, letter)
            if next_a and next_b and (next_a, next_b) not in seen:
                seen.add((next_a, next_b))
                queue.append((text + letter, next_a, next_b))
    return None


def _distinct_letters(text: str) -> list[str]:
    """Return the letters of `text`, and one other letter as an example of all others."""
    others = chain(string.ascii_lowercase, map(chr, count(0x100)))
    return [*dict.fromkeys(text), next(letter for letter in others if letter not in text)]


class _Part(NamedTuple):
    """A word of a level and the fixed text after it; `texts` are all that both can be, sorted; None if unlimited."""

    field: str
    texts: Sequence[str] | None
    end: str


class _Place(NamedTuple):
    """A position in a level: the index of a part, and the text read of it, as far as the remaining parts need it."""

    part: int
    text: str


_START = _Place(0, "")


class _Reader:
    """Reads a level letter by letter, as `Level.split` splits it. Any sender is accepted, see `Level.enumerated`."""

    def __init__(self, level: Level) -> None:
        self.parts: list[_Part] = []
        if level.prefix or not level.maps:
            self.parts.append(_Part("", [level.prefix], level.prefix))  # an empty word that is ended by the prefix
        for field_map, end in zip(level.maps, (*level.separators, level.suffix), strict=False):
            words = None if field_map.field == "sender" else field_map.readable()
            texts = None if words is None else sorted(word + end for word in words)
            self.parts.append(_Part(field_map.field, texts, end))

    def letters(self, place: _Place) -> list[str]:
        """Return the letters that may follow `place`; none if any letter may follow, or if the level must end."""
        texts, size = self.parts[place.part].texts or (), len(place.text)
        letters, index = [], bisect_left(texts, place.text)
        while index < len(texts) and texts[index].startswith(place.text):
            head = texts[index][: size + 1]
            letters.append(head[size:])
            index = bisect_right(
                texts, head, index, key=lambda text: text[: size + 1]
            )  # skips all texts with this letter
        return [letter for letter in letters if letter]

    def after(self, place: _Place, text: str) -> _Place | None:
        """Return the place after `text` was read at `place`, or None if no level has it there."""
        part, read = place
        for letter in text:
            _, texts, end = self.parts[part]
            read += letter
            if part < len(self.parts) - 1 and read.endswith(
                end
            ):  # the first occurrence of a separator counts, even within a word
                if texts is not None and not _contains(texts, read):
                    return None
                part, read = part + 1, ""
            elif texts is None:
                while not end.startswith(read):  # only a beginning of the end matters
                    read = read[1:]
            elif not _contains_start(texts, read):
                return None
        return _Place(part, read)

    def is_end(self, place: _Place) -> bool:
        """Return whether a level may end at `place`."""
        _, texts, end = self.parts[place.part]
        is_whole = place.text == end if texts is None else _contains(texts, place.text)
        return is_whole and place.part == len(self.parts) - 1

    def reads(self, text: str) -> bool:
        """Return whether `text` is a level of this form."""
        place = self.after(_START, text)
        return place is not None and self.is_end(place)


def _contains(texts: Sequence[str], text: str) -> bool:
    """Return whether the sorted `texts` contain `text`."""
    index = bisect_left(texts, text)
    return index < len(texts) and texts[index] == text


def _contains_start(texts: Sequence[str], start: str) -> bool:
    """Return whether one of the sorted `texts` begins with `start`."""
    index = bisect_left(texts, start)
    return index < len(texts) and texts[index].startswith(start)
