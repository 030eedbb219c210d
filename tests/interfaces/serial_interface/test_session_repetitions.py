"""Frames with parts that occur again in a session: messages in any chunking, what is logged and counted, outcomes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import ExpectedLogs
from tests.interfaces.serial_interface.test_session import Device

GAS = r"G(?P<n>[0-9]) (?P<m3>[-0-9.]+)"
FRAMING = {"type": "markers", "start": "/", "stop": "!"}
MESSAGE = {"device": "gas{n}", "action": "GAS", "arguments": {"m3": "{m3}"}}
APART: dict[str, Any] = {
    "name": "gas", "lines": {"repeat": [GAS], "each": True}, "values": {"m3": "float"}, "message": MESSAGE,
}  # fmt: skip


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 999)), min_size=1, max_size=4), max_size=4),
    st.lists(st.integers(1, 7)),
)
def test_any_chunking_makes_the_same_messages(
    name: str, telegrams: list[list[tuple[int, int]]], sizes: list[int]
) -> None:
    data = b"".join(b"/" + b"".join(b"G%d %d\n" % row for row in rows) + b"!" for rows in telegrams)
    device = Device(name, framing=FRAMING, decode=[APART])
    messages = []
    for size in [*sizes, len(data)]:
        messages += device.receive(data[:size])
        data = data[size:]
    expected = [(f"gas{n}", float(m3)) for rows in telegrams for n, m3 in rows]
    assert [(msg.device, msg.argument("m3")) for msg in messages] == expected


def test_a_pattern_that_fits_two_lines_is_logged_and_counted(
    name: str, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("value left out: rule 'gas': n, m3: the frame has several such lines")
    device = Device(name, framing=FRAMING, decode=[{**APART, "lines": {"patterns": [GAS]}}])
    for _ in range(2):
        (msg,) = device.receive(b"/G1 5\nG2 6\n!")
        assert (msg.device, msg.argument("m3")) == ("gas2", 6.0)
    assert device.counts() == {"frames_received": 2, "values_unreadable": 2}
    assert len(caplog.messages) == 1, "once in ten minutes"
    assert not device.bad, "the last value is good"


def test_a_bad_value_of_one_repetition_is_passed_on_with_its_message(name: str, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("value left out: rule 'gas': m3: '--' is not a number")
    device = Device(name, framing=FRAMING, decode=[APART])
    (msg,) = device.receive(b"/G1 5\nG2 --\n!")
    assert msg.device == "gas1"
    assert [(bad.device, errors) for bad, errors in device.bad] == [("gas2", {"m3": "'--' is not a number"})]


def test_the_answer_to_a_poll_makes_a_message_for_each_repetition(name: str) -> None:
    poll = {"name": "gas", "every": 10, "write": "?", "response": {key: APART[key] for key in APART if key != "name"}}
    device = Device(name, framing=FRAMING, conversation={"polls": [poll]})
    device.step(0.0)
    messages = device.receive(b"/G1 5\nG2 6\n!", 0.1)
    assert [(msg.device, msg.argument("m3")) for msg in messages] == [("gas1", 5.0), ("gas2", 6.0)]
    assert device.counts()["requests_done"] == 1


def test_the_outcome_of_a_command_has_lists_but_not_one_repetition_of_many(name: str) -> None:
    lines: dict[str, Any] = {"patterns": ["S (?P<state>.*)"], "repeat": [GAS]}
    rules = [
        {"match": {"action": action}, "write": action,
         "response": {"lines": {**lines, "each": each}, "values": {"m3": "float"}}}
        for action, each in (("LIST", False), ("EACH", True))
    ]  # fmt: skip
    device = Device(name, framing=FRAMING, encode=rules)
    outcomes = []
    for action in ("LIST", "EACH"):
        assert device.submit(action) is None
        device.step(0.0)
        (outcome,) = device.receive(b"/S on\nG1 5\nG2 6\n!")
        outcomes.append({key: outcome.argument(key) for key in outcome.arguments if key not in ("response", "reason")})
    assert outcomes == [{"state": "on", "n": ["1", "2"], "m3": [5.0, 6.0]}, {"state": "on"}]
