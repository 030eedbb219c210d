from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.rules.extractors import ExtractError
from interfaces.rules.mismatch import mismatch, nearest
from interfaces.rules.nested import make_reader

TEMPERATURE = r"T (?P<t>-?[0-9]{2}\.[0-9]) C"


def layout(*fields: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"binary": {"byte_order": "big", "fields": list(fields), **options}}


def fields(**options: Any) -> dict[str, Any]:
    return {"fields": {"separator": ",", "at": {"x": 1}, "is": {}, **options}}


def pairs(**options: Any) -> dict[str, Any]:
    return {"pairs": {"start": "", "separator": ";", "equals": "=", "each": False, **options}}


SIZE = {"type": "u8", "name": "n"}
CASES_OF_1 = {"type": "switch", "on": "n", "cases": {"1": {"type": "u8", "name": "x"}}}
SENSOR = {"regex": "S (?P<data>[0-9A-F]*)"}
HEX = {"of": "{data}", "convert": {"bytes": "hex"}}
MODBUS = layout({"type": "u8", "is": 1}, {"type": "u8", "is": 4}, {"type": "u16", "name": "value"}, length=4)
CASES: list[tuple[dict[str, Any], bytes, int, str]] = [
    ({"regex": TEMPERATURE}, b"T 21.5 F", 7, "at offset 7 it expects 'C', but there is 'F'"),
    ({"regex": TEMPERATURE}, b"T 21.5", 6, "at offset 6 it expects ' C', but there is the end of the frame"),
    ({"regex": TEMPERATURE}, b"T 21.5 C!", 8, "at offset 8 it expects the end of the frame, but there is '!'"),
    ({"regex": TEMPERATURE}, b"T x", 2, r"at offset 2 it expects '(?P<t>-?[0-9]{2}\.[0-9]) C', but there is 'x'"),
    ({"regex": "PW(?P<p>ON|OFF)"}, b"PWXX", 2, "at offset 2 it expects '(?P<p>ON|OFF)', but there is 'XX'"),
    ({"regex": "[0-9]{2}"}, b"1x", 0, "at offset 0 it expects '[0-9]{2}', but there is '1x'"),
    ({"regex": "OK|ERR"}, b"?", 0, "at offset 0 it expects 'OK|ERR', but there is '?'"),
    ({"regex": "OK"}, b"OK\xff", 2, "offset 2 is no text in utf-8"),
    (MODBUS, bytes.fromhex("01 03 00 2A"), 1, "at offset 1 it expects 04, but there is 03"),
    (MODBUS, bytes.fromhex("01 04 00"), 2, "at offset 2 it expects 2 bytes (u16), but there is 00"),
    (MODBUS, bytes.fromhex("01"), 1, "at offset 1 it expects 04, but there is the end of the frame"),
    (MODBUS, bytes.fromhex("01 04 00 2A 00"), 4, "it expects 4 bytes, but the frame has 5"),
    (layout({"type": "u8", "is": 3, "at": -1}), b"ab", 1, "at offset 1 it expects 03, but there is 62"),
    (fields(**{"is": {"0": "A", "2": ["B", "C"]}}), b"A,1,D", 4, "in field 2 it expects 'B' or 'C', but there is 'D'"),
    (fields(**{"is": {"-1": "B"}}), b"A,C", 2, "in field -1 it expects 'B', but there is 'C'"),
    (fields(**{"is": {"3": "B"}}), b"A,C", 3, "in field 3 it expects 'B', but there is no such field"),
    (fields(minimum=3), b"A,C", 3, "it expects at least 3 fields, but there are 2"),
    (fields(maximum=1, at={"x": 0}), b"A,C", 3, "it expects at most 1 field, but there are 2"),
    (pairs(start="WS "), b"WX a=1", 1, "at offset 1 it expects 'S ', but there is 'X a=1'"),
    (pairs(keys=["V", "I"]), b"A=1", 0, "there is no pair KEY=VALUE with one of the keys V, I"),
    (
        {"lines": {"patterns": ["V=(?P<v>[0-9]+)", "A"]}}, b"x\nV=x", 2,
        "no line matches; nearest is line 2: at offset 2 it expects '(?P<v>[0-9]+)', but there is 'x'",
    ),
    ({"lines": {"repeat": ["V=(?P<v>[0-9]+)"]}}, b"V=x", 2,
     "no line matches; nearest is line 1: at offset 2 it expects '(?P<v>[0-9]+)', but there is 'x'"),
    (fields(quote='"', **{"is": {"1": "B"}}), b'"a,b",C', 4, "in field 1 it expects 'B', but there is 'C'"),
    (fields(quote='"'), b'"a', 0, 'its quotes (") do not match'),
    (layout(SIZE, {"type": "find", "bytes": "03 04"}), b"\1\2\3", 1, "behind offset 1 there is no 03 04"),
    (layout(SIZE, CASES_OF_1), b"\2\3", 1,
     "at offset 1 there is no case for the value of n, or its fields do not match"),
    (layout(SIZE, {"type": "repeat", "count": "n", "fields": [{"type": "u16", "name": "x"}]}), b"\2\3\3\3", 1,
     "at offset 1 a repetition is incomplete, or there are too many"),
    (layout(SIZE, {"type": "bytes", "name": "b", "length": "n"}), b"\2\3", 1,
     "at offset 1 it expects bytes with a length of n, but there is 03"),
    ({"json": {"is": {"a.b": [1, 2]}}}, b'{"a": {"b": 3}}', 7, "at 'a.b' it expects 1 or 2, but there is 3"),
    ({"json": {"is": {"a.b": "x"}}}, b'{"a": 5}', 0, "at 'a.b' it expects 'x', but there is nothing"),
    ({"json": {"at": {"x": "x"}}}, b'{"a": 5}', 8, "none of its values is there"),
    ({"json": {}}, b"T 21.5", 0, "it is no JSON text"),
    ({**SENSOR, "nested": {**HEX, **layout(SIZE, {"type": "u8", "is": 5})}}, b"S 0106", 6,
     "in what is nested, at offset 1 it expects 05, but there is 06"),
    ({**SENSOR, "nested": {**HEX, **layout(SIZE)}}, b"T 01", 0,
     "at offset 0 it expects 'S (?P<data>[0-9A-F]*)', but there is 'T 01'"),
    ({"lines": {"repeat": [SENSOR["regex"]], "each": True}, "nested": {**HEX, **layout({"type": "u8", "is": 1})}},
     b"S 02\nS 03", 9, "in what is nested, at offset 0 it expects 01, but there is 02"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "frame", "depth", "reason"), CASES, ids=[case[3] for case in CASES])
