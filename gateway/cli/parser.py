"""The parser of the command line. For a typing error, its error text suggests what was probably meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from gateway.core.paths import NAME

_EXIT_USAGE = 2  # as of argparse itself

_FILE = re.compile(r".*\.(conf|cfg|ini|ya?ml|json)", re.IGNORECASE | re.DOTALL)
_CHOICE = re.compile(r"invalid choice: (['\"])(?P<word>.*?)\1 \(choose from (?P<known>.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with a remedy, and a line that names the help."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.long_options: list[str] = []
        super().__init__(*args, **options)
        self.set_defaults(parser=self)  # the parser of the command replaces that of the program

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument, as `argparse` does, and remember its long options for suggestions."""
        self.long_options += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the options; exit with 2 and a suggestion if there are unknown arguments."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}{_hint(unknown[0], options.parser)}")
        return options

    def error(self, message: str) -> NoReturn:
        """Write `message`, with a suggestion, to standard error; exit with 2."""
        choice = _CHOICE.search(message)  # this part of the text is the same in every version of Python
        if choice is not None:
            hint = _choice_hint(choice["word"], re.findall(r"[\w-]+", choice["known"]), is_command=self.prog == NAME)
            message = f"{choice['word']!r} is not known here{hint}" if hint else message
        self.exit(_EXIT_USAGE, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def _choice_hint(word: str, choices: Sequence[str], *, is_command: bool) -> str:
    """Return what was probably meant with a word that is none of the `known` ones, or an empty text."""
    if is_command and _FILE.fullmatch(word):
        return f": run a configuration with '{NAME} --conf {word}', check it with '{NAME} check --conf {word}'"
    if is_command and word in ("run", "start"):
        return f": a gateway is run without a command: {NAME} --conf FILE"
    if is_command and word in ("help", "version"):
        return f": did you mean '--{word}'?"
    if _FILE.fullmatch(word) and "check" in choices:
        return f": to check it: {NAME} map check {word}"
    return _near(word, choices)


def _hint(argument: str, parser: Parser) -> str:
    """Return what was probably meant with an argument that the parser does not know, or an empty text."""
    argument = argument.partition("=")[0]
    options = parser.long_options
    if not argument.startswith("-"):
        option = "--conf" if _FILE.fullmatch(argument) else "--action"
        return f": did you mean {option} {argument}?" if option in options else ""
    if argument == "--conf":
        return f": '{parser.prog}' takes its file without this option"
    if re.fullmatch(r"-\w", argument):
        likely = [repr(option) for option in options if option[2] == argument[1]]
        return f": did you mean {' or '.join(likely)}?" if likely else ""
    return _near(argument, options)


def _near(word: str, choices: Sequence[str]) -> str:
    import difflib  # not at the top: a run does not need it

    close = difflib.get_close_matches(word, choices, n=1)
    return f": did you mean {close[0]!r}?" if close else ""
