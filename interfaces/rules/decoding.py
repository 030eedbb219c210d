"""From frames to messages: the decoding rules of a configuration. Pure; the clock comes in as an argument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from gateway.errors import GatewayError, Problem
from gateway.message import ADDRESS_FIELDS, OUTCOME_WORDS, InternalMsg, reserved_argument
from interfaces.rules.change_filter import ChangeFilter
from interfaces.rules.converters import ConversionError, pipeline
from interfaces.rules.extractors import KINDS, Dispatch, ExtractError, Extractor, Values, each_kind, make_extractor
from interfaces.rules.layout import LayoutError
from interfaces.rules.safe_regex import RegexError
from interfaces.rules.template import Template, TemplateError

WORD_FIELDS = (*ADDRESS_FIELDS, "action")
ANY = "*"
"""In `values`: every value without a converter of its own. As `arguments`: every value."""

UNMATCHED = "no rule matches"
"""Why a frame is dropped, in the log and by `check`."""


class CodecError(GatewayError):
    """A frame or a command fits a rule, but one of its values does not: which, and why."""


class MessageTemplate:
    """What message a rule makes: templates for its words and arguments; `names` are the values they need."""

    def __init__(self, options: Mapping[str, Any], address: Mapping[str, str]) -> None:
        self.iscmd = options.get("type") == "command"
        words = {**address, **{name: options[name] for name in WORD_FIELDS if name in options}}
        self._words = {name: Template(words.get(name, "")) for name in WORD_FIELDS}
        self._constant_words = {name: self._words[name].fill({}) for name in words if not self._words[name].names}
        arguments = options.get("arguments", {})
        self._takes_all = arguments == ANY
        self._arguments: dict[str, Any] = {
            key: Template(value) if isinstance(value, str) else value
            for key, value in ({} if self._takes_all else arguments).items()
        }
        templates = [*self._words.values(), *(v for v in self._arguments.values() if isinstance(v, Template))]
        self.names = frozenset(name for template in templates for name in template.names)
        # As most are: the words are always the same, and each argument is a value.
        plain = [(key, v.alone) for key, v in self._arguments.items() if isinstance(v, Template) and v.alone]
        self._plain = plain if len(plain) == len(self._arguments) and not self._takes_all else None
        is_constant = not any(template.names for template in self._words.values())
        self._prototype = self._message(self._constant_words, {}) if is_constant else None

    @property
    def constant_words(self) -> Mapping[str, str]:
        """Return the words that do not depend on a frame, by field."""
        return self._constant_words

    def make(self, values: Mapping[str, Any]) -> InternalMsg | None:
        """Return the message for `values`; arguments whose value is missing are left out.

        None if a word needs a value that is missing, or if there are arguments and all of them are left out.
        Raises `CodecError` if a value does not take its format.
        """
        try:
            if self._plain is not None:
                arguments: Mapping[str, Any] = {}
                for key, name in self._plain:  # a comprehension is a function of its own, which costs as much again
                    if name in values:
                        arguments[key] = values[name]  # type: ignore[index]
            else:
                arguments = values if self._takes_all else self._arguments_of(values)
                if self._takes_all and not OUTCOME_WORDS.isdisjoint(values):
                    name = min(OUTCOME_WORDS & values.keys())
                    raise CodecError(f"{reserved_argument(name)}: give the arguments by name instead of '*'")
            if not arguments and (self._arguments or self._takes_all):
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
        return InternalMsg(self.iscmd, function, gateway, location, device, sender, action, arguments)

    def _arguments_of(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            key: value.value(values) if isinstance(value, Template) else value
            for key, value in self._arguments.items()
            if not isinstance(value, Template) or value.names <= values.keys()
        }


class ValueReader:
    """A matcher and the converters of its values."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self.matcher: Extractor = make_extractor(options, encoding)
        self._match = self.matcher.match
        given = options.get("values", {})
        self._converters = {name: pipeline(steps).read for name, steps in given.items() if name != ANY}
        self._default = pipeline(given[ANY]).read if ANY in given else None

    def read(self, frame: bytes) -> list[Values] | None:
        """Return the values of `frame`, empty ones left out, or None if it is not of this kind.

        Raises `CodecError` if a value cannot be converted.
        """
        name = ""
        try:
            found = self._match(frame)
            if found is None:
                return None
            converters, default = self._converters, self._default
            for values in found:  # in place: each line has one
                empty = []
                for name, value in values.items():
                    if value is None or value == "":
                        empty.append(name)
                        continue
                    convert = converters.get(name, default)
                    if convert is not None:
                        value = convert(value)
                    values[name] = value.decode("latin-1") if isinstance(value, bytes) else value
                for name in empty:
                    del values[name]
        except ConversionError as err:
            raise CodecError(f"{name}: {err}") from err
        except ExtractError as err:
            raise CodecError(str(err)) from err
        return found


