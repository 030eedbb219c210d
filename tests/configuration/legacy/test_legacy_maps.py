"""Maps of earlier versions: those of their four layouts load and mean what was documented; no other is touched."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configuration.json_reader import load_json
from gateway.configuration.legacy.legacy_maps import read_json_map
from gateway.configuration.load_map import load_map
from gateway.configuration.schemas import map_schema
from gateway.errors import ConfigurationError, MessageError, WordError
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.translation.mqtt_map import FIELDS, MsgMap
from tests.support.gateway_process import run_command
from tests.support.strategies import make_map, map_data, messages, texts, topics, words

MAPS = Path(__file__).parents[2] / "fixtures" / "maps"
TURNED = "read as a map from before June 2018: MQTT words on the left, internal words on the right"
RENAMED = "'source' is read as 'sender', its name since May 2018"
EMPTY = "a strict map without entries counts as none: every word passes"


def read(text: str, file: str = "map.json") -> tuple[Any, list[str]]:
    """Return the data of the map of `text` as it is read today, and the notes."""
    document, _, notes = read_json_map(load_json(text, file))
    return document.data, list(notes)


def load(folder: Path, text: str) -> tuple[MsgMap, list[str]]:
    """Return the map in a file with `text`, and what was said of it, without the path."""
    path, notes = folder / "map.json", list[str]()
    path.write_text(text)
    msg_map = load_map(path, sender="gw", log=notes.append)
    assert all(note.startswith(f"{path}:") for note in notes)
    return msg_map, [note.removeprefix(f"{path}:").strip() for note in notes]


def findings(folder: Path, text: str) -> list[str]:
    path = folder / "map.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as info:
        load_map(path, sender="gw")
    return [line.removeprefix(f"{path}:") for line in str(info.value).splitlines()]


# --- the fixtures, one for each layout


def fixture(name: str) -> tuple[MsgMap, list[str]]:
    notes: list[str] = []
    path = MAPS / f"{name}.json"
    return load_map(path, sender="gw", log=notes.append), [note.replace(f"{path}:", "").strip() for note in notes]


@pytest.mark.parametrize("name", ["of_early_2018", "of_may_2018", "of_1_1", "of_2_0"])
def test_a_map_of_each_layout_reads_and_writes_its_words(name: str) -> None:
    msg_map, _ = fixture(name)
    msg = msg_map.mqtt2internal("house/heating//cellar//me/C", b"warmer")
    location = "cellar" if name == "of_2_0" else "Cellar"
    function = "heating" if name == "of_2_0" else "Heating"
    assert msg == InternalMsg(True, function, "", location, "", "me", "TEMP_UP")
    status = InternalMsg(function=function, location="Attic2", action="TEMP_UP", arguments={"n": 1})
    written = msg_map.internal2mqtt(status)
    assert (written.topic, written.payload) == ("house/heating//Attic2//gw/S", b'{"action": "warmer", "n": 1}')


def test_a_map_of_early_2018_calls_the_sender_source_and_its_empty_maps_are_none() -> None:
    msg_map, notes = fixture("of_early_2018")
    assert notes == [
        RENAMED,
        f"{TURNED}; if several MQTT words have one internal word, the first is written",
        f"device: {EMPTY}",
    ]
    msg = msg_map.mqtt2internal("house//boiler2mqtt//any thing/you/C", b"hotter")
    assert msg == InternalMsg(True, "", "Boiler", "", "any thing", "you", "TEMP_UP")
    assert msg_map.internal2mqtt(msg).payload == b"warmer"
    with pytest.raises(WordError, match="gateway: 'other' is not in the map"):
        msg_map.mqtt2internal("house//other///you/C", b"hotter")


def test_a_map_of_may_2018_keeps_a_filter_that_can_match_nothing_and_reads_null_as_no_word() -> None:
    msg_map, notes = fixture("of_may_2018")
    assert notes[0] == TURNED
    assert notes[1].startswith("5:3: topics[1]: 'house/+/+/+/stove/+/C' matches no topic that this map accepts: ")
    assert len(notes) == 2
    assert msg_map.topics == ("house/heating/+/+/+/+/C", "house/+/+/+/stove/+/C")
    assert msg_map.mqtt2internal("house///anywhere//me/S", b'{"action":"temperature","celsius":3}') == InternalMsg(
        sender="me", action="TEMP", arguments={"DEGREES": 3}
    )
    assert msg_map.internal2mqtt(InternalMsg(action="TEMP")).topic == "house/////gw/S"


def test_a_map_of_1_1_has_its_unknown_keys_ignored_and_that_is_reported() -> None:
    msg_map, notes = fixture("of_1_1")
    assert notes[:3] == [
        f"gateway: {EMPTY.replace('strict', 'loose')}",
        "version is not part of a map and is ignored",
        "device.comment is not part of a map and is ignored",
    ]
    assert notes[3].startswith("5:16: topics[1]: 'house/+/+/+/stove/+/C' matches no topic")
    assert msg_map.mqtt2internal("house/heat/boiler/basement/boiler/me/C", b"warmer") == InternalMsg(
        True, "Heating", "boiler", "Cellar", "Boiler", "me", "TEMP_UP"
    )


def test_a_source_beside_a_sender_is_an_unknown_key(tmp_path: Path) -> None:
    sender = {"maptype": "loose", "map": {"Me": ["me"]}}
    fields = {**EMPTY_FIELDS, "sender": sender, "source": {"maptype": "none"}}
    msg_map, notes = load(tmp_path, json.dumps({"root": "home", "topics": [], **fields}))
    assert notes == ["source is not part of a map and is ignored"]
    assert msg_map.fields["sender"].read("me") == "Me"


def test_a_map_of_2_0_is_one_in_the_current_form() -> None:
    assert fixture("of_2_0")[1] == []


# --- laws

EMPTY_FIELDS: Mapping[str, Any] = {name: {"maptype": "none"} for name in FIELDS}


@st.composite
def reversed_maps(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw a map of before June 2018, and what a person would write for it today."""
    old: dict[str, Any] = {"root": "home", "topics": [], **EMPTY_FIELDS}
    new = dict(old)
    for name in draw(st.lists(st.sampled_from(FIELDS), unique=True, min_size=1)):
        mqtt = (words if name in ADDRESS_FIELDS else texts).filter(lambda word: word != "action")
        entries = draw(st.dictionaries(mqtt, texts, min_size=1, max_size=6))
        maptype = draw(st.sampled_from(("loose", "strict")))
        old[name] = {"maptype": maptype, "map": entries}
        by_internal: dict[str, list[str]] = {}
        for word, internal in entries.items():
            by_internal.setdefault(internal, []).append(word)
        new[name] = {"maptype": maptype, "map": by_internal}
    return old, new


