"""Options of rules, answers and requests that are used together: framings, repetitions, joined frames, steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.devices.declaration import Signature
from gateway.errors import Problem
from gateway.message import InternalMsg
from interfaces.serial_interface.explain import explain_command, explain_frame
from interfaces.serial_interface.options import SerialOptions
from interfaces.serial_interface.reports import Reports
from interfaces.serial_interface.rules import SerialRules, check_rules
from interfaces.serial_interface.session import Session
from interfaces.serial_interface.signatures import signatures
from interfaces.serial_interface.simulation.device import SimulatedDevice
from interfaces.serial_interface.simulation.playback import Playback
from tests.support.configuration import script_params, serial_params

FRAMINGS: list[dict[str, Any]] = [{"name": "marked", "type": "markers", "start": "<", "stop": ">"}, {"name": "line"}]
LINES: dict[str, Any] = {"lines": {"repeat": [r"(?P<node>[0-9]+)=(?P<t>[0-9.]+)"], "each": True}}
MESSAGE = {"action": "T{node}", "arguments": {"t": "{t}"}}
SMS: dict[str, Any] = {
    "name": "sms",
    "join": {"first": "FROM .*"},
    "regex": r"FROM (?P<from>.*)\n(?P<text>.*)",
    "message": {"action": "SMS", "arguments": "*"},
}


class Line:
    """A session, and what it has written."""

    def __init__(self, **options: Any) -> None:
        params = serial_params(**options)
        assert list(check_rules(params)) == []
        options_of_line = SerialOptions.from_params(params)
        self.session = Session(SerialRules(params), options_of_line, Reports("test", lambda: 0.0))
        self.session.start(0.0)
        self.written: list[bytes] = []

    def step(self, now: float) -> list[InternalMsg]:
        return list(self.session.step(now, self.written.append))

    def receive(self, data: bytes, now: float) -> list[InternalMsg]:
        return [*self.session.receive(data, now), *self.step(now)]

    def send(self, action: str, now: float, **arguments: Any) -> None:
        command = InternalMsg(iscmd=True, action=action, arguments=arguments)
        assert self.session.submit(command, now) is None
        assert self.step(now) == []


def shown(messages: list[InternalMsg]) -> list[tuple[str, dict[str, Any]]]:
    return [(msg.action, dict(msg.arguments)) for msg in messages]


def explained(data: bytes, **options: Any) -> list[str]:
    items = explain_frame(serial_params(**options), data)
    return [
        item.action if isinstance(item, InternalMsg) else item.what if isinstance(item, Problem) else item
        for item in items
    ]


def problems(**options: Any) -> list[str]:
    return [str(problem.what) for problem in check_rules(serial_params(**options))]


# --- framings


def test_frames_are_joined_only_with_those_of_the_framing_of_their_rule() -> None:
    rules = [{**SMS, "framing": "line"}, {**SMS, "name": "other", "framing": "marked", "message": {"action": "OTHER"}}]
    line = Line(framing=FRAMINGS, decode=rules)
    received = line.receive(b"FROM a\r\n<FROM b>one\r\n<two>", 1.0)
    assert shown(received) == [("SMS", {"from": "a", "text": "one"}), ("OTHER", {})]
    assert line.session.stats()["frames_unmatched"] == line.session.stats()["frames_unjoined"] == 0


def test_a_joined_text_is_replied_to_in_a_framing_or_ignored() -> None:
    rules = [
        {**SMS, "framing": "line", "reply": {"write": "ACK {from}", "framing": "marked"}},
        {"framing": "marked", "join": {"first": "A", "next": "B"}, "regex": "A\nB", "ignore": True},
    ]
    line = Line(framing=FRAMINGS, decode=rules)
    assert line.receive(b"FROM me\r\n", 1.0) == []
    assert line.written == []
    assert [msg.action for msg in line.receive(b"hello\r\n<A><B>", 1.1)] == ["SMS"]
    assert line.written == [b"<ACK me>"]
    assert line.session.stats()["frames_ignored"] == 1
    assert explained(b"<A><B>", framing=FRAMINGS, decode=rules)[-2:] == [
        "matched rule 'A\\nB'",
        "ignored: no message, and nothing in the log",
    ]


def test_the_nearest_rule_reads_frames_of_the_same_framing() -> None:
    rules = [
        {"name": "lines", "framing": "line", "regex": "PWX", "message": {"action": "A"}},
        {"name": "marked", "framing": "marked", "regex": "QW1", "message": {"action": "B"}},
    ]
    assert explained(b"<PWX>", framing=FRAMINGS, decode=rules)[-1].startswith("the nearest rule is 'marked': at offset")
    only = explained(b"<PWX>", framing=FRAMINGS, decode=rules[:1])[-1]
    assert only == "the nearest rule is 'lines': it reads only frames of the framing 'line'"


def test_a_checksum_of_one_of_several_framings_may_be_a_sum() -> None:
    checksum = {"type": {"sum": "add", "init": 0x4E, "negate": True}, "strip": True}
    framing = [{"name": "hex", "start": ":", "terminator": "\n", "content": "hex", "checksum": checksum}, FRAMINGS[1]]
    rule = {"framing": "hex", "regex": "(?P<x>.*)", "message": {"action": "A"}}
    assert [msg.action for msg in Line(framing=framing, decode=[rule]).receive(b":014D\n", 1.0)] == ["A"]
    wrong = explained(b":014E\n", framing=framing, decode=[rule])
    assert wrong[0].startswith("hex frame ")
    assert wrong[1].startswith("dropped: ")
    assert "found 'N'" in wrong[1]
    unknown = [{**framing[0], "checksum": {"type": {"sum": "add", "modulo": 2, "width": 8, "poly": 3}}}]
    found = list(check_rules(serial_params(framing=unknown)))
    assert found
    assert found[0].path[:4] == ("framing", 0, "checksum", "type")


# --- frames inside frames and repetitions


def test_a_rule_replies_with_values_that_a_frame_has_once() -> None:
    rule: dict[str, Any] = {
        "lines": {"patterns": ["ID (?P<id>.*)"], **LINES["lines"]},
        "message": MESSAGE,
        "reply": {"write": "OK {id}"},
    }
    line = Line(framing={"type": "markers", "start": "<", "stop": ">"}, decode=[rule])
    assert shown(line.receive(b"<ID 7\n1=20\n2=21>", 1.0)) == [("T1", {"t": "20"}), ("T2", {"t": "21"})]
    assert line.written == [b"<OK 7>"]
    assert problems(decode=[{**rule, "reply": {"write": "OK {node}"}}]) == [
        "{node} is not a value of the frame that is replied to"
    ]
    lists = {**rule, "lines": {**rule["lines"], "each": False}, "message": {"action": "A", "arguments": "*"}}
    assert len(problems(decode=[{**lists, "reply": {"write": "OK {node}"}}])) == 1


def test_a_reply_uses_what_is_nested_in_the_frame() -> None:
    nested = {"of": "{data}", "convert": {"bytes": "hex"}, "binary": {"fields": [{"type": "u8", "name": "number"}]}}
    line = Line(decode=[{"regex": "D(?P<data>.*)", "nested": nested, "reply": {"write": "ACK {number}"}}])
    line.receive(b"D0A\r\n", 1.0)
    assert line.written == [b"ACK 10\r\n"]


# --- answers


def test_an_answer_with_an_end_has_repetitions_a_framing_and_is_part_of_a_step() -> None:
    response = {"framing": "line", "until": "OK (?:.*)", **LINES, "message": MESSAGE}
    response["lines"] = {"patterns": ["COUNT (?P<count>[0-9]+)"], **LINES["lines"]}
    steps = [{"framing": "marked", "write": "ALL", "response": response}, {"write": "THANKS {count}"}]
    line = Line(framing=FRAMINGS, write_framing="line", encode=[{"match": {"action": "GET"}, "steps": steps}])
    line.send("GET", 1.0)
    assert line.written == [b"<ALL>"]
    assert shown(line.receive(b"COUNT 2\r\n1=20\r\n<OK x>2=21\r\nOK ENOUGH\r\n", 1.1))[:2] == [
        ("T1", {"t": "20"}), ("T2", {"t": "21"}),
    ]  # fmt: skip
    assert line.written == [b"<ALL>", b"THANKS 2\r\n"]


def test_values_of_repetitions_stand_neither_in_later_steps_nor_in_the_outcome() -> None:
    read = {"write": "ALL", "response": {**LINES, "message": MESSAGE}}
    steps = [read, {"write": "BACK {t}", "response": {"regex": "OK"}}]
    assert problems(encode=[{"match": {"action": "GET"}, "steps": steps}]) == ["{t} is not an argument"]
    steps = [read, {"write": "BACK", "response": {"regex": "OK"}}]
    line = Line(encode=[{"match": {"action": "GET"}, "steps": steps}])
    line.send("GET", 1.0)
    assert shown(line.receive(b"1=20\r\n", 1.1)) == [("T1", {"t": "20"})]
    (outcome,) = line.receive(b"OK\r\n", 1.2)
    assert "t" not in outcome.arguments
    assert outcome.argument("answer") == "OK"


def test_an_answer_with_an_end_may_be_json_with_a_nested_frame() -> None:
    nested = {"of": "{data}", "convert": {"bytes": "hex"}, "binary": {"fields": [{"type": "u16", "name": "v"}]}}
    response = {"until": "END", "json": {"at": {"data": "d"}}, "nested": nested}
    line = Line(encode=[{"match": {"action": "GET"}, "write": "?", "response": response}])
    line.send("GET", 1.0)
    (outcome,) = line.receive(b'{"d":\r\n "0102"}\r\nEND\r\n', 1.1)
    assert outcome.argument("v") == 0x0102
    assert problems(encode=[{"match": {"action": "GET"}, "write": "?", "response": {"until": "END", "nested": nested}}])


def test_the_answers_of_steps_are_nearest_too_and_so_is_their_end() -> None:
    steps = [{"write": "A", "response": {"regex": "OK [0-9]+"}}, {"write": "B", "response": {"until": "DONE!"}}]
    conversation = {"opening": [{"name": "init", "write": "I", "response": {"regex": "READY"}}],
                    "restarted": {"regex": "BOOT[0-9]"}}  # fmt: skip
    options = {"encode": [{"match": {"action": "GO"}, "steps": steps}], "conversation": conversation}
    for frame, name in (
        (b"OK x\n", "the response of the command 'GO': at offset 3"),
        (b"DONE\n", "the end of the response of the command 'GO': at offset 4"),
        (b"READX\n", "the response of the request 'init': at offset 4"),
        (b"BOOTx\n", "'restarted': at offset 4"),
    ):
        assert explained(frame, **options)[-1].startswith(f"the nearest rule is {name}"), frame


def test_the_answers_of_steps_have_signatures() -> None:
    message = {"action": "T", "arguments": {"ts": "{t}"}}
    response = {"until": "OK", "lines": {"repeat": ["(?P<t>[0-9]+)"]}, "values": {"t": "int"}, "message": message}
    params = serial_params(
        encode=[{"match": {"action": "GET"}, "steps": [{"write": "A"}, {"write": "B", "response": response}]}],
        conversation={"restarted": {"regex": "BOOT", "message": {"action": "BOOTED"}}},
    )
    found = signatures(params)
    assert found.reads is not None
    assert found.writes is not None
    assert found.reads["T", "ts"] == Signature(is_list=True)
    assert ("BOOTED", "") in found.reads
    assert ("GET", "") in found.writes


# --- rules that join, where every rule is used, and where an echo is looked for


@pytest.mark.parametrize("every", [False, True])
def test_check_shows_parts_and_joined_texts_beside_other_rules(every: bool) -> None:
    other = {"name": "from", "regex": "FROM (?P<who>.*)", "message": {"action": "FROM"}}
    power = {"name": "power", "regex": "PW(?P<w>.*)", "values": {"w": "int"}, "message": {"action": "PW"}}
    options: dict[str, Any] = {"decode": [power, SMS, other], "decode_every_rule": every}
    lines = [line for line in explained(b"FROM me\nhello\nPW1\nPWx\n", **options) if not line.startswith("frame ")]
    part = ["collected by rule 'sms'", *(["matched rule 'from'"] if every else [])]
    assert [line.partition(" (")[0] for line in lines[:-1]] == [
        *part, "no message yet: it is joined with frames that follow", *(["FROM"] if every else []),
        r"joined frames 'FROM me\nhello'", "matched rule 'sms'", "SMS",
        "matched rule 'power'", "PW", *(["matched rule 'power'"] if every else []),
    ]  # fmt: skip
    assert lines[-1].startswith("dropped: ")
    assert "w: 'x' is not an integer" in lines[-1]


def test_a_line_that_would_be_joined_is_no_echo_and_looking_for_that_collects_nothing() -> None:
    poll = {"every": 60, "write": "FROM", "response": {"regex": "OK"}}
    rules = [{**SMS, "join": {"first": "FROM", "next": "TEXT"}, "regex": "(?P<x>FROM)\n(?P<y>TEXT)"}]
    line = Line(decode=rules, conversation={"polls": [poll]})
    line.step(0.5)
    assert line.receive(b"FROM\r\n", 0.6) == []
    assert line.session.stats()["echoes_removed"] == 0
    assert shown(line.receive(b"TEXT\r\n", 0.7)) == [("SMS", {"x": "FROM", "y": "TEXT"})]
    assert line.session.stats()["frames_unjoined"] == 0


# --- commands


def test_words_with_a_form_and_multiples_are_written_in_steps() -> None:
    rule = {
        "match": {"action": "DIM", "device": "node{n}"},
        "arguments": {"n": {"type": "integer"}, "level": {"type": "number", "multiple_of": 0.5}},
        "steps": [{"write": "SEL {n}", "response": {"regex": "OK"}}, {"write": "{n}:{level} #{count}"}],
    }
    params = serial_params(encode=[rule])
    assert list(check_rules(params)) == []
    command = InternalMsg(iscmd=True, device="node7", action="DIM", arguments={"level": 2.5})
    lines = [line for line in explain_command(params, command) if isinstance(line, str) and line.startswith("writes")]
    assert [line.partition(" (")[0] for line in lines] == [r"writes 'SEL 7\r\n'", r"writes '7:2.5 #0\r\n'"]
    (refused,) = explain_command(params, command.replace(arguments={"level": 2.3}))
    assert isinstance(refused, Problem)
    assert "multiple" in refused.what
    unknown = {**rule, "match": {"action": "DIM", "device": "node{m}"}}
    assert problems(encode=[unknown]) == ["{m} is not an argument"]


def test_for_and_defaults_write_out_steps_openings_and_polls_with_framings(tmp_path: Path) -> None:
    (tmp_path / "gw.conf").write_text("""
