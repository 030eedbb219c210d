"""Extractors: how a rule reads the values of a frame. Pure.

An extractor returns the values of a frame by name, or None if the frame does not match. `each: true` gives several
sets of values. The returned dictionaries belong to the caller, who may change them. `names` are the values that an
extractor can return, None if they are not known in advance; `prefix` is how each matching frame begins, which lets a
decoder skip rules without trying them. `lists` are the values that are lists, because they may occur again; `groups`
are the names of the values of each repetition that makes messages of its own (`each`): see `repetition`.

`EXTRACTORS` is the registry. To add a kind, write a class and enter it there under the name of its option.
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import GatewayError
from interfaces.rules.json_paths import JsonPaths, JsonTextError
from interfaces.rules.layout import Layout
from interfaces.rules.repetition import MAX_REPETITIONS, FrameValues, Repetition, as_lists
from interfaces.rules.safe_regex import RegexError, SafeRegex, safe_regex

Values = dict[str, Any]

_LOST_PAIR = "this key occurs more than once in the frame, and only the last one is used: set each: true"
_LOST_LINE = (
    "the frame has several such lines, and only the last one is used: "
    "move the pattern of a line that may occur again to 'repeat'"
)


class ExtractError(GatewayError):
    """A frame could not be compared with a rule: its regular expression took too long, or a part of it is wrong."""


class ExtractorError(GatewayError):
    """The options of an extractor contradict each other."""


class Extractor(ABC):
    """Reads the values of frames of one kind."""

    names: frozenset[str] | None = None
    lists: frozenset[str] = frozenset()
    groups: Sequence[frozenset[str]] = ()
    prefix: bytes = b""
    is_quick = True
    """False if a frame can take long, because an expression runs under a time limit."""
    reads_floats = False
    """Whether a value may be a float that is not finite."""

    @property
    def single_names(self) -> frozenset[str] | None:
        """The values that a frame has once, and that are no lists; None if they are not known in advance."""
        repeated = self.lists.union(*self.groups)
        return None if self.names is None else self.names - repeated

    @abstractmethod
    def extract(self, frame: bytes) -> list[Values] | None:
        """Return the values of `frame`, or None if it does not match: all sets are `FrameValues`, or none is.

        Raises `ExtractError`.
        """


class RegexExtractor(Extractor):
    """A regular expression that matches the whole frame; its named groups are the values."""

    def __init__(self, text: str, encoding: str) -> None:
        regex = safe_regex(text)
        self._fullmatch = regex.fullmatch
        self.is_quick = regex.is_fast
        self._encoding = encoding
        self.names = frozenset(regex.names)
        self.prefix = regex.prefix.encode(encoding, "ignore")

    def extract(self, frame: bytes) -> list[Values] | None:
        """Return the named groups."""
        try:
            match = self._fullmatch(frame.decode(self._encoding))
        except UnicodeDecodeError:
            return None
        except RegexError as err:
            raise ExtractError(str(err)) from err
        return None if match is None else [match.groupdict()]


class FieldPositions:
    """At which positions the values stand in a list of fields; several positions of one name are joined."""

    def __init__(self, at: Mapping[str, int | Sequence[int]], separator: str) -> None:
        self._positions = {n: (place,) if isinstance(place, int) else tuple(place) for n, place in at.items()}
        self._separator = separator

    @property
    def names(self) -> Sequence[str]:
        """The names of the values."""
        return list(self._positions)

    def outside_of(self, count: int) -> int | None:
        """Return a position that `count` fields do not have, None if they have all of them."""
        places = (place for positions in self._positions.values() for place in positions)
        return next((place for place in places if not -count <= place < count), None)

    def read(self, fields: Sequence[str]) -> Values:
        """Return the values that the fields have; a joined one is empty if one of its fields is."""
        values: Values = {}
        for name, positions in self._positions.items():
            try:
                parts = [fields[index] for index in positions]
            except IndexError:
                continue
            values[name] = self._separator.join(parts) if all(parts) else ""
        return values


class RepeatedFields:
    """Fields that occur again: `size` of them at a time, from the field `from` on, as long as they are complete."""

    def __init__(self, options: Mapping[str, Any], separator: str) -> None:
        self._first, self._size = options["from"], options["size"]
        self._index: str = options.get("index", "")
        self._positions = FieldPositions(options["at"], separator)
        self.names = [*self._positions.names, *([self._index] if self._index else [])]
        if self._positions.outside_of(self._size) is not None:
            raise ExtractorError(f"repeat: a position is outside of the {self._size} fields of a repetition")

    @property
    def first_end(self) -> int:
        """How many fields there are up to the end of the first repetition."""
        return int(self._first + self._size)

    def read(self, fields: Sequence[str]) -> list[Values]:
        """Return the values of each repetition; one whose fields are all empty is left out."""
        items = []
        for number, start in enumerate(range(self._first, len(fields) - self._size + 1, self._size), 1):
            part = fields[start : start + self._size]
            if any(part):
                items.append(self._positions.read(part))
                if self._index:
                    items[-1][self._index] = number
        return items


class FieldsExtractor(Extractor):
    """Fields by position between separators; some of them must have a certain text."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self._separator: str = options["separator"]
        self._encoding = encoding
        self._split_quoted = csv_splitter(self._separator, options["quote"]) if "quote" in options else None
        self._positions = FieldPositions(options.get("at", {}), self._separator)
        self._constants = {int(i): [text] if isinstance(text, str) else text for i, text in options["is"].items()}
        self._minimum, self._maximum = options.get("minimum", 0), options.get("maximum")
        self._repeat = RepeatedFields(options["repeat"], self._separator) if "repeat" in options else None
        repeated = frozenset(() if self._repeat is None else self._repeat.names)
        self.lists, self.groups = _repeated(options, repeated)
        self.names = repeated.union(self._positions.names)
        if not self.names:
            raise ExtractorError("neither 'at' nor 'repeat': there is nothing to read")
        self._check()
        first: Sequence[str] = self._constants.get(0, ())
        if "quote" in options:
            first = ()  # in quotes or not, so they begin differently
        self.prefix = first[0].encode(encoding, "ignore") if len(first) == 1 else b""

    def _check(self) -> None:
        """Raise `ExtractorError` if no frame can match, or if a value can never be read."""
        for index, texts in self._constants.items():
            if not texts:
                raise ExtractorError(f"is: no text is listed that field {index} may have")
            if self._split_quoted is None and all(self._separator in text for text in texts):
                raise ExtractorError(f"is: field {index} cannot have the text {texts[0]!a}: it contains the separator")
        if self._maximum is None:
            return
        if self._minimum > self._maximum:
            raise ExtractorError(f"no frame has at least {self._minimum} and at most {self._maximum} fields")
        outside = next((i for i in self._constants if not -self._maximum <= i < self._maximum), None)
        outside = self._positions.outside_of(self._maximum) if outside is None else outside
        if outside is not None:
            raise ExtractorError(f"there is no field {outside} where maximum is {self._maximum}; the first one is 0")
        if self._repeat is not None and self._repeat.first_end > self._maximum:
            raise ExtractorError(f"repeat: it needs {self._repeat.first_end} fields, and maximum is {self._maximum}")

    def extract(self, frame: bytes) -> list[Values] | None:
        """Return the fields; several positions of one name are joined with the separator."""
        try:
            text = frame.decode(self._encoding)
        except UnicodeDecodeError:
            return None
        fields = text.split(self._separator) if self._split_quoted is None else self._split_quoted(text)
        if fields is None:
            return None
        count = len(fields)
        if count < self._minimum or (self._maximum is not None and count > self._maximum):
            return None
        for index, texts in self._constants.items():
            if not -count <= index < count or fields[index] not in texts:
                return None
        values = self._positions.read(fields)
        if self._repeat is None:
            return [values]
        items = self._repeat.read(fields)
        if len(items) > MAX_REPETITIONS:
            return None
        if self.groups:
            return [FrameValues(values, [Repetition(1, item) for item in items])]
        return [FrameValues({**values, **as_lists(self._repeat.names, items)})]


