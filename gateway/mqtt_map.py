"""The message map: internal messages to MQTT and back.

Pure and immutable: no I/O, no clock, no thread; one map may be used by any number of threads.

    topic    root/function/gateway/location/device/sender/C|S     (C: command, S: status)
    payload  the action as plain text, or {"action": "...", "arg": value, ...} when there are arguments

The law: what a map writes, it reads back to the same message. A message for which that cannot be is
refused with a `MessageError`, both ways.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from gateway.delivery import PLAIN, PLAIN_REPLY, Delivery, DeliveryRule, DeliveryRules, is_reply
from gateway.errors import PayloadError, TopicError, WordError
from gateway.message import ADDRESS_FIELDS, Argument, InternalMsg, Publication
from gateway.topic import word_problem

MapType = Literal["none", "loose", "strict"]

FIELDS = (*ADDRESS_FIELDS, "action", "argkey", "argvalue")
"""The parts of a message that a map can translate, each with a map of its own."""

MAX_PAYLOAD_BYTES = 256 * 1024
"""A payload over this is refused both ways. A reading or a command has no use for more."""

MAX_DEPTH = 20
"""How deep lists and objects may stand in one another in an argument."""

ACTION_KEY = "action"
"""The key of the action in a JSON payload; no argument may be written under it."""

_MAX_REMEMBERED_TOPICS = 4096
_JSON_SPACE = " \t\r\n"  # RFC 8259, section 2
_KINDS: Mapping[str, bool] = {"C": True, "S": False}
_Address: TypeAlias = tuple[bool, str, str, str, str, str]  # is it a command, then ADDRESS_FIELDS


class FieldMap:
    """The translation of one field: internal word to MQTT word and back.

    `maptype` none passes every word unchanged; loose translates the words it knows and passes the
    others; strict refuses the others, except the empty word. `entries` gives, for each internal word,
    its MQTT words: the first is written, all are read; a map of type none has them, and does not use them.
    """

    def __init__(self, field: str, maptype: MapType = "none", entries: Mapping[str, Sequence[str]] | None = None):
        self.field = field
        self.maptype = maptype
        self.entries: Mapping[str, Sequence[str]] = entries or {}
        entries = self.entries if maptype != "none" else {}
        self._read = {mqtt: internal for internal, words in entries.items() for mqtt in words}
        self._written = {internal: words[0] for internal, words in entries.items()}

    def claiming(self, internal: str) -> FieldMap:
        """Return a map that keeps `internal` for this gateway: it passes even when strict, and is read as itself."""
        claimed = FieldMap(self.field)
        claimed.maptype, claimed.entries = self.maptype, self.entries
        mqtt = self._written.get(internal, internal)
        claimed._written = {**self._written, internal: mqtt}
        claimed._read = {**self._read, mqtt: internal}
        return claimed

    def write(self, word: object) -> str:
        """Return the MQTT word for the internal `word`.

        Raises `WordError` if it is not text, if a strict map has no such word, or if the MQTT word would
        be read back as another one.
        """
        if not isinstance(word, str):
            raise WordError(f"{self.field}: {_short(word)} is not text: make it text")
        mqtt = self._written.get(word)
        if mqtt is None:
            if word and self.maptype == "strict":
                raise WordError(f"{self.field}: {_short(word)} is not in the map: add it there, or make the map loose")
            mqtt = word
        back = self._read.get(mqtt, mqtt)
        if back != word:
            raise WordError(
                f"{self.field}: {_short(word)} would be written as {_short(mqtt)}, which is read as {_short(back)}: "
                f"give it a word of its own in the map"
            )
        return mqtt

    def read(self, word: str) -> str:
        """Return the internal word for the MQTT `word`; raise `WordError` if a strict map has no such word."""
        internal = self._read.get(word)
        if internal is None:
            if word and self.maptype == "strict":
                raise WordError(f"{self.field}: {_short(word)} is not in the map: add it there, or make the map loose")
            internal = word
        return internal

    def readable(self) -> frozenset[str] | None:
        """Return all MQTT words that `read` takes, or None if it takes any."""
        return frozenset(self._read) | {""} if self.maptype == "strict" else None


class MsgMap:
    """Translates messages between the gateway's words and those of one MQTT network.

    `sender` is this gateway's name: it is written where a message has no sender, whatever the sender
    map says, and marks the gateway's own messages when the broker sends them back. `topics` are the
    filters to subscribe to. Statuses are written with `status_qos`; commands always with QoS 0, since
    a command that may arrive twice is worse than one that may not arrive. `delivery` says what is retained,
    what goes first, and which commands may be replayed.
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
    ) -> None:
        self.root = root
        self.topics = tuple(topics)
        self.sender = sender
        self.status_qos = status_qos
        self._given_fields = {name: (fields or {}).get(name) or FieldMap(name) for name in FIELDS}
        self.fields = {**self._given_fields, "sender": self._given_fields["sender"].claiming(sender)}
        self._address = tuple((name, self.fields[name]) for name in ADDRESS_FIELDS)
        self._prefix = root + "/"
        # Devices say the same few things again and again; their topics are made once.
        self._written_topics: dict[tuple[object, ...], str] = {}
        self._read_topics: dict[str, _Address] = {}
        self._rules = delivery or DeliveryRules()
        self._deliveries: dict[tuple[object, ...], Delivery] = {}

    def for_sender(self, sender: str) -> MsgMap:
        """Return the same map for another sender."""
        return MsgMap(
            self.root,
            self.topics,
            self._given_fields,
            sender=sender,
            status_qos=self.status_qos,
            delivery=self._rules,
        )

    @property
    def delivery_rules(self) -> Sequence[DeliveryRule]:
        """The rules of `delivery_of`, in their order."""
        return self._rules.rules

    def problem_of(self, field: str, word: str) -> str:
        """Say why a message with `word` in `field` could not be written; `""` if it could."""
        try:
            mqtt = self.fields[field].write(word)
        except WordError as err:
            return str(err)
        problem = word_problem(mqtt) if field in ADDRESS_FIELDS else ""
        return f"{field}: {_short(mqtt)}: {problem}" if problem else ""

    def internal2mqtt(self, msg: InternalMsg) -> Publication:
        """Return `msg` as a publication.

        Raises `WordError` naming the field and the word that cannot be written, or `PayloadError` if
        an argument is not JSON or the payload is too large.
        """
        key = (msg.iscmd, msg.function, msg.gateway, msg.location, msg.device, msg.sender)
        try:
            topic = self._written_topics.get(key)
        except TypeError:  # a list, say, which no dict takes as key: it is named below
            topic = None
        if topic is None:
            topic = self._write_topic(msg)
            _remember(self._written_topics, key, topic)
        payload = self._write_payload(msg)
        if msg.iscmd:
            return Publication(topic, payload, 0, is_command=True, lifetime=self.delivery_of(msg).lifetime)
        how = self.delivery_of(msg)
        return Publication(topic, payload, self.status_qos, how.retain, False, how.lane, how.lifetime)

    def delivery_of(self, msg: InternalMsg) -> Delivery:
        """Return how `msg` is delivered, by the rules of this map."""
        if not self._rules:
            return PLAIN_REPLY if is_reply(msg) else PLAIN
        key = (msg.iscmd, msg.function, msg.gateway, msg.location, msg.device, msg.sender, msg.action, is_reply(msg))
        known = self._deliveries.get(key)
        if known is None:
            known = self._rules.delivery_of(msg)
            _remember(self._deliveries, key, known)
        return known

    def mqtt2internal(self, topic: str, payload: bytes) -> InternalMsg:
        """Return the message that `payload`, received on `topic`, stands for.

        Raises `TopicError`, `WordError` or `PayloadError`, saying what is wrong with it.
        """
        address = self._read_topics.get(topic)
        if address is None:
            address = self._read_topic(topic)
            _remember(self._read_topics, topic, address)
        action, arguments = self._read_payload(payload)
        return InternalMsg(*address, action, arguments)

    def is_echo(self, msg: InternalMsg) -> bool:
        """Tell whether `msg`, read by this map, is one of the gateway's own."""
        return msg.sender == self.sender

    def accepted_levels(self) -> list[frozenset[str] | None]:
        """Return, level by level, the words of the topics this map can read; None where it takes any."""
        root = [frozenset({level}) for level in self.root.split("/")]
        return [*root, *(field.readable() for _, field in self._address), frozenset(_KINDS)]

    # --- topic

    def _write_topic(self, msg: InternalMsg) -> str:
        words = [self.root]
        for name, field in self._address:
            word = getattr(msg, name)
            if name == "sender" and not word:
                word = self.sender
            mqtt = field.write(word)
            problem = word_problem(mqtt)
            if problem:
                raise WordError(f"{name}: {_short(mqtt)}: {problem}")
            words.append(mqtt)
        words.append("C" if msg.iscmd else "S")
        return "/".join(words)

    def _read_topic(self, topic: str) -> _Address:
        if not topic.startswith(self._prefix):
            raise TopicError(f"topic {_short(topic)}: the root is not {self.root!a}")
        levels = topic[len(self._prefix) :].split("/")
        if len(levels) != len(ADDRESS_FIELDS) + 1:
            raise TopicError(
                f"topic {_short(topic)}: {len(levels)} levels after the root instead of "
                f"{len(ADDRESS_FIELDS) + 1} (function/gateway/location/device/sender/C or S)"
            )
        kind = _KINDS.get(levels[-1])
        if kind is None:
            raise TopicError(f"topic {_short(topic)}: the last level is {_short(levels[-1])} instead of C or S")
        for name, level in zip(ADDRESS_FIELDS, levels, strict=False):
            problem = word_problem(level)
            if problem:
                raise WordError(f"{name}: {_short(level)}: {problem}")
        function, gateway, location, device, sender = (
            field.read(level) for (_, field), level in zip(self._address, levels, strict=False)
        )
        return kind, function, gateway, location, device, sender

    # --- payload

    def _write_payload(self, msg: InternalMsg) -> bytes:
        action = self.fields["action"].write(msg.action)
        if not msg.arguments and action and action.lstrip(_JSON_SPACE)[:1] != "{":
            text = action
        else:
            members: dict[str, Argument] = {ACTION_KEY: action} if action else {}
            argkey, argvalue = self.fields["argkey"], self.fields["argvalue"]
            for key, value in msg.arguments.items():
                mqtt_key = argkey.write(key)
                if mqtt_key == ACTION_KEY:
                    raise WordError(f"argkey: {_short(key)}: an argument cannot be written as 'action'")
                if isinstance(value, str):
                    value = argvalue.write(value)
                else:
                    _check_value(key, value)
                members[mqtt_key] = value
            try:
                text = _dump(members)
            except ValueError as err:  # an integer of thousands of digits
                raise PayloadError(f"the arguments cannot be written as JSON: {err}") from err
        try:
            payload = text.encode("utf-8")
        except UnicodeEncodeError as err:
            raise WordError(f"{_field_with_surrogate(msg)}: an unpaired surrogate cannot be written as UTF-8") from err
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadError(f"the payload has {len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}")
        return payload

    def _read_payload(self, payload: bytes) -> tuple[str, dict[str, Argument]]:
        if not payload:
            raise PayloadError("the payload is empty: an action or a JSON object was expected")
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PayloadError(f"the payload has {len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}")
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError as err:
            raise PayloadError(f"the payload is not UTF-8 (byte {err.start}: 0x{payload[err.start]:02x})") from err
        if text.lstrip(_JSON_SPACE)[:1] != "{":
            return self.fields["action"].read(text), {}
        members = _load(text)
        action = members.pop(ACTION_KEY, None)
        if action is None:
            action = ""
        if not isinstance(action, str):
            raise PayloadError(f"the action is {_short(action)}: it must be text, in quotes")
        argkey, argvalue = self.fields["argkey"], self.fields["argvalue"]
        arguments: dict[str, Argument] = {}
        for mqtt_key, value in members.items():
            key = argkey.read(mqtt_key)
            if key in arguments:
                raise PayloadError(f"argument {_short(key)} is given twice, under two of its aliases")
            if isinstance(value, str):
                value = argvalue.read(value)
            else:
                _check_value(key, value)
            arguments[key] = value
        return self.fields["action"].read(action), arguments