mqtt: {}
root: home
topics: []
interface:
  type: serial
  port: /dev/ttyUSB0
  framing: [{name: marked, type: markers, start: "<", stop: ">"}, {name: line}]
  defaults: {decode: {framing: line}, polls: {every: 10}}
  decode:
    - {for: {unit: [1, 2]}, regex: "T{unit} (?P<t>.*)", message: {device: "room{unit}", action: T, arguments: "*"}}
  encode:
    - match: {action: ALL}
      steps:
        - {for: {unit: [1, 2]}, framing: marked, write: "ON {unit}", response: {until: "OK {unit}"}}
  conversation:
    opening:
      - {for: {unit: [3, 4]}, write: "INIT {unit}", pause: 1}
    polls:
      - for: {unit: [5, 6]}
        steps: [{for: {key: [a, b]}, write: "GET {unit}{key}"}]
""")
    params = load_configuration(tmp_path / "gw.conf", {}).interfaces[0].params
    rules = SerialRules(params)
    assert rules.opening is not None
    assert [step.make({}) for step in rules.opening.steps] == [b"INIT 3", b"INIT 4"]
    assert [[step.make({}) for step in poll.steps] for poll in rules.polls] == [
        [b"GET 5a", b"GET 5b"], [b"GET 6a", b"GET 6b"],
    ]  # fmt: skip
    (rule,) = rules.encoder.rules
    assert [(step.make({}), step.framing) for step in rule.steps] == [(b"ON 1", "marked"), (b"ON 2", "marked")]
    assert [step.answer.response and step.answer.response.until for step in rule.steps] == ["OK 1", "OK 2"]
    assert [options["framing"] for options in params["decode"]] == ["line", "line"]


def test_defaults_leave_an_entry_what_it_does_in_another_way(tmp_path: Path) -> None:
    (tmp_path / "gw.conf").write_text("""
