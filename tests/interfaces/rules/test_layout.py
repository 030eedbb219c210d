"""Binary layouts: written frames are read back field by field; invalid fields and values are rejected."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.rules.layout import Layout, LayoutError

BITS = {"u8": 8, "u16": 16, "u24": 24, "u32": 32, "u64": 64, "i8": 8, "i16": 16, "i24": 24, "i32": 32, "i64": 64}


def values_of(options: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Draw a value of a field of this type."""
    kind = options["type"]
    if kind in BITS:
        bits = BITS[kind]
        return st.integers(0, 2**bits - 1) if kind[0] == "u" else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if kind[0] == "f":
        return st.floats(allow_nan=False, width=32 if kind == "f32" else 64)
    size = options["length"]
    return st.binary(min_size=size, max_size=size)


def as_f32(value: Any) -> Any:
    """Return a number as the four bytes of a field hold it, if it fits, and anything else as it is."""
    try:
        return struct.unpack("f", struct.pack("f", value))[0] if isinstance(value, float) else value
    except OverflowError:
        return value


@st.composite
def fields_and_values(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Draw fields without gaps between them, and their values."""
    fields: list[dict[str, Any]] = []
    values: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 5))):
        options: dict[str, Any] = {"type": draw(st.sampled_from([*BITS, "f32", "f64", "bytes", "text", "skip"]))}
        if options["type"] in ("bytes", "text", "skip"):
            options["length"] = draw(st.integers(1, 4))
        if draw(st.booleans()):
            options["byte_order"] = draw(st.sampled_from(["big", "little"]))
        if options["type"][1:] in ("32", "64"):
            options["word_swap"] = draw(st.booleans())
        if options["type"] != "skip":
            options["name"] = f"value{number}"
            values[options["name"]] = draw(values_of(options))
        fields.append(options)
    return fields, values


@settings(max_examples=300)
@given(fields_and_values(), st.sampled_from(["big", "little"]))
def test_a_written_frame_is_read_back(drawn: tuple[list[dict[str, Any]], dict[str, Any]], order: str) -> None:
    fields, values = drawn
    layout = Layout(fields, order)
    frame = layout.write(values)
    read = layout.read(frame)
    assert read is not None
    assert layout.write(read) == frame
    assert {name: as_f32(value) for name, value in read.items()} == {n: as_f32(v) for n, v in values.items()}
    assert layout.read(frame[:-1]) is None
    assert layout.names == values.keys()
    assert Layout(fields, order, length=len(frame)).write(values) == frame
    assert Layout(fields, order, length=len(frame) + 1).read(frame) is None


@given(fields_and_values(), st.sampled_from(["big", "little"]), st.randoms())
def test_the_order_of_fields_with_an_offset_does_not_matter(
    drawn: tuple[list[dict[str, Any]], dict[str, Any]], order: str, generator: Any
) -> None:
    fields, values = drawn
    frame = Layout(fields, order).write(values)
    position = 0
    placed = []
    for options in fields:
        size = len(Layout([{**options, "name": "x"}], order).write({"x": values.get(options.get("name", ""), 0)}))
        placed.append({**options, "at": position if generator.random() < 0.5 else position - len(frame)})
        position += size
    generator.shuffle(placed)
    assert Layout(placed, order).read(frame) == Layout(fields, order).read(frame)
    assert Layout(placed, order, length=len(frame)).write(values) == frame


@pytest.mark.parametrize(
    ("options", "data", "value"),
    [
        ({"type": "u8"}, "ff", 255),
        ({"type": "i8"}, "ff", -1),
        ({"type": "u16"}, "01 02", 0x0102),
        ({"type": "u16", "byte_order": "little"}, "01 02", 0x0201),
        ({"type": "u24"}, "01 02 03", 0x010203),
        ({"type": "i24"}, "ff ff fe", -2),
        ({"type": "i24", "byte_order": "little"}, "fe ff ff", -2),
        ({"type": "u32", "word_swap": True}, "03 04 01 02", 0x01020304),
        ({"type": "f32"}, "41 ac 00 00", 21.5),
        ({"type": "f32", "word_swap": True}, "00 00 41 ac", 21.5),
        ({"type": "i64", "byte_order": "little"}, "ff ff ff ff ff ff ff ff", -1),
        ({"type": "bytes", "length": 2}, "01 02", b"\x01\x02"),
        ({"type": "text"}, "41 42 43", b"ABC"),
    ],
)
def test_numbers_and_texts(options: dict[str, Any], data: str, value: Any) -> None:
    layout = Layout([{"name": "x", **options}])
    assert layout.read(bytes.fromhex(data)) == {"x": value}
    assert layout.write({"x": value}) == bytes.fromhex(data)


@settings(max_examples=300)
@given(st.integers(-999_999, 999_999), st.integers(-12, 0), st.sampled_from(["big", "little"]), st.booleans())
def test_a_float_of_four_bytes_is_read_with_the_digits_that_were_written(
    digits: int, exponent: int, order: str, swapped: bool
) -> None:
    number = float(f"{digits}e{exponent}")
    layout = Layout([{"type": "f32", "name": "x", "word_swap": swapped}], order)
    assert layout.read(layout.write({"x": number})) == {"x": number}


@pytest.mark.parametrize(
    ("data", "number"),
    [
        ("43 66 19 9a", 230.1),
        ("3d cc cc cd", 0.1),
        ("4c 29 53 ce", 44388152.0),  # 44388150 has the same bytes, but fewer digits
        ("60 ad 78 ec", 1.0000000200408773e20),
        ("7f 7f ff ff", 3.4028234663852886e38),
        ("80 00 00 00", -0.0),
        ("7f 80 00 00", float("inf")),
    ],
)
def test_floats_of_four_bytes(data: str, number: float) -> None:
    assert Layout([{"type": "f32", "name": "x"}]).read(bytes.fromhex(data)) == {"x": number}


@given(st.binary(min_size=4, max_size=4))
def test_any_float_of_four_bytes_has_the_same_bytes_when_it_is_written_back(data: bytes) -> None:
    layout = Layout([{"type": "f32", "name": "x"}])
    values = layout.read(data)
    assert values is not None
    if values["x"] == values["x"]:
        assert layout.write(values) == data


# --- bits

FLAGS = [{"type": "u8", "name": "raw", "bits": {"on": 0, "mode": [1, 3], "high": [7, 4]}}]


def test_bits_are_read_in_addition_to_their_number() -> None:
    assert Layout(FLAGS).read(b"\xa7") == {"raw": 0xA7, "on": True, "mode": 3, "high": 0xA}


@given(st.booleans(), st.integers(0, 7), st.integers(0, 15))
def test_bits_are_written_separately(on: bool, mode: int, high: int) -> None:
    frame = Layout(FLAGS).write({"on": on, "mode": mode, "high": high})
    assert frame == bytes([high << 4 | mode << 1 | on])
    assert Layout(FLAGS).read(frame) == {"raw": frame[0], "on": on, "mode": mode, "high": high}


@given(st.integers(0, 63), st.sampled_from(["big", "little"]))
def test_each_bit_of_a_long_number(bit: int, order: str) -> None:
    layout = Layout([{"type": "u64", "bits": {"it": bit}}], order)
    assert layout.write({"it": True}) == struct.pack(">Q" if order == "big" else "<Q", 1 << bit)
    assert layout.read(layout.write({"it": True})) == {"it": True}


# --- constants and offsets


def test_a_frame_with_another_constant_does_not_match() -> None:
    layout = Layout([{"type": "u8", "is": 2}, {"type": "u16", "name": "n"}, {"type": "f32", "is": 0.1}])
    frame = layout.write({"n": 7})
    assert frame == b"\x02\x00\x07" + struct.pack(">f", 0.1)
    assert layout.read(frame) == {"n": 7}
    assert layout.read(b"\x03" + frame[1:]) is None
    assert layout.read(frame[:-1] + b"\x00") is None
    assert layout.prefix == b"\x02"


@given(fields_and_values(), st.sampled_from(["big", "little"]), st.integers(0, 5))
def test_each_frame_begins_with_the_prefix(
    drawn: tuple[list[dict[str, Any]], dict[str, Any]], order: str, constants: int
) -> None:
    fields, values = drawn
    constant_fields = [
        {**options, "is": values[options["name"]]} if index < constants and options["type"] in BITS else options
        for index, options in enumerate(fields)
    ]
    layout = Layout(constant_fields, order)
    frame = layout.write(values)
    assert frame == Layout(fields, order).write(values)
    assert frame.startswith(layout.prefix)
    assert layout.read(frame) is not None


def test_offsets_from_both_ends_and_an_open_ended_field() -> None:
    layout = Layout(
        [{"type": "u8", "is": 1}, {"type": "u8", "name": "last", "at": -1}, {"type": "text", "name": "all", "at": 1}]
    )
    assert layout.read(b"\x01abc\x09") == {"last": 9, "all": b"abc\x09"}
    assert layout.read(b"\x01") == {"last": 1, "all": b""}
    assert layout.read(b"") is None


def test_bytes_without_a_field_are_written_as_zeros() -> None:
    fields: list[dict[str, Any]] = [
        {"type": "u8", "name": "a", "at": 2},
        {"type": "u8"},
        {"type": "skip", "length": 2},
        {"type": "u8", "is": 9},
    ]
    assert Layout(fields).write({"a": 1}) == b"\x00\x00\x01\x00\x00\x00\x09"
    assert Layout(fields, length=8).write({"a": 1}) == b"\x00\x00\x01\x00\x00\x00\x09\x00"


def test_short_texts_are_padded_and_bcd_digits_fit_into_bytes() -> None:
    assert Layout([{"type": "text", "name": "t", "length": 4}]).write({"t": "ab"}) == b"ab\x00\x00"
    assert Layout([{"type": "bytes", "name": "t", "length": 3}]).write({"t": 0x1234}) == b"\x00\x12\x34"


# --- errors


@pytest.mark.parametrize(
    ("options", "value", "message"),
    [
        ({"type": "u8"}, 256, "x: 256 does not fit: 0 to 255 fit into 1 byte"),
        ({"type": "u8"}, -1, "x: -1 does not fit: 0 to 255 fit into 1 byte"),
        ({"type": "u8"}, 1.5, "x: 1.5 does not fit: it is not a whole number"),
        ({"type": "u8"}, "a", "x: 'a' does not fit: it is not a whole number"),
        ({"type": "u8"}, None, "x: None does not fit: it is not a whole number"),
        ({"type": "u8"}, float("inf"), "x: inf does not fit: it is not a whole number"),
        ({"type": "i24"}, 2**23, "does not fit: -8388608 to 8388607 fit into 3 bytes"),
        ({"type": "f32"}, 1e39, "does not fit: it is too large for f32"),
        ({"type": "f32"}, "1", "does not fit: it is not a number"),
        ({"type": "f64"}, 10**400, "does not fit: it is too large for f64"),
        ({"type": "text", "length": 2}, "abc", "longer than 2 bytes"),
        ({"type": "text"}, "\u20ac", "does not fit: the character '\\u20ac' is not one byte"),
        ({"type": "text"}, 10**12, "does not fit: it is neither a text nor bytes"),
        ({"type": "bytes", "length": 2}, 65536, "does not fit: 0 to 65535 fit into 2 bytes"),
        ({"type": "bytes", "length": 2}, -1, "does not fit: 0 to 65535 fit into 2 bytes"),
        ({"type": "bytes", "length": 2}, 1.5, "does not fit: it is neither a text nor bytes"),
        ({"type": "bytes"}, [1, 2], "does not fit: it is neither a text nor bytes"),
    ],
)
def test_a_value_that_does_not_fit_is_named(options: dict[str, Any], value: Any, message: str) -> None:
    with pytest.raises(LayoutError) as caught:
        Layout([{"name": "x", **options}]).write({"x": value})
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [8, -1, "x", None, float("inf")])
def test_bits_that_do_not_fit_are_named(value: Any) -> None:
    with pytest.raises(LayoutError, match=r"mode: .* does not fit"):
        Layout(FLAGS).write({"on": True, "mode": value, "high": 0})


def test_a_missing_value_is_named() -> None:
    with pytest.raises(LayoutError, match="missing: 'mode', 'high'"):
        Layout(FLAGS).write({"on": True})
    with pytest.raises(LayoutError, match="missing: 'x'"):
        Layout([{"type": "u8", "name": "x"}]).write({})


@pytest.mark.parametrize(
    "options",
    [
        {"type": "u8", "is": 256},
        {"type": "u8", "is": 1.5},
        {"type": "i8", "bits": {"a": 0}},
        {"type": "f32", "bits": {"a": 0}},
        {"type": "text", "bits": {"a": 0}},
        {"type": "u8", "bits": {"a": 8}},
        {"type": "u16", "bits": {"a": [3, 16]}},
        {"type": "u24", "word_swap": True},
        {"type": "u8", "word_swap": True},
        {"type": "text", "word_swap": True},
    ],
)
def test_contradictory_options_of_a_field_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(LayoutError):
        Layout([options])


def test_offsets_outside_of_the_frame_are_rejected() -> None:
    with pytest.raises(LayoutError, match="needs the length"):
        Layout([{"type": "u8", "name": "x", "at": -1}]).check_writable()
    Layout([{"type": "u8", "name": "x", "at": -1}], length=2).check_writable()
    Layout([{"type": "u8", "name": "x", "at": 0}]).check_writable()
    for at in (2, -3):
        with pytest.raises(LayoutError, match="it is beyond the frame, which has 2 bytes"):
            Layout([{"type": "u8", "name": "x", "at": at}], length=2)
    with pytest.raises(LayoutError, match="does not fit into the frame"):
        Layout([{"type": "text", "name": "x"}], length=2).write({"x": "abc"})


@given(fields_and_values(), st.binary(max_size=30))
def test_any_bytes_are_read_or_do_not_match(drawn: tuple[list[dict[str, Any]], dict[str, Any]], frame: bytes) -> None:
    values = Layout(drawn[0]).read(frame)
    assert values is None or values.keys() == drawn[1].keys()