def _remember(known: dict[Any, Any], key: object, value: object) -> None:
    if len(known) >= _MAX_REMEMBERED_TOPICS:
        known.clear()
    known[key] = value


_dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode


def _load(text: str) -> dict[str, Argument]:
    """Parse a JSON object strictly; raise `PayloadError` for whatever two readers could disagree about."""
    try:
        value = _decoder.decode(text.strip(_JSON_SPACE))
        if "\\u" in text:
            _dump(value).encode("utf-8")  # an escape can say what UTF-8 cannot
    except json.JSONDecodeError as err:
        raise PayloadError(f"the payload begins with '{{' but is not JSON: {err}") from err
    except RecursionError as err:
        raise PayloadError(f"the payload has lists or objects nested over {MAX_DEPTH} deep") from err
    except UnicodeEncodeError as err:
        raise PayloadError("the payload has an unpaired surrogate, which is no character: leave it out") from err
    except ValueError as err:  # an integer of thousands of digits
        raise PayloadError(f"the payload has a number that cannot be read: {err}") from err
    if not isinstance(value, dict):  # cannot be: it begins with '{'
        raise PayloadError("the payload is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Argument]]) -> dict[str, Argument]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise PayloadError(f"the payload gives {_short(twice)} twice")
    return members


def _refuse_constant(name: str) -> Argument:
    raise PayloadError(f"the payload holds {name}, which JSON does not know: leave the argument out, or use null")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise PayloadError(f"the payload has a number that cannot be read: {_short(text)}")
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)


def _check_value(key: str, value: object, depth: int = 1) -> None:
    """Raise `PayloadError` unless `value` can be said in JSON and is read back equal."""
    if value is None or isinstance(value, str | bool | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise PayloadError(
                f"argument {_short(key)} is {value}, which JSON does not know: leave it out, or use None"
            )
        return
    if depth > MAX_DEPTH:
        raise PayloadError(f"argument {_short(key)} has lists or objects nested over {MAX_DEPTH} deep")
    if isinstance(value, list):
        for item in value:
            _check_value(key, item, depth + 1)
    elif isinstance(value, dict) and all(isinstance(name, str) for name in value):
        for item in value.values():
            _check_value(key, item, depth + 1)
    else:
        raise PayloadError(
            f"argument {_short(key)} holds a {type(value).__name__}: use text, a number, a boolean, None, "
            f"a list, or a dict with text keys"
        )


def _field_with_surrogate(msg: InternalMsg) -> str:
    try:
        msg.action.encode()
    except UnicodeEncodeError:
        return "action"
    return "arguments"


def _short(value: object) -> str:
    """Quote `value` for an error message: escaped, and cut to what a person reads."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:76]}...{text[0]}"
