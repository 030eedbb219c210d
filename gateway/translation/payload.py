"""The payload of a message: action and arguments, in one of the kinds that a syntax can choose. Pure and immutable.

    action   the action as plain text, or {"action": "...", "arg": value, ...} when there are arguments
    json     {"arg": value, ...}; the action is in the topic, or constant
    value    the value of one argument, as plain text or a number; empty if there is no argument
    empty    nothing

What is written is read back to the same action and arguments; anything else is refused with a `MessageError`. The
exception is one plain value, whose payload has no room for its type: it is written nevertheless, so that no reading is
lost, and read back as the type it looks like (see `ValuePayload`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from gateway.core.bounded_cache import put
from gateway.core.quoting import quote
from gateway.errors import MessageError, PayloadError, WordError
from gateway.message import OUTCOME_WORDS, Argument
from gateway.translation.field_map import FieldMap
from gateway.translation.strict_json import (
    JSON_SPACE,
    SCALARS,
    check_value,
    dump,
    dump_text,
    load,
    load_scalar,
)

MAX_PAYLOAD_BYTES = 256 * 1024
"""Largest payload, in both directions. No reading or command needs more."""

ACTION_KEY = "action"
"""The key of the action in a payload of the kind `action`; no argument may have it there."""

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
        """Return action and arguments as a text; raise `WordError` or `PayloadError` if that is impossible."""
        mqtt = action if self._passes_action and type(action) is str else self._action.write(action)
        if not arguments and mqtt and ("{" not in mqtt or mqtt.lstrip(JSON_SPACE)[0] != "{"):
            return mqtt
        return self._members.write(arguments, [_ACTION_MEMBER + dump_text(mqtt)] if mqtt else [])

    def read(self, _action: str, text: str) -> tuple[str, dict[str, Argument]]:
        """Return the action and the arguments in `text`; raise `WordError` or `PayloadError` if it is wrong."""
        if not text:
            raise PayloadError("the payload is empty: an action or a JSON object was expected")
        if "{" not in text or text.lstrip(JSON_SPACE)[0] != "{":
            return self._action.read(text), {}
        members: dict[str, Argument] = load(text)
        action = members.pop(ACTION_KEY, None)
        if action is None:
            action = ""
        if not isinstance(action, str):
            raise PayloadError(f"the action is {quote(action)}: it must be text, in quotes")
        arguments = self._members.read(members)
        return self._action.read(action), arguments


class JsonPayload:
    """The arguments as a JSON object."""

    def __init__(self, fields: Mapping[str, FieldMap]) -> None:
        self._members = _Members(fields)

    def write(self, _action: str, arguments: _Arguments) -> str:
        """Return the arguments as a text; raise `WordError` or `PayloadError` if that is impossible."""
        return self._members.write(arguments, [])

    def read(self, action: str, text: str) -> tuple[str, dict[str, Argument]]:
        """Return `action` and the arguments in `text`; raise `WordError` or `PayloadError` if it is wrong."""
        if text.lstrip(JSON_SPACE)[:1] != "{":
            raise PayloadError(f"the payload is {quote(text)}: a JSON object was expected")
        return action, self._members.read(load(text))


class ValuePayload:
    """The value of the one argument called `argument`, plain; an empty payload has no argument.

    A text that is a JSON number, true, false or null is read as such, unless it is in the map of values, or the form
    declares its value as text (`is_text`). So the number of a card, the text `12345678`, is read back as a number if
    the form does not declare that.
    """

    def __init__(self, fields: Mapping[str, FieldMap], argument: str, *, is_text: bool = False) -> None:
        self._argument = argument
        self._argvalue = fields["argvalue"]
        self._is_text = is_text

    def write(self, _action: str, arguments: _Arguments) -> str:
        """Return the one argument as a text; raise `WordError` or `PayloadError` if that is impossible."""
        if not arguments:
            return ""
        for key in arguments:
            if key != self._argument:
                raise PayloadError(f"there is no place for the argument {quote(key)}, only for {self._argument!a}")
        value = arguments[self._argument]
        if isinstance(value, list | dict):
            raise PayloadError(
                f"argument {self._argument!a} is a {type(value).__name__}, but there is room only for one plain value"
            )
        if isinstance(value, str):
            return self._argvalue.write(value)
        check_value(self._argument, value)
        return dump(value)

    def read(self, action: str, text: str) -> tuple[str, dict[str, Argument]]:
        """Return `action` and the argument in `text`; raise `WordError` if the map of values refuses it."""
        return action, {self._argument: self._read(text)} if text else {}

    def _read(self, text: str) -> Argument:
        if not self._is_text and _JSON_SCALAR.fullmatch(text) and not self._argvalue.knows(text):
            with contextlib.suppress(PayloadError):  # a number too large for Python, such as 12E45678, is text
                return load_scalar(text)
        return self._argvalue.read(text)


class EmptyPayload:
    """An empty payload: the topic holds the whole message."""

    def write(self, _action: str, arguments: _Arguments) -> str:
        """Return the empty payload; raise `PayloadError` if there is an argument."""
        for key in arguments:
            raise PayloadError(f"there is no place for the argument {quote(key)}")
        return ""

    def read(self, action: str, text: str) -> tuple[str, dict[str, Argument]]:
        """Return `action` without arguments; raise `PayloadError` if `text` is not empty."""
        if text:
            raise PayloadError("there is a payload where none was expected")
        return action, {}


Payload: TypeAlias = ActionPayload | JsonPayload | ValuePayload | EmptyPayload
PayloadKind = Literal["action", "json", "value", "empty"]


def make_payload(kind: PayloadKind, fields: Mapping[str, FieldMap], argument: str, *, is_text: bool = False) -> Payload:
    """Return the payload of this kind; `argument` and `is_text` are for a `value`."""
    return PAYLOADS[kind](fields, argument, is_text)


PAYLOADS: Mapping[PayloadKind, Callable[[Mapping[str, FieldMap], str, bool], Payload]] = {
    "action": lambda fields, _argument, _is_text: ActionPayload(fields),
    "json": lambda fields, _argument, _is_text: JsonPayload(fields),
    "value": lambda fields, argument, is_text: ValuePayload(fields, argument, is_text=is_text),
    "empty": lambda _fields, _argument, _is_text: EmptyPayload(),
}
"""The kinds of payload that a map may name, and how each is made. A new kind is added here, to `PayloadKind` and to the
schema of maps."""


class _Members:
    """Arguments as members of a JSON object, with translated names and values.

    The reserved names of outcomes are not translated, and neither are the values of `response` and `reason`: otherwise
    a strict map would refuse every outcome. The value of `requested` holds the arguments of a command, translated.
    """

    def __init__(self, fields: Mapping[str, FieldMap], reserved: str | None = None) -> None:
        self._argkey, self._argvalue = fields["argkey"], fields["argvalue"]
        self._reserved = reserved
        self._is_plain = self._argkey.passes_all and self._argvalue.passes_all
        self._keys: dict[str, str] = {}  # name of an argument: its text in JSON, with the colon

    def write(self, arguments: _Arguments, members: list[str]) -> str:
        """Return a JSON object of `members`, which are JSON already, and of `arguments`."""
        keys, passes_text = self._keys, self._argvalue.passes_all
        try:
            for key, value in arguments.items():
                written = keys.get(key) or self._write_key(key)
                dump_scalar = SCALARS.get(type(value))
                if dump_scalar is not None and (passes_text or type(value) is not str):  # the usual case
                    members.append(written + dump_scalar(value))
                else:
                    members.append(written + self._write_value(key, value))
        except ValueError:
            self._write_value(key, value)  # raises an error that explains what is wrong, for example NaN
            raise
        return f"{{{', '.join(members)}}}"

    def _write_key(self, key: str) -> str:
        mqtt_key = key if key in OUTCOME_WORDS else self._argkey.write(key)
        if mqtt_key == self._reserved or (mqtt_key in OUTCOME_WORDS and mqtt_key != key):
            raise WordError(f"argkey: {quote(key)}: an argument cannot be written as {mqtt_key!a}")
        written = f"{dump_text(mqtt_key)}: "
        put(self._keys, key, written)
        return written

    def _write_value(self, key: str, value: Argument, *, is_nested: bool = False) -> str:
        if key == "requested" and isinstance(value, dict) and not is_nested:
            return self._write_requested(value)
        try:
            if isinstance(value, str) and key not in OUTCOME_WORDS:
                return dump_text(self._argvalue.write(value))
            check_value(key, value)
            return dump(value)
        except MessageError:
            raise
        except Exception as err:  # an interface may pass an object of any class
            what = f"holds a {type(value).__name__}, which fails when it is read"
            raise PayloadError(f"argument {quote(key)} {what}: {type(err).__name__}") from err

    def _write_requested(self, arguments: dict[str, Argument]) -> str:
        members = (self._write_key(k) + self._write_value(k, v, is_nested=True) for k, v in arguments.items())
        return f"{{{', '.join(members)}}}"

    def read(self, members: _Arguments, *, is_nested: bool = False) -> dict[str, Argument]:
        """Return the arguments in `members`; `is_nested` if these are the value of `requested`."""
        argkey, argvalue, is_plain = self._argkey, self._argvalue, self._is_plain
        arguments: dict[str, Argument] = {}
        for mqtt_key, value in members.items():
            if is_plain and type(value) in SCALARS:  # the usual case
                arguments[mqtt_key] = value
                continue
            key = mqtt_key if mqtt_key in OUTCOME_WORDS else argkey.read(mqtt_key)
            if key in arguments:
                raise PayloadError(f"argument {quote(key)} occurs twice, under two of its aliases")
            if key == "requested" and isinstance(value, dict) and not is_nested:
                value = self.read(value, is_nested=True)
            elif isinstance(value, str) and mqtt_key not in OUTCOME_WORDS:
                value = argvalue.read(value)
            else:
                check_value(key, value)
            arguments[key] = value
        return arguments


def encoded(text: str, action: str = "") -> bytes:
    """Return a payload as bytes; raise `WordError` or `PayloadError` if it is not valid UTF-8, or too large.

    `action` is the action in it, for the error.
    """
    try:
        payload = text.encode("utf-8")
    except UnicodeEncodeError as err:
        raise encoding_problem(action) from err
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise payload_too_large(payload)
    return payload


def encoding_problem(action: str) -> WordError:
    """Return the error for a message with an unpaired surrogate, in its action or elsewhere."""
    try:
        action.encode("utf-8")
    except UnicodeEncodeError:
        return WordError("action: an unpaired surrogate cannot be written as UTF-8")
    return WordError("arguments: an unpaired surrogate cannot be written as UTF-8")


def payload_too_large(payload: bytes) -> PayloadError:
    """Return the error for a payload over the limit."""
    return PayloadError(f"the payload has {len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}")
