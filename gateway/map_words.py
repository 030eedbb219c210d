"""Messages that try a map out, one word of one field at a time. Pure.

Whoever proves, explains, compares or draws a map asks it by writing and reading, so that what is found holds
for the map as it runs, and for any syntax of its topics.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from gateway.delivery import Delivery
from gateway.document import Path
from gateway.errors import MessageError, WordError
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.mqtt_map import FIELDS, FieldMap, MsgMap
from gateway.topic import filter_levels, filter_matches

_TRIED_ENTRIES = 20  # of a field, until one is found that can be written
_LONG_WORD = 200  # longer ones make no readable example
_PLAIN_WORDS = {"action": ("on", "x"), "argkey": ("value", "x")}  # where a map has none of its own


@dataclass(frozen=True, slots=True)
class Example:
    """A message that shows something: one to be written (`message`), or one that is read; and what becomes of it."""

    outcome: str
    message: InternalMsg | None = None
    topic: str = ""
    payload: bytes = b""

    def __str__(self) -> str:
        given = str(self.message) if self.message else f"{shown(self.topic)} {shown(self.payload)}"
        return f"{given}: {self.outcome}"


def shown(text: str | bytes) -> str:
    """Return a topic or payload as a person can read it: escaped where it must be, cut where it is long."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 300 else f"{text[:297]}..."


def delivery_text(how: Delivery) -> str:
    """Say how a message is delivered."""
    lifetime = "" if how.lifetime is None else f", worth {how.lifetime:g} s"
    flags = "retained" if how.retain else "replayed" if how.replay else "not retained"
    return f"lane {how.lane.name.lower()}, {flags}{lifetime}"


def stranger(known: Collection[str], wish: str = "other") -> str:
    """Return a word like `wish` that is none of `known`."""
    return next(word for number in count(1) if (word := wish if number == 1 else f"{wish}{number}") not in known)


def word_path(field: str, internal: str, index: int | None = None) -> Path:
    """Return where an entry of a map stands in its document, or one MQTT word of it."""
    return (field, "map", internal) if index is None else (field, "map", internal, index)


def find_entry(field: FieldMap, internal: str, mqtt: str) -> Path | None:
    """Return where the MQTT word `mqtt` of the entry `internal` stands, or None if there is none."""
    words = field.entries.get(internal, ()) if field.maptype != "none" else ()
    return word_path(field.field, internal, list(words).index(mqtt)) if mqtt in words else None


def unknown_word(*fields: FieldMap) -> str:
    """Return a word that is in none of the maps, neither as internal nor as MQTT word."""
    return stranger({word for field in fields for word in words_of(field)})


def words_of(field: FieldMap) -> Iterator[str]:
    """Yield all words of a map, internal and of MQTT."""
    for internal, words in field.entries.items():
        yield internal
        yield from words


def accepted_levels(msg_map: MsgMap) -> list[frozenset[str] | None]:
    """Return, level by level, the words of the topics that the map reads; None where it takes any."""
    levels: list[frozenset[str] | None] = []
    for form in msg_map.forms:
        for at, level in enumerate(form.levels):
            readable = level.maps[0].readable() if len(level.maps) == 1 else None
            found = frozenset(level.listed() or ()) if not level.maps else readable
            if at == len(levels):
                levels.append(found)
            else:
                known = levels[at]
                levels[at] = None if known is None or found is None else known | found
    return levels


