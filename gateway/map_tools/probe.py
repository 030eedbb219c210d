"""Makes test messages for a map: a plain one for each form, and variants that differ from it in one word. Pure.

The tools for maps let the map write and read these messages, so that their findings hold for the map as the gateway
uses it. A topic is assembled level by level as the form declares it, and not derived from a topic that was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import chain, count, islice, product
from typing import Any, TypeAlias

from gateway.core.topic import filter_levels, filter_matches, word_problem
from gateway.errors import MessageError, WordError
from gateway.map_tools.words import unused_word, words_of
from gateway.message import ADDRESS_FIELDS, OUTCOME_WORDS, InternalMsg
from gateway.translation.mqtt_map import FIELDS, MsgMap
from gateway.translation.syntax import BoundForm
from gateway.translation.topic_template import Level

_MAX_ENTRIES = 20  # of a field that are tried to find one that can be written
_MAX_COMBINATIONS = 1000  # of words within one level
_MAX_WORD = 200  # characters; longer words make no readable example
_PLAIN_WORDS = {"action": ("on", "x"), "argkey": ("value", "x")}  # used if the map has no entries
_IN_PAYLOAD = {"action": ("action", "argkey", "argvalue"), "json": ("argkey", "argvalue"), "value": ("argvalue",),
               "empty": ()}  # fmt: skip

Received: TypeAlias = tuple[str, bytes]
"""Topic and payload of a message received from MQTT."""


class FormProbe:
    """Makes test messages of one form.

    `message` is a plain message to be written, without arguments and sender. `topic` and `payload` are those of a plain
    message from another sender; the topic is None if no topic of this form can consist of words of the map.
    """

    def __init__(self, msg_map: MsgMap, form: BoundForm, index: int, other: MsgMap | None) -> None:
        self.form = form
        self.is_command = form.form.iscmd
        self.name = form.form.topic
        self.path = ("syntax", self.kind, index)
        self._map = msg_map
        self._other = other
        self._at = {level_map.field: at for at, level in enumerate(form.levels) for level_map in level.maps}
        self._in_payload = _IN_PAYLOAD[form.form.payload]
        words = {name: self._candidates(name) for name in FIELDS}
        own_levels = self._levels({**words, "sender": [msg_map.fields["sender"].write(msg_map.sender)]})
        self._received_levels = self._levels({**words, "sender": [other_sender(msg_map)]})
        self.samples = {name: msg_map.fields[name].read(words[name][0]) for name in FIELDS}
        for level, mqtt in zip(form.levels, own_levels, strict=True):
            for level_map, word in zip(level.maps, mqtt or (), strict=False):
                self.samples[level_map.field] = level_map.read(word)
        self.samples |= {name: form.form.constants.get(name, "") for name in (*ADDRESS_FIELDS, "action")
                         if not self.has_place_for(name)}  # fmt: skip
        address: dict[str, Any] = {name: self.samples[name] for name in (*ADDRESS_FIELDS, "action")}
        self.message = InternalMsg(self.is_command, **{**address, "sender": ""})
        self.topic = self._topic_of(self._received_levels)
        self.payload = self._payload()

    def has_place_for(self, name: str) -> bool:
        """Return whether the form has a place for the field."""
        return name in self._at or name in self._in_payload

    def level_of(self, name: str) -> int | None:
        """Return the index of the topic level that contains the field, or None."""
        return self._at.get(name)

    @property
    def kind(self) -> str:
        """What the messages of the form are: `commands` or `statuses`."""
        return "commands" if self.is_command else "statuses"

    def words_at(self, at: int) -> Iterator[str]:
        """Yield the texts that have a meaning at a level of the topic, if the level has such texts."""
        for level in self.form.levels[at : at + 1]:
            yield from level.enumerated() or (word for level_map in level.maps for word in level_map.readable() or ())

    def level_word(self, name: str, level: str) -> str | None:
        """Return the MQTT word of the field in the text of its level; None if the text does not fit the level."""
        own_level = self.form.levels[self._at[name]]
        words = own_level.split(level)
        return None if words is None else words[_index(own_level, name)]

    def with_word(self, name: str, internal: str) -> InternalMsg | None:
        """Return a message with the word `internal` in the field; None if the form has no place for the field."""
        if not self.has_place_for(name):
            return None
        if name == "argkey":
            return self.message.replace(arguments={internal: 1})
        if name == "argvalue":
            return self.message.replace(arguments={self._argument: internal})
        return self.message.replace(**{name: internal})

    def with_mqtt_word(self, name: str, mqtt: str) -> Received | None:
        """Return a received message with the MQTT word in the field; None if the form has no place for the field."""
        if self.topic is None or not self.has_place_for(name):
            return None
        if name in self._at:
            words = [list(level or ()) for level in self._received_levels]
            at = self._at[name]
            words[at][_index(self.form.levels[at], name)] = mqtt
            return self._joined(words), self.payload
        if name == "action":
            return self.topic, mqtt.encode()
        if self.form.form.payload == "value":
            return self.topic, mqtt.encode()
        key = self._map.fields["argkey"].write(self.samples["argkey"]) if name == "argvalue" else mqtt
        return self.topic, json.dumps({key: mqtt if name == "argvalue" else 1}, ensure_ascii=False).encode()

    def written(self, msg_map: MsgMap, plain: InternalMsg) -> tuple[InternalMsg, str] | None:
        """Return a message like `plain` that `msg_map` writes in this form, and its topic; None if there is none."""
        for arguments in {}, {self._argument: 1}, {"response": "OK", "reason": ""}:
            msg = plain.replace(arguments=arguments)
            try:
                topic = msg_map.internal2mqtt(msg).topic
            except MessageError:
                continue
            if self.form.has_shape(topic):
                return msg, topic
        return None

    def topic_matching(self, topic_filter: str, fill: Callable[[int], str | None] = lambda _: None) -> str:
        """Return a topic that matches `topic_filter`, with the words of the plain message in place of the wildcards.

        `fill` may return another text for the wildcard at a level.
        """
        plain = (self.topic or "").split("/")
        levels = expanded_levels(topic_filter, len(plain))
        texts = [fill(at) if level == "+" else level for at, level in enumerate(levels)]
        return "/".join(
            (plain[at] if at < len(plain) else "") if text is None else text for at, text in enumerate(texts)
        )

    # --- choosing the words of the plain message

    @property
    def _argument(self) -> str:
        return self.form.form.argument if self.form.form.payload == "value" else self.samples["argkey"]

    def _candidates(self, name: str) -> list[str]:
        """Return MQTT words of the field for a plain message, the preferred ones first."""
        field = self._map.fields[name]
        reserved = OUTCOME_WORDS if name == "argkey" else ()  # the values of these are not translated
        listed = [] if field.maptype == "none" else [word for word in field.entries if word not in reserved]
        entries = listed[:_MAX_ENTRIES]
        words = [*(word for word in entries if word), *_PLAIN_WORDS.get(name, ("", "x")), "", "x"]
        candidates = []
        for word in dict.fromkeys(words):
            try:
                mqtt = field.write(word)
            except WordError:
                continue
            if len(mqtt) < _MAX_WORD and not mqtt.lstrip().startswith("{") and not word_problem(mqtt):
                candidates.append((not self._is_common(name, word, mqtt), mqtt))
        return [mqtt for _, mqtt in sorted(candidates, key=lambda candidate: candidate[0])] or [""]

    def _is_common(self, name: str, word: str, mqtt: str) -> bool:
        """Return whether the other map writes the word in the same way."""
        try:
            return self._other is None or self._other.fields[name].write(word) == mqtt
        except WordError:
            return False

    def _levels(self, words: dict[str, list[str]]) -> list[Sequence[str] | None]:
        """Return the MQTT words of each level, or None for a level that none of these words fit."""
        levels = self.form.levels
        chosen: list[Sequence[str] | None] = []
        for at, level in enumerate(levels):
            tries = islice(product(*(words[level_map.field] for level_map in level.maps)), _MAX_COMBINATIONS)
            chosen.append(
                next((mqtt for mqtt in tries if is_valid_level(level, level.join(mqtt), at, len(levels))), None)
            )
        return chosen

    def _topic_of(self, words: Sequence[Sequence[str] | None]) -> str | None:
        return None if None in words else self._joined([level or () for level in words])

    def _joined(self, words: Sequence[Sequence[str]]) -> str:
        return "/".join(level.join(mqtt) for level, mqtt in zip(self.form.levels, words, strict=True))

    def _payload(self) -> bytes:
        kind = self.form.form.payload
        action = self._map.fields["action"].write(self.samples["action"]) if kind == "action" else ""
        return action.encode() or (b"{}" if kind in ("action", "json") else b"")


class Probe:
    """Makes test messages for one map; `forms` has a `FormProbe` for each of its forms.

    `unfiltered` is the same map without filters: it writes also what a filter would bring back. The plain messages
    prefer words that `other`, a map to compare with, has as well.
    """

    def __init__(self, msg_map: MsgMap, other: MsgMap | None = None) -> None:
        self.map = msg_map
        self.unfiltered = msg_map.for_sender(msg_map.sender, ())
        numbers = {True: count(), False: count()}
        self.forms = tuple(FormProbe(msg_map, form, next(numbers[form.form.iscmd]), other) for form in msg_map.forms)

    def unusable(self) -> dict[FormProbe, MessageError]:
        """Return the forms in which no message can be written, with the error of a word or of the gateway's name."""
        errors = {}
        for form in self.forms:
            try:
                self.unfiltered.internal2mqtt(form.message)
            except MessageError as err:
                errors[form] = err
        return errors

    def forms_with(self, name: str) -> list[FormProbe]:
        """Return the forms that have a place for the field."""
        return [form for form in self.forms if form.has_place_for(name)]

    def forms_matching(self, topic_filter: str) -> list[FormProbe]:
        """Return the forms that have topics which the filter matches."""
        return [form for form in self.forms if form.topic is not None and form.form.can_match(topic_filter)]

    def matching_filter(self, topic: str) -> str | None:
        """Return the first filter of the map that matches `topic`."""
        return next((each for each in self.map.topics if filter_matches(each, topic)), None)