def test_the_reason(options: dict[str, Any], frame: bytes, depth: int, reason: str) -> None:
    assert mismatch(options, frame, "utf-8") == (depth, reason)


def test_a_part_that_cannot_be_converted_is_the_reason() -> None:
    found = mismatch({**SENSOR, "nested": {**HEX, **layout(SIZE)}}, b"S 010", "utf-8")
    assert found is not None
    assert found.reason.startswith("nested: '010' is not hex")


def test_the_nearest_rule_matches_most_and_of_equal_ones_it_is_the_first() -> None:
    rules = [("a", {"regex": "X"}), ("b", {"regex": TEMPERATURE}), ("c", {"regex": TEMPERATURE}), ("d", MODBUS)]
    assert nearest(rules, b"T 21.5", "utf-8") == (
        "the nearest rule is b: at offset 6 it expects ' C', but there is the end of the frame"
    )
    assert nearest([], b"T 21.5", "utf-8") is None


@given(
    st.sampled_from([options for options, *_ in CASES]),
    st.binary(max_size=12) | st.text("T 21.5CABV=,;x\n").map(str.encode),
)
def test_any_frame_that_does_not_match_has_a_reason_and_a_depth_within_it(
    options: dict[str, Any], frame: bytes
) -> None:
    try:
        if make_reader(options, "utf-8").extract(frame) is not None:
            return
    except ExtractError:
        pass
    found = mismatch(options, frame, "utf-8")
    if found is None:
        assert not frame and "lines" in options
        return
    assert 0 <= found.depth <= max(len(frame), 4)


def test_an_expression_that_may_be_slow_is_not_tried_in_parts() -> None:
    found = mismatch({"regex": "a(b+)+c"}, b"a" + b"b" * 100, "utf-8")
    assert found is not None and re.match(r"at offset 1 it expects '\(b\+\)\+c'", found.reason)
