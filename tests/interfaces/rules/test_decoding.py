"""Decoding: rules make messages from frames; errors name the rule and the value."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.model import Model
from gateway.errors import Problem
from gateway.message import InternalMsg, ReportRule
from interfaces.rules.decoding import PartialMessages, check_decode_rule
from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.rules import SerialRules, check_rules
from tests.support.configuration import serial_params

TEMPERATURE = {
    "regex": "T(?P<id>[0-9]) (?P<celsius>[-0-9.x]+)(?: (?P<note>.*))?",
    "values": {"id": "int", "celsius": "float"},
    "message": {
        "device": "sensor{id}",
        "action": "TEMPERATURE",
        "arguments": {"celsius": "{celsius}", "note": "{note}", "unit": "C"},
    },
}


def rules(**options: Any) -> SerialRules:
    params = serial_params(address={"function": "home", "location": "cellar"}, **options)
    assert not list(check_rules(params))
    return SerialRules(params)


def test_a_frame_becomes_a_message() -> None:
    decoded = rules(decode=[TEMPERATURE]).decoder.decode(b"T3 -4.50 by the door")
    assert decoded == [
        InternalMsg(
            False, "home", "", "cellar", "sensor3", "", "TEMPERATURE",
            {"celsius": -4.5, "note": "by the door", "unit": "C"},
        )
    ]  # fmt: skip


@pytest.mark.parametrize("frame", [b"T3 -4.50", b"T3 -4.50 "])
def test_an_argument_without_a_value_is_left_out(frame: bytes) -> None:
    (message,) = rules(decode=[TEMPERATURE]).decoder.decode(frame) or []
    assert message.arguments == {"celsius": -4.5, "unit": "C"}


def test_a_message_whose_word_has_no_value_is_left_out() -> None:
    rule = {"regex": "(?P<id>[0-9]*) (?P<n>[0-9]+)", "message": {"device": "{id}", "action": "A"}}
    assert rules(decode=[rule]).decoder.decode(b" 5") == []


@pytest.mark.parametrize("frame", [b"", b"x", b"T3 -4.50\n", b"xT3 -4.50", b"t3 1", b"\xff\xfe"])
def test_a_frame_that_no_rule_matches_as_a_whole(frame: bytes) -> None:
    """For bytes that are not UTF-8, an error about that is allowed, too."""
    try:
        assert rules(decode=[TEMPERATURE]).decoder.decode(frame) is None
    except CodecError as err:
        assert "utf-8" in str(err)


def test_a_value_that_cannot_be_converted_is_named() -> None:
    with pytest.raises(CodecError) as caught:
        rules(decode=[{"name": "probe", **TEMPERATURE}]).decoder.decode(b"T3 1.2.3")
    assert all(part in str(caught.value) for part in ("probe", "celsius", "'1.2.3'"))


def decoded(frame: bytes, *decode: dict[str, Any], **options: Any) -> PartialMessages:
    messages = rules(decode=list(decode), **options).decoder.decode(frame)
    assert isinstance(messages, PartialMessages)
    return messages


def test_a_bad_value_takes_only_itself_out_of_the_message() -> None:
    rule = {
        "name": "w", "pairs": {"separator": ";"}, "values": {"*": "float"},
        "message": {"action": "READING", "arguments": "*"},
    }  # fmt: skip
    messages = decoded(b"T1=21.5;T2=nan;T3=19.0;T4=---", rule)
    assert [msg.arguments for msg in messages] == [{"T1": 21.5, "T3": 19.0}]
    assert messages.bad == [
        ("rule 'w': T2", "rule 'w': T2: nan is not a number"),
        ("rule 'w': T4", "rule 'w': T4: '---' is not a number"),
    ]
    assert messages.readings == [(messages[0], {"T2": "nan is not a number", "T4": "'---' is not a number"})]


def test_a_number_in_a_layout_that_is_none_is_left_out() -> None:
    fields = [{"type": "f32", "name": "l1"}, {"type": "f32", "name": "l2"}]
    rule = {"binary": {"fields": fields}, "message": {"action": "V", "arguments": "*"}}
    messages = decoded(struct.pack(">ff", 230.0, math.nan), rule)
    assert [msg.arguments for msg in messages] == [{"l1": 230.0}]
    assert [error for _, error in messages.bad] == ["rule 'binary': l2: nan is not a number"]


def test_of_several_messages_only_those_without_any_value_are_dropped() -> None:
    messages = [
        {"action": "A", "arguments": {"a": "{a}", "unit": "C"}},
        {"action": "B", "arguments": {"b": "{b}"}},
        {"action": "C", "device": "d{a}"},
    ]
    rule = {"regex": "(?P<a>.) (?P<b>.)", "values": {"a": "int", "b": "int"}, "messages": messages}
    made = decoded(b"x 2", rule)
    assert [msg.action for msg in made] == ["B"]
    assert [(msg.action, dict(errors)) for msg, errors in made.readings] == [
        ("A", {"a": "'x' is not an integer of base 10"})
    ]


def test_a_pair_that_cannot_be_converted_does_not_hide_the_others() -> None:
    rule = {
        "pairs": {"each": True}, "values": {"value": "int"},
        "message": {"action": "{key}", "arguments": {"value": "{value}"}},
    }  # fmt: skip
    made = decoded(b"a=1 b=x c=3", rule)
    assert [(msg.action, msg.argument("value")) for msg in made] == [("a", 1), ("c", 3)]
    assert [msg.action for msg, _ in made.readings] == ["b"]


def test_an_error_names_the_readings_that_the_frame_would_have_brought() -> None:
    with pytest.raises(CodecError) as caught:
        rules(
            decode=[{**TEMPERATURE, "message": {"action": "T", "arguments": {"celsius": "{celsius}"}}}]
        ).decoder.decode(b"T3 x")
    (reading,) = caught.value.readings
    assert (reading.msg.action, reading.msg.arguments) == ("T", {})
    assert reading.errors == {"celsius": "'x' is not a number"}


def test_the_first_rule_that_matches_is_used() -> None:
    built = rules(
        decode=[
            {"regex": "1[0-9]", "message": {"action": "TENS"}},
            {"regex": "[0-9]+", "message": {"action": "NUMBER"}},
        ]
    )
    assert [message.action for message in built.decoder.decode(b"12") or []] == ["TENS"]
    assert [message.action for message in built.decoder.decode(b"22") or []] == ["NUMBER"]


def test_a_frame_can_make_several_messages_including_commands() -> None:
    messages = [{"action": "OPENED"}, {"type": "command", "function": "lighting", "location": "", "action": "LIGHT_ON"}]
    assert rules(decode=[{"regex": "21", "messages": messages}]).decoder.decode(b"21") == [
        InternalMsg(False, "home", "", "cellar", action="OPENED"),
        InternalMsg(True, "lighting", action="LIGHT_ON"),
    ]


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
@given(frame=st.binary(max_size=30) | st.text(st.sampled_from("T0123 .-x\n")).map(str.encode))
def test_any_frame_is_decoded_or_raises_a_codec_error(encoding: str, frame: bytes) -> None:
    try:
        decoded = rules(decode=[TEMPERATURE], encoding=encoding).decoder.decode(frame)
    except CodecError as err:
        assert str(err).isprintable()
    else:
        assert decoded is None or all(isinstance(message, InternalMsg) for message in decoded)


def test_a_value_of_which_a_converter_leaves_nothing_is_empty() -> None:
    rule = {"regex": "(?P<a>.*),(?P<b>.*)", "values": {"a": [{"strip": "*"}, "int"], "b": "strip"},
            "message": {"action": "A", "arguments": "*"}}  # fmt: skip
    built = rules(decode=[rule])
    assert [msg.arguments for msg in built.decoder.decode(b"40*,x") or []] == [{"a": 40, "b": "x"}]
    assert [msg.arguments for msg in built.decoder.decode(b"*, x") or []] == [{"b": "x"}]
    assert [msg.arguments for msg in built.decoder.decode(b"40, ") or []] == [{"a": 40}]
    assert built.decoder.decode(b"*, ") == []


# --- messages


def test_values_cannot_replace_the_outcome_of_a_command() -> None:
    """The names of pairs are known only when a frame arrives."""
    rule = {"pairs": {"separator": ";"}, "message": {"action": "STATE", "arguments": "*"}}
    decoder = rules(decode=[rule]).decoder
    assert [msg.arguments for msg in decoder.decode(b"on=1") or []] == [{"on": "1"}]
    with pytest.raises(CodecError, match=r"'response' is reserved: .*: list the arguments by name"):
        decoder.decode(b"on=1;response=OK")


# --- all extractors, and converters

READING = {"action": "READING", "arguments": "*"}


@pytest.mark.parametrize(
    ("rule", "frame", "arguments"),
    [
        ({"regex": "(?P<t>.*) C", "values": {"t": "float"}}, b"21.5 C", [{"t": 21.5}]),
        ({"fields": {"at": {"a": 1, "b": 2}}, "values": {"*": "auto"}}, b"x,1,ok", [{"a": 1, "b": "ok"}]),
        ({"fields": {"at": {"a": 1, "b": 2}}, "values": {"*": "int", "b": "float"}}, b"x,1,2", [{"a": 1, "b": 2.0}]),
        ({"pairs": {"separator": ";"}, "values": {"a": "int"}}, b"a=1;b=2;c=", [{"a": 1, "b": "2"}]),
        ({"pairs": {"each": True}, "values": {"value": "int"}}, b"a=1 b=2",
         [{"key": "a", "value": 1}, {"key": "b", "value": 2}]),
        ({"lines": {"patterns": ["A (?P<a>.*)", "B (?P<b>.*)"]}}, b"A 1\nX\nB 2", [{"a": "1", "b": "2"}]),
        ({"binary": {"fields": [{"type": "u8", "name": "n"}, {"type": "text", "name": "t"}]}}, b"\x07ab\xe9",
         [{"n": 7, "t": "ab\u00e9"}]),
        ({"binary": {"fields": [{"type": "bytes", "name": "n"}]}, "values": {"n": "bcd"}}, b"\x12\x34", [{"n": 1234}]),
    ],
)  # fmt: skip
def test_each_extractor_with_converters(rule: dict[str, Any], frame: bytes, arguments: list[dict[str, Any]]) -> None:
    made = rules(decode=[{**rule, "message": READING}]).decoder.decode(frame)
    assert [message.arguments for message in made or []] == arguments


@pytest.mark.parametrize("every", [False, True])
def test_every_matching_rule_is_used_with_decode_every_rule(every: bool) -> None:
    decode = [{"regex": text, "message": {"action": text}} for text in ("[0-9]+", "x", "1.", "12")]
    made = rules(decode=decode, decode_every_rule=every).decoder
    assert [message.action for message in made.decode(b"12") or []] == (["[0-9]+", "1.", "12"] if every else ["[0-9]+"])
    assert made.decode(b"y") is None
    names = ["[0-9]+", "1.", "12"] if every else ["[0-9]+"]
    assert [rule.name for rule in made.find_rules(b"12")] == names
    assert made.find_rules(b"y") == []


def test_with_decode_every_rule_an_unreadable_value_does_not_hide_other_rules() -> None:
    broken = {"regex": "(?P<t>.*)", "values": {"t": "float"}, "message": READING}
    built = rules(decode=[broken, {"regex": "x", "message": {"action": "X"}}], decode_every_rule=True)
    messages = built.decoder.decode(b"x")
    assert isinstance(messages, PartialMessages)
    assert [message.action for message in messages] == ["X"]
    assert [error for _, error in messages.bad] == ["rule '(?P<t>.*)': t: 'x' is not a number"]
    with pytest.raises(CodecError, match="'y' is not a number"):
        built.decoder.decode(b"y")


@pytest.mark.parametrize(
    ("publish", "report"),
    [
        (None, None),
        ({"on_change": False}, None),
        ({"by": ["t"]}, ReportRule(by=("t",))),
        ({"deadband": 1}, ReportRule(on_change=True, deadband=1)),
        ({"refresh": 60, "by": ["t"]}, ReportRule(refresh=60, by=("t",))),
    ],
)
@pytest.mark.parametrize("action", ["READING", "{n}"])
def test_a_message_has_the_rule_by_which_it_is_reported(
    publish: dict[str, Any] | None, report: ReportRule | None, action: str
) -> None:
    rule = {"regex": "(?P<n>.) (?P<t>.*)", "message": {"action": action, "arguments": "*"}}
    decoder = rules(decode=[rule if publish is None else {**rule, "publish": publish}]).decoder
    (message,) = decoder.decode(b"x 20") or []
    assert message.report == report


def test_an_expression_that_takes_too_long_is_named() -> None:
    decoder = rules(decode=[{"name": "slow", "regex": "(a|aa)+b", "message": {"action": "A"}}]).decoder
    with pytest.raises(CodecError, match=r"rule 'slow': the expression was stopped after 0\.05 s"):
        decoder.decode(b"a" * 60)


# --- invalid rules; paths begin at the rule


@pytest.mark.parametrize(
    ("rule", "path", "what"),
    [
        ({"message": READING}, (), "this one has none"),
        ({"regex": "a", "pairs": {}, "message": READING}, (), "this one has regex and pairs"),
        ({"regex": "a"}, (), "a rule needs a message"),
        ({"regex": "a", "message": READING, "messages": [READING]}, (), "a rule needs a message"),
        ({"regex": "(", "message": READING}, ("regex",), "not a regular expression"),
        ({"lines": {"patterns": ["["]}, "message": READING}, ("lines",), "not a regular expression"),
        ({"binary": {"byte_order": "big", "fields": [{"type": "u8", "is": 256}]}, "message": READING},
         ("binary", "fields", 0), "u8: 256 does not fit"),
        ({"regex": "(?P<a>.)", "values": {"b": "int"}, "message": READING}, ("values", "b"), "'b' is not a value"),
        ({"regex": "(?P<a>.)", "values": {"a": "x"}, "message": READING}, ("values", "a"), "'x' is not a converter"),
        ({"regex": "(?P<a>.)", "values": {"*": {"scale": 0}}, "message": READING}, ("values", "*"), "must not be 0"),
        ({"regex": "(?P<a>.)", "message": {"action": "{b}"}}, ("message",), "{b} is not a value of this rule"),
        ({"regex": "(?P<a>.)", "messages": [READING, {"arguments": {"x": "{b}"}}]}, ("messages", 1),
         "{b} is not a value"),
        ({"regex": "a", "message": {"action": "{"}}, ("message",), "braces"),
    ],
)  # fmt: skip
def test_a_problem_of_a_rule_has_its_path(rule: dict[str, Any], path: tuple[str | int, ...], what: str) -> None:
    (problem,) = check_decode_rule(rule, {}, "utf-8")
    assert problem.path == path
    assert what in problem.what


def test_values_of_any_name_are_accepted_if_the_names_are_unknown() -> None:
    rule = {"pairs": {"separator": " ", "equals": "=", "start": "", "each": False}, "values": {"x": "int"}}
    assert not list(check_decode_rule({**rule, "message": {"action": "{y}"}}, {}, "utf-8"))


def test_all_problems_are_reported_with_the_available_values() -> None:
    rule = {"regex": "(?P<a>.)(?P<b>.)", "values": {"c": "int", "a": "x"}, "message": {"action": "{d}"}}
    problems = list(check_decode_rule(rule, {}, "utf-8"))
    assert [problem.path for problem in problems] == [("values", "c"), ("values", "a"), ("message",)]
    assert problems[0] == Problem(("values", "c"), "'c' is not a value of this rule", "its values: a, b")


# --- the time at which a frame was received

NOON = 1_795_953_600.0  # 2026-11-29T12:00:00Z


def dated(frame: bytes, rule: dict[str, Any]) -> list[InternalMsg]:
    params = serial_params(decode=[rule])
    assert not list(check_rules(params))
    return SerialRules(params, lambda: NOON).decoder.decode(frame) or []


@pytest.mark.parametrize(
    ("arguments", "frame", "expected"),
    [
        ({"t": "{t}", "at": "{time}"}, b"T 20", {"t": "20", "at": "2026-11-29T12:00:00.000Z"}),
        ({"t": "{t} at {time}"}, b"T 20", {"t": "20 at 2026-11-29T12:00:00.000Z"}),
        ({"at": "{time}", "unit": "C"}, b"T 20", {"at": "2026-11-29T12:00:00.000Z", "unit": "C"}),
        ({"t": "{t}", "at": "{time}"}, b"T ", None),
    ],
)
def test_an_argument_may_be_the_time_at_which_the_frame_was_received(
    arguments: dict[str, str], frame: bytes, expected: dict[str, str] | None
) -> None:
    rule = {"regex": "T (?P<t>.*)", "message": {"action": "T", "arguments": arguments}}
    assert [dict(msg.arguments) for msg in dated(frame, rule)] == ([] if expected is None else [expected])


def test_a_value_called_time_goes_before_it() -> None:
    rule = {"regex": "T (?P<t>.*) (?P<time>.*)", "message": {"action": "T", "arguments": {"t": "{t}", "at": "{time}"}}}
    assert [dict(msg.arguments) for msg in dated(b"T 20 noon", rule)] == [{"t": "20", "at": "noon"}]
    assert [dict(msg.arguments) for msg in dated(b"T 20 ", rule)] == [{"t": "20"}]
    pairs = {"pairs": {"separator": ";"}, "message": {"action": "T", "arguments": {"t": "{t}", "at": "{time}"}}}
    assert dated(b"t=20;time=noon", pairs)[0].argument("at") == "noon"
    assert dated(b"t=20", pairs)[0].argument("at") == "2026-11-29T12:00:00.000Z"


def test_the_time_is_among_neither_all_values_nor_the_words() -> None:
    rule = {
        "pairs": {"separator": ";"},
        "messages": [{"action": "ALL", "arguments": "*"}, {"action": "AT", "arguments": {"at": "{time}"}}],
    }
    assert dict(dated(b"t=20", rule)[0].arguments) == {"t": "20"}
    word = {"regex": "T", "message": {"action": "T_{time}", "arguments": {"at": "{time}"}}}
    (problem,) = check_rules(serial_params(decode=[word]))
    assert problem.what == "{time} is not a value of this rule"


def test_the_time_is_not_compared_with_that_of_the_last_reading() -> None:
    message = {"action": "T", "arguments": {"t": "{t}", "at": "{time}"}}
    (msg,) = dated(b"T 20", {"regex": "T (?P<t>.*)", "message": message, "publish": {"on_change": True}})
    model = Model()
    assert model.observe(msg, 0.0, NOON) is not None
    assert model.observe(msg.with_arguments({"t": "20", "at": "later"}), 1.0, NOON) is None
    assert model.observe(msg.with_arguments({"t": "21", "at": "later"}), 2.0, NOON) is not None
    (unruled,) = dated(b"T 20", {"regex": "T (?P<t>.*)", "message": message})  # the rule may be that of a point
    assert (unruled.report, unruled.uncompared) == (None, ("at",))


def test_a_bad_value_leaves_the_time_of_the_others() -> None:
    message = {"action": "T", "arguments": {"t": "{t}", "both": "{h} at {time}", "at": "{time}"}}
    rule = {"regex": "T (?P<t>.*) (?P<h>.*)", "values": {"t": "float"}, "message": message}
    (msg,) = dated(b"T x 40", rule)
    assert dict(msg.arguments) == {"both": "40 at 2026-11-29T12:00:00.000Z", "at": "2026-11-29T12:00:00.000Z"}
    only_t = {**rule, "message": {"action": "T", "arguments": {"t": "{t}", "at": "{time}"}}}
    with pytest.raises(CodecError, match="'x' is not a number"):
        dated(b"T x 40", only_t)
