"""The payload of a message: action and arguments, as a syntax says that they are written. Pure and immutable.

    action   the action as plain text, or {"action": "...", "arg": value, ...} when there are arguments
    json     {"arg": value, ...}; the action stands in the topic, or is always the same
    value    the value of one argument, as plain text or a number; nothing at all if there is no argument
    empty    nothing at all

What is written is read back to the same action and arguments; what cannot be is refused with a `MessageError`. One
plain value has no room to say what it is: it is written all the same, for no reading is to be lost, and read back as
what it looks like (see `ValuePayload`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from gateway.errors import PayloadError, WordError
from gateway.message import OUTCOME_WORDS, Argument
from gateway.translation.field_map import FieldMap, short
from gateway.translation.remembered import remember
from gateway.translation.strict_json import (
    JSON_SPACE,
    SCALARS,
    check_value,
    dump,
    dump_text,
    load_object,
    load_scalar,
)

MAX_PAYLOAD_BYTES = 256 * 1024
"""A payload over this is refused both ways. A reading or a command has no use for more."""

ACTION_KEY = "action"
"""The key of the action in a payload of the form `action`; there no argument may be written under it."""

_ACTION_MEMBER = f"{dump_text(ACTION_KEY)}: "

_Arguments: TypeAlias = Mapping[str, Argument]
_JSON_SCALAR = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false|null")


class ActionPayload:
    """The action as plain text; with arguments, JSON that holds both."""

    def __init__(self, fields: Mapping[str, FieldMap]) -> None:
        self._action = fields["action"]
        self._passes_action = self._action.passes_all
        self._members = _Members(fields, reserved=ACTION_KEY)

    def write(self, action: str, arguments: _Arguments) -> str:
        """Return action and arguments as a text; raise `WordError` or `PayloadError` if that cannot be."""
        mqtt = action if self._passes_action and type(action) is str else self._action.write(action)
        if not arguments and mqtt and ("{" not in mqtt or mqtt.lstrip(JSON_SPACE)[0] != "{"):
            return mqtt
        return self._members.write(arguments, [_ACTION_MEMBER + dump_text(mqtt)] if mqtt else [])

    def read(self, _action: str, text: str) -> tuple[str, dict[str, Argument]]:
        """Return the action and the arguments of `text`; raise `WordError` or `PayloadError` for what is wrong."""
        if not text:
            raise PayloadError("the payload is empty: an action or a JSON object was expected")
        if "{" not in text or text.lstrip(JSON_SPACE)[0] != "{":
            return self._action.read(text), {}
        members = load_object(text)
        action = members.pop(ACTION_KEY, None)
        if action is None:
            action = ""
        if not isinstance(action, str):
            raise PayloadError(f"the action is {short(action)}: it must be text, in quotes")
        arguments = self._members.read(members)
        return self._action.read(action), arguments


class JsonPayload:
    """The arguments as a JSON object."""

    def __init__(self, fields: Mapping[str, FieldMap]) -> None:
        self._members = _Members(fields)

    def write(self, _action: str, arguments: _Arguments) -> str:
        """Return the arguments as a text; raise `WordError` or `PayloadError` if that cannot be."""
        return self._members.write(arguments, [])

    def read(self, action: str, text: str) -> tuple[str, dict[str, Argument]]:
        """Return `action` and the arguments of `text`; raise `WordError` or `PayloadError` for what is wrong."""
        if text.lstrip(JSON_SPACE)[:1] != "{":
            raise PayloadError(f"the payload is {short(text)}: a JSON object was expected")
        return action, self._members.read(load_object(text))


class ValuePayload:
    """The value of the one argument called `argument`, plain; an empty payload has no argument.

    What JSON reads as a number, true, false or null is read as that, unless the map of values knows the word, or the
    form says that its value `is_text`. So the text of a card, `12345678`, is read back as a number where it does not.
    """

    def __init__(self, fields: Mapping[str, FieldMap], argument: str, *, is_text: bool = False) -> None:
        self._argument = argument
        self._argvalue = fields["argvalue"]
        self._is_text = is_text

    def write(self, _action: str, arguments: _Arguments) -> str:
        """Return the one argument as a text; raise `WordError` or `PayloadError` if that cannot be."""
        if not arguments:
            return ""
        for key in arguments:
            if key != self._argument:
                raise PayloadError(f"there is no place for the argument {short(key)}, only for {self._argument!a}")
        value = arguments[self._argument]
        if isinstance(value, list | dict):
            raise PayloadError(
                f"argument {self._argument!a} holds a {type(value).__name__}: one plain value has a place"
            )
        if isinstance(value, str):
            return self._argvalue.write(value)
        check_value(self._argument, value)
        return dump(value)

    def read(self, action: str, text: str) -> tuple[str, dict[str, Argument]]:
        """Return `action` and the argument of `text`; raise `WordError` for one that the map of values refuses."""
        return action, {self._argument: self._read(text)} if text else {}

    def _read(self, text: str) -> Argument:
        if not self._is_text and _JSON_SCALAR.fullmatch(text) and not self._argvalue.knows(text):
            with contextlib.suppress(PayloadError):  # a number that cannot be held, such as 12E45678: a text
                return load_scalar(text)
        return self._argvalue.read(text)


class EmptyPayload:
    """Nothing: the topic says it all."""

    def write(self, _action: str, arguments: _Arguments) -> str:
        """Return the empty payload; raise `PayloadError` if there is an argument."""
        for key in arguments:
            raise PayloadError(f"there is no place for the argument {short(key)}")
        return ""

    def read(self, action: str, text: str) -> tuple[str, dict[str, Argument]]:
        """Return `action` without arguments; raise `PayloadError` if `text` holds anything."""
        if text:
            raise PayloadError("there is a payload where none was expected")
        return action, {}


Payload: TypeAlias = ActionPayload | JsonPayload | ValuePayload | EmptyPayload
PayloadKind = Literal["action", "json", "value", "empty"]


def make_payload(kind: PayloadKind, fields: Mapping[str, FieldMap], argument: str, *, is_text: bool = False) -> Payload:
    """Return the payload that a map calls `kind`; `argument` names the one of a `value`, and whether it `is_text`."""
    if kind == "action":
        return ActionPayload(fields)
    if kind == "json":
        return JsonPayload(fields)
    return ValuePayload(fields, argument, is_text=is_text) if kind == "value" else EmptyPayload()


class _Members:
    """Arguments as members of a JSON object, their names and values translated.

    The words of outcomes stand as they are, and so do the values of `response` and `reason`: a strict map would keep
    every outcome from its sender. What was `requested` are arguments of a command, in the words of MQTT.
    """

    def __init__(self, fields: Mapping[str, FieldMap], reserved: str | None = None) -> None:
        self._argkey, self._argvalue = fields["argkey"], fields["argvalue"]
        self._reserved = reserved
        self._is_plain = self._argkey.passes_all and self._argvalue.passes_all
        self._keys: dict[str, str] = {}  # as they are written

    def write(self, arguments: _Arguments, members: list[str]) -> str:
        """Return an object of `members`, written already, and `arguments`."""
        keys, passes_text = self._keys, self._argvalue.passes_all
        try:
            for key, value in arguments.items():
                written = keys.get(key) or self._write_key(key)
                dump_scalar = SCALARS.get(type(value))
                if dump_scalar is not None and (passes_text or type(value) is not str):  # as most are
                    members.append(written + dump_scalar(value))
                else:
                    members.append(written + self._write_value(key, value))
        except ValueError:
            self._write_value(key, value)  # says what is wrong with it: NaN, say
            raise
        return f"{{{', '.join(members)}}}"

    def _write_key(self, key: str) -> str:
        mqtt_key = key if key in OUTCOME_WORDS else self._argkey.write(key)
        if mqtt_key == self._reserved or (mqtt_key in OUTCOME_WORDS and mqtt_key != key):
            raise WordError(f"argkey: {short(key)}: an argument cannot be written as {mqtt_key!a}")
        written = f"{dump_text(mqtt_key)}: "
        remember(self._keys, key, written)
        return written

    def _write_value(self, key: str, value: Argument, *, is_nested: bool = False) -> str:
        if key == "requested" and isinstance(value, dict) and not is_nested:
            return self._write_requested(value)
        if isinstance(value, str) and key not in OUTCOME_WORDS:
            return dump_text(self._argvalue.write(value))
        check_value(key, value)
        return dump(value)

    def _write_requested(self, arguments: dict[str, Argument]) -> str:
        members = (self._write_key(k) + self._write_value(k, v, is_nested=True) for k, v in arguments.items())
        return f"{{{', '.join(members)}}}"

    def read(self, members: _Arguments, *, is_nested: bool = False) -> dict[str, Argument]:
        """Return the arguments that `members` stand for; `is_nested` tells that they are those of `requested`."""
        argkey, argvalue, is_plain = self._argkey, self._argvalue, self._is_plain
        arguments: dict[str, Argument] = {}
        for mqtt_key, value in members.items():
            if is_plain and type(value) in SCALARS:  # as most are
                arguments[mqtt_key] = value
                continue
            key = mqtt_key if mqtt_key in OUTCOME_WORDS else argkey.read(mqtt_key)
            if key in arguments:
                raise PayloadError(f"argument {short(key)} is given twice, under two of its aliases")
            if key == "requested" and isinstance(value, dict) and not is_nested:
                value = self.read(value, is_nested=True)
            elif isinstance(value, str) and mqtt_key not in OUTCOME_WORDS:
                value = argvalue.read(value)
            else:
                check_value(key, value)
            arguments[key] = value
        return arguments


def encoded(text: str, action: str = "") -> bytes:
    """Return a payload as bytes; raise `WordError` or `PayloadError` if UTF-8 cannot say it, or it is too large.

    `action` is the one that stands in it.
    """
    try:
        payload = text.encode("utf-8")
    except UnicodeEncodeError as err:
        raise encoding_problem(action) from err
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise payload_too_large(payload)
    return payload


def encoding_problem(action: str) -> WordError:
    """Return the error of a message that holds an unpaired surrogate, in its action or elsewhere."""
    try:
        action.encode("utf-8")
    except UnicodeEncodeError:
        return WordError("action: an unpaired surrogate cannot be written as UTF-8")
    return WordError("arguments: an unpaired surrogate cannot be written as UTF-8")


def payload_too_large(payload: bytes) -> PayloadError:
    """Return the error of a payload over the limit."""
    return PayloadError(f"the payload has {len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}")
