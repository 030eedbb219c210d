"""Regular expressions that cannot block a thread: proven to be fast, or limited in time, or rejected. Pure.

For some expressions, the number of ways that Python's `re` tries doubles with each character: one frame could block
its thread for years. `regex_proof` proves most expressions to be fast; these run in `re`. All others run under a time
limit in the library `regex`, if it is installed, and are rejected if not.

The proof needs a private module of Python. Where that is missing, no expression counts as proven.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeAlias

from gateway.core.deadline import check_deadline
from gateway.errors import GatewayError

_Analyse: TypeAlias = Callable[[str, int], tuple[int, str]]


def _load_proof() -> _Analyse | None:
    """Return the function that counts ambiguities; None where Python has no `re._parser`, or a different one."""
    try:
        from interfaces.rules.regex_proof import analyse
    except (ImportError, AttributeError):
        return None
    return analyse


_analyse = _load_proof()

TIME_LIMIT = 0.05  # s for one frame; an ordinary expression needs some microseconds
MAX_TEXT = 1_048_576  # characters of a frame
_MAX_QUADRATIC_TEXT = 2048  # characters, where the time grows with their square: some hundredths of a second
_MAX_EXPRESSION = 10_000  # characters of an expression
_MOST_NESTED = 5  # repetitions of groups inside each other: with each, `regex` needs twice the memory to compile it
_PART = re.compile(r"\\.|\(|\)\s*([*+?{])?", re.DOTALL)


class RegexError(GatewayError):
    """An expression is invalid, could take unlimited time and cannot be stopped, or took too long on a frame."""


class SafeRegex:
    """A regular expression for whole frames; `names` are its named groups, `prefix` is how each match begins.

    `is_fast` is true if the expression is proven to need no time limit.
    """

    def __init__(self, text: str) -> None:
        check_deadline()
        if len(text) > _MAX_EXPRESSION:
            raise RegexError(f"longer than {_MAX_EXPRESSION} characters")
        try:
            compiled = re.compile(text)
            ambiguities, self.prefix = _analyse(text, compiled.flags) if _analyse is not None else (None, "")
        except (re.error, OverflowError, RecursionError) as err:
            raise RegexError(f"not a regular expression: {err}") from err
        self.text = text
        self.names: tuple[str, ...] = tuple(compiled.groupindex)
        self.is_fast = ambiguities is not None and ambiguities <= 1
        self._max_text = _MAX_QUADRATIC_TEXT if ambiguities == 1 else MAX_TEXT
        self._fullmatch: Callable[[str], Any] = compiled.fullmatch
        if not self.is_fast:
            self._fullmatch = self._time_limited()
        self.fullmatch: Callable[[str], Any] = compiled.fullmatch if ambiguities == 0 else self._fullmatch_checked
        """As the function of `re`, for a frame of at most `MAX_TEXT` characters.

        Raises `RegexError` if it would take too long.
        """

    def _time_limited(self) -> Callable[[str], Any]:
        """Return the `fullmatch` of the library `regex`, under a time limit; raise `RegexError` if there is none."""
        if find_spec("regex") is None:
            if _analyse is None:
                raise RegexError(
                    "this version of Python offers no way to prove that an expression is fast: install the package "
                    "'regex' in the environment of the gateway (pip install regex), which stops an expression in time"
                )
            raise RegexError(
                "this expression could take unlimited time on a line that nearly matches: rewrite it without a "
                "repetition inside a repetition, or install the package 'regex' in the environment of the gateway "
                "(pip install regex), which stops it in time"
            )
        if _nested(self.text) > _MOST_NESTED:
            raise RegexError(f"more than {_MOST_NESTED} repetitions inside each other: rewrite it with fewer of them")
        import regex  # only where it is needed

        try:
            return functools.partial(regex.compile(self.text).fullmatch, timeout=TIME_LIMIT)
        except regex.error as err:
            raise RegexError(f"not a regular expression: {err}") from err

    def match(self, text: str) -> dict[str, str | None] | None:
        """Return the named groups if the whole `text` matches, or None; raise `RegexError` if that takes too long."""
        match = self._fullmatch_checked(text)
        return None if match is None else match.groupdict()

    def _fullmatch_checked(self, text: str) -> Any:
        if not text.startswith(self.prefix):
            return None
        check_deadline()
        if len(text) > self._max_text:
            raise RegexError(f"{len(text)} characters are too many for this expression (at most {self._max_text})")
        try:
            return self._fullmatch(text)
        except TimeoutError:
            raise RegexError(f"the expression was stopped after {TIME_LIMIT} s") from None


def _nested(text: str) -> int:
    """Return how many repetitions of groups are inside each other; rather too many than too few.

    Parentheses in classes and comments are counted, too: those that have no partner do not lessen the count.
    """
    depths = [0]
    for part in _PART.finditer(text):
        if part[0] == "(":
            depths.append(0)
        elif part[0][0] == ")":
            depth = depths.pop() + (part[1] is not None)
            depths = depths or [0]
            depths[-1] = max(depths[-1], depth)
    return max(depths)


@functools.lru_cache(maxsize=1000)
def safe_regex(text: str) -> SafeRegex:
    """Return the expression `text`, shared by all rules that have the same one. Raises `RegexError`."""
    return SafeRegex(text)
