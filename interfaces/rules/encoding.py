"""Encoding: from commands to frames, by the rules of a configuration. Pure.

What is written consists of the rule's own text or bytes, and of arguments that have been checked: an argument can
neither end the frame nor begin another command.
"""

from __future__ import annotations

import math
import re
import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import Problem
from gateway.message import OUTCOME_WORDS, InternalMsg, reserved_argument
from interfaces.rules.converters import ConversionError, pipeline
from interfaces.rules.decoding import ValueReader, check_decode_rule
from interfaces.rules.extractors import Values
from interfaces.rules.layout import Layout, LayoutError
from interfaces.rules.message_template import NO_CLOCK, CodecError, WallClock
from interfaces.rules.safe_regex import RegexError, safe_regex
from interfaces.rules.template import Template, TemplateError

_DEFAULT_PATTERN = re.compile(r"[A-Za-z0-9 ._+-]*")
"""What a text argument may contain unless its `pattern` allows other text. Known to be fast, so it needs no proof."""

_DEFAULT_MAX_LENGTH = 100  # characters of a text argument unless `max_length` sets another limit
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HEX_WIDTH = re.compile(r"0?([0-9]+)[xX]")

_ARGUMENT_TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "text": (str,),
}


# --- what is written


class Content(ABC):
    """What a rule writes, without checksum and framing; `names` are the arguments that it needs."""

    names: frozenset[str]

    def make(self, values: Mapping[str, Any]) -> bytes:
        """Return the bytes for `values`; raise `CodecError` if they cannot be written."""
        try:
            return self._make(values)
        except (TemplateError, LayoutError, ValueError) as err:
            raise CodecError(str(err)) from err

    @abstractmethod
    def _make(self, values: Mapping[str, Any]) -> bytes: ...


class TextContent(Content):
    """A text that contains `{name}` for arguments."""

    def __init__(self, text: str, encoding: str) -> None:
        self._template = Template(text)
        self._encoding = encoding
        self.names = self._template.names

    def _make(self, values: Mapping[str, Any]) -> bytes:
        text = self._template.fill(values, _check_no_control)
        try:
            return text.encode(self._encoding)
        except UnicodeEncodeError as err:
            character = err.object[err.start]
            source = next((f"argument {n!a}: " for n, v in values.items() if isinstance(v, str) and character in v), "")
            raise CodecError(f"{source}{character!a} cannot be written as {self._encoding}") from err


class HexContent(Content):
    """Bytes as hexadecimal digits that contain `{name}` for arguments."""

    def __init__(self, text: str, encoding: str) -> None:  # noqa: ARG002
        self._template = Template(text)
        self.names = self._template.names

    def _make(self, values: Mapping[str, Any]) -> bytes:
        return bytes.fromhex(self._template.fill(values, _check_digits))


class BinaryContent(Content):
    """Bytes in a layout, whose fields are arguments or constants."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:  # noqa: ARG002
        self._layout = Layout(options["fields"], options["byte_order"], options.get("length"))
        self._layout.check_writable()
        self.names = frozenset(name for field in self._layout.fields for name in field.needs)

    def _make(self, values: Mapping[str, Any]) -> bytes:
        return self._layout.write(values)


CONTENTS: Mapping[str, Callable[[Any, str], Content]] = {
    "write": TextContent,
    "hex": HexContent,
    "binary": BinaryContent,
}
"""The kinds by the name of their option, of which each rule has one; each is made from its option and the encoding."""


def content_kinds(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of content that a rule has; a valid rule has one."""
    yield from (kind for kind in CONTENTS if kind in options)


def make_content(options: Mapping[str, Any], encoding: str) -> Content:
    """Return what a rule writes.

    Raises `TemplateError` or `LayoutError` if its text or layout is wrong, and `CodecError` if it has no arguments and
    cannot be written: such an error would otherwise be found only when the first command is written.
    """
    kind = next(content_kinds(options))
    content = CONTENTS[kind](options[kind], encoding)
    if not content.names:
        content.make({})
    return content


def _check_no_control(name: str, _spec: str, text: str) -> None:
    """Raise `CodecError` if a value becomes a control character: the format of `{code:c}` makes one from a number."""
    if _CONTROL.search(text):
        raise CodecError(f"argument {name!a} contains a control character")


