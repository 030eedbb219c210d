"""Rules that join frames: which of them read the text, in which order, and what happens to other frames."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.message import InternalMsg
from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.rules import SerialRules
from tests.support.configuration import serial_params

JOIN = {"first": "A(?P<id>.)(?P<more>.*)", "next": "B(?P<id>.)(?P<more>.*)", "same": ["id"]}


def rule(regex: str, action: str, **options: Any) -> dict[str, Any]:
    return {"join": dict(JOIN), "regex": regex, "message": {"action": action, "arguments": {"v": "{v}"}}, **options}


def made(decode: list[dict[str, Any]], frames: list[bytes], *, every: bool = False) -> list[Any]:
    """Return the actions of the messages of each frame; None where no rule matches."""
    decoder = SerialRules(serial_params(decode=decode, decode_every_rule=every)).decoder
    results: list[list[InternalMsg] | None] = [decoder.decode(frame) for frame in frames]
    return [None if result is None else [msg.action for msg in result] for result in results]


NARROW, WIDE = rule(r"A.x\nB.(?P<v>.*)", "X"), rule(r"A.*\nB.(?P<v>.*)", "ANY")
OTHER = {"regex": ".*", "message": {"action": "OTHER"}}


@pytest.mark.parametrize(
    ("decode", "every", "results"),
    [
        ([NARROW], False, [[], ["X"], None, [], None]),
        ([NARROW, WIDE], False, [[], ["X"], None, [], ["ANY"]]),
        ([WIDE, NARROW], False, [[], ["ANY"], None, [], ["ANY"]]),
        ([NARROW, WIDE], True, [[], ["X", "ANY"], None, [], ["ANY"]]),
        ([NARROW, OTHER], False, [[], ["X"], ["OTHER"], [], ["OTHER"]]),
        ([OTHER, NARROW], False, [["OTHER"]] * 5),
        ([NARROW, OTHER], True, [["OTHER"], ["X", "OTHER"], ["OTHER"], ["OTHER"], ["OTHER"]]),
    ],
)
def test_which_rules_read_the_joined_text(decode: list[dict[str, Any]], every: bool, results: list[Any]) -> None:
    assert made(decode, [b"A1x", b"B1v", b"B1v", b"A2y", b"B2v"], every=every) == results


def test_rules_that_join_in_other_ways_collect_for_themselves() -> None:
    other = rule(r"(?P<v>.*)\n.*", "HEADER", join={"first": "H"})
    assert made([NARROW, other], [b"A1x", b"H", b"B1v", b"B1v"]) == [[], [], ["X"], ["HEADER"]]


def test_a_joined_text_that_no_rule_reads_is_counted_without_its_last_frame() -> None:
    rules = SerialRules(serial_params(decode=[NARROW]))
    assert [rules.decoder.decode(frame) for frame in (b"A1y", b"B1v")] == [[], None]
    (join,) = rules.joins
    assert [(each.frame, each.frames) for each in join.take_unjoined()] == [(b"A1y", 1)]
    assert not list(join.take_unjoined())


def test_a_value_of_a_joined_text_that_cannot_be_converted_is_an_error() -> None:
    decoder = SerialRules(serial_params(decode=[rule(r"A.*\nB.(?P<v>.*)", "X", values={"v": "int"})])).decoder
    assert decoder.decode(b"A1") == []
    with pytest.raises(CodecError, match="'x' is not an integer"):
        decoder.decode(b"B1x")


def test_a_frame_that_takes_too_long_to_compare_is_an_error() -> None:
    slow = {"first": "(?:a|b|ab)+x.*y.*"}
    decoder = SerialRules(serial_params(decode=[rule("(?P<v>.*)", "X", join=slow, name="slow")])).decoder
    with pytest.raises(CodecError, match="rule 'slow'"):
        decoder.decode(b"ab" * 1_000_000)
