"""The laws of every syntax that loads, and the schemes of other gateways."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from paho.mqtt.matcher import MQTTMatcher

from gateway.errors import MessageError, PayloadError, TopicError, WordError
from gateway.message import Argument, InternalMsg, Lane, Publication
from gateway.translation.mqtt_map import FieldMap, MsgMap
from gateway.translation.payload import MAX_PAYLOAD_BYTES, PayloadKind
from gateway.translation.syntax import MessageForm, Syntax
from tests.support.strategies import MapData
from tests.support.syntaxes import forms_of, loaded, messages_for, readers, syntax_maps, topics_for, tried_words

# --- laws


@settings(max_examples=300)
@given(st.data(), syntax_maps())
def test_what_a_map_of_any_syntax_writes_it_reads_back(data: st.DataObject, given_map: MapData) -> None:
    msg_map = loaded(given_map)
    assume(msg_map is not None)
    assert msg_map is not None
    msg = data.draw(messages_for(given_map, data.draw(st.sampled_from(forms_of(given_map)))))
    try:
        publication = msg_map.internal2mqtt(msg)
    except MessageError as err:
        assert str(err).isprintable()
        return
    [form] = readers(msg_map, publication.topic)
    sender = (msg.sender or "gw") if "sender" in form.form.places else ""
    back = msg_map.mqtt2internal(publication.topic, publication.payload)
    arguments = dict(msg.arguments)
    if form.form.payload == "value" and arguments:
        arguments = as_read(form.form, arguments[form.form.argument])
    expected = msg.replace(sender=sender, arguments=arguments)
    assert (back, repr(dict(back.arguments))) == (expected, repr(dict(expected.arguments)))
    assert sender or msg.sender in ("", "gw")


def as_read(form: MessageForm, value: Argument) -> dict[str, Argument]:
    """Return the argument of a payload `value`, as it is read back: one plain value does not say what it is."""
    if not isinstance(value, str):
        return {form.argument: json.dumps(value) if form.text else value}
    if not value:
        return {}
    with contextlib.suppress(ValueError):
        actual = json.loads(value, parse_constant=float)
        is_plain = isinstance(actual, int | float | None) and not (
            isinstance(actual, float) and not math.isfinite(actual)
        )
        if is_plain and value == value.strip() and not form.text:
            return {form.argument: actual}
    return {form.argument: value}


@settings(max_examples=150)
@given(st.data(), syntax_maps(), tried_words)
def test_no_topic_is_of_two_forms_whoever_the_sender_is(data: st.DataObject, given_map: MapData, sender: str) -> None:
    msg_map = loaded(given_map)
    assume(msg_map is not None)
    assert msg_map is not None
    topic = data.draw(topics_for(msg_map.forms))
    assert len(readers(msg_map.for_sender(sender), topic)) <= 1


@settings(max_examples=150)
@given(st.data(), syntax_maps())
def test_what_a_map_of_any_syntax_reads_it_writes_to_what_reads_the_same(
    data: st.DataObject, given_map: MapData
) -> None:
    msg_map = loaded(given_map)
    assume(msg_map is not None)
    assert msg_map is not None
    topic = data.draw(topics_for(msg_map.forms))
    payload = data.draw(st.sampled_from((b"", b"on", b"1", b"{}", b'{"a": 1}', b'{"action": "a"}', b"1e3", b"\xff")))
    try:
        msg = msg_map.mqtt2internal(topic, payload)
        again = msg_map.internal2mqtt(msg)
    except MessageError as err:
        assert str(err).isprintable()
        return
    back = msg_map.mqtt2internal(again.topic, again.payload)
    assert back.replace(sender="") == msg.replace(sender="")


@settings(max_examples=150)
@given(st.data(), syntax_maps(), st.lists(st.sampled_from(["#", "+", "+/+", "a/+", "stat/#", "+/+/+", "home/#", "a"])))
def test_a_gateway_knows_whatever_comes_back_to_it(data: st.DataObject, given_map: MapData, topics: list[str]) -> None:
    msg_map = loaded(given_map)
    assume(msg_map is not None)
    assert msg_map is not None
    msg_map = msg_map.for_sender("gw", topics=topics)
    msg = data.draw(messages_for(given_map, data.draw(st.sampled_from(forms_of(given_map)))))
    try:
        publication = msg_map.internal2mqtt(msg.replace(sender=""))
    except MessageError:
        return
    matcher = MQTTMatcher()  # type: ignore[no-untyped-call]
    for topic_filter in topics:
        matcher[topic_filter] = True
    comes_back = any(matcher.iter_match(publication.topic))  # type: ignore[no-untyped-call]
    assert not comes_back or msg_map.is_echo(msg_map.mqtt2internal(publication.topic, publication.payload))


@settings(max_examples=150)
@given(st.data(), syntax_maps())
def test_a_map_hears_just_what_it_reads_and_its_filters_match_it(data: st.DataObject, given_map: MapData) -> None:
    msg_map = loaded(given_map)
    assume(msg_map is not None)
    assert msg_map is not None
    topic = data.draw(topics_for(msg_map.forms))
    matcher = MQTTMatcher()  # type: ignore[no-untyped-call]
    for topic_filter in msg_map.filters():
        matcher[topic_filter] = True
    if readers(msg_map, topic):
        assert msg_map.can_match(topic)
        assert any(matcher.iter_match(topic))  # type: ignore[no-untyped-call]


# --- schemes


NOWHERE = {"function": "", "gateway": "", "location": ""}
TASMOTA: Syntax = (
    MessageForm(True, "cmnd/{device}/{action}", "value", "to", NOWHERE),
    MessageForm(False, "stat/{device}/{action}", "value", "to", NOWHERE),
    MessageForm(False, "tele/{device}/SENSOR", "json", constants={**NOWHERE, "action": "SENSOR"}),
    MessageForm(False, "stat/{device}/REPLY/JSON", "action", constants=NOWHERE),
)
ACTION = FieldMap("action", "strict", {"POWER": ["POWER", "Power"]})


def tasmota(*topics: str) -> MsgMap:
    return MsgMap("home", topics, {"action": ACTION}, sender="gw", syntax=TASMOTA)


def status(action: str, **arguments: object) -> InternalMsg:
    return InternalMsg(device="lamp", action=action, arguments=arguments)  # type: ignore[arg-type]


def refusal(msg: InternalMsg, msg_map: MsgMap | None = None) -> MessageError:
    with pytest.raises(MessageError) as info:
        (msg_map or tasmota()).internal2mqtt(msg)
    return info.value


def test_a_message_is_written_in_the_first_form_that_has_a_place_for_all_of_it() -> None:
    written = [
        tasmota().internal2mqtt(msg)
        for msg in (status("POWER", to="ON"), status("SENSOR", a=1), status("POWER").reply("OK"))
    ]
    assert written == [
        Publication("stat/lamp/POWER", b"ON", 1),
        Publication("tele/lamp/SENSOR", b'{"a": 1}', 1),
        Publication("stat/lamp/REPLY/JSON", b'{"action": "POWER", "response": "OK", "reason": ""}', 1, lane=Lane.REPLY),
    ]


def test_a_command_goes_out_at_most_once_in_any_syntax() -> None:
    publication = tasmota().internal2mqtt(status("POWER", to="ON").replace(iscmd=True))
    assert publication == Publication("cmnd/lamp/POWER", b"ON", 0, False, True)


def test_a_message_that_no_form_has_a_place_for_is_refused_with_every_reason() -> None:
    err = refusal(status("POWER", to=1, by="me").replace(location="hall"))
    assert isinstance(err, WordError)
    assert str(err) == (
        "location: 'hall' has no place in stat/device/action: there it is always ''; "
        "location: 'hall' has no place in tele/device/SENSOR: there it is always ''; "
        "location: 'hall' has no place in stat/device/REPLY/JSON: there it is always ''"
    )
    short = MsgMap("home", sender="gw", syntax=TASMOTA[:2])
    err = refusal(status("POWER", to=1, by="me"), short)
    assert isinstance(err, PayloadError)
    assert str(err) == "there is no place for the argument 'by', only for 'to'"


def test_a_topic_of_a_command_is_one_in_the_words_of_any_gateway() -> None:
    assert tasmota().is_command_topic("cmnd/lamp/POWER")
    assert tasmota().is_command_topic("cmnd/lamp/a-word-of-another")
    assert not any(map(tasmota().is_command_topic, ("stat/lamp/POWER", "cmnd/lamp", "cmnd/lamp/POWER/x")))


def test_a_syntax_without_forms_of_a_kind_writes_none() -> None:
    err = refusal(status("POWER"), MsgMap("home", sender="gw", syntax=TASMOTA[:1]))
    assert str(err) == "the syntax of the map has no topic for a status"


SHAPES = "cmnd/device/action, stat/device/action, tele/device/SENSOR, stat/device/REPLY/JSON"


@pytest.mark.parametrize(
    ("topic", "problem"),
    [
        ("stat/lamp", f"2 levels instead of 3 or 4 ({SHAPES})"),
        ("foo/lamp/POWER", "level 1 is 'foo' instead of cmnd or stat or tele"),
        ("tele/lamp/STATE", "the last level is 'STATE' instead of SENSOR"),
        ("$SYS/lamp/POWER", "a topic is not empty and does not begin with '$'"),
    ],
)
def test_a_topic_of_no_form_is_refused_and_said_how(topic: str, problem: str) -> None:
    with pytest.raises(TopicError) as info:
        tasmota().mqtt2internal(topic, b"ON")
    assert str(info.value) == f"topic {topic!r}: {problem}"


def test_a_word_that_one_form_does_not_know_may_be_fixed_text_of_another() -> None:
    forms = (*TASMOTA[:2], MessageForm(False, "stat/{device}/RESULT", "json", constants={**NOWHERE, "action": "R"}))
    msg_map = MsgMap("home", fields={"action": ACTION}, sender="gw", syntax=forms)
    assert msg_map.mqtt2internal("stat/lamp/RESULT", b'{"to": 1}') == status("R", to=1)
    assert msg_map.mqtt2internal("stat/lamp/Power", b"1") == status("POWER", to=1)
    with pytest.raises(WordError, match="action: 'STATE' is not in the map"):
        msg_map.mqtt2internal("stat/lamp/STATE", b"1")


def test_a_message_on_a_topic_without_sender_is_read_without_one_and_written_only_in_ones_own_name() -> None:
    msg = status("POWER", to="ON").replace(sender="gw")
    publication = tasmota().internal2mqtt(msg)
    back = tasmota().mqtt2internal(publication.topic, publication.payload)
    assert back == msg.replace(sender="")
    assert not tasmota().is_echo(back)
    assert str(refusal(msg.replace(sender="me"), MsgMap("home", sender="gw", syntax=TASMOTA[1:2]))) == (
        "sender: 'me' has no place in stat/device/action: leave it out"
    )


@pytest.mark.parametrize(
    "topic_filter", ["stat/+/+", "#", "stat/#", "$share/crew/stat/lamp/POWER", "stat/lamp/POWER/#"]
)
def test_what_the_own_filters_would_bring_back_without_sender_is_not_written(topic_filter: str) -> None:
    err = refusal(status("POWER", to="ON"), MsgMap("home", [topic_filter], sender="gw", syntax=TASMOTA[1:2]))
    assert isinstance(err, TopicError)
    assert str(err) == (
        f"topic 'stat/lamp/POWER': the filter {topic_filter!r} would bring it back, and without a sender it "
        f"could not be distinguished from other messages: narrow the filter"
    )


def test_a_client_session_writes_topics_that_the_gateway_reads() -> None:
    command = status("POWER", to="ON").replace(iscmd=True)
    gateway = tasmota("cmnd/#")
    assert str(refusal(command, gateway)).startswith("topic 'cmnd/lamp/POWER': the filter 'cmnd/#' would bring it back")
    visitor = gateway.for_sender("me", topics=())
    publication = visitor.internal2mqtt(command)
    assert gateway.mqtt2internal(publication.topic, publication.payload) == command
    assert (gateway.topics, visitor.topics) == (("cmnd/#",), ())


def test_a_topic_of_the_broker_or_no_topic_is_neither_written_nor_read() -> None:
    form = MessageForm(False, "{device}", "json", constants={**NOWHERE, "action": "SET"})
    msg_map = MsgMap("home", sender="gw", syntax=(form,))
    for device in "", "$SYS":
        err = refusal(InternalMsg(device=device, action="SET"), msg_map)
        assert str(err) == f"topic {device!r}: a topic is not empty and does not begin with '$'"
        with pytest.raises(TopicError):
            msg_map.mqtt2internal(device, b"{}")


def test_the_filters_of_a_syntax_match_all_its_topics_and_those_of_the_statuses_no_command() -> None:
    assert tasmota().filters() == ("cmnd/+/+", "stat/+/+", "tele/+/SENSOR", "stat/+/REPLY/JSON")
    assert tasmota().filters(statuses_only=True) == ("stat/+/+", "tele/+/SENSOR", "stat/+/REPLY/JSON")
    assert MsgMap("site/home", sender="gw").filters() == ("site/home/+/+/+/+/+/C", "site/home/+/+/+/+/+/S")


def test_a_word_is_held_against_the_syntax_before_anything_is_written() -> None:
    msg_map = tasmota()
    assert msg_map.problem_of("device", "lamp") is msg_map.problem_of("location", "") is None
    assert msg_map.problem_of("action", "SENSOR") is msg_map.problem_of("action", "POWER") is None
    assert msg_map.problem_of("location", "hall") == (
        "location: 'hall' has no place in cmnd/device/action: there it is always ''"
    )
    assert msg_map.problem_of("device", "a/b") == "device: 'a/b': '/' is not allowed in a topic"
    assert msg_map.problem_of("action", "X") == "action: 'X' is not in the map: add it there, or make the map loose"


@pytest.mark.parametrize("kind", ["action", "json", "value"])
def test_a_payload_of_any_form_is_utf8_and_not_too_long(kind: PayloadKind) -> None:
    form = MessageForm(False, "{device}", kind, constants={**NOWHERE, "action": "POWER"})
    msg_map = MsgMap("home", sender="gw", syntax=(form,))
    too_long = f"the payload has {MAX_PAYLOAD_BYTES + 1} bytes, more than {MAX_PAYLOAD_BYTES}"
    not_utf8 = "the payload is not UTF-8 (byte 0: 0xff)"
    for payload, problem in (b"\xff", not_utf8), (b"x" * (MAX_PAYLOAD_BYTES + 1), too_long):
        with pytest.raises(PayloadError) as info:
            msg_map.mqtt2internal("lamp", payload)
        assert str(info.value) == problem
    assert str(refusal(status("POWER", value="\ud800"), msg_map)) == (
        "arguments: an unpaired surrogate cannot be written as UTF-8"
    )
    assert str(refusal(status("POWER", value="x" * (MAX_PAYLOAD_BYTES + 1)), msg_map)).endswith(
        f"bytes, more than {MAX_PAYLOAD_BYTES}"
    )
