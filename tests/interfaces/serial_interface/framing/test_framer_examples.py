"""Framing by example: what each framer delivers, what it drops and counts, and what it writes."""

from __future__ import annotations

import pytest

from interfaces.serial_interface.framing.checksum import Checksum, find_algorithm
from interfaces.serial_interface.framing.escaping import slip_decode
from interfaces.serial_interface.framing.framers import DelimitedFramer, Framer, GapFramer, LengthFramer, MarkerFramer
from tests.support.device import chunks

DEFAULT = (b"\r\n", b"\n", b"\r")


def xor() -> Checksum:
    found = find_algorithm("xor")
    assert found is not None
    return Checksum(found)


# --- lines


def test_lines_end_with_any_of_the_usual_terminators() -> None:
    framer = DelimitedFramer(DEFAULT)
    assert framer.feed(b"one\r\ntwo\nthree\rfour") == [b"one", b"two", b"three"]
    assert framer.feed(b"\r") == [b"four"], "it does not wait for a line feed that may never come"
    assert framer.feed(b"\nfive\n\n\r\n") == [b"five"]
    assert not framer.has_partial_frame
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
        with pytest.raises(ValueError, match="it contains bytes that end a frame"):
            DelimitedFramer(DEFAULT, write_delimiter=written).wrap(smuggled)


# --- the others


