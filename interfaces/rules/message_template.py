"""Message templates: the message that a rule makes from the values of a frame. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from gateway.errors import GatewayError
from gateway.message import ADDRESS_FIELDS, OUTCOME_WORDS, InternalMsg, ReportRule, iso_time, reserved_argument
from interfaces.rules.template import Template, TemplateError

WORD_FIELDS = (*ADDRESS_FIELDS, "action")

ANY = "*"
"""In `values`: every value without a converter of its own. As `arguments`: every value."""


TIME = "time"
"""The name in braces that stands for the time at which a frame was received, unless a value of the rule has it."""

WallClock: TypeAlias = Callable[[], float]
"""Returns Unix time (s)."""

NO_CLOCK: WallClock = float
"""Where no frame is received: it always returns 0.0."""


class BadReading(NamedTuple):
    """A message without those of its arguments whose values could not be converted: `errors` tells why, by argument."""

    msg: InternalMsg
    errors: Mapping[str, str]


class CodecError(GatewayError):
    """A frame or a command matches a rule, but one of its values does not fit: which one, and why.

    `readings` are those that the frame would have brought.
    """

    def __init__(self, text: str, readings: Sequence[BadReading] = ()) -> None:
        super().__init__(text)
        self.readings = readings


class PartialValues(dict[str, Any]):
    """Some of the values of a frame: without those that could not be converted, or those of one repetition.

    `bad` are the errors of values that could not be converted, by name. `left_out` is what the log says of that: name
    and reason of each value, or entry of a list, that is not here. `group` is the number of the repetitions that the
    values are one of; 0: of none.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        bad: Mapping[str, str],
        left_out: Collection[tuple[str, str]] | None = None,
        group: int = 0,
    ) -> None:
        super().__init__(values)
        self.bad = bad
        self.left_out = bad.items() if left_out is None else left_out
        self.group = group


