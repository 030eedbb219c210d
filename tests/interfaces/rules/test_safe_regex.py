"""Regular expressions: those that are proven fast are fast; all others are limited in time or rejected."""

from __future__ import annotations

import itertools
import re
import re._constants as constants  # type: ignore[import-not-found,unused-ignore]
import re._parser as parser  # type: ignore[import-not-found,unused-ignore]
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interfaces.rules.safe_regex import MAX_TEXT, RegexError, SafeRegex

DANGEROUS = [
    "(a+)+b", "(a*)*b", "(a|a)*b", "(a|aa)+b", "(a|ab)*(b|c)*d", "([a-zA-Z]+)*1", "(.*a){12}", "(.*)(.*)(.*)x",
    "(a?){27}a{27}", "(?:a?a?)*b", "(x+x+)+y", r"(\w+\s?)*!", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(\d+)*\.", "(a||b)*c",
    "((a*)b?)*c", "(?:(?:b?|c)c?d)*x", "a*(?:b?|c)a*(?:b?|c)a*x", "(?i)(?:ab|Ab)*c", "(?i)(?:a*A)*b", "(?s)(?:.|\n)*x",
    "(?:\u03a9*)*x", "(?:\u03a9|\u03a9)*x", "(?:[^\u0000-\u00ff]|\\w)*!", "(a+){2,}b", "(?:(?:a?)?(?:b?)?(?:c?)?)x",
    "(a{0,9}){0,9}b", r"(?:a(?=b)|.)*c", r"(a)\1*\1*b", "(?:a*?b?)*?c", "(?>a*)*b", "(?:a++|a)*b", "(?:$|^)*a*a*a*b",
    "(?:a*a*a*x)?b", "(?:a*b?){2}(?:a*c?){2}x", "[a-m]*[a-z]*[a-m]*x", "(?:[ab]c|ac)*d",
    "(?:[\u03a6\u03a8]*)*x",
]  # fmt: skip
HARMLESS = [
    "", "abc", "T (?P<t>-?[0-9.]+)", "[^,]*,[^,]*,[^,]*", r"(?P<k>\w+)=(?P<v>\S*) (?P<u>[A-Z]+)", ".*", "a*b*c*d*",
    "(?:ab|cd)*ef", "(?:[0-9]{1,3}\\.){3}[0-9]{1,3}", "(?P<a>ON|OFF)", r"\s*(?P<n>\d+)\s*", "(?:a|b)*",
    "(?:k=[0-9]+;)*",
    r"(?P<text>.*)\*[0-9A-F]{2}", ".*T=(?P<t>[0-9]+) .*", "^a*$", "(?:a(?:b(?:c)?)?)?", "(?i)on|off", "x{5}", "a??b",
    "(?s)(?P<all>.*)", "(?:\u03a9\u03a8)*", "(?:^a)*b", r"(?:\ba)*b", "(?:a$)?",
    "[+-]?0,.*", "(?:a?|b)c(?:d?|e)f", "[^,;]*,[^,;]*;[^,;]*", r"(?:.|\n)*", "(?:ab|Ab)*c", "[a-m]*[n-z]*[A-M]*x?",
    "(?:[ab]x)*[cd](?:[ab]x)*[cd]",
]  # fmt: skip


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make imports of the library `regex` fail."""
    monkeypatch.setitem(sys.modules, "regex", None)


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_expression_is_proven_fast(text: str, without_library: None) -> None:
    assert SafeRegex(text).is_fast


@pytest.mark.parametrize("text", DANGEROUS)
def test_a_dangerous_expression_is_rejected_without_the_library(text: str, without_library: None) -> None:
    with pytest.raises(RegexError, match="could take unlimited time"):
        SafeRegex(text)


@pytest.mark.parametrize("text", DANGEROUS)
def test_a_dangerous_expression_runs_under_a_time_limit(text: str) -> None:
    """The test is that this ends: without a limit, each expression could take years on one of these lines."""
    expression = SafeRegex(text)
    assert not expression.is_fast
    for line in ("a" * 60, "ab" * 30, "cd" * 30, "\u03a9" * 60, "x" * 60, "1" * 60, "a b " * 15):
        try:
            match = expression.match(line)
        except RegexError as err:
            assert "was stopped after 0.05 s" in str(err)
        else:
            assert match is None or isinstance(match, dict)


def test_an_expression_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(RegexError, match=r"was stopped after 0\.05 s"):
        SafeRegex("(a|aa)+b").match("a" * 60)


@pytest.mark.parametrize("text", [*HARMLESS, *DANGEROUS])
def test_an_expression_matches_as_in_python(text: str) -> None:
    expression = SafeRegex(text)
    for line in ("", "a", "ab", "abc", "b", "aab", "T -1.5", "x1=y z", "on", "\u03a9", "xxxxx", "1.2.3.4"):
        match = re.fullmatch(text, line)
        assert expression.match(line) == (match and match.groupdict())


@pytest.mark.parametrize(
    ("text", "message"),
    [("(", "not a regular expression"), ("a**", "not a regular expression"), ("(?P<a>.)(?P<a>.)", "redefinition"),
     ("a{99999999999}", "not a regular expression"), ("a" * 10_001, "longer than 10000 characters"),
     ("(" * 3000 + ")" * 3000, "not a regular expression")],
)  # fmt: skip
def test_an_invalid_expression_is_rejected(text: str, message: str) -> None:
    with pytest.raises(RegexError, match=message):
        SafeRegex(text)


def test_the_length_of_a_text_is_limited() -> None:
    assert SafeRegex("a*b").match("a" * MAX_TEXT) is None
    with pytest.raises(RegexError, match="at most 1048576"):
        SafeRegex("a*b").match("a" * (MAX_TEXT + 1))
    with pytest.raises(RegexError, match="at most 2048"):
        SafeRegex(".*a.*").match("b" * 2049)


WITHOUT_PROOF = """
import sys
import time
sys.modules["re._parser"] = None  # as in a Python that has no such module
if not has_library:
    sys.modules["regex"] = None
