"""Rules that join frames: one joiner for all rules that join in the same way. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.message import InternalMsg
from interfaces.rules.decoding import Decoder, DecodeRule, Rule
from interfaces.rules.joining import Joined, Joiner, Unjoined
from interfaces.rules.message_template import CodecError
from interfaces.rules.safe_regex import RegexError


class JoinedRules:
    """Rules with the same `join`: they read the joined text as other rules read a frame. It is a `Rule`, too.

    If they read the frames of one framing only, the texts consist of those.
    """

    def __init__(self, rules: Sequence[DecodeRule], encoding: str, *, every: bool) -> None:
        self.name = rules[0].name
        self._has_framing = rules[0].reader.has_framing
        self._joiner = Joiner(rules[0].join or {}, encoding)
        self._decoder = Decoder(rules, every=every)
        self.prefix = self._joiner.prefix
        self.is_quick = self._joiner.is_quick and all(rule.is_quick for rule in rules)
        self._last: tuple[bytes, Joined] | None = None  # the last frame that was a part, and what it has become

    def joined_text(self, frame: bytes) -> bytes | None:
        """Return the text that `frame`, which was decoded just before, has ended, if it has."""
        return None if self._last is None or self._last[0] is not frame else self._last[1].text

    def decode(self, frame: bytes) -> list[InternalMsg] | None:
        """Return the messages of the text that a frame ends; none while others are to come; None: it is no part.

        Raises `CodecError`, as a rule does.
        """
        self._last = None
        if not self._has_framing(frame):
            return None
        try:
            joined = self._joiner.take(frame)
        except RegexError as err:
            raise CodecError(f"rule {self.name!a}: {err}") from err
        if joined is None:
            return None
        self._last = frame, joined
        if joined.text is None:
            return []
        messages = self._decoder.decode(joined.text)
        if messages is None:
            self._joiner.drop(joined, "no rule matches the joined text")
        return messages

    def matches(self, frame: bytes) -> bool:
        """Return whether a frame would be a part of a text; it is not collected."""
        try:
            return self._has_framing(frame) and self._joiner.fits(frame)
        except RegexError:
            return True

    def find(self, frame: bytes) -> Sequence[Rule]:
        """Return the rules that have read the text which `frame` has ended, or this one, if more are to come."""
        if self._last is None or self._last[0] is not frame:
            return ()
        text = self._last[1].text
        return (self,) if text is None else self._decoder.find_rules(text)

    def forget_parts(self) -> None:
        """Drop the frames that are collected, because those that belong to them will not come."""
        self._joiner.reset()

    def take_unjoined(self) -> Iterator[Unjoined]:
        """Yield what was dropped since the last call."""
        dropped, self._joiner.dropped = self._joiner.dropped, []
        yield from dropped


def with_joins(rules: Sequence[DecodeRule], encoding: str, *, every: bool) -> list[Rule]:
    """Return the rules; those that join the same frames are one, which stands where the first of them stood."""

    def joins_alike(rule: DecodeRule, other: DecodeRule) -> bool:
        return other.join == rule.join and other.reader.framing == rule.reader.framing

    result: list[Rule] = []
    for index, rule in enumerate(rules):
        if rule.join is None:
            result.append(rule)
        elif not any(joins_alike(rule, other) for other in rules[:index]):
            alike = [other for other in rules if joins_alike(rule, other)]
            result.append(JoinedRules(alike, encoding, every=every))
    return result
