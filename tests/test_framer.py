"""Framing: the same bytes give the same frames however they are cut; what is no frame is dropped and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.checksum import Checksum, find_sum
from interfaces.escaping import cobs_decode, cobs_encode, hdlc_decode, hdlc_encode, slip_decode, slip_encode
from interfaces.framer import DelimitedFramer, Framer, GapFramer, LengthFramer, MarkerFramer
from tests.support.device import chunks

MakeFramer: TypeAlias = Callable[[], Framer]

DEFAULT = (b"\r\n", b"\n", b"\r")


def xor() -> Checksum:
    found = find_sum("xor")
    assert found is not None
    return Checksum(found)


# --- what hypothesis draws: a framer, and bytes in which its markers are frequent


@st.composite
def delimited(draw: st.DrawFn) -> tuple[MakeFramer, bytes]:
    delimiters = draw(st.sampled_from([DEFAULT, (b"\n",), (b"\r\n",), (b"END",), (b"ab", b"a"), (b"\r\n", b"\r"),
                                       (b"aab", b"ab")]))  # fmt: skip
    longest = draw(st.integers(1, 6))
    return lambda: DelimitedFramer(delimiters, longest), b"xy" + b"".join(delimiters)


@st.composite
def escaped(draw: st.DrawFn) -> tuple[MakeFramer, bytes]:
    end, decode, encode, signs = draw(
        st.sampled_from([
            (b"\xc0", slip_decode, slip_encode, b"\xc0\xdb\xdc\xddx"),
            (b"\x7e", hdlc_decode, hdlc_encode, b"\x7e\x7d\x5e\x5dx"),
            (b"\x00", cobs_decode, cobs_encode, b"\x00\x01\x02\x03x"),
        ])
    )  # fmt: skip
    longest = draw(st.integers(1, 6))
    return lambda: DelimitedFramer([end], longest, decode=decode, encode=encode), signs


@st.composite
def marked(draw: st.DrawFn, checked: bool = True) -> tuple[MakeFramer, bytes]:
    start, stop = draw(
        st.sampled_from([(b"\x02", b"\x03"), (b"<<", b">>"), (b"$", b"$"), (b"ab", b"ba"), (b"aa", b"a")])
    )
    longest, after, keep = draw(st.integers(0, 6)), draw(st.integers(0, 2)), draw(st.booleans())
    is_good = draw(st.sampled_from([None, xor().is_good])) if checked else None
    return (
        lambda: MarkerFramer(start, stop, longest, after=after, keep=keep, is_good=is_good),
        b"xy\x00\x01" + start + stop,
    )


@st.composite
def measured(draw: st.DrawFn) -> tuple[MakeFramer, bytes]:
    start = draw(st.sampled_from([b"", b"\xaa", b"\xaa\x55"]))
    is_good = draw(st.sampled_from([lambda _: True, xor().is_good]))
    if draw(st.booleans()):
        length = draw(st.integers(max(1, len(start)), 6))
        return lambda: LengthFramer(length, 8, start=start, is_good=is_good), b"\xaa\x55\x00\x01"
    offset, size, correction = draw(st.integers(0, 2)), draw(st.integers(1, 2)), draw(st.integers(-1, 3))
    return (
        lambda: LengthFramer(0, 8, start=start, offset=offset, size=size, correction=correction, is_good=is_good),
        b"\xaa\x55\x00\x01\x02\x03\x04",
    )


KINDS = {
    "delimited": delimited(),
    "escaped": escaped(),
    "marked": marked(),
    "marked, unchecked": marked(checked=False),
    "measured": measured(),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def draw_stream(data: st.DataObject, kind: str) -> tuple[MakeFramer, list[bytes]]:
    """Draw a framer and a stream, in pieces."""
    make, signs = data.draw(KINDS[kind])
    pieces = st.lists(st.sampled_from(signs), min_size=1, max_size=6).map(bytes)
    return make, data.draw(st.lists(pieces, min_size=1, max_size=12))


def outcome(framer: Framer, pieces: Sequence[bytes]) -> tuple[list[bytes], int, int]:
    """Return the frames of a stream, and how many bytes and frames were dropped."""
    frames = [frame for piece in pieces for frame in framer.feed(piece)]
    framer.reset()
    return frames, framer.discarded_bytes, framer.discarded_frames


# --- laws


@each_kind
@settings(max_examples=250)
@given(data=st.data())
def test_any_chunking_gives_the_same_frames(kind: str, data: st.DataObject) -> None:
    make, pieces = draw_stream(data, kind)
    whole = b"".join(pieces)
    expected = outcome(make(), [whole])
    assert outcome(make(), pieces) == expected
    assert outcome(make(), [whole[at : at + 1] for at in range(len(whole))]) == expected


@each_kind
@given(data=st.data())
def test_frames_and_buffer_are_bounded(kind: str, data: st.DataObject) -> None:
    make, pieces = draw_stream(data, kind)
    framer = make()
    bound = framer.max_length + 10  # markers that are kept, bytes behind them, half a delimiter
    for piece in pieces:
        assert all(len(frame) <= bound for frame in framer.feed(piece))
    framer.feed(b"x" * 10_000)
    dropped = framer.discarded_bytes
    framer.reset()
    assert framer.discarded_bytes - dropped <= bound


@pytest.mark.parametrize("kind", ["delimited", "escaped", "marked, unchecked"])
@settings(max_examples=200)
@given(data=st.data())
def test_what_is_wrapped_is_read_back_as_one_frame(kind: str, data: st.DataObject) -> None:
    make, signs = data.draw(KINDS[kind])
    content = data.draw(st.lists(st.sampled_from(signs), min_size=1, max_size=6).map(bytes))
    try:
        wrapped = make().wrap(content)
    except ValueError:  # it cannot be written without being read as something else
        return
    frames, dropped, _ = outcome(make(), [wrapped])
    assert frames in ([content], []), "it may be too long to be read, but never another frame"
    assert frames or dropped


# --- lines, by example


def test_lines_end_with_any_of_the_usual_terminators() -> None:
    framer = DelimitedFramer(DEFAULT)
    assert framer.feed(b"one\r\ntwo\nthree\rfour") == [b"one", b"two", b"three"]
    assert framer.feed(b"\r") == [b"four"], "it does not wait for a line feed that may never come"
    assert framer.feed(b"\nfive\n\n\r\n") == [b"five"]
    assert not framer.is_unfinished
    assert (framer.discarded_bytes, framer.discarded_frames) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_lines_in_random_pieces(seed: int) -> None:
    lines = [b"line %d with some text in it" % number for number in range(200)]
    framer = DelimitedFramer(DEFAULT)
    pieces = chunks(b"\r\n".join(lines) + b"\r\n", seed, longest=1 + 10 * seed)
    assert [frame for piece in pieces for frame in framer.feed(piece)] == lines


def test_a_line_at_the_limit_passes_and_one_over_it_is_dropped_and_counted() -> None:
    framer = DelimitedFramer(DEFAULT, max_length=5)
    assert framer.feed(b"12345\n123456\nabc\n") == [b"12345", b"abc"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (6, 1)


def test_an_endless_line_takes_no_memory_and_the_next_one_passes() -> None:
    framer = DelimitedFramer(DEFAULT, max_length=100)
    for _ in range(1000):
        assert framer.feed(b"x" * 1000) == []
    assert framer.feed(b"end\nnext\n") == [b"next"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (1_000_003, 1)


def test_the_rest_of_an_old_connection_does_not_become_part_of_a_new_one() -> None:
    framer = DelimitedFramer(DEFAULT)
    framer.feed(b"half a li")
    framer.reset()
    assert framer.feed(b"whole\n") == [b"whole"]
    assert framer.discarded_bytes == 9


def test_a_line_is_written_with_its_terminator() -> None:
    assert DelimitedFramer(DEFAULT).wrap(b"on") == b"on\r\n"
    assert DelimitedFramer(DEFAULT, write_delimiter=b"\n").wrap(b"on") == b"on\n"
    assert DelimitedFramer(DEFAULT, write_delimiter=b"").wrap(b"on") == b"on"


@pytest.mark.parametrize("smuggled", [b"on\nopen", b"on\r", b"\r\non"])
def test_a_line_that_holds_a_terminator_is_not_written(smuggled: bytes) -> None:
    for written in (None, b"", b";"):
        with pytest.raises(ValueError, match="it holds what ends a frame"):
            DelimitedFramer(DEFAULT, write_delimiter=written).wrap(smuggled)


# --- the others, by example


def test_markers_inside_noise() -> None:
    framer = MarkerFramer(b"\x02", b"\x03")
    assert framer.feed(b"noise\x02one\x03more\x02broken\x02two\x03") == [b"one", b"two"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (16, 1)


def test_a_lost_byte_costs_one_frame_of_fixed_length_where_a_checksum_finds_the_next() -> None:
    frames = [xor().append(b"\xaa" + bytes([number, 7])) for number in range(10)]
    stream = b"".join(frames[:3]) + frames[3][1:] + b"".join(frames[4:])
    framer = LengthFramer(4, start=b"\xaa", is_good=xor().is_good)
    assert framer.feed(stream) == frames[:3] + frames[4:]
    assert framer.discarded_frames == 1


def test_silence_ends_a_frame() -> None:
    framer = GapFramer(0.5)
    assert framer.due() is None
    assert framer.feed(b"one ", now=10.0) == []
    assert framer.feed(b"frame", now=10.4) == []
    assert framer.due() == pytest.approx(10.9)
    assert framer.feed(b"", now=10.8) == []
    assert framer.feed(b"next", now=11.0) == [b"one frame"]
    assert framer.feed(b"", now=11.6) == [b"next"]
    assert framer.due() is None


def test_a_frame_that_no_silence_ends_is_dropped_and_counted() -> None:
    framer = GapFramer(0.5, max_length=10)
    for step in range(100):
        assert framer.feed(b"12345", now=10 + step / 10) == []
    assert framer.feed(b"next", now=30.0) == []
    assert framer.feed(b"", now=31.0) == [b"next"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (500, 1)
