"""The templates by which Home Assistant reads our documents and writes our commands: a closed set. Pure.

Each has a twin in Python that gives the same text, so that a configuration can be checked without Home Assistant. What
stands in a template is a literal made here: no name of a device, and nothing that a device sends, is ever read as one.

A value that is not known is `None` for those entities that take this word for "unknown", and empty for those that
ignore an empty text; with the wrong one of the two, each document makes an error in Home Assistant's log. Each template
gives a text for any document, also for an empty payload, which is that of a topic that was cleared.

Home Assistant leaves out blanks at the ends of what a template gives; no word of an entity and no command here has any.
Source: the integration `mqtt` of Home Assistant, run with 2024.3 and 2026.11.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

UNKNOWN, NOTHING = "None", ""
"""What a template gives where there is no value: an unknown state, or nothing, so that the state stays as it is."""

MAX_STATE = 255
"""Characters of a state; a longer one is an error in Home Assistant's log."""

_STALE = ("stale", "bad")  # qualities of a value that is not to be relied on


class ValueTemplate(NamedTuple):
    """What is read of a document: the template, and `twin`, which gives its text for a document."""

    text: str
    twin: Callable[[Mapping[str, Any]], str]


class CommandTemplate(NamedTuple):
    """The payload of a command: the template, and `twin`, which gives its text for a value of the entity."""

    text: str
    twin: Callable[[Any], str]


def literal(value: object) -> str:
    """Return a text, number or boolean as a literal of a template."""
    if isinstance(value, str):
        # Jinja reads a literal with the codec `unicode_escape`; braces could be taken for the end of the template.
        escaped = value.encode("unicode_escape").decode("ascii").replace("'", "\\'")
        return "'" + escaped.replace("{", "\\x7b").replace("}", "\\x7d").replace("%", "\\x25") + "'"
    return repr(value).lower() if isinstance(value, bool) else repr(value)


_DOCUMENT = "(value_json | default({}))"
"""The document that was received; an empty payload is none, and `value_json` is undefined then."""


