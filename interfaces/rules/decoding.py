"""Decoding: from frames to messages, by the rules of a configuration. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol

from gateway.errors import Problem
from gateway.message import OUTCOME_WORDS, InternalMsg, reserved_argument
from interfaces.rules.conversion import ConversionError, check_finite
from interfaces.rules.converters import pipeline
from interfaces.rules.extractors import (
    Dispatch,
    ExtractError,
    Extractor,
    Values,
    extractor_kinds,
    framing_of,
)
from interfaces.rules.joining import check_join
from interfaces.rules.message_template import (
    ANY,
    NO_CLOCK,
    TIME,
    BadReading,
    CodecError,
    MessageTemplate,
    PartialValues,
    WallClock,
    bad_readings,
    dated_arguments,
    make_messages,
    make_templates,
)
from interfaces.rules.nested import check_reader, make_reader
from interfaces.rules.repetition import FrameValues, each_of
from interfaces.rules.reply import Reply, check_reply
from interfaces.rules.template import TemplateError

UNMATCHED = "no rule matches"
"""The reason why a frame without a rule is dropped, in the log and in the output of `check`."""


class BadValue(NamedTuple):
    """A value that could not be converted: the rule and the name of the value, and the error with both of them."""

    place: str
    error: str


class DueReply(NamedTuple):
    """A reply that a rule calls for: which rule, the reply, and the values of the frame."""

    source: str
    reply: Reply
    values: Values


class PartialMessages(list[InternalMsg]):
    """The messages of a frame that are not all: of which values could not be converted, or that is to be replied to.

    `bad` are those values, `readings` the messages in which they are missing. `replies` are the replies.
    """

    def __init__(
        self,
        messages: Iterable[InternalMsg],
        bad: Sequence[BadValue] = (),
        readings: Sequence[BadReading] = (),
        replies: Sequence[DueReply] = (),
    ) -> None:
        super().__init__(messages)
        self.bad = bad
        self.readings = readings
        self.replies = replies


class IgnoredFrame(list[InternalMsg]):
    """The messages of a frame that is known and not wanted: none."""


_IGNORED = IgnoredFrame()


def bad_values(place: str, sets: Iterable[Mapping[str, Any]]) -> list[BadValue]:
    """Return the values of a frame that could not be used; `place` is the rule, as the log names it."""
    incomplete = [values.left_out for values in sets if isinstance(values, PartialValues)]
    return [BadValue(f"{place}: {name}", f"{place}: {name}: {error}") for out in incomplete for name, error in out]


class ValueReader:
    """An extractor, the converters of its values, and the templates of the messages that are made of them."""

    needs_value: ClassVar[bool] = True
    """Whether a frame of which no value can be converted is an error."""

    def __init__(
        self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str, clock: WallClock = NO_CLOCK
    ) -> None:
        self.extractor: Extractor = make_reader(options, encoding)
        self.messages = make_templates(options, address, self.extractor.names, clock, self.extractor.groups)
        self.framing: str = options.get("framing", "")
        """The name of the framing whose frames it reads; empty: those of all."""
        self._extract: _Extract = self.extractor.extract
        if self.framing and "join" not in options and "until" not in options:  # joined frames: each of them has it
            self._extract = _in_framing(self.framing, self._extract)
        values = options.get("values", {})
        self._converters = {name: pipeline(steps).read for name, steps in values.items() if name != ANY}
        self._default: Callable[[Any], Any] | None = None
        if ANY in values:
            self._default = pipeline(values[ANY]).read
        elif self.extractor.reads_floats:  # only there, a value without converter can be no number
            self._default = check_finite

    @property
    def is_quick(self) -> bool:
        """False if a frame can take long, because an expression runs under a time limit."""
        return self.extractor.is_quick

    def has_framing(self, frame: bytes) -> bool:
        """Return whether `frame` has the framing that is read here."""
        return not self.framing or framing_of(frame) == self.framing

    def read(self, frame: bytes) -> list[Values] | None:
        """Return the converted values of `frame`, empty ones left out, or None if it does not match.

        Where a value cannot be converted, the others are returned as `PartialValues`, and so are the values of a frame
        with repetitions. Raises `CodecError` if none of the values of the frame can be converted, where one is needed.
        """
        try:
            sets = self._extract(frame)
        except ExtractError as err:
            raise CodecError(str(err)) from err
        if sets is None:
            return None
        if sets and type(sets[0]) is FrameValues:
            return self._read_repetitions([values for values in sets if isinstance(values, FrameValues)])
        converters, default = self._converters, self._default
        has_bad = False
        for index, values in enumerate(sets):  # converted in place, which saves a dictionary for each frame
            empty = bad = None  # made when they are needed: nearly all frames have neither
            for name, value in values.items():
                if value is None or value == "":
                    empty = [*(empty or ()), name]
                    continue
                convert = converters.get(name, default)
                if convert is not None:
                    try:
                        value = convert(value)
                    except ConversionError as err:
                        bad = {**(bad or {}), name: str(err)}
                        continue
                    if value == "":
                        empty = [*(empty or ()), name]
                        continue
                values[name] = value.decode("latin-1") if isinstance(value, bytes) else value
            for name in empty or ():
                del values[name]
            if bad is not None:
                has_bad = True
                good = {name: value for name, value in values.items() if name not in bad}
                sets[index] = PartialValues(good, bad)
        if has_bad and self.needs_value and not any(sets):
            errors = next(values.bad for values in sets if isinstance(values, PartialValues))
            raise CodecError("{}: {}".format(*next(iter(errors.items()))), bad_readings(self.messages, sets))
        return sets

    def _read_repetitions(self, extracted: Iterable[FrameValues]) -> list[Values]:
        """Return the converted values of a frame, and then those of each of its repetitions together with them."""
        sets: list[Values] = []
        for frame_values in extracted:
            once = self._converted(frame_values, frame_values.lost.items())
            sets.append(once)
            for group, values in frame_values.repetitions:
                own = self._converted(values)
                sets.append(PartialValues({**once, **own}, {**once.bad, **own.bad}, own.left_out, group))
        if self.needs_value and not any(sets):
            for _, error in bad_values("", sets):
                raise CodecError(error.removeprefix(": "), bad_readings(self.messages, sets))
        return sets

    def _converted(self, values: Mapping[str, Any], lost: Iterable[tuple[str, str]] = ()) -> PartialValues:
        """Return the converted values, empty ones left out; lists keep an empty place for each of theirs."""
        good: Values = {}
        bad: dict[str, str] = {}
        left_out = list(lost)
        for name, value in values.items():
            convert = self._converters.get(name, self._default)
            if type(value) is list:
                errors: list[str] = []
                good[name] = each_of(value, partial(_convert, convert, errors))
                left_out += [(name, error) for error in errors]
            elif value is not None and value != "":
                errors = []
                converted = _convert(convert, errors, value)
                if errors:
                    bad[name] = errors[0]
                elif converted is not None:
                    good[name] = converted
        return PartialValues(good, bad, [*left_out, *bad.items()])


def _convert(convert: Callable[[Any], Any] | None, errors: list[str], value: Any) -> Any:
    """Return the converted value; None if nothing is left of it, or, with a reason more in `errors`, if it is bad."""
    if convert is not None:
        try:
            value = convert(value)
        except ConversionError as err:
            errors.append(str(err))
            return None
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return None if value == "" else value


class Rule(Protocol):
    """What a decoder asks of its rules; `prefix` is how each frame begins that the rule may match."""

    name: str
    prefix: bytes

    @property
    def is_quick(self) -> bool:
        """Whether no frame takes long to read."""

    def decode(self, frame: bytes) -> list[InternalMsg] | None:
        """Return the messages of a frame, or None if it does not match. Raises `CodecError`."""

    def matches(self, frame: bytes) -> bool:
        """Return whether the rule would read a frame, even if its values cannot be converted; nothing changes."""

    def find(self, frame: bytes) -> Sequence[Rule]:
        """Return the rules that `decode` has used for the same frame just before, for `check`. Raises `CodecError`."""


def rule_name(options: Mapping[str, Any]) -> str:
    """Return how the log and `check` call a rule: by its name, its expression, or its kind."""
    return options.get("name") or str(options.get("regex", next(extractor_kinds(options), "rule")))


_Extract = Callable[[bytes], "list[Values] | None"]


def _in_framing(name: str, extract: _Extract) -> _Extract:
    """Return `extract` for the frames that have the framing of this name, of several on one line."""
    return lambda frame: extract(frame) if framing_of(frame) == name else None


class DecodeRule:
    """Which frames a rule matches, and which messages it makes from them."""

    def __init__(
        self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str, clock: WallClock = NO_CLOCK
    ) -> None:
        self.name = rule_name(options)
        self.reader = ValueReader(options, address, encoding, clock)
        self.messages = self.reader.messages
        self.prefix = self.reader.extractor.prefix
        self.is_quick = self.reader.is_quick
        self.join: Mapping[str, Any] | None = options.get("join")
        self.ignores: bool = options.get("ignore", False)
        self.reply = Reply(options["reply"], encoding) if "reply" in options else None

    def matches(self, frame: bytes) -> bool:
        """Return whether the rule matches `frame`, even if its values cannot be converted."""
        try:
            return self.reader.read(frame) is not None
        except CodecError:
            return True

    def find(self, frame: bytes) -> Sequence[Rule]:
        """Return the rule itself if it matches a frame. Raises `CodecError`."""
        return () if self.reader.read(frame) is None else (self,)

    def decode(self, frame: bytes) -> list[InternalMsg] | None:
        """Return the messages of a frame, or None if it does not match.

        They are `PartialMessages` if a value cannot be converted, or if the frame is replied to. Raises `CodecError` if
        no message is left without that value, or if a value cannot be formatted.
        """
        bad: list[BadValue] = []
        try:
            sets = self.reader.read(frame)
            if sets is None:
                return None
            if self.ignores:
                return _IGNORED
            messages: list[InternalMsg] = []
            for values in sets:
                if type(values) is PartialValues:
                    bad += bad_values(f"rule {self.name!a}", (values,))
                    messages += make_messages(self.messages, (values,))
                    continue
                for template in self.messages:
                    msg = template.make(values)
                    if msg is not None:
                        messages.append(msg)
        except CodecError as err:
            raise CodecError(f"rule {self.name!a}: {err}", err.readings) from err
        replies: Sequence[DueReply] = ()
        if self.reply is not None:
            replies = [DueReply(f"rule {self.name!a}", self.reply, sets[0] if sets else {})]
        if not bad:
            return PartialMessages(messages, replies=replies) if replies else messages
        readings = bad_readings(self.messages, sets)
        if not messages:
            raise CodecError(bad[0].error, readings)
        return PartialMessages(messages, bad, readings, replies)


class Decoder:
    """All decode rules: the first one that matches a frame makes its messages, or, with `every`, each that matches."""

    def __init__(self, rules: Sequence[Rule], *, every: bool = False) -> None:
        self.rules = rules
        self.every = every
        self._candidates = Dispatch([rule.prefix for rule in rules]).candidates
        self.decode: Callable[[bytes], list[InternalMsg] | None] = self._decode_by_first
        """Return the messages of a frame, or None if no rule matches it. Raises `CodecError`, as a rule does."""
        if every:
            self.decode = self._decode_by_every
        elif len(rules) == 1:
            self.decode = rules[0].decode

    def _decode_by_first(self, frame: bytes) -> list[InternalMsg] | None:
        for index in self._candidates(frame):
            messages = self.rules[index].decode(frame)
            if messages is not None:
                return messages
        return None

    def _decode_by_every(self, frame: bytes) -> list[InternalMsg] | None:
        result: list[InternalMsg] | None = None
        error: CodecError | None = None
        bad: list[BadValue] = []
        readings: list[BadReading] = []
        replies: list[DueReply] = []
        is_ignored = False
        for index in self._candidates(frame):
            try:
                messages = self.rules[index].decode(frame)
            except CodecError as err:
                error = error or err  # other rules may match nevertheless; only if none does, the frame is dropped
                bad.append(BadValue(f"rule {self.rules[index].name!a}", str(err)))
                readings += err.readings
                continue
            if messages is not None:
                result = [*(result or ()), *messages]
                is_ignored = is_ignored or isinstance(messages, IgnoredFrame)
                if isinstance(messages, PartialMessages):
                    bad += messages.bad
                    readings += messages.readings
                    replies += messages.replies
        if result is None:
            if error is not None:
                raise error
            return None
        if bad or replies:
            return PartialMessages(result, bad, readings, replies)
        return _IGNORED if is_ignored and not result else result

    def find_rules(self, frame: bytes) -> list[Rule]:
        """Return the rules that `decode` has used for `frame` just before, for `check`.

        With `every`, these are also rules that cannot convert its values; without, such a rule raises `CodecError`.
        """
        found: list[Rule] = []
        for index in self._candidates(frame):
            try:
                found += self.rules[index].find(frame)
            except CodecError:
                if not self.every:
                    raise
                found.append(self.rules[index])
            if found and not self.every:
                break
        return found


# --- checks of a configuration


def check_decode_rule(
    options: Mapping[str, Any], address: Mapping[str, str], encoding: str, *, needs_message: bool = True
) -> Iterator[Problem]:
    """Yield the problems of a rule that its schema cannot find; paths begin at the rule."""
    problems = list(check_reader(options, encoding))
    yield from problems
    yield from check_join(options)
    if problems:
        return
    if options.get("ignore"):
        for name in ("values", "message", "messages", "publish", "reply"):
            if name in options:
                yield Problem((name,), "a frame that is ignored makes nothing", "remove this option, or 'ignore'")
        needs_message = False
    has_one, has_several = "message" in options, "messages" in options
    if (has_one and has_several) or (needs_message and not (has_one or has_several or "reply" in options)):
        message = "a rule needs a message"
        yield Problem((), message, "add either 'message', or 'messages' with a list")
    extractor = make_reader(options, encoding)
    names = extractor.names
    yield from _check_values(options.get("values", {}), names)
    if "reply" in options:
        for problem in check_reply(options["reply"], encoding, extractor.single_names):
            yield problem._replace(path=("reply", *problem.path))
    messages = options.get("messages", [options["message"]] if "message" in options else [])
    for number, message in enumerate(messages):
        path = ("messages", number) if "messages" in options else ("message",)
        try:
            template = MessageTemplate(message, address, repeated=extractor.groups)
            needed = template.names
            if dated_arguments(message) and TIME not in MessageTemplate({**message, "arguments": {}}, address).names:
                needed -= {TIME}
        except TemplateError as err:
            yield Problem(path, str(err))
            continue
        yield from _check_argument_names(message.get("arguments", {}), names, (*path, "arguments"))
        for name in sorted(needed - names if names is not None else ()):
            yield Problem(path, f"{{{name}}} is not a value of this rule", _list_values(names))
        yield from _check_repeated(template, extractor, path)


def argument_names(options: Mapping[str, Any], encoding: str) -> frozenset[str] | None:
    """Return the arguments that the messages of a rule can have; None if only a frame shows that, or it has none.

    The rule must be one in which `check_decode_rule` finds nothing.
    """
    messages = options.get("messages", [options["message"]] if "message" in options else [])
    names: frozenset[str] = frozenset()
    for message in messages:
        arguments = message.get("arguments", {})
        found = make_reader(options, encoding).names if isinstance(arguments, str) else frozenset(arguments)
        if found is None:
            return None
        names |= found
    return names if messages else None


def _check_repeated(template: MessageTemplate, extractor: Extractor, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """Yield the values of a message that are lists where only one fits, or are never there at the same time."""
    for name in sorted(template.names_in_texts & extractor.lists):
        remedy = f"add each: true to its repetition, or use it as an argument of its own: '{{{name}}}'"
        yield Problem(path, f"{{{name}}} is a list, which cannot be a part of a text", remedy)
    if not template.groups:
        what = "no repetition has all of the values that it needs"
        yield Problem(path, what, "describe a message of its own for each repetition: add it to 'messages'")


def _check_argument_names(
    arguments: Mapping[str, Any] | str, names: frozenset[str] | None, path: tuple[str | int, ...]
) -> Iterator[Problem]:
    """Yield arguments whose names are reserved for the outcome of a command."""
    has_all_values = isinstance(arguments, str)
    for name in sorted(OUTCOME_WORDS & set((names or ()) if has_all_values else arguments)):
        yield Problem(path if has_all_values else (*path, name), reserved_argument(name), "use another word")


def _check_values(values: Mapping[str, Any], names: frozenset[str] | None) -> Iterator[Problem]:
    for name, steps in values.items():
        if names is not None and name != ANY and name not in names:
            yield Problem(("values", name), f"{name!a} is not a value of this rule", _list_values(names))
        try:
            pipeline(steps)
        except ConversionError as err:
            yield Problem(("values", name), str(err))


def _list_values(names: frozenset[str] | None) -> str:
    return f"its values: {', '.join(sorted(names)) if names else 'none'}"
