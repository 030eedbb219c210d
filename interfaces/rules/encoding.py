"""Encoding: from commands to frames, by the rules of a configuration. Pure.

What is written consists of the rule's own text or bytes, and of arguments that have been checked: an argument can
neither end the frame nor begin another command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.errors import Problem
from gateway.message import InternalMsg
from interfaces.rules.arguments import Argument, as_text, check_argument
from interfaces.rules.message_template import NO_CLOCK, CodecError, WallClock
from interfaces.rules.own_values import OWN_VALUES
from interfaces.rules.steps import check_steps, make_steps
from interfaces.rules.word_match import WordMatch, check_match


class EncodeRule:
    """Which commands a rule matches, what it writes for them in one or several steps, and which answers it expects."""

    def __init__(
        self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str, clock: WallClock = NO_CLOCK
    ) -> None:
        self.words = self.words_of(options, address)
        self.word_match = WordMatch(options.get("match", {}), address)
        self.arguments = {name: Argument(name, argument) for name, argument in options.get("arguments", {}).items()}
        self.steps = make_steps(options, address, encoding, clock)
        names = frozenset(name for step in self.steps for name in step.names)
        self._writes_own_values = bool(names & OWN_VALUES - self.arguments.keys())

    @staticmethod
    def words_of(options: Mapping[str, Any], address: Mapping[str, str]) -> Mapping[str, str | None]:
        """Return the words, by field, that a command of this rule has; None: any word."""
        return {**address, **options.get("match", {})}

    def matches(self, msg: InternalMsg, *, ignoring: str = "") -> bool:
        """Return whether `msg` has all words that this rule requires, except in the field `ignoring`."""
        return self.word_match.read(msg, ignoring=ignoring) is not None

    def arguments_of(self, msg: InternalMsg) -> dict[str, Any]:
        """Return the arguments of a command in their types, parts of its words too, and the defaults of missing ones.

        Raises `CodecError` if the rule does not accept one of them.
        """
        known = [name for name in self.arguments if name not in self.word_match.names]
        for name in msg.arguments:
            if name not in known:
                remedy = f"use {', '.join(known)}" if known else "this command has no arguments"
                raise CodecError(f"unknown argument {name!a}: {remedy}")
        msg = self._with_parts(msg)
        return {name: argument.value_of(msg) for name, argument in self.arguments.items()}

    def _with_parts(self, msg: InternalMsg) -> InternalMsg:
        """Return a command with those parts of its words that are arguments."""
        parts = self.word_match.read(msg) if self.word_match.names else None
        return msg.replace(arguments={**msg.arguments, **parts}) if parts else msg

    def written(self, arguments: Mapping[str, Any], own: Callable[[], Mapping[str, Any]] = dict) -> dict[str, Any]:
        """Return what is written for each of the `arguments_of` a command; `own` returns the values of the gateway.

        Raises `CodecError` if it cannot be written, as far as no step needs what the device answers to an earlier one.
        """
        values = {name: argument.written(arguments[name]) for name, argument in self.arguments.items()}
        known = {**own(), **values} if self._writes_own_values else values
        for step in self.steps:
            if step.names <= known.keys():
                step.make(known)
        return values

    def count_accepted(self, msg: InternalMsg) -> tuple[bool, int]:
        """Return how near the rule is to a command: whether it has the same arguments, and how many it accepts."""
        accepted, filled = 0, self._with_parts(msg)
        for argument in self.arguments.values():
            with contextlib.suppress(CodecError):
                argument.value_of(filled)
                accepted += 1
        return msg.arguments.keys() <= self.arguments.keys() - self.word_match.names, accepted


class Encoded(NamedTuple):
    """What a command becomes: the rule for it, its arguments in their types, and as they are written."""

    rule: EncodeRule
    arguments: Mapping[str, Any]
    written: Mapping[str, Any]

    @property
    def content(self) -> bytes:
        """What is written first, without checksum and framing."""
        return self.rule.steps[0].make(self.written)


class Encoder:
    """All encode rules: the first one that matches a command and accepts its arguments determines what is written."""

    def __init__(self, rules: Sequence[EncodeRule]) -> None:
        self.rules = rules

    def accepts(self, msg: InternalMsg) -> bool:
        """Return whether `msg` is a command for this device, whatever its action."""
        return msg.iscmd and any(rule.matches(msg, ignoring="action") for rule in self.rules)

    def encode(self, msg: InternalMsg, own: Callable[[], Mapping[str, Any]] = dict) -> Encoded:
        """Return what a command becomes; `own` returns the values of the gateway.

        Raises `CodecError` if no rule accepts it: with the reason of the rule that comes nearest to accepting it, or
        with the known actions.
        """
        rejected: list[tuple[tuple[bool, int], CodecError]] = []
        for rule in self.rules:
            if rule.matches(msg):
                try:
                    arguments = rule.arguments_of(msg)
                    return Encoded(rule, arguments, rule.written(arguments, own))
                except CodecError as err:
                    rejected.append((rule.count_accepted(msg), err))
        if rejected:
            raise max(rejected, key=lambda each: each[0])[1]
        actions = {rule.words.get("action") for rule in self.rules if rule.matches(msg, ignoring="action")}
        names = ", ".join(sorted(filter(None, actions)))
        raise CodecError(f"{as_text(msg.action)} is not an action of this device: use one of {names}")


# --- checks of a configuration


def check_content(options: Mapping[str, Any], encoding: str, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the words of a rule, and of what a rule or a poll writes; paths begin at the rule."""
    yield from check_match(options.get("match", {}), arguments)
    yield from check_steps(options, encoding, arguments)
    for name, argument in arguments.items():
        yield from check_argument(name, argument)
