from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.configuration.document import MAX_BYTES
from gateway.configuration.json_reader import load_json
from gateway.configuration.load_map import build_map, load_map, read_text
from gateway.configuration.schemas import map_schema
from gateway.configuration.yaml_reader import load_yaml
from gateway.errors import ConfigurationError
from gateway.message import InternalMsg
from gateway.translation.mqtt_map import FIELDS, MsgMap
from tests.support.strategies import any_words, json_values, map_data, plain_names

ONE_THING = "an MQTT word can have only one meaning: remove one of the two"
NO_ENTRIES = "a loose map without entries translates nothing: add a map, or set maptype to none"
LEVELS = "function/gateway/location/device/sender/C or S, in the words of the map"


def build(data: Any) -> MsgMap:
    document = load_json(json.dumps(data), "map.json")
    return build_map(document, document.data, sender="gw")


def findings_of(text: str) -> list[str]:
    """Return the findings in the text of a map called `map.json`, as texts."""
    document = load_json(text, "map.json")
    with pytest.raises(ConfigurationError) as info:
        build_map(document, document.data, sender="gw")
    assert str(info.value) == "\n".join(map(str, info.value.findings))
    return str(info.value).splitlines()


def findings_in(**data: Any) -> list[str]:
    """Return the findings in a map of one line, without their places."""
    texts = findings_of(json.dumps({"root": "home", "topics": [], **data}))
    assert all(text.startswith("map.json:1:") for text in texts)
    return [text.split(": ", 1)[1] for text in texts]


# --- laws


@given(map_data(), plain_names)
def test_a_map_whose_words_are_legal_and_have_one_meaning_loads(data: dict[str, Any], sender: str) -> None:
    document = load_json(json.dumps(data), "map.json")
    msg_map = build_map(document, document.data, sender=sender)
    assert (msg_map.root, msg_map.sender) == (data["root"], sender)
    for name in set(FIELDS) & set(data):
        for internal, aliases in data[name]["map"].items():
            taken = name == "sender" and sender in aliases
            if data[name]["maptype"] != "none" and not taken:
                assert msg_map.fields[name].write(internal) == aliases[0]


any_field = st.fixed_dictionaries(
    {"maptype": st.sampled_from(("none", "loose", "strict")) | json_values()},
    optional={"map": st.dictionaries(any_words, st.lists(any_words, max_size=2) | json_values()) | json_values()},
)
any_map = st.fixed_dictionaries(
    {"root": any_words, "topics": st.lists(any_words | st.sampled_from(("$share", "$share/a", "+/#")), max_size=3)},
    optional={**dict.fromkeys(FIELDS, any_field), "_note": json_values(), "roof": any_words},
)


@settings(max_examples=200)
@given(any_map | json_values())
def test_any_json_is_a_map_or_a_configuration_error_with_places(data: Any) -> None:
    try:
        build(data)
    except ConfigurationError as err:
        assert err.findings
        assert all(finding.line == 1 and finding.column and finding.what for finding in err.findings)


# --- maps that load


def test_a_map_file_is_loaded_for_a_sender(tmp_path: Path) -> None:
    path = tmp_path / "house.json"
    path.write_text(
        """{
            "$schema": "map_schema.json", "_comment": "any", "root": "site/home",
            "topics": ["site/home/+/+/kueche/+/+/C", "site/home/+/+/kueche/+/+/C", "#"],
            "location": {"_comment": 1, "maptype": "strict", "map": {"kitchen": ["kueche", "kitchen"]}},
            "action": {"maptype": "loose", "map": {"ON": ["an"]}},
            "device": {"maptype": "none", "map": {"a": ["x"], "b": ["x", "+"]}}
        }""",
        encoding="utf-8-sig",
    )
    msg_map = load_map(path, sender="gw", status_qos=0)
    assert msg_map.topics == ("site/home/+/+/kueche/+/+/C", "#")
    publication = msg_map.internal2mqtt(InternalMsg(location="kitchen", action="ON"))
    assert (publication.topic, publication.payload, publication.qos) == ("site/home///kueche//gw/S", b"an", 0)
    assert msg_map.mqtt2internal("site/home///kitchen///S", b"an").action == "ON"


