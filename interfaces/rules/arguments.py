"""The arguments of a command: which values are allowed, and how they are written. Pure."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from gateway.devices.argument_values import TYPE_WORDS, is_same, read_boolean, read_integer, read_number
from gateway.errors import Problem
from gateway.message import OUTCOME_WORDS, InternalMsg, reserved_argument
from interfaces.rules.content import CONTROL
from interfaces.rules.conversion import ConversionError
from interfaces.rules.converters import pipeline
from interfaces.rules.message_template import CodecError
from interfaces.rules.safe_regex import RegexError, safe_regex

_DEFAULT_PATTERN = re.compile(r"[A-Za-z0-9 ._+-]*")
"""What a text argument may contain unless its `pattern` allows other text. Known to be fast, so it needs no proof."""

_DEFAULT_MAX_LENGTH = 100  # characters of a text argument unless `max_length` sets another limit

_LIMITS = ("minimum", "maximum", "multiple_of")

_READERS: Mapping[str, Callable[[Any], Any]] = {
    "integer": read_integer,
    "number": read_number,
    "boolean": read_boolean,
    "text": lambda value: value if isinstance(value, str) else None,
}
"""How an argument of each type is read: clients send numbers and booleans as text, too."""


class Argument:
    """An argument of a command: which values are allowed, and how it is written."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self._options = options
        self.type: str = options.get("type", "text")
        self._converter = pipeline(options["convert"]) if "convert" in options else None
        pattern = options.get("pattern")
        self._matches: Callable[[str], Any] = (
            _DEFAULT_PATTERN.fullmatch if pattern is None else safe_regex(pattern).match
        )

    def value_of(self, msg: InternalMsg) -> Any:
        """Return the value that `msg` has for it, in its type; raise `CodecError` with what is wrong with it."""
        if self.name not in msg.arguments and "default" not in self._options:
            raise CodecError(f"argument {self.name!a} is missing")
        received = msg.argument(self.name, self._options.get("default"))
        value = _READERS[self.type](received)
        if value is None:
            quoted = f': put it in quotes: "{received}"' if self.type == "text" and type(received) is int else ""
            raise CodecError(f"argument {self.name!a} is {as_text(received)}: expected {TYPE_WORDS[self.type]}{quoted}")
        self._check(value)
        return value

    def example(self) -> str:
        """Return the text of a value that it may have; the last candidate if none of them is allowed."""
        options = self._options
        candidates = [*options.get("choices", ()), *(options[limit] for limit in _LIMITS if limit in options), "1", "A"]
        for candidate in candidates:
            with contextlib.suppress(CodecError):
                self.value_of(InternalMsg(True, arguments={self.name: candidate}))
                break
        return str(candidate)

    def written(self, value: Any) -> Any:
        """Return what is written for `value`; raise `CodecError` if it cannot be written."""
        if self._converter is not None:
            try:
                value = self._converter.write(value)
            except ConversionError as err:
                raise CodecError(f"argument {self.name!a}: {err}") from err
        if isinstance(value, str) and CONTROL.search(value):
            raise CodecError(f"argument {self.name!a} contains a control character")
        return value

    def _check(self, value: Any) -> None:
        options = self._options
        if "choices" in options and not any(is_same(value, choice) for choice in options["choices"]):
            choices = ", ".join(map(str, options["choices"]))
            raise CodecError(f"argument {self.name!a} is {as_text(value)}: expected one of {choices}")
        if "minimum" in options and value < options["minimum"]:
            raise CodecError(f"argument {self.name!a} is {as_text(value)}: expected at least {options['minimum']}")
        if "maximum" in options and value > options["maximum"]:
            raise CodecError(f"argument {self.name!a} is {as_text(value)}: expected at most {options['maximum']}")
        if "multiple_of" in options and _exact(value) % _exact(options["multiple_of"]):
            raise CodecError(
                f"argument {self.name!a} is {as_text(value)}: expected a multiple of {options['multiple_of']}"
            )
        if self.type == "text" and "choices" not in options:
            self._check_text(value)

    def _check_text(self, text: str) -> None:
        longest = self._options.get("max_length", _DEFAULT_MAX_LENGTH)
        if len(text) > longest:
            raise CodecError(f"argument {self.name!a} has {len(text)} characters: expected at most {longest}")
        try:
            is_allowed = self._matches(text) is not None
        except RegexError as err:
            raise CodecError(f"argument {self.name!a}: {err}") from err
        if not is_allowed:
            pattern = self._options.get("pattern")
            what = (
                "it contains characters that are not allowed"
                if pattern is None
                else f"expected a text that matches {pattern!a}"
            )
            raise CodecError(f"argument {self.name!a} is {as_text(text)}: {what}")


def check_argument(name: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the options of an argument; paths begin at the rule."""
    if name in OUTCOME_WORDS:
        yield Problem(("arguments", name), reserved_argument(name), "use another word")
    for limit in _LIMITS:
        if limit in options and options.get("type", "text") not in ("integer", "number"):
            yield Problem(("arguments", name, limit), f"only a number has a {limit}", "add type: integer or number")
            return
    for option in ("max_length", "pattern"):
        if option in options and options.get("type", "text") != "text":
            yield Problem(("arguments", name, option), f"only a text has a {option}", "remove it, or the type")
            return
    lowest, highest = options.get("minimum"), options.get("maximum")
    if lowest is not None and highest is not None and lowest > highest:
        what = f"no number is at least {lowest} and at most {highest}"
        yield Problem(("arguments", name, "maximum"), what, "exchange them, or correct one of them")
        return
    try:
        argument = Argument(name, options)
        if "default" in options:
            argument.written(argument.value_of(InternalMsg(iscmd=True)))
    except (ConversionError, RegexError, CodecError) as err:
        yield Problem(("arguments", name), str(err))
        return
    yield from _check_choices(argument, options.get("choices", ()))


def _check_choices(argument: Argument, choices: Sequence[Any]) -> Iterator[Problem]:
    """Yield the choices that no command can have."""
    for index, choice in enumerate(choices):
        try:
            argument.value_of(InternalMsg(iscmd=True, arguments={argument.name: choice}))
        except CodecError as err:
            yield Problem(("arguments", argument.name, "choices", index), str(err), "correct it, or the other options")


def _exact(number: float) -> Fraction:
    """Return a number as it is written in decimal digits: as a float, 0.3 is no multiple of 0.1."""
    return Fraction(number if isinstance(number, int) else repr(number))


def as_text(value: Any) -> str:
    """Return a value as a short text for an error."""
    try:
        text = ascii(value)
    except ValueError:  # Python refuses to write an integer of more than 4,300 digits
        return "too large"
    return text if len(text) <= 60 else f"{text[:56]}...'"
