"""From frames to messages and from messages to frames, by rules of the configuration. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import GatewayError
from gateway.interface import Problem
from gateway.message import ADDRESS_FIELDS, InternalMsg
from interfaces.template import Template, TemplateError

WORD_FIELDS = (*ADDRESS_FIELDS, "action")

CONVERTERS: Mapping[str, Callable[[str], Any]] = {"text": str, "int": int, "float": float}


class CodecError(GatewayError):
    """A frame or a command fits a rule, but one of its values does not: which, and why."""


class MessageTemplate:
    """What message a rule makes: templates for its fields and arguments."""

    def __init__(self, options: Mapping[str, Any], address: Mapping[str, str]) -> None:
        self.iscmd = options.get("type") == "command"
        words = {**address, **{name: options[name] for name in WORD_FIELDS if name in options}}
        self._words = {name: Template(text) for name, text in words.items()}
        self._arguments = {
            key: Template(value) if isinstance(value, str) else value
            for key, value in options.get("arguments", {}).items()
        }
        templates = [*self._words.values(), *(v for v in self._arguments.values() if isinstance(v, Template))]
        self.names = frozenset(name for template in templates for name in template.names)

    def make(self, values: Mapping[str, Any]) -> InternalMsg | None:
        """Return the message for `values`; arguments whose value is missing are left out.

        None if a word needs a value that is missing, or if there are arguments and all of them are left out.
        """
        if any(not template.names <= values.keys() for template in self._words.values()):
            return None
        arguments = {
            key: value.value(values) if isinstance(value, Template) else value
            for key, value in self._arguments.items()
            if not isinstance(value, Template) or value.names <= values.keys()
        }
        if self._arguments and not arguments:
            return None
        words = {name: template.fill(values) for name, template in self._words.items()}
        return InternalMsg(iscmd=self.iscmd, arguments=arguments, **words)


class DecodeRule:
    """A regular expression, what its named groups become, and the messages they make."""

    def __init__(self, options: Mapping[str, Any], address: Mapping[str, str]) -> None:
        self.name = options.get("name") or options["regex"]
        self.regex = re.compile(options["regex"])
        self._converters = {name: CONVERTERS[kind] for name, kind in options.get("values", {}).items()}
        given = [options["message"]] if "message" in options else options["messages"]
        self.messages = [MessageTemplate(message, address) for message in given]

    def decode(self, text: str) -> list[InternalMsg] | None:
        """Return the messages of a frame, or None if it is not of this rule.

        The whole frame must match. Empty groups count as missing. Raises `CodecError` if a value cannot be
        converted.
        """
        match = self.regex.fullmatch(text)
        if match is None:
            return None
        values: dict[str, Any] = {}
        for name, found in match.groupdict().items():
            if found:
                try:
                    values[name] = self._converters.get(name, str)(found)
                except ValueError as err:
                    raise CodecError(f"rule {self.name!a}: {name} is {found!a}: {err}") from err
        return [msg for template in self.messages if (msg := template.make(values)) is not None]


class Decoder:
    """Rules in their order; the first that matches a frame makes its messages."""

    def __init__(self, rules: Sequence[DecodeRule], encoding: str = "utf-8") -> None:
        self._rules = rules
        self._encoding = encoding

    def decode(self, frame: bytes) -> list[InternalMsg] | None:
        """Return the messages of `frame`, or None if no rule matches. Raises `CodecError`."""
        try:
            text = frame.decode(self._encoding)
        except UnicodeDecodeError as err:
            raise CodecError(f"not {self._encoding}: {err.reason} at byte {err.start}") from err
        for rule in self._rules:
            messages = rule.decode(text)
            if messages is not None:
                return messages
        return None


class EncodeRule:
    """Which commands it takes, and what is written for them."""

    def __init__(self, options: Mapping[str, Any], address: Mapping[str, str]) -> None:
        self.match = {**address, **options.get("match", {})}
        self.arguments: Mapping[str, Mapping[str, Any]] = options.get("arguments", {})
        self.template = Template(options["write"])

    def is_for(self, msg: InternalMsg, *, ignoring: str = "") -> bool:
        """Tell whether `msg` has all the words that this rule asks for, the field `ignoring` left aside."""
        return all(getattr(msg, name) == word for name, word in self.match.items() if name != ignoring)

    def encode(self, msg: InternalMsg, forbidden: re.Pattern[str]) -> str:
        """Return what to write for `msg`; raise `CodecError` if an argument does not fit.

        No argument may bring in what `forbidden` finds: that would end the frame and begin another.
        """
        values: dict[str, Any] = {}
        for name, wanted in self.arguments.items():
            if name not in msg.arguments and "default" not in wanted:
                raise CodecError(f"argument {name!a} is missing")
            value = msg.argument(name, wanted.get("default"))
            _check_argument(name, value, wanted)
            if isinstance(value, str) and forbidden.search(value):
                raise CodecError(f"argument {name!a} holds a character that may not be written to the device")
            values[name] = value
        try:
            return self.template.fill(values)
        except TemplateError as err:
            raise CodecError(str(err)) from err


_ARGUMENT_TYPES: Mapping[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "text": (str,)}


def _check_argument(name: str, value: Any, wanted: Mapping[str, Any]) -> None:
    kind = wanted.get("type", "text")
    if isinstance(value, bool) or not isinstance(value, _ARGUMENT_TYPES[kind]):
        raise CodecError(f"argument {name!a} is {value!a}: expected {kind}")
    if "choices" in wanted and value not in wanted["choices"]:
        raise CodecError(f"argument {name!a} is {value!a}: expected one of {', '.join(map(str, wanted['choices']))}")
    if "minimum" in wanted and value < wanted["minimum"]:
        raise CodecError(f"argument {name!a} is {value!a}: expected at least {wanted['minimum']}")
    if "maximum" in wanted and value > wanted["maximum"]:
        raise CodecError(f"argument {name!a} is {value!a}: expected at most {wanted['maximum']}")
    if isinstance(value, str) and len(value) > wanted.get("max_length", 100):
        raise CodecError(f"argument {name!a} has {len(value)} characters: expected at most 100")


class Encoder:
    """Rules in their order; the first that takes a command says what is written."""

    def __init__(self, rules: Sequence[EncodeRule], terminator: bytes, encoding: str = "utf-8") -> None:
        self._rules = rules
        self._terminator = terminator
        self._encoding = encoding
        ends = "|".join(re.escape(c) for c in terminator.decode("latin-1"))
        self._forbidden = re.compile(f"[\x00-\x1f\x7f]|{ends}" if ends else "[\x00-\x1f\x7f]")

    def accepts(self, msg: InternalMsg) -> bool:
        """Tell whether `msg` is a command for this device, whatever its action."""
        return msg.iscmd and any(rule.is_for(msg, ignoring="action") for rule in self._rules)

    def encode(self, msg: InternalMsg) -> bytes:
        """Return the bytes to write for a command; raise `CodecError` saying what is wrong with it."""
        for rule in self._rules:
            if rule.is_for(msg):
                try:
                    return rule.encode(msg, self._forbidden).encode(self._encoding) + self._terminator
                except UnicodeEncodeError as err:
                    raise CodecError(f"{err.object[err.start]!a} cannot be written as {self._encoding}") from err
        actions = {rule.match.get("action", "") for rule in self._rules if rule.is_for(msg, ignoring="action")}
        known = ", ".join(sorted(filter(None, actions)))
        raise CodecError(f"{msg.action!a} is not an action of this device: use one of {known}")


def check_rules(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the rules of a configuration, beyond their schema."""
    address = params.get("address", {})
    for index, options in enumerate(params.get("decode", ())):
        yield from _check_decode(("decode", index), options, address)
    for index, options in enumerate(params.get("encode", ())):
        path = ("encode", index)
        try:
            rule = EncodeRule(options, address)
        except TemplateError as err:
            yield Problem((*path, "write"), str(err))
            continue
        for name in sorted(rule.template.names - rule.arguments.keys()):
            yield Problem((*path, "write"), f"{{{name}}} is not an argument", f"add it: arguments: {{{name}: {{...}}}}")


def _check_decode(
    path: tuple[str | int, ...], options: Mapping[str, Any], address: Mapping[str, str]
) -> Iterator[Problem]:
    try:
        regex = re.compile(options["regex"])
    except (re.error, OverflowError, RecursionError) as err:
        yield Problem((*path, "regex"), f"not a regular expression: {err}", "correct it")
        return
    for name in options.get("values", {}):
        if name not in regex.groupindex:
            known = ", ".join(regex.groupindex) or "there is none"
            yield Problem((*path, "values", name), f"the expression has no group {name!r}", f"its groups: {known}")
    messages = options.get("messages", [options.get("message", {})])
    for number, message in enumerate(messages):
        at = (*path, "messages", number) if "messages" in options else (*path, "message")
        try:
            template = MessageTemplate(message, address)
        except TemplateError as err:
            yield Problem(at, str(err))
            continue
        for name in sorted(template.names - regex.groupindex.keys()):
            known = ", ".join(regex.groupindex) or "there is none"
            yield Problem(at, f"{{{name}}} is not a group of the expression", f"its groups: {known}")
