"""Regular expressions that cannot hold a thread: shown to be fast, or bounded by time, or refused. Pure.

Python's `re` tries, for some expressions, a number of ways that doubles with each character. An
expression is shown to be fast here if each repetition in it is of single characters and is followed by
something that these characters cannot be: then there is only one way to try. One repetition may be an
exception, which costs the square of a line's length at worst. Everything else runs under a time limit in
the library `regex`, if that is installed.

To know what can follow what, each part of an expression is reduced to the set of the characters that it takes,
out of those that make a difference for this expression.
"""

from __future__ import annotations

import functools
import re
import re._constants as constants  # type: ignore[import-not-found,unused-ignore]
import re._parser as parser  # type: ignore[import-not-found,unused-ignore]
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

from gateway.errors import GatewayError

TIME_LIMIT = 0.05  # s for one frame; a good expression needs some microseconds
MAX_TEXT = 1_048_576  # characters of a frame
_LONGEST_SQUARE = 2048  # characters, where the time grows with their square: some hundredths of a second
_MAX_LENGTH = 10_000  # characters of an expression


class RegexError(GatewayError):
    """An expression is wrong, could take for ever and cannot be bounded, or took too long on a frame."""


class SafeRegex:
    """A regular expression for whole frames; `names` are its named groups, `prefix` how each match begins."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_LENGTH:
            raise RegexError(f"over {_MAX_LENGTH} characters long")
        try:
            compiled = re.compile(text)
            parsed = parser.parse(text)
            doubts = _doubts_of(parsed, compiled.flags)
        except (re.error, OverflowError, RecursionError) as err:
            raise RegexError(f"not a regular expression: {err}") from err
        self.text = text
        self.names: tuple[str, ...] = tuple(compiled.groupindex)
        self.prefix = _literal_prefix(parsed) if not compiled.flags & re.IGNORECASE else ""
        self.is_fast = doubts <= 1
        self._longest = _LONGEST_SQUARE if doubts == 1 else MAX_TEXT
        self._try: Callable[[str], Any] = compiled.fullmatch
        if not self.is_fast:
            self._bound()
        self.fullmatch: Callable[[str], Any] = self._within_bounds if doubts else compiled.fullmatch
        """As that of `re`, for a frame, which has `MAX_TEXT` at most; raises `RegexError` if it would take too long."""

    def _bound(self) -> None:
        if find_spec("regex") is None:
            raise RegexError(
                "this expression could try for ever on a line that nearly matches: write it without a repetition "
                "inside a repetition, or install the package 'regex' beside the gateway (pip install regex), which "
                "stops it in time"
            )
        import regex  # only where it is needed

        try:
            self._try = functools.partial(regex.compile(self.text).fullmatch, timeout=TIME_LIMIT)
        except regex.error as err:
            raise RegexError(f"not a regular expression: {err}") from err

    def match(self, text: str) -> dict[str, str | None] | None:
        """Return the named groups if the whole `text` matches, or None; raise `RegexError` if that takes too long."""
        found = self._within_bounds(text)
        return None if found is None else found.groupdict()

    def _within_bounds(self, text: str) -> Any:
        if not text.startswith(self.prefix):
            return None
        if len(text) > self._longest:
            raise RegexError(f"{len(text)} characters are too many for this expression (at most {self._longest})")
        try:
            return self._try(text)
        except TimeoutError:
            raise RegexError(f"the expression was stopped after {TIME_LIMIT} s") from None


@functools.lru_cache(maxsize=1000)
def safe_regex(text: str) -> SafeRegex:
    """Return the expression `text`; a thousand devices of one kind have it but once. Raises `RegexError`."""
    return SafeRegex(text)


def _literal_prefix(parsed: Any) -> str:
    prefix = ""
    for code, argument in parsed:
        if code is not constants.LITERAL:
            break
        prefix += chr(argument)
    return prefix


# --- how many ways there are to try


class _One(NamedTuple):
    """One character out of some."""

    chars: frozenset[str]


class _Branch(NamedTuple):
    """Alternatives."""

    ways: tuple[_Items, ...]


class _Repeat(NamedTuple):
    """Something several times, or perhaps not at all."""

    low: int
    high: int
    body: _Items


_Items: TypeAlias = "tuple[_One | _Branch | _Repeat, ...]"


class _NotShown(Exception):  # noqa: N818
    """There is something in the expression that nothing is known about here."""


def _doubts_of(parsed: Any, flags: int) -> int:
    """Count the places where the next character does not decide how to go on; 2 or more may mean any number."""
    try:
        return _doubts(_Reader(parsed, flags).items(parsed), ())
    except _NotShown:
        return 2


def _doubts(items: _Items, after: _Items) -> int:
    """Count the doubts in `items`, which `after` follows."""
    doubts = 0
    for index, item in enumerate(items):
        if isinstance(item, _One):
            continue
        rest = (*items[index + 1 :], *after)
        if isinstance(item, _Branch):
            doubts += 0 if _are_distinct(item, rest) else 1
            doubts += sum(_doubts(way, rest) for way in item.ways)
            continue
        first, may_be_empty = _begin(item.body)
        if item.high > 1:
            # What follows the body: the body again, or what follows the whole.
            inner = _doubts(item.body, (_Branch((item.body, rest)),))
            doubts += 2 if inner or may_be_empty else 0
        else:
            doubts += _doubts(item.body, rest)
        if item.low != item.high:
            doubts += may_be_empty or not first.isdisjoint(_begin(rest)[0])
    return doubts


def _are_distinct(branch: _Branch, rest: _Items) -> bool:
    """Tell whether the first character decides which alternative it is."""
    seen: set[str] = set()
    has_empty_way = False
    for way in branch.ways:
        first, may_be_empty = _begin(way)
        if may_be_empty:
            first |= _begin(rest)[0]
        if not seen.isdisjoint(first) or (may_be_empty and has_empty_way):
            return False
        seen |= first
        has_empty_way |= may_be_empty
    return True


def _begin(items: _Items) -> tuple[frozenset[str], bool]:
    """Return what a match of `items` can begin with, and whether it can be empty."""
    found: frozenset[str] = frozenset()
    for item in items:
        if isinstance(item, _One):
            return found | item.chars, False
        begins = [_begin(way) for way in (item.ways if isinstance(item, _Branch) else (item.body,))]
        found = found.union(*(first for first, _ in begins))
        if not any(may_be_empty for _, may_be_empty in begins) and not (isinstance(item, _Repeat) and item.low == 0):
            return found, False
    return found, True


# --- from Python's parsed expressions to sets of characters

_REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT)
_SINGLE = (constants.LITERAL, constants.NOT_LITERAL, constants.IN, constants.ANY)
_CATEGORIES = {
    constants.CATEGORY_DIGIT: r"\d",
    constants.CATEGORY_NOT_DIGIT: r"\D",
    constants.CATEGORY_SPACE: r"\s",
    constants.CATEGORY_NOT_SPACE: r"\S",
    constants.CATEGORY_WORD: r"\w",
    constants.CATEGORY_NOT_WORD: r"\W",
}
_LETTERS = frozenset(map(chr, range(256))) | frozenset("\u03a9\u0663\u2028\u20ac")
"""Latin-1, and of what is beyond one letter, one digit, one space and one sign."""


class _Reader:
    """Reduces what `re` has parsed; raises `_NotShown` for what is more than characters, alternatives, repetitions."""

    def __init__(self, parsed: Any, flags: int) -> None:
        self._flags = flags
        self._is_blind = bool(flags & re.IGNORECASE)
        near = {chr(code + step) for code in _codes(parsed) for step in (-1, 0, 1) if 0 <= code + step < 0x110000}
        self._letters = _LETTERS | near
        if self._is_blind:
            self._letters = frozenset(case for char in self._letters for case in _cases(char))

    def items(self, parsed: Any) -> _Items:
        items: list[_One | _Branch | _Repeat] = []
        for code, argument in parsed:
            if code in _SINGLE:
                items.append(_One(self._chars(code, argument)))
            elif code in _REPEATS:
                items.append(_Repeat(int(argument[0]), int(argument[1]), self.items(argument[2])))
            elif code is constants.BRANCH:
                items.append(_Branch(tuple(self.items(way) for way in argument[1])))
            elif code is constants.SUBPATTERN and not argument[1] and not argument[2]:
                items += self.items(argument[3])
            elif code is not constants.AT:  # an anchor takes no character: it can only rule ways out
                raise _NotShown
        return tuple(items)

    def _chars(self, code: Any, argument: Any) -> frozenset[str]:
        if code is constants.LITERAL and not self._is_blind:
            return frozenset(chr(argument))
        takes = self._taker(code, argument)
        if self._is_blind:
            return frozenset(char for char in self._letters if any(map(takes, _cases(char))))
        return frozenset(filter(takes, self._letters))

    def _taker(self, code: Any, argument: Any) -> Callable[[str], bool]:
        if code is constants.ANY:
            return lambda char: char != "\n" or bool(self._flags & re.DOTALL)
        if code is not constants.IN:
            return lambda char: (ord(char) == argument) is (code is constants.LITERAL)
        is_negated = argument[0][0] is constants.NEGATE
        members = argument[1:] if is_negated else argument
        return lambda char: any(self._is_in(char, *member) for member in members) is not is_negated

    def _is_in(self, char: str, code: Any, argument: Any) -> bool:
        if code is constants.LITERAL:
            return bool(ord(char) == argument)
        if code is constants.RANGE:
            return bool(argument[0] <= ord(char) <= argument[1])
        return _is_of(_CATEGORIES[argument], char, self._flags & re.ASCII)


def _codes(part: Any) -> Iterator[int]:
    """Yield all numbers in a parsed expression: its characters are among them."""
    if type(part) is int:
        yield part
    elif isinstance(part, list | tuple | parser.SubPattern):
        for inner in part:
            yield from _codes(inner)


def _cases(char: str) -> set[str]:
    """Return `char` and what it equals where case does not matter."""
    found = {char, char.lower(), char.upper(), char.lower().upper(), char.upper().lower()}
    return {case for case in found if len(case) == 1}


@functools.cache
def _is_of(category: str, char: str, flags: int) -> bool:
    return re.fullmatch(category, char, flags) is not None