class MessageTemplate:
    """The template of a message: of its words and arguments. `names` are the values that it needs.

    `report` is the rule by which the messages are reported; None: each of them. `repeated` are the names of the values
    of each group of repetitions: a message that uses some of them is made for each repetition of `groups`.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        address: Mapping[str, str],
        report: ReportRule | None = None,
        repeated: Sequence[frozenset[str]] = (),
    ) -> None:
        self._report = report
        self.iscmd = options.get("type") == "command"
        words = {**address, **{name: options[name] for name in WORD_FIELDS if name in options}}
        self._words = {name: Template(words.get(name, "")) for name in WORD_FIELDS}
        self._constant_words = {name: self._words[name].fill({}) for name in words if not self._words[name].names}
        arguments = options.get("arguments", {})
        self._has_all_values = arguments == ANY
        self._arguments: dict[str, Any] = {
            key: Template(value) if isinstance(value, str) else value
            for key, value in ({} if self._has_all_values else arguments).items()
        }
        templates = [*self._words.values(), *(v for v in self._arguments.values() if isinstance(v, Template))]
        self.names = frozenset(name for template in templates for name in template.names)
        self.groups = self._groups_of(repeated)
        # The common case, which `make` handles without templates: constant words, and each argument is one value.
        single = [
            (key, template.single_name)
            for key, template in self._arguments.items()
            if isinstance(template, Template) and template.single_name
        ]
        self._single_values = single if len(single) == len(self._arguments) and not self._has_all_values else None
        has_constant_words = not any(template.names for template in self._words.values())
        self._prototype = self._message(self._constant_words, {}) if has_constant_words else None

    def _groups_of(self, repeated: Sequence[frozenset[str]]) -> frozenset[int]:
        """Return the numbers of the groups of which the message is made; {0}: once for the frame; none: impossible."""
        used = self.names & frozenset().union(*repeated)
        if used or (repeated and self._has_all_values):
            return frozenset(number for number, names in enumerate(repeated, 1) if used <= names)
        return frozenset((0,))

    @property
    def names_in_texts(self) -> frozenset[str]:
        """The values that become a part of a text: of a word, or of an argument with more than its name."""
        arguments = (value for value in self._arguments.values() if isinstance(value, Template))
        texts = [*self._words.values(), *(template for template in arguments if not template.single_name)]
        return frozenset(name for template in texts for name in template.names)

    @property
    def constant_words(self) -> Mapping[str, str]:
        """The words that do not depend on a frame, by field."""
        return self._constant_words

    @property
    def constant_message(self) -> InternalMsg | None:
        """The message with those arguments that do not depend on a frame; None if one of its words depends on it."""
        if self._prototype is None:
            return None
        constants = {
            key: value.fill({}) if isinstance(value, Template) else value
            for key, value in self._arguments.items()
            if not isinstance(value, Template) or not value.names
        }
        return self._prototype.with_arguments(constants)

    def can_make(self, values: PartialValues) -> bool:
        """Return whether a message can be made of these values, without those that could not be converted.

        It cannot if it is not made of such repetitions, if one of its words needs a value that could not be converted,
        or if none of its arguments would depend on the frame.
        """
        if values.group not in self.groups:
            return False
        bad = values.bad.keys()
        if any(not template.names.isdisjoint(bad) for template in self._words.values()):
            return False
        if self._has_all_values:
            return bool(values)
        needed = [template.names for template in self._arguments.values() if isinstance(template, Template)]
        if all(names.isdisjoint(bad) for names in needed):
            return True
        return any(names and names <= values.keys() for names in needed)

    def bad_reading(self, values: PartialValues) -> BadReading | None:
        """Return what is missing in the message for these values; None: nothing, or it is unknown in which message."""
        bad = values.bad
        if values.group not in self.groups or any(
            not template.names <= values.keys() for template in self._words.values()
        ):
            return None
        if self._has_all_values:
            errors: Mapping[str, str] = bad
        else:
            errors = {
                key: next(bad[name] for name in template.names if name in bad)
                for key, template in self._arguments.items()
                if isinstance(template, Template) and not template.names.isdisjoint(bad)
            }
        words = {name: template.fill(values) for name, template in self._words.items()}
        arguments = values if self._has_all_values else self._fill_arguments(values)
        return BadReading(self._message(words, arguments), errors) if errors else None

    def make(self, values: Mapping[str, Any]) -> InternalMsg | None:
        """Return the message for `values`; arguments whose value is missing are left out.

        Returns None if a word needs a value that is missing, or if there are arguments and all of them are left out.
        Raises `CodecError` if a value does not fit its format.
        """
        try:
            if self._single_values is not None:
                arguments: Mapping[str, Any] = {}
                # A loop, because before Python 3.12 a comprehension is a function call, which doubles the cost.
                for key, name in self._single_values:
                    if name in values:
                        arguments[key] = values[name]  # type: ignore[index]
            else:
                arguments = values if self._has_all_values else self._fill_arguments(values)
                if self._has_all_values and not OUTCOME_WORDS.isdisjoint(values):
                    name = min(OUTCOME_WORDS & values.keys())
                    raise CodecError(f"{reserved_argument(name)}: list the arguments by name instead of '*'")
            if not arguments and (self._arguments or self._has_all_values):
                return None
            if self._prototype is not None:
                return self._prototype.with_arguments(arguments)
            if any(not template.names <= values.keys() for template in self._words.values()):
                return None
            words = {name: template.fill(values) for name, template in self._words.items()}
        except TemplateError as err:
            raise CodecError(str(err)) from err
        return self._message(words, arguments)

    def _message(self, words: Mapping[str, str], arguments: Mapping[str, Any]) -> InternalMsg:
        function, gateway, location, device, sender, action = [words.get(name, "") for name in WORD_FIELDS]
        msg = InternalMsg(self.iscmd, function, gateway, location, device, sender, action, arguments)
        return msg if self._report is None else msg.reported_by(self._report)

    def _fill_arguments(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            key: value.value(values) if isinstance(value, Template) else value
            for key, value in self._arguments.items()
            if not isinstance(value, Template) or value.names <= values.keys()
        }


class DatedTemplate(MessageTemplate):
    """The template of a message with the time at which its frame was received, by `clock`, in one of its arguments.

    That argument is no reading: it is not compared, and alone it makes no message of a frame whose values are empty.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        address: Mapping[str, str],
        report: ReportRule | None,
        clock: WallClock,
        repeated: Sequence[frozenset[str]] = (),
    ) -> None:
        self._dated = dated_arguments(options)
        super().__init__(options, address, report, repeated)
        self._clock = clock
        needed = [value.names - {TIME} for value in self._arguments.values() if isinstance(value, Template)]
        self._needed = [names for names in needed if names]

    def can_make(self, values: PartialValues) -> bool:
        """Return whether a message can be made without the values that could not be converted."""
        return super().can_make(PartialValues({TIME: "", **values}, values.bad, group=values.group))

    def make(self, values: Mapping[str, Any]) -> InternalMsg | None:
        """Return the message for `values`, as `MessageTemplate` does; a value called `time` goes before the time."""
        if self._needed and not any(names <= values.keys() for names in self._needed):
            return None
        return super().make({TIME: iso_time(self._clock()), **values})

    def _message(self, words: Mapping[str, str], arguments: Mapping[str, Any]) -> InternalMsg:
        return super()._message(words, arguments).with_uncompared(self._dated)


