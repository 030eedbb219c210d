"""The forms of a payload beside the one of the seven levels, which tests/test_mqtt_map_payload.py holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import MessageError, PayloadError, WordError
from gateway.message import Argument
from gateway.translation.mqtt_map import FIELDS, FieldMap
from gateway.translation.payload import Payload, PayloadKind, encoded, make_payload
from tests.support.strategies import any_values, any_words, payloads, texts


def payload(kind: PayloadKind, **fields: FieldMap) -> Payload:
    return make_payload(kind, {**{name: FieldMap(name) for name in FIELDS}, **fields}, "value")


def refusal(kind: PayloadKind, text: str) -> str:
    with pytest.raises(PayloadError) as info:
        payload(kind).read("A", text)
    return str(info.value)


KINDS: list[PayloadKind] = ["action", "json", "value", "empty"]
_values = any_values | st.sampled_from(("on", "1", "-0", "1.0", "1e5", "true", "null", "NaN", "", "01", "{", "\ud800"))
_maps = st.sampled_from([{}, {"on": ["1"]}, {"on": ["true", "an"]}, {"1": ["on"]}])


@example("action", "", {"value": {"\x00": None, "\ud800": None}}, {}, "none")
@given(
    st.sampled_from(KINDS),
    any_words,
    st.dictionaries(st.sampled_from(("value", "a", "action")), _values, max_size=2),
    _maps,
    st.sampled_from(("none", "loose", "strict")),
)
def test_what_is_written_is_read_back(
    kind: PayloadKind, action: str, arguments: dict[str, Any], entries: Any, maptype: Any
) -> None:
    form = payload(kind, argvalue=FieldMap("argvalue", maptype, entries))
    try:
        written = form.write(action, arguments)
        encoded(written)  # where a character that UTF-8 does not have is refused, as the map does
    except MessageError as err:
        assert str(err).isprintable()
        return
    back = form.read(action, written)
    if kind == "value" and repr(back[1]) != repr(dict(arguments)):
        value = arguments["value"]
        if isinstance(value, str):
            assert written == "" or (not isinstance(back[1]["value"], str) and json.loads(written) == back[1]["value"])
        else:
            assert written in [word for words in entries.values() for word in words]
        return
    assert repr(back) == repr((action, dict(arguments)))


@given(_values, st.sampled_from(("none", "loose")), _maps)
def test_no_text_is_refused_or_changed_where_the_form_says_that_it_is_text(
    value: Any, maptype: Any, entries: Any
) -> None:
    values = FieldMap("argvalue", maptype, entries)
    form = make_payload(
        "value", {**{name: FieldMap(name) for name in FIELDS}, "argvalue": values}, "value", is_text=True
    )
    try:
        written = form.write("A", {"value": value})
    except WordError:
        assert maptype == "loose"  # the map says that it means another word
        return
    except PayloadError:
        assert not isinstance(value, str)
        return
    if isinstance(value, str):
        assert form.read("A", written) == ("A", {"value": value} if value else {})


CARDS = ["00A1B2C3", "12345678", "12E45678", "1234E001", "4006381333931", "9" * 10_000]


@pytest.mark.parametrize(
    "text", [*CARDS, "true", "null", "false", " 12 ", "-0", "1e5", "NaN", "", "Küche", "\ufeff1", "٣"]
)
def test_no_text_is_refused_for_what_it_looks_like(text: str) -> None:
    assert payload("value").write("CARD", {"value": text}) == text
    assert payload("value").read("CARD", text)[1].keys() == ({"value"} if text else set())


@pytest.mark.parametrize("text", ["12E45678", "9" * 10_000, "1e999"])
def test_a_number_that_cannot_be_held_is_text(text: str) -> None:
    assert payload("value").read("CARD", text) == ("CARD", {"value": text})


@given(st.sampled_from(KINDS), payloads.map(lambda actual: actual.decode("utf-8", "replace")) | texts)
def test_reading_whatever_comes_raises_nothing_but_message_errors(kind: PayloadKind, text: str) -> None:
    try:
        payload(kind).read("A", text)
    except MessageError as err:
        assert str(err).isprintable()


# --- json


@given(any_words, st.dictionaries(any_words, _values, max_size=4))
def test_json_is_what_the_standard_library_writes(action: str, arguments: dict[str, Any]) -> None:
    try:
        written = payload("action").write(action, arguments)
    except MessageError:
        return
    if arguments:
        members = {**({"action": action} if action else {}), **arguments}
        assert written == json.dumps(members, ensure_ascii=False)


def test_json_holds_arguments_of_any_name_and_no_action() -> None:
    form = payload("json", argkey=FieldMap("argkey", "loose", {"power": ["state"]}),
                   argvalue=FieldMap("argvalue", "loose", {"on": ["ON"]}))  # fmt: skip
    written = form.write("SET", {"power": "on", "action": 1})
    assert json.loads(written) == {"state": "ON", "action": 1}
    assert form.read("SET", written) == ("SET", {"power": "on", "action": 1})
    assert form.write("SET", {}) == "{}"


@pytest.mark.parametrize("text", ["", "on", "[1]", "1", '"{"'])
def test_json_is_an_object(text: str) -> None:
    assert refusal("json", text) == f"the payload is {text!r}: a JSON object was expected"


# --- value


@pytest.mark.parametrize(
    ("value", "text"),
    [("ON", "ON"), (50, "50"), (-1.5, "-1.5"), (1.0, "1.0"), (True, "true"), (None, "null"), ("NaN", "NaN"),
     ("007", "007"), ("{", "{"), (" 1", " 1"), ("٣", "٣"), (1e300, "1e+300")],
)  # fmt: skip
def test_a_value_is_plain(value: Argument, text: str) -> None:
    form = payload("value")
    assert form.write("A", {"value": value}) == text
    assert repr(form.read("A", text)) == repr(("A", {"value": value}))


def test_no_argument_is_an_empty_payload() -> None:
    assert payload("value").write("A", {}) == ""
    assert payload("value").read("A", "") == ("A", {})


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"value": [1]}, "argument 'value' is a list, but there is room only for one plain value"),
        ({"value": {}}, "argument 'value' is a dict, but there is room only for one plain value"),
        ({"value": 1, "by": 2}, "there is no place for the argument 'by', only for 'value'"),
        ({"other": 1}, "there is no place for the argument 'other', only for 'value'"),
    ],
)
def test_what_a_value_cannot_say_is_refused(arguments: dict[str, Argument], problem: str) -> None:
    with pytest.raises(PayloadError) as info:
        payload("value").write("A", arguments)
    assert str(info.value) == problem


def test_a_word_of_the_map_of_values_is_no_number() -> None:
    form = payload("value", argvalue=FieldMap("argvalue", "loose", {"on": ["1", "true"], "off": ["0"]}))
    assert form.write("A", {"value": "on"}) == "1"
    assert [form.read("A", text)[1]["value"] for text in ("1", "true", "0", "2")] == ["on", "on", "off", 2]
    assert form.write("A", {"value": 1}) == "1", "a counter that stands at 1 is no reason to lose it"


def test_a_strict_map_of_values_refuses_text_and_no_number() -> None:
    form = payload("value", argvalue=FieldMap("argvalue", "strict", {"on": ["ON"]}))
    assert form.read("A", "21.5") == ("A", {"value": 21.5})
    with pytest.raises(WordError, match="argvalue: 'BLUE' is not in the map"):
        form.read("A", "BLUE")


# --- empty


def test_nothing_is_nothing() -> None:
    assert payload("empty").write("A", {}) == ""
    assert payload("empty").read("A", "") == ("A", {})
    assert refusal("empty", "x") == "there is a payload where none was expected"
    with pytest.raises(PayloadError, match="there is no place for the argument 'a'"):
        payload("empty").write("A", {"a": 1})