def documented(maptype: str, entries: Mapping[str, str], word: str) -> str | None:
    """Return the internal word that the original's documentation gives for an MQTT word; None: refused."""
    if maptype == "none" or (word not in entries and (not word or maptype == "loose")):
        return word
    return entries.get(word)


@given(reversed_maps(), st.data())
def test_a_reversed_map_is_read_as_documented(maps: tuple[dict[str, Any], dict[str, Any]], data: st.DataObject) -> None:
    old, _ = maps
    msg_map = make_today(old)
    known = sorted({word for name in ADDRESS_FIELDS for word in old[name].get("map", {})})
    topic = data.draw(topics("home", words | st.sampled_from(known) if known else words))
    action = data.draw(words.filter(lambda word: word and word.lstrip(" ")[:1] != "{"))
    levels = dict(zip((*ADDRESS_FIELDS, "action"), [*topic.split("/")[1:-1], action], strict=True))
    wanted = {name: documented(old[name]["maptype"], old[name].get("map", {}), w) for name, w in levels.items()}
    if levels["sender"] == msg_map.fields["sender"].write("gw"):
        wanted["sender"] = "gw"  # today the gateway's own name is always known
    if None in wanted.values():
        with pytest.raises(WordError):
            msg_map.mqtt2internal(topic, action.encode())
        return
    msg = msg_map.mqtt2internal(topic, action.encode())
    assert {name: getattr(msg, name) for name in levels} == wanted


