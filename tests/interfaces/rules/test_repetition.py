"""What rules make of frames in which parts occur again: lists, or messages for each repetition; and what is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message import InternalMsg
from interfaces.rules.decoding import PartialMessages, check_decode_rule
from interfaces.rules.extractors import ExtractorError, make_extractor
from interfaces.rules.message_template import CodecError
from interfaces.rules.repetition import MAX_REPETITIONS
from interfaces.serial_interface.rules import SerialRules, check_rules
from tests.support.configuration import serial_params

GAS = r"0-(?P<channel>[1-4]):24\.2\.1\((?P<m3>[-0-9.]+)\*m3\)"
POWER = r"1-0:1\.7\.0\((?P<kw>[0-9.]+)\*kW\)"
TELEGRAM = b"/X\r\n1-0:1.7.0(00.321*kW)\r\n0-1:24.2.1(12.5*m3)\r\n0-2:24.2.1(34.5*m3)\r\n"

SKY: dict[str, Any] = {
    "is": {"0": ["$GPGSV", "$GAGSV"]}, "at": {"seen": 3},
    "repeat": {"from": 4, "size": 4, "at": {"prn": 0, "elevation": 1, "snr": 3}},
}  # fmt: skip
GSV = b"$GPGSV,2,1,07,02,74,042,45,04,18,190,36,07,,,,1"


def decoder_of(rule: dict[str, Any]) -> Any:
    params = serial_params(decode=[rule])
    assert not list(check_rules(params))
    return SerialRules(params).decoder


def made(rule: dict[str, Any], frame: bytes) -> list[tuple[str, str, dict[str, Any]]] | None:
    messages: list[InternalMsg] | None = decoder_of(rule).decode(frame)
    return None if messages is None else [(msg.device, msg.action, dict(msg.arguments)) for msg in messages]


def message(device: str, *names: str, action: str = "A") -> dict[str, Any]:
    return {"device": device, "action": action, "arguments": {name: f"{{{name}}}" for name in names}}


# --- lines


def test_lines_that_occur_again_make_a_message_each_and_the_others_one() -> None:
    rule = {
        "lines": {"patterns": [POWER], "repeat": [GAS], "each": True}, "values": {"kw": "float", "m3": "float"},
        "messages": [message("meter", "kw"), message("gas{channel}", "m3"), message("gas{channel}", "kw", "m3")],
    }  # fmt: skip
    assert made(rule, TELEGRAM) == [
        ("meter", "A", {"kw": 0.321}),
        ("gas1", "A", {"m3": 12.5}),
        ("gas1", "A", {"kw": 0.321, "m3": 12.5}),
        ("gas2", "A", {"m3": 34.5}),
        ("gas2", "A", {"kw": 0.321, "m3": 34.5}),
    ]
    assert made(rule, b"1-0:1.7.0(00.321*kW)\n") == [("meter", "A", {"kw": 0.321})]
    assert made(rule, b"0-1:24.2.1(12.5*m3)\n") == [("gas1", "A", {"m3": 12.5})] * 2
    assert made(rule, b"/X\r\n") is None


def test_lines_that_occur_again_become_lists() -> None:
    rule = {
        "lines": {"patterns": [POWER], "repeat": [GAS, "Fault (?P<fault>[0-9]+)"]}, "values": {"m3": "float"},
        "message": {"action": "A", "arguments": "*"},
    }  # fmt: skip
    assert made(rule, TELEGRAM + b"Fault 7\r\n") == [
        ("", "A", {"kw": "00.321", "channel": ["1", "2"], "m3": [12.5, 34.5], "fault": ["7"]})
    ]
    assert made(rule, b"Fault 7\nFault 8\n") == [("", "A", {"channel": [], "m3": [], "fault": ["7", "8"]})]


def test_a_pattern_that_fits_several_lines_is_reported_and_its_last_line_is_used() -> None:
    rule = {
        "name": "telegram", "lines": {"patterns": [POWER, GAS]}, "values": {"m3": "float"},
        "message": message("gas{channel}", "m3"),
    }  # fmt: skip
    messages = decoder_of(rule).decode(TELEGRAM)
    assert isinstance(messages, PartialMessages)
    assert [(msg.device, msg.arguments) for msg in messages] == [("gas2", {"m3": 34.5})]
    ((place, error),) = messages.bad
    assert place == "rule 'telegram': channel, m3"
    assert "the frame has several such lines, and only the last one is used: move the pattern of a line" in error
    assert not messages.readings, "the value of the last line is good"
    same = decoder_of(rule).decode(b"0-1:24.2.1(12.5*m3)\n0-1:24.2.1(12.5*m3)\n")
    assert not isinstance(same, PartialMessages), "nothing is lost where both lines are the same"


def test_the_time_of_a_frame_is_in_the_message_of_each_repetition() -> None:
    rule = {"lines": {"repeat": [GAS], "each": True}, "message": message("gas{channel}", "m3", "time")}
    assert made(rule, TELEGRAM) == [
        (f"gas{channel}", "A", {"m3": m3, "time": "1970-01-01T00:00:00.000Z"})
        for channel, m3 in ((1, "12.5"), (2, "34.5"))
    ]


# --- fields


def test_fields_that_occur_again_make_a_message_each() -> None:
    rule = {
        "fields": {**SKY, "each": True}, "values": {"*": "int", "prn": "strip"},
        "messages": [message("gps", "seen"), message("sat{prn}", "elevation", "snr", action="SKY")],
    }  # fmt: skip
    assert made(rule, GSV) == [
        ("gps", "A", {"seen": 7}),
        ("sat02", "SKY", {"elevation": 74, "snr": 45}),
        ("sat04", "SKY", {"elevation": 18, "snr": 36}),
    ]


def test_fields_that_occur_again_become_lists_with_a_place_for_what_is_missing() -> None:
    rule = {"fields": SKY, "values": {"*": "int"}, "message": {"action": "A", "arguments": "*"}}
    assert made(rule, GSV) == [
        ("", "A", {"seen": 7, "prn": [2, 4, 7], "elevation": [74, 18, None], "snr": [45, 36, None]})
    ]
    assert made(rule, b"$GPGSV,1,1,00") == [("", "A", {"seen": 0, "prn": [], "elevation": [], "snr": []})]


def test_a_repetition_of_empty_fields_is_none() -> None:
    repeat = {"from": 1, "size": 2, "at": {"x": [0, 1]}, "index": "n"}
    rule = {"fields": {"repeat": repeat, "each": True}, "message": {"action": "A", "arguments": "*"}}
    assert made(rule, b"V,1,a,,,3,c") == [("", "A", {"x": "1,a", "n": 1}), ("", "A", {"x": "3,c", "n": 3})]


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 90)), max_size=12), st.integers(0, 1))
def test_each_repetition_of_fields_is_read_whole_and_in_order(rows: list[tuple[int, int]], more: int) -> None:
    frame = ",".join(["V", *(f"{a},{b}" for a, b in rows), *["x"] * more]).encode()
    fields = {"repeat": {"from": 1, "size": 2, "at": {"a": 0, "b": 1}}}
    rule = {"fields": fields, "values": {"*": "int"}, "message": {"action": "A", "arguments": "*"}}
    assert made(rule, frame) == [("", "A", {"a": [a for a, _ in rows], "b": [b for _, b in rows]})]


def test_fields_in_quotes_occur_again() -> None:
    repeat = {"from": 1, "size": 2, "at": {"name": 0, "level": 1}}
    rule = {"fields": {"quote": '"', "repeat": repeat}, "values": {"level": "int"},
            "message": {"action": "A", "arguments": "*"}}  # fmt: skip
    assert made(rule, b'L,"a, b",1,"c",2') == [("", "A", {"name": ["a, b", "c"], "level": [1, 2]})]


# --- JSON

NODES: dict[str, Any] = {"at": {"site": "site"}, "repeat": {"in": "nodes", "at": {"id": "id", "t": "values.0"}}}
REPORT = b'{"site": "hall", "nodes": [{"id": 1, "values": [21.5]}, {"x": 1}, 5, {"id": 3, "values": ["---"]}]}'


def test_the_items_of_a_list_make_a_message_each() -> None:
    repeat = {**NODES["repeat"], "index": "n"}
    rule = {
        "json": {**NODES, "repeat": repeat, "each": True},
        "messages": [message("{site}", "site"), message("{site}{id}", "t", "n", action="T")],
    }  # fmt: skip
    assert made(rule, REPORT) == [
        ("hall", "A", {"site": "hall"}), ("hall1", "T", {"t": 21.5, "n": 1}), ("hall3", "T", {"t": "---", "n": 4}),
    ]  # fmt: skip


def test_the_items_of_a_list_become_lists() -> None:
    rule = {"json": NODES, "values": {"t": "float"}, "message": {"action": "A", "arguments": "*"}}
    messages = decoder_of(rule).decode(REPORT)
    assert [dict(msg.arguments) for msg in messages] == [{"site": "hall", "id": [1, 3], "t": [21.5, None]}]
    assert isinstance(messages, PartialMessages)
    assert made(rule, b'{"nodes": []}') == [("", "A", {"id": [], "t": []})]
    assert made(rule, b'{"site": "hall", "nodes": 5}') == [("", "A", {"site": "hall", "id": [], "t": []})]
    assert made(rule, b'{"nodes": 5}') is None


def test_with_a_list_only_the_named_members_are_values() -> None:
    rule = {"json": {"repeat": NODES["repeat"]}, "message": {"action": "A", "arguments": "*"}}
    assert made(rule, REPORT) == [("", "A", {"id": [1, 3], "t": [21.5, "---"]})]


@given(st.lists(st.tuples(st.integers(), st.text(min_size=1)), max_size=12))
def test_each_item_of_a_list_is_read_whole_and_in_order(rows: list[tuple[int, str]]) -> None:
    text = json.dumps([[{"a": a, "b": {"c": b}} for a, b in rows]]).encode()
    rule = {"json": {"repeat": {"in": ["0"], "at": {"a": "a", "b": "b.c"}}},
            "message": {"action": "A", "arguments": "*"}}  # fmt: skip
    assert made(rule, text) == [("", "A", {"a": [a for a, _ in rows], "b": [b for _, b in rows]})]


# --- nested

NODE = r"N(?P<node>[0-9]) (?P<data>[0-9A-F]+)"
CELSIUS = {"of": "{data}", "convert": {"bytes": "hex"},
           "binary": {"byte_order": "big", "fields": [{"type": "i16", "name": "t"}]}}  # fmt: skip


def test_what_is_nested_in_a_line_that_occurs_again_is_read_for_each_of_them() -> None:
    rule = {
        "lines": {"patterns": ["S(?P<site>.*)"], "repeat": [NODE, "G(?P<gas>.*)"], "each": True},
        "nested": CELSIUS, "values": {"t": {"scale": 0.1}},
        "messages": [message("{site}", "site"), message("n{node}", "t", "site"), message("gas", "gas")],
    }  # fmt: skip
    frame = b"Shall\nN1 00D7\nN2 00\nN3 FFD8\nG5"
    assert made(rule, frame) == [
        ("hall", "A", {"site": "hall"}),
        ("n1", "A", {"t": 21.5, "site": "hall"}),  # that of N2 is too short, as if the line were not there
        ("n3", "A", {"t": -4.0, "site": "hall"}),
        ("gas", "A", {"gas": "5"}),
    ]
    assert made(rule, b"Shall\nN2 00") is None


def test_a_frame_with_repetitions_may_be_nested_in_another_one_that_has_its_own() -> None:
    cells = {"type": "repeat", "each": True, "index": "cell", "fields": [{"type": "u8", "name": "volts"}]}
    rule: dict[str, Any] = {
        "lines": {"patterns": ["D(?P<data>[0-9A-F]*)"], "repeat": ["G(?P<gas>.*)"], "each": True},
        "nested": {**CELSIUS, "binary": {"byte_order": "big", "fields": [cells]}},
        "messages": [message("cell{cell}", "volts"), message("gas", "gas")],
    }  # fmt: skip
    assert made(rule, b"D0102\nG5") == [
        ("gas", "A", {"gas": "5"}), ("cell1", "A", {"volts": 1}), ("cell2", "A", {"volts": 2}),
    ]  # fmt: skip
    as_list = {"type": "repeat", "fields": [{"type": "u8", "name": "volts"}]}
    rule["nested"]["binary"]["fields"] = [as_list]
    rule["messages"] = [message("all", "volts"), message("gas", "gas")]
    assert made(rule, b"D0102\nG5") == [("all", "A", {"volts": [1, 2]}), ("gas", "A", {"gas": "5"})]
    assert made(rule, b"D0102\nD0103\nG5") == [("all", "A", {"volts": [1, 3]}), ("gas", "A", {"gas": "5"})]
    (bad,) = decoder_of(rule).decode(b"D0102\nD0103\nG5").bad
    assert "several such lines" in bad.error, "what the outer extractor has lost is reported, too"


def test_pairs_read_apart_may_have_repetitions_nested_in_some_of_them() -> None:
    rule = {
        "pairs": {"separator": ";", "equals": "=", "each": True},
        "nested": {"of": "{value}", "fields": {"separator": "/", "repeat": {"from": 0, "size": 1, "at": {"x": 0}}}},
        "message": message("{key}", "x"),
    }  # fmt: skip
    assert made(rule, b"a=1/2;b=3") == [("a", "A", {"x": ["1", "2"]}), ("b", "A", {"x": ["3"]})]
    rule["nested"] = {"of": "{value}", "regex": "(?P<x>(.|\n)*)", "nested": {"of": "{x}", "lines": {
        "patterns": ["<(?P<y>.*)"]}}}  # fmt: skip
    rule["message"] = message("{key}", "y")
    assert made(rule, b"a=<1;b=<2\n<3;c=4") == [("a", "A", {"y": "1"}), ("b", "A", {"y": "3"})]


@pytest.mark.parametrize(
    ("outer", "nested", "path", "what"),
    [
        ({"repeat": [NODE]}, CELSIUS, ("nested", "of"), "{data} is a list"),
        ({"repeat": [NODE], "each": True}, {"of": "{data}", "json": {}}, ("nested",), "its values are not known"),
        ({"repeat": [NODE], "each": True},
         {"of": "{data}", "json": {"repeat": {"in": "a", "at": {"x": "x"}}, "each": True}}, ("nested",),
         "each: true is possible only outside"),
    ],
)  # fmt: skip
def test_what_cannot_be_nested_in_a_repetition_is_found(
    outer: dict[str, Any], nested: dict[str, Any], path: tuple[str, ...], what: str
) -> None:
    rule = {"lines": outer, "nested": nested, "message": {"action": "A", "arguments": {"n": "{node}"}}}
    (problem,) = check_decode_rule(rule, {}, "utf-8")
    assert problem.path == path
    assert what in problem.what
    assert problem.remedy


# --- layouts

CELLS = {"type": "repeat", "count": "n", "fields": [{"type": "u16", "name": "volts"}]}


def cells(**options: Any) -> dict[str, Any]:
    return {"fields": [{"type": "u8", "name": "n"}, {**CELLS, **options}]}


def test_a_repetition_in_a_layout_becomes_a_list_or_messages() -> None:
    values = {"volts": {"scale": 0.001}}
    as_list = {"binary": cells(), "values": values, "message": message("bms", "volts")}
    assert made(as_list, b"\x02\x0f\x3b\x0f\x3c") == [("bms", "A", {"volts": [3.899, 3.9]})]
    apart = {"binary": cells(each=True, index="i"), "values": values,
             "messages": [message("cell{i}", "volts"), message("bms", "n")]}  # fmt: skip
    assert made(apart, b"\x02\x0f\x3b\x0f\x3c") == [
        ("bms", "A", {"n": 2}), ("cell1", "A", {"volts": 3.899}), ("cell2", "A", {"volts": 3.9}),
    ]  # fmt: skip
    assert made(apart, b"\x00") == [("bms", "A", {"n": 0})]


def test_all_values_are_those_of_each_repetition() -> None:
    rule = {"binary": cells(each=True), "message": {"action": "A", "arguments": "*"}}
    assert made(rule, b"\x02\x00\x01\x00\x02") == [("", "A", {"n": 2, "volts": 1}), ("", "A", {"n": 2, "volts": 2})]
    assert made(rule, b"\x00") == []


def test_two_groups_of_repetitions_make_messages_apart() -> None:
    fields = [
        {"type": "u8", "name": "n"}, {**CELLS, "each": True},
        {"type": "repeat", "each": True, "fields": [{"type": "i8", "name": "celsius"}]},
    ]  # fmt: skip
    rule = {"binary": {"fields": fields}, "messages": [message("c", "volts", "n"), message("t", "celsius")]}
    assert made(rule, b"\x01\x00\x07\x15\xff") == [
        ("c", "A", {"volts": 7, "n": 1}), ("t", "A", {"celsius": 21}), ("t", "A", {"celsius": -1}),
    ]  # fmt: skip


def test_texts_in_lists_are_texts() -> None:
    repeat = {"type": "repeat", "fields": [{"type": "text", "name": "t", "length": 2}]}
    rule = {"binary": {"fields": [repeat]}, "message": {"action": "A", "arguments": "*"}}
    assert made(rule, b"abc\xe9") == [("", "A", {"t": ["ab", "c\u00e9"]})]


RECORD: list[dict[str, Any]] = [
    {"type": "u8", "name": "dif", "bits": {"data": [0, 3]}},
    {"type": "switch", "on": "dif", "cases": {
        "0x2F": [],  # a filler
        "0x0F": {"type": "bytes"},  # what the manufacturer likes, to the end
        "*": [
            {"type": "u8", "name": "vif"},
            {"type": "switch", "on": "data", "cases": {
                "1": {"type": "int", "length": 1, "name": "number"}, "2": {"type": "i16", "name": "number"},
                "4": {"type": "i32", "name": "number"}, "6": {"type": "int", "length": 6, "name": "number"},
                "0x0C": {"type": "uint", "length": 4, "name": "bcd"},
            }},
        ],
    }},
]  # fmt: skip


def test_records_of_several_types_as_in_an_m_bus_telegram() -> None:
    rule = {
        "binary": {"byte_order": "little", "fields": [
            {"type": "find", "bytes": "72"}, {"type": "u32", "name": "meter"}, {"type": "skip", "length": 8},
            {"type": "repeat", "each": True, "fields": RECORD},
        ]},
        "values": {"meter": ["bcd"], "bcd": "bcd", "vif": {"enum": {"19": "VOLUME", "90": "FLOW", "43": "POWER"}}},
        "message": {"device": "meter{meter}", "action": "{vif}", "arguments": {"number": "{number}", "bcd": "{bcd}"}},
    }  # fmt: skip
    head = "68 1f 1f 68 08 01 72 78 56 34 12 24 40 01 07 55 00 00 00"
    records = "0c 13 27 04 85 02 2f 02 5a 9c ff 2f 06 2b 01 00 00 00 00 00 0f aa bb"
    assert made(rule, bytes.fromhex(head + records)) == [
        ("meter12345678", "VOLUME", {"bcd": 2850427}),
        ("meter12345678", "FLOW", {"number": -100}),
        ("meter12345678", "POWER", {"number": 1}),
    ]
    assert made(rule, bytes.fromhex(head + records[:-9] + "0d 13 00")) is None, "a type without a case"


# --- bad values


def test_a_bad_value_of_a_repetition_takes_only_itself_out() -> None:
    rule = {
        "name": "r", "lines": {"repeat": [GAS], "each": True}, "values": {"m3": "float"},
        "message": message("gas{channel}", "m3", "channel"),
    }  # fmt: skip
    messages = decoder_of(rule).decode(b"0-1:24.2.1(1.5*m3)\n0-2:24.2.1(--*m3)\n")
    assert isinstance(messages, PartialMessages)
    assert [dict(msg.arguments) for msg in messages] == [{"m3": 1.5, "channel": "1"}, {"channel": "2"}]
    assert messages.bad == [("rule 'r': m3", "rule 'r': m3: '--' is not a number")]
    ((msg, errors),) = messages.readings
    assert (msg.device, errors) == ("gas2", {"m3": "'--' is not a number"})


def test_a_bad_value_outside_of_the_repetitions_is_reported_once() -> None:
    rule = {
        "name": "r", "fields": {**SKY, "each": True}, "values": {"seen": "float"},
        "message": message("sat{prn}", "snr", "seen"),
    }  # fmt: skip
    messages = decoder_of(rule).decode(GSV.replace(b",07,02", b",x,02"))
    assert isinstance(messages, PartialMessages)
    assert [dict(msg.arguments) for msg in messages] == [{"snr": "45"}, {"snr": "36"}]
    assert [error for _, error in messages.bad] == ["rule 'r': seen: 'x' is not a number"]
    assert [msg.device for msg, _ in messages.readings] == ["sat02", "sat04", "sat07"]


def test_a_bad_entry_of_a_list_leaves_its_place_empty() -> None:
    rule = {"name": "r", "fields": SKY, "values": {"snr": "int"}, "message": message("gps", "snr")}
    messages = decoder_of(rule).decode(GSV.replace(b",36,", b",x,"))
    assert isinstance(messages, PartialMessages)
    assert [dict(msg.arguments) for msg in messages] == [{"snr": [45, None, None]}]
    assert [error for _, error in messages.bad] == ["rule 'r': snr: 'x' is not an integer of base 10"]
    assert not messages.readings


def test_a_frame_of_which_nothing_can_be_converted_is_an_error() -> None:
    rule = {"lines": {"repeat": ["(?P<x>.*)"], "each": True}, "values": {"x": "int"}, "message": message("d", "x")}
    with pytest.raises(CodecError, match="x: 'a' is not an integer"):
        decoder_of(rule).decode(b"a\nb")


# --- any frame

LINES = {"repeat": [GAS, POWER], "each": True}
RULES: list[dict[str, Any]] = [
    {"lines": {"patterns": [POWER], "repeat": [GAS]}, "values": {"*": "float"},
     "message": {"action": "A", "arguments": "*"}},
    {"lines": LINES, "values": {"m3": "float", "kw": "int"}, "message": message("gas{channel}", "m3", "kw")},
    {"lines": {"patterns": [GAS]}, "values": {"m3": "float"}, "message": message("gas{channel}", "m3")},
    {"fields": {**SKY, "each": True}, "values": {"*": "int"}, "message": message("sat{prn}", "snr", "seen")},
    {"fields": SKY, "values": {"*": "int"}, "message": {"action": "A", "arguments": "*"}},
    {"binary": {"fields": [{"type": "repeat", "fields": RECORD}]}, "values": {"bcd": "bcd", "vif": "float"},
     "message": {"action": "A", "arguments": "*"}},
    {"binary": {"fields": [{"type": "repeat", "fields": RECORD, "each": True}]}, "values": {"bcd": "bcd"},
     "message": message("{vif}", "bcd", "number")},
]  # fmt: skip
_texts = st.lists(
    st.sampled_from(
        ["0-1:24.2.1(", "0-2:24.2.1(1.5*m3)", "12.5*m3)", "1-0:1.7.0(0.3*kW)", "\n", "$GPGSV", ",", "7", "-"]
    ),
    max_size=20,
).map(lambda parts: "".join(parts).encode())


@pytest.mark.parametrize("decoder", [decoder_of(rule) for rule in RULES])
@given(frame=st.binary(max_size=40) | _texts | st.lists(st.sampled_from([1, 2, 4, 12, 15, 47, 255])).map(bytes))
def test_any_frame_is_decoded_or_raises_a_codec_error(decoder: Any, frame: bytes) -> None:
    try:
        messages = decoder.decode(frame)
    except CodecError as err:
        assert str(err).isprintable()
    else:
        assert messages is None or all(isinstance(message, InternalMsg) for message in messages)


# --- limits


def test_the_number_of_repetitions_is_limited() -> None:
    lines = {"lines": {"repeat": ["(?P<x>[0-9])"]}, "message": message("", "x")}
    assert made(lines, b"1\n" * MAX_REPETITIONS) is not None
    assert made(lines, b"1\n" * (MAX_REPETITIONS + 1)) is None
    fields = {"fields": {"repeat": {"from": 0, "size": 1, "at": {"x": 0}}}, "message": message("", "x")}
    assert made(fields, b"1," * MAX_REPETITIONS) is not None
    assert made(fields, b"1," * MAX_REPETITIONS + b"1") is None
    items = {"json": {"repeat": {"in": "0", "at": {"x": "x"}}}, "message": message("", "x")}
    assert made(items, b'[[{"x": 1}%s]]' % (b',{"x": 1}' * (MAX_REPETITIONS - 1))) is not None
    assert made(items, b'[[{"x": 1}%s]]' % (b',{"x": 1}' * MAX_REPETITIONS)) is None


# --- findings


@pytest.mark.parametrize(
    ("rule", "path", "what"),
    [
        ({"lines": {"repeat": [GAS]}, "message": message("gas{channel}", "m3")}, ("message",),
         "{channel} is a list, which cannot be a part of a text"),
        ({"lines": {"repeat": [GAS]}, "message": {"arguments": {"m3": "{m3} m3"}}}, ("message",), "{m3} is a list"),
        ({"binary": {"byte_order": "big", "fields": [{**CELLS, "count": 1, "each": True},
                                {"type": "repeat", "each": True, "fields": [{"type": "u8", "name": "x"}]}]},
          "message": message("d", "volts", "x")}, ("message",), "no repetition has all of the values that it needs"),
    ],
)  # fmt: skip
def test_a_message_that_is_impossible_is_found(rule: dict[str, Any], path: tuple[str, ...], what: str) -> None:
    (problem,) = check_decode_rule(rule, {}, "utf-8")
    assert problem.path == path
    assert what in problem.what
    assert problem.remedy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": {"separator": ",", "is": {}}}, "neither 'at' nor 'repeat'"),
        ({"fields": {"separator": ",", "is": {}, "at": {"x": 1}, "each": True}}, "each: true needs 'repeat'"),
        ({"fields": {"separator": ",", "is": {}, "repeat": {"from": 0, "size": 2, "at": {"x": 2}}}},
         "outside of the 2"),
        ({"fields": {"separator": ",", "is": {}, "repeat": {"from": 0, "size": 2, "at": {"x": 1}, "index": "n"}}},
         "an index needs each"),
        ({"lines": {}}, "neither 'patterns' nor 'repeat'"),
        ({"lines": {"patterns": ["a"], "each": True}}, "each: true needs 'repeat'"),
        ({"json": {"at": {"x": "x"}, "each": True}}, "each: true needs 'repeat'"),
        ({"json": {"repeat": {"in": "x", "at": {"x": "x"}, "index": "n"}}}, "an index needs each"),
    ],
)  # fmt: skip
def test_contradictory_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExtractorError, match=message):
        make_extractor(options, "utf-8")


# --- answers


def test_an_answer_with_repetitions_is_told_apart_by_the_values_of_one_of_them() -> None:
    response = {"lines": {"repeat": ["(?P<node>[0-9]+) (?P<state>.*)"], "each": True}, "same": ["node"],
                "values": {"node": "int"}}  # fmt: skip
    rule = {"match": {"action": "GET"}, "arguments": {"node": {"type": "integer"}}, "write": "?", "response": response}
    params = serial_params(encode=[rule])
    assert not list(check_rules(params))
    reader = SerialRules(params).encoder.rules[0].steps[0].answer.response
    assert reader is not None
    assert reader.read_for({"node": 2})(b"1 on\n2 off") == [{"node": 2, "state": "off"}]
    assert reader.read_for({"node": 3})(b"1 on\n2 off") is None
    as_list = serial_params(encode=[{**rule, "response": {**response, "lines": {"repeat": ["(?P<node>[0-9]+)"]}}}])
    assert ["'node' is a list" in problem.what for problem in check_rules(as_list)] == [True]
