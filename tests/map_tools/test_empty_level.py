"""The word for empty levels, as the tools for maps say it."""

from __future__ import annotations

from typing import Any

from gateway.map_tools.diff import compare
from gateway.map_tools.graph import draw_in_terminal, drawing_of
from gateway.map_tools.svg import draw_svg
from gateway.map_tools.trace import trace_read, trace_write
from gateway.message import InternalMsg
from tests.support.proofs import ExampleCheck, check_map, loaded

DASHED: dict[str, Any] = {"root": "home", "topics": ["home/lighting/+/+/lamp/+/C"], "empty_level": "-"}


def test_a_word_that_cannot_be_sent_is_a_note() -> None:
    msg_map = loaded(DASHED)
    (flaw,) = [flaw for flaw in check_map(msg_map) if flaw.kind == "empty-level"]
    assert (flaw.severity, flaw.path) == ("note", ("empty_level",))
    assert flaw.what == "the word '-' is refused where it would stand in a topic: there it stands for an empty level"
    assert ExampleCheck(msg_map, flaw).is_shown()
    assert not [flaw for flaw in check_map(msg_map) if flaw.severity != "note"]


def test_an_empty_level_in_a_filter_is_a_warning() -> None:
    msg_map = loaded({**DASHED, "topics": ["home/lighting//+/lamp/+/C"]})
    (flaw,) = [flaw for flaw in check_map(msg_map) if flaw.severity == "warning"]
    assert (flaw.kind, flaw.remedy) == ("internal-word", "write home/lighting/-/+/lamp/+/C")
    assert ExampleCheck(msg_map, flaw).is_shown()
    both = loaded({**DASHED, "topics": ["home/lighting//+/lamp/+/C", "home/lighting/-/+/lamp/+/C"]})
    assert not [flaw for flaw in check_map(both) if flaw.severity == "warning"]


def test_explain_names_the_word_both_ways() -> None:
    msg_map = loaded(DASHED)
    read = {step.name: step for step in trace_read(msg_map, "home/lighting/-/hall/lamp/me/C", b"on").steps}
    assert (read["gateway"].text, read["gateway"].path) == ("'-' -> '', the word for an empty level", ("empty_level",))
    assert read["location"].text == "'hall' is unchanged: the field has no map"
    written = {step.name: step for step in trace_write(msg_map, InternalMsg(True, device="lamp", action="on")).steps}
    assert written["gateway"].text == "'' -> '-', the word for an empty level"
    assert written["topic"].text == "home/-/-/-/lamp/gw/C"


def test_diff_reports_a_new_word_with_examples() -> None:
    differences = list(compare(loaded({**DASHED, "empty_level": "none"}), loaded(DASHED)))
    written = [change for change in differences if (change.kind, change.where) == ("written", "location")]
    assert "'' was written as 'none', is written as '-'" in [change.what for change in written]
    assert all(change.old != change.new for change in written)
    assert not list(compare(loaded(DASHED), loaded(DASHED)))


def test_a_drawing_names_the_word() -> None:
    drawing = drawing_of(loaded(DASHED), "x")
    assert list(draw_in_terminal(drawing, 80))[2] == "empty levels are written as -"
    assert "empty levels are written as -" in draw_svg(drawing)
    plain = drawing_of(loaded({"root": "home", "topics": []}), "x")
    assert not any("empty levels" in line for line in draw_in_terminal(plain, 80))
