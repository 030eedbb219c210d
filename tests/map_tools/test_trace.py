from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.topic import filter_matches
from gateway.errors import MessageError, WordError
from gateway.map_tools.trace import Trace, trace_read, trace_write
from gateway.map_tools.words import shown
from gateway.message import ADDRESS_FIELDS, InternalMsg
from gateway.translation.mqtt_map import MsgMap
from tests.support.proofs import any_cases, loaded
from tests.support.strategies import MapData, any_topics, messages, payloads, topics
from tests.support.syntaxes import topics_for

LAMPS: dict[str, Any] = {
    "root": "home",
    "topics": ["home/lighting/+/+/+/+/C", "home/lights/#"],
    "function": {"maptype": "strict", "map": {"lighting": ["lighting", "lights"]}},
    "location": {"maptype": "loose", "map": {"office": ["office", "study"]}},
    "sender": {"maptype": "strict", "map": {"panel": ["panel"]}},
    "action": {"maptype": "strict", "map": {"LAMP_ON": ["on", "ON"]}},
    "argvalue": {"maptype": "loose", "map": {"WARM": ["warm"]}},
}


def texts_of(trace: Trace) -> dict[str, list[str]]:
    steps: dict[str, list[str]] = {}
    for step in trace.steps:
        steps.setdefault(step.name, []).append(step.text)
    return steps


def test_a_received_message_is_explained_field_by_field() -> None:
    trace = trace_read(
        loaded(LAMPS), "home/lights//study/lamp/panel/C", b'{"action": "on", "tone": "warm", "level": 5}'
    )
    assert trace.passes
    assert trace.verdict == "read as: command lighting/-/office/lamp/panel LAMP_ON tone='WARM' level=5"
    assert texts_of(trace) == {
        "filter": ["'home/lights/#' matches"],
        "function": ["'lights' -> 'lighting', an alias"],
        "gateway": ["'' is unchanged: the field has no map"],
        "location": ["'study' -> 'office', an alias"],
        "device": ["'lamp' is unchanged: the field has no map"],
        "sender": ["'panel' -> 'panel', its first word"],
        "kind": ["a command"],
        "action": ["'on' -> 'LAMP_ON', its first word"],
        "argkey": ["'tone' is unchanged: the field has no map", "'level' is unchanged: the field has no map"],
        "argvalue": ["'warm' -> 'WARM', its first word", "5 is not text, and is not translated"],
    }
    paths = {step.name: step.path for step in trace.steps if step.path}
    assert paths["filter"] == ("topics", "home/lights/#")
    assert paths["location"] == ("location", "map", "office", 1)


@pytest.mark.parametrize(
    ("topic", "payload", "retain", "step", "verdict"),
    [
        (
            "home/heating//hall/x/panel/C",
            b"on",
            False,
            ("filter", "no filter matches"),
            "not received: no filter matches",
        ),
        (
            "home/lights//hall/x/me/C",
            b"on",
            False,
            ("sender", "'me': refused"),
            "dropped: sender: 'me' is not",
        ),
        (
            "home/lights//hall/x/gw/C",
            b"on",
            False,
            ("sender", "'gw' is unchanged: a strict map accepts this"),
            "dropped as an echo",
        ),
        ("home/lights//hall/x/panel/C", b"on", True, ("kind", "a command"), "dropped: a retained command"),
        ("home/lights//hall/x/panel/C", b"ON", False, ("action", "'ON' -> 'LAMP_ON', an alias"), "read as: command"),
        ("home/lights//hall/x/panel/S", b"on", True, ("kind", "a status"), "read as: status"),
        ("home/lights//hall/x/panel/C", b"off", False, ("action", "'off': refused"), "dropped: action: 'off' is not"),
        (
            "home/lights//hall/x/panel/C",
            b"",
            False,
            ("payload", "the payload is empty"),
            "dropped: the payload is empty",
        ),
        (
            "home/lights//hall/x/panel/C",
            b"{",
            False,
            ("payload", "the payload begins"),
            "dropped: the payload",
        ),
        (
            "home/lights//hall/x/panel/C",
            b"\xff",
            False,
            ("payload", "the payload is not"),
            "dropped: the payload",
        ),
        ("home/lights//hall/x/panel/X", b"on", False, ("topic", "topic 'home/lights//hall"), "dropped: topic"),
        ("home/lights/x", b"on", False, ("topic", "topic 'home/lights/x': 2 levels"), "dropped: topic"),
        ("home/lights/x/availability", b"online", False, ("topic", "topic"), "dropped: it is the availability"),
        ("home/lights/x/outcome", b"{}", False, ("topic", "topic"), "dropped: it can only be a document of a device"),
        ("home/lights/x/event", b"{}", False, ("topic", "topic"), "dropped: it can only be a document of a device"),
        ("home/lights//\x01//panel/C", b"on", False, ("location", "'\\x01': refused: "), "dropped: location"),
    ],
)
def test_why_a_message_is_not_received(
    topic: str, payload: bytes, retain: bool, step: tuple[str, str], verdict: str
) -> None:
    trace = trace_read(loaded(LAMPS), topic, payload, retain=retain)
    assert trace.verdict.startswith(verdict)
    assert trace.passes == trace.verdict.startswith("read as")
    assert [text for text in texts_of(trace)[step[0]] if text.startswith(step[1])], texts_of(trace)