def csv_splitter(separator: str, quote: str) -> Callable[[str], list[str] | None]:
    """Return the function that splits a line into fields, which may stand in quotes; None: its quotes are wrong."""
    if len(separator) > 1 and separator[1:] != " ":
        raise ExtractorError("with quote, the separator is one character, and may have a space behind it")
    has_space = len(separator) == 2
    try:
        csv.reader([], delimiter=separator[0], quotechar=quote)
    except (TypeError, ValueError) as err:  # Python 3.13 refuses some characters that 3.11 accepts
        raise ExtractorError(f"{quote!a} and {separator!a} cannot be used as quote and separator") from err
    if quote == separator[0] or quote in "\r\n " or separator[0] in ("\r", "\n"):
        raise ExtractorError("quote and separator are two different characters, and neither ends a line")

    def split(text: str) -> list[str] | None:
        lines = csv.reader([text], delimiter=separator[0], quotechar=quote, skipinitialspace=has_space, strict=True)
        try:
            return next(lines, []) or [""]
        except csv.Error:
            return None

    return split


class PairsExtractor(Extractor):
    """`key=value` pairs, any number in any order, after an optional `start`."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self._separator, self._equals, self._start = options["separator"], options["equals"], options["start"]
        self._each = options["each"]
        self._keys = frozenset(options.get("keys", ()))
        self._encoding = encoding
        if self._separator in self._equals:
            raise ExtractorError("no pair is found: equals contains the separator, at which the pairs are split before")
        for key in sorted(self._keys):
            if self._separator in key or self._equals in key or key != key.strip() or not key:
                text = "it is empty, or contains the separator, equals, or spaces around it"
                raise ExtractorError(f"keys: no pair can have the key {key!a}: {text}")
        if self._each:
            self.names = frozenset({"key", "value"})
        elif self._keys:
            self.names = self._keys
        self.prefix = self._start.encode(encoding, "ignore")

    def extract(self, frame: bytes) -> list[Values] | None:
        """Return the pairs in one set of values, or one set for each pair."""
        try:
            text = frame.decode(self._encoding)
        except UnicodeDecodeError:
            return None
        if not text.startswith(self._start):
            return None
        values: Values = {}
        each: list[Values] = []
        lost: dict[str, str] = {}
        for pair in text[len(self._start) :].split(self._separator):
            key, equals, value = pair.partition(self._equals)
            key = key.strip()
            if equals and key and (not self._keys or key in self._keys):
                value = value.strip()
                if self._each:
                    each.append({"key": key, "value": value})
                elif values.setdefault(key, value) != value:
                    lost[key] = _LOST_PAIR
                    values[key] = value
        if not values:
            return each or None
        return [FrameValues(values, lost=lost) if lost else values]


class LinesExtractor(Extractor):
    """A frame of several lines, with one expression for each kind of line; other lines are ignored.

    A line of a kind that may occur again is a repetition.
    """

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        repeated = [safe_regex(text) for text in options.get("repeat", ())]
        once = [safe_regex(text) for text in options.get("patterns", ())]
        if not once and not repeated:
            raise ExtractorError("neither 'patterns' nor 'repeat': there is nothing to read")
        self._regexes = [*((regex, False) for regex in once), *((regex, True) for regex in repeated)]
        self._repeated = repeated
        self.is_quick = all(regex.is_fast for regex, _ in self._regexes)
        self._encoding = encoding
        names = frozenset(name for regex in repeated for name in regex.names)
        self.names = names | {name for regex in once for name in regex.names}
        self.lists, self.groups = _repeated(options, names)

    def extract(self, frame: bytes) -> list[Values] | None:
        """Return the values of all lines; None if no line matches."""
        try:
            lines = frame.decode(self._encoding).splitlines()
        except UnicodeDecodeError:
            return None
        values: Values = {}
        lost: dict[str, str] = {}
        items: list[tuple[SafeRegex, Values]] = []
        has_matched = False
        for line in lines:
            for regex, is_repeated in self._regexes:
                try:
                    groups = regex.match(line)
                except RegexError as err:
                    raise ExtractError(str(err)) from err
                if groups is None:
                    continue
                has_matched = True
                if is_repeated:
                    items.append((regex, groups))
                    if len(items) > MAX_REPETITIONS:
                        return None
                    break
                other = ""
                for name, text in groups.items():
                    if text is not None:
                        if name in values and values[name] != text:
                            other += f", {name}" if other else name
                        values[name] = text
                if other:
                    lost[other] = _LOST_LINE
                break
        if not has_matched:
            return None
        if not self._repeated:
            return [FrameValues(values, lost=lost) if lost else values]
        if self.groups:
            return [FrameValues(values, [Repetition(1, each) for _, each in items], lost)]
        for regex in self._repeated:  # of each pattern apart, so that the entries of its lists belong together
            for name, listed in as_lists(regex.names, [each for other, each in items if other is regex]).items():
                values[name] = [*values.get(name, ()), *listed]
        return [FrameValues(values, lost=lost)]


class JsonExtractor(Extractor):
    """A JSON text: its values by path, or all members of its object; the items of a list are repetitions."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        paths = JsonPaths(options)
        self._read, self.names = paths.read, paths.names
        self.lists, self.groups = _repeated(options, paths.repeated)
        self._encoding = encoding

    def extract(self, frame: bytes) -> list[Values] | None:
        """Return the values; raise `ExtractError` for JSON that two programs could read differently."""
        try:
            values = self._read(frame.decode(self._encoding))
        except UnicodeDecodeError:
            return None
        except JsonTextError as err:
            raise ExtractError(str(err)) from err
        return None if values is None else [values]


