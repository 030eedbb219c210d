"""From commands to frames: the encoding rules of a configuration. Pure.

What is written is made of the rule's own text or bytes and of arguments that have been checked: an argument
can neither end the frame nor begin another command.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import Problem
from gateway.message import OUTCOME_WORDS, InternalMsg, reserved_argument
from interfaces.rules.converters import ConversionError, pipeline
from interfaces.rules.decoding import CodecError, ValueReader, check_decode_rule
from interfaces.rules.extractors import Values
from interfaces.rules.layout import Layout, LayoutError
from interfaces.rules.safe_regex import RegexError, safe_regex
from interfaces.rules.template import Template, TemplateError

CONTENT_KINDS = ("write", "hex", "binary")

_PLAIN = r"[A-Za-z0-9 ._+-]*"  # what a text argument may hold unless its `pattern` says otherwise
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_TEXT = 100  # characters of a text argument unless `max_length` says otherwise


class Content:
    """What is written, without checksum and framing: a text, bytes in hexadecimal, or a layout."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self._encoding = encoding
        self._layout: Layout | None = None
        self._template: Template | None = None
        self._is_hex = "hex" in options
        if "binary" in options:
            binary = options["binary"]
            self._layout = Layout(binary["fields"], binary["byte_order"], binary.get("length"))
            self._layout.check_writable()
            self.names = frozenset(name for field in self._layout.fields for name in field.needs)
        else:
            self._template = Template(options["hex"] if self._is_hex else options["write"])
            self.names = self._template.names
        if not self.names:
            self.make({})  # a constant: say now what is wrong with it

    def make(self, values: Mapping[str, Any]) -> bytes:
        """Return the bytes for `values`; raise `CodecError` if they cannot be written."""
        try:
            if self._template is None:
                return self._layout.write(values) if self._layout is not None else b""
            text = self._template.fill(values, _check_digits if self._is_hex else _check_plain)
            return bytes.fromhex(text) if self._is_hex else text.encode(self._encoding)
        except UnicodeEncodeError as err:
            sign = err.object[err.start]
            of = next((f"argument {n!a}: " for n, v in values.items() if isinstance(v, str) and sign in v), "")
            raise CodecError(f"{of}{sign!a} cannot be written as {self._encoding}") from err
        except (TemplateError, LayoutError, ValueError) as err:
            raise CodecError(str(err)) from err


_HEX_WIDTH = re.compile(r"0?([0-9]+)[xX]")


def _check_plain(name: str, _spec: str, text: str) -> None:
    """Raise `CodecError` if a value becomes a control character: `{code:c}` makes one of a number."""
    if _CONTROL.search(text):
        raise CodecError(f"argument {name!a} holds a control character")


def _check_digits(name: str, spec: str, text: str) -> None:
    """Raise `CodecError` unless a value fills just the hexadecimal digits that its template keeps for it.

    That is as many as its format says, two where it has none: more would become bytes of their own.
    """
    width = _HEX_WIDTH.fullmatch(spec)
    digits = int(width[1]) if width else 2
    if len(text) != digits or not all(sign in string.hexdigits for sign in text):
        raise CodecError(f"argument {name!a} becomes {text!a}: {digits} hexadecimal digits are kept for it")


class Argument:
    """What one argument of a command must be, and how it is written."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self._options = options
        self.kind: str = options.get("type", "text")
        self._converter = pipeline(options["convert"]) if "convert" in options else None
        self._pattern = safe_regex(options.get("pattern", _PLAIN))

    @property
    def default(self) -> Any:
        """Return what a command says that does not say it; None if it must."""
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
            raise CodecError(f"argument {self.name!a} holds a control character")
        return value

    def _check(self, value: Any) -> None:
        options = self._options
        kinds: Mapping[str, tuple[type, ...]] = {
            "integer": (int,),
            "number": (int, float),
            "boolean": (bool,),
            "text": (str,),
        }
        is_kind = isinstance(value, kinds[self.kind]) and (self.kind == "boolean" or not isinstance(value, bool))
        if not is_kind or (isinstance(value, float) and not math.isfinite(value)):
            raise CodecError(f"argument {self.name!a} is {_shown(value)}: expected {self.kind}")
        if "choices" in options and value not in options["choices"]:
            choices = ", ".join(map(str, options["choices"]))
            raise CodecError(f"argument {self.name!a} is {_shown(value)}: expected one of {choices}")
        if "minimum" in options and value < options["minimum"]:
            raise CodecError(f"argument {self.name!a} is {_shown(value)}: expected at least {options['minimum']}")
        if "maximum" in options and value > options["maximum"]:
            raise CodecError(f"argument {self.name!a} is {_shown(value)}: expected at most {options['maximum']}")
        if self.kind != "text" or "choices" in options:
            return
        longest = options.get("max_length", _MAX_TEXT)
        if len(value) > longest:
            raise CodecError(f"argument {self.name!a} has {len(value)} characters: expected at most {longest}")
        try:
            fits = self._pattern.match(value) is not None
        except RegexError as err:
            raise CodecError(f"argument {self.name!a}: {err}") from err
        if not fits:
            raise CodecError(f"argument {self.name!a} is {_shown(value)}: it may not hold such characters")


class EncodeRule:
    """Which commands a rule takes, what is written for them, and what the device answers."""

    def __init__(self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str) -> None:
        self.match = self.words_of(options, address)
        self.arguments = {name: Argument(name, given) for name, given in options.get("arguments", {}).items()}
        self.content = Content(options, encoding)
        self.answer = Answer(options, encoding)

    @staticmethod
    def words_of(options: Mapping[str, Any], address: Mapping[str, str]) -> Mapping[str, str | None]:
        """Return the words, by field, that a command of this rule has; None: any."""
        return {**address, **options.get("match", {})}

    def is_for(self, msg: InternalMsg, *, ignoring: str = "") -> bool:
        """Tell whether `msg` has all the words that this rule asks for, the field `ignoring` left aside."""
        return all(word is None or name == ignoring or getattr(msg, name) == word for name, word in self.match.items())

    def arguments_of(self, msg: InternalMsg) -> Mapping[str, Any]:
        """Return the arguments of `msg` that this rule has, and the defaults of those that are missing."""
        return {name: msg.argument(name, argument.default) for name, argument in self.arguments.items()}

    def encode(self, msg: InternalMsg) -> bytes:
        """Return what to write for `msg`, without checksum and framing; raise `CodecError` if it does not fit."""
        for name in msg.arguments:
            if name not in self.arguments:
                known = f"use {', '.join(self.arguments)}" if self.arguments else "this command has none"
                raise CodecError(f"argument {name!a} is not known: {known}")
        return self.content.make({name: argument.read(msg) for name, argument in self.arguments.items()})


class AnswerReader(ValueReader):
    """Reads an answer. Values named by `same` must be those of the command: or it answers another, earlier one."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        super().__init__(options, encoding)
        self._same: Sequence[str] = options.get("same", ())

    def read_for(self, arguments: Mapping[str, Any]) -> Callable[[bytes], list[Values] | None]:
        """Return what reads the answer to a command with these arguments."""
        if not self._same:
            return self.read

        def read(frame: bytes) -> list[Values] | None:
            found = self.read(frame) or ()
            fits = [values for values in found if all(values.get(n) == arguments.get(n) for n in self._same)]
            return fits or None

        return read


