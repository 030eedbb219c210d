"""What `check` shows of a frame: which rule or answer reads it, what it makes, and what is left out."""

from __future__ import annotations

from typing import Any

from gateway.errors import Problem
from gateway.message import InternalMsg
from interfaces.serial_interface.explain import explain_command, explain_frame
from tests.support.configuration import serial_params

POWER: dict[str, Any] = {"regex": "PW(?P<p>ON|OFF)", "message": {"action": "POWER_{p}"}}


def explained(frame: bytes, **options: Any) -> list[str]:
    """Return what is shown, without the frame itself; messages by their actions."""
    lines = []
    for item in explain_frame(serial_params(**options), frame + b"\n"):
        text = item.action if isinstance(item, InternalMsg) else item.what if isinstance(item, Problem) else item
        lines.append(text)
    return lines[1:]


def polls(**response: Any) -> dict[str, Any]:
    return {"polls": [{"name": "power", "every": 5, "write": "PW?", "response": {"regex": "PW.*", **response}}]}


def test_a_value_that_is_left_out_is_shown() -> None:
    rule = {"pairs": {"separator": ";"}, "values": {"*": "float"}, "message": {"action": "R", "arguments": "*"}}
    assert explained(b"a=1;b=nan", decode=[rule]) == [
        "matched rule 'pairs'", "left out: rule 'pairs': b: nan is not a number", "R",
    ]  # fmt: skip
    assert explained(b"b=nan", decode=[rule])[-1].startswith("dropped: ")


def test_with_every_rule_each_rule_is_shown_and_what_it_could_not_convert() -> None:
    rules: list[dict[str, Any]] = [
        {"name": "t", "regex": "T=(?P<t>[^;]*);.*", "values": {"t": "float"},
         "message": {"action": "T", "arguments": "*"}},
        {"name": "h", "regex": ".*H=(?P<h>.*)", "values": {"h": "int"}, "message": {"action": "H", "arguments": "*"}},
        {"name": "other", "regex": "X", "message": {"action": "X"}},
    ]  # fmt: skip
    assert explained(b"T=---;H=40", decode=rules, decode_every_rule=True) == [
        "matched rule 't'", "matched rule 'h'", "left out: rule 't': t: '---' is not a number", "H",
    ]  # fmt: skip
    assert explained(b"T=---;H=x", decode=rules, decode_every_rule=True)[-1].startswith("dropped: rule 't': t: ")
    assert explained(b"T=---;H=40", decode=rules) == ["dropped: t: '---' is not a number"]


def test_a_reply_is_shown() -> None:
    rule: dict[str, Any] = {"regex": "HELLO (?P<n>[0-9]+)", "reply": {"write": "HI {n}"}}
    assert explained(b"HELLO 7", decode=[rule]) == [
        "matched rule 'HELLO (?P<n>[0-9]+)'", "replies 'HI 7\\r\\n' (48 49 20 37 0d 0a)",
    ]  # fmt: skip
    rule["reply"] = {"hex": "{n:02x}", "framing": "raw"}
    (_, problem) = explained(b"HELLO 7", decode=[rule])
    assert problem.startswith("rule 'HELLO (?P<n>[0-9]+)': reply: '7' cannot be written")
    checksum = {"type": "xor", "reply": {"hex": "15", "framing": "raw"}}
    assert explained(b"HELLO 7", checksum=checksum)[1] == "replies '\\x15' (15)"


def test_a_frame_that_is_ignored_is_shown() -> None:
    lines = explained(b"BOOT 1", decode=[{"name": "boot", "regex": "BOOT .*", "ignore": True}])
    assert lines == ["matched rule 'boot'", "ignored: no message, and nothing in the log"]


def test_an_answer_without_messages_is_decoded_as_well() -> None:
    lines = explained(b"PWON", decode=[POWER], conversation=polls())
    assert lines == ["matched rule 'PW(?P<p>ON|OFF)'", "POWER_ON", "answers the request 'power'"]


def test_an_answer_with_messages_of_its_own_takes_the_frame() -> None:
    lines = explained(b"PWON", decode=[POWER], conversation=polls(message={"action": "ANSWER"}))
    assert lines[:2] == ["matched rule 'PW(?P<p>ON|OFF)'", "POWER_ON"]
    assert lines[2] == (
        "answers the request 'power': while that is waited for, only the answer's own messages are made"
    )
    assert lines[3] == "ANSWER"
    alone = explained(b"PWON", conversation=polls(message={"action": "ANSWER"}))
    assert alone == ["answers the request 'power'", "ANSWER"]


def test_the_messages_of_an_answer_to_a_command_are_shown() -> None:
    rule = {
        "match": {"action": "SET"}, "write": "S",
        "response": {"regex": "OK", "message": {"action": "DONE"}}, "refusal": {"regex": "ERR"},
    }  # fmt: skip
    assert explained(b"OK", encode=[rule]) == ["answers the command 'SET'", "DONE"]
    assert explained(b"ERR", encode=[rule]) == ["refuses the command 'SET'"]
    assert explained(b"?", encode=[rule]) == ["dropped: no rule matches"]


def test_an_answer_with_an_end_is_shown_line_by_line() -> None:
    response = {"until": "OK", "regex": "V(?P<v>.*)", "message": {"action": "V", "arguments": "*"}}
    conversation = {
        "polls": [{"name": "v", "every": 5, "write": "V?", "response": response}], "restarted": {"regex": "BOOT"},
    }  # fmt: skip
    part = "part of what answers the request 'v' and ends with 'OK'"
    assert explained(b"V1", conversation=conversation) == [part]
    lines = explained(b"V1\nOK\nV2\nOK", conversation=conversation)
    assert [line for line in lines if not line.startswith("frame ")] == [
        part, "answers the request 'v'", "V", part, "answers the request 'v'", "V",
    ]  # fmt: skip
    assert explained(b"BOOT", conversation=conversation) == ["repeats the opening requests"]
    assert explained(b"OK", conversation=conversation)[-1].startswith("dropped: no rule matches")


def test_the_steps_of_a_command_are_shown() -> None:
    steps = [
        {"write": "A{n}", "response": {"regex": "(?P<z>.*)"}, "timeout": 5},
        {"pause": 2},
        {"name": "ack", "write": "B{z}"},
    ]
    rule = {"match": {"action": "GO"}, "arguments": {"n": {"type": "integer"}}, "steps": steps}
    command = InternalMsg(iscmd=True, action="GO", arguments={"n": 7})
    lines = list(explain_command(serial_params(encode=[rule]), command))
    assert lines == [
        r"writes 'A7\r\n' (41 37 0d 0a)", "then waits 5 s for the answer", "then waits 2 s",
        "writes 'ack' with z of an earlier answer",
    ]  # fmt: skip
