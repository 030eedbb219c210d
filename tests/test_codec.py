"""The rules of a serial device: frames to messages, commands to bytes, and nothing that a command could smuggle in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.message import InternalMsg
from interfaces.codec import CodecError
from interfaces.framer import DelimitedFramer
from interfaces.serial_rules import SerialRules, check_rules
from interfaces.wire import WireError
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


def written(built: SerialRules, msg: InternalMsg) -> bytes:
    """Return what goes to the device for a command."""
    return built.wire.wrap(built.encoder.rule_for(msg).encode(msg))


def command(action: str = "SET", **arguments: Any) -> InternalMsg:
    return InternalMsg(True, "home", "", "cellar", "", "someone", action, arguments)


# --- frames to messages


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
def test_a_frame_that_no_rule_takes_whole(frame: bytes) -> None:
    """What is not UTF-8 may be said to be that, or to match nothing."""
    try:
        assert rules(decode=[TEMPERATURE]).decoder.decode(frame) is None
    except CodecError as err:
        assert "utf-8" in str(err)


def test_a_value_that_cannot_be_converted_is_named() -> None:
    with pytest.raises(CodecError) as caught:
        rules(decode=[{"name": "probe", **TEMPERATURE}]).decoder.decode(b"T3 1.2.3")
    assert all(part in str(caught.value) for part in ("probe", "celsius", "'1.2.3'"))


def test_the_first_rule_that_matches_counts() -> None:
    built = rules(
        decode=[
            {"regex": "1[0-9]", "message": {"action": "TENS"}},
            {"regex": "[0-9]+", "message": {"action": "NUMBER"}},
        ]
    )
    assert [message.action for message in built.decoder.decode(b"12") or []] == ["TENS"]
    assert [message.action for message in built.decoder.decode(b"22") or []] == ["NUMBER"]


def test_a_frame_can_make_several_messages_commands_among_them() -> None:
    messages = [{"action": "OPENED"}, {"type": "command", "function": "lighting", "location": "", "action": "LIGHT_ON"}]
    assert rules(decode=[{"regex": "21", "messages": messages}]).decoder.decode(b"21") == [
        InternalMsg(False, "home", "", "cellar", action="OPENED"),
        InternalMsg(True, "lighting", action="LIGHT_ON"),
    ]


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
@given(frame=st.binary(max_size=30) | st.text(st.sampled_from("T0123 .-x\n")).map(str.encode))
def test_any_frame_is_decoded_or_refused_in_words(encoding: str, frame: bytes) -> None:
    try:
        decoded = rules(decode=[TEMPERATURE], encoding=encoding).decoder.decode(frame)
    except CodecError as err:
        assert str(err).isprintable()
    else:
        assert decoded is None or all(isinstance(message, InternalMsg) for message in decoded)


# --- commands to frames

LEVEL = {"type": "integer", "minimum": 0, "maximum": 100}
DIM = {"match": {"action": "SET"}, "arguments": {"level": LEVEL}, "write": "DIM {level:03d}"}


def test_a_command_becomes_bytes() -> None:
    assert written(rules(encode=[DIM]), command(level=7)) == b"DIM 007\r\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "argument 'level' is missing"),
        ({"level": "7"}, "argument 'level' is '7': expected integer"),
        ({"level": 7.0}, "argument 'level' is 7.0: expected integer"),
        ({"level": True}, "argument 'level' is True: expected integer"),
        ({"level": None}, "argument 'level' is None: expected integer"),
        ({"level": [7]}, "argument 'level' is [7]: expected integer"),
        ({"level": -1}, "argument 'level' is -1: expected at least 0"),
        ({"level": 101}, "argument 'level' is 101: expected at most 100"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(CodecError) as caught:
        written(rules(encode=[DIM]), command(**arguments))
    assert str(caught.value) == why


def test_an_argument_may_have_a_default_and_choices() -> None:
    mode = {"choices": ["AUTO", "OFF"], "default": "AUTO"}
    built = rules(encode=[{"match": {"action": "SET"}, "arguments": {"mode": mode}, "write": "MODE={mode}"}])
    assert written(built, command()) == b"MODE=AUTO\r\n"
    assert written(built, command(mode="OFF")) == b"MODE=OFF\r\n"
    with pytest.raises(CodecError, match="expected one of AUTO, OFF"):
        written(built, command(mode="OFF "))


def test_an_unknown_action_is_answered_with_those_there_are() -> None:
    built = rules(encode=[DIM, {"match": {"action": "OFF"}, "write": "OFF"}])
    assert built.encoder.accepts(command("EXPLODE"))
    with pytest.raises(CodecError, match="'EXPLODE' is not an action of this device: use one of OFF, SET"):
        written(built, command("EXPLODE"))


@pytest.mark.parametrize(
    "msg",
    [
        InternalMsg(False, "home", "", "cellar", action="SET", arguments={"level": 1}),
        InternalMsg(True, "home", "", "attic", action="SET", arguments={"level": 1}),
        InternalMsg(True, "heating", "", "cellar", action="SET", arguments={"level": 1}),
    ],
)
def test_what_is_for_another_device_is_not_accepted(msg: InternalMsg) -> None:
    assert not rules(encode=[DIM]).encoder.accepts(msg)


# --- nothing can be smuggled in

ENDS = [["\r\n", "\n", "\r"], [";"], ["END"], ["\u00fe"], ["a"]]
SIGNS = "aE;ND\u00fe\u00e9\r\n\0\x1b\x7f\x85\u009b\u2028{}%\\x \ud800"


@settings(max_examples=500)
@given(
    text=st.text(st.sampled_from(SIGNS) | st.characters(), max_size=12),
    pattern=st.sampled_from([None, "(?s:.*)"]),
    terminator=st.sampled_from(ENDS),
    encoding=st.sampled_from(["ascii", "utf-8", "latin-1"]),
    write_terminator=st.sampled_from([None, "", "\n"]),
)
def test_no_text_ends_the_frame_or_begins_another(
    text: str, pattern: str | None, terminator: list[str], encoding: str, write_terminator: str | None
) -> None:
    framing: dict[str, Any] = {"terminator": terminator}
    if write_terminator is not None:
        framing["write_terminator"] = write_terminator
    argument = {} if pattern is None else {"pattern": pattern}
    built = rules(
        encoding=encoding,
        framing=framing,
        encode=[{"match": {"action": "SET"}, "arguments": {"name": argument}, "write": "<{name}>"}],
    )
    try:
        data = written(built, command(name=text))
    except (CodecError, WireError) as err:
        assert str(err).isprintable()
        return
    content = f"<{text}>"
    assert data.startswith(content.encode(encoding))
    end = data.removeprefix(content.encode(encoding))
    assert end.decode("latin-1") == (terminator[0] if write_terminator is None else write_terminator)
    device = DelimitedFramer([each.encode("latin-1") for each in terminator])
    assert device.feed(data + terminator[0].encode("latin-1")) in ([content.encode(encoding)],
                                                                   [content.encode(encoding) + end])  # fmt: skip
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in text)


@pytest.mark.parametrize("text", ["1\nOPEN", "1\rOPEN", "1\r\n", "\x00", "\x1b[2J", "\x7f", "\x85", "\x9b"])
def test_control_characters_are_refused_even_where_the_pattern_takes_anything(text: str) -> None:
    built = rules(
        encoding="latin-1",
        encode=[{"match": {"action": "SET"}, "arguments": {"name": {"pattern": "(?s:.*)"}}, "write": "N {name}"}],
    )
    with pytest.raises(CodecError, match="argument 'name' "):
        written(built, command(name=text))


def test_a_long_text_is_refused() -> None:
    built = rules(
        encode=[{"match": {"action": "SET"}, "arguments": {"name": {"max_length": 5}}, "write": "N {name}"}],
    )
    assert written(built, command(name="12345")) == b"N 12345\r\n"
    with pytest.raises(CodecError, match="argument 'name' has 6 characters: expected at most 5"):
        written(built, command(name="123456"))


# --- rules that are wrong, each with the way to its place


@pytest.mark.parametrize(
    ("options", "path", "what"),
    [
        ({"decode": [{"regex": "(", "message": {"action": "A"}}]}, ("decode", 0, "regex"), "not a regular expression"),
        (
            {"decode": [{"regex": "(?P<a>.)", "values": {"b": "int"}, "message": {"action": "A"}}]},
            ("decode", 0, "values", "b"),
            "'b' is not a value of this rule",
        ),
        (
            {"decode": [{"regex": "(?P<a>.)", "message": {"action": "{b}"}}]},
            ("decode", 0, "message"),
            "{b} is not a value of this rule",
        ),
        ({"decode": [{"regex": "a", "message": {"action": "{"}}]}, ("decode", 0, "message"), "brace"),
        (
            {"encode": [DIM, {"match": {"action": "A"}, "write": "{x}"}]},
            ("encode", 1, "write"),
            "{x} is not an argument",
        ),
        ({"encode": [{"match": {"action": "A"}, "write": "{x"}]}, ("encode", 0, "write"), "'}'"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_with_its_place(
    options: dict[str, Any], path: tuple[str | int, ...], what: str
) -> None:
    problems = list(check_rules(serial_params(**options)))
    assert [problem.path for problem in problems] == [path]
    assert what in problems[0].what
