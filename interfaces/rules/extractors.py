"""How a rule takes values out of a frame: five ways, one class each. Pure.

A matcher returns the values of a frame by name, or None if the frame is not its own; `each: true` gives
several such sets. They are the caller's, to change. `names` are the values it can give, None if any; `prefix`
is how each of its frames begins, which lets a decoder pass over rules at no cost.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import GatewayError
from interfaces.rules.layout import Layout
from interfaces.rules.safe_regex import RegexError, safe_regex

Values = dict[str, Any]

KINDS = ("regex", "fields", "pairs", "lines", "binary")
"""The options of which each rule has one."""


class ExtractError(GatewayError):
    """A frame is a rule's own, but cannot be read."""


class Extractor(ABC):
    """Takes the values out of frames of one kind."""

    names: frozenset[str] | None = None
    prefix: bytes = b""
    is_quick = True
    """Whether no frame takes long, as some do with an expression that is stopped in time."""

    @abstractmethod
    def match(self, frame: bytes) -> list[Values] | None:
        """Return the values of `frame`, or None if it is not of this kind. Raises `ExtractError`."""


class RegexMatcher(Extractor):
    """A regular expression that the whole frame matches; its named groups are the values."""

    def __init__(self, text: str, encoding: str) -> None:
        regex = safe_regex(text)
        self._fullmatch = regex.fullmatch
        self.is_quick = regex.is_fast
        self._encoding = encoding
        self.names = frozenset(regex.names)
        self.prefix = regex.prefix.encode(encoding, "ignore")

    def match(self, frame: bytes) -> list[Values] | None:
        """Return the named groups."""
        try:
            found = self._fullmatch(frame.decode(self._encoding))
        except UnicodeDecodeError:
            return None
        except RegexError as err:
            raise ExtractError(str(err)) from err
        return None if found is None else [found.groupdict()]


class FieldsMatcher(Extractor):
    """Fields by position between separators, some of them with a text that they must have."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self._separator: str = options["separator"]
        self._encoding = encoding
        self._at: dict[str, list[int]] = {
            name: [where] if isinstance(where, int) else list(where) for name, where in options["at"].items()
        }
        self._is = {int(index): [text] if isinstance(text, str) else text for index, text in options["is"].items()}
        self._minimum, self._maximum = options.get("minimum", 0), options.get("maximum")
        self.names = frozenset(self._at)
        first = self._is.get(0, ())
        self.prefix = first[0].encode(encoding, "ignore") if len(first) == 1 else b""

    def match(self, frame: bytes) -> list[Values] | None:
        """Return the fields; several positions of one name are joined with the separator."""
        try:
            fields = frame.decode(self._encoding).split(self._separator)
        except UnicodeDecodeError:
            return None
        count = len(fields)
        if count < self._minimum or (self._maximum is not None and count > self._maximum):
            return None
        for index, texts in self._is.items():
            if not -count <= index < count or fields[index] not in texts:
                return None
        values: Values = {}
        for name, where in self._at.items():
            if all(-count <= index < count for index in where):
                parts = [fields[index] for index in where]
                values[name] = self._separator.join(parts) if all(parts) else ""
        return [values]


class PairsMatcher(Extractor):
    """`key=value` pairs, any number in any order, behind an optional `start`."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self._separator, self._equals, self._start = options["separator"], options["equals"], options["start"]
        self._each = options["each"]
        self._keys = frozenset(options.get("keys", ()))
        self._encoding = encoding
        if self._each:
            self.names = frozenset({"key", "value"})
        elif self._keys:
            self.names = self._keys
        self.prefix = self._start.encode(encoding, "ignore")

    def match(self, frame: bytes) -> list[Values] | None:
        """Return the pairs in one set of values, or one set for each pair."""
        try:
            text = frame.decode(self._encoding)
        except UnicodeDecodeError:
            return None
        if not text.startswith(self._start):
            return None
        values: Values = {}
        for pair in text[len(self._start) :].split(self._separator):
            key, equals, value = pair.partition(self._equals)
            key = key.strip()
            if equals and key and (not self._keys or key in self._keys):
                values[key] = value.strip()
        if not values:
            return None
        return [{"key": key, "value": value} for key, value in values.items()] if self._each else [values]


class LinesMatcher(Extractor):
    """A telegram of several lines, with one expression for each kind of line; lines of no kind are passed over."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self._regexes = [safe_regex(text) for text in options["patterns"]]
        self.is_quick = all(regex.is_fast for regex in self._regexes)
        self._encoding = encoding
        self.names = frozenset(name for regex in self._regexes for name in regex.names)

    def match(self, frame: bytes) -> list[Values] | None:
        """Return the values of all lines; None if no line is of any kind."""
        try:
            lines = frame.decode(self._encoding).splitlines()
        except UnicodeDecodeError:
            return None
        values: Values = {}
        found_any = False
        for line in lines:
            for regex in self._regexes:
                try:
                    found = regex.match(line)
                except RegexError as err:
                    raise ExtractError(str(err)) from err
                if found is not None:
                    found_any = True
                    values.update({name: text for name, text in found.items() if text is not None})
                    break
        return [values] if found_any else None


class BinaryMatcher(Extractor):
    """Bytes in a layout."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._layout = Layout(options["fields"], options["byte_order"], options.get("length"))
        self.names = self._layout.names
        self.prefix = self._layout.prefix

    def match(self, frame: bytes) -> list[Values] | None:
        """Return the values of the layout's fields."""
        values = self._layout.read(frame)
        return None if values is None else [values]


def make_extractor(options: Mapping[str, Any], encoding: str) -> Extractor:
    """Return the matcher of a rule; raise `RegexError` or `LayoutError` if its expressions or its layout are wrong."""
    if "regex" in options:
        return RegexMatcher(options["regex"], encoding)
    if "fields" in options:
        return FieldsMatcher(options["fields"], encoding)
    if "pairs" in options:
        return PairsMatcher(options["pairs"], encoding)
    if "lines" in options:
        return LinesMatcher(options["lines"], encoding)
    return BinaryMatcher(options["binary"])


class Dispatch:
    """Finds the rules that a frame may belong to, by how their frames begin. Keeps their order."""

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


def each_kind(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds that a rule names; it should be one."""
    yield from (kind for kind in KINDS if kind in options)
