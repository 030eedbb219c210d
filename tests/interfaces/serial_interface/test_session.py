"""The session with a device, without port and clock: bytes and times in, messages and bytes out, and the counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DeviceError
from gateway.message import InternalMsg, ReportRule
from interfaces.serial_interface.options import SerialOptions
from interfaces.serial_interface.reports import Reports
from interfaces.serial_interface.rules import SerialRules
from interfaces.serial_interface.session import Session
from tests.conftest import ExpectedLogs
from tests.support.configuration import serial_params

READING: dict[str, Any] = {
    "regex": "T (?P<t>.*)",
    "values": {"t": "int"},
    "message": {"action": "T", "arguments": {"t": "{t}"}},
}
SET: dict[str, Any] = {
    "match": {"action": "SET"},
    "arguments": {"n": {"type": "integer"}},
    "write": "SET {n}",
    "response": {"regex": "OK (?P<now>.*)", "values": {"now": "int"}},
    "refusal": {"regex": "ERR"},
    "timeout": 2,
}
OFF: dict[str, Any] = {"match": {"action": "OFF"}, "write": "OFF"}
POLL: dict[str, Any] = {
    "name": "voltage",
    "every": 10,
    "write": "U?",
    "response": {"regex": "U (?P<u>.*)", "message": {"action": "U", "arguments": {"u": "{u}"}}},
}


class Device:
    """A session, and the bytes that it has written; `write` fails if `error` is set."""

    def __init__(self, name: str, now: float = 0.0, **options: Any) -> None:
        params = serial_params(**{"decode": [READING], "encode": [SET, OFF], **options})
        self.ended: list[tuple[Sequence[InternalMsg], bool]] = []
        self.bad: list[tuple[InternalMsg, dict[str, str]]] = []
        self.session = Session(
            SerialRules(params),
            SerialOptions.from_params(params),
            Reports(name, lambda: 0.0),
            lambda messages, is_answered: self.ended.append((messages, is_answered)),
            lambda msg, errors: self.bad.append((msg, dict(errors))),
            self.set_speed,
        )
        self.written: list[bytes] = []
        self.speeds: list[tuple[int, int]] = []  # after how many writes, and to which the speed was changed
        self.error = self.speed_error = ""
        self.session.start(now)

    def write(self, data: bytes) -> None:
        if self.error:
            raise DeviceError(self.error)
        self.written.append(data)

    def set_speed(self, speed: int) -> None:
        if self.speed_error:
            raise DeviceError(self.speed_error)
        self.speeds.append((len(self.written), speed))

    def step(self, now: float) -> list[InternalMsg]:
        return list(self.session.step(now, self.write))

    def receive(self, data: bytes, now: float = 0.0) -> list[InternalMsg]:
        return list(self.session.receive(data, now))

    def submit(self, action: str, now: float = 0.0, **arguments: Any) -> InternalMsg | None:
        return self.session.submit(InternalMsg(iscmd=True, action=action, arguments=arguments), now)

    def counts(self) -> dict[str, int]:
        """Return the counters that are not 0."""
        return {name: count for name, count in self.session.stats().items() if count}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for the log: what was logged before is remembered by name."""
    return str(request.node.name)


