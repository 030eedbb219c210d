"""The proof that a regular expression is fast: that Python's `re` has only one way to try. Pure.

An expression is proven to be fast if each repetition in it is of single characters, and is followed by something that
these characters cannot be: then the next character always decides how to continue. One exception costs the square of a
line's length at worst; two or more may cost any time.

To know what can follow what, each part of an expression is reduced to the set of characters that it matches, out of
those that make a difference for this expression.

This uses `re._parser`, the private module that `re` itself parses with. Importing this module raises `ImportError` or
`AttributeError` where it is missing or different; see `safe_regex`.
"""

from __future__ import annotations

import functools
import re
import re._constants as constants  # type: ignore[import-not-found,unused-ignore]
import re._parser as parser  # type: ignore[import-not-found,unused-ignore]
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias


def analyse(text: str, flags: int) -> tuple[int, str]:
    """Return the number of ambiguities of an expression, and the literal text that each match begins with.

    An ambiguity is a place where the next character does not decide how to continue: 0 means linear time, 1 quadratic
    time; 2 or more may mean any time, or that nothing is known. `flags` are those of the compiled expression. Raises
    `re.error`, `OverflowError` or `RecursionError` for what is no expression.
    """
    parsed = parser.parse(text)
    prefix = "" if flags & re.IGNORECASE else _literal_prefix(parsed)
    try:
        return _ambiguities(_Reader(parsed, flags).items(parsed), ()), prefix
    except _UnprovenError:
        return 2, prefix


def _literal_prefix(parsed: Any) -> str:
    prefix = ""
    for code, argument in parsed:
        if code is not constants.LITERAL:
            break
        prefix += chr(argument)
    return prefix


# --- how many ways there are to try


class _Char(NamedTuple):
    """One character out of a set."""

    chars: frozenset[str]


class _Branch(NamedTuple):
    """Alternatives."""

    alternatives: tuple[_Items, ...]


class _Repeat(NamedTuple):
    """A body that is repeated, or optional if `low` is 0 and `high` is 1."""

    low: int
    high: int
    body: _Items


_Items: TypeAlias = "tuple[_Char | _Branch | _Repeat, ...]"


class _UnprovenError(Exception):
    """The expression contains a construct that this proof does not cover."""


def _ambiguities(items: _Items, after: _Items) -> int:
    """Count the ambiguities in `items`, which `after` follows; beyond two of them, more change nothing."""
    count = 0
    for index, item in enumerate(items):
        if count > 1:
            break
        if isinstance(item, _Char):
            continue
        remaining = (*items[index + 1 :], *after)
        if isinstance(item, _Branch):
            count += 0 if _are_distinct(item, remaining) else 1
            count += sum(_ambiguities(alternative, remaining) for alternative in item.alternatives)
            continue
        first, may_be_empty = _first_chars(item.body)
        if item.high > 1:
            # After the body comes the body again, or what follows the repetition. Any ambiguity inside a repetition
            # multiplies with each round, so it counts as two: the time is exponential.
            inner = _ambiguities(item.body, (_Branch((item.body, remaining)),))
            count += 2 if inner or may_be_empty else 0
        else:
            count += _ambiguities(item.body, remaining)
        if item.low != item.high:
            count += may_be_empty or not first.isdisjoint(_first_chars(remaining)[0])
    return count


def _are_distinct(branch: _Branch, remaining: _Items) -> bool:
    """Return whether the first character decides which alternative it is."""
    seen: set[str] = set()
    has_empty_alternative = False
    for alternative in branch.alternatives:
        first, may_be_empty = _first_chars(alternative)
        if may_be_empty:
            first |= _first_chars(remaining)[0]
        if not seen.isdisjoint(first) or (may_be_empty and has_empty_alternative):
            return False
        seen |= first
        has_empty_alternative |= may_be_empty
    return True


