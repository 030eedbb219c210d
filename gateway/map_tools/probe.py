"""Messages that try a map out: a plain one of each form, and those that differ from it in one word. Pure.

Whoever proves, explains, compares or draws a map asks it by writing and reading, so that what is found holds for the
map as it runs. A topic is made level by level of what the form says, and never by guessing from what is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import chain, count, islice, product
from typing import Any, TypeAlias

from gateway.core.topic import filter_levels, filter_matches, word_problem
from gateway.errors import MessageError, WordError
from gateway.map_tools.words import stranger, words_of
from gateway.message import ADDRESS_FIELDS, OUTCOME_WORDS, InternalMsg
from gateway.translation.mqtt_map import FIELDS, MsgMap
from gateway.translation.syntax import BoundForm
from gateway.translation.topic_template import Level

_TRIED_ENTRIES = 20  # of a field, until one is found that can be written
_TRIED_LEVELS = 1000  # combinations of words of one level
_LONG_WORD = 200  # longer ones make no readable example
_PLAIN_WORDS = {"action": ("on", "x"), "argkey": ("value", "x")}  # where a map has none of its own
_IN_PAYLOAD = {"action": ("action", "argkey", "argvalue"), "json": ("argkey", "argvalue"), "value": ("argvalue",),
               "empty": ()}  # fmt: skip

Received: TypeAlias = tuple[str, bytes]
"""Topic and payload of a message from MQTT."""


class FormProbe:
    """Makes messages of one form.

    `message` is a plain one to be written, without arguments and sender; `topic` and `payload` are those of another's
    message, the topic None where no topic can have the form in words of the map.
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
        own = self._levels({**words, "sender": [msg_map.fields["sender"].write(msg_map.sender)]})
        self._foreign = self._levels({**words, "sender": [foreign_sender(msg_map)]})
        self.samples = {name: msg_map.fields[name].read(words[name][0]) for name in FIELDS}
        for level, mqtt in zip(form.levels, own, strict=True):
            for level_map, word in zip(level.maps, mqtt or (), strict=False):
                self.samples[level_map.field] = level_map.read(word)
        self.samples |= {name: form.form.constants.get(name, "") for name in (*ADDRESS_FIELDS, "action")
                         if not self.holds(name)}  # fmt: skip
        address: dict[str, Any] = {name: self.samples[name] for name in (*ADDRESS_FIELDS, "action")}
        self.message = InternalMsg(self.is_command, **{**address, "sender": ""})
        self.topic = self._topic_of(self._foreign)
        self.payload = self._payload()

    def holds(self, name: str) -> bool:
        """Tell whether the form has a place for the field."""
        return name in self._at or name in self._in_payload

    def level_of(self, name: str) -> int | None:
        """Return the level of the topic in which the field stands."""
        return self._at.get(name)

    @property
    def kind(self) -> str:
        """What messages of the form are."""
        return "commands" if self.is_command else "statuses"

    def known_at(self, at: int) -> Iterator[str]:
        """Yield the texts at a level of the topic that mean something of their own, where there are any."""
        for level in self.form.levels[at : at + 1]:
            yield from level.enumerated() or (word for level_map in level.maps for word in level_map.readable() or ())

    def level_word(self, name: str, level: str) -> str | None:
        """Return the MQTT word of the field in the text of its level; None if that has another form."""
        own = self.form.levels[self._at[name]]
        words = own.split(level)
        return None if words is None else words[_index(own, name)]

    def with_word(self, name: str, internal: str) -> InternalMsg | None:
        """Return a message that has the word `internal` in the field; None if the form has no place for it."""
        if not self.holds(name):
            return None
        if name == "argkey":
            return self.message.replace(arguments={internal: 1})
        if name == "argvalue":
            return self.message.replace(arguments={self._argument: internal})
        return self.message.replace(**{name: internal})

    def with_mqtt_word(self, name: str, mqtt: str) -> Received | None:
        """Return another's message with the MQTT word in the field; None if the form has no place for it."""
        if self.topic is None or not self.holds(name):
            return None
        if name in self._at:
            words = [list(level or ()) for level in self._foreign]
            at = self._at[name]
            words[at][_index(self.form.levels[at], name)] = mqtt
            return self._spelled(words), self.payload
        if name == "action":
            return self.topic, mqtt.encode()
        if self.form.form.payload == "value":
            return self.topic, mqtt.encode()
        key = self._map.fields["argkey"].write(self.samples["argkey"]) if name == "argvalue" else mqtt
        return self.topic, json.dumps({key: mqtt if name == "argvalue" else 1}, ensure_ascii=False).encode()

    def written(self, msg_map: MsgMap, plain: InternalMsg) -> tuple[InternalMsg, str] | None:
        """Return a message like `plain` that `msg_map` writes in this form, not in an earlier one, and its topic."""
        for arguments in {}, {self._argument: 1}, {"response": "OK", "reason": ""}:
            msg = plain.replace(arguments=arguments)
            try:
                topic = msg_map.internal2mqtt(msg).topic
            except MessageError:
                continue
            if self.form.has_shape(topic):
                return msg, topic
        return None

    def filled(self, topic_filter: str, fill: Callable[[int], str | None] = lambda _: None) -> str:
        """Return a topic that matches `topic_filter`: its wildcards stand for words of a plain message.

        `fill` may give another text for a wildcard at a level.
        """
        plain = (self.topic or "").split("/")
        levels = written_out(topic_filter, len(plain))
        filled = [fill(at) if level == "+" else level for at, level in enumerate(levels)]
        texts = [(plain[at] if at < len(plain) else "") if level is None else level for at, level in enumerate(filled)]
        return "/".join(texts)

    # --- how the plain message is found

    @property
    def _argument(self) -> str:
        return self.form.form.argument if self.form.form.payload == "value" else self.samples["argkey"]

    def _candidates(self, name: str) -> list[str]:
        """Return MQTT words of the field for a plain message, the best first."""
        field = self._map.fields[name]
        own = OUTCOME_WORDS if name == "argkey" else ()  # of their values nothing is translated
        listed = [] if field.maptype == "none" else [word for word in field.entries if word not in own]
        entries = listed[:_TRIED_ENTRIES]
        words = [*(word for word in entries if word), *_PLAIN_WORDS.get(name, ("", "x")), "", "x"]
        found = []
        for word in dict.fromkeys(words):
            try:
                mqtt = field.write(word)
            except WordError:
                continue
            if len(mqtt) < _LONG_WORD and not mqtt.lstrip().startswith("{") and not word_problem(mqtt):
                found.append((not self._is_common(name, word, mqtt), mqtt))
        return [mqtt for _, mqtt in sorted(found, key=lambda one: one[0])] or [""]

    def _is_common(self, name: str, word: str, mqtt: str) -> bool:
        try:
            return self._other is None or self._other.fields[name].write(word) == mqtt
        except WordError:
            return False

    def _levels(self, words: dict[str, list[str]]) -> list[Sequence[str] | None]:
        """Return the MQTT words of each level, None for one that cannot be made of these words."""
        levels = self.form.levels
        found: list[Sequence[str] | None] = []
        for at, level in enumerate(levels):
            tries = islice(product(*(words[level_map.field] for level_map in level.maps)), _TRIED_LEVELS)
            found.append(next((mqtt for mqtt in tries if may_stand(level, level.join(mqtt), at, len(levels))), None))
        return found

    def _topic_of(self, words: Sequence[Sequence[str] | None]) -> str | None:
        return None if None in words else self._spelled([level or () for level in words])

    def _spelled(self, words: Sequence[Sequence[str]]) -> str:
        return "/".join(level.join(mqtt) for level, mqtt in zip(self.form.levels, words, strict=True))

    def _payload(self) -> bytes:
        kind = self.form.form.payload
        action = self._map.fields["action"].write(self.samples["action"]) if kind == "action" else ""
        return action.encode() or (b"{}" if kind in ("action", "json") else b"")


