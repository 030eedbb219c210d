"""The parser of the command line: of a slip, its error says what was probably meant; and types of values."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from gateway.core.paths import NAME

_EXIT_USAGE = 2  # as of argparse itself
_LONGEST_WAIT = 86_400  # s

_FILE = re.compile(r".*\.(conf|cfg|ini|ya?ml|json)", re.IGNORECASE | re.DOTALL)
_CHOICE = re.compile(r"invalid choice: (['\"])(?P<given>.*?)\1 \(choose from (?P<known>.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with a remedy, and where to look."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.long_options: list[str] = []
        super().__init__(*args, **options)
        self.set_defaults(parser=self)  # of a command line: that of its command

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument, as `argparse` does."""
        self.long_options += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the options; end with 2 and a hint if there is something too much."""
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            options.parser.error(f"unrecognized arguments: {' '.join(rest)}{_hint(rest[0], options.parser)}")
        return options

    def error(self, message: str) -> NoReturn:
        """Write what is wrong to standard error; end with 2."""
        wrong = _CHOICE.search(message)  # the same in every version of Python; what stands before differs
        if wrong is not None:
            hint = _hint_at_choice(wrong["given"], re.findall(r"[\w-]+", wrong["known"]), is_first=self.prog == NAME)
            message = f"{wrong['given']!r} is not known here{hint}" if hint else message
        self.exit(_EXIT_USAGE, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def _hint_at_choice(given: str, known: Sequence[str], *, is_first: bool) -> str:
    """Return what was probably meant with a word that is none of `known`, those of the commands if it is the first."""
    if is_first and _FILE.fullmatch(given):
        return f": run a configuration with '{NAME} --conf {given}', check it with '{NAME} check --conf {given}'"
    if is_first and given in ("run", "start"):
        return f": a gateway is run without a command: {NAME} --conf FILE"
    if is_first and given in ("help", "version"):
        return f": did you mean '--{given}'?"
    if _FILE.fullmatch(given) and "check" in known:
        return f": to check it: {NAME} map check {given}"
    return _near(given, known)


def _hint(given: str, parser: Parser) -> str:
    """Return what was probably meant with an argument that is too much, or an empty text."""
    given = given.partition("=")[0]
    known = parser.long_options
    if not given.startswith("-"):
        option = "--conf" if _FILE.fullmatch(given) else "--action"
        return f": did you mean {option} {given}?" if option in known else ""
    if given == "--conf":
        return f": '{parser.prog}' takes its file without it"
    if re.fullmatch(r"-\w", given):
        meant = [repr(option) for option in known if option[2] == given[1]]
        return f": did you mean {' or '.join(meant)}?" if meant else ""
    return _near(given, known)


def _near(given: str, known: Sequence[str]) -> str:
    import difflib  # only where something is wrong

    close = difflib.get_close_matches(given, known, n=1)
    return f": did you mean {close[0]!r}?" if close else ""


def seconds(text: str) -> float:
    """Return a time in seconds, of a day at most; raise `ArgumentTypeError` for anything else."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= _LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"expected seconds from 0 to {_LONGEST_WAIT}, such as 5, found {text!a}")
    return found


def positive(text: str) -> int:
    """Return a whole number of at least 1; raise `ArgumentTypeError` for anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!a}")
    return int(text)
