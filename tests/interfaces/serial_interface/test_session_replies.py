"""Replies to frames, frames that are ignored, and the gateway's own values, in a session."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interfaces.rules.own_values import OwnValues
from interfaces.serial_interface.rules import check_rules
from tests.conftest import ExpectedLogs
from tests.interfaces.serial_interface.test_echo import split
from tests.interfaces.serial_interface.test_session import POLL, READING, Device
from tests.support.configuration import serial_params

ZONE: dict[str, Any] = {
    "name": "zone",
    "regex": "Z(?P<zone>[0-9]+)",
    "message": {"action": "ZONE", "arguments": "*"},
    "reply": {"write": "ACK {zone}"},
}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def test_a_frame_is_replied_to_while_an_answer_is_awaited(name: str) -> None:
    device = Device(name, decode=[ZONE], conversation={"polls": [POLL], "pacing": {"pause": 0.5}})
    device.step(0.0)
    (msg,) = device.receive(b"Z4\n", 0.1)
    assert msg.arguments == {"zone": "4"}
    assert device.step(0.1) == []
    assert device.written == [b"U?\r\n", b"ACK 4\r\n"]
    (msg,) = device.receive(b"U 3\n", 0.2)  # the reply did not end the request
    assert msg.action == "U"
    assert device.counts() == {
        "frames_received": 2, "answers_received": 1, "frames_sent": 2, "replies_sent": 1, "requests_done": 1,
    }  # fmt: skip


def test_the_pause_follows_a_reply_too(name: str) -> None:
    device = Device(name, decode=[ZONE], conversation={"pacing": {"pause": 0.5}})
    device.receive(b"Z4\n", 1.0)
    assert device.session.due() == 0.0
    assert device.submit("OFF", 1.0) is None
    device.step(1.0)
    assert device.written == [b"ACK 4\r\n"]
    device.step(1.5)
    assert device.written == [b"ACK 4\r\n", b"OFF\r\n"]


def test_a_rule_may_only_reply_and_write_bytes_as_they_are(name: str) -> None:
    device = Device(name, decode=[{"regex": "PING", "reply": {"hex": "06", "framing": "raw"}}])
    assert device.receive(b"PING\n", 1.0) == []
    device.step(1.0)
    assert device.written == [b"\x06"]


def test_a_wrong_checksum_is_replied_to(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("wrong checksum")
    checksum = {"type": "xor", "strip": True, "reply": {"hex": "15", "framing": "raw"}}
    framing = {"type": "markers", "start": "\x02", "stop": "\x03", "after": 1}
    rule = {**ZONE, "reply": {"hex": "06", "framing": "raw"}}
    device = Device(name, framing=framing, checksum=checksum, decode=[rule])
    assert device.receive(b"\x02Z4\x03\x00", 1.0) == []
    device.step(1.0)
    assert len(device.receive(b"\x02Z4\x03\x6e", 1.5)) == 1
    device.step(1.5)
    assert device.written == [b"\x15", b"\x06"]


def test_a_reply_without_its_value_is_not_written_and_reported(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("value left out: rule 'zone': reply: the frame has no value 'zone'")
    device = Device(name, decode=[{**ZONE, "regex": "Z(?P<zone>[0-9]*)(?P<on>.*)"}])
    assert [msg.arguments for msg in device.receive(b"Z on\n")] == [{"on": " on"}]
    device.step(0.0)
    assert (device.written, device.counts()["values_unreadable"]) == ([], 1)


def test_with_every_rule_each_of_them_replies(name: str) -> None:
    rules = [ZONE, {"regex": "Z.*", "reply": {"write": "OK"}}, {"regex": ".*", "ignore": True}]
    device = Device(name, decode=rules, decode_every_rule=True)
    assert len(device.receive(b"Z4\n")) == 1
    assert device.receive(b"HELLO\n") == []
    device.step(0.0)
    assert device.written == [b"ACK 4\r\n", b"OK\r\n"]
    assert device.counts()["frames_ignored"] == 1


def test_a_frame_that_is_ignored_is_counted_and_not_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    device = Device(name, decode=[{"regex": "BOOT .*", "ignore": True}, READING])
    assert [msg.arguments for msg in device.receive(b"BOOT 1\nT 2\nBOOT 3\n")] == [{"t": 2}]
    assert device.counts() == {"frames_received": 3, "frames_ignored": 2}
    assert not caplog.messages


def test_two_gateways_that_reply_to_each_other_come_to_an_end(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("rule '.*': a reply was not sent: at most 10 are sent in a second")
    rules = [{"regex": ".*", "reply": {"write": "ACK"}}]
    devices = [Device(f"{name} {number}", decode=rules) for number in range(2)]
    now = 0.0
    devices[0].receive(b"HELLO\n", now)
    while any(device.session.due() is not None for device in devices):
        for device, other in (devices, devices[::-1]):
            count = len(device.written)
            device.step(now)
            for data in device.written[count:]:
                other.receive(data, now)
            now += 0.001
        assert now < 10
    assert sum(len(device.written) for device in devices) == 20
    assert sum(device.counts().get("replies_dropped", 0) for device in devices) == 1


def test_a_flood_of_frames_gets_ten_replies_in_a_second(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("a reply was not sent")
    device = Device(name, decode=[ZONE])
    for number in range(1000):
        device.receive(b"Z4\n", number / 1000)
        device.step(number / 1000)
    assert len(device.written) == 10
    assert device.counts()["replies_dropped"] == 990


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.sampled_from([b"Z4", b"BOOT\x16", b"Z\xff", b"n", b"6", b"SET\r\n", b"S", b"\r", b"\n"]), max_size=30
    ),
    cuts=st.lists(st.integers(0, 80), max_size=10),
    echo=st.sampled_from([True, "auto", False]),
)
def test_any_chunking_gives_the_same_messages_and_replies(
    pieces: list[bytes], cuts: list[int], echo: Any, expected_logs: ExpectedLogs
) -> None:
    expected_logs.allow("frame dropped: ", "a reply was not sent")
    checksum = {"type": "xor", "strip": True, "reply": {"write": "NAK"}}
    data = b"".join(pieces)
    results = []
    for chunks in ([data], split(data, cuts), [data[i : i + 1] for i in range(len(data))]):
        device = Device(
            "chunks", decode=[ZONE, {"regex": "BOOT", "ignore": True}], checksum=checksum,
            encode=[{"match": {"action": "SET"}, "write": "SET"}], conversation={"echo": echo},
        )  # fmt: skip
        assert device.submit("SET") is None
        device.step(0.0)
        messages = [msg for chunk in chunks for msg in device.receive(chunk)]
        messages += device.session.expire_partial_frame(5.0)
        device.step(5.0)
        results.append((messages, device.written, device.counts()))
    assert results[0] == results[1] == results[2]


def timed_device(name: str, clock: list[datetime], **options: Any) -> Device:
    device = Device(name, **options)
    device.session.rules.own_values = OwnValues((0, 255), lambda: clock[0].timestamp())
    return device


def test_a_command_has_the_time_at_which_it_is_written(name: str) -> None:
    clock = [datetime(2026, 11, 30, 11, 59, tzinfo=UTC)]
    rule = {"match": {"action": "CLOCK"}, "write": "SETTIME {utc:%H:%M}"}
    device = timed_device(name, clock, encode=[rule], conversation={"pacing": {"pause": 60}})
    for _ in range(2):
        assert device.submit("CLOCK", 0.0) is None
    device.step(0.0)
    clock[0] = clock[0].replace(hour=12, minute=0)
    device.step(9.9)
    assert device.written == [b"SETTIME 11:59\r\n"]
    device.step(60.0)
    assert device.written == [b"SETTIME 11:59\r\n"]  # it has waited too long
    assert device.submit("CLOCK", 60.0) is None
    device.step(60.0)
    assert device.written[1:] == [b"SETTIME 12:00\r\n"]


def test_an_argument_goes_before_a_value_of_the_gateway(name: str) -> None:
    rule = {"match": {"action": "SET"}, "arguments": {"count": {"type": "integer"}}, "write": "SET {count}"}
    device = Device(name, encode=[rule])
    assert device.submit("SET", count=7) is None
    device.step(0.0)
    assert device.written == [b"SET 7\r\n"]


def test_a_counter_tells_answers_apart(name: str) -> None:
    rule = {
        "match": {"action": "SET"},
        "write": "SET#{count}",
        "response": {"regex": "OK#(?P<count>.*)", "values": {"count": "int"}, "same": ["count"]},
        "retries": 1,
    }
    device = Device(name, encode=[rule], conversation={"counter": [1, 2]})
    for _ in range(3):
        assert device.submit("SET") is None
    now = 0.0
    for _ in range(3):
        device.step(now)
        device.step(now + 1)  # a retry is the same frame again
        count = device.written[-1].strip().partition(b"#")[2]
        assert device.receive(b"OK#9\n", now + 1) == []
        replies = [reply for _ in range(2) for reply in device.receive(b"OK#" + count + b"\n", now + 1.1)]
        assert [reply.argument("response") for reply in replies] == ["OK"]
        now += 2
    assert device.written == [b"SET#1\r\n"] * 2 + [b"SET#2\r\n"] * 2 + [b"SET#1\r\n"] * 2


def test_a_poll_with_a_counter_is_one_question(name: str, expected_logs: ExpectedLogs) -> None:
    """What may be its late answer is used, although the poll that follows was written with another number."""
    expected_logs.expect("'POLL {count}': ")
    poll = {**POLL, "write": "POLL {count}", "every": 3}
    del poll["name"]
    device = Device(name, conversation={"polls": [poll]})
    device.step(0.0)
    device.step(1.0)
    device.step(3.0)
    assert device.written == [b"POLL 0\r\n", b"POLL 1\r\n"]
    assert [msg.arguments for msg in device.receive(b"U 5\n", 3.1)] == [{"u": "5"}]


def test_a_counter_that_cannot_be_framed_refuses_the_command(name: str) -> None:
    rule = {"match": {"action": "SET"}, "hex": "{count:02x}"}
    device = Device(name, encode=[rule], conversation={"counter": [9, 11]})
    replies = []
    for now in range(2):
        replies += [device.submit("SET", now)]
        replies += device.step(now)
    assert [reply.argument("response") for reply in replies if reply] == ["OK", "REFUSED"]
    assert device.written == [b"\t\r\n"]


STEPS: dict[str, Any] = {
    "match": {"action": "SET"},
    "arguments": {"v": {"type": "integer"}},
    "steps": [
        {"write": "LOGIN", "response": {"regex": "SESSION (?P<session>.*)"}},
        {
            "write": "{session}#{count} {v}",
            "response": {"regex": "OK#(?P<count>.*)", "values": {"count": "int"}, "same": ["count"]},
        },
        {"write": "CLOCK {utc:%H:%M}"},
    ],
}


def test_steps_have_the_values_of_the_gateway_at_the_time_at_which_they_are_written(name: str) -> None:
    clock = [datetime(2026, 11, 30, 11, 59, tzinfo=UTC)]
    device = timed_device(name, clock, encode=[STEPS], conversation={"pacing": {"pause": 0.5}})
    assert not list(check_rules(serial_params(encode=[STEPS])))
    assert device.submit("SET", 0.0, v=7) is None
    device.step(0.0)
    device.receive(b"SESSION 4\n", 0.1)
    device.step(0.6)
    assert device.receive(b"OK#9\n", 0.7) == [], "the answer to another number"
    device.receive(b"OK#0\n", 0.8)
    clock[0] = clock[0].replace(hour=12, minute=0)
    (outcome,) = device.step(1.3)
    assert device.written == [b"LOGIN\r\n", b"4#0 7\r\n", b"CLOCK 12:00\r\n"]
    assert outcome.argument("response") == "OK"


def test_a_step_that_cannot_be_framed_ends_the_steps_with_its_number(name: str) -> None:
    rule = {"match": {"action": "SET"}, "steps": [{"write": "A"}, {"hex": "{count:02x}"}, {"write": "B"}]}
    device = Device(name, encode=[rule], conversation={"counter": [9, 11]})
    assert [device.submit("SET") for _ in range(2)] == [None, None]
    outcomes = [outcome for now in range(3) for outcome in device.step(now)]
    assert device.written == [b"A\r\n", b"\t\r\n", b"B\r\n", b"A\r\n"], "the number 10 is the end of a line"
    assert [outcome.argument("response") for outcome in outcomes] == ["OK", "REFUSED"]
    assert str(outcomes[1].argument("reason")).startswith("step 2 of 3: ")
    assert (device.session.due(), device.counts()["commands_refused"]) == (None, 1)


def test_a_step_that_can_be_framed_no_more_when_it_is_due_ends_the_steps(name: str) -> None:
    rule = {"match": {"action": "SET"}, "steps": [{"write": "A"}, {"hex": "{count:02x}"}, {"write": "B"}]}
    counting = {"regex": "N", "reply": {"write": "#{count}"}}
    device = Device(name, encode=[rule], decode=[counting], conversation={"counter": [9, 11], "pacing": {"pause": 0.5}})
    assert device.submit("SET") is None
    device.step(0.0)
    device.receive(b"N\n", 0.1)
    device.step(0.1)
    (outcome,) = device.step(0.6)
    assert device.written == [b"A\r\n", b"#9\r\n"]
    assert outcome.argument("response") == "REFUSED"
    assert str(outcome.argument("reason")).startswith("step 2 of 3: ")


def test_the_opening_and_the_check_know_the_values_of_the_gateway(name: str) -> None:
    opening = [{"write": "CLOCK {utc:%H:%M}"}, {"write": "N {count}", "response": {"regex": "OK"}}]
    options = {"conversation": {"opening": opening}}
    assert not list(check_rules(serial_params(**options)))
    device = timed_device(name, [datetime(2026, 11, 30, 11, 59, tzinfo=UTC)], **options)
    device.step(0.0)
    assert device.written == [b"CLOCK 11:59\r\n", b"N 0\r\n"]


def test_only_replies_are_written_between_steps(name: str) -> None:
    device = Device(name, decode=[ZONE], encode=[STEPS, {"match": {"action": "OFF"}, "write": "OFF"}])
    assert device.submit("SET", 0.0, v=7) is None
    device.step(0.0)
    assert device.submit("OFF", 0.1) is None
    assert len(device.receive(b"Z4\n", 0.1)) == 1
    device.step(0.1)
    device.receive(b"SESSION 4\n", 0.2)
    device.step(0.2)
    assert device.written == [b"LOGIN\r\n", b"ACK 4\r\n", b"4#0 7\r\n"]


def test_frames_of_an_answer_with_an_end_are_replied_to_once(name: str) -> None:
    poll = {"write": "LIST", "response": {"until": "OK", "regex": r"(?P<all>Z[0-9]+(\n.*)*)"}}
    device = Device(name, decode=[ZONE, {"regex": "#.*", "ignore": True}], conversation={"polls": [poll]})
    device.step(0.0)
    messages = device.receive(b"#\nZ4\nZ5\nOK\n", 0.1)
    device.step(0.1)
    assert [msg.arguments for msg in messages] == [{"zone": "4"}, {"zone": "5"}]
    assert device.written[1:] == [b"ACK 4\r\n", b"ACK 5\r\n"]
    assert device.counts()["frames_ignored"] == 1


def test_the_late_answer_with_the_number_of_an_earlier_poll_is_a_reading_and_ends_no_later_poll(
    name: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("'volts': ")
    response = {"regex": "U(?P<count>.) (?P<u>.*)", "values": {"count": "int"}, "same": ["count"],
                "message": {"action": "U", "arguments": {"u": "{u}"}}}  # fmt: skip
    poll = {"name": "volts", "write": "POLL {count}", "every": 3, "response": response}
    device = Device(name, conversation={"polls": [poll]})
    for now in (0.0, 1.0, 3.0):
        device.step(now)
    assert device.written == [b"POLL 0\r\n", b"POLL 1\r\n"]
    messages = [*device.receive(b"U0 5\n", 3.1), *device.receive(b"U1 6\n", 3.2)]
    assert [msg.arguments for msg in messages] == [{"u": "5"}, {"u": "6"}]
    assert (device.counts()["answers_late"], device.counts()["requests_done"]) == (1, 1)
