"""Encoding: commands become bytes, arguments are checked, and nothing can be injected through them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.message import InternalMsg
from interfaces.rules.answers import AnswerReader
from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.framing.wire import FramingError
from interfaces.serial_interface.rules import SerialRules, check_rules
from tests.support.configuration import serial_params

LEVEL = {"type": "integer", "minimum": 0, "maximum": 100}
DIM = {"match": {"action": "SET"}, "arguments": {"level": LEVEL}, "write": "DIM {level:03d}"}


def rules(**options: Any) -> SerialRules:
    params = serial_params(address={"function": "home", "location": "cellar"}, **options)
    assert not list(check_rules(params))
    return SerialRules(params)


def writing(arguments: dict[str, Any], **options: Any) -> SerialRules:
    """Return rules whose only command has these arguments."""
    general = {name: options.pop(name) for name in ("encoding", "framing", "checksum") if name in options}
    return rules(encode=[{"match": {"action": "SET"}, "arguments": arguments, **options}], **general)


def command(action: str = "SET", **arguments: Any) -> InternalMsg:
    return InternalMsg(True, "home", "", "cellar", "", "someone", action, arguments)


def content(built: SerialRules, msg: InternalMsg) -> bytes:
    return built.encoder.encode(msg).content


def written(built: SerialRules, msg: InternalMsg) -> bytes:
    """Return the bytes that are sent to the device for a command."""
    return built.codec.wrap(content(built, msg))


# --- written bytes


@pytest.mark.parametrize(
    ("arguments", "options", "given_arguments", "data"),
    [
        ({"level": LEVEL}, {"write": "DIM {level:03d}"}, {"level": 7}, b"DIM 007\r\n"),
        ({}, {"write": "OFF"}, {}, b"OFF\r\n"),
        ({"on": {"type": "boolean", "convert": "bool"}}, {"write": "LED {on}"}, {"on": True}, b"LED 1\r\n"),
        ({"v": {"type": "number"}}, {"write": "V {v:.2f}"}, {"v": 3}, b"V 3.00\r\n"),
        ({"v": {"type": "number", "convert": {"scale": 0.1}}}, {"write": "V {v:d}"}, {"v": 21.5}, b"V 215\r\n"),
        ({"v": {"type": "number", "convert": "decimal_comma"}}, {"write": "V {v}"}, {"v": 21.5}, b"V 21,5\r\n"),
        ({"m": {"choices": ["AUTO", "OFF"], "default": "AUTO"}}, {"write": "M={m}"}, {}, b"M=AUTO\r\n"),
        ({"m": {"convert": {"enum": {"07": "auto"}}}}, {"write": "M={m}"}, {"m": "auto"}, b"M=07\r\n"),
        ({"t": {}}, {"write": "T {t}", "encoding": "latin-1"}, {"t": "a b"}, b"T a b\r\n"),
        ({"n": LEVEL}, {"hex": "01 06 {n:04x}"}, {"n": 14}, b"\x01\x06\x00\x0e\r\n"),
        ({"n": LEVEL, "on": {"type": "boolean"}},
         {"binary": {"fields": [{"type": "u8", "is": 2}, {"type": "u8", "name": "n"},
                                {"type": "u8", "bits": {"on": 7}}]}},
         {"n": 5, "on": True}, b"\x02\x05\x80\r\n"),
        ({"n": LEVEL}, {"write": "{n}", "checksum": {"type": "xor", "form": "hex"}}, {"n": 12}, b"1203\r\n"),
    ],
)  # fmt: skip
def test_a_command_becomes_bytes(
    arguments: dict[str, Any], options: dict[str, Any], given_arguments: dict[str, Any], data: bytes
) -> None:
    assert written(writing(arguments, **options), command(**given_arguments)) == data


def test_an_unknown_action_is_refused_with_the_known_actions() -> None:
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
def test_a_command_for_another_device_is_not_accepted(msg: InternalMsg) -> None:
    assert not rules(encode=[DIM]).encoder.accepts(msg)


def test_a_rule_may_match_any_word_and_the_first_matching_rule_is_used() -> None:
    match = {"function": None, "location": "attic", "action": "SET"}
    built = rules(encode=[{"match": match, "write": "ATTIC"}, {**DIM, "write": "{level}"}])
    assert written(built, InternalMsg(True, "any", location="attic", action="SET")) == b"ATTIC\r\n"
    assert written(built, command(level=1)) == b"1\r\n"


# --- arguments


@pytest.mark.parametrize(
    ("options", "value", "error"),
    [
        (LEVEL, "7x", " is '7x': expected a whole number"),
        (LEVEL, 7.5, " is 7.5: expected a whole number"),
        (LEVEL, "1_0", " is '1_0': expected a whole number"),
        (LEVEL, "101", " is 101: expected at most 100"),
        (LEVEL, True, " is True: expected a whole number"),
        (LEVEL, None, " is None: expected a whole number"),
        (LEVEL, [7], " is [7]: expected a whole number"),
        (LEVEL, -1, " is -1: expected at least 0"),
        (LEVEL, 101, " is 101: expected at most 100"),
        ({"type": "number"}, float("nan"), " is nan: expected a number"),
        ({"type": "number"}, float("-inf"), " is -inf: expected a number"),
        ({"type": "number", "maximum": 1}, 1.5, " is 1.5: expected at most 1"),
        ({"type": "number"}, "nan", " is 'nan': expected a number"),
        ({"type": "number"}, "1e999", " is '1e999': expected a number"),
        ({"type": "boolean"}, 2, " is 2: expected true or false"),
        ({"type": "boolean"}, "yes", " is 'yes': expected true or false"),
        ({"type": "integer", "choices": [1, 2]}, True, " is True: expected a whole number"),
        ({}, 5, ' is 5: expected a text: put it in quotes: "5"'),
        ({}, 5.5, " is 5.5: expected a text"),
        ({"choices": ["AUTO", "OFF"]}, "off", " is 'off': expected one of AUTO, OFF"),
        ({"max_length": 5}, "123456", " has 6 characters: expected at most 5"),
        ({}, "x" * 101, " has 101 characters: expected at most 100"),
        ({}, "a;b", " is 'a;b': it contains characters that are not allowed"),
        ({"pattern": "[A-Z]{2}"}, "A", " is 'A': expected a text that matches '[A-Z]{2}'"),
        ({"pattern": "(a|aa)+b"}, "a" * 60, ": the expression was stopped after 0.05 s"),
        ({"pattern": "(?s:.*)"}, "a\nb", " contains a control character"),
        ({"pattern": ".*"}, "\u20ac", ": '\\u20ac' cannot be written as latin-1"),
        ({"type": "number", "convert": {"twos_complement": 8}}, 200, ": 200 does not fit into 8 bits"),
        ({"convert": {"enum": {"0": "off"}}}, "on", ": 'on' is not one of off"),
        ({"type": "number", "convert": {"scale": 1e-300}}, 1e300, ": the number is too large"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(options: dict[str, Any], value: Any, error: str) -> None:
    built = writing({"it": options}, write="{it}", encoding="latin-1")
    with pytest.raises(CodecError) as caught:
        written(built, command(it=value))
    assert str(caught.value) == f"argument 'it'{error}"


@pytest.mark.parametrize(
    ("options", "sent", "data"),
    [
        (LEVEL, "50", b"50"),
        (LEVEL, 50.0, b"50"),
        (LEVEL, "5e1", b"50"),
        ({"type": "number"}, "21.5", b"21.5"),
        ({"type": "boolean", "convert": "bool"}, "ON", b"1"),
        ({"type": "boolean", "convert": "bool"}, 0, b"0"),
        ({"type": "boolean", "convert": "bool"}, "false", b"0"),
        ({"type": "integer", "choices": [1, 2]}, "2", b"2"),
    ],
)
def test_numbers_and_booleans_may_be_sent_as_text(options: dict[str, Any], sent: Any, data: bytes) -> None:
    assert content(writing({"it": options}, write="{it}"), command(it=sent)) == data


# --- rules that differ by their arguments

MODES: dict[str, Any] = {"mode": {"choices": ["auto", "off"]}}


def by_arguments() -> SerialRules:
    options: list[dict[str, Any]] = [
        {"arguments": {"level": {**LEVEL, "maximum": 50}}, "write": "MV{level}"},
        {"arguments": {"level": {**LEVEL, "minimum": 51}}, "write": "HI{level}"},
        {"arguments": MODES, "write": "MODE {mode}"},
        {"write": "MV?"},
    ]
    return rules(encode=[{"match": {"action": "SET"}, **each} for each in options])


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        ({"level": 50}, b"MV50"),
        ({"level": 51}, b"HI51"),
        ({"mode": "off"}, b"MODE off"),
        ({}, b"MV?"),
    ],
)
def test_the_first_rule_that_accepts_the_arguments_is_used(arguments: dict[str, Any], data: bytes) -> None:
    assert content(by_arguments(), command(**arguments)) == data


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"level": 500}, "argument 'level' is 500: expected at most 50"),
        ({"mode": "on"}, "argument 'mode' is 'on': expected one of auto, off"),
        ({"level": 5, "mode": "off"}, "unknown argument 'mode': use level"),
        ({"else": 5}, "unknown argument 'else': use level"),
    ],
)
def test_if_no_rule_accepts_them_the_reason_is_that_of_the_nearest(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(CodecError) as caught:
        content(by_arguments(), command(**arguments))
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("options", "value"),
    [(LEVEL, 0), (LEVEL, 100), ({"max_length": 5}, "12345"), ({}, "x" * 100), ({"choices": ["a;b"]}, "a;b"),
     ({"type": "number", "minimum": 0.5, "maximum": 1}, 0.5), ({}, ""), ({"type": "boolean"}, False)],
)  # fmt: skip
def test_an_argument_at_its_limits_is_written(options: dict[str, Any], value: Any) -> None:
    assert content(writing({"it": options}, write="<{it}>"), command(it=value)) == f"<{value}>".encode()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (DIM, "unknown argument 'lvel': use level"),
        ({"write": "OFF"}, "unknown argument 'lvel': this command"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_known_ones(rule: dict[str, Any], message: str) -> None:
    """With a misspelt name, the default must not be written."""
    with pytest.raises(CodecError, match=message):
        written(rules(encode=[{"match": {"action": "SET"}, **rule}]), command(lvel=7))


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(CodecError, match="argument 'level' is missing"):
        written(rules(encode=[DIM]), command())


@pytest.mark.parametrize(
    ("write", "value"),
    [
        ({"write": "{n:.1f}"}, 10**400),
        ({"write": "{n:d}"}, 1.5),
        ({"binary": {"fields": [{"type": "u8", "name": "n"}]}}, 1.5),
        ({"binary": {"fields": [{"type": "text", "name": "n"}]}}, 10**9),
    ],
)
def test_a_number_that_cannot_be_written_is_refused(write: dict[str, Any], value: float) -> None:
    with pytest.raises(CodecError):
        written(writing({"n": {"type": "number"}}, **write), command(n=value))


def test_a_number_of_some_thousand_digits_is_refused() -> None:
    for options in (LEVEL, {"type": "number"}):
        with pytest.raises(CodecError):
            written(writing({"n": options}, write="{n}"), command(n=10**5000))


_json = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
_kinds = st.sampled_from(["text", "integer", "number", "boolean"])
_converts = st.sampled_from(["int", {"int": 16}, "float", {"scale": 0.1}, {"bcd": 2}, "bool", "decimal_comma",
                             {"timestamp": "unix"}, {"enum": {"1": "a"}}, "text", "strip"])  # fmt: skip
_writes = st.sampled_from([{"write": "{x}"}, {"write": "{x:03d}"}, {"write": "{x:.2f}"}, {"hex": "{x}"},
                           {"hex": "{x:02x}"},
                           {"binary": {"fields": [{"type": "u16", "name": "x"}]}},
                           {"binary": {"fields": [{"type": "f32", "name": "x"}]}},
                           {"binary": {"fields": [{"type": "text", "name": "x"}]}},
                           {"binary": {"fields": [{"type": "u8", "bits": {"x": [1, 3]}}]}}])  # fmt: skip


@settings(max_examples=400)
@given(_kinds, st.none() | _converts, _writes, _json)
def test_any_argument_is_written_or_refused_with_an_error(
    kind: str, convert: Any, write: dict[str, Any], value: Any
) -> None:
    assume(write != {"hex": "{x}"} or kind not in ("integer", "number") or convert)  # what `check` refuses
    built = writing({"x": {"type": kind, **({"convert": convert} if convert else {})}}, **write)
    try:
        written(built, command(x=value))
    except (CodecError, FramingError) as err:
        assert str(err).isprintable()


# --- injection

FRAMINGS: dict[str, dict[str, Any]] = {
    "line": {"framing": {"type": "line"}},
    "line ;": {"framing": {"type": "line", "terminator": ";"}},
    "line END": {"framing": {"type": "line", "terminator": ["END", "\u00fe"], "start": "<"}},
    "line, own terminator": {"framing": {"type": "line", "write_terminator": "a"}},
    "markers": {"framing": {"type": "markers", "start": "<<", "stop": ">>"}},
    "markers, checked": {
        "framing": {"type": "markers", "start": "$", "stop": "*", "after": 2},
        "checksum": {"type": "xor", "form": "hex", "strip": True},
    },
    "slip": {"framing": {"type": "slip"}, "checksum": {"type": "xor", "strip": True}},
    "hdlc": {"framing": {"type": "hdlc"}},
    "cobs": {"framing": {"type": "cobs"}},
}
_injected = st.lists(
    st.sampled_from(["a", ";", "END", "<", ">>", "$", "*", "00", "41", "\r\n", "\n", "\0", "\x1b", "\x7f", "\x85",
                     "\u009b", "\u00fe", "\u00c0", "~", "}", "\u2028", "{", "%s", "\\x", " ", "\ud800", "\U0001f600"])
    | st.characters(),
    max_size=8,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("name", FRAMINGS)
@settings(max_examples=150)
@given(
    text=_injected,
    pattern=st.sampled_from([None, "(?s:.*)"]),
    encoding=st.sampled_from(["ascii", "utf-8", "latin-1"]),
    write=st.sampled_from([{"write": "[{text}]"}, {"hex": "5B {text}5D"},
                           {"binary": {"fields": [{"type": "u8", "is": 91}, {"type": "text", "name": "text"}]}}]),
)  # fmt: skip
def test_no_text_ends_the_frame_or_begins_another(
    name: str, text: str, pattern: str | None, encoding: str, write: dict[str, Any]
) -> None:
    argument = {} if pattern is None else {"pattern": pattern}
    built = writing({"text": argument}, encoding=encoding, **FRAMINGS[name], **write)
    try:
        plain, data = content(built, command(text=text)), written(built, command(text=text))
    except (CodecError, FramingError) as err:
        assert str(err).isprintable()
        return
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in text)
    if "write" in write:
        assert plain.decode(encoding) == f"[{text}]"
    if name == "line, own terminator":
        assert data.count(b"a") == 1
        return
    reader = writing({"text": argument}, encoding=encoding, **FRAMINGS[name], **write).codec
    assert list(reader.feed(data)) == [(plain, "")]
    assert not reader.framer.has_partial_frame
    assert reader.framer.discarded_bytes == 0


@settings(max_examples=300)
@given(_injected | st.text("abc;: \t?*#!,/|&`$'\"\\", max_size=5))
def test_a_text_contains_no_second_command_unless_its_pattern_allows_it(text: str) -> None:
    """In SCPI, for example, ; begins another command in the same line."""
    built = writing({"text": {}}, write="DISP {text};:SYST:ERR?")
    if re.fullmatch("[A-Za-z0-9 ._+-]*", text):
        assert content(built, command(text=text)) == b"DISP %s;:SYST:ERR?" % text.encode()
    else:
        with pytest.raises(CodecError, match="argument 'text'"):
            content(built, command(text=text))


@pytest.mark.parametrize("text", ["1\nOPEN", "1\rOPEN", "1\r\n", "\x00", "\x1b[2J", "\x7f", "\x85", "\x9b"])
def test_control_characters_are_refused_even_if_the_pattern_allows_them(text: str) -> None:
    built = writing({"name": {"pattern": "(?s:.*)"}}, write="N {name}", encoding="latin-1")
    with pytest.raises(CodecError, match="argument 'name' "):
        written(built, command(name=text))


# --- answers


def test_a_frame_with_other_values_than_the_command_is_not_its_answer() -> None:
    reader = AnswerReader(
        {"regex": "N(?P<node>[0-9]+) (?P<v>.*)", "values": {"node": "int"}, "same": ["node"]}, {}, "utf-8"
    )
    read = reader.read_for({"node": 5, "v": "x"})
    assert read(b"N5 on") == [{"node": 5, "v": "on"}]
    assert read(b"N6 on") is None
    assert read(b"something else") is None


def test_the_answer_of_a_command_is_read_with_its_own_arguments_and_defaults() -> None:
    options = {
        "match": {"action": "SET"}, "arguments": {"node": {"type": "integer", "default": 1}}, "write": "N{node}",
        "response": {"regex": "N(?P<node>.*)", "values": {"node": "int"}, "same": ["node"]}, "timeout": 2, "retries": 1,
    }  # fmt: skip
    rule, arguments, _ = rules(encode=[options]).encoder.encode(command())
    assert arguments == {"node": 1}
    answer = rule.steps[0].answer
    assert answer.response is not None
    assert answer.response.read_for(rule.arguments_of(command()))(b"N1") == [{"node": 1}]
    assert answer.response.read_for(rule.arguments_of(command(node=2)))(b"N1") is None
    assert (answer.refusal, answer.timeout, answer.retries) == (None, 2, 1)


@pytest.mark.parametrize(
    ("template", "arguments", "value"),
    [
        ("01 {v:02x} 00", {"type": "integer"}, 4096),
        ("01 {v} 00", {}, "05 06 07"),
        ("01 {v} 00", {}, "xy"),
        ("01 {v:04x}", {"type": "integer"}, -1),
    ],
)
def test_a_value_has_exactly_the_digits_that_a_hex_template_reserves(
    template: str, arguments: dict[str, Any], value: Any
) -> None:
    options = {"match": {"action": "SET"}, "arguments": {"v": arguments}, "hex": template}
    with pytest.raises(CodecError, match=r"argument 'v' becomes .* hexadecimal digits are reserved for it"):
        content(rules(encode=[options]), command(v=value))


def test_a_number_in_hex_needs_a_format_because_its_digits_are_decimal() -> None:
    options = {"match": {"action": "SET"}, "arguments": {"v": {"type": "integer"}}, "hex": "01 {v}"}
    (problem,) = check_rules(serial_params(encode=[options]))
    assert (problem.path, problem.what) == (("encode", 0, "hex"), "{v} is a number, and hex needs its format")
    assert problem.remedy == "write {v:02x} for the byte with this value, or {v:02d} for its digits (BCD)"
    assert not list(check_rules(serial_params(encode=[{**options, "hex": "01 {v:02x}"}])))
    assert content(rules(encode=[{**options, "hex": "01 {v:02d}"}]), command(v=10)) == b"\x01\x10"
    converted = {**options, "arguments": {"v": {"type": "integer", "convert": {"offset": 1}}}}
    with pytest.raises(CodecError, match=r"\{v\} is the number 10: write \{v:02x\}"):
        content(rules(encode=[converted]), command(v=11))
    counted = {"match": {"action": "SET"}, "hex": "01 {count}"}
    (problem,) = check_rules(serial_params(encode=[counted]))
    assert "{count} is the number 0: write {count:02x} " in problem.what


@pytest.mark.parametrize(("value", "digits"), [("hdmi", "14"), ("dvi", "0A"), ("vga", "09")])
def test_the_keys_of_a_table_are_the_digits_in_hex(value: str, digits: str) -> None:
    convert = {"enum": {"14": "hdmi", "0A": "dvi", "09": "vga"}}
    arguments = {"v": {"choices": ["hdmi", "dvi", "vga"], "convert": convert}}
    for rule in ({"hex": "01 {v}"}, {"steps": [{"hex": "01 {v}"}]}):
        options = {"match": {"action": "SET"}, "arguments": arguments, **rule}
        assert content(rules(encode=[options]), command(v=value)) == bytes.fromhex(f"01 {digits}")


def test_a_number_that_is_not_whole_is_told_in_words() -> None:
    scaled: dict[str, Any] = {"v": {"type": "number", "convert": {"scale": 0.3}}}
    options = {"match": {"action": "SET"}, "arguments": scaled, "hex": "01 {v:02x}"}
    with pytest.raises(CodecError) as raised:
        content(rules(encode=[options]), command(v=5))
    told = str(raised.value)
    assert told.startswith("16.66") and told.endswith(
        " cannot be written as {v:02x}: it is not a whole number, which this format needs; round it by a converter"
    )
    scaled["v"]["convert"] = [{"round": 0}, {"scale": 0.3}]
    assert content(rules(encode=[options]), command(v=5)) == b"\x01\x11"


@pytest.mark.parametrize(
    ("arguments", "value", "written"),
    [
        ({"max_length": 8, "pattern": "[0-9A-F]*"}, "", "01 02"),
        ({"max_length": 8, "pattern": "[0-9A-F]*"}, "0506", "01 05 06 02"),
        ({"max_length": 8}, "05060708", "01 05 06 07 08 02"),
        (
            {"max_length": 3, "pattern": ".*", "convert": [{"bytes": "hex"}, {"text": "utf-8"}]},
            "\u00fcab",
            "01 C3 BC 61 62 02",
        ),
        ({}, "05", "01 05 02"),
    ],
)
def test_a_text_with_a_limit_may_be_any_number_of_bytes(arguments: dict[str, Any], value: str, written: str) -> None:
    options = {"match": {"action": "SET"}, "arguments": {"v": arguments}, "hex": "01 {v} 02"}
    assert content(rules(encode=[options]), command(v=value)) == bytes.fromhex(written)


@pytest.mark.parametrize(("template", "value"), [("{v}", "050"), ("{v}", "0g"), ("{v}", "05 6"), ("{v:>2}", "0506")])
def test_a_text_with_a_limit_has_an_even_number_of_digits(template: str, value: str) -> None:
    options = {"match": {"action": "SET"}, "arguments": {"v": {"max_length": 8}}, "hex": f"01 {template}"}
    with pytest.raises(CodecError, match=r"argument 'v' becomes .* hexadecimal digits"):
        content(rules(encode=[options]), command(v=value))
    with pytest.raises(CodecError, match="expected at most 8"):
        content(rules(encode=[options]), command(v="0" * 10))


def test_a_number_cannot_become_a_control_character() -> None:
    options = {"match": {"action": "SET"}, "arguments": {"v": {"type": "integer"}}, "write": "A{v:c}"}
    assert content(rules(encode=[options]), command(v=66)) == b"AB"
    with pytest.raises(CodecError, match="control character"):
        content(rules(encode=[options]), command(v=10))


def test_an_argument_that_is_not_declared_is_refused() -> None:
    with pytest.raises(CodecError, match="unknown argument 'mod': use v"):
        content(writing({"v": {"type": "integer"}}, write="V {v}"), command(v=1, mod="manual"))
