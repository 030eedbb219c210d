"""What frames of one kind have in common."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.shape import LONGEST_SHAPE, pieces, shape_of, text_of

WORD = st.text("GHJKLMNPQRSTUVWXYZ", min_size=1, max_size=8)
NUMBER = st.one_of(st.integers(-9999, 99999), st.decimals(-99, 99, places=2)).map(str)


@pytest.mark.parametrize(
    ("frames", "shape"),
    [
        ([b"T 21.5", b"T -3", b"T +100.25", b"T 1.5e-3"], "T #"),
        ([b"K4711", b"K12"], "K#"),
        ([b"STATE=ON", b"STATE=OFF"], "STATE=…"),
        ([b"T=21.5;H=40", b"T=-1;H=0"], "T=#;H=#"),
        ([b'NODE "Living room" 5', b'NODE "" 17'], 'NODE "…" #'),
        ([b"mac a4:c1:38:ff:ee:01 up", b"mac 00:11:22:33:44:55 up"], "mac # up"),
        ([b"id 0x1F", b"id 00ff", b"id 12ab34cd"], "id #"),
        ([b"$GPGGA,094736,5251.0,N,,M,*4F", b"$GPGGA,1,2,S,9,,*FE"], "$GPGGA,… (7 fields)"),
        ([b"1;2;3;4", b"5;;;x"], "#;… (4 fields)"),
        ([b"$WIXDR,C*5A", b"$WIXDR,C*FA"], "$WIXDR,C*#"),
        ([b'{"b": 1, "a": [2]}', b'{"a": {}, "b": "x"}'], "{a, b}"),
        ([b"2026-11-30 11:50:33 UP", b"1999-01-01 00:00:00 UP"], "#-#-# #:#:# UP"),
        ([b"\xaa\x55\x01\x02", b"\xaa\x55\xff\xff"], "4 bytes aa 55 …"),
        ([b"caf\xc3\xa9 7", b"caf\xc3\xa9 8"], "café #"),
        ([b"21.5 \xb0C ready", b"3 \xb0C ready"], "# °C ready"),
        ([b"", b""], ""),
    ],
)
def test_frames_that_differ_in_their_values_have_the_same_shape(frames: list[bytes], shape: str) -> None:
    assert {shape_of(frame) for frame in frames} == {shape}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"DOOR OPEN", b"DOOR SHUT"),
        (b"T 21.5", b"H 21.5"),
        (b"T 21.5", b"T 21.5 C"),
        (b"$GPGGA,1,2,3", b"$GPGSV,1,2,3"),
        (b"1,2,3,4", b"1,2,3,4,5"),
        (b'{"a": 1}', b'{"b": 1}'),
        (b"\xaa\x55\x01", b"\xaa\x56\x01"),
        (b"\xaa\x55\x01", b"\xaa\x55\x01\x02"),
        (b"0\x01ab", b"5\x01ab"),  # digits of bytes count
    ],
)
def test_frames_of_another_kind_have_another_shape(one: bytes, other: bytes) -> None:
    assert shape_of(one) != shape_of(other)


@given(st.lists(WORD, min_size=1, max_size=5), st.lists(st.tuples(NUMBER, NUMBER), min_size=5, max_size=5))
def test_numbers_between_words_do_not_count(words: list[str], numbers: list[tuple[str, str]]) -> None:
    one, other = (
        " ".join(f"{word} {pair[index]}" for word, pair in zip(words, numbers, strict=False)) for index in (0, 1)
    )
    assert shape_of(one.encode()) == shape_of(other.encode())


@given(st.lists(WORD, min_size=1, max_size=5), st.lists(WORD, min_size=1, max_size=5))
def test_words_count(one: list[str], other: list[str]) -> None:
    assert (shape_of(" ".join(one).encode()) == shape_of(" ".join(other).encode())) == (one == other)


@given(st.binary(max_size=2000))
def test_anything_has_a_shape_which_is_bounded_and_depends_on_nothing_else(frame: bytes) -> None:
    shape = shape_of(frame)
    assert len(shape) <= LONGEST_SHAPE
    assert shape == shape_of(bytes(bytearray(frame)))


@given(st.text(max_size=100))
def test_the_pieces_of_a_text_are_all_of_it(text: str) -> None:
    assert "".join(piece.text for piece in pieces(text)) == text


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), min_size=1, max_size=4))
def test_json_is_known_by_the_names_of_its_members(value: dict[str, object]) -> None:
    frames = [json.dumps(value).encode(), json.dumps(dict.fromkeys(reversed(value), 0)).encode()]
    if all(len(frame) < 500 for frame in frames):
        assert len({shape_of(frame) for frame in frames}) == 1


def test_json_that_is_too_deep_is_a_text() -> None:
    assert shape_of(b'{"a":' * 110).startswith('{"')


@pytest.mark.parametrize("frame", [b"\x00abc", b"a\x1b[0m", b"\xff\xfe\xfd", "\u202e right to left".encode()])
def test_bytes_that_no_one_can_read_are_no_text(frame: bytes) -> None:
    assert text_of(frame) is None
