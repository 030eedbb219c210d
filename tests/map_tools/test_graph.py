from __future__ import annotations

from xml.sax.saxutils import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.map_tools.graph import MAX_ENTRIES, columns, cut, draw_in_terminal, drawing_of, readable
from gateway.map_tools.svg import draw_svg
from gateway.translation.mqtt_map import FieldMap, MsgMap
from gateway.translation.syntax import MessageForm
from tests.support.proofs import any_cases
from tests.support.strategies import MapData, any_words

LAMPS = MsgMap(
    "home",
    ["home/lighting/+/+/+/+/C"],
    {
        "function": FieldMap("function", "strict", {"lighting": ["lighting", "lamps", "lights"]}),
        "action": FieldMap("action", "loose", {"LAMP_ON": ["on", "ON"], "LAMP_OFF": ["off"]}),
    },
    sender="gw",
)


def test_a_map_in_a_terminal() -> None:
    assert (
        "\n".join(draw_in_terminal(drawing_of(LAMPS, "lamps.json"), 80))
        == """\
lamps.json
root home
filters
  home/lighting/+/+/+/+/C

function, strict: any other word is refused
  lighting ◀─┬─▶ lighting
             ├── lamps
             ╰── lights

action, loose: any other word passes unchanged
  LAMP_ON  ◀─┬─▶ on
             ╰── ON
  LAMP_OFF ◀───▶ off

gateway, location, device, sender, argkey, argvalue: every word passes unchanged
internal word ◀───▶ MQTT word, written and read; ╰── only read"""
    )


def test_the_forms_of_a_declared_syntax() -> None:
    nowhere = {"function": "", "gateway": "", "location": "hall"}
    forms = (
        MessageForm(True, "cmnd/{device}/{action}", "value", "to", nowhere),
        MessageForm(False, "{root}/{device}", "action", constants=nowhere),
    )
    drawing = drawing_of(MsgMap("home", sender="gw", syntax=forms), "x.json")
    lines = list(draw_in_terminal(drawing, 100))
    assert lines[lines.index("forms") + 1 :][:2] == [
        "  command cmnd/{device}/{action}, payload: value of to; function '', gateway '', location hall",
        "  status {root}/{device}, payload: action; function '', gateway '', location hall",
    ]
    svg = draw_svg(drawing)
    assert all(line.strip() in unescape(svg) for line in lines[lines.index("forms") :][:3])


def test_a_narrow_terminal_without_box_characters() -> None:
    lines = list(draw_in_terminal(drawing_of(LAMPS, "lamps.json"), 22, boxes=False))
    assert lines[3] == "  home/lighting/+/+..."
    assert lines[5:10] == [
        "function, strict: any",
        "other word is refused",
        "  lighting <-+-> li...",
        "             +-- lamps",
        "             '-- li...",
    ]
    assert "\n".join(lines).isascii()


def test_a_map_without_filters_and_entries() -> None:
    lines = list(draw_in_terminal(drawing_of(MsgMap("home", sender="gw"), "plain.json"), 120))
    assert "no filters: the gateway receives nothing" in lines
    assert lines[-1].endswith("argkey, argvalue: every word passes unchanged")


def test_what_is_not_drawn_is_counted() -> None:
    entries = {f"W{number}": [f"w{number}"] for number in range(MAX_ENTRIES + 5)}
    drawing = drawing_of(MsgMap("home", fields={"action": FieldMap("action", "strict", entries)}, sender="gw"), "x")
    lines = list(draw_in_terminal(drawing, 80))
    assert "  … 5 more" in lines
    assert not any("W1000 " in line for line in lines)


@pytest.mark.parametrize(
    ("word", "shown"),
    [("on", "on"), ("", "''"), (" on", "' on'"), ("a\nb", "'a\\nb'"), ("\u202e", "'\\u202e'"), ("é", "é")],
)
def test_words_that_cannot_be_seen_are_quoted(word: str, shown: str) -> None:
    assert readable(word) == shown


@pytest.mark.parametrize(
    ("text", "limit", "result"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("e\u0301e", 2, "e\u0301e"),
    ],
)
def test_a_text_is_cut_by_the_columns_it_takes(text: str, limit: int, result: str) -> None:
    assert cut(text, limit) == result


@settings(max_examples=60)
@given(any_cases(), st.integers(30, 200), st.booleans(), any_words)
def test_no_line_is_wider_than_the_terminal_and_each_word_is_there(
    case: tuple[MapData, MsgMap], width: int, boxes: bool, title: str
) -> None:
    _, msg_map = case
    drawing = drawing_of(msg_map, title)
    lines = list(draw_in_terminal(drawing, width, boxes=boxes))
    assert all(columns(line) <= width and line.isprintable() for line in lines)
    wide = "\n".join(draw_in_terminal(drawing, 10_000, boxes=boxes))
    for field in msg_map.fields.values():
        for internal, words in field.entries.items() if field.maptype != "none" else ():
            assert all(readable(word) in wide for word in (internal, *words))