def test_a_message_that_is_sent_is_explained_field_by_field() -> None:
    msg = InternalMsg(True, "lighting", "", "office", "lamp", "", "LAMP_ON", {"tone": "WARM", "level": 5})
    trace = trace_write(loaded(LAMPS), msg)
    assert (trace.passes, trace.verdict) == (True, "sent")
    assert texts_of(trace) == {
        "function": ["'lighting' -> 'lighting', its first word"],
        "gateway": ["'' is unchanged: the field has no map"],
        "location": ["'office' -> 'office', its first word"],
        "device": ["'lamp' is unchanged: the field has no map"],
        "sender": ["'' -> 'gw', this gateway's name"],
        "action": ["'LAMP_ON' -> 'on', its first word"],
        "argkey": ["'tone' is unchanged: the field has no map", "'level' is unchanged: the field has no map"],
        "argvalue": ["'WARM' -> 'warm', its first word", "5 is not text, and is not translated"],
        "topic": ["home/lighting//office/lamp/gw/C"],
        "payload": ['{"action": "on", "tone": "warm", "level": 5}'],
        "QoS": ["0"],
        "delivery": ["lane event, not retained"],
        "echo": ["it comes back through 'home/lighting/+/+/+/+/C', and is dropped as an echo"],
    }


def test_a_status_has_the_qos_of_the_map_and_need_not_come_back() -> None:
    trace = trace_write(loaded(LAMPS), InternalMsg(False, "lighting", action="LAMP_ON"))
    assert texts_of(trace)["QoS"] == ["1"]
    assert "echo" not in texts_of(trace)


@pytest.mark.parametrize(
    ("msg", "step", "path"),
    [
        (InternalMsg(location="study"), ("location", "'study': refused: 'study' would be written as 'study'"),
         ("location", "map", "office", 1)),
        (InternalMsg(function="heating"), ("function", "'heating': refused: 'heating' is not in the map"),
         ("function", "map")),
        (InternalMsg(device="a/b"), ("device", "'a/b': refused: "), ("device", "map")),
        (InternalMsg(arguments={"x": "warm"}), ("argvalue", "'warm': refused"), ("argvalue", "map", "WARM", 0)),
    ],
)  # fmt: skip
def test_why_a_message_is_not_sent(msg: InternalMsg, step: tuple[str, str], path: tuple[object, ...]) -> None:
    trace = trace_write(loaded(LAMPS), msg)
    assert not trace.passes
    assert trace.verdict.startswith(f"not sent: {step[0]}: ")
    (explained,) = [each for each in trace.steps if each.name == step[0]]
    assert explained.text.startswith(step[1])
    assert explained.path == path


def test_the_delivery_that_the_map_specifies() -> None:
    rules = [{"match": {"action": "LAMP_ON"}, "lane": "latest", "retain": True, "replay": True, "lifetime": 60}]
    msg_map = loaded({**LAMPS, "delivery": rules})
    trace = trace_write(msg_map, InternalMsg(False, "lighting", action="LAMP_ON"))
    assert texts_of(trace)["delivery"] == ["lane latest, retained, lifetime 60 s"]
    assert trace_read(msg_map, "home/lights////panel/C", b"on", retain=True).passes
    assert trace_read(loaded(LAMPS), "home/lights////panel/C", b"on", retain=True).passes is False


def test_a_map_that_cannot_write_anything_is_explained() -> None:
    msg_map = MsgMap("home", ["home/#"], sender="a/b")
    assert trace_read(msg_map, "home/////x/C", b"on").passes
    assert not trace_write(msg_map, InternalMsg(action="on")).passes


TASMOTA: dict[str, Any] = {
    "root": "home",
    "topics": ["cmnd/+/+"],
    "syntax": {
        "constants": {"function": "", "gateway": "", "location": "hall"},
        "commands": [{"topic": "cmnd/{device}/{action}", "payload": "value", "argument": "to"}],
        "statuses": [
            {"topic": "stat/{device}/{action}", "payload": "value", "argument": "to"},
            {"topic": "tele/{device}/{action}", "payload": "json"},
        ],
    },
    "action": {"maptype": "strict", "map": {"POWER": ["power"]}},
    "argvalue": {"maptype": "loose", "map": {"ON": ["on"]}},
}


