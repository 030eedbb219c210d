"""Frames that are joined to one text: parts, ends, what is dropped and counted, and the limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.rules.joining import MAX_BYTES, MAX_OPEN, MAX_WAIT, Joiner, check_join

PARTS = {"first": "A(?P<id>.*)", "next": "B(?P<id>.*)", "same": ["id"]}
BLOCK = {"first": "BEGIN", "until": "END"}


def joined(joiner: Joiner, *frames: bytes) -> list[bytes | None]:
    """Return what the joiner makes of frames: a text, b"" for one that it has collected, None for any other."""
    results = [joiner.take(frame) for frame in frames]
    return [None if result is None else result.text or b"" for result in results]


@pytest.mark.parametrize(
    ("options", "frames", "results"),
    [
        (PARTS, [b"A1", b"B1"], [b"", b"A1\nB1"]),
        (PARTS, [b"A1", b"A2", b"B2", b"B1"], [b"", b"", b"A2\nB2", b"A1\nB1"]),
        (PARTS, [b"A1", b"x", b"B2", b"B1", b"B1"], [b"", None, None, b"A1\nB1", None]),
        (PARTS, [b"B1", b"A1"], [None, b""]),
        (PARTS, [b"A1", b"\xff", b"B1"], [b"", None, b"A1\nB1"]),
        ({"first": "H.*"}, [b"x", b"H1", b"text", b"x"], [None, b"", b"H1\ntext", None]),
        ({"first": "H.*"}, [b"H1", b"H2", b"x"], [b"", b"H1\nH2", None]),  # whatever the text is, it belongs to H1
        (BLOCK, [b"BEGIN", b"a", b"b", b"END", b"a"], [b"", b"", b"", b"BEGIN\na\nb\nEND", None]),
        (BLOCK, [b"BEGIN", b"a", b"BEGIN", b"b", b"END"], [b"", b"", b"", b"", b"BEGIN\nb\nEND"]),
        ({**BLOCK, "next": "[a-z]"}, [b"BEGIN", b"1", b"a", b"END"], [b"", None, b"", b"BEGIN\na\nEND"]),
    ],
)
def test_frames_are_joined(options: dict[str, Any], frames: list[bytes], results: list[Any]) -> None:
    assert joined(Joiner(options, "utf-8"), *frames) == results


def test_the_lines_are_joined_in_the_encoding_of_the_device() -> None:
    frames = [text.encode("cp500") for text in ("A1", "B1")]
    assert joined(Joiner(PARTS, "cp500"), *frames)[1] == "A1\nB1".encode("cp500")


def test_a_part_whose_text_does_not_come_is_dropped_and_counted() -> None:
    joiner = Joiner(PARTS, "utf-8")
    joined(joiner, b"A1", b"A1")
    assert [(each.frame, each.frames) for each in joiner.dropped] == [(b"A1", 1)]
    joiner.dropped.clear()
    joined(joiner, *[b"x"] * MAX_WAIT)
    assert joined(joiner, b"B1") == [None]
    assert "within 100 frames" in joiner.dropped[0].reason


def test_the_next_part_may_come_after_other_frames() -> None:
    joiner = Joiner(PARTS, "utf-8")
    assert joined(joiner, b"A1", *[b"x"] * (MAX_WAIT - 1), b"B1")[-1] == b"A1\nB1"
    assert not joiner.dropped


def test_a_limited_number_of_texts_is_open() -> None:
    joiner = Joiner(PARTS, "utf-8")
    joined(joiner, *[b"A%d" % number for number in range(MAX_OPEN + 1)])
    assert [each.frame for each in joiner.dropped] == [b"A0"]
    assert joined(joiner, b"B0", b"B1") == [None, b"A1\nB1"]


def test_a_text_that_does_not_end_is_dropped() -> None:
    joiner = Joiner(BLOCK, "utf-8")
    joined(joiner, b"BEGIN", *[b"x" * 1000] * (MAX_BYTES // 1000 + 5))
    assert [(each.frame, "65536 bytes" in each.reason) for each in joiner.dropped] == [(b"BEGIN", True)]
    assert joined(joiner, b"END") == [None]


def test_reset_drops_and_counts_all_parts() -> None:
    joiner = Joiner(PARTS, "utf-8")
    joined(joiner, b"A1", b"A2")
    joiner.reset()
    assert sum(each.frames for each in joiner.dropped) == 2
    assert joined(joiner, b"B1") == [None]


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({"first": "!AIVDM,2,1,.*", "next": "!AIVDM,2,2,.*"}, b"!AIVDM,2,"),
        ({"first": "AB", "next": "AB.*", "until": "A"}, b"A"),
        ({"first": "AB"}, b""),
        (PARTS, b""),
    ],
)
def test_how_all_parts_begin(options: dict[str, Any], prefix: bytes) -> None:
    assert Joiner(options, "utf-8").prefix == prefix


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"first": "("}, ("join", "first")),
        ({"first": "A", "until": "("}, ("join", "until")),
        ({"first": "(?P<id>.)", "same": ["id"]}, ("join", "same")),
        ({"first": "(?P<id>.)", "next": ".", "same": ["id"]}, ("join", "same", 0)),
        ({**PARTS, "until": "END"}, ("join", "same", 0)),
    ],
)
def test_what_check_finds(options: dict[str, Any], path: tuple[Any, ...]) -> None:
    assert [problem.path for problem in check_join({"join": options})] == [path]


def test_what_check_does_not_find() -> None:
    assert not [*check_join({}), *check_join({"join": PARTS}), *check_join({"join": BLOCK})]


@given(st.lists(st.sampled_from([b"A1", b"A2", b"B1", b"B2", b"BEGIN", b"END", b"x", b"\xff"])))
def test_every_frame_that_is_collected_is_joined_or_dropped(frames: list[bytes]) -> None:
    for options in (PARTS, BLOCK, {"first": "A.*"}, {**PARTS, "until": "E(?P<id>)ND"}):
        joiner = Joiner(options, "utf-8")
        results = [joiner.take(frame) for frame in frames]
        joiner.reset()
        taken = sum(result is not None for result in results)
        assert taken == sum(len(each.parts) for each in results if each) + sum(each.frames for each in joiner.dropped)