class Probe:
    """Makes messages for one map; `forms` holds those of each form.

    `quiet` is the same map without filters, so that nothing is refused since it would come back. The plain words
    are such that `other`, a map to compare with, has them too, where there are any.
    """

    def __init__(self, msg_map: MsgMap, other: MsgMap | None = None) -> None:
        self.map = msg_map
        self.quiet = msg_map.for_sender(msg_map.sender, ())
        numbers = {True: count(), False: count()}
        self.forms = tuple(FormProbe(msg_map, form, next(numbers[form.form.iscmd]), other) for form in msg_map.forms)

    def unusable(self) -> dict[FormProbe, MessageError]:
        """Return the forms in which nothing can be written, for their words or for the gateway's own name, and why."""
        found = {}
        for form in self.forms:
            try:
                self.quiet.internal2mqtt(form.message)
            except MessageError as err:
                found[form] = err
        return found

    def holding(self, name: str) -> list[FormProbe]:
        """Return the forms that have a place for the field."""
        return [form for form in self.forms if form.holds(name)]

    def hearing(self, topic_filter: str) -> list[FormProbe]:
        """Return the forms of which the filter lets in topics."""
        return [form for form in self.forms if form.topic is not None and form.form.hears(topic_filter)]

    def heard_by(self, topic: str) -> str | None:
        """Return the first filter of the map that matches `topic`."""
        return next((one for one in self.map.topics if filter_matches(one, topic)), None)