class Answer:
    """What the device answers to what is written, if anything, and how long to wait for it."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self.response = AnswerReader(options["response"], encoding) if "response" in options else None
        self.refusal = AnswerReader(options["refusal"], encoding) if "refusal" in options else None
        self.timeout: float | None = options.get("timeout")
        self.retries: int = options.get("retries", 0)


class Encoder:
    """All rules: the first that takes a command says what is written."""

    def __init__(self, rules: Sequence[EncodeRule]) -> None:
        self.rules = rules

    def accepts(self, msg: InternalMsg) -> bool:
        """Tell whether `msg` is a command for this device, whatever its action."""
        return msg.iscmd and any(rule.is_for(msg, ignoring="action") for rule in self.rules)

    def rule_for(self, msg: InternalMsg) -> EncodeRule:
        """Return the rule for a command; raise `CodecError` if there is none, naming the actions there are."""
        for rule in self.rules:
            if rule.is_for(msg):
                return rule
        actions = {rule.match.get("action") for rule in self.rules if rule.is_for(msg, ignoring="action")}
        known = ", ".join(sorted(filter(None, actions)))
        raise CodecError(f"{_shown(msg.action)} is not an action of this device: use one of {known}")


def _shown(value: Any) -> str:
    try:
        text = ascii(value)
    except ValueError:  # a number of some thousand digits
        return "too large"
    return text if len(text) <= 60 else f"{text[:56]}...'"


# --- checks of a configuration


def check_content(options: Mapping[str, Any], encoding: str, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with what a rule or a poll writes; paths begin at the rule."""
    kinds = [kind for kind in CONTENT_KINDS if kind in options]
    if len(kinds) != 1:
        found = " and ".join(kinds) if kinds else "none"
        yield Problem((), f"give one of {', '.join(CONTENT_KINDS)}; this one has {found}", "say once what is written")
        return
    try:
        content = Content(options, encoding)
    except (TemplateError, CodecError, LayoutError) as err:
        yield Problem((kinds[0],), str(err))
        return
    for name in sorted(content.names - arguments.keys()):
        yield Problem((kinds[0],), f"{{{name}}} is not an argument", f"add it: arguments: {{{name}: {{type: ...}}}}")
    for name, given in arguments.items():
        yield from _check_argument(name, given)
    for kind in ("response", "refusal"):
        if kind in options:
            problems = list(check_decode_rule(options[kind], {}, encoding, needs_message=False))
            yield from (Problem((kind, *problem.path), problem.what, problem.remedy) for problem in problems)
            if not problems:
                yield from _check_answer(kind, options[kind], encoding, arguments)


def _check_answer(
    kind: str, options: Mapping[str, Any], encoding: str, arguments: Mapping[str, Any]
) -> Iterator[Problem]:
    names = AnswerReader(options, encoding).matcher.names
    for name in sorted(OUTCOME_WORDS & (names or frozenset())):
        if "message" not in options and "messages" not in options:  # its values become arguments of the outcome
            yield Problem((kind,), reserved_argument(name), "use another word")
    for index, name in enumerate(options.get("same", ())):
        if name not in arguments:
            yield Problem((kind, "same", index), f"{name!a} is not an argument", "name those of the command")
        if names is not None and name not in names:
            yield Problem((kind, "same", index), f"{name!a} is not a value of the answer", "read it there")


def _check_argument(name: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    if name in OUTCOME_WORDS:
        yield Problem(("arguments", name), reserved_argument(name), "use another word")
    for limit in ("minimum", "maximum"):
        if limit in options and options.get("type", "text") not in ("integer", "number"):
            yield Problem(("arguments", name, limit), f"only a number has a {limit}", "say type: integer or number")
            return
    try:
        argument = Argument(name, options)
        if "default" in options:
            argument.read(InternalMsg(iscmd=True))
    except (ConversionError, RegexError, CodecError) as err:
        yield Problem(("arguments", name), str(err))
