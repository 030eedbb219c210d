"""Words with parts that are arguments: read as the inverse of a template, held to the rules of arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message import InternalMsg
from interfaces.rules.message_template import CodecError
from interfaces.rules.template import Template, TemplateError
from interfaces.rules.word_match import WordForm
from interfaces.serial_interface.rules import SerialRules, check_rules, command_addresses
from interfaces.serial_interface.signatures import signatures
from tests.support.configuration import serial_params

NODE = {
    "match": {"device": "node{n}", "action": "DIM"},
    "arguments": {"n": {"type": "integer", "maximum": 254}, "level": {"type": "integer", "maximum": 100}},
    "write": "{n};{level}",
}


def rules(*encode: dict[str, Any], **options: Any) -> SerialRules:
    params = serial_params(encode=list(encode), address={"location": "hall"}, **options)
    assert list(check_rules(params)) == []
    return SerialRules(params)


def command(device: str, action: str = "DIM", **arguments: Any) -> InternalMsg:
    return InternalMsg(True, location="hall", device=device, action=action, arguments=arguments)


@pytest.mark.parametrize(
    ("form", "word", "values"),
    [
        ("node{n}", "node7", {"n": "7"}),
        ("node{n}", "node", None),
        ("node{n}", "nod7", None),
        ("node{n}", "anode7", None),
        ("{room}_lamp", "hall_lamp", {"room": "hall"}),
        ("{room}_lamp", "_lamp", None),
        ("{room}_lamp", "hall_lamps", None),
        ("n{a}-{b}", "n1-2-3", {"a": "1", "b": "2-3"}),
        ("n{a}-{b}", "n-2-3", {"a": "-2", "b": "3"}),
        ("n{a}-{b}", "n1-", None),
        ("{a}.{a}", "7.7", {"a": "7"}),
        ("{a}.{a}", "7.8", None),
        ("{{{a}}}", "{x}", {"a": "x"}),
        ("a{{{b}}}c{{", "a{x}c{", {"b": "x"}),
    ],
)
def test_the_parts_of_a_word(form: str, word: str, values: dict[str, str] | None) -> None:
    assert WordForm(form).read(word) == values


@given(
    st.lists(st.sampled_from(["a", "b", "-", ".", "{{", "node"]), min_size=4, max_size=4),
    st.lists(st.text("ab-.{1", max_size=3), min_size=3, max_size=3),
)
def test_what_is_read_makes_the_same_word_again(literals: list[str], values: list[str]) -> None:
    text = "{x}".join(literals).replace("{x}", "{p0}", 1).replace("{x}", "{p1}", 1).replace("{x}", "{p2}", 1)
    word = Template(text).fill({f"p{index}": value for index, value in enumerate(values)})
    read = WordForm(text).read(word)
    if read is None:
        assert "" in values, "only a part without any character does not match"
    else:
        assert Template(text).fill(read) == word


@given(st.text("n-{}:d", max_size=8), st.text(max_size=8))
def test_any_text_is_a_form_or_a_template_error(text: str, word: str) -> None:
    try:
        form = WordForm(text)
    except TemplateError:
        return
    values = form.read(word)
    assert values is None or values.keys() == form.names


@pytest.mark.parametrize(
    ("device", "arguments", "written"),
    [("node7", {"level": 50}, b"7;50"), ("node254", {"level": "5"}, b"254;5")],
)
def test_a_part_of_a_word_is_written(device: str, arguments: dict[str, Any], written: bytes) -> None:
    assert rules(NODE).encoder.encode(command(device, **arguments)).content == written


def test_it_is_converted_as_an_argument_and_compared_with_the_answer() -> None:
    rule = {
        **NODE,
        "arguments": {"n": {"type": "integer", "convert": {"offset": -1}}, "level": {"type": "integer"}},
        "response": {"regex": "(?P<n>[0-9]+) OK", "values": {"n": "int"}, "same": ["n"]},
    }
    encoded = rules(rule).encoder.encode(command("node7", level=1))
    assert (encoded.content, encoded.arguments) == (b"8;1", {"n": 7, "level": 1})
    response = encoded.rule.steps[0].answer.response
    assert response is not None
    read = response.read_for(encoded.arguments)
    assert (read(b"7 OK"), read(b"8 OK")) == ([{"n": 7}], None)


@pytest.mark.parametrize(
    ("msg", "reason"),
    [
        (command("node255", level=1), "argument 'n' is 255: expected at most 254"),
        (command("nodeX", level=1), "argument 'n' is 'X': expected a whole number"),
        (command("node7"), "argument 'level' is missing"),
        (command("node7", level=1, n=8), "unknown argument 'n': use level"),
        (command("node7", "STOP"), "'STOP' is not an action of this device: use one of DIM"),
    ],
)
def test_a_word_that_the_arguments_do_not_allow_is_refused(msg: InternalMsg, reason: str) -> None:
    encoder = rules(NODE).encoder
    assert encoder.accepts(msg)
    with pytest.raises(CodecError, match=f"^{reason}"):
        encoder.encode(msg)


def test_a_word_of_another_form_is_for_another_device() -> None:
    built = rules(NODE)
    assert not built.encoder.accepts(command("lamp7", level=1))
    assert not built.encoder.accepts(command("node", level=1))


def test_rules_for_different_forms_and_for_one_device() -> None:
    special = {"match": {"device": "node0", "action": "DIM"}, "arguments": {"level": {}}, "write": "ALL {level}"}
    lamp = {**NODE, "match": {"device": "lamp{n}", "action": "DIM"}, "write": "L{n};{level}"}
    encoder = rules(special, NODE, lamp).encoder
    written = [encoder.encode(command(device, level="5")).content for device in ("node0", "node1", "lamp1")]
    assert written == [b"ALL 5", b"1;5", b"L1;5"]


def test_an_action_may_have_parts() -> None:
    rule = {"match": {"action": "SET_{what}"}, "arguments": {"what": {"choices": ["A", "B"]}}, "write": "{what}!"}
    encoder = rules(rule).encoder
    assert encoder.encode(command("", "SET_A")).content == b"A!"
    with pytest.raises(CodecError, match=r"argument 'what' is 'C': expected one of A, B"):
        encoder.encode(command("", "SET_C"))
    with pytest.raises(CodecError, match=r"use one of SET_\{what\}"):
        encoder.encode(command("", "GET"))


def test_commands_of_all_these_devices_are_routed_to_the_interface() -> None:
    params = serial_params(encode=[NODE], address={"location": "hall"})
    assert command_addresses(params) == [{"location": "hall"}]


def test_a_part_of_a_word_is_no_argument_of_the_command() -> None:
    assert set(signatures(serial_params(encode=[NODE])).writes or ()) == {("DIM", "level")}
    alone = {"match": {"device": "node{n}", "action": "STOP"}, "arguments": {"n": {}}, "write": "{n}"}
    assert set(signatures(serial_params(encode=[alone])).writes or ()) == {("STOP", "")}


@pytest.mark.parametrize(
    ("device", "arguments", "what"),
    [
        ("node{n}", {}, "{n} is not an argument"),
        ("node{n:02d}", {"n": {}}, "{n:02d} has a format, but here a word is read: write {n}"),
        ("{a}{b}", {"a": {}, "b": {}}, "no text separates {a} from {b}: add one"),
        ("node{0}", {}, "{0} is no value: write {name} or {name:format}, or {{ and }} for braces"),
        ("node{n", {"n": {}}, "a brace has no counterpart: write {name}, or {{ and }} for braces"),
    ],
)
def test_forms_that_cannot_be_read_are_reported(device: str, arguments: dict[str, Any], what: str) -> None:
    rule = {"match": {"device": device, "action": "A"}, "arguments": arguments, "write": "A"}
    problems = list(check_rules(serial_params(encode=[rule])))
    assert [(problem.path, problem.what) for problem in problems] == [(("encode", 0, "match", "device"), what)]


# --- multiples


@pytest.mark.parametrize(
    ("options", "value", "is_allowed"),
    [
        ({"type": "number", "multiple_of": 0.5}, 50.5, True),
        ({"type": "number", "multiple_of": 0.5}, "50", True),
        ({"type": "number", "multiple_of": 0.5}, 50.25, False),
        ({"type": "number", "multiple_of": 0.1}, 0.3, True),
        ({"type": "number", "multiple_of": 0.1}, 1e300, True),
        ({"type": "number", "multiple_of": 0.1}, 1e-300, False),
        ({"type": "integer", "multiple_of": 5}, -15, True),
        ({"type": "integer", "multiple_of": 5}, 16, False),
    ],
)
def test_only_multiples_are_allowed(options: dict[str, Any], value: Any, is_allowed: bool) -> None:
    built = rules({"match": {"action": "SET"}, "arguments": {"v": options}, "write": "{v}"})
    if is_allowed:
        built.encoder.encode(command("", "SET", v=value))
        return
    with pytest.raises(CodecError, match=f"expected a multiple of {options['multiple_of']}"):
        built.encoder.encode(command("", "SET", v=value))


def test_rules_that_differ_by_their_multiples() -> None:
    """The volume of an AV receiver: MV50 is 50, MV505 is 50.5."""
    whole = {"type": "integer", "minimum": 0, "maximum": 98}
    half = {"type": "number", "minimum": 0, "maximum": 98, "multiple_of": 0.5, "convert": {"scale": 0.1}}
    encoder = rules(
        {"match": {"action": "VOLUME"}, "arguments": {"v": whole}, "write": "MV{v:02d}"},
        {"match": {"action": "VOLUME"}, "arguments": {"v": half}, "write": "MV{v:03d}"},
    ).encoder
    assert encoder.encode(command("", "VOLUME", v=50)).content == b"MV50"
    assert encoder.encode(command("", "VOLUME", v=50.5)).content == b"MV505"
    with pytest.raises(CodecError, match=r"argument 'v' is 50\.3: expected a whole number"):
        encoder.encode(command("", "VOLUME", v=50.3))


def test_only_a_number_has_multiples() -> None:
    rule = {"match": {"action": "SET"}, "arguments": {"v": {"multiple_of": 2}}, "write": "{v}"}
    problems = list(check_rules(serial_params(encode=[rule])))
    assert [problem.what for problem in problems] == ["only a number has a multiple_of"]