def dated_arguments(message: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the arguments of a message template that contain `{time}`; raise `TemplateError` if one is wrong."""
    arguments = message.get("arguments", {})
    texts = {} if arguments == ANY else {key: value for key, value in arguments.items() if isinstance(value, str)}
    return tuple(key for key, text in texts.items() if TIME in Template(text).names)


def make_templates(
    rule: Mapping[str, Any],
    address: Mapping[str, str],
    names: Collection[str] | None = None,
    clock: WallClock = NO_CLOCK,
    repeated: Sequence[frozenset[str]] = (),
) -> list[MessageTemplate]:
    """Return the templates of the messages that a rule makes, which are reported as its `publish` says.

    `names` are the values of the rule, if they are known; `clock` gives the time for `{time}`. `repeated` are the names
    of the values of each group of repetitions.
    """
    messages = [rule["message"]] if "message" in rule else rule.get("messages", ())
    report = ReportRule.of(rule["publish"]) if rule.get("publish") else None
    if report == ReportRule():
        report = None  # nothing is held back or distinguished, so that nothing need be remembered
    is_value = names is not None and TIME in names
    return [
        MessageTemplate(message, address, report, repeated)
        if is_value or not dated_arguments(message)
        else DatedTemplate(message, address, report, clock, repeated)
        for message in messages
    ]


def single_values(sets: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the sets of values that are not those of one repetition: the only ones where all cannot be used."""
    return (values for values in sets if not (isinstance(values, PartialValues) and values.group))


def make_messages(templates: Sequence[MessageTemplate], sets: Sequence[Mapping[str, Any]]) -> Iterator[InternalMsg]:
    """Yield the messages of a frame that was read; raise `CodecError` if a value does not fit its format."""
    for values in sets:
        for template in templates:
            if isinstance(values, PartialValues) and not template.can_make(values):
                continue
            msg = template.make(values)
            if msg is not None:
                yield msg


def bad_readings(templates: Sequence[MessageTemplate], sets: Sequence[Mapping[str, Any]]) -> list[BadReading]:
    """Return what is missing in the messages of a frame, because values of it could not be converted."""
    partial = [values for values in sets if isinstance(values, PartialValues)]
    try:
        readings = [template.bad_reading(values) for values in partial for template in templates]
    except TemplateError:
        return []  # another value does not fit its format, and the frame is dropped for that
    return [reading for reading in readings if reading is not None]
