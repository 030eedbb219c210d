"""Hypothesis strategies for messages, maps, topics, payloads and JSON texts.

`words` are short and few, so that a map, a message and another map often have words in common. Strategies whose
names begin with `any_` also draw values that must be refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from hypothesis import strategies as st

from gateway.core.topic import word_problem
from gateway.message import ADDRESS_FIELDS, OUTCOME_WORDS, InternalMsg
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap

MapData: TypeAlias = dict[str, Any]

_PLAIN = ("", "a", "b", "c", "gw", "on", "C", "S", "é", "$x", "a b", "null", "action", "response",
          "requested")  # fmt: skip
_BRACES = ("{", '{"action": "a"}', " \n{", "\t{}", "\ufeff{", "}", '"', "\\")
_ILLEGAL = ("+", "#", "a/b", "/", "\x00", "\n", "\x1b[0m", "\x7f", "\x85", "\ud800", "\udfffx", "\uffff", "w" * 257)

words = st.sampled_from(_PLAIN + _BRACES[:2]) | st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cn"), exclude_characters="+#/"), max_size=4
)
"""Words that may stand in a topic."""

texts = st.sampled_from(_PLAIN + _BRACES) | st.text(max_size=4)
"""Texts that UTF-8 can encode: actions, names and values of arguments."""

any_words = st.sampled_from(_PLAIN + _BRACES + _ILLEGAL) | st.text(st.characters(), max_size=4)

roots = st.sampled_from(("home", "site/home", "a/b/c", "gw", "C"))


def json_values(text: st.SearchStrategy[str] = texts) -> st.SearchStrategy[Any]:
    """Draw a value that JSON can express, with `text` for its strings and keys."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=8
    )


