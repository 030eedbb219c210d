from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import MessageError
from gateway.map_words import Example, Probe, find_entry, shown, stranger, unknown_word
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.mqtt_map import FIELDS, FieldMap, MsgMap
from gateway.topic import filter_matches
from tests.support.proofs import loadable_maps
from tests.support.strategies import MapData


def a_map(root: str = "home", sender: str = "gw", **fields: dict[str, list[str]]) -> MsgMap:
    return MsgMap(root, fields={name: FieldMap(name, "strict", words) for name, words in fields.items()}, sender=sender)


def test_an_example_is_shown_as_a_person_reads_it() -> None:
    assert str(Example("dropped", None, "home/x", b"on")) == "home/x on: dropped"
    assert str(Example("sent", InternalMsg(True, action="ON"))) == "command -/-/-/-/- ON: sent"


@pytest.mark.parametrize(
    ("text", "result"),
    [("on", "on"), (b"on", "on"), (b"\xff", "\\xff"), ("a\nb", "'a\\nb'"), ("x" * 400, "x" * 297 + "...")],
)
def test_what_cannot_be_seen_is_escaped_and_what_is_long_is_cut(text: str | bytes, result: str) -> None:
    assert shown(text) == result


def test_words_that_are_not_known() -> None:
    assert stranger({"a"}) == "other"
    assert stranger({"other", "other2"}) == "other3"
    assert unknown_word(FieldMap("action", "loose", {"other": ["other2"]})) == "other3"


def test_the_place_of_an_mqtt_word() -> None:
    field = FieldMap("action", "strict", {"ON": ["on", "1"]})
    assert find_entry(field, "ON", "1") == ("action", "map", "ON", 1)
    assert find_entry(field, "ON", "ON") is None
    assert find_entry(FieldMap("action", "none", {"ON": ["on"]}), "ON", "on") is None


def test_a_plain_message_is_made_of_the_words_of_the_map() -> None:
    probe = Probe(a_map(function={"lighting": ["lights"]}, action={"LAMP_ON": ["on"]}))
    assert str(probe.message(is_command=True)) == "command lighting/-/-/-/- LAMP_ON"
    assert probe.foreign() == ("home/lights////other/C", b"on")
    assert probe.foreign(is_command=False) == ("home/lights////other/S", b"on")


def test_words_that_another_map_has_too_come_first() -> None:
    one, other = (a_map(function={name: [name] for name in names}) for names in (("a", "b"), ("c", "b")))
    assert Probe(one).samples["function"] == "a"
    assert Probe(one, other).samples["function"] == "b"


@pytest.mark.parametrize("root", ["home", "a/b/c"])
def test_the_level_of_each_field_is_found_by_writing(root: str) -> None:
    probe = Probe(a_map(root, function={"": [""]}, device={"d": ["x"]}, location={"l": ["l"]}))
    first = len(root.split("/"))
    assert probe.level_of == {name: first + number for number, name in enumerate(ADDRESS_FIELDS)}


def test_another_sender_is_one_that_the_map_reads_and_that_is_not_the_gateway() -> None:
    assert Probe(a_map()).foreign_sender() == "other"
    assert Probe(MsgMap("home", sender="other")).foreign_sender() == "other2"
    strict = FieldMap("sender", "strict", {"gw": ["gw"], "panel": ["p"]})
    assert Probe(MsgMap("home", fields={"sender": strict}, sender="gw")).foreign_sender() == "p"
    alone = FieldMap("sender", "strict", {"gw": ["gw"]})
    assert Probe(MsgMap("home", fields={"sender": alone}, sender="gw")).foreign_sender() == ""


@settings(max_examples=100)
@given(st.data(), loadable_maps())
def test_a_filled_filter_matches_its_topic_and_words_stand_where_they_are_said_to(
    data: st.DataObject, case: tuple[MapData, MsgMap]
) -> None:
    _, msg_map = case
    probe = Probe(msg_map)
    for topic_filter in msg_map.topics:
        topic = probe.filled(topic_filter, is_command=data.draw(st.booleans()))
        assert filter_matches(topic_filter, topic)
        assert probe.heard_by(topic) is not None
    for name in FIELDS:
        made = probe.with_mqtt_word(name, data.draw(st.sampled_from(("a", "on", "x"))))
        try:
            msg = msg_map.mqtt2internal(*made) if made else None
        except MessageError:
            continue
        if msg is not None:
            assert not msg_map.is_echo(msg) or name == "sender"
