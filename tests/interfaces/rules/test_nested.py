"""A frame inside a frame: texts and bytes that another extractor reads; limits, and what `check` finds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.rules.extractors import ExtractError
from interfaces.rules.nested import MAX_PARTS, check_reader, make_reader

TENTHS = {"binary": {"byte_order": "big", "fields": [{"type": "i16", "name": "t"}]}}
LORA = {"regex": "RCV=(?P<node>[0-9]+),(?P<data>.*)", "nested": {"of": "{data}", "convert": {"bytes": "hex"}, **TENTHS}}
PAIRS = {"pairs": {"separator": ";", "equals": "=", "start": "", "each": False}}


def regex(text: str, **nested: Any) -> dict[str, Any]:
    return {"regex": text, **({"nested": nested} if nested else {})}


def bytes_field(name: str, **options: Any) -> dict[str, Any]:
    return {"binary": {"byte_order": "big", "fields": [{"type": "u8", "is": 2}, {"type": "bytes", "name": name}]},
            **options}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "frame", "values"),
    [
        (LORA, b"RCV=7,FFD8", [{"node": "7", "data": "FFD8", "t": -40}]),
        (LORA, b"RCV=7,FF", None),  # the layout needs two bytes
        (LORA, b"RCV=x,FFD8", None),
        (regex("(?P<a>.)(?P<b>.*)", of="{b}={a}", **PAIRS), b"1x", [{"a": "1", "b": "x", "x": "1"}]),
        (regex("(?P<a>.)(?P<b>.)?", of="{b}", regex="."), b"1", None),  # a value of the part is missing
        (bytes_field("data", nested={"of": "{data}", **TENTHS}), b"\2\xff\xd8", [{"data": b"\xff\xd8", "t": -40}]),
        (bytes_field("data", nested={"of": "{data}\u00ff", "regex": "(?P<x>.*)"}), b"\2A", None),  # no utf-8
        (bytes_field("d", nested={"of": "{d}", "regex": "(?P<x>.*)"}), b"\2\xc3\xbc",
         [{"d": b"\xc3\xbc", "x": "\u00fc"}]),
        (regex("(?P<a>.*)", of="{a}", json={"at": {"t": "t"}}), b'{"t": 5}', [{"a": '{"t": 5}', "t": 5}]),
        ({"pairs": {**PAIRS["pairs"], "each": True}, "nested": {"of": "{value}", "regex": "(?P<n>[0-9]+)"}},
         b"a=1;b=x;c=3",
         [{"key": "a", "value": "1", "n": "1"}, {"key": "c", "value": "3", "n": "3"}]),
        (regex("(?P<a>.*)", of="{a}", regex="<(?P<b>.*)>", nested={"of": "{b}", "regex": "(?P<c>.).*"}), b"<xy>",
         [{"a": "<xy>", "b": "xy", "c": "x"}]),
    ],
)  # fmt: skip
def test_the_values_of_both_are_joined(options: dict[str, Any], frame: bytes, values: Any) -> None:
    reader = make_reader(options, "utf-8")
    assert reader.extract(frame) == values
    assert reader.names is None or all(each.keys() <= reader.names for each in values or [])


@pytest.mark.parametrize(
    ("options", "frame", "error"),
    [
        (LORA, b"RCV=7,FFD", "nested: 'FFD' is not hex"),
        (regex("(?P<a>.*)", of="{a:d}", regex="."), b"x", "nested: 'x' cannot be written as {a:d}"),
    ],
)
def test_a_part_that_cannot_be_converted_is_an_error(options: dict[str, Any], frame: bytes, error: str) -> None:
    with pytest.raises(ExtractError, match=error):
        make_reader(options, "utf-8").extract(frame)


def test_a_character_that_the_encoding_does_not_have_is_an_error() -> None:
    options = regex("(?P<a>.*)", of="{a}", convert={"replace": {"x": "\u20ac"}}, regex=".")
    with pytest.raises(ExtractError, match="cannot be written as ascii"):
        make_reader(options, "ascii").extract(b"x")


def nest(depth: int) -> dict[str, Any]:
    options: dict[str, Any] = {"regex": f"(?P<v{depth}>.*)"}
    for number in reversed(range(1, depth)):
        options = {"regex": f"(?P<v{number}>.*)", "nested": {"of": f"{{v{number}}}", **options}}
    return options


@pytest.mark.parametrize(
    ("options", "path", "text"),
    [
        (regex("(?P<a>.*)", of="{b}", regex="."), ("nested", "of"), "{b} is not a value"),
        (regex("(?P<a>.*)", of="x", regex="."), ("nested", "of"), "contains no value"),
        (regex("(?P<a>.*)", of="{a.b}", regex="."), ("nested", "of"), "{a.b} is no value"),
        (regex("(?P<a>.*)", of="{a}"), ("nested",), "exactly one of"),
        (regex("(?P<a>.*)", of="{a}", regex="("), ("nested", "regex"), "not a regular expression"),
        (regex("(?P<a>.*)", of="{a}", regex="(?P<a>.)"), ("nested",), "already a value"),
        (regex("(?P<a>.*)", of="{a}", convert="hex", regex="."), ("nested", "convert"), "not a converter"),
        (regex("(?P<a>.*)", of="{a}", binary={"byte_order": "big", "fields": [{"type": "u8", "is": 300}]}),
         ("nested", "binary", "fields", 0), "does not fit"),
        (nest(5), ("nested", "nested", "nested", "nested"), "more than 4"),
        ({}, (), "exactly one of"),
    ],
)  # fmt: skip
def test_what_check_finds(options: dict[str, Any], path: tuple[str, ...], text: str) -> None:
    (problem,) = check_reader(options, "utf-8")
    assert (problem.path, text in problem.what) == (path, True), problem


def test_what_check_does_not_find() -> None:
    assert not list(check_reader(nest(4), "utf-8"))
    assert make_reader(nest(4), "utf-8").extract(b"x") == [{"v1": "x", "v2": "x", "v3": "x", "v4": "x"}]


def test_what_repetitions_have_in_common_is_read_for_them_only_up_to_a_limit() -> None:
    reader = make_reader({
        "lines": {"patterns": ["D(?P<data>.*)"], "repeat": ["R(?P<n>.)"], "each": True},
        "nested": {"of": "{data}{n}", "fields": {"separator": ",", "is": {}, "repeat": {
            "from": 0, "size": 1, "at": {"x": 0}}}},
    }, "utf-8")  # fmt: skip
    data = b"D" + b"1" * (MAX_PARTS // 4 - 1) + b"\n"
    assert reader.extract(data + b"R1\n" * 4) is not None
    with pytest.raises(ExtractError, match="more than 262144 bytes together"):
        reader.extract(data + b"R1\n" * 5)
    assert reader.extract(data + b"R1\n") is not None, "the limit is that of a frame"


@given(st.binary(), st.sampled_from(["hex", "base64", "sixbit"]))
def test_any_bytes_are_read_or_refused(frame: bytes, form: str) -> None:
    reader = make_reader(regex("(?P<a>.*)", of="{a}", convert={"bytes": form}, **TENTHS), "latin-1")
    try:
        assert reader.extract(frame) is None or frame
    except ExtractError as err:
        assert "nested" in str(err)
