"""Several framings of one device: which rules read a frame, in which framing a request is written, and mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.errors import Problem
from gateway.message import InternalMsg
from interfaces.serial_interface.explain import explain_command, explain_frame
from interfaces.serial_interface.options import SerialOptions
from interfaces.serial_interface.reports import Reports
from interfaces.serial_interface.rules import SerialRules, check_rules
from interfaces.serial_interface.session import Session
from tests.conftest import ExpectedLogs
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


def make_session(params: dict[str, Any]) -> Session:
    return Session(SerialRules(params), SerialOptions.from_params(params), Reports("test", lambda: 0.0))


def device() -> Session:
    params = serial_params(**OPTIONS)
    assert list(check_rules(params)) == []
    return make_session(params)


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


FRAME: dict[str, Any] = {"name": "frame", "type": "fixed", "length": 4, "start": "<"}
LEVEL: dict[str, Any] = {"match": {"action": "LEVEL"}, "arguments": {"level": {}}, "write": "<{level}"}


@pytest.mark.parametrize("options", [{"write_framing": FRAME}, {"framing": [FRAME, {}], "write_framing": "frame"}])
def test_what_does_not_fit_write_framing_is_a_finding_or_refused(options: dict[str, Any]) -> None:
    short = {"match": {"action": "SHORT"}, "write": "<AB"}
    conversation = {"polls": [{"hex": "3C 41 42"}], "opening": [{"write": "<ABC"}, {"write": "ABCD"}]}
    found = list(check_rules(serial_params(**options, encode=[short], conversation=conversation)))
    assert [(problem.path, problem.what) for problem in found] == [
        (("encode", 0), "the written bytes cannot be framed: it has 3 bytes instead of 4"),
        (("conversation", "polls", 0), "the written bytes cannot be framed: it has 3 bytes instead of 4"),
        (("conversation", "opening", 1), "the written bytes cannot be framed: it does not begin with '<'"),
    ]
    params = serial_params(**options, encode=[LEVEL], address={"device": "d"})
    assert list(check_rules(params)) == []
    session, written = make_session(params), list[bytes]()
    refused = session.submit(command("LEVEL").with_arguments({"level": "12"}), 0.0)
    assert refused is not None
    assert (refused.argument("response"), refused.argument("reason")) == ("REFUSED", "it has 3 bytes instead of 4")
    assert session.submit(command("LEVEL").with_arguments({"level": "123"}), 0.0) is None
    list(session.step(0.0, written.append))
    assert written == [b"<123"]


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
        (
            ("encode", 0, "steps", 1, "framing"),
            {"encode": [{"match": {"action": "A"}, "steps": [{"write": "A"}, {"framing": "hx", "write": "A"}]}]},
        ),
        (
            ("conversation", "opening", 0, "response", "framing"),
            {"conversation": {"opening": [{"write": "A", "response": {"framing": "hx", "regex": "."}}]}},
        ),
        (
            ("decode", 0, "reply", "framing"),
            {"decode": [{"regex": "A", "reply": {"framing": "hx", "hex": "06"}}]},
        ),
        (
            ("conversation", "restarted", "framing"),
            {"conversation": {"restarted": {"framing": "hx", "regex": "BOOT"}}},
        ),
    ],
)
def test_a_framing_that_the_device_has_not_is_a_finding(path: tuple[Any, ...], options: dict[str, Any]) -> None:
    (problem,) = check_rules(serial_params(framing=OPTIONS["framing"], **options))
    assert problem.path == path
    assert problem.what.startswith("there is no framing")
    assert problem.remedy


SIGNAL: dict[str, Any] = {
    "name": "signal",
    "write": "AT+CSQ",
    "response": {
        "framing": "text",
        "until": "OK",
        "lines": {"patterns": ["CSQ: (?P<rssi>[0-9]+)", "HEX: (?P<hex>.*)"]},
        "message": {"action": "SIGNAL", "arguments": "*"},
    },
}
OK_IN_HEX = b":4F4B66\n"


ANY_HEX: dict[str, Any] = {"framing": "hex", "regex": "(?P<y>.*)", "message": MESSAGE}


def polled_modem(decode: Sequence[dict[str, Any]] = (ANY_HEX,)) -> tuple[Session, dict[str, Any]]:
    """Return a modem that has been asked for its signal, and its parameters."""
    options = {**OPTIONS, "decode": list(decode)}
    params = serial_params(**{**options, "conversation": {"polls": [SIGNAL]}})
    assert list(check_rules(params)) == []
    session = make_session(params)
    session.start(0.0)
    list(session.step(0.0, lambda _data: None))
    return session, params


@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_frames_and_the_end_of_an_answer_have_its_framing(size: int) -> None:
    session, _ = polled_modem()
    data = b"CSQ: 18\r\n" + OK_IN_HEX + b"AT+CSQ\r\nOK\r\n"
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    messages = [msg for chunk in chunks for msg in session.receive(chunk, 0.1)]
    assert [(msg.action, msg.arguments) for msg in messages] == [("A", {"y": "OK"}), ("SIGNAL", {"rssi": "18"})]


def test_a_frame_of_another_framing_is_not_collected_and_gives_an_answer_no_more_time() -> None:
    session, _ = polled_modem(decode=[])
    due = session.due()
    assert list(session.receive(OK_IN_HEX, 0.5)) == []
    assert (session.stats()["frames_unmatched"], session.due()) == (1, due)
    list(session.receive(b"CSQ: 18\r\n", 0.6))
    assert (session.stats()["frames_unmatched"], session.due()) == (1, 1.6)


def test_check_joins_only_the_frames_of_the_framing_of_an_answer() -> None:
    _, params = polled_modem()
    lines = list(explain_frame(params, b"CSQ: 18\r\n" + OK_IN_HEX + b"OK\r\n"))
    assert [line.arguments for line in lines if isinstance(line, InternalMsg)] == [{"y": "OK"}, {"rssi": "18"}]


def test_a_restart_is_recognised_in_its_framing_only() -> None:
    opening = {"restarted": {"framing": "text", "regex": "."}, "opening": [{"write": "HI"}]}
    params = serial_params(**{**OPTIONS, "conversation": opening})
    session, written = make_session(params), list[bytes]()
    session.start(0.0)
    list(session.step(0.0, written.append))
    for data in (b":41BF\n", b"A\r\n"):
        list(session.receive(data, 1.0))
        list(session.step(1.0, written.append))
    assert written == [b"HI\r\n", b"HI\r\n"]


SMS: dict[str, Any] = {
    "match": {"action": "SMS"},
    "arguments": {"to": {"pattern": r"\+[0-9]*"}, "text": {"max_length": 160, "pattern": "[ -~]*"}},
    "steps": [
        {"write": 'AT+CMGS="{to}"', "response": {"regex": "> "}, "refusal": {"regex": "ERROR"}},
        {
            "write": "{text}\x1a", "framing": "raw", "timeout": 60,
            "response": {"until": "OK", "lines": {"patterns": [r"\+CMGS: (?P<id>[0-9]+)"]}},
            "refusal": {"regex": "ERROR|.CMS ERROR.*"},
        },
    ],
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_console_is_answered_at_its_prompt_with_raw_bytes(size: int) -> None:
    framing = {"terminator": ["\r\n", "\n"], "write_terminator": "\r", "prompts": ["> "]}
    params = serial_params(framing=framing, encode=[SMS], address={"device": "d"})
    assert list(check_rules(params)) == []
    session = make_session(params)
    session.start(0.0)
    written: list[bytes] = []
    outcomes: list[InternalMsg] = []
    assert (
        session.submit(InternalMsg(iscmd=True, device="d", action="SMS", arguments={"to": "+49", "text": "hello"}), 0.0)
        is None
    )
    for answer in (b"", b"\r\n> ", b"\r\n+CMGS: 12\r\n\r\nOK\r\n"):
        for at in range(0, len(answer), size):
            outcomes += session.receive(answer[at : at + size], 0.1)
        outcomes += session.step(0.1, written.append)
    assert written == [b'AT+CMGS="+49"\r', b"hello\x1a"]
    assert [(msg.argument("id"), msg.argument("response")) for msg in outcomes] == [("12", "OK")]


def test_replies_have_their_framing_and_each_framing_its_reply_to_a_wrong_checksum(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("wrong checksum")
    hex_framing, text = OPTIONS["framing"]
    checksum = {**hex_framing["checksum"], "reply": {"framing": "hex", "hex": "15"}}
    decode = [
        {"framing": "hex", "regex": "A", "reply": {"framing": "hex", "hex": "06"}},
        {"framing": "text", "regex": "A", "reply": {"write": "ACK"}},
        {"regex": "> ", "reply": {"framing": "raw", "hex": "04"}},
    ]
    params = serial_params(framing=[{**hex_framing, "checksum": checksum}, text], write_framing="text", decode=decode)
    assert list(check_rules(params)) == []
    session, written = make_session(params), list[bytes]()
    for data in (b":41BF\n", b":4100\n\r\n", b"A\r\n", b"> "):
        list(session.receive(data, 1.0))
        list(session.step(1.0, written.append))
    assert written == [b":06FA\n", b":15EB\n", b"ACK\r\n", b"\x04"]
    assert "replies ':15EB\\n' (3a 31 35 45 42 0a)" in list(explain_frame(params, b":4100\n"))


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (
            ("framing", 0, "checksum", "reply"),
            {"framing": [{"start": ":", "checksum": {"type": "lrc", "reply": {"hex": "15"}}}, {"start": "!"}]},
        ),
        (
            ("write_framing", "checksum", "reply"),
            {"write_framing": {"checksum": {"type": "lrc", "reply": {"hex": "15"}}}},
        ),
        (
            ("framing", "checksum", "reply", "framing"),
            {"framing": {"checksum": {"type": "lrc", "reply": {"framing": "hx", "hex": "15"}}}},
        ),
    ],
)
def test_a_reply_to_a_wrong_checksum_that_can_never_be_sent_is_a_finding(
    path: tuple[Any, ...], options: dict[str, Any]
) -> None:
    assert [problem.path for problem in check_rules(serial_params(**options))] == [path]


def test_the_longest_timeout_of_the_framings_counts() -> None:
    framing = [{"start": "$", "timeout": 2}, {"start": "!", "timeout": 5}, {}]
    assert SerialOptions.from_params(serial_params(framing=framing)).frame_timeout == 5
    assert SerialOptions.from_params(serial_params(framing=[{}])).frame_timeout is None
