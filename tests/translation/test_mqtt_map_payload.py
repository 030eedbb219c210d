"""The payload half of the map: action and arguments, and what a payload may not be."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given

from gateway.errors import PayloadError, TopicError, WordError
from gateway.message import Argument, InternalMsg
from gateway.translation.mqtt_map import FieldMap, MsgMap
from gateway.translation.payload import MAX_PAYLOAD_BYTES
from gateway.translation.strict_json import MAX_DEPTH
from tests.support.strategies import json_values, nested, texts

TOPIC = "home/////other/C"


def make_map(**fields: FieldMap) -> MsgMap:
    return MsgMap("home", fields=fields, sender="gw")


def write(msg_map: MsgMap, action: str = "", arguments: dict[str, Argument] | None = None) -> bytes:
    return msg_map.internal2mqtt(InternalMsg(True, action=action, arguments=arguments or {})).payload


def read(msg_map: MsgMap, payload: bytes) -> tuple[str, dict[str, Argument]]:
    msg = msg_map.mqtt2internal(TOPIC, payload)
    return msg.action, dict(msg.arguments)


def refusal(payload: bytes) -> str:
    """Return why a map refuses `payload`, having seen that it goes on with the next one."""
    msg_map = make_map()
    with pytest.raises(PayloadError) as info:
        msg_map.mqtt2internal(TOPIC, payload)
    assert read(msg_map, b"ON") == ("ON", {})
    return str(info.value)


# --- what is written, and read back


@pytest.mark.parametrize(
    ("action", "arguments", "payload"),
    [
        ("ON", {}, b"ON"),
        ("an in Küche", {}, "an in Küche".encode()),
        ("[1]", {}, b"[1]"),
        ("ON", {"level": 1}, b'{"action": "ON", "level": 1}'),
        ("", {"level": 1}, b'{"level": 1}'),
        ("", {}, b"{}"),
        ("{", {}, b'{"action": "{"}'),
        ('{"action": "ON"}', {}, rb'{"action": "{\"action\": \"ON\"}"}'),
        (" \n{x", {}, rb'{"action": " \n{x"}'),
        (" ON ", {}, b" ON "),
        ("\ufeff{", {}, "\ufeff{".encode()),
        ("", {"": ""}, b'{"": ""}'),
    ],
)
def test_a_payload_is_the_plain_action_or_json_and_is_read_back(
    action: str, arguments: dict[str, Argument], payload: bytes
) -> None:
    msg_map = make_map()
    assert write(msg_map, action, arguments) == payload
    assert read(msg_map, payload) == (action, arguments)


@pytest.mark.parametrize("payload", [b'{"level": 1}', b'{"action": null, "level": 1}', b' \r\n\t{"level":1}\n'])
def test_a_payload_may_leave_the_action_out(payload: bytes) -> None:
    assert read(make_map(), payload) == ("", {"level": 1})


@given(json_values())
def test_an_argument_keeps_its_value_and_type(value: Argument) -> None:
    msg_map = make_map()
    _, arguments = read(msg_map, write(msg_map, "", {"value": value}))
    assert repr(arguments) == repr({"value": value})


@pytest.mark.parametrize("value", [0, -1, 1.0, -0.0, 1e300, True, False, None, [], ["on", 1, [None]], {"on": "on"}, {}])
def test_only_a_string_goes_through_the_map_of_values(value: Argument) -> None:
    msg_map = make_map(argvalue=FieldMap("argvalue", "strict", {"on": ["ein", "an"], "1": ["eins"]}))
    assert json.loads(write(msg_map, "", {"state": value})) == {"state": value}
    assert repr(read(msg_map, json.dumps({"state": value}).encode())) == repr(("", {"state": value}))
    assert json.loads(write(msg_map, "", {"state": "on"})) == {"state": "ein"}
    assert read(msg_map, b'{"state": "an"}') == ("", {"state": "on"})


def test_names_of_arguments_go_through_their_map() -> None:
    msg_map = make_map(argkey=FieldMap("argkey", "loose", {"level": ["niveau", "stufe"]}))
    assert write(msg_map, "SET", {"level": 1, "room": 2}) == b'{"action": "SET", "niveau": 1, "room": 2}'
    assert read(msg_map, b'{"stufe": 1}') == ("", {"level": 1})


def test_an_argument_under_two_of_its_aliases_is_refused() -> None:
    msg_map = make_map(argkey=FieldMap("argkey", "loose", {"level": ["niveau", "stufe"]}))
    with pytest.raises(PayloadError, match="argument 'level' occurs twice, under two of its aliases"):
        read(msg_map, b'{"stufe": 1, "niveau": 1}')


def test_no_argument_is_written_in_the_place_of_the_action() -> None:
    named = make_map(argkey=FieldMap("argkey", "loose", {"action": ["what"], "deed": ["action"]}))
    assert write(named, "ON", {"action": 1}) == b'{"action": "ON", "what": 1}'
    for msg_map, key in (make_map(), "action"), (named, "deed"):
        with pytest.raises(WordError) as info:
            write(msg_map, "ON", {key: 1})
        assert str(info.value) == f"argkey: '{key}': an argument cannot be written as 'action'"


# --- what cannot be written


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (math.nan, "is nan, which is not valid JSON: leave it out, or use None"),
        ([{"a": math.inf}], "is inf, which is not valid JSON: leave it out, or use None"),
        (nested(MAX_DEPTH + 1), "has lists or objects nested over 20 deep"),
        (nested(100_000), "has lists or objects nested over 20 deep"),
        (b"x", "holds a bytes: use text, a number, a boolean, None, a list, or a dict with text keys"),
        ([("x",)], "holds a tuple: use text, a number, a boolean, None, a list, or a dict with text keys"),
        ({1: "x"}, "holds a dict: use text, a number, a boolean, None, a list, or a dict with text keys"),
    ],
    ids=["nan", "inf", "21 deep", "100,000 deep", "bytes", "tuple", "number as key"],
)
def test_an_argument_that_json_cannot_say_is_refused_by_name(value: Any, problem: str) -> None:
    with pytest.raises(PayloadError) as info:
        write(make_map(), "SET", {"level": value})
    assert str(info.value) == f"argument 'level' {problem}"


def test_an_argument_that_holds_itself_is_refused() -> None:
    endless: list[Argument] = []
    endless.append(endless)
    with pytest.raises(PayloadError, match="nested over 20 deep"):
        write(make_map(), "SET", {"level": endless})


def test_a_number_of_ten_thousand_digits_is_not_written() -> None:
    with pytest.raises(PayloadError, match=r"^the arguments cannot be written as JSON: "):
        write(make_map(), "SET", {"level": 10**10_000})


@pytest.mark.parametrize(
    ("action", "arguments", "field"),
    [
        ("\ud800", {}, "action"),
        ("{\ud800", {}, "action"),
        ("", {"\ud800": 1}, "arguments"),
        ("", {"a": ["\udfff"]}, "arguments"),
    ],
    ids=ascii,
)
def test_an_unpaired_surrogate_is_not_written(action: str, arguments: dict[str, Argument], field: str) -> None:
    with pytest.raises(WordError) as info:
        write(make_map(), action, arguments)
    assert str(info.value) == f"{field}: an unpaired surrogate cannot be written as UTF-8"


# --- what cannot be read


def test_an_empty_payload_is_refused() -> None:
    assert refusal(b"") == "the payload is empty: an action or a JSON object was expected"


def test_a_payload_that_is_not_utf8_is_refused() -> None:
    assert refusal(b"ON \xff") == "the payload is not UTF-8 (byte 3: 0xff)"


@pytest.mark.parametrize(
    "payload", [b"{", b'{"a"}', b"{'a': 1}", b'{"a": 1} x', b'{"a": 1}\x0b', b'{"a": 1,}', b'{"a": "\x00"}']
)
def test_a_payload_that_begins_as_json_and_is_none_is_refused(payload: bytes) -> None:
    assert refusal(payload).startswith("the payload begins with '{' but is not JSON: ")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_constant_that_json_does_not_know_is_refused(constant: str) -> None:
    problem = f"the payload holds {constant}, which is not valid JSON: leave the argument out, or use null"
    assert refusal(f'{{"level": [{constant}]}}'.encode()) == problem


def test_twenty_nested_brackets_are_read_and_written() -> None:
    msg_map = make_map()
    assert read(msg_map, write(msg_map, "", {"a": nested(MAX_DEPTH)})) == ("", {"a": nested(MAX_DEPTH)})


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_more_nested_brackets_are_refused(depth: int, opening: str, closing: str) -> None:
    problem = refusal(f'{{"a": {opening * depth}1{closing * depth}}}'.encode())
    assert problem.startswith(("argument 'a' has", "the payload has"))
    assert problem.endswith(" lists or objects nested over 20 deep")


@pytest.mark.parametrize("text", ['{"action": %s}', '{"a": %s}', r'{"a": %s, "\u00e9": 1}'])
def test_brackets_nested_as_deep_as_the_interpreter_just_holds_are_refused(text: str) -> None:
    for depth in range(900, 1000):
        assert refusal((text % ("[" * depth + "]" * depth)).encode())


@pytest.mark.parametrize("number", ["9" * 10_000, "-" + "9" * 10_000, "9" * 10_000 + ".5", "1e999", "-1e999"])
def test_a_number_that_cannot_be_held_is_refused(number: str) -> None:
    assert refusal(f'{{"level": [{number}]}}'.encode()).startswith("the payload has a number that cannot be read: ")


@pytest.mark.parametrize("payload", [b'{"a": 1, "b": 2, "a": 1}', b'{"b": [{"a": 1, "a": 2}]}'])
def test_a_duplicate_name_is_refused(payload: bytes) -> None:
    assert refusal(payload) == "the payload contains 'a' twice"


@pytest.mark.parametrize("text", [r"\ud800", r"\uDFFF\ud800", r"x\udc80"])
@pytest.mark.parametrize("payload", ['{"action": "%s"}', '{"a": "%s"}', '{"a": [{"%s": 1}]}'])
def test_an_unpaired_surrogate_is_refused_since_it_could_not_be_written_back(payload: str, text: str) -> None:
    problem = "the payload has an unpaired surrogate, which is not a character: remove it"
    assert refusal((payload % text).encode()) == problem


def test_escaped_characters_are_read() -> None:
    assert read(make_map(), rb'{"action": "\u00e9\ud83d\ude00\u0000"}') == ("é😀\x00", {})


@pytest.mark.parametrize(("action", "shown"), [("1", "1"), ("[]", "[]"), ("false", "False"), ('{"a": 1}', "{'a': 1}")])
def test_an_action_that_is_not_text_is_refused(action: str, shown: str) -> None:
    assert refusal(b'{"action": %s}' % action.encode()) == f"the action is {shown}: it must be text, in quotes"


def test_a_payload_of_the_greatest_size_goes_both_ways_and_one_byte_more_neither_way() -> None:
    msg_map = make_map()
    action = "é" * (MAX_PAYLOAD_BYTES // 2)
    assert read(msg_map, write(msg_map, action)) == (action, {})
    problem = f"the payload has {MAX_PAYLOAD_BYTES + 1} bytes, more than {MAX_PAYLOAD_BYTES}"
    assert refusal((action + "x").encode()) == problem
    with pytest.raises(PayloadError) as info:
        write(msg_map, action + "x")
    assert str(info.value) == problem


def test_a_bad_topic_and_a_bad_payload_are_both_one_error_of_one_message() -> None:
    msg_map = make_map()
    with pytest.raises(TopicError):
        msg_map.mqtt2internal("home/a", b"\xff")
    assert read(msg_map, b"ON") == ("ON", {})


@given(texts, texts)
def test_the_action_goes_through_its_map_in_both_forms_of_the_payload(internal: str, mqtt: str) -> None:
    msg_map = make_map(action=FieldMap("action", "strict", {internal: [mqtt]}))
    assert read(msg_map, write(msg_map, internal)) == (internal, {})
    assert read(msg_map, write(msg_map, internal, {"a": 1})) == (internal, {"a": 1})
    assert json.loads(write(msg_map, internal, {"a": 1})).get("action", "") == mqtt
