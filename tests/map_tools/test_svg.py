from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given, settings

from gateway.map_tools.graph import drawing_of, readable
from gateway.map_tools.svg import draw_svg
from gateway.translation.mqtt_map import FieldMap, MsgMap
from tests.support.proofs import loadable_maps
from tests.support.strategies import MapData, any_words

_SVG = "{http://www.w3.org/2000/svg}"


def drawn(msg_map: MsgMap, title: str = "map.json") -> ElementTree.Element:
    return ElementTree.fromstring(draw_svg(drawing_of(msg_map, title)))


def texts(svg: ElementTree.Element) -> set[str]:
    """Return the texts, whole where they are cut."""
    return {text.findtext(f"{_SVG}title") or text.text or "" for text in svg.iter(f"{_SVG}text")}


def actions(**entries: list[str]) -> MsgMap:
    return MsgMap("home", ["home/#"], {"action": FieldMap("action", "strict", entries)}, sender="gw")


def test_an_arrow_for_each_word_and_a_dashed_one_for_an_alias() -> None:
    svg = drawn(actions(LAMP_ON=["on", "ON"], LAMP_OFF=["off"]))
    kinds = [path.get("class") for path in svg.iter(f"{_SVG}path") if path.get("class")]
    assert kinds == ["both", "read", "both", "both", "read"]  # the last two are the legend
    arrows = {str(path.get("class")): path for path in svg.iter(f"{_SVG}path")}
    both, read = arrows["both"], arrows["read"]
    assert both.get("marker-start") and both.get("marker-end")
    assert read.get("marker-start") and not read.get("marker-end")
    assert {"map.json", "root home", "filters", "home/#", "action, strict", "LAMP_ON", "on", "ON"} <= texts(svg)


def test_a_word_that_is_cut_has_a_tooltip() -> None:
    svg = drawn(actions(A=["x" * 200]))
    assert "x" * 200 in texts(svg)
    shown = [title.tail for title in svg.iter(f"{_SVG}title")]
    assert shown and all(text and text.endswith("…") and len(text) < 60 for text in shown)


def test_the_file_has_no_external_references() -> None:
    text = draw_svg(drawing_of(actions(A=["a"]), "map.json"))
    assert not re.search(r"<script|<image|href|@import", text)
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert re.findall(r"url\(([^)]*)\)", text).count("#arrow") == len(re.findall(r"url\(", text))


@settings(max_examples=60)
@given(loadable_maps(), any_words)
def test_any_words_give_valid_xml_with_all_of_them_inside_the_picture(case: tuple[MapData, MsgMap], title: str) -> None:
    _, msg_map = case
    svg = drawn(msg_map, title)
    drawn_texts = texts(svg)
    for field in msg_map.fields.values():
        for internal, words in field.entries.items() if field.maptype != "none" else ():
            assert {readable(word) for word in (internal, *words)} <= drawn_texts
    height = float(svg.get("height", "0"))
    assert all(0 < float(text.get("y", "0")) < height - 10 for text in svg.iter(f"{_SVG}text"))


def test_boxes_of_one_column_do_not_overlap() -> None:
    svg = drawn(actions(A=["a", "b", "c"], B=["d"], C=["e", "f"]))
    for column in {rect.get("x") for rect in svg.iter(f"{_SVG}rect")} - {None}:
        tops = sorted(float(rect.get("y", "0")) for rect in svg.iter(f"{_SVG}rect") if rect.get("x") == column)
        assert all(below - above >= 20 for above, below in pairwise(tops))
