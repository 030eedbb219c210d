"""What a syntax is refused for, each with its place and a counterexample that is one."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from gateway.configuration.check_syntax import build_syntax
from gateway.configuration.json_reader import load_json
from gateway.configuration.load_map import build_map, load_map
from gateway.errors import ConfigurationError
from gateway.translation.mqtt_map import FIELDS, FieldMap, MsgMap
from gateway.translation.syntax import SEVEN_LEVELS, MessageForm
from tests.support.strategies import MapData
from tests.support.syntaxes import loaded, readers, syntax_maps

EVERYTHING = {"function": "f", "gateway": "", "location": "", "device": "d", "action": "SET"}


def findings_in(syntax: Any, **others: Any) -> list[str]:
    """Return the findings of a map with this syntax, without their file."""
    text = json.dumps({"root": "home", "topics": [], **others, "syntax": syntax})
    document = load_json(text, "map.json")
    with pytest.raises(ConfigurationError) as info:
        build_map(document, document.data, sender="gw")
    for finding in info.value.findings:
        assert finding.line == 1
        assert finding.column > 1
    return [str(finding).split(": ", 1)[1] for finding in info.value.findings]


def forms(*statuses: Any, constants: Any = EVERYTHING, commands: Any = ()) -> dict[str, Any]:
    return {"constants": constants, "commands": list(commands), "statuses": list(statuses)}


def test_a_syntax_is_built_of_its_forms() -> None:
    built = build_syntax(
        {
            "_": "a comment",
            "constants": {"_": "another", "function": "f", "device": "d"},
            "commands": [{"topic": "{action}", "payload": "value", "argument": "to"}],
            "statuses": [{"_": "one more", "topic": "a", "constants": {"_": "", "device": "lamp"}}],
        }
    )
    assert built == (
        MessageForm(True, "{action}", "value", "to", {"function": "f", "device": "d"}),
        MessageForm(False, "a", "action", "value", {"function": "f", "device": "lamp"}),
    )
    assert built[0].places == {"action"}
    assert built[1].places == {"action"}


def test_the_seven_levels_can_be_declared_too() -> None:
    levels = "{root}/{function}/{gateway}/{location}/{device}/{sender}/"
    declared = build_syntax({"commands": [{"topic": f"{levels}C"}], "statuses": [{"topic": f"{levels}S"}]})
    assert declared == SEVEN_LEVELS
    data: MapData = {"root": "home", "topics": [], "syntax": forms({"topic": f"{levels}S"}, constants={})}
    assert loaded(data) is not None


def test_a_form_may_say_that_its_value_is_text() -> None:
    one, other = {"topic": "{action}", "payload": "value", "text": True}, {"topic": "a/{action}", "payload": "value"}
    built = build_syntax({"commands": [], "statuses": [one, other]})
    assert [form.text for form in built] == [True, False]
    constants = dict.fromkeys(("function", "gateway", "location", "device"), "")
    assert findings_in(forms({**one, "payload": "json"}, constants=constants)) == [
        "syntax.statuses[0].text: the payload 'json' marks text itself: remove it, or set payload to value"
    ]


def test_a_field_without_a_place_is_refused_with_two_messages_that_would_be_one() -> None:
    actual = findings_in(
        forms({"topic": "stat/{device}", "payload": "action"}, constants={"function": "f", "gateway": ""})
    )
    assert actual == [
        (
            "syntax.statuses[0].topic: 'stat/{device}' has no place for location: 'status f/-/a/device/- action' and "
            "'status f/-/b/device/- action' would both be written to 'stat/device': "
            "add {location}, or a constant for location"
        )
    ]


def test_the_action_needs_a_place_too_but_the_sender_does_not() -> None:
    address = dict.fromkeys(("function", "gateway", "location", "device"), "")
    [actual] = findings_in(forms({"topic": "{root}/x", "payload": "json"}, constants=address))
    assert actual == (
        "syntax.statuses[0].topic: '{root}/x' has no place for action: 'status -/-/-/-/- a' and 'status -/-/-/-/- b' "
        "would both be written to 'home/x': add {action}, or a constant for action"
    )


@pytest.mark.parametrize(
    ("form", "actual"),
    [
        (
            {"topic": "a/{action}", "payload": "action"},
            ("topic: 'a/{action}' contains the action, and so does the payload 'action': the two could differ: "
            "set payload to json, value or empty"),
        ),
        (
            {"topic": "a", "payload": "json", "argument": "x"},
            ("argument: the payload 'json' names its arguments itself, or has none: "
            "remove it, or set payload to value"),
        ),
        (
            {"topic": "a/{device}", "payload": "json", "constants": {"device": "x"}},
            "constants.device: device is also in the topic, where it could be another word: remove one of the two",
        ),
        (
            {"topic": "a", "constants": {"action": "x"}},
            ("constants.action: action is also in the payload, where it could be another word: "
            "remove one of the two"),
        ),
        ({"topic": "a/{x}"}, ("topic: 'a/{x}': {x} is no field: known here: root, function, gateway, location, device, "
                             "sender, action")),
        ({"topic": ""}, "topic: it is empty: for example cmnd/{device}/{action}"),
        ({"topic": "a", "payload": "text"}, ("payload: expected one of action, json, value, empty, found \"text\"")),
        ({"topic": "a", "constants": {"sender": "x"}}, ("constants.sender: unknown option: "
                                                       "known here: action, device, function, gateway, location")),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_is_refused_at_its_place(form: Any, actual: str) -> None:
    assert findings_in(forms({"topic": "fine/{device}"}, form)) == [f"syntax.statuses[1].{actual}"]


def test_a_syntax_without_forms_is_refused() -> None:
    assert findings_in(forms()) == [
        "syntax: it has no form, so that nothing could be written or read: add one, or remove the syntax"
    ]


def test_two_forms_that_one_topic_can_have_are_refused_with_that_topic() -> None:
    actual = findings_in(
        forms(
            {"topic": "{root}/{location}/state", "payload": "json"},
            commands=[{"topic": "home/x-{device}/{action}", "payload": "empty"}],
        )
    )
    assert actual == [
        (
            "syntax.statuses[0].topic: '{root}/{location}/state' can be the same topic as 'home/x-{device}/{action}': "
            "'home/x-device/state' would be 'command f/-/-/device/- state' (home/x-{device}/{action}, empty) "
            "as well as 'status f/-/x-device/d/- SET' ({root}/{location}/state, json): "
            "distinguish them by fixed text, or by the words of a strict map"
        )
    ]


STRICT = {"maptype": "strict", "map": {"ON": ["on", "an"]}}


def test_the_words_of_a_strict_map_tell_forms_apart_unless_one_is_the_fixed_text() -> None:
    syntax = forms({"topic": "a/{action}", "payload": "value"}, {"topic": "a/json", "payload": "json"})
    assert loaded({"root": "home", "topics": [], "syntax": syntax, "action": STRICT}) is not None
    also_json = {"maptype": "strict", "map": {"ON": ["on", "json"]}}
    for action in also_json, {**STRICT, "maptype": "loose"}, {"maptype": "none"}:
        [actual] = findings_in(syntax, action=action)
        assert "'a/json' would be" in actual


def test_the_words_of_a_strict_map_tell_forms_apart_beside_other_words_in_a_level_too() -> None:
    no_function = {"maptype": "strict", "map": {"": [""]}}
    constants = dict.fromkeys(("function", "gateway", "location", "device"), "")
    syntax = forms(
        {"topic": "{function}-{gateway}/-{location}", "payload": "action"},
        commands=[{"topic": "a-{function}/{gateway}", "payload": "action"}],
        constants=constants,
    )
    assert loaded({"root": "home", "topics": [], "syntax": syntax, "function": no_function}) is not None
    with_a = {"maptype": "strict", "map": {"": [""], "f": ["a"]}}
    [actual] = findings_in(syntax, function=with_a)
    assert "'a-a/-gateway' would be 'command f/-gateway/-/-/- -'" in actual


@pytest.mark.parametrize("words", [{"": [""]}, {"system": ["$SYS"]}])
def test_forms_are_told_apart_if_only_what_is_no_topic_could_be_of_both(words: Any) -> None:
    constants = dict.fromkeys(("gateway", "location", "device", "action"), "")
    syntax = forms({"topic": "{function}", "payload": "json"}, constants=constants,
                   commands=[{"topic": "{function}", "payload": "json"}])  # fmt: skip
    strict = {"maptype": "strict", "map": words}
    assert loaded({"root": "home", "topics": [], "syntax": syntax, "function": strict}) is not None


def test_the_map_of_senders_tells_nothing_apart_since_another_sender_may_use_the_map() -> None:
    syntax = forms({"topic": "a/{sender}", "payload": "value"}, {"topic": "a/json", "payload": "json"})
    [actual] = findings_in(syntax, sender=STRICT)
    assert "'a/json' would be" in actual


def test_what_else_is_wrong_with_the_words_is_reported_instead_of_what_only_follows_from_it() -> None:
    syntax = forms({"topic": "a/{action}", "payload": "value"}, {"topic": "a/json", "payload": "json"})
    wrong = {"maptype": "strict", "map": {"ON": ["on"], "OFF": ["on"]}}
    [actual] = findings_in(syntax, action=wrong)
    assert actual.startswith("action.map.OFF[0]: 'on' is already an MQTT word of 'ON'")


def test_a_filter_that_matches_no_topic_of_the_syntax_is_refused() -> None:
    syntax = forms({"topic": "stat/x-{device}/{action}", "payload": "json"}, commands=[{"topic": "cmnd/{device}"}])
    good = ["#", "stat/#", "stat/+/on", "stat/x-lamp/+", "cmnd/+", "cmnd/lamp", "cmnd/lamp/#", "$share/g/cmnd/+"]
    assert loaded({"root": "home", "topics": good, "syntax": syntax, "action": STRICT}) is not None
    dead = {
        "stat/lamp/+": "its level 2 is 'lamp'",
        "stat/x-lamp/off": "its level 3 is 'off'",
        "stat/+": "its level 1 is 'stat'",
        "home/#": "its level 1 is 'home'",
        "cmnd/+/+": "its level 1 is 'cmnd'",
        "a/b/c/d": "it has 4 levels, but a topic has 2 or 3",
        "/stat/x-lamp/off": "it begins with '/'",
    }
    assert findings_in(syntax, action=STRICT, topics=list(dead)) == [
        f"topics[{index}]: '{topic_filter}' matches no topic that this map accepts: {why}: a topic is cmnd/device, "
        f"stat/x-device/action, in the words of the map; one of another form needs a syntax in the map"
        for index, (topic_filter, why) in enumerate(dead.items())
    ]


def test_an_action_that_stands_in_the_topic_may_hold_only_what_a_topic_may() -> None:
    action = {"maptype": "loose", "map": {"ON": ["on/off"]}}
    in_topic = forms({"topic": "a/{action}", "payload": "json"})
    assert findings_in(in_topic, action=action) == [
        "action.map.ON[0]: 'on/off': '/' is not allowed in a topic: use another word"
    ]
    assert loaded({"root": "home", "topics": [], "syntax": forms({"topic": "a"}), "action": action}) is not None


def test_an_argument_may_be_called_action_where_no_payload_keeps_that_name() -> None:
    argkey = {"maptype": "loose", "map": {"BUTTON": ["action"]}}
    json_only = forms({"topic": "a", "payload": "json"})
    msg_map = loaded({"root": "home", "topics": [], "syntax": json_only, "argkey": argkey})
    assert msg_map is not None
    assert msg_map.mqtt2internal("a", b'{"action": "single"}').arguments == {"BUTTON": "single"}
    [actual] = findings_in(forms({"topic": "a"}), argkey=argkey)
    assert actual.startswith("argkey.map.BUTTON[0]: the payload reserves 'action' for the action")


_SHOWN_TOPIC = re.compile(r"""the same topic as .*?: ('(?:[^'\\]|\\.)*'|"[^"]*") would be""")
"""A topic as it is quoted in a finding: what is not ASCII is escaped."""


