"""Each shipped example is played against the script beside it: what the device says, each poll, each command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.message import InternalMsg
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.simulation.playback import Playback
from tests.support.configuration import SHIPPED, shipped_script

EXAMPLES = sorted(
    path.stem for path in (SHIPPED / "conf").glob("*2mqtt.conf") if "\n  type: serial\n" in path.read_text()
)


def play(name: str) -> Playback:
    (interface,) = load_configuration(SHIPPED / "conf" / f"{name}.conf", {}).interfaces
    assert interface.cls is SerialInterface
    return Playback(interface.params, shipped_script(f"{name}.sim"))


def test_each_example_of_a_serial_device_has_a_script_and_each_script_an_example() -> None:
    assert sorted(path.stem for path in (SHIPPED / "conf").glob("*.sim")) == EXAMPLES
    assert len(EXAMPLES) == 6


def test_each_script_names_its_example_and_how_to_run_it() -> None:
    for path in (SHIPPED / "conf").glob("*.sim"):
        comment = path.read_text().partition("\n\n")[0]
        assert f"{path.stem}.conf" in comment
        assert f"mqttgateway simulate {path.name} --pty /tmp/" in comment


class Case(NamedTuple):
    """What happens within a time (s): which messages come of themselves, and how commands end."""

    name: str
    seconds: float
    readings: set[str]
    commands: list[tuple[dict[str, Any], dict[str, Any]]]
    settle: float = 0.0


SUPPLY = {"function": "lab", "device": "supply"}
METER = {"function": "energy", "device": "meter"}
ACTUATOR = {"function": "sensors", "device": "actuator"}
CASES = [
    Case("nmea2mqtt", 30, {"DEPTH", "HEADING", "WIND", "TEMPERATURE", "POSITION", "TRACK"}, []),
    Case(
        "mysensors2mqtt",
        70,
        {"PRESENTED", "VALUE", "BATTERY", "READY"},
        [
            (
                {**ACTUATOR, "action": "SWITCH", "arguments": {"node": 12, "child": 4, "on": True}},
                {"response": "OK", "value": "1"},
            ),
            (
                {**ACTUATOR, "action": "SWITCH", "arguments": {"node": 13, "child": 4, "on": True}},
                {"response": "TIMEOUT"},
            ),
            ({"function": "sensors", "device": "gateway", "action": "VERSION"}, {"response": "OK", "version": "2.3.2"}),
        ],
        settle=2,
    ),
    Case(
        "modbus2mqtt",
        30,
        {"VOLTAGE", "CURRENT", "POWER"},
        [
            ({**METER, "action": "RELAY", "arguments": {"on": True}}, {"response": "OK", "coil": True}),
            ({**METER, "action": "RELAY", "arguments": {"on": False}}, {"response": "OK", "coil": False}),
        ],
    ),
    Case(
        "scpi2mqtt",
        30,
        {"IDENTITY", "VOLTAGE", "CURRENT"},
        [
            ({**SUPPLY, "action": "SET_VOLTAGE", "arguments": {"volts": 5}}, {"response": "OK"}),
            ({**SUPPLY, "action": "SET_VOLTAGE", "arguments": {"volts": 20}}, {"response": "OK"}),
            ({**SUPPLY, "action": "SET_VOLTAGE", "arguments": {"volts": 20.5}}, {"response": "REFUSED", "code": -222}),
            ({**SUPPLY, "action": "SET_VOLTAGE", "arguments": {"volts": 20.001}}, {"response": "REFUSED"}),
            ({**SUPPLY, "action": "SET_VOLTAGE", "arguments": {"volts": 30}}, {"response": "REFUSED"}),
            ({**SUPPLY, "action": "SET_OUTPUT", "arguments": {"on": False}}, {"response": "OK"}),
            ({**SUPPLY, "action": "GET_ERROR"}, {"response": "OK", "code": 0}),
        ],
    ),
    Case(
        "serial2mqtt",
        70,
        {"BELL_ON", "BELL_OFF"},
        [
            (
                {"function": "security", "location": "gate_entry", "device": "gate", "action": "GATE_OPEN"},
                {"response": "OK"},
            )
        ],
    ),
    Case(
        "tank2mqtt",
        30,
        {"LEVEL"},
        [({"function": "water", "device": "tank", "action": "PUMP", "arguments": {"on": True}}, {"response": "OK"})],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_example_played_against_its_script(case: Case) -> None:
    played = play(case.name)
    played.run(case.seconds)
    assert {msg.action for _, msg in played.messages} == case.readings
    for words, outcome in case.commands:
        before = len(played.messages)
        assert played.submit(InternalMsg(iscmd=True, sender="tester", **words))
        played.run(3)
        replies = [
            msg.arguments
            for _, msg in played.messages[before:]
            if msg.action == words["action"] and "response" in msg.arguments
        ]
        assert len(replies) == 1, words
        assert {name: replies[0][name] for name in outcome} == outcome
    stats = played.session.stats()
    assert (stats["frames_bad_checksum"], stats["frames_unreadable"], stats["bytes_discarded"]) == (0, 0, 0)
    assert stats["requests_timed_out"] == 0
    silenced = [each for each in played.unanswered if not each.startswith(b"13;")]  # there is no node 13
    assert silenced == []


def test_all_cases_are_examples() -> None:
    assert sorted(case.name for case in CASES) == EXAMPLES


def test_the_bytes_on_the_line_are_those_of_the_specification() -> None:
    """The device of the script has its checksums from the code under test; here they are from elsewhere."""
    meter = play("modbus2mqtt")
    meter.run(1)
    assert meter.written[0][1] == bytes.fromhex("01 04 00 00 00 02 71 CB")
    boat = play("nmea2mqtt")
    boat.run(0.1)
    assert boat.received[0][1] == b"$SDDPT,5.3,0.4,*79\r\n"
    tank = play("tank2mqtt")
    tank.run(0.1)
    assert tank.received == [(0, bytes.fromhex("AA 55 01 02 00 FD 20 20 0D 0A"))]


def test_what_a_command_changes_shows_in_what_follows() -> None:
    supply = play("scpi2mqtt")
    supply.run(4)
    supply.submit(InternalMsg(iscmd=True, sender="t", **SUPPLY, action="SET_VOLTAGE", arguments={"volts": 5}))
    supply.run(3)
    volts = [msg.arguments["volts"] for _, msg in supply.messages if msg.action == "VOLTAGE"]
    assert volts == [12.0, 5.0]
    tank = play("tank2mqtt")
    tank.submit(
        InternalMsg(iscmd=True, sender="t", function="water", device="tank", action="PUMP", arguments={"on": True})
    )
    tank.run(6)
    assert [msg.arguments["pump"] for _, msg in tank.messages if msg.action == "LEVEL"] == [True, True]
    gate = play("serial2mqtt")
    gate.submit(
        InternalMsg(
            iscmd=True, sender="t", function="security", location="gate_entry", device="gate", action="GATE_OPEN"
        )
    )
    gate.run(31)
    assert [msg.action for _, msg in gate.messages if msg.device == "gate"] == ["GATE_OPEN", "GATE_OPEN", "GATE_CLOSED"]


def test_the_shipped_files_are_found_by_their_names() -> None:
    from gateway.core.paths import find_script

    assert find_script("modbus2mqtt.sim") == Path(SHIPPED / "conf" / "modbus2mqtt.sim")
