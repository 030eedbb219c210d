"""Several framings of one device: which rules read a frame, in which framing a request is written, and mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Problem
from gateway.message import InternalMsg
from interfaces.serial_interface.explain import explain_command, explain_frame
from interfaces.serial_interface.options import SerialOptions
from interfaces.serial_interface.reports import Reports
from interfaces.serial_interface.rules import SerialRules, check_rules
from interfaces.serial_interface.session import Session
from tests.support.configuration import serial_params

MESSAGE = {"device": "d", "action": "A", "arguments": "*"}
OPTIONS: dict[str, Any] = {
    "framing": [
        {"name": "hex", "start": ":", "terminator": "\n", "content": "hex", "checksum": {"type": "lrc", "strip": True}},
        {"name": "text", "terminator": "\r\n", "prompts": ["> "]},
    ],
    "write_framing": "text",
    "address": {"device": "d"},
    "decode": [
        {"name": "text", "framing": "text", "regex": "(?P<x>.)", "message": MESSAGE},
        {"name": "hex", "framing": "hex", "regex": "(?P<y>.)", "message": MESSAGE},
    ],
    "encode": [
        {"match": {"action": "PLAIN"}, "write": "GO"},
        {"match": {"action": "HEX"}, "framing": "hex", "hex": "41", "response": {"framing": "text", "regex": "A"}},
        {"match": {"action": "RAW"}, "framing": "raw", "hex": "1A"},
    ],
    "conversation": {"opening": [{"write": "", "response": {"regex": "> "}}, {"framing": "raw", "hex": "16 00"}]},
}


def device() -> Session:
    params = serial_params(**OPTIONS)
    assert list(check_rules(params)) == []
    return Session(SerialRules(params), SerialOptions.from_params(params), Reports("test", lambda: 0.0))


def command(action: str) -> InternalMsg:
    return InternalMsg(iscmd=True, device="d", action=action)


def test_a_rule_reads_only_the_frames_of_its_framing() -> None:
    messages = list(device().receive(b":41BF\nA\r\n", 1.0))
    assert [msg.arguments for msg in messages] == [{"y": "A"}, {"x": "A"}]


def test_each_request_is_written_in_its_framing() -> None:
    session, written = device(), list[bytes]()
    session.start(0.0)
    list(session.step(0.5, written.append))
    assert written == [b"\r\n"], "an empty line wakes the device"
    list(session.receive(b"> ", 0.6))
    list(session.step(0.6, written.append))
    for action in ("PLAIN", "RAW", "HEX"):
        assert session.submit(command(action), 0.7) is None
    list(session.step(0.7, written.append))
    assert written == [b"\r\n", b"\x16\x00", b"GO\r\n", b"\x1a", b":41BF\n"]


def test_an_answer_in_another_framing_is_no_answer() -> None:
    session = device()
    session.submit(command("HEX"), 0.0)
    list(session.step(0.0, lambda _data: None))
    assert [msg.arguments for msg in session.receive(b":41BF\n", 0.1)] == [{"y": "A"}]
    reply = next(iter(session.receive(b"A\r\n", 0.2)))
    assert reply.arguments["response"] == "OK"


def test_check_names_the_framing_of_a_frame() -> None:
    params = serial_params(**OPTIONS)
    lines = [line for data in (b":41BF\nB\r\n", b":4100\n") for line in explain_frame(params, data)]
    assert [line for line in lines if isinstance(line, str)] == [
        "hex frame 'A' (41)",
        "checksum OK",
        "matched rule 'hex'",
        "text frame 'B' (42)",
        "matched rule 'text'",
        "hex frame 'A\\x00' (41 00)",
    ]
    assert [line.what for line in lines if isinstance(line, Problem)] == [
        "dropped: wrong checksum: expected bf, found 00"
    ]
    assert list(explain_command(params, command("RAW"))) == ["writes '\\x1a' (1a)"]


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (("decode", 0, "framing"), {"decode": [{"framing": "hx", "regex": ".", "message": MESSAGE}]}),
        (("encode", 0, "framing"), {"encode": [{"match": {"action": "A"}, "framing": "hx", "write": "A"}]}),
        (
            ("encode", 0, "response", "framing"),
            {"encode": [{"match": {"action": "A"}, "write": "A", "response": {"framing": "raw", "regex": "."}}]},
        ),
        (
            ("conversation", "polls", 0, "framing"),
            {"conversation": {"polls": [{"framing": "hx", "write": "A"}]}},
        ),
    ],
)
def test_a_framing_that_the_device_has_not_is_a_finding(path: tuple[Any, ...], options: dict[str, Any]) -> None:
    (problem,) = check_rules(serial_params(framing=OPTIONS["framing"], **options))
    assert problem.path == path
    assert problem.what.startswith("there is no framing")
    assert problem.remedy


def test_the_longest_timeout_of_the_framings_counts() -> None:
    framing = [{"start": "$", "timeout": 2}, {"start": "!", "timeout": 5}, {}]
    assert SerialOptions.from_params(serial_params(framing=framing)).frame_timeout == 5
    assert SerialOptions.from_params(serial_params(framing=[{}])).frame_timeout is None
