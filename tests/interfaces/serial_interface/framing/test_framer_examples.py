"""Framing by example: the frames of each framer, the bytes that it discards and counts, and what it sends."""

from __future__ import annotations

import pytest

from interfaces.serial_interface.framing.checksum import Checksum, find_algorithm
from interfaces.serial_interface.framing.escaping import slip_decode
from interfaces.serial_interface.framing.framers import DelimitedFramer, Framer, GapFramer, LengthFramer, MarkerFramer
from tests.support.device import chunks

DEFAULT = (b"\r\n", b"\n", b"\r")


def xor() -> Checksum:
    algorithm = find_algorithm("xor")
    assert algorithm is not None
    return Checksum(algorithm)


# --- lines


def test_lines_end_with_any_of_the_usual_terminators() -> None:
    framer = DelimitedFramer(DEFAULT)
    assert framer.feed(b"one\r\ntwo\nthree\rfour") == [b"one", b"two", b"three"]
    assert framer.feed(b"\r") == [b"four"], "it does not wait for a line feed that may never arrive"
    assert framer.feed(b"\nfive\n\n\r\n") == [b"five"]
    assert not framer.has_partial_frame
    assert (framer.discarded_bytes, framer.discarded_frames) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_lines_in_random_chunks(seed: int) -> None:
    lines = [b"line %d with some text in it" % number for number in range(200)]
    framer = DelimitedFramer(DEFAULT)
    parts = chunks(b"\r\n".join(lines) + b"\r\n", seed, longest=1 + 10 * seed)
    assert [frame for piece in parts for frame in framer.feed(piece)] == lines


