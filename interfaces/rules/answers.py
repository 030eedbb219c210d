"""The answer to a request: how to read it, and how long to wait for it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import Problem
from gateway.message import OUTCOME_WORDS, reserved_argument
from interfaces.rules.decoding import ValueReader, check_decode_rule
from interfaces.rules.extractors import ExtractError, NothingExtractor, RegexExtractor, Values
from interfaces.rules.message_template import NO_CLOCK, CodecError, WallClock
from interfaces.rules.safe_regex import RegexError, safe_regex


class AnswerReader(ValueReader):
    """Reads an answer. Values named by `same` must equal the command's arguments; else it answers another command.

    With `until`, the answer has several frames: `ends` recognises the last one, and those before it are read together,
    joined by line ends. An answer of which no value can be converted is an answer nevertheless.
    """

    needs_value = False

    def __init__(
        self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str, clock: WallClock = NO_CLOCK
    ) -> None:
        super().__init__(options, address, encoding, clock)
        self.same: Sequence[str] = options.get("same", ())
        self.until: str | None = options.get("until")
        """The expression of the last frame; None if the answer has one frame."""
        self._end = None
        if self.until is not None:
            self._end = RegexExtractor(self.until, encoding)

    @property
    def has_end(self) -> bool:
        """Whether the answer has several frames, of which the last one is its end."""
        return self._end is not None

    @property
    def is_quick(self) -> bool:
        """False if a frame can take long, because an expression runs under a time limit."""
        return self.extractor.is_quick and (self._end is None or self._end.is_quick)

    def ends(self, frame: bytes) -> bool:
        """Return whether `frame` is the end of the answer. Raises `CodecError` if that takes too long to find out."""
        try:
            return self._end is not None and self.has_framing(frame) and self._end.extract(frame) is not None
        except ExtractError as err:
            raise CodecError(str(err)) from err

    def wants(self, frame: bytes) -> bool:
        """Return whether `frame`, which is not the end, has values of the answer by itself."""
        if isinstance(self.extractor, NothingExtractor) or not self.has_framing(frame):
            return False
        try:
            return self.extractor.extract(frame) is not None
        except ExtractError:
            return True

    def read_for(self, arguments: Mapping[str, Any]) -> Callable[[bytes], list[Values] | None]:
        """Return the function that reads the answer to a command with these arguments."""
        if not self.same:
            return self.read

        def read(frame: bytes) -> list[Values] | None:
            sets = self.read(frame) or ()
            matching = [values for values in sets if all(values.get(n) == arguments.get(n) for n in self.same)]
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
        self.has_same = any(each is not None and each.same for each in (self.response, self.refusal))
        """Whether it shows which of several alike requests it answers."""


def check_answers(options: Mapping[str, Any], encoding: str, arguments: frozenset[str] | None) -> Iterator[Problem]:
    """Yield the problems of the answers that a rule or a request expects; paths begin at it.

    `arguments` are what `same` may name; None: not known.
    """
    for kind in ("response", "refusal"):
        if kind in options:
            problems = list(_check_until(kind, options[kind]))
            problems += check_decode_rule(options[kind], {}, encoding, needs_message=False)
            yield from (problem._replace(path=(kind, *problem.path)) for problem in problems)
            if not problems:
                yield from _check_answer(kind, options[kind], encoding, arguments)


def _check_until(kind: str, options: Mapping[str, Any]) -> Iterator[Problem]:
    if "until" not in options:
        return
    if kind == "refusal":
        yield Problem(
            ("until",), "a refusal is one frame, which ends the answer", "describe this frame, without 'until'"
        )
    if "binary" in options:
        text = "the frames of an answer with an end are joined by line ends, and cannot be read as bytes"
        yield Problem(("until",), text, "use lines, regex, fields, pairs or json, or remove 'until'")
    try:
        names = safe_regex(options["until"]).names
    except RegexError as err:
        yield Problem(("until",), str(err), "correct it")
        return
    if names:
        text = f"the end of an answer is not read, but its expression has a name: {', '.join(names)}"
        yield Problem(("until",), text, "write ( ) without a name; what is before the end is read")


def _check_answer(
    kind: str, options: Mapping[str, Any], encoding: str, arguments: frozenset[str] | None
) -> Iterator[Problem]:
    extractor = AnswerReader(options, {}, encoding).extractor
    names = extractor.names
    for name in sorted(OUTCOME_WORDS & (names or frozenset())):
        if "message" not in options and "messages" not in options:  # its values become arguments of the outcome
            yield Problem((kind,), reserved_argument(name), "use another word")
    for index, name in enumerate(options.get("same", ())):
        if arguments is not None and name not in arguments:
            yield Problem((kind, "same", index), f"{name!a} is not an argument", "use a name from 'arguments'")
        if names is not None and name not in names:
            yield Problem((kind, "same", index), f"{name!a} is not a value of the answer", "read this value, too")
        if name in extractor.lists:
            yield Problem((kind, "same", index), f"{name!a} is a list, which equals no argument", "add each: true")