class BinaryExtractor(Extractor):
    """Bytes in a layout."""

    reads_floats = True

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:  # noqa: ARG002
        self._layout = Layout(options["fields"], options["byte_order"], options.get("length"))
        self.names = self._layout.names
        self.lists, self.groups = self._layout.lists, self._layout.groups
        self.prefix = self._layout.prefix

    def extract(self, frame: bytes) -> list[Values] | None:
        """Return the values of the layout's fields."""
        values = self._layout.read(frame)
        return None if values is None else [values]


class NothingExtractor(Extractor):
    """For an answer whose end is enough: it matches any text, and reads no value of it."""

    names = frozenset()

    def extract(self, frame: bytes) -> list[Values] | None:  # noqa: ARG002
        """Return no values."""
        return [{}]


def _repeated(options: Mapping[str, Any], names: frozenset[str]) -> tuple[frozenset[str], Sequence[frozenset[str]]]:
    """Return `lists` and `groups` of an extractor; `names` are the values of its repetition, if it has one."""
    is_apart = options.get("each", False)
    if "repeat" not in options:
        if is_apart:
            raise ExtractorError("each: true needs 'repeat', which describes what occurs again")
        return frozenset(), ()
    if not is_apart and isinstance(options["repeat"], Mapping) and "index" in options["repeat"]:
        raise ExtractorError("repeat: an index needs each: true")
    return (frozenset(), (names,)) if is_apart else (names, ())