def test_a_map_needs_no_more_than_root_and_topics() -> None:
    assert build({"root": "home", "topics": []}).internal2mqtt(InternalMsg()).topic == "home/////gw/S"


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        ("[a, 1]", '8:14: map.location.map.k[1]: expected text, found 1: put it in quotes: "1"'),
        (
            "[a, a]",
            f"8:14: map.location.map.k[1]: 'a' is already an MQTT word of 'k': {ONE_THING}",
        ),
    ],
)
def test_a_map_inside_a_configuration_has_its_places_there(words: str, finding: str) -> None:
    text = "name: gw\nmap:\n  root: home\n  topics: [home/#]\n  location:\n    maptype: strict\n    map:\n      k: "
    document = load_yaml(text + words, "gw.conf", {})
    with pytest.raises(ConfigurationError) as info:
        build_map(document, document.data["map"], ("map",), sender="gw")
    assert str(info.value) == f"gw.conf:{finding}"


def test_form_words_and_filters_of_a_map_are_reported_together() -> None:
    text = '{"root": "home", "topics": ["x/#", "home/#/x"], "device": {"maptype": "x"}, "action": {"maptype": "loose"}}'
    document = load_json(text, "map.json")
    with pytest.raises(ConfigurationError) as info:
        build_map(document, document.data, sender="gw")
    assert [finding.where for finding in info.value.findings] == [
        "topics[0]", "topics[1]", "device.maptype", "action.maptype"
    ]  # fmt: skip


def test_the_schema_of_a_map_is_a_schema_and_knows_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(map_schema())
    assert set(map_schema()["properties"]) == {
        "$schema",
        "root",
        "topics",
        "empty_level",
        "delivery",
        "syntax",
        *FIELDS,
    }


# --- all findings together


def test_everything_that_breaks_the_schema_is_reported_together() -> None:
    text = """{
        "_comment": "fine",
        "roof": "home",
        "topics": "home/#",
        "location": {"maptype": "stric"},
        "device": {"map": {"lamp": [], "bulb": "b", "spot": [1]}},
        "action": []
    }"""
    assert findings_of(text) == [
        "map.json:1:1: 'root' is missing: is it misspelled as 'roof'?",
        "map.json:3:9: roof: unknown option: did you mean 'root'?",
        'map.json:4:19: topics: expected a list, found "home/#": write it as "topics": ["home/#"]',
        "map.json:5:33: location.maptype: expected one of none, loose, strict, found \"stric\": did you mean 'strict'?",
        "map.json:6:19: device: 'maptype' is missing: add it: maptype: strict",
        "map.json:6:36: device.map.lamp: expected at least 1, found 0",
        'map.json:6:48: device.map.bulb: expected a list, found "b": write it as "bulb": ["b"]',
        'map.json:6:62: device.map.spot[0]: expected text, found 1: put it in quotes: "1"',
        "map.json:7:19: action: expected a mapping, found a list",
    ]


def test_everything_that_no_schema_can_express_is_reported_together() -> None:
    text = """{
        "root": "home/",
        "topics": ["home/#", "home/a#"],
        "location": {"maptype": "strict", "map": {
            "kitchen": ["kueche", "a/b"],
            "bath": ["bad", "kueche"]}},
        "sender": {"maptype": "loose"},
        "argkey": {"maptype": "loose", "map": {"deed": ["action"], "level": ["l", "l"]}},
        "argvalue": {"maptype": "strict", "map": {"on": ["\\ud800"]}}
    }"""
    surrogate = "'\\ud800': an unpaired surrogate cannot be written as UTF-8"
    assert findings_of(text) == [
        "map.json:2:17: root: it ends with '/': write home",
        "map.json:3:30: topics[1]: 'home/a#': '#' must be the whole last level: correct the filter",
        "map.json:5:35: location.map.kitchen[1]: 'a/b': '/' is not allowed in a topic: use another word",
        f"map.json:6:29: location.map.bath[1]: 'kueche' is already an MQTT word of 'kitchen': {ONE_THING}",
        f"map.json:7:31: sender.maptype: {NO_ENTRIES}",
        "map.json:8:57: argkey.map.deed[0]: the payload reserves 'action' for the action: use another word",
        f"map.json:8:83: argkey.map.level[1]: 'l' is already an MQTT word of 'level': {ONE_THING}",
        f"map.json:9:58: argvalue.map.on[0]: {surrogate}: use another word",
    ]


