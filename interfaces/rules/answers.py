"""The answer to a request: how to read it, and how long to wait for it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import Problem
from gateway.message import OUTCOME_WORDS, reserved_argument
from interfaces.rules.decoding import ValueReader, check_decode_rule
from interfaces.rules.extractors import Values
from interfaces.rules.message_template import NO_CLOCK, WallClock


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


def check_answers(options: Mapping[str, Any], encoding: str, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the answers that a rule or a request expects; paths begin at it."""
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