from interfaces.rules.safe_regex import RegexError, SafeRegex
for text in sys.argv[1:]:
    try:
        expression = SafeRegex(text)
        print(expression.is_fast, repr(expression.prefix), expression.match("T 21.5"))
    except RegexError as err:
        print(err)
"""


def run_without_proof(*texts: str, has_library: bool) -> list[str]:
    """Return what a process prints about expressions where Python's private parser is missing."""
    script = f"has_library = {has_library}\n{WITHOUT_PROOF}"
    ran = subprocess.run([sys.executable, "-c", script, *texts], capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


def test_without_the_parser_every_expression_runs_under_a_limit() -> None:
    lines = run_without_proof("T (?P<t>[0-9.]+)", "(a+)+b", "(", has_library=True)
    assert lines[:2] == ["False '' {'t': '21.5'}", "False '' None"]
    assert lines[2].startswith("not a regular expression")


def test_without_the_parser_and_the_library_every_expression_is_refused_with_a_remedy() -> None:
    (line,) = run_without_proof("T (?P<t>[0-9.]+)", has_library=False)
    assert "install the package 'regex'" in line


def test_without_the_parser_a_device_needs_no_library_for_the_default_of_a_text_argument() -> None:
    script = f"has_library = False\n{WITHOUT_PROOF}"
    script += "from interfaces.rules.arguments import Argument\nprint(Argument('name', {}).type)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "text\n"


@pytest.mark.parametrize(
    ("text", "prefix", "names"),
    [("abc", "abc", ()), ("ab*", "a", ()), ("ab|ac", "a", ()), ("a|b", "", ()), ("(?i)abc", "", ()), ("^abc", "", ()),
     (r"\$GP(?P<kind>[A-Z]+),(?P<fields>.*)", "$GP", ("kind", "fields"))],
)  # fmt: skip
def test_the_prefix_and_the_names_of_an_expression(text: str, prefix: str, names: tuple[str, ...]) -> None:
    expression = SafeRegex(text)
    assert (expression.prefix, expression.names) == (prefix, names)


# --- the proof, compared with a matcher that counts its steps


class TooManyStepsError(Exception):
    pass


class CountingMatcher:
    """Matches by backtracking, as `re` does, and counts its steps."""

    def __init__(self, text: str, limit: int) -> None:
        self._items = list(parser.parse(text))
        self._limit = limit
        self.steps = 0

    def matches(self, line: str) -> bool:
        self.steps = 0
        return any(end == len(line) for end in self._ends(self._items, 0, line))

    def _ends(self, items: list[Any], at: int, line: str) -> Iterator[int]:
        """Yield where a match of `items` that begins at `at` may end, in the order in which `re` tries."""
        if not items:
            yield at
            return
        (code, argument), remaining = items[0], items[1:]
        for end in self._item_ends(code, argument, at, line):
            yield from self._ends(remaining, end, line)

    def _item_ends(self, code: Any, argument: Any, at: int, line: str) -> Iterator[int]:
        self.steps += 1
        if self.steps > self._limit:
            raise TooManyStepsError
        if code is constants.SUBPATTERN:
            yield from self._ends(list(argument[3]), at, line)
        elif code is constants.BRANCH:
            for way in argument[1]:
                yield from self._ends(list(way), at, line)
        elif code is constants.MAX_REPEAT:
            yield from self._repeats(argument[0], argument[1], list(argument[2]), at, line)
        elif at < len(line) and self._matches_char(code, argument, line[at]):
            yield at + 1

    def _repeats(self, low: int, high: int, body: list[Any], at: int, line: str) -> Iterator[int]:
        if high > 0:
            for end in self._ends(body, at, line):
                if end > at or low > 0:  # one more empty repetition changes nothing
                    yield from self._repeats(max(0, low - 1), high - 1, body, end, line)
        if low == 0:
            yield at

    @staticmethod
    def _matches_char(code: Any, argument: Any, char: str) -> bool:
        if code is constants.IN:
            return any(ord(char) == each for _, each in argument)
        return code is constants.ANY or bool(ord(char) == argument)


_expressions = st.recursive(
    st.sampled_from(["a", "b", ".", "ab", "c"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        inner.map(lambda text: f"({text}|)"),
        st.tuples(inner, st.sampled_from("*+?")).map(lambda pair: f"({pair[0]}){pair[1]}"),
    ),
    max_leaves=7,
)
_LINES = [
    (("".join(word) * 27)[:27] + end)
    for length in (1, 2, 3)
    for word in itertools.product("abc", repeat=length)
    for end in ("", "!")
]


@settings(max_examples=400)
@given(_expressions, st.sampled_from(_LINES))
def test_the_counting_matcher_agrees_with_python(text: str, line: str) -> None:
    """The matcher of the next test is correct."""
    matcher = CountingMatcher(text, 100_000)
    try:
        assert matcher.matches(line[:9]) is (re.fullmatch(text, line[:9]) is not None)
    except TooManyStepsError:
        assert not SafeRegex(text).is_fast


@settings(max_examples=500)
@given(_expressions)
@example("((b(ab)?|bbb))+")
@example("(((a)?)?b)+.c")
@example("((a((b)*)?)*)?")
@example("((((b|)|c)(c|)a)*)*c")
def test_a_proven_expression_takes_few_steps_on_any_line(text: str) -> None:
    """At worst the square of a line's length, for each character of the expression."""
    if not SafeRegex(text).is_fast:
        return
    matcher = CountingMatcher(text, len(text) * 28**2)
    for line in _LINES:
        matcher.matches(line)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 6 + "a+" + ")+" * 6,
        "(?x)# [\n" + "(" * 6 + "a+" + ") *" * 6 + "#]",
        "[(]" * 9 + "(?:" * 6 + "a*" + "){1,9}" * 6,
        r"[)]\(" + "(?:" * 6 + "a*" + ")*?" * 6,
    ],
)
def test_repetitions_in_many_repetitions_are_rejected(text: str) -> None:
    """With each, `regex` needs twice the memory to compile it: 90 of them, in 400 characters, ended the process."""
    with pytest.raises(RegexError, match="more than 5 repetitions inside each other: rewrite it with fewer of them"):
        SafeRegex(text)


def test_a_few_repetitions_in_repetitions_are_accepted() -> None:
    assert SafeRegex("(" * 5 + "a+" + ")+" * 5).match("aaa") is not None
    assert SafeRegex(r"(?:\(a+\)+)*" * 9).match("(a)") == {}


def test_a_long_expression_is_analysed_in_a_moment() -> None:
    """The time grew with the square of its length: 20 s for this one, of a thread of the page and of the data path."""
    began = time.process_time()
    SafeRegex("a?" * 4900 + "a" * 100)
    assert time.process_time() - began < 5