def _check_digits(name: str, spec: str, text: str) -> None:
    """Raise `CodecError` unless a value has exactly the hexadecimal digits that the template reserves for it.

    These are as many as its format states, or two where it has none. More digits would become additional bytes, which
    the device could read as the beginning of another command.
    """
    width = _HEX_WIDTH.fullmatch(spec)
    digits = int(width[1]) if width else 2
    if len(text) != digits or not all(sign in string.hexdigits for sign in text):
        raise CodecError(f"argument {name!a} becomes {text!a}: {digits} hexadecimal digits are reserved for it")


# --- arguments


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

    @property
    def default(self) -> Any:
        """The value for a command that does not have this argument; None if it must have it."""
        return self._options.get("default")

    def read(self, msg: InternalMsg) -> Any:
        """Return the value to write; raise `CodecError` naming the argument and what is wrong with it."""
        options = self._options
        if self.name not in msg.arguments and "default" not in options:
            raise CodecError(f"argument {self.name!a} is missing")
        value = msg.argument(self.name, options.get("default"))
        self._check(value)
        if self._converter is not None:
            try:
                value = self._converter.write(value)
            except ConversionError as err:
                raise CodecError(f"argument {self.name!a}: {err}") from err
        if isinstance(value, str) and _CONTROL.search(value):
            raise CodecError(f"argument {self.name!a} contains a control character")
        return value

    def _check(self, value: Any) -> None:
        options = self._options
        has_type = isinstance(value, _ARGUMENT_TYPES[self.type])
        has_type = has_type and (self.type == "boolean" or not isinstance(value, bool))  # True is an int in Python
        if not has_type or (isinstance(value, float) and not math.isfinite(value)):
            raise CodecError(f"argument {self.name!a} is {_as_text(value)}: expected {self.type}")
        if "choices" in options and value not in options["choices"]:
            choices = ", ".join(map(str, options["choices"]))
            raise CodecError(f"argument {self.name!a} is {_as_text(value)}: expected one of {choices}")
        if "minimum" in options and value < options["minimum"]:
            raise CodecError(f"argument {self.name!a} is {_as_text(value)}: expected at least {options['minimum']}")
        if "maximum" in options and value > options["maximum"]:
            raise CodecError(f"argument {self.name!a} is {_as_text(value)}: expected at most {options['maximum']}")
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
            raise CodecError(f"argument {self.name!a} is {_as_text(text)}: it contains characters that are not allowed")


# --- rules


class EncodeRule:
    """Which commands a rule matches, what it writes for them, and which answer it expects."""

    def __init__(
        self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str, clock: WallClock = NO_CLOCK
    ) -> None:
        self.words = self.words_of(options, address)
        self.arguments = {name: Argument(name, argument) for name, argument in options.get("arguments", {}).items()}
        self.content = make_content(options, encoding)
        self.answer = Answer(options, address, encoding, clock)

    @staticmethod
    def words_of(options: Mapping[str, Any], address: Mapping[str, str]) -> Mapping[str, str | None]:
        """Return the words, by field, that a command of this rule has; None: any word."""
        return {**address, **options.get("match", {})}

    def matches(self, msg: InternalMsg, *, ignoring: str = "") -> bool:
        """Return whether `msg` has all words that this rule requires, except in the field `ignoring`."""
        return all(word is None or name == ignoring or getattr(msg, name) == word for name, word in self.words.items())

    def arguments_of(self, msg: InternalMsg) -> Mapping[str, Any]:
        """Return the arguments of `msg` that this rule has, and the defaults of missing ones."""
        return {name: msg.argument(name, argument.default) for name, argument in self.arguments.items()}

    def encode(self, msg: InternalMsg) -> bytes:
        """Return what to write for `msg`, without checksum and framing; raise `CodecError` if an argument is wrong."""
        for name in msg.arguments:
            if name not in self.arguments:
                remedy = f"use {', '.join(self.arguments)}" if self.arguments else "this command has no arguments"
                raise CodecError(f"unknown argument {name!a}: {remedy}")
        return self.content.make({name: argument.read(msg) for name, argument in self.arguments.items()})


class AnswerReader(ValueReader):
    """Reads an answer. Values named by `same` must equal the command's arguments; else it answers another command."""

    def __init__(
        self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str, clock: WallClock = NO_CLOCK
    ) -> None:
        super().__init__(options, address, encoding, clock)
        self._same: Sequence[str] = options.get("same", ())

    def read_for(self, arguments: Mapping[str, Any]) -> Callable[[bytes], list[Values] | None]:
        """Return the function that reads the answer to a command with these arguments."""
        if not self._same:
            return self.read

        def read(frame: bytes) -> list[Values] | None:
            sets = self.read(frame) or ()
            matching = [values for values in sets if all(values.get(n) == arguments.get(n) for n in self._same)]
            return matching or None

        return read


