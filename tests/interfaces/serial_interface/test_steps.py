"""Requests of several steps: nothing is written between them, and the first one that fails ends them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import DeviceError
from gateway.message import InternalMsg
from interfaces.serial_interface.rules import check_rules
from tests.conftest import ExpectedLogs
from tests.interfaces.serial_interface.test_session import OFF, POLL, Device
from tests.support.configuration import serial_params

SMS: dict[str, Any] = {
    "match": {"action": "SMS"},
    "arguments": {"to": {"pattern": r"\+[0-9]*"}, "text": {"max_length": 20, "pattern": "[ -~\u20ac]*"}},
    "steps": [
        {"write": 'AT+CMGS="{to}"', "response": {"regex": r"> (?P<prompt>[0-9]*)"}, "refusal": {"regex": "ERROR"}},
        {"write": "{text}", "response": {"until": "OK", "lines": {"patterns": [r"\+CMGS: (?P<id>[0-9]+)"]}}},
    ],
}
READOUT: dict[str, Any] = {
    "name": "readout",
    "every": 900,
    "steps": [
        {
            "write": "/?!", "pause": 0.3,
            "response": {"regex": "/XYZ(?P<z>[0-9])", "values": {"z": {"enum": {"5": 9600, "4": 4800, "9": 77}}}},
        },
        {
            "write": "ACK {z}", "baudrate": "{z}", "timeout": 3, "retries": 1,
            "response": {"regex": r"1.8.0\((?P<kwh>.*)\)", "message": {"action": "ENERGY", "arguments": "*"}},
        },
    ],
}  # fmt: skip


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def console(name: str, **options: Any) -> Device:
    return Device(name, **{"encoding": "latin-1", "encode": [SMS, OFF], **options})


def send(device: Device, now: float = 0.0, text: str = "hello") -> None:
    assert device.submit("SMS", now, to="+49", text=text) is None
    device.step(now)


def test_the_steps_of_a_command_have_one_outcome(name: str) -> None:
    device = console(name)
    send(device)
    assert device.written == [b'AT+CMGS="+49"\r\n']
    assert device.receive(b"> 7\n", 0.1) == []
    device.step(0.1)
    assert device.written[1:] == [b"hello\r\n"]
    (outcome,) = device.receive(b"+CMGS: 12\r\nOK\r\n", 0.2)
    assert outcome.arguments == {
        "to": "+49",
        "text": "hello",
        "prompt": "7",
        "id": "12",
        "response": "OK",
        "reason": "",
    }
    assert device.counts() == {
        "frames_received": 3, "answers_received": 2, "frames_sent": 2, "commands_done": 1,
    }  # fmt: skip


def test_nothing_is_written_between_the_steps(name: str) -> None:
    poll = {**POLL, "every": 5, "on_open": False}
    device = console(name, conversation={"timeout": 9, "pacing": {"pause": 0.5}, "polls": [poll]})
    send(device)
    device.submit("OFF", 0.1)
    device.step(5.5)
    device.receive(b"> 7\n", 5.6)
    device.step(5.6)
    assert device.written == [b'AT+CMGS="+49"\r\n'], "the pause holds inside, and the rest has to wait"
    assert device.session.due() == pytest.approx(6.1)
    device.step(6.1)
    assert device.written[1:] == [b"hello\r\n"]
    device.receive(b"+CMGS: 12\r\nOK\r\n", 6.2)
    device.step(6.7)
    device.step(7.2)
    assert device.written[2:] == [b"OFF\r\n", b"U?\r\n"]


@pytest.mark.parametrize(
    ("frames", "response", "reason"),
    [
        ([b"ERROR\n"], "REFUSED", "step 1 of 2: the device refused it"),
        ([], "TIMEOUT", "step 1 of 2: the device did not answer within 1 s"),
        ([b"> 7\n"], "TIMEOUT", "step 2 of 2: the device did not answer within 1 s"),
    ],
)
def test_the_first_step_that_fails_ends_them(name: str, frames: list[bytes], response: str, reason: str) -> None:
    device = console(name)
    send(device)
    outcomes = []
    for frame in frames:
        outcomes += device.receive(frame, 0.1)
    for _ in range(5):
        outcomes += device.step(device.session.due() or 0.1)
    (outcome,) = outcomes
    assert (outcome.argument("response"), outcome.argument("reason")) == (response, reason)
    assert device.session.due() is None


def test_a_later_step_that_cannot_be_written_is_found_before_the_first_one_is(name: str) -> None:
    device = console(name)
    refused = device.submit("SMS", to="+49", text="\u20ac")
    assert refused is not None
    assert refused.argument("reason") == "argument 'text': '\\u20ac' cannot be written as latin-1"
    device.step(0.0)
    assert device.written == []


def test_a_command_in_steps_that_waits_too_long_does_not_begin(name: str) -> None:
    device = console(name, conversation={"timeout": 20})
    send(device)
    assert device.submit("SMS", 0.0, to="+50", text="x") is None
    (expired,) = device.step(10.0)
    assert expired.argument("reason") == "timed out after 10 s in the send queue"


def meter(name: str, **options: Any) -> Device:
    """Return a meter that is asked for a readout."""
    device = Device(name, **{"conversation": {"timeout": 2, "polls": [READOUT]}, **options})
    device.step(0.0)
    return device


def test_values_of_earlier_answers_stand_in_later_steps_and_the_speed_returns_at_the_end(name: str) -> None:
    device = meter(name)
    assert device.receive(b"/XYZ5\n", 0.5) == []
    device.step(0.6)
    assert device.written == [b"/?!\r\n"], "the pause"
    device.step(0.8)
    assert device.written[1:] == [b"ACK 9600\r\n"]
    (reading,) = device.receive(b"1.8.0(12.5)\n", 1.0)
    device.step(1.0)
    assert reading.arguments == {"kwh": "12.5"}
    assert device.speeds == [(2, 9600), (2, 0)], "after the write, and at the end"
    assert device.counts()["requests_done"] == 1
    assert device.ended == []


def test_the_speed_returns_if_a_step_fails_and_its_retry_is_written_at_the_earlier_one(
    name: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("step 2 of 2: the device did not answer within 3 s (2 attempts)")
    device = meter(name)
    device.receive(b"/XYZ4\n", 0.1)
    for when in (0.4, 3.4, 6.4):
        device.step(when)
    assert device.written == [b"/?!\r\n", b"ACK 4800\r\n", b"ACK 4800\r\n"]
    assert device.speeds == [(2, 4800), (2, 0), (3, 4800), (3, 0)]
    assert [[msg.action for msg in wanted] for wanted, _ in device.ended] == [["ENERGY"]]


def test_a_speed_that_does_not_exist_ends_the_steps(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("step 2 of 2: '77' is not a speed of a serial line")
    device = meter(name)
    device.receive(b"/XYZ9\n", 0.1)
    device.step(1.0)
    assert (device.written, device.speeds) == ([b"/?!\r\n"], [])


def test_a_value_that_is_missing_ends_the_steps(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("step 2 of 2: the value 'z' is missing: the device has not sent it")
    readout = {**READOUT, "steps": [{"write": "?", "response": {"regex": "/(?P<z>.?)"}}, READOUT["steps"][1]]}
    device = meter(name, conversation={"polls": [readout]})
    device.receive(b"/\n", 0.1)
    device.step(1.0)
    assert device.written == [b"?\r\n"]


def test_a_reopened_port_ends_the_steps_and_has_its_own_speed(name: str) -> None:
    device = meter(name)
    device.receive(b"/XYZ5\n", 0.1)
    device.step(0.4)
    device.session.restart(1.0)
    device.step(1.0)
    assert device.speeds == [(2, 9600)], "the port was opened with its own speed"
    assert device.written[2:] == []
    assert device.counts()["requests_offline"] == 1


def test_a_port_that_cannot_change_its_speed_fails(name: str) -> None:
    device = meter(name)
    device.speed_error = "no such speed"
    device.receive(b"/XYZ5\n", 0.1)
    with pytest.raises(DeviceError, match="no such speed"):
        device.step(0.4)


def test_the_end_of_a_connection_ends_a_command_between_two_steps(name: str) -> None:
    device = console(name, conversation={"pacing": {"pause": 1}})
    send(device)
    device.receive(b"> 7\n", 0.1)
    (outcome,) = device.session.end()
    assert (outcome.argument("response"), outcome.argument("prompt")) == ("OFFLINE", "7")
    device.session.start(5.0)
    device.step(5.0)
    assert len(device.written) == 1


WAITS: dict[str, Any] = {
    "match": {"action": "LOGIN"},
    "steps": [
        {"write": "hello", "response": {"regex": "OK"}},
        {"response": {"regex": "ready (?P<n>.*)"}, "timeout": 5},
        {"pause": 2},
        {"write": "go {n}"},
    ],
}


@given(st.lists(st.integers(0, 16), max_size=4))
def test_a_step_that_only_waits_misses_nothing_whatever_the_chunks(cuts: list[int]) -> None:
    device = Device("waits", encode=[WAITS])
    device.submit("LOGIN")
    device.step(0.0)
    data = b"OK\r\nready now\r\n"
    messages: list[InternalMsg] = []
    for start, end in itertools.pairwise([0, *sorted(cuts), len(data)]):
        messages += device.receive(data[start:end], 0.5)
        messages += device.step(0.5)
    messages += device.step(2.4)
    assert device.written == [b"hello\r\n"]
    (outcome,) = [*messages, *device.step(2.5)]
    assert (outcome.argument("response"), outcome.argument("n")) == ("OK", "now")
    assert device.written == [b"hello\r\n", b"go now\r\n"]


FRAMES = st.sampled_from([b"> 1", b"OK", b"+CMGS: 3", b"ERROR", b"U 230", b"T 5", b"noise"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(FRAMES, st.floats(0.01, 1.5)), max_size=12))
def test_whatever_the_device_sends_a_command_ends_once_and_its_steps_are_together(
    expected_logs: ExpectedLogs, sent: list[tuple[bytes, float]]
) -> None:
    expected_logs.allow("anything: ")
    polls = [{**POLL, "every": 0.7}]
    device = Device("anything", encode=[SMS, OFF], conversation={"polls": polls})
    assert device.submit("SMS", to="+49", text="hello") is None
    assert device.submit("OFF") is None
    now = 0.0
    outcomes = device.step(now)
    for frame, pause in sent:
        now += pause
        outcomes += device.receive(frame + b"\n", now)
        outcomes += device.step(now)
    for _ in range(20):
        now += 1
        outcomes += device.step(now)
    assert sorted(msg.action for msg in outcomes if msg.argument("response")) == ["OFF", "SMS"]
    between = device.written[device.written.index(b'AT+CMGS="+49"\r\n') + 1 :]
    assert b"hello\r\n" not in between or between[0] == b"hello\r\n"


@pytest.mark.parametrize(
    ("steps", "path", "what"),
    [
        ([{"write": "{x}"}], ("steps", 0, "write"), "{x} is not an argument"),
        ([{"write": "a"}, {"write": "{z}"}], ("steps", 1, "write"), "{z} is not an argument"),
        ([{"timeout": 2}], ("steps", 0), "this step does nothing"),
        ([{"write": "a", "hex": "00"}], ("steps", 0), "exactly one of"),
        ([{"write": "a\r\n"}], ("steps", 0), "cannot be framed"),
        ([{"write": "a", "baudrate": 77}], ("steps", 0, "baudrate"), "77 is not a speed"),
        ([{"write": "a", "baudrate": "{z}"}], ("steps", 0, "baudrate"), "{z} is not a value"),
        ([{"write": "a", "baudrate": "{"}], ("steps", 0, "baudrate"), "braces"),
        ([{"write": "a", "response": {"until": "(?P<x>.)"}}], ("steps", 0, "response", "until"), "is not read"),
        ([{"write": "a", "response": {"until": "("}}], ("steps", 0, "response", "until"), "not a regular expression"),
        ([{"write": "a", "refusal": {"until": "x"}}], ("steps", 0, "refusal", "until"), "a refusal is one frame"),
        (
            [{"write": "a", "response": {"until": "x", "binary": {"byte_order": "big", "fields": [{"type": "u8"}]}}}],
            ("steps", 0, "response", "until"), "cannot be read as bytes",
        ),
    ],
)  # fmt: skip
def test_what_check_finds(steps: list[dict[str, Any]], path: tuple[str | int, ...], what: str) -> None:
    problems = list(check_rules(serial_params(encode=[{"match": {"action": "A"}, "steps": steps}])))
    assert [(problem.path, what in problem.what) for problem in problems] == [(("encode", 0, *path), True)]
    problems = list(check_rules(serial_params(conversation={"polls": [{"every": 1, "steps": steps}]})))
    assert [problem.path for problem in problems] == [("conversation", "polls", 0, *path)]
    problems = list(check_rules(serial_params(conversation={"opening": steps})))
    assert [problem.path for problem in problems] == [("conversation", "opening", *path[1:])]


@pytest.mark.parametrize("port", ["socket://meter:4000", "/dev/ttyUSB0"])
def test_a_speed_that_cannot_be_set_or_left_is_found(port: str) -> None:
    baudrate = 9600 if port.startswith("socket") else 1234
    params = serial_params(port=port, baudrate=baudrate, conversation={"opening": [{"write": "x", "baudrate": 9600}]})
    (problem,) = check_rules(params)
    assert problem.path == ("conversation", "opening", 0, "baudrate")


def test_options_of_a_step_do_not_stand_beside_steps() -> None:
    rule = {"match": {"action": "A"}, "steps": [{"write": "a"}], "write": "b", "timeout": 2}
    problems = list(check_rules(serial_params(encode=[rule])))
    assert [problem.path for problem in problems] == [("encode", 0, "write"), ("encode", 0, "timeout")]
