"""Framing: any chunking of the same bytes gives the same frames; other bytes are discarded and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.serial_interface.framing.checksum import Checksum, find_algorithm
from interfaces.serial_interface.framing.escaping import (
    cobs_decode,
    cobs_encode,
    hdlc_decode,
    hdlc_encode,
    slip_decode,
    slip_encode,
)
from interfaces.serial_interface.framing.framers import DelimitedFramer, Framer, GapFramer, LengthFramer, MarkerFramer

MakeFramer: TypeAlias = Callable[[], Framer]

DEFAULT = (b"\r\n", b"\n", b"\r")


def xor() -> Checksum:
    algorithm = find_algorithm("xor")
    assert algorithm is not None
    return Checksum(algorithm)


# --- strategies: a framer, and bytes in which its markers are frequent


@st.composite
def delimited(draw: st.DrawFn) -> tuple[MakeFramer, bytes]:
    delimiters = draw(st.sampled_from([DEFAULT, (b"\n",), (b"\r\n",), (b"END",), (b"ab", b"a"), (b"\r\n", b"\r"),
                                       (b"aab", b"ab"), (b"xabc", b"ab"), (b"abac", b"a")]))  # fmt: skip
    longest, start = draw(st.integers(1, 6)), draw(st.sampled_from([b"", b"x", b"xy"]))
    return lambda: DelimitedFramer(delimiters, longest, start=start), b"xy" + b"".join(delimiters)


@st.composite
def escaped(draw: st.DrawFn) -> tuple[MakeFramer, bytes]:
    end, decode, encode, alphabet = draw(
        st.sampled_from([
            (b"\xc0", slip_decode, slip_encode, b"\xc0\xdb\xdc\xddx"),
            (b"\x7e", hdlc_decode, hdlc_encode, b"\x7e\x7d\x5e\x5dx"),
            (b"\x00", cobs_decode, cobs_encode, b"\x00\x01\x02\x03x"),
        ])
    )  # fmt: skip
    longest = draw(st.integers(1, 6))
    return lambda: DelimitedFramer([end], longest, decode=decode, encode=encode), alphabet


@st.composite
def marked(draw: st.DrawFn, checked: bool = True) -> tuple[MakeFramer, bytes]:
    start, stop = draw(
        st.sampled_from([(b"\x02", b"\x03"), (b"<<", b">>"), (b"$", b"$"), (b"ab", b"ba"), (b"aa", b"a")])
    )
    longest, after, keep = draw(st.integers(0, 6)), draw(st.integers(0, 2)), draw(st.booleans())
    is_valid = draw(st.sampled_from([None, xor().is_valid])) if checked else None
    return (
        lambda: MarkerFramer(start, stop, longest, after=after, keep=keep, is_valid=is_valid),
        b"xy\x00\x01" + start + stop,
    )


@st.composite
def measured(draw: st.DrawFn) -> tuple[MakeFramer, bytes]:
    start = draw(st.sampled_from([b"", b"\xaa", b"\xaa\x55"]))
    is_valid = draw(st.sampled_from([lambda _: True, xor().is_valid]))
    if draw(st.booleans()):
        length = draw(st.integers(max(1, len(start)), 6))
        return lambda: LengthFramer(length, 8, start=start, is_valid=is_valid), b"\xaa\x55\x00\x01"
    offset, size, correction = draw(st.integers(0, 2)), draw(st.integers(1, 2)), draw(st.integers(-1, 3))
    return (
        lambda: LengthFramer(0, 8, start=start, offset=offset, size=size, correction=correction, is_valid=is_valid),
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
    """Draw a framer, and a stream in chunks."""
    make, alphabet = data.draw(KINDS[kind])
    parts = st.lists(st.sampled_from(alphabet), min_size=1, max_size=6).map(bytes)
    return make, data.draw(st.lists(parts, min_size=1, max_size=12))


def outcome(framer: Framer, parts: Sequence[bytes]) -> tuple[list[bytes], int, int, list[bytes]]:
    """Return the frames of a stream, the counters of discarded bytes and frames, and the rejected frames."""
    frames = [frame for part in parts for frame in framer.feed(part)]
    frames += framer.flush_partial()
    assert not framer.has_partial_frame
    return frames, framer.discarded_bytes, framer.discarded_frames, sorted(framer.rejected)


# --- laws


@each_kind
@settings(max_examples=150)
@given(data=st.data())
def test_any_chunking_gives_the_same_frames(kind: str, data: st.DataObject) -> None:
    make, parts = draw_stream(data, kind)
    whole = b"".join(parts)
    expected = outcome(make(), [whole])
    assert outcome(make(), parts) == expected
    assert outcome(make(), [whole[at : at + 1] for at in range(len(whole))]) == expected


@each_kind
@settings(max_examples=50)
@given(data=st.data())
def test_frames_and_buffer_are_bounded(kind: str, data: st.DataObject) -> None:
    make, parts = draw_stream(data, kind)
    framer = make()
    bound = framer.max_length + 10  # markers that are kept, bytes after them, part of a delimiter
    for part in parts:
        assert all(len(frame) <= bound for frame in framer.feed(part))
    framer.feed(b"x" * 10_000)
    dropped = framer.discarded_bytes
    framer.reset()
    assert framer.discarded_bytes - dropped <= bound


@pytest.mark.parametrize("kind", ["delimited", "escaped", "marked"])
@settings(max_examples=200)
@given(data=st.data())
def test_a_wrapped_frame_is_read_back_as_one_frame(kind: str, data: st.DataObject) -> None:
    make, alphabet = data.draw(KINDS[kind])
    content = data.draw(st.lists(st.sampled_from(alphabet), min_size=1, max_size=6).map(bytes))
    try:
        wrapped = make().wrap(content)
    except ValueError:  # a receiver would read something else
        return
    frames, dropped, _, _ = outcome(make(), [wrapped])
    assert frames in ([content], []), "a frame may be too long to be read, but it is never read as another one"
    assert frames or dropped


def test_a_frame_over_the_limit_is_not_wrapped_if_a_shorter_one_would_be_read() -> None:
    framer = MarkerFramer(b"\x02", b"\x03", 2, is_valid=xor().is_valid)
    with pytest.raises(ValueError, match="bytes that begin or end a frame"):
        framer.wrap(b"\x02\x02xx")


@settings(max_examples=200)
@given(st.lists(st.lists(st.binary(max_size=4), max_size=4), max_size=6), st.integers(1, 8))
def test_bursts_with_silence_between_them_are_frames_in_any_chunking(bursts: list[list[bytes]], longest: int) -> None:
    framer = GapFramer(0.5, longest)
    frames: list[bytes] = []
    for number, parts in enumerate(bursts):
        for index, part in enumerate(parts):
            frames += framer.feed(part, number + index / 10)
    frames += framer.feed(b"", float(len(bursts)))
    whole = [b"".join(parts) for parts in bursts]
    assert frames == [burst for burst in whole if 0 < len(burst) <= longest]
    too_long = [len(burst) for burst in whole if len(burst) > longest]
    assert (framer.discarded_bytes, framer.discarded_frames) == (sum(too_long), len(too_long))


CHECKED = xor()
INTACT: dict[str, tuple[MakeFramer, Callable[[bytes], bytes], bytes]] = {
    "line": (lambda: DelimitedFramer(DEFAULT), lambda text: b"\n" + text + b"\r\n", b"\x00\xff<x"),
    "line, started": (lambda: DelimitedFramer(DEFAULT, start=b"$"), lambda text: b"$" + text + b"\n", b"\x00\xff<x"),
    "slip": (
        lambda: DelimitedFramer([b"\xc0"], decode=slip_decode),
        lambda text: b"\xc0" + slip_encode(text) + b"\xc0",
        b"\x00\xdb<x",
    ),
    "markers": (lambda: MarkerFramer(b"<", b">"), lambda text: b"<" + text + b">", b"\x00<x"),
    "markers, checked": (
        lambda: MarkerFramer(b"<", b">", is_valid=CHECKED.is_valid),
        lambda text: b"<" + CHECKED.append(text) + b">",
        b"\x00<x>",
    ),
    "length, checked": (
        lambda: LengthFramer(start=b"<", offset=1, size=1, correction=3, is_valid=CHECKED.is_valid, max_length=64),
        lambda text: CHECKED.append(b"<" + bytes([len(text)]) + text),
        b"\x00x\xff",
    ),
}


@pytest.mark.parametrize("name", INTACT)
@given(st.data())
def test_intact_frames_between_garbage_are_all_delivered(name: str, data: st.DataObject) -> None:
    make, write, alphabet = INTACT[name]
    framer, sent, frames = make(), [], []
    for _ in range(data.draw(st.integers(1, 4))):
        garbage = data.draw(st.lists(st.sampled_from(alphabet), max_size=6).map(bytes))
        sent.append(data.draw(st.text("ABC", min_size=1, max_size=6)).encode())
        frames += framer.feed(garbage + write(sent[-1]))
    delivered = [text for text in sent if any(text in frame for frame in frames)]
    assert delivered == sent


ENDLESS: dict[str, tuple[MakeFramer, bytes]] = {
    "line": (lambda: DelimitedFramer(DEFAULT), b""),
    "long delimiter": (lambda: DelimitedFramer([b"x" * 7 + b"!"]), b""),
    "cobs": (lambda: DelimitedFramer([b"\x00"], decode=cobs_decode), b""),
    "markers": (lambda: MarkerFramer(b"<", b">"), b"<"),
    "markers, checked": (lambda: MarkerFramer(b"<", b">", is_valid=CHECKED.is_valid), b"<x><"),
    "fixed": (lambda: LengthFramer(64, start=b"<"), b""),
    "length": (lambda: LengthFramer(size=2, start=b"<"), b"<"),
    "gap": (lambda: GapFramer(0.5), b""),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_ten_megabytes_without_an_end_need_no_memory(name: str) -> None:
    make, begin = ENDLESS[name]
    framer = make()
    framer.feed(begin, 1.0)
    for _ in range(2500):
        assert framer.feed(b"x" * 4000, 1.0) == []
    previous = framer.discarded_bytes
    framer.reset()
    assert framer.discarded_bytes - previous <= framer.max_length + 10, "this much was in the buffer"
    assert framer.discarded_bytes == len(begin) + 10_000_000
    assert not framer.has_partial_frame


@given(received=st.floats(0, 1e6), gap=st.floats(0.001, 60))
def test_silence_ends_a_frame_exactly_when_it_is_due(received: float, gap: float) -> None:
    """Or else a loop that sleeps until then would find nothing to do, again and again."""
    framer = GapFramer(gap)
    framer.feed(b"x", received)
    due = framer.due()
    assert due is not None
    assert framer.feed(b"", due) == [b"x"]