class Answer:
    """The answer that a device gives, if any: how to read it, how long (s) to wait for it, how often to retry."""

    def __init__(
        self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str, clock: WallClock = NO_CLOCK
    ) -> None:
        def reader(kind: str) -> AnswerReader | None:
            return AnswerReader(options[kind], address, encoding, clock) if kind in options else None

        self.response, self.refusal = reader("response"), reader("refusal")
        self.timeout: float | None = options.get("timeout")
        self.retries: int = options.get("retries", 0)


class Encoder:
    """All encode rules: the first one that matches a command determines what is written."""

    def __init__(self, rules: Sequence[EncodeRule]) -> None:
        self.rules = rules

    def accepts(self, msg: InternalMsg) -> bool:
        """Return whether `msg` is a command for this device, whatever its action."""
        return msg.iscmd and any(rule.matches(msg, ignoring="action") for rule in self.rules)

    def rule_for(self, msg: InternalMsg) -> EncodeRule:
        """Return the rule for a command; raise `CodecError`, which names the known actions, if there is none."""
        for rule in self.rules:
            if rule.matches(msg):
                return rule
        actions = {rule.words.get("action") for rule in self.rules if rule.matches(msg, ignoring="action")}
        names = ", ".join(sorted(filter(None, actions)))
        raise CodecError(f"{_as_text(msg.action)} is not an action of this device: use one of {names}")


def _as_text(value: Any) -> str:
    try:
        text = ascii(value)
    except ValueError:  # Python refuses to write an integer of more than 4,300 digits
        return "too large"
    return text if len(text) <= 60 else f"{text[:56]}...'"


# --- checks of a configuration


def check_content(options: Mapping[str, Any], encoding: str, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of what a rule or a poll writes; paths begin at the rule."""
    kinds = list(content_kinds(options))
    if len(kinds) != 1:
        present = " and ".join(kinds) if kinds else "none"
        message = f"exactly one of {', '.join(CONTENTS)} is needed; this one has {present}"
        yield Problem((), message, "keep or add one of them: it describes what is written")
        return
    try:
        content = make_content(options, encoding)
    except (TemplateError, CodecError, LayoutError) as err:
        yield Problem((kinds[0],), str(err))
        return
    for name in sorted(content.names - arguments.keys()):
        yield Problem((kinds[0],), f"{{{name}}} is not an argument", f"add it: arguments: {{{name}: {{type: ...}}}}")
    for name, argument in arguments.items():
        yield from _check_argument(name, argument)
    for kind in ("response", "refusal"):
        if kind in options:
            problems = list(check_decode_rule(options[kind], {}, encoding, needs_message=False))
            yield from (problem._replace(path=(kind, *problem.path)) for problem in problems)
            if not problems:
                yield from _check_answer(kind, options[kind], encoding, arguments)


def _check_answer(
    kind: str, options: Mapping[str, Any], encoding: str, arguments: Mapping[str, Any]
) -> Iterator[Problem]:
    names = AnswerReader(options, {}, encoding).extractor.names
    for name in sorted(OUTCOME_WORDS & (names or frozenset())):
        if "message" not in options and "messages" not in options:  # its values become arguments of the outcome
            yield Problem((kind,), reserved_argument(name), "use another word")
    for index, name in enumerate(options.get("same", ())):
        if name not in arguments:
            yield Problem((kind, "same", index), f"{name!a} is not an argument", "use a name from 'arguments'")
        if names is not None and name not in names:
            yield Problem((kind, "same", index), f"{name!a} is not a value of the answer", "read this value, too")


def _check_argument(name: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    if name in OUTCOME_WORDS:
        yield Problem(("arguments", name), reserved_argument(name), "use another word")
    for limit in ("minimum", "maximum"):
        if limit in options and options.get("type", "text") not in ("integer", "number"):
            yield Problem(("arguments", name, limit), f"only a number has a {limit}", "add type: integer or number")
            return
    try:
        argument = Argument(name, options)
        if "default" in options:
            argument.read(InternalMsg(iscmd=True))
    except (ConversionError, RegexError, CodecError) as err:
        yield Problem(("arguments", name), str(err))