def make_today(data: dict[str, Any]) -> MsgMap:
    today, _ = read(json.dumps(data))
    return make_map({name: {"map": {}, **v} if isinstance(v, dict) else v for name, v in today.items()}, "gw")


@given(reversed_maps(), st.data())
def test_a_reversed_map_is_the_one_that_is_written_by_hand(
    maps: tuple[dict[str, Any], dict[str, Any]], data: st.DataObject
) -> None:
    old, new = maps
    assert read(json.dumps(old))[0] == new
    converted, by_hand = make_today(old), make_today(new)
    msg = data.draw(messages(new))
    try:
        publication = by_hand.internal2mqtt(msg)
    except MessageError as err:
        with pytest.raises(type(err)):
            converted.internal2mqtt(msg)
    else:
        assert converted.internal2mqtt(msg) == publication
        assert converted.mqtt2internal(publication.topic, publication.payload) == by_hand.mqtt2internal(
            publication.topic, publication.payload
        )


@given(map_data(), st.booleans(), st.data())
def test_a_map_in_the_current_form_is_never_read_as_another(
    data: dict[str, Any], complete: bool, draw: st.DataObject
) -> None:
    if complete:
        data = {**EMPTY_FIELDS, **data}
    document, _, notes = read_json_map(load_json(json.dumps(data), "map.json"), map_schema()["properties"])
    assert not notes
    unused = [name for name in FIELDS if name in data and data[name]["maptype"] == "none"]
    without = {**data, **{name: {"maptype": "none"} for name in unused}}
    assert document.data in (data, without), "a map of type none may go: nothing looks at it"


