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
    assert explained(b"?", encode=[rule]) == [
        "dropped: no rule matches",
        "the nearest rule is the response of the command 'SET': at offset 0 it expects 'OK', but there is '?'",
    ]


def test_a_pattern_that_fits_two_lines_is_shown_and_each_repetition_makes_its_messages() -> None:
    framing = {"type": "markers", "start": "/", "stop": "!\n"}
    line = "G(?P<n>.) (?P<m3>.*)"
    message = {"action": "GAS{n}", "arguments": {"m3": "{m3}"}}
    once = explained(b"/G1 5\nG2 6\n!", framing=framing, decode=[{"lines": {"patterns": [line]}, "message": message}])
    assert once[1].startswith("left out: rule 'lines': n, m3: the frame has several such lines")
    assert once[2:] == ["GAS2"]
    rule = {"lines": {"repeat": [line], "each": True}, "message": message}
    assert explained(b"/G1 5\nG2 6\n!", framing=framing, decode=[rule]) == ["matched rule 'lines'", "GAS1", "GAS2"]


SMS: dict[str, Any] = {
    "name": "sms", "join": {"first": r"\+CMT: .*"}, "regex": r'\+CMT: "(?P<from>[0-9+]*)".*\n(?P<text>.*)',
    "message": {"action": "SMS", "arguments": "*"},
}  # fmt: skip


def test_frames_that_are_joined_are_shown() -> None:
    assert explained(b'+CMT: "+491"\nhello', decode=[SMS]) == [
        "collected by rule 'sms'",
        "no message yet: it is joined with frames that follow",
        "frame 'hello' (68 65 6c 6c 6f)",
        "joined frames '+CMT: \"+491\"\\nhello'",
        "matched rule 'sms'",
        "SMS",
    ]


def test_rules_that_join_frames_are_not_the_nearest_ones_of_a_single_frame() -> None:
    lines = explained(b"PWX", decode=[SMS, {**SMS, "name": "other", "regex": "P.*"}, POWER])
    assert lines[0] == "dropped: no rule matches"
    assert lines[1].startswith("the nearest rule is 'PW(?P<p>ON|OFF)': at offset 2")


def test_a_joined_text_that_no_rule_reads_is_shown() -> None:
    lines = explained(b"+CMT: x\nhello", decode=[SMS])
    assert lines[-2:] == ["joined frames '+CMT: x\\nhello' (2b 43 4d 54 3a 20 78 0a 68 65 6c 6c 6f)",
        "dropped: no rule matches",
    ]  # fmt: skip


def test_for_a_frame_that_nothing_takes_the_nearest_rule_is_shown_and_why() -> None:
    conversation = {"polls": [{"write": "T?", "every": 5, "response": {"regex": "T [0-9]+;"}}]}
    lines = explained(b"PWX", decode=[POWER, {**POWER, "name": "other", "regex": "PA"}], conversation=conversation)
    assert lines == [
        "dropped: no rule matches",
        "the nearest rule is 'PW(?P<p>ON|OFF)': at offset 2 it expects '(?P<p>ON|OFF)', but there is 'X'",
    ]
    (reason,) = explained(b"T 21", decode=[POWER], conversation=conversation)[1:]
    assert reason.startswith("the nearest rule is the response of the request 'T?': at offset 4 it expects ';', but ")
    assert explained(b"T 21") == ["dropped: no rule matches"]


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
    assert explained(b"OK", conversation=conversation) == [
        "dropped: no rule matches",
        "the nearest rule is 'restarted': at offset 0 it expects 'BOOT', but there is 'OK'",
    ]


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


def test_what_is_ignored_before_the_end_of_an_answer_is_not_only_called_dropped() -> None:
    encode = [{"match": {"action": "TELE"}, "write": "T", "response": {"until": "DONE"}}]
    dropped, meanwhile, _ = explained(b"ACK", encode=encode)
    assert dropped == "dropped: no rule matches"
    assert meanwhile == "only ignored while the end of an answer is awaited, such as that to the command 'TELE'"
    assert "only ignored" not in str(explained(b"ACK", encode=[{**encode[0], "response": {"regex": "DONE"}}]))