@settings(max_examples=200)
@given(syntax_maps())
def test_a_counterexample_is_a_topic_that_two_forms_read(data: MapData) -> None:
    document = load_json(json.dumps(data), "map.json")
    try:
        build_map(document, document.data, sender="gw")
        return
    except ConfigurationError as err:
        actual = [_SHOWN_TOPIC.search(finding.what) for finding in err.findings]
        topics = [ast.literal_eval(match[1]) for match in actual if match]
    fields = {name: FieldMap(name, data[name]["maptype"], data[name]["map"]) for name in data if name in
              ("function", "gateway", "location", "device", "action")}  # fmt: skip
    msg_map = MsgMap("home", fields=fields, sender="gw", syntax=build_syntax(data["syntax"]))
    for topic in topics:
        assert len(readers(msg_map, topic)) >= 2


def test_a_map_with_all_sections_and_a_syntax_is_no_map_of_a_version_before_3_0(tmp_path: Path) -> None:
    file = tmp_path / "map.json"
    data = {"root": "home", "topics": [], **{name: {"maptype": "none"} for name in FIELDS}}
    file.write_text(json.dumps({**data, "syntax": forms({"topic": "stat/{device}", "payload": "json"})}))
    assert load_map(file, sender="gw").filters() == ("stat/+",)


def test_a_form_that_is_wrong_hides_no_fault_of_another() -> None:
    actual = findings_in(
        {
            "constants": {"function": "", "gateway": "", "location": "", "action": "SET"},
            "commands": [
                {"topic": "a/{device}", "payload": "xml"},
                {"topic": "b/{device}/{device}", "payload": "json"},
            ],
            "statuses": [{"topic": "c", "payload": "json"}],
        }
    )
    assert len(actual) == 3, actual
    assert any("syntax.commands[0].payload" in finding for finding in actual)
    assert any("syntax.commands[1].topic" in finding and "occurs twice" in finding for finding in actual)
    assert any("syntax.statuses[0].topic" in finding and "has no place for device" in finding for finding in actual)