def test_a_line_at_the_limit_is_accepted_and_a_longer_one_is_counted() -> None:
    framer = DelimitedFramer(DEFAULT, max_length=5)
    assert framer.feed(b"12345\n123456\nabc\n") == [b"12345", b"abc"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (6, 1)


def test_an_endless_line_needs_no_memory_and_the_next_one_is_accepted() -> None:
    framer = DelimitedFramer(DEFAULT, max_length=100)
    for _ in range(1000):
        assert framer.feed(b"x" * 1000) == []
    assert framer.feed(b"end\nnext\n") == [b"next"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (1_000_003, 1)


def test_the_remainder_of_an_old_connection_is_discarded() -> None:
    framer = DelimitedFramer(DEFAULT)
    framer.feed(b"half a li")
    framer.reset()
    assert framer.feed(b"whole\n") == [b"whole"]
    assert framer.discarded_bytes == 9


def test_a_line_is_sent_with_its_terminator() -> None:
    assert DelimitedFramer(DEFAULT).wrap(b"on") == b"on\r\n"
    assert DelimitedFramer(DEFAULT, write_delimiter=b"\n").wrap(b"on") == b"on\n"
    assert DelimitedFramer(DEFAULT, write_delimiter=b"").wrap(b"on") == b"on"


@pytest.mark.parametrize("injected", [b"on\nopen", b"on\r", b"\r\non"])
def test_a_line_that_contains_a_terminator_is_not_sent(injected: bytes) -> None:
    for written in (None, b"", b";"):
        with pytest.raises(ValueError, match="it contains bytes that end a frame"):
            DelimitedFramer(DEFAULT, write_delimiter=written).wrap(injected)


# --- other framings


def test_markers_inside_noise() -> None:
    framer = MarkerFramer(b"\x02", b"\x03")
    assert framer.feed(b"noise\x02one\x03more\x02broken\x02two\x03") == [b"one", b"two"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (16, 1)


def test_with_a_checksum_a_lost_byte_costs_one_frame_of_fixed_length() -> None:
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


def test_a_frame_that_no_silence_ends_is_discarded_and_counted() -> None:
    framer = GapFramer(0.5, max_length=10)
    for step in range(100):
        assert framer.feed(b"12345", now=10 + step / 10) == []
    assert framer.feed(b"next", now=30.0) == []
    assert framer.feed(b"", now=31.0) == [b"next"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (500, 1)


# --- partial frames


def test_a_line_that_is_too_long_can_be_flushed_without_its_end() -> None:
    """After the flush, the next bytes are a line again."""
    framer = DelimitedFramer([b"\n"], max_length=4)
    framer.feed(b"too long")
    assert [framer.has_partial_frame, framer.flush_partial(), framer.has_partial_frame] == [True, [], False]
    assert framer.feed(b"next\n") == [b"next"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (8, 1)


def test_a_frame_after_a_false_beginning_is_found_when_that_is_flushed() -> None:
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
def test_a_partial_frame_is_discarded_and_counted_at_a_reset(
    framer: Framer, half: bytes, whole: bytes, frame: bytes
) -> None:
    for number in range(1, 101):
        assert framer.feed(half) == []
        framer.reset()
        assert framer.feed(whole) == [frame]
        assert framer.discarded_frames == number
    assert framer.discarded_bytes == 100 * len(half.lstrip(b"\xc0"))


def test_a_reset_during_silence() -> None:
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


def test_a_line_is_found_by_its_start_if_the_previous_terminator_was_lost() -> None:
    framer = DelimitedFramer(DEFAULT, start=b"$")
    assert framer.feed(b"$one$two\nnoise$three\nno start\n") == [b"$two", b"$three", b"no start"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (9, 2)


def test_with_a_checksum_markers_may_occur_in_a_frame() -> None:
    frame = xor().append(b"a>b<c")
    framer = MarkerFramer(b"<", b">", is_valid=xor().is_valid)
    assert framer.feed(b"<" + frame + b">") == [frame]
    assert framer.feed(b"<bad><" + frame + b">") == [frame]
    assert framer.rejected == [b"bad"]
    assert framer.discarded_frames == 1


def test_a_rejected_frame_has_the_bytes_after_its_stop_marker() -> None:
    framer = MarkerFramer(b"<", b">", after=2, is_valid=lambda frame: frame == b"good12")
    assert framer.feed(b"<bad>34<good>12") == [b"good12"]
    assert framer.rejected == [b"bad34"]


@pytest.mark.parametrize("keep", [False, True])
def test_bytes_after_the_stop_marker_belong_to_the_frame(keep: bool) -> None:
    framer = MarkerFramer(b"<", b">", after=2, keep=keep)
    assert framer.feed(b"<one>1") == []
    assert framer.feed(b"<<two>22") == [b"<one>1<" if keep else b"one1<", b"<two>22" if keep else b"two22"]


@pytest.mark.parametrize(("big_endian", "head"), [(True, b"\x00\x03"), (False, b"\x03\x00")])
def test_the_frame_contains_its_length(big_endian: bool, head: bytes) -> None:
    framer = LengthFramer(start=b"#", offset=1, size=2, correction=3, big_endian=big_endian)
    assert framer.feed(b"x#" + head + b"abc#" + head + b"def") == [b"#" + head + b"abc", b"#" + head + b"def"]
    assert framer.discarded_bytes == 1


def test_an_impossible_length_is_skipped() -> None:
    framer = LengthFramer(size=1, max_length=4)
    assert framer.feed(b"\x00\x05\xff\x02a\x03bc") == [b"\x02a", b"\x03bc"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (3, 1)


def test_silence_counts_only_while_the_device_is_read() -> None:
    framer = GapFramer(0.5)
    framer.feed(b"one ", 1.0)
    framer.restart_silence(3.0)
    assert framer.feed(b"frame", 3.25) == []
    assert framer.feed(b"", 3.75) == [b"one frame"]


def test_apparently_nested_frames_cost_little_and_hide_later_frames_only_briefly() -> None:
    checked = 0

    def is_valid(frame: bytes) -> bool:
        nonlocal checked
        checked += len(frame)
        return frame == b"intact"

    framer = MarkerFramer(b"<", b">", is_valid=is_valid)
    for _ in range(20):
        assert framer.feed(b"<>" * 500) == []
    assert checked <= 20 * 1000 * 64 + 65536
    assert framer.feed(b"." * 10_000 + b"<intact>") == [b"intact"]


def test_one_rejected_frame_is_kept_for_each_stop_marker() -> None:
    """Each is verified once more, so that it can be reported: bytes may not be verified again and again."""
    framer = MarkerFramer(b"<", b">", is_valid=xor().is_valid)
    assert framer.feed(b"<" * 500 + b"bad>" * 100 + b"<wrong>") == []
    assert framer.flush_partial() == []
    assert framer.rejected == [b"<" * 499 + b"bad", b"wrong"]
    assert framer.discarded_frames == 501


def test_one_rejected_frame_is_kept_for_each_loss_of_synchronisation() -> None:
    framer = LengthFramer(3, start=b"#", is_valid=xor().is_valid)
    assert framer.feed(b"#ab#cd" + xor().append(b"#e") + b"#fg") == [xor().append(b"#e")]
    assert framer.rejected == [b"#ab", b"#fg"]


def test_a_frame_without_content_is_delivered_immediately() -> None:
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
def test_writing(framer: Framer, frame: bytes, data: bytes) -> None:
    assert framer.wrap(frame) == data


# --- bytes outside of frames


@pytest.mark.parametrize("longest", [1, 7, 4096, 100_000])
def test_an_intact_line_behind_many_other_bytes_is_found_by_its_start(longest: int) -> None:
    framer = DelimitedFramer(DEFAULT, max_length=20, start=b"$")
    stream = b"\xb5b" * 100 + b"$one\r\n" + b"x" * 15 + b"$two\n" + b"$" + b"y" * 30 + b"\nend\n"
    frames = [frame for at in range(0, len(stream), longest) for frame in framer.feed(stream[at : at + longest])]
    assert frames == [b"$one", b"$two", b"end"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (200 + 15 + 31, 3)


@pytest.mark.parametrize("stray", [b"\x00", b"\xff\x01\x04", b"\x01\x04\x02"])
def test_with_a_checksum_a_frame_behind_stray_bytes_is_found(stray: bytes) -> None:
    answer = b"\x01\x04\x02\x00\x2a\x39\x2f"
    framer = GapFramer(0.5, is_valid=lambda frame: frame == answer)
    framer.feed(stray + answer, 1.0)
    (frame,) = framer.feed(b"", 2.0)
    assert frame == stray + answer
    assert framer.without_stray_bytes(frame) == answer
    assert (framer.discarded_bytes, framer.discarded_frames) == (len(stray), 1)


def test_no_frame_is_made_of_the_last_bytes_of_an_invalid_one() -> None:
    assert GapFramer(0.5, is_valid=xor().is_valid).without_stray_bytes(b"\x01\x02\x03\x00") is None
    assert GapFramer(0.5).without_stray_bytes(b"abcdef") is None


def test_the_search_behind_stray_bytes_is_bounded() -> None:
    checked = 0

    def is_valid(frame: bytes) -> bool:
        nonlocal checked
        checked += len(frame)
        return False

    framer = GapFramer(0.5, is_valid=is_valid)
    for number in range(20):
        framer.feed(bytes(4000), float(number))
        (frame,) = framer.feed(b"", number + 0.6)
        assert framer.without_stray_bytes(frame) is None
    assert checked <= 20 * 4000 * 64 + 65536


# --- frames with an end, and lengths of parts


def test_a_stray_start_does_not_eat_the_frame_behind_it_if_frames_have_an_end() -> None:
    framer = LengthFramer(start=b"h", offset=1, size=1, correction=3, stop=b"!")
    assert framer.feed(b"h\x03h\x02ab!h\x01c!") == [b"h\x02ab!", b"h\x01c!"]
    assert (framer.discarded_bytes, framer.discarded_frames) == (2, 1)
    assert framer.rejected == [], "a frame without its end is no frame with a wrong checksum"


def test_a_length_may_have_other_bits_and_count_words() -> None:
    framer = LengthFramer(start=b"#", offset=1, size=2, mask=0x3FF, unit=2, correction=3)
    assert framer.feed(b"#\xfc\x01ab#\x00\x02abcd") == [b"#\xfc\x01ab", b"#\x00\x02abcd"]


# --- prompts


@pytest.mark.parametrize("longest", [1, 3, 100])
def test_a_prompt_at_the_beginning_of_a_line_is_a_frame(longest: int) -> None:
    framer = DelimitedFramer(DEFAULT, prompts=[b"> ", b"login: "])
    stream = b"boot\r\nlogin: root\r\n> > a > b\r\n>x\r\n> "
    frames = [frame for at in range(0, len(stream), longest) for frame in framer.feed(stream[at : at + longest])]
    assert frames == [b"boot", b"login: ", b"root", b"> ", b"> ", b"a > b", b">x", b"> "]
    assert not framer.has_partial_frame
    assert framer.discarded_bytes == 0
