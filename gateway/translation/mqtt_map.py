"""The message map: internal messages to MQTT and back.

Pure and immutable: no I/O, no clock, no thread; one map may be used by any number of threads.

The law: what a map writes, it reads back to the same message. A message for which that cannot be is
refused with a `MessageError`, both ways. Where a topic has no place for the sender, it is read as `""`. A payload that
is one plain value is written in any case, and read as what it looks like (see `payload.ValuePayload`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.errors import MessageError, PayloadError, TopicError, WordError
from gateway.message import InternalMsg, Publication
from gateway.translation.delivery import PLAIN, PLAIN_REPLY, Delivery, DeliveryRule, DeliveryRules
from gateway.translation.field_map import FIELDS, FieldMap, short
from gateway.translation.payload import MAX_PAYLOAD_BYTES, ActionPayload, encoded, payload_too_large
from gateway.translation.remembered import remember
from gateway.translation.syntax import SEVEN_LEVELS, Address, BoundForm, PayloadReader, Syntax, misfit, shapes
from gateway.translation.topic_template import fields_in

__all__ = ["FIELDS", "FieldMap", "MsgMap"]


class MsgMap:
    """Translates messages between the gateway's words and those of one MQTT network.

    `sender` is this gateway's name: it is written where a message has no sender, whatever the sender
    map says, and marks the gateway's own messages when the broker sends them back. `topics` are the
    filters to subscribe to. Statuses are written with `status_qos`; commands always with QoS 0, since
    a command that may arrive twice is worse than one that may not arrive. `delivery` says what is retained,
    what goes first, and which commands may be replayed; `syntax`, in which topics and payloads messages stand.
    `empty_level` is written where a word of a topic is empty, and read as the empty word, as an empty level is.
    """

    def __init__(
        self,
        root: str,
        topics: Iterable[str] = (),
        fields: Mapping[str, FieldMap] | None = None,
        *,
        sender: str,
        status_qos: int = 1,
        delivery: DeliveryRules | None = None,
        syntax: Syntax = SEVEN_LEVELS,
        empty_level: str = "",
    ) -> None:
        self.root = root
        self.topics = tuple(topics)
        self.sender = sender
        self.status_qos = status_qos
        self.syntax = syntax
        self.empty_level = empty_level
        in_topics = {name for form in syntax for name in fields_in(form.topic)}
        self._given_fields = {name: (fields or {}).get(name) or FieldMap(name) for name in FIELDS}
        for name in in_topics if empty_level else ():
            self._given_fields[name] = self._given_fields[name].with_empty(empty_level)
        self.fields = {**self._given_fields, "sender": self._given_fields["sender"].claiming(sender)}
        self._rules = delivery or DeliveryRules()
        self.forms = tuple(
            BoundForm(
                form,
                root,
                self.fields,
                sender=sender,
                heard=self.topics,
                delivery_of=self.delivery_of,
                rules_name_action=any("action" in rule.words for rule in self._rules.rules),
                status_qos=status_qos,
            )
            for form in syntax
        )
        self._commands = tuple(form for form in self.forms if form.form.iscmd)
        self._statuses = tuple(form for form in self.forms if not form.form.iscmd)
        self._answer_payload = ActionPayload(self.fields)
        self._read_topics: dict[str, tuple[Address, str, PayloadReader]] = {}

    def for_sender(self, sender: str, topics: Iterable[str] | None = None) -> MsgMap:
        """Return the same map for another sender, who may hear other `topics`."""
        return MsgMap(
            self.root,
            self.topics if topics is None else topics,
            self._given_fields,
            sender=sender,
            status_qos=self.status_qos,
            delivery=self._rules,
            syntax=self.syntax,
            empty_level=self.empty_level,
        )

    def means_the_same(self, other: MsgMap) -> bool:
        """Tell whether `other` translates, delivers and listens as this one does."""
        return self._meaning() == other._meaning()

    def _meaning(self) -> tuple[object, ...]:
        words = [(name, given.maptype, dict(given.entries)) for name, given in self._given_fields.items()]
        own = self.sender, self.status_qos, self.empty_level
        return self.root, self.topics, words, own, self._rules, self.syntax

    @property
    def delivery_rules(self) -> Sequence[DeliveryRule]:
        """The rules of `delivery_of`, in their order."""
        return self._rules.rules

    def problem_of(self, field: str, word: str) -> str | None:
        """Return why a message with `word` in `field` could not be written; None if it could."""
        problems = [form.problem_of(field, word) for form in self.forms]
        return problems[0] if all(problems) and problems else None

    def internal2mqtt(self, msg: InternalMsg) -> Publication:
        """Return `msg` as a publication, in the first form of the syntax that has a place for all of it.

        Raises `WordError` naming the field and the word that cannot be written, `TopicError` if it may not stand
        on its topic, or `PayloadError` if an argument is not JSON, or has no place, or the payload is too large.
        """
        errors: tuple[MessageError, ...] = ()
        for form in self._commands if msg.iscmd else self._statuses:
            try:
                return form.write(msg)
            except MessageError as err:
                errors = (*errors, err)
        raise errors[0] if len(errors) == 1 else self._none_fits(msg, errors)

    def _none_fits(self, msg: InternalMsg, errors: Sequence[MessageError]) -> MessageError:
        if not errors:
            return TopicError(f"the syntax of the map has no topic for a {'command' if msg.iscmd else 'status'}")
        kind = PayloadError if any(isinstance(err, PayloadError) for err in errors) else WordError
        return kind("; ".join(dict.fromkeys(map(str, errors))))

    def answer(self, outcome: InternalMsg) -> Publication:
        """Return the outcome of a command for a response topic, where no form of a status has a place for it.

        The topic is left empty. Raises `WordError` or `PayloadError` as `internal2mqtt`.
        """
        text = self._answer_payload.write(outcome.action, outcome.arguments)
        return Publication("", encoded(text, outcome.action), self.status_qos, lane=PLAIN_REPLY.lane)

    def delivery_of(self, msg: InternalMsg) -> Delivery:
        """Return how `msg` is delivered, by the rules of this map."""
        if not self._rules.rules:
            return PLAIN_REPLY if msg.is_outcome else PLAIN
        return self._rules.delivery_of(msg)

    def mqtt2internal(self, topic: str, payload: bytes) -> InternalMsg:
        """Return the message that `payload`, received on `topic`, stands for.

        Raises `TopicError`, `WordError` or `PayloadError`, saying what is wrong with it.
        """
        address, action, read_payload = self._read_topics.get(topic) or self._remember_topic(topic)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise payload_too_large(payload)
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError as err:
            raise PayloadError(f"the payload is not UTF-8 (byte {err.start}: 0x{payload[err.start]:02x})") from err
        action, arguments = read_payload(action, text)
        return InternalMsg(*address, action, arguments)

    def addressee(self, topic: str) -> InternalMsg:
        """Return a message as far as `topic` tells, without what stands in its payload; raise as `mqtt2internal`."""
        address, action, _ = self._read_topics.get(topic) or self._remember_topic(topic)
        return InternalMsg(*address, action)

    def _remember_topic(self, topic: str) -> tuple[Address, str, PayloadReader]:
        known = self._read_topic(topic)
        remember(self._read_topics, topic, known)
        return known

    def _read_topic(self, topic: str) -> tuple[Address, str, PayloadReader]:
        levels = topic.split("/")
        refused: WordError | None = None
        for form in self.forms:
            try:
                found = form.read_topic(levels)
            except WordError as err:  # a strict map does not know the word; another form may have it as fixed text
                refused = refused or err
                continue
            if found is not None:
                return *found, form.read_payload
        raise refused or TopicError(f"topic {short(topic)}: {misfit(topic, self.root, self.forms)}")

    def is_echo(self, msg: InternalMsg) -> bool:
        """Tell whether `msg`, read by this map, is one of the gateway's own."""
        return msg.sender == self.sender

    def can_write(self, topic: str) -> bool:
        """Return whether a message of this gateway can stand on `topic`."""
        levels = topic.split("/")
        return any(form.can_write(levels) for form in self.forms)

    def hears(self, topic_filter: str) -> bool:
        """Tell whether this map reads any topic that matches `topic_filter`."""
        return any(form.hears(topic_filter) for form in self.forms)

    def is_command_topic(self, topic: str) -> bool:
        """Tell whether a command may stand on `topic`, in the words of this map or in those of another gateway."""
        return any(form.has_shape(topic) for form in self._commands)

    def is_status_topic(self, topic: str) -> bool:
        """Return whether a status may stand on `topic`, in the words of this map or in those of another gateway."""
        return any(form.has_shape(topic) for form in self._statuses)

    def filters(self, *, statuses_only: bool = False) -> tuple[str, ...]:
        """Return filters that match all topics of the syntax."""
        return tuple(dict.fromkeys(form.filter for form in (self._statuses if statuses_only else self.forms)))

    @property
    def shapes(self) -> str:
        """The topics of the syntax, for people."""
        return shapes(self.forms)
