"""Encoding: from commands to frames, by the rules of a configuration. Pure.

What is written consists of the rule's own text or bytes, and of arguments that have been checked: an argument can
neither end the frame nor begin another command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.errors import Problem
from gateway.message import InternalMsg
from interfaces.rules.answers import Answer, check_answers
from interfaces.rules.arguments import Argument, as_text, check_argument
from interfaces.rules.content import CONTENTS, content_kinds, make_content
from interfaces.rules.layout import LayoutError
from interfaces.rules.message_template import NO_CLOCK, CodecError, WallClock
from interfaces.rules.template import TemplateError


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

    def arguments_of(self, msg: InternalMsg) -> dict[str, Any]:
        """Return the arguments of a command in their types, and the defaults of missing ones.

        Raises `CodecError` if the rule does not accept one of them.
        """
        for name in msg.arguments:
            if name not in self.arguments:
                remedy = f"use {', '.join(self.arguments)}" if self.arguments else "this command has no arguments"
                raise CodecError(f"unknown argument {name!a}: {remedy}")
        return {name: argument.value_of(msg) for name, argument in self.arguments.items()}

    def encode(self, arguments: Mapping[str, Any]) -> bytes:
        """Return what to write for `arguments_of` a command, without checksum and framing.

        Raises `CodecError` if it cannot be written.
        """
        return self.content.make({name: argument.written(arguments[name]) for name, argument in self.arguments.items()})

    def count_accepted(self, msg: InternalMsg) -> tuple[bool, int]:
        """Return how near the rule is to a command: whether it has the same arguments, and how many it accepts."""
        accepted = 0
        for argument in self.arguments.values():
            with contextlib.suppress(CodecError):
                argument.value_of(msg)
                accepted += 1
        return msg.arguments.keys() <= self.arguments.keys(), accepted


class Encoded(NamedTuple):
    """What a command becomes: the rule for it, its arguments in their types, and what is written."""

    rule: EncodeRule
    arguments: Mapping[str, Any]
    content: bytes


class Encoder:
    """All encode rules: the first one that matches a command and accepts its arguments determines what is written."""

    def __init__(self, rules: Sequence[EncodeRule]) -> None:
        self.rules = rules

    def accepts(self, msg: InternalMsg) -> bool:
        """Return whether `msg` is a command for this device, whatever its action."""
        return msg.iscmd and any(rule.matches(msg, ignoring="action") for rule in self.rules)

    def encode(self, msg: InternalMsg) -> Encoded:
        """Return what a command becomes, without checksum and framing.

        Raises `CodecError` if no rule accepts it: with the reason of the rule that comes nearest to accepting it, or
        with the known actions.
        """
        rejected: list[tuple[tuple[bool, int], CodecError]] = []
        for rule in self.rules:
            if rule.matches(msg):
                try:
                    arguments = rule.arguments_of(msg)
                    return Encoded(rule, arguments, rule.encode(arguments))
                except CodecError as err:
                    rejected.append((rule.count_accepted(msg), err))
        if rejected:
            raise max(rejected, key=lambda each: each[0])[1]
        actions = {rule.words.get("action") for rule in self.rules if rule.matches(msg, ignoring="action")}
        names = ", ".join(sorted(filter(None, actions)))
        raise CodecError(f"{as_text(msg.action)} is not an action of this device: use one of {names}")


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
        yield from check_argument(name, argument)
    yield from check_answers(options, encoding, arguments)
