"""What the rules of a serial device say of its messages."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.devices.declaration import ANY, Signature
from gateway.devices.point import PointType
from interfaces.serial_interface.signatures import signatures
from tests.support.configuration import serial_params


def reads(*decode: dict[str, Any], **more: Any) -> dict[tuple[str, str], Signature]:
    return dict(signatures(serial_params(decode=list(decode), **more)).reads or {})


@pytest.mark.parametrize(
    ("steps", "signature"),
    [
        ("strip", Signature(PointType.TEXT)),
        ("float", Signature(PointType.NUMBER)),
        ("int", Signature(PointType.INTEGER)),
        (["int", {"scale": 0.1}], Signature(PointType.NUMBER)),
        (["int", {"round": 0}], Signature(PointType.INTEGER)),
        (["float", {"round": 1}], Signature(PointType.NUMBER)),
        ("bool", Signature(PointType.BOOLEAN)),
        ({"enum": {"1": "eco", "2": "day"}}, Signature(PointType.CHOICE, choices=("eco", "day"))),
        ({"enum": {"1": True, "0": False}}, Signature(PointType.BOOLEAN)),
        ("auto", Signature()),
        ({"replace": {"/": "_"}}, Signature(PointType.TEXT)),
        ([{"bytes": "hex"}, {"text": "utf-8"}], Signature(PointType.TEXT)),
        ({"timestamp": {"format": "%y%m%d", "zone": "UTC"}}, Signature(PointType.TEXT)),
    ],
)
def test_the_type_of_a_value_is_that_behind_its_converters(steps: Any, signature: Signature) -> None:
    rule = {"regex": "V(?P<v>.*)", "values": {"v": steps}, "message": {"action": "A", "arguments": {"x": "{v}"}}}
    assert reads(rule) == {("A", "x"): signature}


def test_the_type_of_a_binary_value_is_that_of_its_field() -> None:
    fields = [{"type": "u8", "name": "n"}, {"type": "f32", "name": "f"}, {"type": "text", "name": "t", "length": 2}]
    rule = {"binary": {"fields": fields}, "message": {"action": "A", "arguments": "*"}}
    assert {name: signature.type for (_, name), signature in reads(rule).items()} == {
        "n": PointType.INTEGER, "f": PointType.NUMBER, "t": PointType.TEXT,
    }  # fmt: skip


def test_values_that_may_occur_again_are_lists_or_those_of_each_repetition() -> None:
    volts = {"type": "f32", "name": "volts"}
    message = {"action": "A", "arguments": "*"}

    def of_layout(**options: Any) -> dict[str, Signature]:
        fields = [{"type": "u8", "name": "n"}, {"type": "repeat", "fields": [volts], **options}]
        return {name: of for (_, name), of in reads({"binary": {"fields": fields}, "message": message}).items()}

    assert of_layout() == {"n": Signature(PointType.INTEGER), "volts": Signature(is_list=True)}
    assert of_layout(each=True, index="i") == {
        "n": Signature(PointType.INTEGER), "volts": Signature(PointType.NUMBER), "i": Signature(PointType.INTEGER),
    }  # fmt: skip
    repeat = {"from": 1, "size": 1, "at": {"x": 0}, "index": "i"}
    rule = {"fields": {"repeat": repeat, "each": True}, "message": message}
    assert reads(rule) == {("A", "x"): Signature(PointType.TEXT), ("A", "i"): Signature(PointType.INTEGER)}


def test_a_value_in_the_cases_of_a_switch_has_a_type_if_all_cases_agree() -> None:
    cases = {"1": {"type": "int", "length": 3, "name": "a"}, "2": [{"type": "u8", "name": "a"},
             {"type": "u8", "name": "b"}], "*": {"type": "f32", "name": "b"}}  # fmt: skip
    fields = [{"type": "u8", "name": "n"}, {"type": "switch", "on": "n", "cases": cases}]
    rule = {"binary": {"fields": fields}, "message": {"action": "A", "arguments": {"a": "{a}", "b": "{b}"}}}
    assert reads(rule) == {("A", "a"): Signature(PointType.INTEGER), ("A", "b"): Signature()}


def test_the_time_at_which_a_frame_was_received_is_no_value_of_the_device() -> None:
    message = {"action": "T", "arguments": {"t": "{t}", "at": "{time}"}}
    assert reads({"regex": "(?P<t>.*)", "message": message}) == {("T", "t"): Signature(PointType.TEXT)}
    assert ("T", "at") in reads({"regex": "(?P<t>.*) (?P<time>.*)", "message": message})
    bell = {"action": "BELL", "arguments": {"at": "{time}"}}
    assert reads({"regex": "B", "message": bell}) == {("BELL", ""): Signature()}


def test_the_type_of_a_nested_value_is_that_of_its_own_extractor() -> None:
    layout = {"fields": [{"type": "i16", "name": "t"}, {"type": "u8", "name": "raw", "bits": {"low": 0}}]}
    nested = {"of": "{data}", "convert": {"bytes": "hex"}, "binary": layout}
    rule = {"regex": "(?P<node>.)(?P<data>.*)", "nested": nested, "message": {"action": "A", "arguments": "*"}}
    assert {name: signature.type for (_, name), signature in reads(rule).items()} == {
        "node": PointType.TEXT, "data": PointType.TEXT, "t": PointType.INTEGER, "raw": PointType.INTEGER, "low": None,
    }  # fmt: skip


def test_the_type_of_a_json_value_is_known_only_behind_its_converters() -> None:
    rule = {"json": {"at": {"a": "a", "b": "b"}}, "values": {"b": "float"},
            "message": {"action": "A", "arguments": "*"}}  # fmt: skip
    assert reads(rule) == {("A", "a"): Signature(), ("A", "b"): Signature(PointType.NUMBER)}
    assert reads({"json": {}, "message": {"action": "A", "arguments": "*"}}) == {("A", ANY): Signature()}
    repeat = {"in": "list", "at": {"x": "x"}}
    rule = {"json": {"repeat": repeat}, "message": {"action": "A", "arguments": "*"}}
    assert reads(rule) == {("A", "x"): Signature(is_list=True)}
    rule = {**rule, "json": {"repeat": {**repeat, "index": "n"}, "each": True}}
    assert reads(rule) == {("A", "x"): Signature(), ("A", "n"): Signature(PointType.INTEGER)}


def test_a_value_with_a_converter_is_known_though_other_names_depend_on_the_frame() -> None:
    mode = {"enum": {"0": "off", "1": "heat"}}
    rule = {"pairs": {}, "values": {"T": "float", "M": mode}, "message": {"action": "A", "arguments": "*"}}
    known = {
        ("A", ANY): Signature(),
        ("A", "T"): Signature(PointType.NUMBER),
        ("A", "M"): Signature(PointType.CHOICE, choices=("off", "heat")),
    }
    assert reads(rule) == known
    assert reads(rule, {**rule, "pairs": {"start": "B"}}) == known
    other = {"json": {}, "message": {"action": "A", "arguments": "*"}}
    assert reads(rule, other) == {("A", ANY): Signature()}, "M of the other may be anything"
    listed = {"regex": "M(?P<M>.*)", "values": {"M": "int"}, "message": {"action": "A", "arguments": "*"}}
    assert reads(listed, other)["A", "M"] == Signature(PointType.INTEGER)
    assert reads(listed, rule)["A", "M"] == Signature()


@pytest.mark.parametrize("keys", [{}, {"keys": ["T-1"]}])
def test_a_name_of_the_device_may_be_one_that_no_template_can_have(keys: dict[str, Any]) -> None:
    rule = {"pairs": keys, "values": {"T-1": "float"}, "message": {"action": "A", "arguments": "*"}}
    assert reads(rule)["A", "T-1"] == Signature(PointType.NUMBER)


def test_actions_without_arguments_constants_and_templates() -> None:
    assert reads(
        {"regex": "O", "message": {"action": "OPEN"}},
        {"regex": "P(?P<p>.*)", "message": {"action": "POWER_{p}"}},
        {"regex": "Q(?P<p>.*)", "message": {"action": "Q", "arguments": {"on": True, "n": 5, "t": "x{p}"}}},
        {"pairs": {"separator": ";"}, "message": {"action": "R", "arguments": "*"}},
    ) == {
        ("OPEN", ""): Signature(),
        (ANY, ""): Signature(),
        ("Q", "on"): Signature(PointType.BOOLEAN),
        ("Q", "n"): Signature(PointType.NUMBER),
        ("Q", "t"): Signature(PointType.TEXT),
        ("R", ANY): Signature(),
    }  # fmt: skip


def test_rules_that_do_not_agree_say_nothing_of_the_type() -> None:
    message = {"action": "A", "arguments": {"x": "{v}"}}
    rules = [{"regex": f"{kind}(?P<v>.*)", "values": {"v": kind}, "message": message} for kind in ("int", "bool")]
    assert reads(*rules) == {("A", "x"): Signature()}


def test_polls_tell_as_well_and_commands_to_others_do_not() -> None:
    poll = {"name": "p", "every": 5, "write": "P?",
            "response": {"regex": "P(?P<v>.*)", "values": {"v": "float"},
                         "message": {"action": "P", "arguments": {"v": "{v}"}}}}  # fmt: skip
    command = {"regex": "C", "message": {"type": "command", "action": "GO"}}
    assert reads(command, conversation={"polls": [poll]}) == {("P", "v"): Signature(PointType.NUMBER)}


def test_commands_have_the_types_and_ranges_of_their_rules() -> None:
    rules = [
        {"match": {"action": "LEVEL"}, "write": "L{level}",
         "arguments": {"level": {"type": "integer", "minimum": 0, "maximum": 100}}},
        {"match": {"action": "MODE"}, "write": "M{mode}", "arguments": {"mode": {"choices": ["a", "b"]}}},
        {"match": {"action": "OPEN"}, "write": "O"},
    ]  # fmt: skip
    assert signatures(serial_params(encode=rules)).writes == {
        ("LEVEL", "level"): Signature(PointType.INTEGER, 0, 100),
        ("MODE", "mode"): Signature(PointType.CHOICE, choices=("a", "b")),
        ("OPEN", ""): Signature(),
    }


@pytest.mark.parametrize(
    ("one", "other", "signature"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 50}, {"type": "integer", "minimum": 51, "maximum": 99},
         Signature(PointType.INTEGER, 0, 99)),
        ({"type": "integer", "minimum": 0}, {"type": "integer", "maximum": 9}, Signature(PointType.INTEGER)),
        ({"choices": ["a", "b"]}, {"choices": ["b", "c"]}, Signature(PointType.CHOICE, choices=("a", "b", "c"))),
        ({"type": "integer"}, {"type": "text"}, Signature()),
    ],
)  # fmt: skip
def test_an_argument_of_two_rules_has_the_values_of_both(
    one: dict[str, Any], other: dict[str, Any], signature: Signature
) -> None:
    rules = [{"match": {"action": "SET"}, "arguments": {"x": each}, "write": "{x}"} for each in (one, other)]
    assert signatures(serial_params(encode=rules)).writes == {("SET", "x"): signature}
