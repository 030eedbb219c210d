"""The message map: internal messages to MQTT and back.

Pure and immutable: no I/O, no clock, no thread; any number of threads may use one map.

The law: what a map writes, it reads back to the same message. A message for which that is impossible is refused with a
`MessageError`, in both directions. Where a topic has no place for the sender, the sender is read as `""`. A payload
that is one plain value is always written, and read as the type it looks like (see `payload.ValuePayload`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.core.bounded_cache import put
from gateway.core.quoting import quote
from gateway.errors import MessageError, PayloadError, Problem, TopicError, WordError
from gateway.message import OUTCOME_WORDS, InternalMsg, Publication, reserved_argument
from gateway.translation.delivery import PLAIN, PLAIN_REPLY, Delivery, DeliveryRule, DeliveryRules
from gateway.translation.field_map import FIELDS, FieldMap
from gateway.translation.payload import MAX_PAYLOAD_BYTES, ActionPayload, encoded, payload_too_large
from gateway.translation.syntax import SEVEN_LEVELS, Address, BoundForm, PayloadReader, Syntax, misfit, shapes
from gateway.translation.topic_template import fields_in

__all__ = ["FIELDS", "FieldMap", "MsgMap"]


class MsgMap:
    """Translates messages between the gateway's words and those of one MQTT network.

    `sender` is the name of this gateway: it is written if a message has no sender, regardless of the sender map,
    and marks the gateway's own messages when the broker sends them back. `topics` are the filters to subscribe
    to. Statuses are written with `status_qos`; commands always with QoS 0, since a command that arrives twice is
    worse than one that does not arrive. `delivery` holds the rules for retaining, lanes and replay; `syntax`,
    the topics and payloads of messages. `empty_level` is written where a word of a topic is empty; it is read as
    the empty word, and so is an empty level.
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
        self._configured_fields = {name: (fields or {}).get(name) or FieldMap(name) for name in FIELDS}
        for name in in_topics if empty_level else ():
            self._configured_fields[name] = self._configured_fields[name].with_empty(empty_level)
        self.fields = {**self._configured_fields, "sender": self._configured_fields["sender"].claiming(sender)}
        self._rules = delivery or DeliveryRules()
        self.forms = tuple(
            BoundForm(
                form,
                root,
                self.fields,
                sender=sender,
                subscribed=self.topics,
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
        self._of_clients: dict[str, MsgMap] = {}

    def for_sender(self, sender: str, topics: Iterable[str] | None = None) -> MsgMap:
        """Return the same map for another sender, optionally with other `topics` to subscribe to."""
        return MsgMap(
            self.root,
            self.topics if topics is None else topics,
            self._configured_fields,
            sender=sender,
            status_qos=self.status_qos,
            delivery=self._rules,
            syntax=self.syntax,
            empty_level=self.empty_level,
        )

    def with_words(self, words: Mapping[str, Mapping[str, Sequence[str]]]) -> MsgMap:
        """Return the same map with more MQTT words: by field and internal word. Those that are there stay the first."""
        fields = dict(self._configured_fields)
        for name, added in words.items():
            entries = fields[name].entries
            more = {internal: (*entries.get(internal, ()), *mqtt) for internal, mqtt in added.items()}
            fields[name] = FieldMap(name, fields[name].maptype, {**entries, **more})
        return MsgMap(
            self.root,
            self.topics,
            fields,
            sender=self.sender,
            status_qos=self.status_qos,
            delivery=self._rules,
            syntax=self.syntax,
            empty_level=self.empty_level,
        )

    def of_client(self, sender: str) -> MsgMap:
        """Return the map by which another client writes its messages; it is made once for each `sender`."""
        if sender not in self._of_clients:
            self._of_clients[sender] = self.for_sender(sender, ())
        return self._of_clients[sender]

    def means_the_same(self, other: MsgMap) -> bool:
        """Return whether `other` has the same translations, delivery rules and subscriptions as this map."""
        return self._meaning() == other._meaning()

    def _meaning(self) -> tuple[object, ...]:
        words = [(name, field.maptype, dict(field.entries)) for name, field in self._configured_fields.items()]
        options = self.sender, self.status_qos, self.empty_level
        return self.root, self.topics, words, options, self._rules, self.syntax

    @property
    def delivery_rules(self) -> Sequence[DeliveryRule]:
        """Return the rules of `delivery_of`, in their order."""
        return self._rules.rules

    def problem_of(self, field: str, word: str) -> str | None:
        """Return why a message with `word` in `field` cannot be written; None if it can."""
        problems = [form.problem_of(field, word) for form in self.forms]
        return problems[0] if all(problems) and problems else None

    def argument_problem(self, name: str, value: str) -> Problem | None:
        """Return why statuses cannot have the argument `name` with a text like `value`; None if they can."""
        if name in OUTCOME_WORDS:
            return Problem((), reserved_argument(name), "use another word")
        problems = (form.argument_problem(name, value) for form in self._statuses)
        return next((problem for problem in problems if problem is not None), None)

    def internal2mqtt(self, msg: InternalMsg) -> Publication:
        """Return `msg` as a publication, in the first form of the syntax that has a place for all its parts.

        Raises `WordError` with the field and the word that cannot be written, `TopicError` if the topic is not
        allowed, or `PayloadError` if an argument is not JSON, or has no place, or the payload is too large.
        """
        errors: tuple[MessageError, ...] = ()
        for form in self._commands if msg.iscmd else self._statuses:
            try:
                return form.write(msg)
            except MessageError as err:
                errors = (*errors, err)
        raise errors[0] if len(errors) == 1 else self._no_form_error(msg, errors)

    def can_translate(self, msg: InternalMsg) -> bool:
        """Return whether `internal2mqtt` raises no error."""
        try:
            self.internal2mqtt(msg)
        except MessageError:
            return False
        return True

    def _no_form_error(self, msg: InternalMsg, errors: Sequence[MessageError]) -> MessageError:
        if not errors:
            return TopicError(f"the syntax of the map has no topic for a {'command' if msg.iscmd else 'status'}")
        text = "; ".join(dict.fromkeys(map(str, errors)))
        if any(isinstance(err, PayloadError) for err in errors):
            return PayloadError(text)
        missing = next((err for err in errors if isinstance(err, WordError) and err.word), WordError(text))
        return WordError(text, missing.field, missing.word)

    def answer(self, outcome: InternalMsg) -> Publication:
        """Return the outcome of a command for a response topic, if no form of a status has a place for it.

        The topic is empty. Raises `WordError` or `PayloadError` like `internal2mqtt`.
        """
        text = self._answer_payload.write(outcome.action, outcome.arguments)
        return Publication("", encoded(text, outcome.action), self.status_qos, lane=PLAIN_REPLY.lane)

    def delivery_of(self, msg: InternalMsg) -> Delivery:
        """Return how `msg` is delivered, by the rules of this map."""
        if not self._rules.rules:
            return PLAIN_REPLY if msg.is_outcome else PLAIN
        return self._rules.delivery_of(msg)

    def mqtt2internal(self, topic: str, payload: bytes) -> InternalMsg:
        """Return the message that was received as `payload` on `topic`.

        Raises `TopicError`, `WordError` or `PayloadError` with what is wrong.
        """
        address, action, read_payload = self._read_topics.get(topic) or self._cache_topic(topic)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise payload_too_large(payload)
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError as err:
            raise PayloadError(f"the payload is not UTF-8 (byte {err.start}: 0x{payload[err.start]:02x})") from err
        action, arguments = read_payload(action, text)
        return InternalMsg(*address, action, arguments)

    def addressee(self, topic: str) -> InternalMsg:
        """Return a message with the address and action in `topic`, without its payload; raise like `mqtt2internal`."""
        address, action, _ = self._read_topics.get(topic) or self._cache_topic(topic)
        return InternalMsg(*address, action)

    def _cache_topic(self, topic: str) -> tuple[Address, str, PayloadReader]:
        parts = self._read_topic(topic)
        put(self._read_topics, topic, parts)
        return parts

    def _read_topic(self, topic: str) -> tuple[Address, str, PayloadReader]:
        levels = topic.split("/")
        refused: WordError | None = None
        for form in self.forms:
            try:
                parts = form.read_topic(levels)
            except WordError as err:  # the word is not in a strict map; another form may have it as fixed text
                refused = refused or err
                continue
            if parts is not None:
                return *parts, form.read_payload
        raise refused or TopicError(f"topic {quote(topic)}: {misfit(topic, self.root, self.forms)}")

    def is_echo(self, msg: InternalMsg) -> bool:
        """Return whether `msg`, read by this map, was sent by this gateway."""
        return msg.sender == self.sender

    def can_write(self, topic: str) -> bool:
        """Return whether this gateway can publish a message on `topic`."""
        levels = topic.split("/")
        return any(form.can_write(levels) for form in self.forms)

    def can_match(self, topic_filter: str) -> bool:
        """Return whether this map reads any topic that matches `topic_filter`."""
        return any(form.can_match(topic_filter) for form in self.forms)

    def is_command_topic(self, topic: str) -> bool:
        """Return whether `topic` can be that of a command, in the words of this map or of another gateway."""
        return any(form.has_shape(topic) for form in self._commands)

    def is_status_topic(self, topic: str) -> bool:
        """Return whether `topic` can be that of a status, in the words of this map or of another gateway."""
        return any(form.has_shape(topic) for form in self._statuses)

    def filters(self, *, statuses_only: bool = False) -> tuple[str, ...]:
        """Return filters that match all topics of the syntax."""
        return tuple(dict.fromkeys(form.filter for form in (self._statuses if statuses_only else self.forms)))

    @property
    def shapes(self) -> str:
        """Return the topics of the syntax as people read them."""
        return shapes(self.forms)