def shown(value: object) -> str:
    """Return a value as a template shows it, and as Home Assistant's users see it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


# --- values


def plain(key: str, unknown: str = UNKNOWN) -> ValueTemplate:
    """Return the template for the value of a point as it is: a number, or a text."""
    return ValueTemplate(
        f"{{{{ {_DOCUMENT}.get({literal(key)}, {literal(unknown)}) }}}}",
        lambda document: str(document.get(key, unknown)),
    )


def text(key: str, unknown: str = UNKNOWN) -> ValueTemplate:
    """Return the template for the value of a point as a text that is no longer than a state can be."""
    return ValueTemplate(
        f"{{{{ ({_DOCUMENT}.get({literal(key)}, {literal(unknown)}) | string)[:{MAX_STATE}] }}}}",
        lambda document: str(document.get(key, unknown))[:MAX_STATE],
    )


def moment(key: str, *, is_date: bool = False) -> ValueTemplate:
    """Return the template for a time with a zone, or a date, in the form of ISO 8601; any other text is unknown."""

    def twin(document: Mapping[str, Any]) -> str:
        value = str(document.get(key, UNKNOWN))
        return value if re.fullmatch(_DATE if is_date else _TIME, value) else UNKNOWN

    # Jinja knows no regular expressions.
    date = ("(v[:4] + v[5:7] + v[8:10]).isdecimal() and v[4:5] == '-' and v[7:8] == '-' "
            "and '01' <= v[5:7] <= '12' and '01' <= v[8:10] <= '31'")  # fmt: skip
    time = ("(v[11:13] + v[14:16] + v[17:19]).isdecimal() and v[10:11] == 'T' and v[13:14] == ':' and v[16:17] == ':' "
            "and v[11:13] < '24' and v[14:16] < '60' and v[17:19] < '60'")  # fmt: skip
    zone = ("(v[19:] == 'Z' or v[19:20] == '.' and v[20:-1].isdecimal() and v[-1:] == 'Z' or v[-6:-5] in ['+', '-'] "
            "and v[-3:-2] == ':' and (v[-5:-3] + v[-2:]).isdecimal() and v[-5:-3] < '24' and v[-2:] < '60' "
            "and (v | length == 25 or v[19:20] == '.' and v[20:-6].isdecimal()))")  # fmt: skip
    test = f"v | length == 10 and {date}" if is_date else f"{date} and {time} and {zone}"
    given = f"{{% set v = {_DOCUMENT}.get({literal(key)}, '') | string %}}"
    return ValueTemplate(f"{given}{{{{ v if v.isascii() and {test} else {literal(UNKNOWN)} }}}}", twin)


_DATE = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = _DATE + r"T([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"


def kept(key: str) -> ValueTemplate:
    """Return the template for the value of a text that can be written; without a value, the state stays as it is."""
    given = f"{_DOCUMENT}.get({literal(key)}, this.state)"
    return ValueTemplate(
        f"{{{{ ({given} | string)[:{MAX_STATE}] }}}}", lambda document: str(document.get(key, UNKNOWN))[:MAX_STATE]
    )


def between(key: str, low: float, high: float) -> ValueTemplate:
    """Return the template for a number that is unknown outside of the range that Home Assistant accepts."""

    def twin(document: Mapping[str, Any]) -> str:
        return NOTHING if key not in document else str(document[key]) if low <= document[key] <= high else UNKNOWN

    name = literal(key)
    value = f"value_json[{name}] if {low!r} <= value_json[{name}] <= {high!r} else {literal(UNKNOWN)}"
    return ValueTemplate(f"{{{{ '' if {name} not in {_DOCUMENT} else {value} }}}}", twin)


def mapped(key: str, words: Mapping[Any, str], unknown: str = UNKNOWN) -> ValueTemplate:
    """Return the template for a point whose values stand for `words`; another value is unknown, too."""
    table = ", ".join(f"{literal(value)}: {literal(word)}" for value, word in words.items())
    text = f"{{{{ {{{table}}}.get({_DOCUMENT}.get({literal(key)}), {literal(unknown)}) }}}}"
    return ValueTemplate(text, lambda document: words.get(document.get(key), unknown))


def rising(key: str, on: str, off: str) -> ValueTemplate:
    """Return the template for a number that means `on` above 0, and `off` at 0."""

    def twin(document: Mapping[str, Any]) -> str:
        return UNKNOWN if key not in document else on if document[key] > 0 else off

    name = literal(key)
    condition = f"{literal(on)} if value_json[{name}] > 0 else {literal(off)}"
    return ValueTemplate(f"{{{{ {literal(UNKNOWN)} if {name} not in {_DOCUMENT} else {condition} }}}}", twin)


def mireds(kelvin: float) -> int:
    """Return a colour temperature in mireds, as early releases have it; and a number of mireds in kelvin."""
    return int(1_000_000 / kelvin + 0.5)


def in_mireds(key: str) -> ValueTemplate:
    """Return the template for a colour temperature in kelvin, for releases that want mireds."""

    def twin(document: Mapping[str, Any]) -> str:
        return str(mireds(document[key])) if document.get(key, 0) > 0 else NOTHING

    name = literal(key)
    value = f"(1000000 / value_json[{name}] + 0.5) | int"
    return ValueTemplate(f"{{{{ ({value}) if {_DOCUMENT}.get({name}, 0) > 0 else {literal(NOTHING)} }}}}", twin)


def reliable(keys: Iterable[str]) -> ValueTemplate:
    """Return the template for the availability of an entity: whether the values of its points can be relied on."""
    keys = tuple(keys)

    def twin(document: Mapping[str, Any]) -> str:
        quality = document.get("_quality", {})
        return "offline" if any(quality.get(key) in _STALE for key in keys) else "online"

    quality = f"{_DOCUMENT}.get('_quality', {{}})"
    tests = " or ".join(f"{quality}.get({literal(key)}) in ['stale', 'bad']" for key in keys)
    return ValueTemplate(f"{{{{ 'offline' if {tests} else 'online' }}}}", twin)


def outcome(types: Sequence[str], other: str) -> ValueTemplate:
    """Return the template for the event of an outcome document; one that is none of `types` counts as `other`."""

    def twin(document: Mapping[str, Any]) -> str:
        response = document["response"]
        kind = response if response in types else other
        return json.dumps({"event_type": kind, **{name: document[name] for name in ("response", "reason", "action")}})

    known = ", ".join(map(literal, types))
    kind = f"value_json['response'] if value_json['response'] in [{known}] else {literal(other)}"
    others = ", ".join(f"'{name}': value_json['{name}']" for name in ("response", "reason", "action"))
    return ValueTemplate(f"{{{{ {{'event_type': {kind}, {others}}} | tojson }}}}", twin)


def event(key: str) -> ValueTemplate:
    """Return the template for an event of one point in the event documents of its device; others give nothing."""

    def twin(document: Mapping[str, Any]) -> str:
        return json.dumps({"event_type": str(document["value"])}) if document["point"] == key else NOTHING

    made = "{'event_type': value_json['value'] | string} | tojson"
    return ValueTemplate(f"{{{{ {made} if value_json['point'] == {literal(key)} else '' }}}}", twin)


ANY_EVENT = "received"
"""The type of an event whose values are not known before: the value is an attribute of it."""


def any_event(key: str) -> ValueTemplate:
    """Return the template for an event of one point that may have any value."""

    def twin(document: Mapping[str, Any]) -> str:
        made = {"event_type": ANY_EVENT, "value": document["value"]}
        return json.dumps(made) if document["point"] == key else NOTHING

    made = f"{{'event_type': {literal(ANY_EVENT)}, 'value': value_json['value']}} | tojson"
    return ValueTemplate(f"{{{{ {made} if value_json['point'] == {literal(key)} else '' }}}}", twin)


def at(*path: str, unknown: str = UNKNOWN) -> ValueTemplate:
    """Return the template for a value inside of a document, by the names on the way to it."""

    def twin(document: Mapping[str, Any]) -> str:
        value: Any = document
        for name in path[:-1]:
            value = value.get(name, {})
        value = value.get(path[-1])
        return unknown if value is None else str(value)

    outer = "".join(f".get({literal(name)}, {{}})" for name in path[:-1])
    found = f"{_DOCUMENT}{outer}.get({literal(path[-1])})"
    return ValueTemplate(f"{{{{ {literal(unknown)} if {found} is none else {found} }}}}", twin)


# --- commands


def constant(payload: str) -> CommandTemplate:
    """Return the template of a command that is the same for each value."""
    return CommandTemplate(f"{{{{ {literal(payload)} }}}}", lambda _: payload)


def number(before: str, after: str) -> CommandTemplate:
    """Return the template of a command with a number in it."""
    return CommandTemplate(f"{_kept(before)}{{{{ value }}}}{_kept(after)}", lambda value: f"{before}{value}{after}")


def from_mireds(before: str, after: str, low: int, high: int) -> CommandTemplate:
    """Return the template of a command with a colour temperature in kelvin, for releases that give mireds."""
    kelvin = f"{{{{ [{low!r}, [(1000000 / value + 0.5) | int, {high!r}] | min] | max }}}}"
    return CommandTemplate(
        f"{_kept(before)}{kelvin}{_kept(after)}", lambda value: f"{before}{max(low, min(mireds(value), high))}{after}"
    )


def quoted(before: str, after: str) -> CommandTemplate:
    """Return the template of a command with a text in it, as JSON."""
    return CommandTemplate(
        f"{_kept(before)}{{{{ value | tojson }}}}{_kept(after)}", lambda value: f"{before}{json.dumps(value)}{after}"
    )


def chosen(payloads: Mapping[str, str]) -> CommandTemplate:
    """Return the template of a command that has a payload of its own for each of the words of the entity."""
    table = ", ".join(f"{literal(word)}: {literal(payload)}" for word, payload in payloads.items())
    return CommandTemplate(f"{{{{ {{{table}}}.get(value, '') }}}}", lambda value: payloads.get(value, ""))


def _kept(part: str) -> str:
    """Return a part of a template that stands for itself."""
    # Jinja would begin an expression, and it writes each end of a line as `\\n`, or leaves it out.
    is_plain = not part.endswith("{") and not any(mark in part for mark in ("{{", "{%", "{#", "\n", "\r"))
    return part if is_plain else f"{{{{ {literal(part)} }}}}"