def test_a_message_of_a_declared_form_is_explained_by_it() -> None:
    trace = trace_read(loaded(TASMOTA), "cmnd/lamp/power", b"on")
    assert texts_of(trace) == {
        "filter": ["'cmnd/+/+' matches"],
        "form": ["cmnd/{device}/{action} fits: a command, payload value 'to'"],
        "function": ["is always '' in this form"],
        "gateway": ["is always '' in this form"],
        "location": ["is always 'hall' in this form"],
        "device": ["'lamp' is unchanged: the field has no map"],
        "sender": ["has no place in this form: ''"],
        "action": ["'power' -> 'POWER', its first word"],
        "kind": ["a command"],
        "argkey": ["'to', the argument of this form"],
        "argvalue": ["'on' -> 'ON', its first word"],
    }
    assert {step.name: step.path for step in trace.steps}["form"] == ("syntax", "commands", 0)
    assert texts_of(trace_read(loaded(TASMOTA), "cmnd/lamp/power", b"5"))["argvalue"] == [
        "5 is not text, and is not translated"
    ]


def test_for_each_form_that_does_not_fit_the_reason_is_given() -> None:
    trace = trace_read(loaded(TASMOTA), "cmnd/lamp", b"on")
    assert texts_of(trace)["form"] == [
        "cmnd/{device}/{action} does not fit: 2 levels instead of 3 (cmnd/device/action)",
        "stat/{device}/{action} does not fit: 2 levels instead of 3 (stat/device/action)",
        "tele/{device}/{action} does not fit: 2 levels instead of 3 (tele/device/action)",
    ]
    reply = InternalMsg(True, location="hall", device="lamp", action="POWER", arguments={"to": "ON"}).reply("OK")
    trace = trace_write(loaded(TASMOTA), reply)
    assert trace.passes
    assert texts_of(trace)["form"] == [
        "stat/{device}/{action} does not fit: there is no place for the argument 'response', only for 'to'",
        "tele/{device}/{action} fits: a status, payload json",
    ]
    assert texts_of(trace)["topic"] == ["tele/lamp/power"]


def test_the_words_of_outcomes_stay_as_they_are() -> None:
    strict = {"maptype": "strict", "map": {"LEVEL": ["level"]}}
    msg_map = loaded({"root": "home", "topics": ["home/#"], "argkey": strict, "argvalue": strict})
    own = [f"{name!r} is the gateway's own word for the outcome of a command, and is not translated"
           for name in ("response", "reason")]  # fmt: skip
    written = trace_write(msg_map, InternalMsg(True, action="ON").reply("REFUSED", "no"))
    assert (written.passes, texts_of(written)["argkey"]) == (True, own)
    read = trace_read(msg_map, "home/////other/S", b'{"action": "ON", "response": "REFUSED", "reason": "no"}')
    assert (read.passes, texts_of(read)["argkey"]) == (True, own)


def test_a_message_that_fits_no_form_or_that_a_filter_would_bring_back() -> None:
    trace = trace_write(loaded(TASMOTA), InternalMsg(False, location="attic", device="lamp", action="POWER"))
    assert [step.name for step in trace.steps] == ["form", "form"]
    assert all("location: 'attic' has no place" in step.text for step in trace.steps)
    trace = trace_write(loaded(TASMOTA), InternalMsg(True, location="hall", device="lamp", action="POWER"))
    assert "would bring it back" in texts_of(trace)["form"][0] and "would bring it back" in trace.verdict


# --- laws


@settings(max_examples=120)
@given(st.data(), any_cases(), payloads, st.booleans())
def test_the_verdict_is_what_the_map_does(
    data: st.DataObject, case: tuple[MapData, MsgMap], payload: bytes, retain: bool
) -> None:
    _, msg_map = case
    topic = data.draw(topics(msg_map.root) | any_topics(msg_map.root) | topics_for(msg_map.forms))
    trace = trace_read(msg_map, topic, payload, retain=retain)
    is_subscribed = any(filter_matches(topic_filter, topic) for topic_filter in msg_map.topics)
    try:
        msg = msg_map.mqtt2internal(topic, payload)
    except MessageError as err:
        assert not trace.passes
        if isinstance(err, WordError):
            assert any("refused" in step.text for step in trace.steps)
        return
    assert trace.passes == (is_subscribed and not msg_map.is_echo(msg) and not (msg.iscmd and retain))
    assert not any("refused" in step.text for step in trace.steps if step.name in ADDRESS_FIELDS)


@settings(max_examples=120)
@given(st.data(), any_cases())
def test_the_verdict_is_what_becomes_of_a_message(data: st.DataObject, case: tuple[MapData, MsgMap]) -> None:
    fields, msg_map = case
    msg = data.draw(messages(fields))
    try:
        publication = msg_map.internal2mqtt(msg)
    except MessageError as err:
        trace = trace_write(msg_map, msg)
        assert trace.verdict == f"not sent: {err}"
        return
    trace = trace_write(msg_map, msg)
    assert trace.passes
    assert texts_of(trace)["topic"] == [shown(publication.topic)]
