"""Requests of several steps: what each writes, and the answer that it waits for before the next one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.errors import Problem
from interfaces.rules.answers import Answer, check_answers
from interfaces.rules.content import CONTENTS, check_kinds, content_kinds, hex_remedy, make_content
from interfaces.rules.layout import LayoutError
from interfaces.rules.message_template import NO_CLOCK, CodecError, WallClock
from interfaces.rules.nested import make_reader
from interfaces.rules.own_values import OWN_VALUES
from interfaces.rules.template import Template, TemplateError

_SPEEDS = (50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600, 115_200, 230_400)
_FAST = (
    460_800,
    500_000,
    576_000,
    921_600,
    1_000_000,
    1_152_000,
    1_500_000,
    2_000_000,
    2_500_000,
    3_000_000,
    4_000_000,
)
SPEEDS = frozenset(map(str, _SPEEDS + _FAST))
"""The speeds (bit/s) that the terminal driver has constants for, so that a line can change to them."""

_OF_A_STEP = (*CONTENTS, "framing", "response", "refusal", "timeout", "retries")


class Step:
    """One step: what is written, if anything, the answer, the pause (s) after it, and the speed once it is written."""

    def __init__(
        self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str, clock: WallClock = NO_CLOCK
    ) -> None:
        kind = next(content_kinds(options), None)
        self.content = None if kind is None else make_content(options, encoding)
        self.name = str(options.get("name") or ((options[kind] or "empty line") if kind in ("write", "hex") else ""))
        self.framing: str = options.get("framing", "")
        """The name of the framing in which it is written; empty: that of all that is written."""
        self.answer = Answer(options, address, encoding, clock)
        self.pause: float = options.get("pause", 0.0)
        self._baudrate = Template(str(options["baudrate"])) if "baudrate" in options else None

    @property
    def names(self) -> frozenset[str]:
        """The values that what is written needs."""
        return frozenset() if self.content is None else self.content.names

    def make(self, values: Mapping[str, Any]) -> bytes:
        """Return what to write for `values`, without checksum and framing.

        Raises `CodecError` if a value is missing, or cannot be written.
        """
        if self.content is None:
            return b""
        _check_present(self.names, values)
        return self.content.make(values)

    def baudrate(self, values: Mapping[str, Any]) -> int:
        """Return the speed (bit/s) once the step is written, 0 if it stays; raise `CodecError` if there is no such."""
        if self._baudrate is None:
            return 0
        _check_present(self._baudrate.names, values)
        text = self._baudrate.fill(values)
        if text not in SPEEDS:
            raise CodecError(f"{text!a} is not a speed of a serial line")
        return int(text)


def _check_present(names: frozenset[str], values: Mapping[str, Any]) -> None:
    for name in sorted(names - values.keys()):
        raise CodecError(f"the value {name!a} is missing: the device has not sent it")


def make_steps(
    options: Mapping[str, Any], address: Mapping[str, str], encoding: str, clock: WallClock = NO_CLOCK
) -> Sequence[Step]:
    """Return the steps of a rule or a request; one without `steps` is a single step."""
    return [Step(step, address, encoding, clock) for step in options.get("steps", [options])]


def each_step(options: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Yield path and options of each step of a rule or a request; paths begin at it."""
    if "steps" not in options:
        yield (), options
    for index, step in enumerate(options.get("steps", ())):
        yield ("steps", index), step


# --- checks of a configuration


def check_steps(options: Mapping[str, Any], encoding: str, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of what a rule or a request writes, and of the answers to it; paths begin at it."""
    if "steps" not in options:
        yield from check_step(options, encoding, frozenset(arguments), needs_content=True)
        return
    for name in _OF_A_STEP:
        if options.get(name, 0) != 0:  # 0 is the default of retries
            yield Problem((name,), f"{name!a} is an option of a step where there are steps", "move it to a step")
    yield from check_sequence(options["steps"], encoding, frozenset(arguments), ("steps",))


def check_sequence(
    steps: Sequence[Mapping[str, Any]],
    encoding: str,
    names: frozenset[str] | None = frozenset(),
    path: tuple[str, ...] = (),
) -> Iterator[Problem]:
    """Yield the problems of steps that follow each other; paths begin with `path`.

    `names` are the values that the first step may use; None: only a frame shows which.
    """
    for index, step in enumerate(steps):
        problems = list(check_step(step, encoding, names))
        yield from (problem._replace(path=(*path, index, *problem.path)) for problem in problems)
        if problems:
            return
        if "response" in step and names is not None:
            more = make_reader(step["response"], encoding).single_names
            names = None if more is None else names | more


def check_step(
    options: Mapping[str, Any], encoding: str, names: frozenset[str] | None, *, needs_content: bool = False
) -> Iterator[Problem]:
    """Yield the problems of one step; `names` are the arguments of the command, and the values of earlier answers."""
    own: frozenset[str] = frozenset()
    if needs_content or any(content_kinds(options)):
        problems = list(_check_content(options, encoding, names))
        yield from problems
        own = frozenset() if problems else make_content(options, encoding).names & OWN_VALUES
    elif "response" not in options and not options.get("pause"):
        yield Problem((), "this step does nothing", f"add one of {', '.join(CONTENTS)}, response, pause")
        return
    yield from check_answers(options, encoding, None if names is None else names | own)
    yield from _check_baudrate(options, names)


def _check_content(options: Mapping[str, Any], encoding: str, names: frozenset[str] | None) -> Iterator[Problem]:
    problems = list(check_kinds(options))
    yield from problems
    if problems:
        return
    kind = next(content_kinds(options))
    try:
        content = make_content(options, encoding)
    except (TemplateError, CodecError, LayoutError) as err:
        yield Problem((kind, *(err.path if isinstance(err, LayoutError) else ())), str(err))
        return
    for name in sorted(content.bare_numbers):
        yield Problem((kind,), f"{{{name}}} is a number, and hex needs its format", hex_remedy(name))
    for name in sorted(content.names - names - OWN_VALUES) if names is not None else ():
        yield Problem((kind,), f"{{{name}}} is not an argument", f"add it: arguments: {{{name}: {{type: ...}}}}")


def _check_baudrate(options: Mapping[str, Any], names: frozenset[str] | None) -> Iterator[Problem]:
    if "baudrate" not in options:
        return
    text = str(options["baudrate"])
    try:
        template = Template(text)
    except TemplateError as err:
        yield Problem(("baudrate",), str(err))
        return
    if not template.names and text not in SPEEDS:
        yield Problem(("baudrate",), f"{text} is not a speed of a serial line", "use 300, 9600, 115200 ...")
    for name in sorted(template.names - names) if names is not None else ():
        yield Problem(("baudrate",), f"{{{name}}} is not a value of an earlier answer", "read it in an earlier step")
