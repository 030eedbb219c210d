"""The syntax of messages in MQTT: their topics and payloads. Pure and immutable.

A syntax is a list of forms. Each form is for commands or for statuses, and has a template of its topic, a kind of
payload, and constants: words that are always the same. A message is written in the first form that has a place for all
its parts. No topic can belong to two forms, so that each message is read in the form in which it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from gateway.core.bounded_cache import put
from gateway.core.counting import counted
from gateway.core.quoting import quote
from gateway.core.topic import filter_can_match, word_problem
from gateway.errors import MessageError, Problem, TopicError, WordError
from gateway.message import ADDRESS, ADDRESS_AND_ACTION, ADDRESS_FIELDS, Argument, InternalMsg, Lane, Publication
from gateway.translation.delivery import Delivery
from gateway.translation.field_map import FieldMap
from gateway.translation.payload import PayloadKind, encoded, make_payload
from gateway.translation.topic_template import fields_in, parse

Address: TypeAlias = tuple[bool, str, str, str, str, str]
"""Whether it is a command, then `ADDRESS_FIELDS`."""

PayloadReader: TypeAlias = Callable[[str, str], tuple[str, dict[str, Argument]]]
"""Returns action and arguments for the action of the topic and the text of the payload."""

_WORDS = (*ADDRESS_FIELDS, "action")


class MessageForm(NamedTuple):
    """One form as a map declares it; `argument` and `text` are for a payload `value`: its name and type."""

    iscmd: bool
    topic: str
    payload: PayloadKind = "action"
    argument: str = "value"
    constants: Mapping[str, str] = MappingProxyType({})
    text: bool = False

    @property
    def places(self) -> frozenset[str]:
        """Return the fields for which the topic or the payload has a place."""
        return frozenset(fields_in(self.topic)) | ({"action"} if self.payload == "action" else set())


Syntax: TypeAlias = tuple[MessageForm, ...]

_LEVELS = "{root}/{function}/{gateway}/{location}/{device}/{sender}"
SEVEN_LEVELS: Syntax = (MessageForm(True, f"{_LEVELS}/C"), MessageForm(False, f"{_LEVELS}/S"))
"""The syntax of a map without one of its own."""


class BoundForm:
    """A form with the root, the field maps and the sender of a map.

    `subscribed` are the filters of the map. If the topic has no sender, a message must not match any of them: it would
    come back and be read as the message of another client. `delivery_of` returns how a message is delivered, and
    `rules_name_action` is true if that depends on its action, too. Commands have QoS 0, statuses `status_qos`.
    """

    def __init__(
        self,
        form: MessageForm,
        root: str,
        fields: Mapping[str, FieldMap],
        *,
        sender: str,
        subscribed: Sequence[str],
        delivery_of: Callable[[InternalMsg], Delivery],
        rules_name_action: bool,
        status_qos: int,
    ) -> None:
        self.form = form
        self.shape = shape(form.topic, root)
        self.levels = parse(form.topic, root, fields)
        payload = make_payload(form.payload, fields, form.argument, is_text=form.text)
        self._write_payload = payload.write
        self.read_payload: PayloadReader = payload.read
        self._has_action_in_payload = form.payload == "action"
        self._structured_levels = [(index, level) for index, level in enumerate(self.levels) if not level.is_word]
        self._word_levels = [(index, level) for index, level in enumerate(self.levels) if level.maps]
        self._fields = fields
        self._sender = sender
        self._delivery_of = delivery_of
        self._status_qos = status_qos
        self._subscribed = () if "sender" in form.places else tuple(subscribed)
        self._constants = {name: form.constants.get(name, "") for name in _WORDS if name not in form.places}
        # The caches below have no room for actions in payloads, which may be large and all different.
        self._names = ADDRESS_FIELDS if self._has_action_in_payload else _WORDS
        self._cache_key = ADDRESS if self._has_action_in_payload else ADDRESS_AND_ACTION
        self._rules_name_action = self._has_action_in_payload and rules_name_action
        # Devices repeat the same few messages: their topics and deliveries are cached. If the delivery depends on an
        # action in the payload, only the topic is cached.
        self._written: dict[Any, tuple[str, Publication | None]] = {}
        self._written_replies: dict[Any, tuple[str, Publication | None]] = {}

    def write(self, msg: InternalMsg) -> Publication:
        """Return `msg` as a publication in this form; raise `MessageError` if that is impossible."""
        words: Any = msg[self._cache_key]
        written = self._written_replies if "response" in msg.arguments else self._written
        try:
            cached = written.get(words)
        except TypeError:  # a word is not hashable, for example a list: the error is raised below
            cached = None
        if cached is None:
            topic = self._write_topic(dict(zip(self._names, words, strict=True)))
            cached = topic, None if self._rules_name_action else self._prototype(topic, msg)
            put(written, words, cached)
        topic, prototype = cached
        text = self._write_payload(msg.action, msg.arguments)
        payload = encoded(text, msg.action if self._has_action_in_payload else "")
        return (prototype or self._prototype(topic, msg)).with_payload(payload)

    def _prototype(self, topic: str, msg: InternalMsg) -> Publication:
        """Return the publication of `msg` without its payload."""
        delivery = self._delivery_of(msg)
        if self.form.iscmd:
            return Publication(topic, b"", 0, False, True, Lane.EVENT, delivery.lifetime)
        return Publication(topic, b"", self._status_qos, delivery.retain, False, delivery.lane, delivery.lifetime)

    def _write_topic(self, words: dict[str, str]) -> str:
        words["sender"] = words["sender"] or self._sender
        for name in self._constants:
            problem = self._problem_of_constant(name, words[name])
            if problem:
                raise WordError(problem)
        topic = "/".join([level.write(words) for level in self.levels])
        if self.levels[0].maps and not _is_topic(topic):
            raise TopicError(f"topic {quote(topic)}: a topic is not empty and does not begin with '$'")
        for topic_filter in self._subscribed:
            if filter_can_match(topic_filter, [{level} for level in topic.split("/")]):
                raise TopicError(
                    f"topic {quote(topic)}: the filter {topic_filter!a} would bring it back, and without a sender "
                    f"it could not be distinguished from other messages: narrow the filter"
                )
        return topic

    def read_topic(self, levels: Sequence[str]) -> tuple[Address, str] | None:
        """Return the address and action in the `levels` of a topic, or None if it has another form.

        Raises `WordError` for a word that the map refuses.
        """
        if len(levels) != len(self.levels) or (self.levels[0].maps and not _is_topic("/".join(levels))):
            return None
        for index, level in self._structured_levels:
            if level.split(levels[index]) is None:
                return None
        words = dict(self._constants)
        for index, level in self._word_levels:
            level.read(levels[index], words)
        address = (self.form.iscmd, words["function"], words["gateway"], words["location"], words["device"],
                   words["sender"])  # fmt: skip
        return address, words.get("action", "")

    def can_write(self, levels: Sequence[str]) -> bool:
        """Return whether this gateway can publish on the topic with these `levels`.

        That is so if the topic, read and written again, is the same, and its sender is this gateway.
        """
        try:
            parts = self.read_topic(levels)
            if parts is None:
                return False
            address, action = parts
            msg = InternalMsg(*address, action)
            key: Any = msg[self._cache_key]
            words = dict(zip(self._names, key, strict=True))
            return msg.sender in ("", self._sender) and self._write_topic(words) == "/".join(levels)
        except MessageError:
            return False

    def can_match(self, topic_filter: str) -> bool:
        """Return whether any topic that matches `topic_filter` has this form."""
        return filter_can_match(topic_filter, self.levels)

    def has_shape(self, topic: str) -> bool:
        """Return whether `topic` has this form, regardless of its words."""
        levels = topic.split("/")
        return len(levels) == len(self.levels) and all(
            level.split(text) is not None for level, text in zip(self.levels, levels, strict=True)
        )

    @property
    def filter(self) -> str:
        """Return the filter that matches all topics of this form."""
        return "/".join("+" if level.maps else level.prefix for level in self.levels)

    def problem_of(self, name: str, word: str) -> str | None:
        """Return why a message with `word` in the field `name` cannot have this form; None if it can."""
        if name in self._constants:
            return self._problem_of_constant(name, word)
        try:
            mqtt = self._fields[name].write(word)
        except WordError as err:
            return str(err)
        problem = word_problem(mqtt) if name in fields_in(self.form.topic) else None
        return f"{name}: {quote(mqtt)}: {problem}" if problem else None

    def argument_problem(self, name: str, value: str) -> Problem | None:
        """Return why a message in this form cannot have the argument `name` with the text `value`; None if it can."""
        if self.form.payload in ("value", "empty"):
            what = f"the payload of {self.shape} has no place for another argument"
            return Problem((), what, "use 'property', or a payload of the kind json or action")
        try:
            self._fields["argkey"].write(name)
        except WordError as err:
            return Problem((), str(err), f"add {{{name}: [{name}]}} to the map of argkey")
        try:
            self._fields["argvalue"].write(value)
            self._write_payload("", {name: value})
        except MessageError as err:
            return Problem((), str(err), "use 'property', or another name")
        return None

    def _problem_of_constant(self, name: str, word: object) -> str | None:
        if name == "sender":
            return None if word == self._sender else f"sender: {quote(word)} has no place in {self.shape}: leave it out"
        constant = self._constants[name]
        if word == constant:
            return None
        return f"{name}: {quote(word)} has no place in {self.shape}: there it is always {constant!a}"


def shape(template: str, root: str) -> str:
    """Return the topics of `template` as people read them."""
    return template.replace("{root}", root).replace("{", "").replace("}", "")


def misfit(topic: str, root: str, forms: Sequence[BoundForm]) -> str:
    """Return why `topic` has none of `forms`."""
    levels = topic.split("/")
    start = f"{root}/"
    rooted = all(form.shape.startswith(start) for form in forms)
    if rooted and not topic.startswith(start):
        return f"the root is not {root!a}"
    if not _is_topic(topic):
        return "a topic is not empty and does not begin with '$'"
    fitting = [form for form in forms if len(form.levels) == len(levels)]
    if not fitting:
        above = start.count("/") if rooted else 0
        counts = sorted({len(form.levels) - above for form in forms})
        expected = " or ".join(map(str, counts))
        after = " after the root" if rooted else ""
        found = counted(len(levels) - above, "level")
        return f"{found}{after} instead of {expected} ({shapes(forms, start if rooted else '')})"
    depth = {form: next(i for i, level in enumerate(form.levels) if level.split(levels[i]) is None) for form in fitting}
    deepest = max(depth.values())
    expected = " or ".join(dict.fromkeys(form.shape.split("/")[deepest] for form in fitting if depth[form] == deepest))
    name = "the last level" if deepest == len(levels) - 1 else f"level {deepest + 1}"
    return f"{name} is {quote(levels[deepest])} instead of {expected}"


def shapes(forms: Sequence[BoundForm], start: str = "") -> str:
    """Return the topics of `forms` as people read them, without `start`; those with equal first levels are joined."""
    ends: dict[str, list[str]] = {}
    for form in forms:
        head, _, last = form.shape.removeprefix(start).rpartition("/")
        ends.setdefault(head, []).append(last)
    return ", ".join(f"{head}/{' or '.join(last)}" if head else " or ".join(last) for head, last in ends.items())


def _is_topic(topic: str) -> bool:
    """Return whether a topic is allowed: not empty (MQTT 3.1.1, 4.7.3), and not reserved for the broker (4.7.2)."""
    return bool(topic) and not topic.startswith("$")