def test_markers_inside_noise() -> None:
    framer = MarkerFramer(b"\x02", b"\x03")
    assert framer.feed(b"noise\x02one\x03more\x02broken\x02two\x03") == [b"one", b"two"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (16, 1)


def test_a_lost_byte_costs_one_frame_of_fixed_length_where_a_checksum_finds_the_next() -> None:
    frames = [xor().append(b"\xaa" + bytes([number, 7])) for number in range(10)]
    stream = b"".join(frames[:3]) + frames[3][1:] + b"".join(frames[4:])
    framer = LengthFramer(4, start=b"\xaa", is_valid=xor().is_valid)
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


# --- what is not finished


def test_the_end_of_a_line_that_is_too_long_may_never_come() -> None:
    """Once it is given up, what comes next is a line again."""
    framer = DelimitedFramer([b"\n"], max_length=4)
    framer.feed(b"too long")
    assert [framer.has_partial_frame, framer.flush_partial(), framer.has_partial_frame] == [True, [], False]
    assert framer.feed(b"next\n") == [b"next"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (8, 1)


def test_a_frame_behind_a_false_beginning_is_found_when_that_is_given_up() -> None:
    frame = xor().append(b"\xaa\x02ok")
    framer = LengthFramer(start=b"\xaa", offset=1, size=1, correction=3, is_valid=xor().is_valid)
    assert framer.feed(b"\xaa\x30" + frame) == []
    assert framer.has_partial_frame
    assert framer.flush_partial() == [frame]
    assert (framer.discarded_bytes, framer.discarded_frames) == (2, 1)


@pytest.mark.parametrize(
    ("framer", "half", "whole", "frame"),
    [
        (DelimitedFramer(DEFAULT), b"half", b"whole\n", b"whole"),
        (DelimitedFramer([b"\xc0"], decode=slip_decode), b"\xc0ha\xdb", b"whole\xc0", b"whole"),
        (MarkerFramer(b"<", b">"), b"<half", b"<whole>", b"whole"),
        (LengthFramer(5, start=b"w"), b"w", b"whole", b"whole"),
        (LengthFramer(size=1), b"\x06half", b"\x06whole", b"\x06whole"),
    ],
)
def test_half_a_frame_is_dropped_and_counted_with_its_connection(
    framer: Framer, half: bytes, whole: bytes, frame: bytes
) -> None:
    for number in range(1, 101):
        assert framer.feed(half) == []
        framer.reset()
        assert framer.feed(whole) == [frame]
        assert framer.discarded_frames == number
    assert framer.discarded_bytes == 100 * len(half.lstrip(b"\xc0"))


def test_silence_that_is_cut_short_by_a_new_connection() -> None:
    framer = GapFramer(0.5, max_length=4)
    framer.feed(b"half", 0.0)
    framer.reset()
    framer.feed(b"too long", 1.0)
    framer.reset()
    assert framer.due() is None
    assert framer.feed(b"new", 2.0) == []
    assert framer.feed(b"", 3.0) == [b"new"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (12, 2)


# --- where frames begin


def test_a_line_whose_predecessor_lost_its_terminator_is_found_by_its_start() -> None:
    framer = DelimitedFramer(DEFAULT, start=b"$")
    assert framer.feed(b"$one$two\nnoise$three\nno start\n") == [b"$two", b"$three", b"no start"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (9, 2)


def test_with_a_checksum_markers_may_stand_in_a_frame() -> None:
    frame = xor().append(b"a>b<c")
    framer = MarkerFramer(b"<", b">", is_valid=xor().is_valid)
    assert framer.feed(b"<" + frame + b">") == [frame]
    assert framer.feed(b"<bad><" + frame + b">") == [frame]
    assert framer.rejected == [b"bad"]
    assert framer.discarded_frames == 1


def test_what_is_rejected_has_the_bytes_behind_its_stop_marker() -> None:
    framer = MarkerFramer(b"<", b">", after=2, is_valid=lambda frame: frame == b"good12")
    assert framer.feed(b"<bad>34<good>12") == [b"good12"]
    assert framer.rejected == [b"bad34"]


@pytest.mark.parametrize("keep", [False, True])
def test_bytes_behind_the_stop_marker_belong_to_the_frame(keep: bool) -> None:
    framer = MarkerFramer(b"<", b">", after=2, keep=keep)
    assert framer.feed(b"<one>1") == []
    assert framer.feed(b"<<two>22") == [b"<one>1<" if keep else b"one1<", b"<two>22" if keep else b"two22"]


@pytest.mark.parametrize(("big_endian", "head"), [(True, b"\x00\x03"), (False, b"\x03\x00")])
def test_the_length_stands_in_the_frame(big_endian: bool, head: bytes) -> None:
    framer = LengthFramer(start=b"#", offset=1, size=2, correction=3, big_endian=big_endian)
    assert framer.feed(b"x#" + head + b"abc#" + head + b"def") == [b"#" + head + b"abc", b"#" + head + b"def"]
    assert framer.discarded_bytes == 1


def test_a_length_that_cannot_be_is_no_beginning() -> None:
    framer = LengthFramer(size=1, max_length=4)
    assert framer.feed(b"\x00\x05\xff\x02a\x03bc") == [b"\x02a", b"\x03bc"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (3, 1)


def test_silence_counts_only_while_somebody_listens() -> None:
    framer = GapFramer(0.5)
    framer.feed(b"one ", 1.0)
    framer.restart_silence(3.0)
    assert framer.feed(b"frame", 3.25) == []
    assert framer.feed(b"", 3.75) == [b"one frame"]


def test_what_looks_like_many_frames_in_one_another_costs_little_and_hides_nothing_for_long() -> None:
    checked = 0

    def is_good(frame: bytes) -> bool:
        nonlocal checked
        checked += len(frame)
        return frame == b"intact"

    framer = MarkerFramer(b"<", b">", is_valid=is_good)
    for _ in range(20):
        assert framer.feed(b"<>" * 500) == []
    assert checked <= 20 * 1000 * 64 + 65536
    assert framer.feed(b"." * 10_000 + b"<intact>") == [b"intact"]


def test_what_was_no_frame_is_kept_to_be_reported_once_for_each_gap() -> None:
    framer = LengthFramer(3, start=b"#", is_valid=xor().is_valid)
    assert framer.feed(b"#ab#cd" + xor().append(b"#e") + b"#fg") == [xor().append(b"#e")]
    assert framer.rejected == [b"#ab", b"#fg"]


def test_a_frame_that_is_only_its_head_is_delivered_at_once() -> None:
    assert LengthFramer(size=1).feed(b"\x01") == [b"\x01"]
    assert LengthFramer(2, start=b"ab").feed(b"xab") == [b"ab"]


@pytest.mark.parametrize(
    ("framer", "frame", "data"),
    [
        (MarkerFramer(b"<", b">"), b"ab", b"<ab>"),
        (MarkerFramer(b"<", b">", after=2), b"ab12", b"<ab>12"),
        (MarkerFramer(b"<", b">", after=2, keep=True), b"<ab>12", b"<ab>12"),
        (MarkerFramer(b"<", b">", after=2, is_valid=lambda frame: frame == b"a>b12"), b"a>b12", b"<a>b>12"),
        (LengthFramer(3), b"abc", b"abc"),
        (GapFramer(0.5), b"abc", b"abc"),
    ],
)
def test_what_is_written(framer: Framer, frame: bytes, data: bytes) -> None:
    assert framer.wrap(frame) == data