def statuses_first(forms: Iterable[FormProbe]) -> list[FormProbe]:
    """Return `forms`, those of statuses first: examples of writing are statuses where possible, of reading commands."""
    return sorted(forms, key=lambda form: form.is_command)


def other_sender(msg_map: MsgMap) -> str:
    """Return the MQTT word of a sender that the map reads and that is not this gateway; empty if there is none."""
    field = msg_map.fields["sender"]
    readable = field.readable()
    if readable is None:
        return unused_word({msg_map.sender, *words_of(field)})
    return min((word for word in readable if word and field.read(word) != msg_map.sender), default="")


def word_in(name: str, msg: InternalMsg) -> object:
    """Return the word of the field in `msg`; for arguments, that of the first one."""
    if name in ("argkey", "argvalue"):
        part = msg.arguments if name == "argkey" else msg.arguments.values()
        return next(iter(part), None)
    return getattr(msg, name)


def expanded_levels(topic_filter: str, size: int) -> list[str]:
    """Return the levels of a filter, with `#` at its end replaced by as many `+` as topics of `size` levels need."""
    levels = filter_levels(topic_filter)
    return [*levels[:-1], *["+"] * (size - len(levels) + 1)] if levels[-1] == "#" else levels


def is_valid_level(level: Level, text: str, at: int, size: int) -> bool:
    """Return whether `text` fits the `level` at index `at` of a topic of `size` levels, and is allowed there."""
    is_allowed = at > 0 or not level.maps or not (text.startswith("$") or (size == 1 and not text))
    return is_allowed and text in level and not (level.maps and word_problem(text))


def level_texts(level: Level, used: Container[str]) -> Iterator[str]:
    """Yield texts that fit `level` and are not `used`: all of them, or samples if any word fits.

    Where a level has several words of strict maps, all their combinations are tried.
    """
    words = [
        sorted(readable, key=lambda word: (not word, word)) if (readable := level_map.readable()) is not None else None
        for level_map in level.maps
    ]
    any_word_at = words.index(None) if None in words else None
    for mqtt in islice(product(*(("other", "x") if listed is None else listed for listed in words)), _MAX_COMBINATIONS):
        text = level.join(mqtt) if any_word_at is None else _unused_text(level, mqtt, any_word_at, used)
        if text in level and text not in used:
            yield text


def _unused_text(level: Level, mqtt: Sequence[str], at: int, used: Container[str]) -> str:
    """Return a text that is not `used`: the words `mqtt`, with a number added to the one at `at` where needed."""
    variants = chain((mqtt[at],), (f"{mqtt[at]}{number}" for number in count(2)))
    return next(text for word in variants if (text := level.join([*mqtt[:at], word, *mqtt[at + 1 :]])) not in used)


def _index(level: Level, name: str) -> int:
    """Return the index of the field among those of its level."""
    return [level_map.field for level_map in level.maps].index(name)
