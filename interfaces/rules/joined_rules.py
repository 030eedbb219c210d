"""Rules that join frames: one joiner for all rules that join in the same way. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.message import InternalMsg
from interfaces.rules.decoding import Decoder, DecodeRule, Rule
from interfaces.rules.joining import Joined, Joiner, Unjoined
from interfaces.rules.message_template import CodecError
from interfaces.rules.safe_regex import RegexError


class JoinedRules:
    """Rules with the same `join`: they read the joined text as other rules read a frame. It is a `Rule`, too."""

    def __init__(self, rules: Sequence[DecodeRule], encoding: str, *, every: bool) -> None:
        self.name = rules[0].name
        self._joiner = Joiner(rules[0].join or {}, encoding)
        self._decoder = Decoder(rules, every=every)
        self.prefix = self._joiner.prefix
        self.is_quick = self._joiner.is_quick and all(rule.is_quick for rule in rules)
        self._last: Joined | None = None

    @property
    def joined_text(self) -> bytes | None:
        """The text that the last frame has ended, if it has."""
        return None if self._last is None else self._last.text

    def decode(self, frame: bytes) -> list[InternalMsg] | None:
        """Return the messages of the text that a frame ends; none while others are to come; None: it is no part.

        Raises `CodecError`, as a rule does.
        """
        self._last = None
        try:
            joined = self._last = self._joiner.take(frame)
        except RegexError as err:
            raise CodecError(f"rule {self.name!a}: {err}") from err
        if joined is None:
            return None
        if joined.text is None:
            return []
        messages = self._decoder.decode(joined.text)
        if messages is None:
            self._joiner.drop(joined, "no rule matches the joined text")
        return messages

    def find(self, frame: bytes) -> Rule | None:  # noqa: ARG002
        """Return the rule that has read the text which the last frame ended, or this, if more are to come."""
        if self._last is None or self._last.text is None:
            return None if self._last is None else self
        return self._decoder.find_rule(self._last.text)

    def forget_parts(self) -> None:
        """Drop the frames that are collected, because those that belong to them will not come."""
        self._joiner.reset()

    def take_unjoined(self) -> Iterator[Unjoined]:
        """Yield what was dropped since the last call."""
        dropped, self._joiner.dropped = self._joiner.dropped, []
        yield from dropped


def with_joins(rules: Sequence[DecodeRule], encoding: str, *, every: bool) -> list[Rule]:
    """Return the rules; those that join in the same way are one, which stands where the first of them stood."""
    result: list[Rule] = []
    for index, rule in enumerate(rules):
        if rule.join is None:
            result.append(rule)
        elif all(other.join != rule.join for other in rules[:index]):
            alike = [other for other in rules if other.join == rule.join]
            result.append(JoinedRules(alike, encoding, every=every))
    return result
