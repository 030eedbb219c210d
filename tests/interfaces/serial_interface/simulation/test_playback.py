"""Conversations of minutes and hours, in milliseconds."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.message import InternalMsg
from interfaces.serial_interface.simulation.device import SimulatedDevice
from interfaces.serial_interface.simulation.playback import Playback
from tests.conftest import ExpectedLogs
from tests.support.configuration import script_params, serial_params

THERMOMETER: dict[str, Any] = {
    "decode": [
        {
            "regex": "T (?P<t>[0-9.]+)",
            "values": {"t": "float"},
            "message": {"action": "T", "arguments": {"celsius": "{t}"}},
        }
    ]
}


def poll(name: str, every: float = 10, **options: Any) -> dict[str, Any]:
    """Return a poll of a meter whose answers all look alike."""
    response = {
        "regex": "(?P<v>[0-9.]+)",
        "values": {"v": "float"},
        "message": {"action": name, "arguments": {"v": "{v}"}},
    }
    return {"name": name, "every": every, "write": f"{name}?", "response": response, **options}


METER = [{"regex": "VOLTS\\?", "write": "230"}, {"regex": "AMPS\\?", "write": "1.5"}]
SWITCH: dict[str, Any] = {
    "match": {"action": "SWITCH"},
    "arguments": {"on": {"type": "boolean", "convert": {"bool": {"true": "1", "false": "0"}}}},
    "write": "S{on}",
    "response": {"regex": "OK"},
    "refusal": {"regex": "ERR"},
}


def play(script: dict[str, Any], **options: Any) -> Playback:
    return Playback(serial_params(**options), script_params(**script))


def readings(played: Playback) -> list[tuple[float, str, dict[str, Any]]]:
    return [(at, msg.action, dict(msg.arguments)) for at, msg in played.messages]


def switch(on: bool) -> InternalMsg:
    return InternalMsg(iscmd=True, sender="tester", action="SWITCH", arguments={"on": on})


def test_what_the_device_says_becomes_messages_at_its_times() -> None:
    played = play({"says": [{"at": 1, "every": 2, "write": "T 21.5"}]}, **THERMOMETER)
    played.run(6)
    assert readings(played) == [(at, "T", {"celsius": 21.5}) for at in (1, 3, 5)]


def test_polls_and_pacing_take_their_time() -> None:
    conversation = {"pacing": {"pause": 0.25}, "polls": [poll("VOLTS"), poll("AMPS")]}
    played = play({"answers": [{**each, "delay": 0.5} for each in METER]}, conversation=conversation)
    played.run(11)
    assert played.written == [(0, b"VOLTS?\r\n"), (0.75, b"AMPS?\r\n"), (10, b"VOLTS?\r\n"), (10.75, b"AMPS?\r\n")]
    assert readings(played) == [
        (0.5, "VOLTS", {"v": 230.0}), (1.25, "AMPS", {"v": 1.5}), (10.5, "VOLTS", {"v": 230.0})
    ]  # fmt: skip


def test_the_time_in_a_message_is_the_virtual_one() -> None:
    message = {"action": "T", "arguments": {"celsius": "{t}", "at": "{time}"}}
    played = play(
        {"says": [{"at": 61.5, "write": "T 21.5"}]}, decode=[{"regex": "T (?P<t>[0-9.]+)", "message": message}]
    )
    played.run(100)
    assert readings(played) == [(61.5, "T", {"celsius": "21.5", "at": "1970-01-01T00:01:01.500Z"})]


def test_a_command_gets_its_outcome_when_the_device_answers_refuses_or_is_silent() -> None:
    played = play(
        {
            "answers": [{"regex": "S1", "write": "OK", "delay": 0.2}, {"regex": "S0", "write": "ERR"}],
            "faults": [{"from": 10, "silent": True}],
        },
        encode=[SWITCH],
    )
    assert played.submit(switch(True))
    played.run(1)
    assert played.submit(switch(False))
    played.run(9)
    assert played.submit(switch(True))
    played.run(5)
    assert [(at, msg.arguments["response"]) for at, msg in played.messages] == [
        (0.2, "OK"), (1, "REFUSED"), (11, "TIMEOUT")
    ]  # fmt: skip


def test_a_command_for_another_device_is_not_accepted() -> None:
    played = play({}, encode=[SWITCH], address={"device": "pump"})
    assert not played.submit(switch(True))
    played.run(5)
    assert (played.messages, played.written) == ([], [])


def test_retries_and_the_answer_to_the_last_one() -> None:
    played = play(
        {"answers": [{"regex": "S1", "write": "OK"}], "faults": [{"to": 1.5, "silent": True}]},
        encode=[{**SWITCH, "retries": 2}],
    )
    played.submit(switch(True))
    played.run(5)
    assert [at for at, _ in played.written] == [0, 1, 2]
    assert [(at, msg.arguments["response"]) for at, msg in played.messages] == [(2, "OK")]


def test_silence_ends_a_frame_and_a_pause_within_one_does_not() -> None:
    rule = {
        "binary": {"fields": [{"type": "bytes", "name": "data"}]},
        "message": {"action": "F", "arguments": {"data": "{data}"}},
    }
    script = {"says": [{"hex": "41 42 43 44", "framing": "raw"}], "faults": [{"split": 1, "pause": 0.04}]}
    played = play(script, framing={"type": "gap", "gap": 0.05}, decode=[rule])
    played.run(1)
    assert [(round(at, 6), action, arguments) for at, action, arguments in readings(played)] == [
        (0.17, "F", {"data": "ABCD"})
    ]
    played = play(
        {**script, "faults": [{"split": 1, "pause": 0.06}]}, framing={"type": "gap", "gap": 0.05}, decode=[rule]
    )
    played.run(1)
    assert [arguments["data"] for _, _, arguments in readings(played)] == ["A", "B", "C", "D"]


def test_a_partial_frame_is_discarded_after_its_timeout() -> None:
    script = {"says": [{"write": "T 2", "framing": "raw"}, {"at": 3.3, "write": "T 20"}]}
    played = play(script, framing={"timeout": 0.7}, **THERMOMETER)
    played.run(10)
    assert readings(played) == [(3.3, "T", {"celsius": 20.0})]
    assert played.session.stats()["partial_frames_discarded"] == 1


def test_a_line_that_is_gone_and_back_is_opened_again_with_growing_delays() -> None:
    conversation = {"opening": [{"write": "HELLO"}], "polls": [poll("VOLTS", every=60)]}
    played = play(
        {"answers": METER, "faults": [{"from": 10, "to": 15, "hang_up": True}]},
        conversation=conversation,
        encode=[SWITCH],
    )
    played.run(12)
    played.submit(switch(True))
    assert played.messages[-1][1].arguments["response"] == "OFFLINE"
    played.run(10)
    assert played.line == [(0, True), (10, False), (17.5, True)], "0.5, 1, 2 and 4 s after each other"
    assert [data for at, data in played.written if at >= 10] == [b"HELLO\r\n", b"VOLTS?\r\n"]


def test_a_command_that_waits_when_the_line_goes_is_offline() -> None:
    played = play({"faults": [{"from": 0.5, "hang_up": True}]}, encode=[SWITCH])
    played.submit(switch(True))
    played.run(100)
    assert [(at, msg.arguments["response"]) for at, msg in played.messages] == [(0.5, "OFFLINE")]
    assert played.line == [(0, True), (0.5, False)]


def test_a_device_that_answers_nothing_is_opened_again(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("did not answer", "nothing has answered 10 requests in a row")
    conversation = {"opening": [{"write": "HELLO"}], "polls": [poll("VOLTS", every=1)]}
    played = play({"faults": [{"silent": True}]}, conversation=conversation)
    played.run(30)
    assert [data for _, data in played.written].count(b"HELLO\r\n") == 2
    assert played.session.stats()["ports_reopened"] == 1


def test_a_day_takes_no_day() -> None:
    played = play({"answers": METER}, conversation={"polls": [poll("VOLTS", every=60), poll("AMPS", every=60)]})
    played.run(86_400)
    assert len(played.messages) == 2 * 24 * 60


def test_playing_in_parts_is_playing_at_once(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the device did not answer within 1 s")
    script = {
        "says": [{"every": 0.7, "write": "T 21.5"}],
        "answers": METER,
        "faults": [{"noise": 0.2}, {"split": 3}, {"every": 20, "from": 9, "to": 11, "hang_up": True}],
    }
    options = {"conversation": {"polls": [poll("VOLTS", every=3)]}, "framing": {"timeout": 0.5}, **THERMOMETER}
    whole, parts = play(script, **options), play(script, **options)
    whole.run(50)
    for _ in range(200):
        parts.run(0.25)
    assert whole.messages == parts.messages
    assert (whole.written, whole.received, whole.line) == (parts.written, parts.received, parts.line)
    assert len(whole.messages) > 20


LOGS = ("did not answer", "answered after", "wrong checksum", "may be the late answer", "nothing has answered")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # what is logged may differ
@given(latency=st.floats(0.01, 6).filter(lambda seconds: abs(seconds % 0.5) > 0.01), split=st.integers(1, 8))
def test_the_answers_of_a_slow_device_are_those_of_their_requests(
    expected_logs: ExpectedLogs, latency: float, split: int
) -> None:
    expected_logs.allow(*LOGS)
    answers = [{**each, "delay": latency} for each in METER]
    played = play(
        {"answers": answers, "faults": [{"split": split, "pause": 0.001}]},
        conversation={"polls": [poll("VOLTS"), poll("AMPS")]},
    )
    played.run(600)
    values = {(action, arguments["v"]) for _, action, arguments in readings(played)}
    assert values == {("VOLTS", 230.0), ("AMPS", 1.5)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # what is logged may differ
@given(
    latency=st.floats(0.01, 6),
    noise=st.sampled_from([0, 0.1]),
    split=st.integers(1, 8),
    times=st.tuples(st.floats(0.01, 50), st.floats(0.01, 50)),
    framing=st.sampled_from([{}, {"timeout": 0.3}, {"type": "gap", "gap": 0.05}]),
)
def test_whatever_goes_wrong_each_command_has_one_outcome_and_no_value_is_wrong(
    expected_logs: ExpectedLogs,
    latency: float,
    noise: float,
    split: int,
    times: tuple[float, float],
    framing: dict[str, Any],
) -> None:
    expected_logs.allow(*LOGS)
    begin, end = sorted(times)
    faults: list[dict[str, Any]] = [
        {"split": split},
        {"every": 100, "from": begin, "to": end + 0.01, "silent": True},
        {"every": 230, "from": 200 + begin / 10, "to": 230, "hang_up": True},
    ]
    if noise:
        faults.append({"noise": noise})
    common: dict[str, Any] = {"framing": framing, "checksum": {"type": "crc-32", "form": "hex", "strip": True}}
    answers = [{"regex": "VOLTS\\?", "write": "230", "delay": latency}, {"regex": "S1", "write": "OK"}]
    played = Playback(
        serial_params(**common, conversation={"polls": [poll("VOLTS")]}, encode=[SWITCH]),
        script_params(**common, answers=answers, faults=faults),
    )
    for _ in range(10):
        played.submit(switch(True))
        played.run(60)
    played.run(60)
    assert {msg.arguments["v"] for _, msg in played.messages if msg.action == "VOLTS"} <= {230.0}
    assert len([msg for _, msg in played.messages if "response" in msg.arguments]) == 10


def test_a_late_answer_is_no_other_value_after_the_port_was_opened_again(expected_logs: ExpectedLogs) -> None:
    """It is the gateway that has opened the port again; the device does not know of that, and goes on answering."""
    expected_logs.expect("nothing has answered 1 request in a row")
    expected_logs.allow("did not answer within 1 s", "answered after")
    slow = [{**answer, "delay": 2.5} for answer in METER]
    conversation = {"timeout": 1, "reopen_after": 1, "polls": [poll("VOLTS"), poll("AMPS")]}
    played = play({"answers": slow}, conversation=conversation)
    played.run(120)
    assert played.session.stats()["ports_reopened"] > 0
    values = {(action, arguments["v"]) for _, action, arguments in readings(played)}
    assert values == {("VOLTS", 230.0), ("AMPS", 1.5)}


class BehindServer(SimulatedDevice):
    """A device behind a serial server: where the connection is lost, the device does not notice, and goes on."""

    def connect(self, now: float) -> None:
        if now == 0.0:
            super().connect(now)

    def disconnect(self) -> None:
        pass


def hang_ups(chance: random.Random, begin: float) -> list[dict[str, Any]]:
    """Return some hang-ups of the connection from `begin` (s) on."""
    faults: list[dict[str, Any]] = []
    for _ in range(chance.randint(1, 4)):
        begin += chance.uniform(1, 60)
        faults.append({"from": begin, "to": begin + chance.uniform(0.01, 1), "hang_up": True})
        begin += 1
    return faults


@pytest.mark.parametrize("seed", range(40))
def test_no_value_is_ever_that_of_another_request(seed: int, expected_logs: ExpectedLogs) -> None:
    """Look-alike answers up to seven timeouts late, retries, silence, commands, and a connection that comes and goes.

    The connection is lost only after a minute: before the device has answered, nobody can know how slow it is.
    """
    expected_logs.allow("did not answer within 1 s", "answered after", "nothing has answered", "could not be read")
    chance = random.Random(seed)
    names = chance.sample("VAWPQ", chance.randint(2, 4))
    every, latency = chance.choice([1.0, 3.0, 5.0, 10.0, 20.0]), chance.uniform(0.05, 6.0)
    response = {"regex": "(?P<v>[A-Z])"}
    polls = [
        poll(name, every * chance.choice([1, 2]), retries=chance.randint(0, 3))
        | {"response": {**response, "message": {"action": name, "arguments": {"v": "{v}"}}}}
        for name in names
    ]
    command = {"match": {"action": "C"}, "write": "C?", "response": response, "retries": chance.randint(0, 1)}
    pacing = chance.choice([{}, {"pause": 0.05}, {"pause": 0.05, "bytes_per_second": 100, "frames_per_second": 1}])
    reopen_after = chance.choice([0, 3, 10])
    played = play({}, conversation={"pacing": pacing, "reopen_after": reopen_after, "polls": polls}, encode=[command])
    silent_from = chance.uniform(0, 150)
    silence = {"from": silent_from, "to": silent_from + chance.choice([3, 10, 20]), "silent": True}
    answers = [
        {"regex": f"{name}\\?", "write": name, "delay": latency * chance.uniform(1, 1.16)} for name in [*names, "C"]
    ]
    played.device = BehindServer(script_params(answers=answers, faults=[silence, *hang_ups(chance, 60)]))
    played.device.connect(0.0)
    for _ in range(chance.randint(1, 8)):
        played.submit(InternalMsg(iscmd=True, action="C"))
        played.run(chance.uniform(0.1, 60))
    played.run(120)
    values = [(msg.action, msg.arguments["v"]) for _, msg in played.messages if "v" in msg.arguments]
    assert values
    assert [each for each in values if each[0] != each[1]] == []