mqtt: {}
root: home
topics: []
interface:
  type: serial
  port: /dev/ttyUSB0
  defaults:
    decode: {regex: "(?P<t>.*)", message: {device: a, action: A, arguments: "*"}, publish: {on_change: true}}
    encode: {write: "X", response: {regex: OK}, timeout: 3}
    polls: {every: 10, steps: [{for: {n: [1, 2]}, write: "SEL {n}", response: {regex: OK}}]}
  decode:
    - {regex: "BOOT", ignore: true}
    - {fields: {at: {t: 0}}, messages: [{device: b, action: B}]}
    - {}
  encode:
    - {match: {action: HEX}, hex: "01"}
    - {match: {action: STEPS}, steps: [{write: A}, {write: B}]}
    - {match: {action: PLAIN}}
  conversation:
    polls: [{}, {write: "T?", timeout: 2}]
""")
    params = load_configuration(tmp_path / "gw.conf", {}).interfaces[0].params
    ignored, listed, plain = params["decode"]
    assert ignored == {"regex": "BOOT", "ignore": True}
    assert (list(listed), list(plain)) == (
        ["fields", "messages", "publish", "ignore"], ["regex", "message", "publish", "ignore"],
    )  # fmt: skip
    rules = SerialRules(params)
    written = [[(step.make({}), step.answer.timeout) for step in rule.steps] for rule in rules.encoder.rules]
    assert written == [[(b"\1", 3)], [(b"A", None), (b"B", None)], [(b"X", 3)]]
    assert [[(step.make({}), step.answer.timeout) for step in poll.steps] for poll in rules.polls] == [
        [(b"SEL 1", None), (b"SEL 2", None)], [(b"T?", 2)],
    ]  # fmt: skip
    assert [poll.every for poll in rules.polls] == [10, 10]


# --- the simulated device


def test_a_simulated_device_has_several_framings() -> None:
    script: dict[str, Any] = {
        "framing": [FRAMINGS[0], {"name": "line", "terminator": "\r"}],
        "write_framing": {"name": "reply", "terminator": "\n"},
        "says": [{"at": 1, "write": "1=20"}, {"at": 2, "write": "2=21", "framing": "marked"}],
        "answers": [
            {"regex": "LOGIN", "write": "> ", "framing": "raw"},
            {"regex": "GET 3", "write": "3=0", "read_framing": "line"},
            {"regex": "GET (?P<n>.*)", "write": "{n}=22", "framing": "reply", "read_framing": "marked"},
        ],
    }
    played = Playback(
        serial_params(
            framing=[FRAMINGS[0], {"name": "line", "terminator": "\n", "prompts": ["> "]}],
            write_framing={"name": "out", "terminator": "\r"},
            decode=[{"regex": "(?P<node>[0-9])=(?P<t>.*)", "message": MESSAGE}],
            conversation={
                "opening": [{"write": "LOGIN", "response": {"regex": "> "}}],
                "polls": [{"every": 60, "framing": "marked", "write": "GET 3", "response": {"regex": "3=.*"}}],
            },
        ),
        script_params(**script),
    )
    played.run(10)
    assert played.unanswered == []
    assert {data for _, data in played.received} == {b"> ", b"1=20\n", b"<2=21>", b"3=22\n"}
    assert sorted(msg.action for _, msg in played.messages) == ["T1", "T2", "T3"]


def test_a_script_with_a_framing_that_it_has_not_or_a_reply_to_a_checksum_is_rejected() -> None:
    script = script_params(framing={"name": "line"}, says=[{"write": "x"}])
    script["says"][0]["framing"] = "lime"
    (problem,) = SimulatedDevice.check(script)
    assert (problem.path, problem.what) == (("says", 0, "framing"), "there is no framing 'lime'")
    script = script_params(framing={"checksum": {"type": "xor"}})
    script["framing"]["checksum"]["reply"] = {"hex": "15"}
    (problem,) = SimulatedDevice.check(script)
    assert problem.path == ("framing", "checksum", "reply")