def _first_chars(items: _Items) -> tuple[frozenset[str], bool]:
    """Return the characters that a match of `items` can begin with, and whether it can be empty."""
    chars: frozenset[str] = frozenset()
    for item in items:
        if isinstance(item, _Char):
            return chars | item.chars, False
        bodies = item.alternatives if isinstance(item, _Branch) else (item.body,)
        firsts = [_first_chars(body) for body in bodies]
        chars = chars.union(*(first for first, _ in firsts))
        is_optional = isinstance(item, _Repeat) and item.low == 0
        if not is_optional and not any(may_be_empty for _, may_be_empty in firsts):
            return chars, False
    return chars, True


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
_ALPHABET = frozenset(map(chr, range(256))) | frozenset("\u03a9\u0663\u2028\u20ac")
"""Latin-1, and one letter, one digit, one space and one symbol of the characters beyond it."""


class _Reader:
    """Reduces what `re` has parsed to characters, alternatives and repetitions; raises `_UnprovenError` for others."""

    def __init__(self, parsed: Any, flags: int) -> None:
        self._flags = flags
        self._ignores_case = bool(flags & re.IGNORECASE)
        # Each character of the expression, and its neighbours, because a range ends between two characters.
        near = {chr(code + step) for code in _codes(parsed) for step in (-1, 0, 1) if 0 <= code + step < 0x110000}
        self._alphabet = _ALPHABET | near
        if self._ignores_case:
            self._alphabet = frozenset(case for char in self._alphabet for case in _cases(char))

    def items(self, parsed: Any) -> _Items:
        items: list[_Char | _Branch | _Repeat] = []
        for code, argument in parsed:
            if code in _SINGLE:
                items.append(_Char(self._chars(code, argument)))
            elif code in _REPEATS:
                items.append(_Repeat(int(argument[0]), int(argument[1]), self.items(argument[2])))
            elif code is constants.BRANCH:
                items.append(_Branch(tuple(self.items(alternative) for alternative in argument[1])))
            elif code is constants.SUBPATTERN and not argument[1] and not argument[2]:
                items += self.items(argument[3])
            elif code is not constants.AT:  # an anchor matches no character: it can only exclude ways
                raise _UnprovenError
        return tuple(items)

    def _chars(self, code: Any, argument: Any) -> frozenset[str]:
        if code is constants.LITERAL and not self._ignores_case:
            return frozenset(chr(argument))
        matches = self._char_test(code, argument)
        if self._ignores_case:
            return frozenset(char for char in self._alphabet if any(map(matches, _cases(char))))
        return frozenset(filter(matches, self._alphabet))

    def _char_test(self, code: Any, argument: Any) -> Callable[[str], bool]:
        if code is constants.ANY:
            return lambda char: char != "\n" or bool(self._flags & re.DOTALL)
        if code is not constants.IN:
            return lambda char: (ord(char) == argument) is (code is constants.LITERAL)
        is_negated = argument[0][0] is constants.NEGATE
        members = argument[1:] if is_negated else argument
        return lambda char: any(self._is_member(char, *member) for member in members) is not is_negated

    def _is_member(self, char: str, code: Any, argument: Any) -> bool:
        if code is constants.LITERAL:
            return bool(ord(char) == argument)
        if code is constants.RANGE:
            return bool(argument[0] <= ord(char) <= argument[1])
        return _is_in_category(_CATEGORIES[argument], char, self._flags & re.ASCII)


def _codes(part: Any) -> Iterator[int]:
    """Yield all numbers in a parsed expression: its characters are among them."""
    if type(part) is int:
        yield part
    elif isinstance(part, list | tuple | parser.SubPattern):
        for inner in part:
            yield from _codes(inner)


def _cases(char: str) -> set[str]:
    """Return `char` and the characters that equal it where case does not matter."""
    cases = {char, char.lower(), char.upper(), char.lower().upper(), char.upper().lower()}
    return {case for case in cases if len(case) == 1}


@functools.cache
def _is_in_category(category: str, char: str, flags: int) -> bool:
    return re.fullmatch(category, char, flags) is not None
