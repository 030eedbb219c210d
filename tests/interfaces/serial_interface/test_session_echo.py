"""A line that returns what is written, in a session: the answers are those of the device, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import ExpectedLogs
from tests.interfaces.serial_interface.test_session import READING, Device

METER: dict[str, Any] = {
    "framing": {"type": "gap", "gap": 0.05},
    "checksum": {"type": "modbus", "byte_order": "little", "strip": True},
    "decode": [],
    "encode": [
        {
            "match": {"action": "RELAY"},
            "hex": "01 05 00 00 FF 00",  # the device repeats the request
            "response": {"binary": {"length": 6, "fields": [{"type": "u8", "is": 1}, {"type": "u8", "is": 5}]}},
        }
    ],
}
POLL: dict[str, Any] = {
    "name": "volts",
    "every": 10,
    "hex": "01 04 00 00 00 01",
    "response": {
        "binary": {
            "length": 5,
            "fields": [{"type": "u8", "is": 1}, {"type": "u8", "is": 4}, {"type": "u8", "is": 2},
                       {"type": "u16", "name": "v"}],
        },
        "message": {"action": "VOLTS", "arguments": "*"},
    },
}  # fmt: skip


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def meter(name: str, **conversation: Any) -> Device:
    return Device(name, **METER, conversation={"polls": [POLL], **conversation})


def answer(device: Device, content: bytes) -> bytes:
    """Return what the meter sends for `content`."""
    return device.session.codec.wrap(content)


def hear(device: Device, data: bytes, now: float) -> list[Any]:
    """Return the messages of bytes that arrive at `now`, with the silence after them."""
    return [*device.receive(data, now), *device.receive(b"", now + 0.05)]


def test_a_dead_meter_behind_an_echo_is_a_timeout(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("'volts': ")
    device = meter(name)
    device.step(0.0)
    assert hear(device, device.written[-1], 0.01) == []  # it comes back, and nobody answers
    device.step(1.0)
    device.step(2.0)
    assert device.submit("RELAY", 2.5) is None
    device.step(2.5)
    assert hear(device, device.written[-1], 2.51) == []
    (reply,) = device.step(3.5)
    assert reply.argument("response") == "TIMEOUT"
    assert device.counts()["echoes_removed"] == 1


def test_a_meter_that_answers_right_after_the_echo_is_read(name: str) -> None:
    device = meter(name, echo=True)
    device.step(0.0)
    (msg,) = hear(device, device.written[-1] + answer(device, b"\x01\x04\x02\x00\xe6"), 0.02)
    assert msg.arguments == {"v": 230}
    assert device.submit("RELAY", 1.0) is None
    device.step(1.0)
    (reply,) = hear(device, 2 * device.written[-1], 1.02)
    assert reply.argument("response") == "OK"


def test_a_device_that_repeats_commands_has_no_echo(name: str) -> None:
    rules: list[dict[str, Any]] = [
        {"match": {"action": "MUTE"}, "write": "MUON", "response": {"regex": "MU(ON|OFF)"}},
        {"match": {"action": "INPUT"}, "write": "SICD"},  # repeated, too, but no rule reads that
    ]
    device = Device(name, encode=rules)
    for now in range(5):
        for action in ("INPUT", "MUTE"):
            assert device.submit(action, now) is None
            device.step(now)
            replies = device.receive(device.written[-1], now)
        assert [reply.argument("response") for reply in replies] == ["OK"]
    assert "echoes_removed" not in device.counts()


def test_an_answer_that_contains_the_request_is_no_echo(name: str) -> None:
    rule = {"match": {"action": "GET"}, "write": "U", "response": {"regex": "OK (?P<what>.*)"}}
    device = Device(name, encode=[rule])
    for now in range(5):
        assert device.submit("GET", now) is None
        device.step(now)
        replies = device.receive(b"OK U\r\n", now)
        assert [reply.argument("what") for reply in replies] == ["U"]
    assert "echoes_removed" not in device.counts()


def test_a_request_that_a_rule_reads_as_a_reading_is_no_echo(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("'T 1': ")
    polls = [{"write": "T 1", "every": 1, "response": {"regex": "OK"}}]
    device = Device(name, decode=[READING], conversation={"polls": polls, "timeout": 0.1})
    while len(device.written) < 4:
        now = device.session.due() or 0.0
        count = len(device.written)
        device.step(now)
        if len(device.written) > count:
            assert [msg.arguments for msg in device.receive(b"T 1\r\n", now)] == [{"t": 1}]


def test_held_back_bytes_become_a_frame_when_the_time_of_the_echo_is_over(name: str) -> None:
    device = Device(name, framing={"type": "length", "offset": 0, "size": 1, "correction": 1},
                    encode=[{"match": {"action": "SET"}, "hex": "02 01 02"}], conversation={"echo": True, "timeout": 2},
                    decode=[{"binary": {"fields": [{"type": "u8", "name": "n"}]},
                             "message": {"action": "N", "arguments": "*"}}])  # fmt: skip
    assert device.submit("SET", 1.0) is None
    device.step(1.0)
    assert device.receive(b"\x02\x01", 1.1) == []
    assert device.session.due() == 3.0
    assert list(device.session.expire_partial_frame(3.0)) == []
    (msg,) = device.receive(b"\x09", 3.1)
    assert msg.arguments == {"n": 2}


def test_lines_with_another_terminator_are_reported_after_ten_seconds(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("840 bytes in 10 s and no frame ended")
    device = Device(name, framing={"terminator": "\r\n"})
    for _ in range(120):
        assert device.receive(b"T 21.5;", 5.0) == []
    assert device.session.due() == 15.0
    assert list(device.session.expire_partial_frame(15.0)) == []
    assert device.session.due() is None


def test_a_rule_that_cannot_convert_is_reported_although_others_make_messages(
    name: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("value left out: rule 'T (?P<t>.*)': t: 'x' is not an integer")
    other = {"regex": "T (?P<raw>.*)", "message": {"action": "RAW", "arguments": "*"}}
    device = Device(name, decode=[READING, other], decode_every_rule=True)
    assert [msg.action for msg in device.receive(b"T x\n")] == ["RAW"]
    assert device.counts()["values_unreadable"] == 1


@pytest.mark.parametrize("echo", ["auto", True])
def test_an_echo_is_no_part_of_an_answer_with_an_end(name: str, echo: Any) -> None:
    poll = {
        "write": "AT+CSQ", "every": 1,
        "response": {"until": "OK", "regex": r"(?P<x>\+CSQ: .*)", "message": {"action": "SIGNAL", "arguments": "*"}},
    }  # fmt: skip
    device = Device(name, conversation={"polls": [poll], "echo": echo})
    for now in range(3):
        device.step(now)
        (msg,) = device.receive(device.written[-1] + b"+CSQ: 1\r\nOK\r\n", now)
        assert msg.arguments == {"x": "+CSQ: 1"}
    assert device.counts()["echoes_removed"] == (2 if echo == "auto" else 3)


def test_a_line_that_an_answer_with_an_end_reads_is_no_evidence_of_an_echo(name: str) -> None:
    poll = {"write": "A", "every": 1, "response": {"until": "OK", "lines": {"patterns": ["(?P<x>[AB])"]}}}
    device = Device(name, conversation={"polls": [poll]})
    for now in range(3):
        device.step(now)
        device.receive(b"A\r\nOK\r\n", now)
    assert "echoes_removed" not in device.counts()


@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_echo_of_each_step_is_taken_off(name: str, size: int) -> None:
    steps = [
        {"write": "SMS", "response": {"regex": "> "}},
        {"write": "hello\x1a", "framing": "raw", "response": {"until": "OK", "regex": "SENT (?P<id>.*)"}},
    ]
    rule = {"match": {"action": "SMS"}, "steps": steps}
    framing = {"terminator": ["\r\n", "\n"], "write_terminator": "\r", "prompts": ["> "]}
    device = Device(name, framing=framing, encode=[rule], conversation={"echo": True})
    assert device.submit("SMS", 0.0) is None
    outcomes = device.step(0.0)
    for data in (b"SMS\r\n> ", b"hello\x1a\r\nSENT 12\r\nOK\r\n"):
        for at in range(0, len(data), size):
            outcomes += device.receive(data[at : at + size], 0.1)
        outcomes += device.step(0.1)
    assert device.written == [b"SMS\r", b"hello\x1a"]
    assert [(msg.argument("response"), msg.argument("id")) for msg in outcomes] == [("OK", "12")]
