"""The syntax of messages in MQTT: in which topics they stand, and how their payload is written. Pure and immutable.

A syntax is a list of forms. Each has a kind (command or status), a template of its topic, a form of payload, and the
words that are always the same, its constants. A message is written in the first form of its kind that has a place for
all of it; no topic can be of two forms, so that each is read in the one it was written in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from gateway.core.topic import filter_can_match, word_problem
from gateway.errors import MessageError, TopicError, WordError
from gateway.message import ADDRESS, ADDRESS_AND_ACTION, ADDRESS_FIELDS, Argument, InternalMsg, Lane, Publication
from gateway.translation.delivery import Delivery
from gateway.translation.field_map import FieldMap, short
from gateway.translation.payload import PayloadKind, encoded, make_payload
from gateway.translation.remembered import remember
from gateway.translation.topic_template import fields_in, parse

Address: TypeAlias = tuple[bool, str, str, str, str, str]
"""Whether it is a command, then `ADDRESS_FIELDS`."""

PayloadReader: TypeAlias = Callable[[str, str], tuple[str, dict[str, Argument]]]
"""Takes the action of the topic and the text of the payload, returns action and arguments."""

_WORDS = (*ADDRESS_FIELDS, "action")


class MessageForm(NamedTuple):
    """One form as a map declares it; `argument` names the one argument of a payload `value`, which may be `text`."""

    iscmd: bool
    topic: str
    payload: PayloadKind = "action"
    argument: str = "value"
    constants: Mapping[str, str] = MappingProxyType({})
    text: bool = False

    @property
    def places(self) -> frozenset[str]:
        """The fields that the topic or the payload holds."""
        return frozenset(fields_in(self.topic)) | ({"action"} if self.payload == "action" else set())


Syntax: TypeAlias = tuple[MessageForm, ...]

_LEVELS = "{root}/{function}/{gateway}/{location}/{device}/{sender}"
SEVEN_LEVELS: Syntax = (MessageForm(True, f"{_LEVELS}/C"), MessageForm(False, f"{_LEVELS}/S"))
"""The syntax of a map that gives none."""


class BoundForm:
    """A form with the root, the field maps and the sender of a map.

    `heard` are the filters of the map. Where the topic has no sender, what is written must not match any of them: it
    would come back as the word of another. `delivery_of` says how a message is delivered, and `rules_name_action`
    whether that depends on its action, too; a command goes out with QoS 0, a status with `status_qos`.
    """

    def __init__(
        self,
        form: MessageForm,
        root: str,
        fields: Mapping[str, FieldMap],
        *,
        sender: str,
        heard: Sequence[str],
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
        self._holds_action = form.payload == "action"
        self._shaped = [(index, level) for index, level in enumerate(self.levels) if not level.is_word]
        self._open = [(index, level) for index, level in enumerate(self.levels) if level.maps]
        self._fields = fields
        self._sender = sender
        self._delivery_of = delivery_of
        self._status_qos = status_qos
        self._heard = () if "sender" in form.places else tuple(heard)
        self._constants = {name: form.constants.get(name, "") for name in _WORDS if name not in form.places}
        # An action that stands in the payload may be anything, and large: it is no part of what is remembered.
        self._names = ADDRESS_FIELDS if self._holds_action else _WORDS
        self._known_by = ADDRESS if self._holds_action else ADDRESS_AND_ACTION
        self._rules_name_action = self._holds_action and rules_name_action
        # Devices say the same few things again and again: topic and delivery are found once for each. Where the
        # delivery depends on more, there is only the topic.
        self._written: dict[Any, tuple[str, Publication | None]] = {}
        self._written_replies: dict[Any, tuple[str, Publication | None]] = {}

    def write(self, msg: InternalMsg) -> Publication:
        """Return `msg`, which is of the kind of the form, as a publication; raise `MessageError` if that cannot be."""
        words: Any = msg[self._known_by]
        written = self._written_replies if "response" in msg.arguments else self._written
        try:
            known = written.get(words)
        except TypeError:  # a list, say, which no dict takes as key: it is named below
            known = None
        if known is None:
            topic = self._write_topic(dict(zip(self._names, words, strict=True)))
            known = topic, None if self._rules_name_action else self._prototype(topic, msg)
            remember(written, words, known)
        topic, prototype = known
        text = self._write_payload(msg.action, msg.arguments)
        payload = encoded(text, msg.action if self._holds_action else "")
        return (prototype or self._prototype(topic, msg)).with_payload(payload)

    def _prototype(self, topic: str, msg: InternalMsg) -> Publication:
        """Return how `msg` is published, without its payload."""
        how = self._delivery_of(msg)
        if self.form.iscmd:
            return Publication(topic, b"", 0, False, True, Lane.EVENT, how.lifetime)
        return Publication(topic, b"", self._status_qos, how.retain, False, how.lane, how.lifetime)

    def _write_topic(self, words: dict[str, str]) -> str:
        words["sender"] = words["sender"] or self._sender
        for name in self._constants:
            problem = self._problem_of_constant(name, words[name])
            if problem:
                raise WordError(problem)
        topic = "/".join([level.write(words) for level in self.levels])
        if self.levels[0].maps and not _is_topic(topic):
            raise TopicError(f"topic {short(topic)}: a topic is not empty and does not begin with '$'")
        for topic_filter in self._heard:
            if filter_can_match(topic_filter, [{level} for level in topic.split("/")]):
                raise TopicError(
                    f"topic {short(topic)}: the filter {topic_filter!a} would bring it back, and it has no sender to "
                    f"tell it by: narrow the filter"
                )
        return topic

    def read_topic(self, levels: Sequence[str]) -> tuple[Address, str] | None:
        """Return address and action that the `levels` of a topic stand for, or None if it has another form.

        Raises `WordError` for a word that is not taken.
        """
        if len(levels) != len(self.levels) or (self.levels[0].maps and not _is_topic("/".join(levels))):
            return None
        for index, level in self._shaped:
            if level.split(levels[index]) is None:
                return None
        words = dict(self._constants)
        for index, level in self._open:
            level.read(levels[index], words)
        address = (self.form.iscmd, words["function"], words["gateway"], words["location"], words["device"],
                   words["sender"])  # fmt: skip
        return address, words.get("action", "")

    def can_write(self, levels: Sequence[str]) -> bool:
        """Return whether a message of this gateway has the topic with these `levels`: read and written, it is the same.

        A topic with the sender of another gateway is that gateway's.
        """
        try:
            found = self.read_topic(levels)
            if found is None:
                return False
            address, action = found
            msg = InternalMsg(*address, action)
            known: Any = msg[self._known_by]
            words = dict(zip(self._names, known, strict=True))
            return msg.sender in ("", self._sender) and self._write_topic(words) == "/".join(levels)
        except MessageError:
            return False

    def hears(self, topic_filter: str) -> bool:
        """Tell whether any topic that matches `topic_filter` has this form."""
        return filter_can_match(topic_filter, self.levels)

    def has_shape(self, topic: str) -> bool:
        """Tell whether `topic` has this form, whatever its words."""
        levels = topic.split("/")
        return len(levels) == len(self.levels) and all(
            level.split(text) is not None for level, text in zip(self.levels, levels, strict=True)
        )

    @property
    def filter(self) -> str:
        """The filter that matches all topics of this form."""
        return "/".join("+" if level.maps else level.prefix for level in self.levels)

    def problem_of(self, name: str, word: str) -> str | None:
        """Return why a message with `word` in the field `name` could not have this form; None if it could."""
        if name in self._constants:
            return self._problem_of_constant(name, word)
        try:
            mqtt = self._fields[name].write(word)
        except WordError as err:
            return str(err)
        problem = word_problem(mqtt) if name in fields_in(self.form.topic) else None
        return f"{name}: {short(mqtt)}: {problem}" if problem else None

    def _problem_of_constant(self, name: str, word: object) -> str | None:
        if name == "sender":
            return None if word == self._sender else f"sender: {short(word)} has no place in {self.shape}: leave it out"
        constant = self._constants[name]
        if word == constant:
            return None
        return f"{name}: {short(word)} has no place in {self.shape}: there it is always {constant!a}"


def shape(template: str, root: str) -> str:
    """Return the topics of `template` for people."""
    return template.replace("{root}", root).replace("{", "").replace("}", "")


def misfit(topic: str, root: str, forms: Sequence[BoundForm]) -> str:
    """Say why `topic` has none of `forms`."""
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
        wanted = " or ".join(map(str, counts))
        after = " after the root" if rooted else ""
        return f"{len(levels) - above} levels{after} instead of {wanted} ({shapes(forms, start if rooted else '')})"
    depth = {form: next(i for i, level in enumerate(form.levels) if level.split(levels[i]) is None) for form in fitting}
    deepest = max(depth.values())
    wanted = " or ".join(dict.fromkeys(form.shape.split("/")[deepest] for form in fitting if depth[form] == deepest))
    name = "the last level" if deepest == len(levels) - 1 else f"level {deepest + 1}"
    return f"{name} is {short(levels[deepest])} instead of {wanted}"


def shapes(forms: Sequence[BoundForm], start: str = "") -> str:
    """Return the topics of `forms` for people, without `start`; those that differ in the last level only, as one."""
    ends: dict[str, list[str]] = {}
    for form in forms:
        head, _, last = form.shape.removeprefix(start).rpartition("/")
        ends.setdefault(head, []).append(last)
    return ", ".join(f"{head}/{' or '.join(last)}" if head else " or ".join(last) for head, last in ends.items())


def _is_topic(topic: str) -> bool:
    """Tell whether it is no topic of the broker's own (MQTT 3.1.1, section 4.7.2), nor none at all (4.7.3)."""
    return bool(topic) and not topic.startswith("$")