class DecodeRule:
    """What frames a rule takes, and what messages it makes of them."""

    def __init__(self, options: Mapping[str, Any], address: Mapping[str, str], encoding: str) -> None:
        self.name: str = options.get("name") or str(options.get("regex", next(each_kind(options), "rule")))
        self.reader = ValueReader(options, encoding)
        given = [options["message"]] if "message" in options else options.get("messages", ())
        self.messages = [MessageTemplate(message, address) for message in given]
        self.change_filter = ChangeFilter(options["publish"]) if options.get("publish") else None

    def decode(self, frame: bytes, now: float = 0.0) -> list[InternalMsg] | None:
        """Return the messages of `frame`, or None if it is not this rule's. Raises `CodecError`."""
        try:
            found = self.reader.read(frame)
            if found is None:
                return None
            messages: list[InternalMsg] = []
            for values in found:
                for template in self.messages:
                    msg = template.make(values)
                    if msg is not None:
                        messages.append(msg)
        except CodecError as err:
            raise CodecError(f"rule {self.name!a}: {err}") from err
        keep = self.change_filter
        return messages if keep is None else [msg for msg in messages if keep.passes(msg, now)]


class _Decode(Protocol):
    def __call__(self, frame: bytes, now: float = 0.0) -> list[InternalMsg] | None: ...


class Decoder:
    """All rules: the first that takes a frame makes its messages, or, with `every`, each that takes it."""

    def __init__(self, rules: Sequence[DecodeRule], *, every: bool = False) -> None:
        self.rules = rules
        self._candidates = Dispatch([rule.reader.matcher.prefix for rule in rules]).candidates
        self.decode: _Decode = self._decode_by_first
        """Returns the messages of a frame that came at the time `now` (s), or None if no rule takes it.

        Raises `CodecError`.
        """
        if every:
            self.decode = self._decode_by_every
        elif len(rules) == 1:
            self.decode = rules[0].decode

    def _decode_by_first(self, frame: bytes, now: float = 0.0) -> list[InternalMsg] | None:
        for index in self._candidates(frame):
            messages = self.rules[index].decode(frame, now)
            if messages is not None:
                return messages
        return None

    def _decode_by_every(self, frame: bytes, now: float = 0.0) -> list[InternalMsg] | None:
        result: list[InternalMsg] | None = None
        problem: CodecError | None = None
        for index in self._candidates(frame):
            try:
                messages = self.rules[index].decode(frame, now)
            except CodecError as err:
                problem = err  # the other rules are good all the same
                continue
            if messages is not None:
                result = [*(result or ()), *messages]
        if result is None and problem is not None:
            raise problem
        return result

    def rule_of(self, frame: bytes) -> DecodeRule | None:
        """Return the first rule that takes `frame`, for people who ask. Raises `CodecError`."""
        for index in self._candidates(frame):
            if self.rules[index].reader.read(frame) is not None:
                return self.rules[index]
        return None


# --- checks of a configuration


def check_decode_rule(
    options: Mapping[str, Any], address: Mapping[str, str], encoding: str, *, needs_message: bool = True
) -> Iterator[Problem]:
    """Yield what is wrong with a rule, beyond its schema; paths begin at the rule."""
    kinds = list(each_kind(options))
    if len(kinds) != 1:
        found = " and ".join(kinds) if kinds else "none"
        yield Problem(
            (), f"a rule has one of {', '.join(KINDS)}; this one has {found}", "say once how it reads a frame"
        )
        return
    if needs_message and ("message" in options) == ("messages" in options):
        yield Problem((), "a rule makes a message: give 'message', or 'messages' with a list", "")
    names: frozenset[str] | None
    try:
        names = make_extractor(options, encoding).names
    except (RegexError, LayoutError) as err:
        yield Problem((kinds[0],), str(err), "correct it")
        return
    yield from _check_values(options.get("values", {}), names)
    messages = options.get("messages", [options["message"]] if "message" in options else [])
    for number, message in enumerate(messages):
        at = ("messages", number) if "messages" in options else ("message",)
        try:
            needed = MessageTemplate(message, address).names
        except TemplateError as err:
            yield Problem(at, str(err))
            continue
        yield from _check_argument_names(message.get("arguments", {}), names, (*at, "arguments"))
        for name in sorted(needed - names if names is not None else ()):
            yield Problem(at, f"{{{name}}} is not a value of this rule", _known(names))


def _check_argument_names(
    arguments: Mapping[str, Any] | str, names: frozenset[str] | None, at: tuple[str | int, ...]
) -> Iterator[Problem]:
    """Find the arguments of a message that would be taken for the outcome of a command."""
    takes_all = isinstance(arguments, str)
    for name in sorted(OUTCOME_WORDS & set((names or ()) if takes_all else arguments)):
        yield Problem(at if takes_all else (*at, name), reserved_argument(name), "use another word")


def _check_values(values: Mapping[str, Any], names: frozenset[str] | None) -> Iterator[Problem]:
    for name, steps in values.items():
        if names is not None and name != ANY and name not in names:
            yield Problem(("values", name), f"{name!a} is not a value of this rule", _known(names))
        try:
            pipeline(steps)
        except ConversionError as err:
            yield Problem(("values", name), str(err))


def _known(names: frozenset[str] | None) -> str:
    return f"its values: {', '.join(sorted(names)) if names else 'none'}"