def nested(depth: int) -> list[Any]:
    """Return lists in lists, `depth` of them."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


_odd_values: st.SearchStrategy[Any] = st.sampled_from(
    (math.nan, math.inf, [-math.inf], 10**5000, {"n": 10**5000}, b"a", ("a",), {1: "a"}, {None: 1}, {"a"}, object())
) | st.sampled_from((20, 21, 1000, 10_000)).map(nested)

any_values = json_values(any_words) | _odd_values


# --- maps


@st.composite
def field_data(
    draw: st.DrawFn, mqtt_words: st.SearchStrategy[str] = words, internal: st.SearchStrategy[str] = texts
) -> MapData:
    """Draw one field of a map that loads: no MQTT word has two meanings."""
    aliases = draw(st.lists(mqtt_words, unique=True, min_size=1, max_size=6))
    entries: dict[str, list[str]] = {}
    for alias in aliases:
        entries.setdefault(draw(internal), []).append(alias)
    return {"maptype": draw(st.sampled_from(("none", "loose", "strict"))), "map": entries}


def _broken_field_data() -> st.SearchStrategy[MapData]:
    """Draw one field that no file may contain: words with two meanings, words that are illegal in a topic."""
    entries = st.dictionaries(any_words, st.lists(any_words, min_size=1, max_size=3), max_size=5)
    return st.fixed_dictionaries({"maptype": st.sampled_from(("none", "loose", "strict")), "map": entries})


@st.composite
def map_data(draw: st.DrawFn) -> MapData:
    """Draw the data of a map that loads."""
    root = draw(roots)
    data: MapData = {"root": root, "topics": draw(st.sampled_from(([], ["#"], [f"{root}/+/+/+/+/+/C"])))}
    for name in draw(st.lists(st.sampled_from(FIELDS), unique=True)):
        mqtt_words = words if name in ADDRESS_FIELDS else texts
        internal = texts
        if name == "argkey":  # no map translates the words of outcomes
            mqtt_words, internal = (some.filter(lambda word: word not in OUTCOME_WORDS) for some in (texts, texts))
        data[name] = draw(field_data(mqtt_words.filter(lambda word: word != "action"), internal))
    empty = draw(st.sampled_from(("", "", "-", "none")))
    if empty and all(empty not in aliases for name in ADDRESS_FIELDS
                     for aliases in data.get(name, {}).get("map", {}).values()):  # fmt: skip
        data["empty_level"] = empty
    return data


plain_names = words.filter(bool)


def own_names(data: Mapping[str, Any]) -> st.SearchStrategy[str]:
    """Draw a name for the gateway, often one that the sender map gives a meaning."""
    entries = data.get("sender", {}).get("map", {})
    map_words = {word for internal, aliases in entries.items() for word in (internal, *aliases)}
    taken = sorted(word for word in map_words if word and not word_problem(word))
    names = plain_names | st.sampled_from(taken) if taken else plain_names
    return names.filter(lambda name: name != data.get("empty_level"))


def make_map(data: Mapping[str, Any], sender: str) -> MsgMap:
    """Return the map of `data`, unchecked."""
    fields = {name: FieldMap(name, data[name]["maptype"], data[name]["map"]) for name in FIELDS if name in data}
    return MsgMap(data["root"], data["topics"], fields, sender=sender, empty_level=data.get("empty_level", ""))


@st.composite
def maps(draw: st.DrawFn) -> MsgMap:
    """Draw a map that loads."""
    data = draw(map_data())
    return make_map(data, draw(own_names(data)))


# --- messages


def _known_or(data: Mapping[str, Any], field: str, others: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    entries = data.get(field, {}).get("map", {})
    return others | st.sampled_from(sorted(entries)) | st.sampled_from(sorted(entries)) if entries else others


@st.composite
def messages(draw: st.DrawFn, data: Mapping[str, Any] | None = None) -> InternalMsg:
    """Draw a message of legal words, mostly those of the map of `data`."""
    data = data or {}
    values = _known_or(data, "argvalue", texts) | json_values()
    keys = _known_or(data, "argkey", texts.filter(lambda key: key != "action"))
    address = {name: draw(_known_or(data, name, words)) for name in ADDRESS_FIELDS}
    action = draw(_known_or(data, "action", texts))
    arguments = draw(st.dictionaries(keys, values, max_size=3))
    return InternalMsg(draw(st.booleans()), **address, action=action, arguments=arguments)


@st.composite
def any_messages(draw: st.DrawFn) -> InternalMsg:
    """Draw a message as a careless interface may make it."""
    address = {name: draw(words | any_words) for name in ADDRESS_FIELDS}
    arguments: dict[Any, Any] = draw(st.dictionaries(any_words | st.integers() | st.none(), any_values, max_size=3))
    return InternalMsg(draw(st.booleans()), **address, action=draw(any_words), arguments=arguments)


@st.composite
def maps_and_messages(draw: st.DrawFn) -> tuple[MsgMap, InternalMsg]:
    """Draw a map that loads, and a message in its words."""
    data = draw(map_data())
    return make_map(data, draw(own_names(data))), draw(messages(data))


@st.composite
def any_maps_and_messages(draw: st.DrawFn) -> tuple[MsgMap, InternalMsg]:
    """Draw an unchecked map, and a message that may be invalid."""
    data = draw(map_data())
    for name in draw(st.lists(st.sampled_from(FIELDS), unique=True)):
        data[name] = draw(_broken_field_data())
    return make_map(data, draw(own_names(data) | any_words)), draw(any_messages() | messages(data))


# --- messages from a broker

_SIGNS = ("{", "}", "[", "]", ":", ",", " ", "\n", '"', "\\", "[" * 1000, "é", "\ufeff", "NaN", "-Infinity")
_VALUES = (
    '"action"',
    '"a"',
    '""',
    '"\\u00e9"',
    '"\\ud800"',
    '"\x00"',
    "1",
    "-1.5",
    "1e999",
    "9" * 5000,
    "true",
    "null",
)

json_like_texts = st.lists(st.sampled_from(_SIGNS + _VALUES), max_size=12).map("".join)
"""Texts of JSON tokens, in any order."""


def _objects(text: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    actions = st.dictionaries(st.just("action"), text, max_size=1)
    arguments = st.dictionaries(text, json_values(text), max_size=3)
    return st.builds(lambda action, others: {**others, **action}, actions, arguments)


payloads = (
    st.binary(max_size=20)
    | texts.map(str.encode)
    | json_like_texts.map(lambda text: ("{" + text).encode())
    | _objects(texts).map(lambda value: json.dumps(value).encode())
    | _objects(any_words).map(lambda value: json.dumps(value).encode())
    | _objects(any_words).map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
)


@st.composite
def topics(draw: st.DrawFn, root: str, level_words: st.SearchStrategy[str] = words) -> str:
    """Draw a topic that a map with `root` reads, if it has the `known` words."""
    levels = [draw(level_words) for _ in ADDRESS_FIELDS]
    return "/".join((root, *levels, draw(st.sampled_from("CS"))))


def any_topics(root: str) -> st.SearchStrategy[str]:
    """Draw any topic, also those that no broker sends."""
    wrong = st.lists(st.just(root) | any_words, max_size=9).map("/".join)
    return topics(root) | topics(root, any_words) | wrong | st.text(st.characters())
