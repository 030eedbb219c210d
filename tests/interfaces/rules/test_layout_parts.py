"""Parts of layouts that depend on the frame: numbers of any width, find, switch, and fields that occur again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.rules.layout import Layout, LayoutError
from interfaces.rules.repetition import MAX_REPETITIONS, FrameValues, Repetition

U8: dict[str, Any] = {"type": "u8", "name": "n"}


def repeat(*fields: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"type": "repeat", "fields": list(fields), **options}


def read(fields: list[dict[str, Any]], frame: str) -> dict[str, Any] | None:
    return Layout(fields).read(bytes.fromhex(frame))


# --- numbers of any width, and lengths that the frame states


@given(
    st.sampled_from(["uint", "int"]), st.integers(1, 16), st.sampled_from(["big", "little"]), st.booleans(), st.data()
)
def test_a_number_of_any_width_is_read_back(
    kind: str, length: int, order: str, swapped: bool, data: st.DataObject
) -> None:
    low, high = (0, 2 ** (8 * length)) if kind == "uint" else (-(2 ** (8 * length - 1)), 2 ** (8 * length - 1))
    number = data.draw(st.integers(low, high - 1))
    options = {"type": kind, "name": "x", "length": length, "word_swap": swapped and length % 2 == 0}
    layout = Layout([options], order)
    assert len(layout.write({"x": number})) == length
    assert layout.read(layout.write({"x": number})) == {"x": number}


def test_a_number_of_any_width_has_bits_and_may_be_a_constant() -> None:
    fields = [{"type": "uint", "length": 5, "name": "x", "bits": {"top": 39}}, {"type": "int", "length": 3, "is": -2}]
    assert read(fields, "80 00 00 00 01 ff ff fe") == {"x": 0x8000000001, "top": True}
    assert read(fields, "80 00 00 00 01 ff ff ff") is None


@pytest.mark.parametrize(
    ("frame", "values"),
    [
        ("65 00 12 d6 87", {"kind": 6, "width": 5, "x": 1234567}),
        ("63 d6 87", {"kind": 6, "width": 3, "x": 54919}),
        ("53 d6 87", {"kind": 5, "width": 3, "x": -10617}),
        ("61", {"kind": 6, "width": 1, "x": None}),
        ("60", None),  # no number has -1 bytes
        ("63 d6", None),
        ("73 d6 87", None),  # no case
    ],
)
def test_a_byte_states_the_type_and_the_width_of_the_number_behind_it(frame: str, values: Any) -> None:
    number = {"length": "width", "correction": -1, "name": "x"}
    fields: list[dict[str, Any]] = [
        {"type": "u8", "bits": {"width": [0, 3], "kind": [4, 6]}},
        {"type": "switch", "on": "kind", "cases": {"5": {"type": "int", **number}, "6": {"type": "uint", **number}}},
    ]
    assert read(fields, frame) == values


def test_texts_and_padding_have_a_length_that_the_frame_states() -> None:
    fields = [
        U8, {"type": "text", "name": "t", "length": "n"}, {"type": "skip", "length": "n", "correction": 1},
        {"type": "bytes", "name": "rest"},
    ]  # fmt: skip
    assert read(fields, "02 41 42 00 00 00 07") == {"n": 2, "t": b"AB", "rest": b"\x07"}
    assert read(fields, "00 00") == {"n": 0, "t": b"", "rest": b""}
    assert read(fields, "03 41 42") is None


def test_a_number_of_more_than_16_bytes_does_not_match() -> None:
    fields = [U8, {"type": "uint", "length": "n", "name": "x"}]
    assert read(fields, "10" + "00" * 16) == {"n": 16, "x": 0}
    assert read(fields, "11" + "00" * 17) is None


# --- find


def test_find_goes_on_behind_the_next_place() -> None:
    fields: list[dict[str, Any]] = [
        {"type": "find", "bytes": "0C 06"}, {"type": "u8", "name": "a"},
        {"type": "find", "bytes": "0c06", "at": 0}, {"type": "u8", "name": "b"},
    ]  # fmt: skip
    assert read(fields, "00 0C 06 07 0C 06 08") == {"a": 7, "b": 7}
    assert read(fields[:2] * 2, "00 0C 06 07 0C 06 08") == {"a": 8}
    assert read(fields, "0C 07 06") is None
    assert read(fields, "0C 06") is None


# --- switch


def test_cases_are_chosen_by_numbers_flags_and_texts() -> None:
    cases = {"1": {"type": "u8", "name": "a"}, "0x10": [{"type": "u8", "name": "b"}, {"type": "u8", "name": "c"}],
             "*": []}  # fmt: skip
    fields = [U8, {"type": "switch", "on": "n", "cases": cases}]
    assert read(fields, "01 07") == {"n": 1, "a": 7}
    assert read(fields, "10 07 08") == {"n": 16, "b": 7, "c": 8}
    assert read(fields, "02 07") == {"n": 2}
    assert read(fields, "10 07") is None
    by_flag = [{"type": "u8", "bits": {"is_long": 7}},
               {"type": "switch", "on": "is_long", "cases": {"true": {"type": "u16", "name": "x"}}}]  # fmt: skip
    assert read(by_flag, "80 01 02") == {"is_long": True, "x": 0x0102}
    assert read(by_flag, "00 01 02") is None
    name = {"type": "text", "name": "id", "length": 2}
    by_text: list[dict[str, Any]] = [name, {"type": "switch", "on": "id", "cases": {"T1": U8}}]
    assert read(by_text, "54 31 07") == {"id": b"T1", "n": 7}
    assert read(by_text, "54 32 07") is None


# --- repeat


def test_a_repetition_makes_lists() -> None:
    fields = [U8, repeat({"type": "u16", "name": "x"}, {"type": "u8", "bits": {"flag": 0}}, count="n")]
    assert read(fields, "02 0001 01 0002 00") == {"n": 2, "x": [1, 2], "flag": [True, False]}
    assert read(fields, "00") == {"n": 0, "x": [], "flag": []}
    assert read(fields, "02 0001 01 0002") is None
    assert read([repeat(U8)], "01 02 03") == {"n": [1, 2, 3]}
    assert read([repeat(U8, {"type": "u8"})], "01 02 03") is None
    assert read([repeat(U8, count=2), {"type": "u8", "name": "last"}], "01 02 03") == {"n": [1, 2], "last": 3}
    assert Layout([repeat(U8)]).lists == {"n"}


def test_a_repetition_may_be_as_long_as_the_frame_states() -> None:
    fields = [U8, repeat({"type": "u16", "name": "x"}, length="n", correction=-1), {"type": "u8", "name": "end"}]
    assert read(fields, "05 0001 0002 77") == {"n": 5, "x": [1, 2], "end": 0x77}
    assert read(fields, "04 0001 0002 77") is None
    assert read(fields, "00 77") is None
    assert read(fields, "09 0001 0002 77") is None
    open_ended = [repeat({"type": "text", "name": "t"}, length=2), {"type": "u8", "name": "end"}]
    assert read(open_ended, "41 42 77") == {"t": [b"AB"], "end": 0x77}


def test_repetitions_read_apart_keep_their_values_together() -> None:
    fields = [U8, repeat({"type": "u8", "name": "id"}, {"type": "u8", "name": "x"}, each=True, index="number")]
    values = read(fields, "09 01 0a 02 0b")
    assert isinstance(values, FrameValues)
    assert values == {"n": 9}
    assert values.repetitions == [
        Repetition(1, {"number": 1, "id": 1, "x": 10}), Repetition(1, {"number": 2, "id": 2, "x": 11}),
    ]  # fmt: skip
    assert Layout(fields).groups == [frozenset(("id", "x", "number"))]
    assert not Layout(fields).lists


def test_repetitions_within_repetitions_are_lists_of_lists() -> None:
    fields = [repeat(U8, repeat({"type": "u8", "name": "x"}, count="n"))]
    assert read(fields, "02 0a 0b 00 01 0c") == {"n": [2, 0, 1], "x": [[10, 11], [], [12]]}


def test_offsets_in_a_repetition_count_from_its_beginning() -> None:
    fields = [U8, repeat({"type": "u8", "name": "b", "at": 1}, {"type": "u8", "name": "a", "at": 0}, {"type": "skip"})]
    assert read(fields, "09 01 02 03 04") == {"n": 9, "b": [2, 4], "a": [1, 3]}


def test_a_value_that_a_switch_has_chosen_is_no_list() -> None:
    cases = {"1": {"type": "u16", "name": "volts"}, "2": {"type": "u8", "name": "percent"}}
    fields = [repeat({"type": "u8", "name": "id"}, {"type": "switch", "on": "id", "cases": cases})]
    values = read(fields, "02 32 01 04d2")
    assert values == {"id": [2, 1], "percent": 50, "volts": 1234}
    assert isinstance(values, FrameValues)
    assert not values.lost
    twice = read(fields, "02 32 02 33")
    assert isinstance(twice, FrameValues)
    assert (twice["percent"], [*twice.lost]) == (51, ["percent"])
    same = read(fields, "02 32 02 32")
    assert isinstance(same, FrameValues)
    assert not same.lost, "nothing is lost where both are the same"


def test_a_repetition_that_begins_with_find_ends_with_the_last_place() -> None:
    fields = [repeat({"type": "find", "bytes": "77 07"}, {"type": "u8", "name": "x"})]
    assert read(fields, "01 77 07 0a 02 77 07 0b 03 04") == {"x": [10, 11]}
    assert read(fields, "01 02") == {"x": []}
    assert read(fields, "01 77 07") is None
    limited = [repeat({"type": "find", "bytes": "77"}, U8, length=4), {"type": "u8", "name": "end"}]
    assert read(limited, "77 0a 00 00 77") == {"n": [10], "end": 0x77}


def test_the_number_of_repetitions_in_a_frame_is_limited() -> None:
    assert Layout([repeat(U8)]).read(bytes(MAX_REPETITIONS)) == {"n": [0] * MAX_REPETITIONS}
    assert Layout([repeat(U8)]).read(bytes(MAX_REPETITIONS + 1)) is None
    nested = Layout([repeat(repeat(U8, count=64))])
    assert nested.read(bytes(62 * 64)) is not None
    assert nested.read(bytes(64 * 64)) is None, "those within others count as well"


def test_a_repetition_without_bytes_does_not_match() -> None:
    nothing = {"type": "switch", "on": "n", "cases": {"*": []}}
    assert read([U8, repeat(nothing, count=3)], "01") is None
    assert read([U8, repeat(nothing)], "01 02") is None
    assert read([U8, repeat(nothing)], "01") == {"n": 1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([{"type": "uint", "name": "x"}], "'length' is missing"),
        ([{"type": "uint", "length": 17}], "at most 16 bytes"),
        ([{"type": "u16", "length": "n"}], "always has 2 bytes"),
        ([{"type": "text", "length": "n"}], "'n' is not an earlier value: it is the first"),
        ([U8, {"type": "text", "length": "m"}], "'m' is not an earlier value: the values before it are n"),
        ([U8, {"type": "uint", "length": "n", "is": 1}], "need a length that is a number"),
        ([{"type": "text", "length": 2, "correction": 1}], "a correction needs"),
        ([repeat(U8, length=2, correction=1)], "a correction needs"),
        ([{"type": "u8", "count": 2}], "it has no option 'count'"),
        ([{"type": "find", "bytes": "7"}], "not a list of bytes"),
        ([{"type": "find", "bytes": " "}], "no bytes to find"),
        ([{"type": "find", "bytes": "77", "name": "x"}], "it has no option 'name'"),
        ([{"type": "find"}], "'bytes' is missing"),
        ([{"type": "switch", "on": "n", "cases": {"1": U8}}], "'n' is not an earlier value"),
        ([U8, {"type": "switch", "on": "n", "cases": {"1": [], "0x01": []}}], "two cases for 0x01"),
        ([repeat(U8, count="n")], "'n' is not an earlier value"),
        ([repeat(U8), repeat(U8, count="n")], "'n' is not an earlier value"),
        ([repeat(U8, count=2, length=2)], "not both"),
        ([repeat(U8), U8], "it goes on to the end of the frame, and nothing is left for the u8 behind it"),
        ([repeat(U8, index="i")], "an index needs each"),
        ([repeat(repeat(U8, each=True))], "only outside of other repetitions"),
        ([repeat(repeat(repeat(repeat(repeat(U8)))))], "at most 4 repetitions"),
        ([repeat({"type": "u8", "at": -1})], "no meaning in a repetition"),
    ],
)
def test_contradictory_layouts_are_rejected(fields: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        Layout(fields)


# --- laws


_leaves = st.sampled_from(
    [
        {"type": "u8", "name": "a"}, {"type": "u8", "name": "b", "bits": {"c": 0, "d": [1, 7]}}, {"type": "skip"},
        {"type": "text", "name": "t", "length": "size"}, {"type": "uint", "name": "u", "length": "size"},
        {"type": "find", "bytes": "01"}, {"type": "bytes", "name": "rest"}, {"type": "f32", "name": "f"},
    ]
)  # fmt: skip


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    listed = st.lists(inner, min_size=1, max_size=3)
    limits = st.sampled_from([{}, {"count": "size"}, {"length": "size"}, {"count": 3}, {"length": 4}])
    return st.builds(lambda fields, limit: repeat(*fields, **limit), listed, limits) | st.builds(
        lambda one, others: {"type": "switch", "on": "size", "cases": {"1": one, "*": others}}, inner, listed
    )


@settings(max_examples=300)
@given(
    st.lists(st.recursive(_leaves, _containers, max_leaves=8), min_size=1, max_size=4),
    st.booleans(),
    st.lists(st.integers(0, 4) | st.integers(0, 255), max_size=40).map(bytes),
)
def test_any_bytes_are_read_or_do_not_match(parts: list[dict[str, Any]], each: bool, frame: bytes) -> None:
    fields = [{"type": "u8", "name": "size"}, *({**p, "each": each} if p["type"] == "repeat" else p for p in parts)]
    try:
        layout = Layout(fields)
    except LayoutError:
        return  # too deep
    values = layout.read(frame)
    if values is None:
        return
    assert values.keys() <= layout.names
    assert all(name in layout.lists for name, value in values.items() if type(value) is list)
    for group, item in values.repetitions if isinstance(values, FrameValues) else ():
        assert item.keys() <= layout.groups[group - 1]


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(-32768, 32767)), max_size=20), st.booleans())
def test_what_was_written_piece_by_piece_is_read_as_repetitions(rows: list[tuple[int, int]], each: bool) -> None:
    row = [{"type": "u8", "name": "id"}, {"type": "i16", "name": "x"}]
    frame = bytes([len(rows)]) + b"".join(Layout(row).write({"id": number, "x": x}) for number, x in rows)
    values = Layout([U8, repeat(*row, count="n", each=each)]).read(frame)
    assert isinstance(values, FrameValues)
    if each:
        assert [tuple(item.values()) for _, item in values.repetitions] == rows
    else:
        assert list(zip(values["id"], values["x"], strict=True)) == rows


def test_fields_of_the_same_name_are_reported_where_they_differ() -> None:
    fields: list[dict[str, Any]] = [
        {"type": "u8", "name": "a"},
        {"type": "u8", "name": "b"},
        {"type": "u8", "bits": {"a": [0, 7], "c": 0}},
    ]
    layout = Layout(fields)
    assert lost(layout.read(b"\1\2\3")) == ({"a": 3, "b": 2, "c": True}, ["a"])
    assert lost(layout.read(b"\3\2\3")) == ({"a": 3, "b": 2, "c": True}, [])
    records = Layout([{"type": "repeat", "fields": [U8, U8], "each": True}])
    assert lost(records.read(b"\1\1\2\3")) == ({}, ["n"])


def lost(values: Any) -> tuple[dict[str, Any], list[str]]:
    return values, list(values.lost)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ([U8, {"type": "u16", "length": "n"}], ("fields", 1)),
        ([U8, repeat(U8, {"type": "f32", "bits": {"x": 1}})], ("fields", 1, "fields", 1)),
        (
            [U8, {"type": "switch", "on": "n", "cases": {"1": {"type": "find", "bytes": "7"}}}],
            ("fields", 1, "cases", "1"),
        ),
        ([U8, {"type": "switch", "on": "n", "cases": {"1": [U8, {"type": "int"}]}}], ("fields", 1, "cases", "1", 1)),
        ([U8, repeat(U8), U8], ("fields", 1)),
    ],
)
def test_a_contradiction_has_its_place(fields: list[dict[str, Any]], path: tuple[Any, ...]) -> None:
    with pytest.raises(LayoutError) as raised:
        Layout(fields)
    assert raised.value.path == path
