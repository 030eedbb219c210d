from __future__ import annotations

import pytest

from gateway.map_tools.words import Example, find_entry, shown, unknown_word, unused_word
from gateway.message import InternalMsg
from gateway.translation.mqtt_map import FieldMap


def test_an_example_is_readable_text() -> None:
    assert str(Example("dropped", None, "home/x", b"on")) == "home/x on: dropped"
    assert str(Example("sent", InternalMsg(True, action="ON"))) == "command -/-/-/-/- ON: sent"


@pytest.mark.parametrize(
    ("text", "result"),
    [("on", "on"), (b"on", "on"), (b"\xff", "\\xff"), ("a\nb", "'a\\nb'"), ("x" * 400, "x" * 297 + "...")],
)
def test_what_cannot_be_seen_is_escaped_and_what_is_long_is_cut(text: str | bytes, result: str) -> None:
    assert shown(text) == result


def test_unused_words() -> None:
    assert unused_word({"a"}) == "other"
    assert unused_word({"other", "other2"}) == "other3"
    assert unknown_word(FieldMap("action", "loose", {"other": ["other2"]})) == "other3"


def test_the_place_of_an_mqtt_word() -> None:
    field = FieldMap("action", "strict", {"ON": ["on", "1"]})
    assert find_entry(field, "ON", "1") == ("action", "map", "ON", 1)
    assert find_entry(field, "ON", "ON") is None
    assert find_entry(FieldMap("action", "none", {"ON": ["on"]}), "ON", "on") is None