EXTRACTORS: Mapping[str, Callable[[Any, str], Extractor]] = {
    "regex": RegexExtractor,
    "fields": FieldsExtractor,
    "pairs": PairsExtractor,
    "lines": LinesExtractor,
    "json": JsonExtractor,
    "binary": BinaryExtractor,
}
"""The kinds by the name of their option, of which each rule has one; each is made from its option and the encoding."""


def framing_of(frame: bytes) -> str:
    """Return the name of the framing of a frame, of several on one line; empty if it has none."""
    return getattr(frame, "framing", "")


def make_extractor(options: Mapping[str, Any], encoding: str) -> Extractor:
    """Return the extractor of a rule.

    Raises `RegexError`, `LayoutError` or `ExtractorError` if its expression, its layout or its options are wrong.
    """
    kind = next(extractor_kinds(options), None)
    return NothingExtractor() if kind is None else EXTRACTORS[kind](options[kind], encoding)


def extractor_kinds(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of extractor that a rule has; a valid rule has one."""
    yield from (kind for kind in EXTRACTORS if kind in options)


class Dispatch:
    """Finds the rules that a frame may match, by how their frames begin; keeps the order of the rules."""

    def __init__(self, prefixes: Sequence[bytes]) -> None:
        tables: dict[int, dict[bytes, list[int]]] = {}
        for index, prefix in enumerate(prefixes):
            tables.setdefault(len(prefix), {}).setdefault(prefix, []).append(index)
        self._tables: list[tuple[int, Callable[[bytes], list[int] | None]]] = [
            (length, table.get) for length, table in sorted(tables.items())
        ]

    def candidates(self, frame: bytes) -> Sequence[int]:
        """Return the indices of the rules to try, in order."""
        if len(self._tables) == 1:
            length, get = self._tables[0]
            return get(frame[:length]) or ()
        hits = [hit for length, get in self._tables if (hit := get(frame[:length]))]
        if len(hits) == 1:
            return hits[0]
        return sorted(index for hit in hits for index in hit)