def statuses_first(forms: Iterable[FormProbe]) -> list[FormProbe]:
    """Return `forms` in the order in which an example of writing is looked for; of reading, commands come first."""
    return sorted(forms, key=lambda form: form.is_command)


def foreign_sender(msg_map: MsgMap) -> str:
    """Return the MQTT word of a sender that is not this gateway, and that the map reads."""
    field = msg_map.fields["sender"]
    known = field.readable()
    if known is None:
        return stranger({msg_map.sender, *words_of(field)})
    return min((word for word in known if word and field.read(word) != msg_map.sender), default="")


def word_in(name: str, msg: InternalMsg) -> object:
    """Return the word of the field in `msg`, a message like those of `with_word`."""
    if name in ("argkey", "argvalue"):
        part = msg.arguments if name == "argkey" else msg.arguments.values()
        return next(iter(part), None)
    return getattr(msg, name)


def written_out(topic_filter: str, size: int) -> list[str]:
    """Return the levels of a filter, `#` at its end written out as `+` for topics of `size` levels."""
    levels = filter_levels(topic_filter)
    return [*levels[:-1], *["+"] * (size - len(levels) + 1)] if levels[-1] == "#" else levels


def may_stand(level: Level, text: str, at: int, size: int) -> bool:
    """Tell whether `text` is read as the `level` at the place `at` in a topic of `size` levels."""
    is_topic = at > 0 or not level.maps or not (text.startswith("$") or (size == 1 and not text))
    return is_topic and text in level and not (level.maps and word_problem(text))


def texts_of(level: Level, known: Container[str]) -> Iterator[str]:
    """Yield texts that are read as `level`, as many as there are, or one of each of many words; not those `known`.

    Where words of a strict map stand beside each other, all their combinations are tried.
    """
    words = [
        sorted(readable, key=lambda word: (not word, word)) if (readable := level_map.readable()) is not None else None
        for level_map in level.maps
    ]
    open_ = words.index(None) if None in words else None
    for mqtt in islice(product(*(("other", "x") if few is None else few for few in words)), _TRIED_LEVELS):
        text = level.join(mqtt) if open_ is None else _unknown_text(level, mqtt, open_, known)
        if text in level and text not in known:
            yield text


def _unknown_text(level: Level, mqtt: Sequence[str], at: int, known: Container[str]) -> str:
    """Return a text that is none of `known`, with a word at `at` like the one of `mqtt`; a level takes any there."""
    likes = chain((mqtt[at],), (f"{mqtt[at]}{number}" for number in count(2)))
    return next(text for word in likes if (text := level.join([*mqtt[:at], word, *mqtt[at + 1 :]])) not in known)


def _index(level: Level, name: str) -> int:
    return [level_map.field for level_map in level.maps].index(name)