@given(st.recursive(st.none() | st.booleans() | words, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_what_is_no_map_comes_back_as_it_is(data: Any) -> None:
    document = load_json(json.dumps(data), "map.json")
    assert read_json_map(document).document is document


# --- findings


def test_findings_of_a_reversed_map_have_the_places_of_its_file(tmp_path: Path) -> None:
    text = """{
        "root": "home", "topics": [],
        "locaton": {"maptype": "none"},
        "device": {"maptype": "strict", "map": {
            "lamp": "Lamp", "ceiling/lamp": "Lamp",
            "spot": null}},
        "function": {"maptype": "stric", "map": {"a": "A"}},
        "argkey": {"maptype": "strict", "map": {"action": "ACTION"}},
        "gateway": {"maptype": "strict", "comment": "", "map": {}}
    }"""
    assert findings(tmp_path, text) == [
        "3:9: locaton: unknown option: did you mean 'location' or 'action'?",
        "5:29: device.map.ceiling/lamp: 'ceiling/lamp': '/' is not allowed in a topic: use another word",
        "7:33: function.maptype: expected one of none, loose, strict, found \"stric\": did you mean 'strict'?",
        "8:49: argkey.map.action: the payload reserves 'action' for the action: use another word",
        "9:42: gateway.comment: unknown option: known here: map, maptype",
    ]


def test_every_part_of_a_reversed_map_has_its_place() -> None:
    text = '{"root": "home", "topics": [], "device": {"maptype": "loose", "map": {\n"lamp": "Lamp", "light": "Lamp"}}}'
    document = read_json_map(load_json(text, "map.json")).document
    for path, place in (
        (("device", "map", "Lamp"), (2, 9)),
        (("device", "map", "Lamp", 0), (2, 1)),
        (("device", "map", "Lamp", 1), (2, 17)),
        (("device", "map"), (1, 70)),
    ):
        finding = document.finding(path, "something")
        assert (finding.line, finding.column) == place


@pytest.mark.parametrize("unused", [{"a": ["x"]}, {"a": "x"}, 5])
def test_what_stands_in_a_section_of_type_none_does_not_matter(unused: object) -> None:
    fields = {**EMPTY_FIELDS, "sender": {"maptype": "none", "map": unused}}
    device = {"maptype": "loose", "map": {"lamp": "Lamp"}}
    data, notes = read(json.dumps({"root": "home", "topics": [], **fields, "device": device}))
    assert data["device"]["map"] == {"Lamp": ["lamp"]}
    assert data["sender"] == {"maptype": "none"}
    assert notes == [TURNED]


@pytest.mark.parametrize("entries", [{}, None])
def test_a_map_without_entries_is_none(entries: object) -> None:
    fields = {**EMPTY_FIELDS, "device": {"map": entries, "maptype": "strict"}}
    data, notes = read(json.dumps({"root": "home", "topics": [], **fields}))
    assert data["device"] == {"maptype": "none"}
    assert notes == [f"device: {EMPTY}"]


def test_findings_of_a_source_are_reported_at_the_source(tmp_path: Path) -> None:
    fields = {name: part for name, part in EMPTY_FIELDS.items() if name != "sender"}
    text = json.dumps({"root": "home", "topics": [], **fields})[:-1]
    assert findings(tmp_path, text + ',\n"source": {"maptype": "loose", "map": {"a": "A", "b+": "B"}}}') == [
        "2:50: source.map.b+: 'b+': '+' is not allowed in a topic: use another word"
    ]


def test_words_and_lists_in_one_map_are_ambiguous_and_stay_findings(tmp_path: Path) -> None:
    fields = (
        '"function": {"maptype": "loose", "map": {"a": ["x"]}},\n "device": {"maptype": "loose", "map": {"b": "y"}}'
    )
    assert findings(tmp_path, f'{{"root": "home", "topics": [],\n {fields}}}') == [
        '3:46: device.map.b: expected a list, found "y": write it as "b": ["y"]'
    ]


def test_a_key_that_a_version_before_3_0_did_not_know_makes_it_a_map_in_the_current_form(tmp_path: Path) -> None:
    today = {"root": "home", "topics": ["town/#"], "delivery": [], **EMPTY_FIELDS}
    [line] = findings(tmp_path, json.dumps(today))
    assert "topics[0]: 'town/#' matches no topic" in line
    turned = {"root": "home", "topics": [], "delivery": [], "device": {"maptype": "loose", "map": {"lamp": "Lamp"}}}
    [line] = findings(tmp_path, json.dumps(turned))
    assert 'device.map.lamp: expected a list, found "Lamp"' in line


SLIPS: list[tuple[dict[str, Any], str]] = [
    ({"function": {"maptype": "strict", "map": {}}}, "function.maptype: a strict map without entries"),
    ({"function": {"maptype": "none", "note": 1}}, "function.note: unknown option"),
    ({"notes": 1}, "notes: unknown option"),
    ({"topics": ["town/#"]}, "topics[0]: 'town/#' matches no topic"),
    ({"source": {"maptype": "none"}}, "source: unknown option"),
]


@pytest.mark.parametrize(("slip", "finding"), SLIPS)
@pytest.mark.parametrize("others", [{}, {"_": "as today", **EMPTY_FIELDS}], ids=["some fields", "a comment"])
def test_a_slip_in_a_map_in_the_current_form_stays_a_finding(
    others: dict[str, Any], slip: dict[str, Any], finding: str, tmp_path: Path
) -> None:
    [line] = findings(tmp_path, json.dumps({"root": "home", "topics": [], **others, **slip}))
    assert finding in line


def test_a_word_twice_in_an_old_map_is_a_finding_although_a_version_before_3_0_used_the_last(tmp_path: Path) -> None:
    text = '{"root": "home", "topics": [], "device": {"maptype": "loose", "map": {"a": "A",\n "a": "B"}}}'
    assert findings(tmp_path, text) == ["2:2: device.map.a: duplicate option, first in line 1: remove one of the two"]


# --- what is said


def test_what_a_map_was_read_as_is_reported_once_by_check_and_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = MAPS / "of_early_2018.json"
    with caplog.at_level(logging.INFO):
        load_map(path, sender="gw")
    assert f"{path}: {RENAMED}" in caplog.messages
    conf = tmp_path / "gw.conf"
    interfaces = {"a": {"type": "dummy"}, "b": {"type": "dummy", "map": str(path)}}
    conf.write_text(json.dumps({"map": str(path), "interfaces": interfaces}))
    done = run_command(conf, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(f"  note          {path}: {TURNED}") == 1
