"""Regular expressions that cannot hold a thread: shown to be fast, or bounded by time, or refused. Pure.

Python's `re` tries, for some expressions, a number of ways that doubles with each character. An
expression is shown to be fast here if each repetition in it is of single characters and is followed by
something that these characters cannot be: then there is only one way to try. One repetition may be an
exception, which costs the square of a line's length at worst. Everything else runs under a time limit in
the library `regex`, if that is installed.
"""

from __future__ import annotations

import re
import re._constants as constants  # type: ignore[import-not-found,unused-ignore]
import re._parser as parser  # type: ignore[import-not-found,unused-ignore]
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, TypeAlias

from gateway.errors import GatewayError

TIME_LIMIT = 0.05  # s for one frame; a good expression needs some microseconds
MAX_TEXT = 1_048_576  # characters of a frame
_LONGEST_SQUARE = 8192  # characters, where the time grows with their square: some tenths of a second
_MAX_LENGTH = 10_000  # characters of an expression


class RegexError(GatewayError):
    """An expression is wrong, could take for ever and cannot be bounded, or took too long on a frame."""


class SafeRegex:
    """A regular expression for whole frames; `names` are its named groups, `prefix` how each match begins."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_LENGTH:
            raise RegexError(f"over {_MAX_LENGTH} characters long")
        try:
            self._compiled: Any = re.compile(text)
            parsed = parser.parse(text)
        except (re.error, OverflowError, RecursionError) as err:
            raise RegexError(f"not a regular expression: {err}") from err
        self.text = text
        self.names: tuple[str, ...] = tuple(self._compiled.groupindex)
        self.prefix = _literal_prefix(parsed) if not self._compiled.flags & re.IGNORECASE else ""
        doubts = _doubts(parsed)
        self.is_fast = doubts <= 1
        self._longest = _LONGEST_SQUARE if doubts else MAX_TEXT
        self._options: dict[str, float] = {}
        if not self.is_fast:
            self._longest = MAX_TEXT
            self._bound()

    def _bound(self) -> None:
        if find_spec("regex") is None:
            raise RegexError(
                "this expression could try for ever on a line that nearly matches: write it without a repetition "
                "inside a repetition, or pip install 'mqttgateway[regex]', which stops it in time"
            )
        import regex  # only where it is needed

        try:
            self._compiled = regex.compile(self.text)
        except regex.error as err:
            raise RegexError(f"not a regular expression: {err}") from err
        self._options = {"timeout": TIME_LIMIT}

    def match(self, text: str) -> Mapping[str, str | None] | None:
        """Return the named groups if the whole `text` matches, or None; raise `RegexError` if that takes too long."""
        if len(text) > self._longest:
            raise RegexError(f"{len(text)} characters are too many for this expression (at most {self._longest})")
        try:
            found = self._compiled.fullmatch(text, **self._options)
        except TimeoutError:
            raise RegexError(f"the expression was stopped after {TIME_LIMIT} s") from None
        return None if found is None else found.groupdict()


def _literal_prefix(parsed: Any) -> str:
    prefix = ""
    for code, argument in parsed:
        if code is not constants.LITERAL:
            break
        prefix += chr(argument)
    return prefix


_Items: TypeAlias = list[tuple[Any, Any]]  # of an expression: what, and its arguments

_REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT)
_SINGLE = (constants.LITERAL, constants.NOT_LITERAL, constants.IN, constants.ANY)


def _doubts(parsed: Any) -> int:
    """Count the places where there is more than one way to try; 2 or more may mean any number."""
    items = _flattened(parsed)
    return 2 if items is None else _count(items, [])


def _count(items: _Items, after: _Items) -> int:
    """Count the doubts in `items`, which `after` follows."""
    doubts = 0
    for index, (code, argument) in enumerate(items):
        rest = [*items[index + 1 :], *after]
        if code is constants.BRANCH:
            doubts += not _are_distinct(argument)
            doubts += sum(_count(branch, rest) for branch in argument)
        elif code in _REPEATS:
            low, high, body = argument
            if not body:
                return 2
            # What follows the body: the body again, or what follows the whole.
            again = high is constants.MAXREPEAT or high > 1
            inner = _count(body, [(constants.BRANCH, [body, *([rest] if rest else [])])] if again else rest)
            doubts += 2 if again and inner else inner
            if low != high:
                doubts += not all(_ends_clearly(first, rest) for first in _firsts(body))
    return doubts


def _firsts(items: _Items) -> list[tuple[Any, Any]]:
    """Return what a match of `items` can begin with."""
    found: list[tuple[Any, Any]] = []
    for code, argument in items:
        if code is constants.BRANCH:
            return found + [first for branch in argument for first in _firsts(branch)]
        if code not in _REPEATS:
            return [*found, (code, argument)]
        found += _firsts(argument[2])
        if argument[0]:
            return found
    return found


def _are_distinct(branches: Sequence[_Items]) -> bool:
    """Tell whether the first character decides which alternative it is."""
    firsts = [_firsts(branch) for branch in branches]
    return all(firsts) and not any(
        _overlap(one, other)
        for index, ones in enumerate(firsts)
        for others in firsts[index + 1 :]
        for one in ones
        for other in others
    )


def _flattened(parsed: Any) -> _Items | None:
    """Return the items of an expression in a row, its plain groups opened; None if something else is in it."""
    items: _Items = []
    for code, argument in parsed:
        if code is constants.SUBPATTERN:
            inner = _flattened(argument[3])
            if inner is None or argument[1] or argument[2]:
                return None
            items += inner
        elif code in _REPEATS:
            body = _flattened(argument[2])
            if body is None:
                return None
            items.append((code, (argument[0], argument[1], body)))
        elif code is constants.BRANCH:
            branches = [_flattened(branch) for branch in argument[1]]
            if any(branch is None for branch in branches):
                return None
            items.append((code, branches))
        elif code in _SINGLE or code is constants.AT:
            items.append((code, argument))
        else:
            return None
    return items


def _ends_clearly(single: tuple[Any, Any], rest: _Items) -> bool:
    """Tell whether what follows a repetition of `single` cannot begin with one more of it."""
    following = [item for item in rest if item[0] is not constants.AT]
    return not any(_overlap(single, first) for first in _firsts(following))


def _overlap(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    if other[0] not in _SINGLE:
        return True
    return any(_takes(one, char) and _takes(other, char) for char in _ALPHABET)


_ALPHABET = [chr(number) for number in range(256)] + ["\u20ac"]  # Latin-1, and one for all that is beyond


def _takes(single: tuple[Any, Any], char: str) -> bool:
    code, argument = single
    if code is constants.LITERAL:
        return bool(ord(char) == argument)
    if code is constants.NOT_LITERAL:
        return bool(ord(char) != argument)
    if code is constants.ANY:
        return char != "\n"
    negated = argument[0][0] is constants.NEGATE
    found = any(_in_set(item, char) for item in argument if item[0] is not constants.NEGATE)
    return found is not negated


_CATEGORIES = {
    constants.CATEGORY_DIGIT: r"\d",
    constants.CATEGORY_NOT_DIGIT: r"\D",
    constants.CATEGORY_SPACE: r"\s",
    constants.CATEGORY_NOT_SPACE: r"\S",
    constants.CATEGORY_WORD: r"\w",
    constants.CATEGORY_NOT_WORD: r"\W",
}


def _in_set(item: tuple[Any, Any], char: str) -> bool:
    code, argument = item
    if code is constants.LITERAL:
        return bool(ord(char) == argument)
    if code is constants.RANGE:
        return bool(argument[0] <= ord(char) <= argument[1])
    return re.fullmatch(_CATEGORIES[argument], char) is not None