def test_frames_become_messages_and_dropped_ones_are_counted(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("frame dropped: ")
    device = Device(name, checksum={"type": "xor", "form": "hex", "strip": True})
    xor = device.session.codec.kind_of(b"").checksum
    assert xor is not None
    frames = [xor.append(text) for text in (b"T 1", b"T x", b"HELLO", b"BYE")]
    messages = device.receive(b"\n".join([*frames, b"T 200", b""]))
    assert [msg.arguments for msg in messages] == [{"t": 1}]
    assert device.counts() == {
        "frames_received": 5, "frames_bad_checksum": 1, "frames_unreadable": 1, "frames_unmatched": 2,
        "unmatched_kinds": 2,
    }  # fmt: skip


def test_when_the_last_frame_was_understood_is_known(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("frame dropped: ")
    device = Device(name)
    device.receive(b"HELLO\nT x\nT 1", 1.0)
    assert device.session.understood_at is None, "dropped, and not complete"
    device.receive(b"\nHELLO\n", 2.0)
    device.receive(b"HELLO\n", 3.0)
    assert device.session.understood_at == 2.0


PART = {
    "name": "parts", "join": {"first": "A(?P<id>.)", "next": "B(?P<id>.)(?P<v>.*)", "same": ["id"]},
    "regex": r"A.\nB.(?P<v>.*)", "message": {"action": "JOINED", "arguments": {"v": "{v}"}},
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_joined_frames_do_not_depend_on_how_their_bytes_arrive(name: str, size: int) -> None:
    device = Device(name, decode=[PART, READING])
    data = b"A1\nT 5\nA2\nB2x\nB1y\nA3\nT 6\nB3z\n"
    messages = [msg for start in range(0, len(data), size) for msg in device.receive(data[start : start + size])]
    assert [list(msg.arguments.values()) for msg in messages] == [[5], ["x"], ["y"], [6], ["z"]]
    assert device.counts() == {"frames_received": 8}


def test_frames_whose_other_parts_do_not_come_are_counted_and_logged(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    device = Device(name, decode=[PART])
    device.receive(b"A1\nA1\n")
    assert "frame dropped: rule 'parts': a new first frame has come" in caplog.text
    device.session.restart(1.0)
    assert device.receive(b"B1x\n") == []
    device.receive(b"A2\n")
    device.session.use_rules(SerialRules(serial_params(decode=[PART])))
    assert device.counts()["frames_unjoined"] == 3
    assert device.receive(b"B2x\n") == []


def test_a_command_is_written_and_answered(name: str) -> None:
    device = Device(name)
    assert device.submit("SET", n=7) is None
    assert device.step(0.0) == []
    assert device.written == [b"SET 7\r\n"]
    (reply,) = device.receive(b"OK 8\n", 1.0)
    assert (reply.argument("response"), reply.argument("now")) == ("OK", 8)
    assert device.counts() == {"frames_received": 1, "answers_received": 1, "frames_sent": 1, "commands_done": 1}


def test_the_outcome_has_the_value_that_was_written(name: str) -> None:
    device = Device(name)
    assert device.submit("SET", n="5") is None
    device.step(0.0)
    (reply,) = device.receive(b"OK 5\n")
    assert (device.written, reply.argument("n")) == ([b"SET 5\r\n"], 5)


def test_how_commands_end_is_counted(name: str) -> None:
    device = Device(name, conversation={"pacing": {"max_waiting": 1, "longest_wait": 5}})
    assert device.submit("OFF") is None
    (done,) = device.step(0.0)
    assert device.submit("SET", n=1) is None
    assert device.step(0.0) == []
    (refused,) = device.receive(b"ERR\n")
    assert device.submit("SET", n=2) is None
    assert device.step(0.0) == []
    assert device.submit("SET", n=3) is None
    full = device.submit("SET", n=4)
    wrong = device.submit("SET", n="x")
    assert full is not None and wrong is not None
    assert full.argument("reason") == "the send queue is full: 1 command is already waiting"
    assert wrong.argument("reason") == "argument 'n' is 'x': expected a whole number"
    assert device.session.due() == 2.0
    (late,) = device.step(2.0)
    (expired,) = device.step(5.0)
    assert late.argument("reason") == "the device did not answer within 2 s"
    assert expired.argument("reason") == "timed out after 5 s in the send queue"
    assert device.submit("SET", 6.0, n=5) is None
    (offline,) = device.session.end()
    responses = [msg.argument("response") for msg in (done, refused, full, wrong, late, expired, offline)]
    assert responses == ["OK", "REFUSED", "REFUSED", "REFUSED", "TIMEOUT", "TIMEOUT", "OFFLINE"]
    assert device.counts() == {
        "frames_received": 1, "answers_received": 1, "frames_sent": 3, "commands_done": 1, "commands_refused": 3,
        "commands_timed_out": 2, "commands_offline": 1,
    }  # fmt: skip


def test_polls_are_sent_at_their_interval_and_counted(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("'voltage': the device did not answer within 1 s")
    device = Device(name, 100.0, conversation={"polls": [POLL]})
    assert device.session.due() == 100.0
    assert device.step(100.0) == []
    (reading,) = device.receive(b"U 12\n", 100.5)
    assert reading.arguments == {"u": "12"}
    assert device.session.due() == 110.0
    assert device.step(110.0) == []
    assert device.step(111.0) == []
    assert device.written == [b"U?\r\n"] * 2
    assert device.counts() == {
        "frames_received": 1, "answers_received": 1, "frames_sent": 2, "requests_done": 1, "requests_timed_out": 1,
    }  # fmt: skip


def test_nothing_is_written_until_the_device_has_settled(name: str) -> None:
    device = Device(name, 10.0, settle=2, conversation={"opening": [{"write": "HI"}]})
    assert device.session.due() == 12.0
    device.step(11.9)
    assert device.written == []
    device.step(12.0)
    assert device.written == [b"HI\r\n"]


def test_a_command_that_ends_while_writing_fails_gets_its_outcome(name: str) -> None:
    device = Device(name)
    device.submit("OFF")
    device.error = "unplugged"
    steps = device.session.step(0.0, device.write)
    reply = next(steps)
    assert (reply.argument("response"), reply.argument("reason")) == ("OFFLINE", "the device failed: unplugged")
    with pytest.raises(DeviceError):
        next(steps)
    assert device.counts() == {"commands_offline": 1}


def test_a_stale_partial_frame_is_discarded(name: str) -> None:
    device = Device(name, framing={"timeout": 0.5})
    assert device.receive(b"T 1\nT 2", 1.0) != []
    assert device.session.due() == 1.5
    assert list(device.session.expire_partial_frame(1.4)) == []
    assert device.counts() == {"frames_received": 1}
    assert list(device.session.expire_partial_frame(1.5)) == []
    assert device.counts() == {"frames_received": 1, "bytes_discarded": 3, "partial_frames_discarded": 1}
    assert device.session.due() is None


def test_bytes_without_any_frame_are_reported(
    name: str, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("bytes discarded that contain no frame")
    device = Device(name, framing={"max_length": 10})
    device.receive(b"x" * 9)
    list(device.session.expire_partial_frame(0.0))
    assert not caplog.messages
    device.receive(b"x" * 20)
    list(device.session.expire_partial_frame(0.0))
    assert device.session.stats()["bytes_discarded"] > 10
    assert len(caplog.messages) == 1


def test_only_a_framing_by_silence_measures_it(name: str) -> None:
    assert not Device(name).session.measures_silence
    device = Device(name, framing={"type": "gap", "gap": 0.5})
    assert device.session.measures_silence
    assert device.session.codec.framer.idle_seconds == 0.5


# --- values that cannot be converted


PAIR: dict[str, Any] = {
    "name": "pair",
    "regex": "(?P<a>.*),(?P<b>.*)",
    "values": {"*": "float"},
    "message": {"action": "PAIR", "arguments": "*"},
}


def test_a_bad_value_is_logged_by_name_with_its_frame(
    name: str, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("value left out: rule 'pair': b: '---' is not a number: the device sent '1,---'")
    device = Device(name, decode=[PAIR])
    (msg,) = device.receive(b"1,---\n")
    assert msg.arguments == {"a": 1.0}
    device.receive(b"2,---\n")
    assert device.counts() == {"frames_received": 2, "values_unreadable": 2}
    assert len(caplog.messages) == 1
    assert device.bad[0] == (msg, {"b": "'---' is not a number"})


def test_a_frame_without_any_good_value_is_dropped(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("frame dropped: rule 'pair': a: ")
    device = Device(name, decode=[PAIR])
    assert device.receive(b"nan,---\n") == []
    assert device.counts() == {"frames_received": 1, "frames_unreadable": 1}
    assert device.bad == [(InternalMsg(action="PAIR"), {"a": "nan is not a number", "b": "'---' is not a number"})]


def test_a_bad_value_in_the_answer_to_a_poll_or_a_command(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("request 'pair': b: '---' is not", "command 'READ': b: '---' is not")
    numbers = {name: PAIR[name] for name in ("regex", "values")}
    read = {"match": {"action": "READ"}, "write": "R?", "response": numbers}
    response = {**numbers, "message": PAIR["message"]}
    device = Device(
        name, decode=[], encode=[read],
        conversation={"polls": [{"name": "pair", "every": 10, "write": "P?", "response": response}]},
    )  # fmt: skip
    assert device.step(0.0) == []
    (msg,) = device.receive(b"1,---\n")
    assert (msg.arguments, device.bad) == ({"a": 1.0}, [(msg, {"b": "'---' is not a number"})])
    assert device.submit("READ") is None
    device.step(1.0)
    (reply,) = device.receive(b"2,---\n", 1.0)
    assert reply.arguments == {"a": 2.0, "response": "OK", "reason": ""}
    assert device.counts()["values_unreadable"] == 2


def test_a_poll_whose_answer_cannot_be_read_was_heard(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("value left out: request 'voltage': u: 'x' is not a number")
    numbers = {**POLL["response"], "values": {"u": "float"}}
    device = Device(name, conversation={"polls": [{**POLL, "response": numbers}]})
    device.step(0.0)
    assert device.receive(b"U x\n", 0.5) == []
    device.step(1.0)
    assert device.bad == [(InternalMsg(action="U"), {"u": "'x' is not a number"})]
    assert device.ended == [([InternalMsg(action="U")], True)]
    assert device.counts()["requests_done"] == 1


def test_a_command_whose_answer_has_only_a_bad_value_is_done(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("value left out: command 'SET': now: 'x' is not an integer")
    device = Device(name)
    device.submit("SET", n=1)
    device.step(0.0)
    (reply,) = device.receive(b"OK x\n", 0.5)
    assert (reply.argument("response"), reply.argument("n"), "now" in reply.arguments) == ("OK", 1, False)


# --- answers, and the rules for frames


ANSWERED: dict[str, Any] = {"decode": [{"regex": "(?P<line>.*)", "message": {"action": "LINE", "arguments": "*"}}]}


def test_an_answer_that_makes_messages_is_not_decoded_again(name: str) -> None:
    device = Device(name, **ANSWERED, conversation={"polls": [POLL]})
    device.step(0.0)
    assert [msg.action for msg in device.receive(b"U 12\nU 13\n")] == ["U", "LINE"]


def test_an_answer_that_makes_no_message_is_decoded(name: str) -> None:
    polls = [{"name": "power", "every": 5, "write": "PW?", "response": {"regex": "PW.*"}}]
    device = Device(name, **ANSWERED, conversation={"polls": polls})
    device.step(0.0)
    assert [msg.arguments for msg in device.receive(b"PWON\n")] == [{"line": "PWON"}]
    device.submit("SET", n=1)
    device.step(0.0)
    assert [(msg.action, msg.argument("response")) for msg in device.receive(b"OK 1\n")] == [
        ("SET", "OK"),
        ("LINE", None),
    ]


def test_an_answer_that_no_rule_matches_is_not_dropped(name: str) -> None:
    device = Device(name)
    device.submit("SET", n=1)
    device.step(0.0)
    assert len(device.receive(b"OK 1\n")) == 1
    assert "frames_unmatched" not in device.counts()


def test_the_answers_to_a_command_make_their_messages(name: str) -> None:
    message = {"action": "N", "arguments": {"n": "{now}"}}
    rule = {
        **SET,
        "response": {**SET["response"], "message": message, "publish": {"on_change": True}},
        "refusal": {"regex": "ERR(?P<code>.*)", "message": {"action": "FAULT", "arguments": {"code": "{code}"}}},
    }  # fmt: skip
    device = Device(name, encode=[rule])
    device.submit("SET", n=1)
    device.step(0.0)
    reply, reading = device.receive(b"OK 8\n")
    assert (reply.argument("response"), reply.argument("now")) == ("OK", 8)
    assert (reading.action, reading.arguments, reading.report) == ("N", {"n": 8}, ReportRule(on_change=True))
    device.submit("SET", n=1)
    device.step(0.0)
    reply, reading = device.receive(b"ERR7\n")
    assert (reply.argument("response"), reading.action, reading.arguments) == ("REFUSED", "FAULT", {"code": "7"})


# --- late answers


def test_a_late_answer_to_a_poll_makes_its_message(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("did not answer", "request 'voltage': answered after 1.5 s, but the timeout is 1 s")
    device = Device(name, conversation={"polls": [POLL]})
    device.step(0.0)
    device.step(1.0)
    (msg,) = device.receive(b"U 230\n", 1.5)
    assert (msg.action, msg.arguments) == ("U", {"u": "230"})
    counts = device.counts()
    assert (counts["requests_timed_out"], counts["answers_late"]) == (1, 1)
    assert "requests_done" not in counts


def test_a_late_answer_to_a_command_is_a_reading_and_no_second_outcome(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("command 'SET': answered after 3 s")
    state = {"regex": "OK (?P<n>.*)", "message": {"action": "STATE", "arguments": {"n": "{n}"}}}
    device = Device(name, decode=[state])
    device.submit("SET", n=1)
    device.step(0.0)
    (outcome,) = device.step(2.0)
    assert outcome.argument("response") == "TIMEOUT"
    (msg,) = device.receive(b"OK 1\n", 3.0)
    assert (msg.action, msg.arguments) == ("STATE", {"n": "1"})


def test_of_answers_that_were_held_back_each_is_used_for_its_own(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("command 'SET': answered after 5.25 s")
    rule = {**OFF, "response": {"regex": "OK.*"}, "timeout": 1}
    state = {"regex": "OK (?P<n>.*)", "message": {"action": "STATE", "arguments": {"n": "{n}"}}}
    device = Device(name, encode=[SET, rule], decode=[state])
    device.submit("SET", n=1)
    device.step(0.0)
    device.step(2.0)
    device.submit("OFF", 5.0)
    device.step(5.0)
    assert device.receive(b"OK 1\n", 5.25) == [], "it may be the answer to either"
    first, outcome, second = device.receive(b"OK 2\n", 5.5)
    assert [first.arguments, second.arguments] == [{"n": "1"}, {"n": "2"}]
    assert (outcome.action, outcome.argument("response")) == ("OFF", "OK")


def test_answers_that_may_belong_to_several_requests_are_dropped_and_counted(name: str) -> None:
    rule = {**OFF, "response": {"regex": "OK.*"}, "timeout": 1}
    device = Device(name, encode=[SET, rule])
    device.submit("SET", n=1)
    device.step(0.0)
    device.step(2.0)
    device.submit("OFF", 5.0)
    device.step(5.0)
    assert device.receive(b"OK 1\n", 5.25) == []
    held_until = device.session.due()
    assert held_until is not None
    (outcome,) = device.step(held_until)
    assert (outcome.action, outcome.argument("response")) == ("OFF", "TIMEOUT")
    assert device.counts()["answers_unattributed"] == 1


# --- who is heard


def test_which_requests_were_answered_is_passed_on(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("did not answer", "the device refused it")
    response = {"regex": "U (?P<u>.*)", "message": {"action": "U", "arguments": {"unit": 3, "u": "{u}"}}}
    device = Device(name, conversation={"polls": [{**POLL, "response": response, "refusal": {"regex": "ERR"}}]})
    device.step(0.0)
    device.receive(b"U 1\n", 0.1)
    assert device.ended == []
    device.step(10.0)
    device.step(11.0)
    assert device.ended == [([InternalMsg(action="U", arguments={"unit": 3})], False)]
    device.step(20.0)
    device.receive(b"ERR\n", 20.1)
    assert device.ended[1:] == [([InternalMsg(action="U", arguments={"unit": 3})], True)]


def test_a_poll_is_asked_for(name: str) -> None:
    device = Device(name, conversation={"polls": [POLL]})
    device.step(0.0)
    device.receive(b"U 1\n", 0.1)
    device.session.ask({"U"}, 3.0)
    assert device.session.due() == 3.0
    device.step(3.0)
    assert device.written == [b"U?\r\n"] * 2


BY_RULES: dict[str, Any] = {
    "decode": [{"regex": "U (?P<u>.*)", "message": {"device": "psu", "action": "U", "arguments": "*"}}],
    "conversation": {
        "polls": [{"every": 10, "write": "U?", "response": {"regex": "U .*"}, "refusal": {"regex": "ERR"}}]
    },
}


def test_a_poll_whose_answer_the_rules_read_is_asked_for(name: str) -> None:
    device = Device(name, **BY_RULES)
    device.step(0.0)
    (msg,) = device.receive(b"U 1\n", 0.1)
    assert msg.action == "U"
    device.session.ask({"U"}, 3.0)
    device.step(3.0)
    assert device.written == [b"U?\r\n"] * 2


def test_of_a_poll_whose_answer_the_rules_read_the_last_answer_tells_whom_it_is_for(
    name: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("did not answer", "the device refused it")
    device = Device(name, **BY_RULES)
    device.step(0.0)
    device.step(1.0)
    assert device.ended == []  # nothing is known of it yet
    device.step(10.0)
    device.receive(b"U 1\n", 10.1)
    device.step(20.0)
    device.step(21.0)
    device.step(30.0)
    device.receive(b"ERR\n", 30.1)
    told = [InternalMsg(device="psu", action="U")]
    assert device.ended == [(told, False), (told, True)]


def test_a_request_ends_once_for_all_its_messages(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("did not answer")
    response = {"regex": "U (?P<u>.*)", "messages": [{"action": action, "arguments": "*"} for action in "UV"]}
    device = Device(name, conversation={"polls": [{**POLL, "response": response}]})
    device.step(0.0)
    device.step(1.0)
    assert device.ended == [([InternalMsg(action="U"), InternalMsg(action="V")], False)]


def test_a_line_is_dead_where_nothing_answers(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("did not answer")
    device = Device(name, conversation={"reopen_after": 3, "polls": [{**POLL, "every": 2}]})
    for now in range(0, 8, 2):
        assert not device.session.is_dead
        device.step(float(now))
        device.step(now + 1.0)
        if now == 0:
            device.receive(b"T 1\n", 1.5)
    is_dead = device.session.is_dead
    device.session.restart(8.0)
    assert (is_dead, device.session.is_dead, device.counts()["ports_reopened"]) == (True, False, 1)


def test_a_restart_repeats_the_opening_and_forgets_no_command(name: str) -> None:
    device = Device(name, conversation={"opening": [{"write": "HI"}, {"write": "YOU", "response": {"regex": "ME"}}]})
    device.submit("OFF")
    device.session.restart(1.0)
    device.step(1.0)
    device.receive(b"ME\n", 1.0)
    (done,) = device.step(1.0)
    assert device.written == [b"HI\r\n", b"YOU\r\n", b"OFF\r\n"]
    assert done.argument("response") == "OK"


@given(received=st.floats(0, 1e6), timeout=st.floats(0.001, 9))  # the warning about bytes without frames is due at 10 s
def test_a_partial_frame_is_discarded_exactly_when_it_is_due(received: float, timeout: float) -> None:
    device = Device("dev", framing={"timeout": timeout})
    assert list(device.session.receive(b"T 2", received)) == []
    due = device.session.due()
    assert due is not None
    list(device.session.expire_partial_frame(due))
    assert device.session.stats()["partial_frames_discarded"] == 1


# --- what is wrong with what the device sends


def test_trouble_is_what_the_device_sends_in_vain_and_ends_with_what_can_be_used(
    name: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.allow("frame dropped: ")
    device = Device(name, decode=[{"regex": "T (?P<t>.*)", "message": {"action": "T"}}])
    for now in range(7):
        device.receive(b"X 1\r\n", float(now))
    trouble = device.session.reception.trouble(7.0)
    assert trouble is not None and trouble.what == "no rule matches what the device sends: 'X 1'"
    assert device.receive(b"T 21\r\n", 8.0)
    assert device.session.reception.trouble(8.0) is None
    device.receive(b"X 1\r\nT 21\r\nX 1\r\n", 100.0)
    device.receive(b"X 1\r\n", 200.0)
    assert device.session.reception.trouble(200.0) is None, "the rules match what somebody wants to know"


def test_an_unanswered_poll_is_trouble_and_names_the_poll(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.allow("did not answer within")
    polls = [{"name": "ask", "write": "T?", "every": 1, "response": READING}]
    device = Device(name, decode=[], conversation={"polls": polls, "timeout": 0.3})
    for tenth in range(60):
        device.step(tenth / 10)
    trouble = device.session.reception.trouble(6.0)
    assert trouble is not None and trouble.what == "1 request is not answered: 'ask'"
    device.session.restart(6.0)  # because nothing answers: it is the same outage
    assert device.session.reception.trouble(6.0) == trouble
    device.session.start(7.0)
    assert device.session.reception.trouble(7.0) is None
