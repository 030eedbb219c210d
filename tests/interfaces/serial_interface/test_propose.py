"""Rules for frames that no rule takes: what is proposed reads all of them, as a configuration would."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.configuration.yaml_reader import load_yaml
from gateway.core.proposal import Proposal
from gateway.core.shape import shape_of
from gateway.message import InternalMsg
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.explain import explain_frame
from interfaces.serial_interface.rules import SerialRules
from tests.support.configuration import serial_params

U8_IS = "{type: u8, is: "


def propose(*frames: bytes, name: str = "dev", **options: Any) -> Proposal:
    return SerialInterface.propose(serial_params(**options), frames, name)


def messages(rule: str, frame: bytes, **options: Any) -> list[str]:
    """Return what `check` makes of a frame with a rule that was pasted into a configuration."""
    params = serial_params(**{**options, "decode": load_yaml(rule, "pasted", {}).data})
    return [str(part) for part in explain_frame(params, frame + b"\n") if isinstance(part, InternalMsg)]


@pytest.mark.parametrize(
    ("frames", "rule", "made"),
    [
        ([b"T 21.5", b"T -3.0"], "- regex: 'T (?P<t>-?[0-9]+\\.[0-9])'", "dev/- T t=-3.0"),
        ([b"T 21.5"], "- regex: 'T (?P<t>-?[0-9]+\\.[0-9]+)'", "dev/- T t=21.5"),
        ([b"K4711", b"K12"], "- regex: 'K(?P<k>[0-9]+)'", "dev/- K k=12"),
        ([b"K0011"], "- regex: 'K(?P<k>[0-9]+)'", "dev/- K k='0011'"),
        ([b"STATE=ON", b"STATE=OFF"], "- regex: 'STATE=(?P<state>[A-Za-z_]+)'", "dev/- STATE state='OFF'"),
        ([b"DOOR 'OPEN'"], "- regex: 'DOOR ''OPEN'''", "dev/- DOOR_OPEN"),
        ([b"on"], "- regex: 'on'", "dev/- ON"),
        ([b"${HOME} 5%"], "- regex: '\\$\\{HOME\\} (?P<home>-?[0-9]+)%'", "dev/- HOME home=5"),
        ([b"x\t5"], '- regex: "x\\t(?P<x>-?[0-9]+)"', "dev/- X x=5"),
        ([b"response 5"], "- regex: 'response (?P<value_response>-?[0-9]+)'", "dev/- RESPONSE value_response=5"),
        ([b"a b 1 c 2"], "- regex: 'a b (?P<b>-?[0-9]+) c (?P<c>-?[0-9]+)'", "dev/- A b=1 c=2"),
        ([b"WS T=21.5;STATE=ok"], "- pairs: {start: 'WS ', separator: ';'}", "dev/- WS T=21.5 STATE='ok'"),
        ([b"T:21.5 H:40"], "- pairs: {keys: [T, H], equals: ':'}", "dev/- T T=21.5 H=40"),
        (
            [b"$ABC,3,1,12,*71", b"$ABC,4,1,12,*72"],
            "- fields: {is: {'0': '$ABC'}, minimum: 5, maximum: 5, at: {field1: 1, field2: 2, field3: 3}}",
            "dev/- ABC field1=4 field2=1 field3=12",
        ),
        (
            [b'{"model": "A-1", "id": 115, "t": {"c": 21.5, "x.y": 2}, "l": [1]}'],
            "- json: {is: {model: A-1}, at: {id: id, t_c: t.c, t_x_y: [t, x.y]}}",
            "dev/- READING id=115 t_c=21.5 t_x_y=2",
        ),
        (
            [b"\xaa\x55\x01\x02", b"\xaa\x55\x01\x03"],
            f"- binary: {{length: 4, fields: [{U8_IS}170}}, {U8_IS}85}}, {U8_IS}1}}, {{type: u8, name: byte3}}]}}",
            "dev/- READING byte3=3",
        ),
    ],
)  # fmt: skip
def test_a_rule_is_proposed_that_reads_all_frames(frames: list[bytes], rule: str, made: str) -> None:
    proposal = propose(*frames)
    assert proposal.rule.splitlines()[0] == rule
    (msg,) = proposal.messages
    assert str(msg).endswith(made)
    assert all(messages(proposal.rule, frame) for frame in frames)
    assert messages(proposal.rule, frames[-1]) == [str(msg)]


@pytest.mark.parametrize("frame", [b"T 21.5", b"DOOR OPEN", b"1;2;3;4", b"\xaa\x55\x01", b'{"type": "x", "a": 1}'])
def test_frames_can_be_ignored(frame: bytes) -> None:
    rule = propose(frame).ignore
    params = serial_params(decode=load_yaml(rule, "pasted", {}).data)
    assert "ignored: no message, and nothing in the log" in list(explain_frame(params, frame + b"\n"))


def test_the_device_of_the_address_stays() -> None:
    assert "{action: T, arguments" in propose(b"T 1", address={"device": "boiler"}).rule
    assert "{device: my_boiler, action: T" in propose(b"T 1", name="my boiler").rule


def test_frames_that_the_rules_take_by_now_need_no_proposal() -> None:
    rule = {"regex": "T (?P<t>[0-9]+)", "message": {"device": "x", "action": "T", "arguments": "*"}}
    assert propose(b"T 1", b"T 2", decode=[rule]).is_taken
    assert not propose(b"T 1", b"T x", decode=[rule]).is_taken


def test_a_rule_reads_the_framing_of_its_frames_where_there_are_several() -> None:
    framing = [{"name": "packet", "type": "fixed", "length": 3, "start": "\u0001"}, {"name": "text"}]
    params = serial_params(framing=framing)
    frames = [frame for frame, _ in SerialRules(params).codec.feed(b"T 21\r\n", 0.0)]
    rule = SerialInterface.propose(params, frames, "dev").rule
    assert rule.startswith("- framing: text\n  regex: ")


@pytest.mark.parametrize("frame", [b"", bytes(range(40)), b"\xff" * 100])
def test_where_nothing_can_be_proposed_a_person_is_told_what_to_do(frame: bytes) -> None:
    proposal = propose(frame)
    assert proposal.rule == ""
    assert "docs/serial.md" in proposal.note


@settings(max_examples=60)
@given(st.text(st.characters(min_codepoint=9, max_codepoint=0x2FF), min_size=1, max_size=40))
def test_whatever_is_proposed_for_a_text_reads_it(text: str) -> None:
    frame = text.encode()
    if any(char in text for char in "\r\n"):
        return
    proposal = propose(frame)
    if proposal.rule:
        assert messages(proposal.rule, frame), proposal.rule
    else:
        assert proposal.note


@settings(max_examples=60)
@given(st.lists(st.binary(min_size=3, max_size=20), min_size=1, max_size=4))
def test_whatever_is_proposed_for_frames_of_one_shape_reads_them_all(frames: list[bytes]) -> None:
    alike = [frame for frame in frames if shape_of(frame) == shape_of(frames[0])]
    proposal = propose(*alike)
    assert bool(proposal.rule) != bool(proposal.note)
