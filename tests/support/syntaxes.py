"""Hypothesis strategies for syntaxes, and for messages and topics to test them with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from gateway.configuration.check_syntax import build_syntax
from gateway.configuration.json_reader import load_json
from gateway.configuration.load_map import build_map
from gateway.errors import ConfigurationError, MessageError
from gateway.message import InternalMsg
from gateway.translation.mqtt_map import MsgMap
from gateway.translation.syntax import BoundForm, MessageForm
from gateway.translation.topic_template import PLACEHOLDERS
from tests.support.strategies import MapData, field_data, json_values, texts, words

_FIXED = ("", "a", "b", "ab", "-", "--", "cmnd", "stat", "set", "$x", "C", "S")
_COMMON = {"function": "lighting", "gateway": "", "location": "b", "device": "a", "action": "on"}

_short_words = st.sampled_from(("", "a", "b", "-", "ab", "a-b", "--", "set", "stat", "$x", "C", "S"))
tried_words = _short_words | words
"""Words that also occur in templates, so that topics of different forms coincide."""


@st.composite
def templates(draw: st.DrawFn) -> str:
    """Draw a template, sometimes an invalid one."""
    fields = draw(st.lists(st.sampled_from(PLACEHOLDERS), unique=True, max_size=4))
    parts = [f"{{{name}}}" for name in fields]
    for _ in range(draw(st.integers(0, 4))):
        parts.insert(draw(st.integers(0, len(parts))), draw(st.sampled_from(_FIXED)))
    text = parts[0] if parts else "a"
    for part in parts[1:]:
        text += draw(st.sampled_from(("/", "/", "/", "-", "", "--"))) + part
    return draw(st.sampled_from(("", "", "{root}/"))) + text


@st.composite
def _forms(draw: st.DrawFn, heads: Sequence[str]) -> dict[str, Any]:
    topic = draw(st.sampled_from(heads)) + draw(templates())
    kinds = ("json", "value", "empty") if "{action}" in topic else ("action", "json", "value", "empty")
    form: dict[str, Any] = {"topic": topic, "payload": draw(st.sampled_from(kinds))}
    if form["payload"] == "value":
        form["argument"] = draw(st.sampled_from(("value", "a")))
        form["text"] = draw(st.booleans())
    return form


@st.composite
def syntax_maps(draw: st.DrawFn) -> MapData:
    """Draw the data of a map with a syntax; most of them load."""
    syntax = {
        "constants": _COMMON,
        "commands": draw(st.lists(_forms(("", "cmnd/")), max_size=2)),
        "statuses": draw(st.lists(_forms(("", "stat/", "a/", "b/")), min_size=1, max_size=3)),
    }
    data: MapData = {"root": "home", "topics": [], "syntax": syntax}
    for name in draw(st.lists(st.sampled_from(PLACEHOLDERS), unique=True, max_size=2)):
        data[name] = draw(field_data(tried_words))
    empty = draw(st.sampled_from(("", "", "", "none", "-", "a")))
    return {**data, "empty_level": empty} if empty else data


def loaded(data: MapData, sender: str = "gw") -> MsgMap | None:
    """Return the map of `data`, or None if it does not load."""
    document = load_json(json.dumps(data), "map.json")
    try:
        return build_map(document, document.data, sender=sender)
    except ConfigurationError:
        return None


def forms_of(data: MapData) -> tuple[MessageForm, ...]:
    """Return the forms that the map `data` declares."""
    return build_syntax(data["syntax"])


@st.composite
def messages_for(draw: st.DrawFn, data: MapData, form: MessageForm) -> InternalMsg:
    """Draw a message that nearly has this form of the map `data`."""
    address = {name: form.constants.get(name, "") for name in PLACEHOLDERS}
    for name in form.places:
        map_words = sorted(data.get(name, {}).get("map", {}))
        address[name] = draw(st.sampled_from(map_words) | tried_words if map_words else tried_words)
    odd = draw(st.sampled_from((*[""] * 20, *PLACEHOLDERS)))
    if odd:
        address[odd] = draw(tried_words)
    keys = st.just(form.argument) if form.payload == "value" else texts
    most = {"empty": 0, "value": 1}.get(form.payload, 3)
    arguments = draw(
        st.dictionaries(keys, st.sampled_from(("on", "1", "true", "")) | texts | json_values(), max_size=most)
    )
    return InternalMsg(form.iscmd, **address, arguments=arguments)


@st.composite
def topics_for(draw: st.DrawFn, forms: Sequence[BoundForm]) -> str:
    """Draw a topic of one of `forms`, in any words."""
    levels = []
    for level in draw(st.sampled_from(forms)).levels:
        text = level.prefix
        for index, _ in enumerate(level.maps):
            text += (level.separators[index - 1] if index else "") + draw(tried_words)
        levels.append(text + level.suffix)
    return "/".join(levels)


def readers(msg_map: MsgMap, topic: str) -> list[BoundForm]:
    """Return the forms of `msg_map` that read `topic`."""
    forms = []
    for form in msg_map.forms:
        try:
            if form.read_topic(topic.split("/")) is not None:
                forms.append(form)
        except MessageError:
            pass
    return forms