def test_filters_that_match_nothing_the_map_accepts_are_reported_together() -> None:
    text = """{
        "root": "site/home",
        "topics": [
            "home/#",
            "site/home/+/+/kueche/+/+/C",
            "site/home/+/+/kitchen/+/+/C",
            "site/home/+/+/+/+/+/X",
            "site/home/+/+/+",
            "$share/group/site/#",
            "$share/group/town/#"],
        "location": {"maptype": "strict", "map": {"kitchen": ["kueche"]}}
    }"""
    dead = "matches no topic that this map accepts"
    form = f"a topic is site/home/{LEVELS}; one of another form needs a syntax in the map"
    assert findings_of(text) == [
        f"map.json:4:13: topics[0]: 'home/#' {dead}: its level 1 is 'home': {form}",
        f"map.json:6:13: topics[2]: 'site/home/+/+/kitchen/+/+/C' {dead}: its level 5 is 'kitchen': {form}",
        f"map.json:7:13: topics[3]: 'site/home/+/+/+/+/+/X' {dead}: its level 8 is 'X': {form}",
        f"map.json:8:13: topics[4]: 'site/home/+/+/+' {dead}: it has 5 levels, but a topic has 8: {form}",
        f"map.json:10:13: topics[6]: '$share/group/town/#' {dead}: its level 1 is 'town': {form}",
    ]


# --- a word for an empty level


def test_a_word_for_an_empty_level_is_accepted() -> None:
    document = load_json('{"root": "home", "topics": ["home/+/+/-/+/+/C"], "empty_level": "-"}', "map.json")
    assert build_map(document, document.data, sender="gw").empty_level == "-"


@pytest.mark.parametrize(
    ("parts", "actual"),
    [
        ({"empty_level": ""}, "empty_level: it is empty: for example -"),
        ({"empty_level": "a/b"}, "empty_level: 'a/b': '/' is not allowed in a topic: use another word"),
        ({"empty_level": "+"}, "empty_level: '+': '+' is not allowed in a topic: use another word"),
        ({"empty_level": "$x"}, "empty_level: '$x': topics that begin with '$' belong to the broker: use another word"),
        ({"empty_level": "gw"}, "empty_level: 'gw': it is the name of this gateway: use another word"),
        (
            {"empty_level": "-", "device": {"maptype": "loose", "map": {"lamp": ["lamp", "-"]}}},
            (
                "device.map.lamp[1]: '-' already stands for an empty level (empty_level): "
                "an MQTT word can have only one meaning: use another word"
            ),
        ),
        (
            {
                "empty_level": "-",
                "syntax": {
                    "constants": {"function": "", "gateway": "", "action": "X"},
                    "commands": [],
                    "statuses": [{"topic": "{root}/{location}-{device}", "payload": "json"}],
                },
            },
            (
                "empty_level: '-': it would be read as other words in '{root}/{location}-{device}', where it is a "
                "separator: use another word"
            ),
        ),
    ],
)
def test_a_word_that_cannot_stand_for_an_empty_level_is_reported(parts: dict[str, Any], actual: str) -> None:
    assert findings_in(**parts) == [actual]


def test_a_word_for_an_empty_level_may_be_one_of_a_field_outside_topics_or_without_empty_words() -> None:
    fields: dict[str, Any] = {
        "argvalue": {"maptype": "loose", "map": {"OFF": ["-"]}},
        "action": {"maptype": "loose", "map": {"STOP": ["-"]}},
        "device": {"maptype": "loose", "map": {"": ["all"], "lamp": ["-"]}},
        "location": {"maptype": "none", "map": {"hall": ["-"]}},
    }
    document = load_json(json.dumps({"root": "home", "topics": [], "empty_level": "-", **fields}), "map.json")
    assert build_map(document, document.data, sender="gw").fields["location"].write("") == "-"


# --- single findings


@pytest.mark.parametrize("name", FIELDS)
def test_an_mqtt_word_with_two_meanings_is_refused_in_every_field(name: str) -> None:
    field = {"maptype": "loose", "map": {"a": ["x"], "b": ["x"]}}
    assert findings_in(**{name: field}) == [f"{name}.map.b[0]: 'x' is already an MQTT word of 'a': {ONE_THING}"]


@pytest.mark.parametrize("name", FIELDS)
def test_an_internal_word_without_mqtt_words_is_refused_in_every_field(name: str) -> None:
    assert findings_in(**{name: {"maptype": "strict", "map": {"a": []}}}) == [
        f"{name}.map.a: expected at least 1, found 0"
    ]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("word", ["+", "a/b", "\x00", "\x85", "x" * 257], ids=ascii)
def test_a_word_illegal_in_a_topic_is_refused_where_it_would_stand_in_one(name: str, word: str) -> None:
    field = {"maptype": "strict", "map": {"a": [word]}}
    if name in ("action", "argkey", "argvalue"):
        build({"root": "home", "topics": [], name: field})
        return
    [finding] = findings_in(**{name: field})
    assert finding.startswith(f"{name}.map.a[0]: {word!a}: ")
    assert finding.endswith(": use another word")


