from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.core.topic import filter_matches
from gateway.errors import MessageError
from gateway.map_tools.probe import Probe, is_valid_level, level_texts, other_sender, word_in
from gateway.message import ADDRESS_FIELDS
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap
from gateway.translation.topic_template import parse
from tests.support.proofs import any_loadable_maps


def a_map(root: str = "home", sender: str = "gw", **fields: dict[str, list[str]]) -> MsgMap:
    return MsgMap(root, fields={name: FieldMap(name, "strict", words) for name, words in fields.items()}, sender=sender)


def test_a_plain_message_is_made_of_the_words_of_the_map() -> None:
    commands, statuses = Probe(a_map(function={"lighting": ["lights"]}, action={"LAMP_ON": ["on"]})).forms
    assert str(commands.message) == "command lighting/-/-/-/- LAMP_ON"
    assert (commands.topic, commands.payload) == ("home/lights////other/C", b"on")
    assert (statuses.topic, statuses.payload) == ("home/lights////other/S", b"on")


def test_words_that_another_map_has_too_come_first() -> None:
    one, other = (a_map(function={name: [name] for name in names}) for names in (("a", "b"), ("c", "b")))
    assert Probe(one).forms[0].samples["function"] == "a"
    assert Probe(one, other).forms[0].samples["function"] == "b"


@pytest.mark.parametrize("root", ["home", "a/b/c"])
def test_the_level_of_each_field(root: str) -> None:
    form = Probe(a_map(root)).forms[0]
    first = len(root.split("/"))
    assert [form.level_of(name) for name in ADDRESS_FIELDS] == list(range(first, first + len(ADDRESS_FIELDS)))
    assert form.level_of("action") is None and form.has_place_for("action")


def test_another_sender_is_one_that_the_map_reads_and_that_is_not_the_gateway() -> None:
    assert other_sender(a_map()) == "other"
    assert other_sender(MsgMap("home", sender="other")) == "other2"
    strict = FieldMap("sender", "strict", {"gw": ["gw"], "panel": ["p"]})
    assert other_sender(MsgMap("home", fields={"sender": strict}, sender="gw")) == "p"
    alone = FieldMap("sender", "strict", {"gw": ["gw"]})
    assert other_sender(MsgMap("home", fields={"sender": alone}, sender="gw")) == ""


def test_the_texts_for_a_level() -> None:
    fields = {name: FieldMap(name) for name in FIELDS}
    fields["location"] = FieldMap("location", "strict", {"A": ["a"], "B": ["b"]})
    (fixed,) = parse("set", "home", fields)
    (strict,) = parse("x{location}", "home", fields)
    (mixed,) = parse("{location}-{device}", "home", fields)
    assert list(level_texts(fixed, ())) == ["set"]
    assert list(level_texts(strict, {"xa"})) == ["xb", "x"]
    assert next(level_texts(mixed, {"a-other", "a-other2"})) == "a-other3"


@settings(max_examples=150)
@given(st.data(), any_loadable_maps())
def test_topics_made_for_a_filter_match_it_and_words_are_at_their_levels(data: st.DataObject, msg_map: MsgMap) -> None:
    probe = Probe(msg_map)
    for topic_filter in msg_map.topics:
        for form in probe.forms_matching(topic_filter):
            topic = form.topic_matching(topic_filter)
            assert filter_matches(topic_filter, topic) or topic.startswith("$")
            assert form.form.has_shape(topic)
    for form in probe.forms:
        if form.topic is not None:
            msg_map.mqtt2internal(form.topic, form.payload)
        for name in FIELDS:
            made = form.with_mqtt_word(name, data.draw(st.sampled_from(("a", "on", "x"))))
            try:
                msg = msg_map.mqtt2internal(*made) if made else None
            except MessageError:
                continue
            if msg is not None and name != "sender":
                assert not msg_map.is_echo(msg) or "sender" not in form.form.form.places


@settings(max_examples=150)
@given(any_loadable_maps())
def test_the_texts_for_a_level_are_read(msg_map: MsgMap) -> None:
    levels = [(at, level, form) for form in msg_map.forms for at, level in enumerate(form.levels)]
    assume(levels)
    for at, level, form in levels:
        for text, _ in zip(level_texts(level, {"a", "other"}), range(5), strict=False):
            assert text in level and text not in {"a", "other"}
            if is_valid_level(level, text, at, len(form.levels)):
                words: dict[str, str] = {}
                level.read(text, words)


@given(any_loadable_maps())
def test_the_word_of_a_message(msg_map: MsgMap) -> None:
    for form in Probe(msg_map).forms:
        for name in FIELDS:
            msg = form.with_word(name, "x")
            assert (msg is None) == (not form.has_place_for(name))
            assert msg is None or word_in(name, msg) == "x"