class Probe:
    """Makes messages for one map: a plain one, and those that differ from it in one word.

    Its plain words are such that `other`, a map to compare with, has them too, where there are any.
    """

    def __init__(self, msg_map: MsgMap, other: MsgMap | None = None) -> None:
        self.map = msg_map
        self.other = other
        self._foreign: dict[bool, tuple[str, bytes]] = {}
        self.samples = {name: self._sample(name) for name in FIELDS}
        self.level_of = {name: self._level_of(name) for name in ADDRESS_FIELDS}
        self.has_place = {name: self.level_of.get(name) is not None or self._is_in_payload(name) for name in FIELDS}

    # --- to be written

    def message(self, *, is_command: bool = False) -> InternalMsg:
        """Return a message in words of the map, without arguments; its sender is left empty."""
        words: dict[str, Any] = {name: self.samples[name] for name in (*ADDRESS_FIELDS, "action")}
        return InternalMsg(is_command, **{**words, "sender": ""})

    def with_word(self, field: str, internal: str, *, is_command: bool = False) -> InternalMsg:
        """Return a message that has the word `internal` in `field`."""
        msg = self.message(is_command=is_command)
        if field == "argkey":
            return replace(msg, arguments={internal: 1})
        if field == "argvalue":
            return replace(msg, arguments={self.samples["argkey"]: internal})
        return _replaced(msg, field, internal)

    def word_in(self, field: str, msg: InternalMsg) -> object:
        """Return the word of `field` in `msg`, a message like those of `with_word`."""
        if field in ("argkey", "argvalue"):
            part = msg.arguments if field == "argkey" else msg.arguments.values()
            return next(iter(part), None)
        return getattr(msg, field)

    # --- to be read

    def with_mqtt_word(self, field: str, mqtt: str, *, is_command: bool = True) -> tuple[str, bytes] | None:
        """Return the topic and payload of another's message with the MQTT word `mqtt` in `field`.

        None if the syntax of the map has no place of its own for it.
        """
        if not self.has_place[field]:
            return None
        topic, payload = self.foreign(is_command=is_command)
        if field in ADDRESS_FIELDS:
            levels = topic.split("/")
            levels[self.level_of[field] or 0] = mqtt
            return "/".join(levels), payload
        if field == "action":
            return topic, mqtt.encode()
        key = self.map.fields["argkey"].write(self.samples["argkey"]) if field == "argvalue" else mqtt
        value = mqtt if field == "argvalue" else 1
        return topic, json.dumps({key: value}, ensure_ascii=False).encode()

    def foreign(self, *, is_command: bool = True) -> tuple[str, bytes]:
        """Return the topic and payload of a plain message that another has sent."""
        if is_command not in self._foreign:
            self._foreign[is_command] = self._make_foreign(is_command=is_command)
        return self._foreign[is_command]

    def _make_foreign(self, *, is_command: bool) -> tuple[str, bytes]:
        publication = self.map.internal2mqtt(self.message(is_command=is_command))
        levels, at = publication.topic.split("/"), self.level_of["sender"]
        if at is not None:
            levels[at] = self.foreign_sender()
        return "/".join(levels), publication.payload

    def foreign_sender(self) -> str:
        """Return the MQTT word of a sender that is not this gateway, and that the map reads."""
        field = self.map.fields["sender"]
        known = field.readable()
        if known is None:
            return stranger({self.map.sender, *words_of(field)})
        return min((word for word in known if word and field.read(word) != self.map.sender), default="")

    def filled(self, topic_filter: str, *, is_command: bool, fill: Callable[[int], str | None] = lambda _: None) -> str:
        """Return a topic that matches `topic_filter`: its wildcards stand for words of a plain message.

        `fill` may give another word for a wildcard at a level.
        """
        plain = self.foreign(is_command=is_command)[0].split("/")
        levels = filter_levels(topic_filter)
        if levels[-1] == "#":
            levels = [*levels[:-1], *["+"] * (len(plain) - len(levels) + 1)]
        filled = [level if level != "+" else _or(fill(at), plain, at) for at, level in enumerate(levels)]
        return "/".join(filled)

    def heard_by(self, topic: str) -> str | None:
        """Return the first filter of the map that matches `topic`."""
        return next((one for one in self.map.topics if filter_matches(one, topic)), None)

    # --- how the plain message is found

    def _sample(self, name: str) -> str:
        field = self.map.fields[name]
        entries = [] if field.maptype == "none" else list(field.entries)[:_TRIED_ENTRIES]
        words = [*(word for word in entries if word), *_PLAIN_WORDS.get(name, ("", "x")), ""]
        plain = [word for word in words if self._is_plain(name, word)]
        common = (word for word in plain if self._is_common(name, word))
        return next(common, plain[0] if plain else "")

    def _is_plain(self, name: str, word: str) -> bool:
        if self.map.problem_of(name, word):
            return False
        mqtt = self.map.fields[name].write(word)
        return len(mqtt) < _LONG_WORD and not mqtt.lstrip().startswith("{")

    def _is_common(self, name: str, word: str) -> bool:
        if self.other is None or self.other.problem_of(name, word):
            return self.other is None
        return self.other.fields[name].write(word) == self.map.fields[name].write(word)

    def _level_of(self, name: str) -> int | None:
        """Return the level of the topic that is the field: the one that changes with its word."""
        if name == "sender":  # a map may know no other sender
            other = self.map.for_sender(stranger({self.map.sender, *words_of(self.map.fields[name])}))
            tries = [(self.map, ""), (other, "")]
        else:
            words = [*list(self.map.fields[name].entries)[:_TRIED_ENTRIES], "", "x", "y"]
            tries = [(self.map, word) for word in words]
        seen: list[Sequence[str]] = []
        for msg_map, word in tries:
            try:
                seen.append(msg_map.internal2mqtt(_replaced(self.message(), name, word)).topic.split("/"))
            except MessageError:
                continue
            changed = [at for at, pair in enumerate(zip(seen[0], seen[-1], strict=False)) if pair[0] != pair[1]]
            if changed:
                return changed[0] if len(changed) == 1 else None
        return self._level_refused(name, seen[0]) if seen else None

    def _level_refused(self, name: str, levels: Sequence[str]) -> int | None:
        """Return the level at which a map that has only one word refuses another."""
        other = unknown_word(self.map.fields[name])
        for at in range(len(levels)):
            try:
                self.map.mqtt2internal("/".join([*levels[:at], other, *levels[at + 1 :]]), b"{}")
            except WordError as err:
                if str(err).startswith(f"{name}: "):
                    return at
            except MessageError:
                continue
        return None

    def _is_in_payload(self, name: str) -> bool:
        """Tell whether the field stands in the payload as `with_mqtt_word` writes it there."""
        if name in ADDRESS_FIELDS:
            return False
        self.has_place = {name: True}
        for word in (self.samples[name], *list(self.map.fields[name].entries)[:_TRIED_ENTRIES]):
            try:
                publication = self.map.internal2mqtt(self.with_word(name, word))
                made = self.with_mqtt_word(name, self.map.fields[name].write(word))
                msg = self.map.mqtt2internal(publication.topic, made[1] if made else b"")
            except MessageError:
                continue
            if self.word_in(name, msg) == word:
                return True
        return False


def _replaced(msg: InternalMsg, field: str, word: str) -> InternalMsg:
    change: dict[str, Any] = {field: word}
    return replace(msg, **change)


def _or(word: str | None, plain: Sequence[str], at: int) -> str:
    if word is not None:
        return word
    return plain[at] if at < len(plain) else ""