def test_the_gateways_own_name_is_accepted_in_filters_of_a_strict_sender_map() -> None:
    sender: Mapping[str, Any] = {"maptype": "strict", "map": {"other": ["o"]}}
    build({"root": "home", "topics": ["home/+/+/+/+/gw/S", "home/+/+/+/+//S"], "sender": sender})
    [finding] = findings_in(topics=["home/+/+/+/+/third/S"], sender=sender)
    assert finding.startswith("topics[0]: 'home/+/+/+/+/third/S' matches no topic that this map accepts: ")


# --- files


def test_what_is_not_json_is_reported_with_its_place_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text('{"root": "home",\n "topics": [,]}')
    with pytest.raises(ConfigurationError) as info:
        load_map(path, sender="gw")
    assert str(info.value) == f"{path}:2:13: not JSON: Expecting value: check commas, quotes and brackets"


def test_a_file_that_cannot_be_read_is_reported_by_its_path(tmp_path: Path) -> None:
    latin, large = tmp_path / "latin.json", tmp_path / "large.json"
    latin.write_bytes('{"root": "Küche"}'.encode("latin-1"))
    with large.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    advice = "check its path and permissions"
    for path, problem in (
        (tmp_path / "none.json", f"cannot be read: No such file or directory: {advice}"),
        (tmp_path, f"cannot be read: Is a directory: {advice}"),
        (tmp_path / "\0", f"cannot be read: embedded null byte: {advice}"),
        (latin, "not UTF-8 at byte 11: save it as UTF-8"),
        (large, "larger than 16 MiB: is it the right file?"),
    ):
        with pytest.raises(ConfigurationError) as info:
            read_text(path)
        assert str(info.value) == f"{path}: {problem}"


def test_a_path_that_no_file_can_have_is_reported() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_text(Path("\ud800"))


# --- the words of outcomes


UNTOUCHED = "is a reserved word of the gateway, which no map translates: remove the entry"
TAKEN = "is reserved: the gateway publishes the outcome of a command in it: use another word"


@pytest.mark.parametrize(
    ("argkey", "finding"),
    [
        ({"response": ["answer"]}, f"argkey.map.response[0]: 'response' {UNTOUCHED}"),
        ({"reason": ["reason", "why"]}, f"argkey.map.reason[1]: 'reason' {UNTOUCHED}"),
        ({"level": ["lvl", "requested"]}, f"argkey.map.level[1]: 'requested' {TAKEN}"),
    ],
)
def test_a_map_that_touches_the_words_of_outcomes_is_a_finding(argkey: dict[str, Any], finding: str) -> None:
    assert findings_in(argkey={"maptype": "strict", "map": argkey}) == [finding]


def test_a_map_may_leave_the_words_of_outcomes_as_they_are() -> None:
    """As strict maps had to, when they were asked."""
    unchanged = {name: [name] for name in ("response", "reason", "requested")}
    build({"root": "home", "topics": [], "argkey": {"maptype": "strict", "map": unchanged}})
    build({"root": "home", "topics": [], "argkey": {"maptype": "none", "map": {"level": ["response"]}}})


def test_the_value_of_a_payload_is_not_called_by_a_word_of_outcomes() -> None:
    forms = {
        "commands": [],
        "statuses": [{"topic": "stat/{device}/{action}", "payload": "value", "argument": "reason"}],
    }
    constants = {"function": "", "gateway": "", "location": ""}
    actual = findings_in(syntax={"constants": constants, **forms})
    assert actual == [f"syntax.statuses[0].argument: 'reason' {TAKEN}"]


def test_a_map_of_a_version_before_3_0_that_touches_the_words_of_outcomes_still_loads(tmp_path: Path) -> None:
    """Outcomes were published under these names, which are no longer translated; a note reports it."""
    plain = {name: {"maptype": "none"} for name in FIELDS}
    argkey = {"maptype": "strict", "map": {"response": ["answer"], "level": ["lvl"]}}
    file = tmp_path / "old_map.json"
    file.write_text(json.dumps({"root": "home", "topics": [], **plain, "argkey": argkey}))
    reported: list[str] = []
    msg_map = load_map(file, sender="gw", log=reported.append)
    assert any("'response' is a reserved word of the gateway" in line for line in reported)
    refused = InternalMsg(True, action="SET", arguments={"level": 5}).reply("REFUSED", "no")
    assert json.loads(msg_map.internal2mqtt(refused).payload) == {
        "action": "SET", "response": "REFUSED", "reason": "no", "requested": {"lvl": 5}
    }  # fmt: skip
