"""The shipped examples, whole: device (simulated), pty, gateway, Mosquitto, and back. Only ports and polls differ."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto
from tests.support.configuration import SHIPPED
from tests.support.device import frame_counts
from tests.support.running import Example
from tests.support.simulation import SimulateProcess
from tests.support.simulator import Simulator
from tests.support.simulators import (
    EntrySystem,
    ModbusMeter,
    MySensorsGateway,
    NmeaInstrument,
    ScpiSupply,
    TankSensor,
)
from tests.support.waiting import wait_until

_POLL = 0.1  # s; the examples poll every 5 to 10 s
_NEVER = 3600.0  # s; only when the port opens

NAVIGATION = "boat/navigation"
METER = "home/energy///meter"
SUPPLY = "lab/lab///supply"
TANK = "home/water///tank"
GATE = "home/security//frontgate/gate"
ACTUATOR = "home/sensors///actuator"

OK = {"response": "OK", "reason": ""}


# --- NMEA 0183


def test_nmea_readings_become_messages(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with NmeaInstrument(tmp_path) as boat, Example(tmp_path, mosquitto, "nmea2mqtt", boat.path, "boat") as example:
        boat.send_sentence("SDDPT,5.3,0.4,")
        boat.send_sentence("SDDPT,,0.4,")  # no depth: the remaining values are published
        boat.send_sentence("SDMTW,,C")  # no value to publish
        boat.send_sentence("SDMTW,-1.5,C")
        boat.send_sentence("SDHDG,229.8,,,1.3,E")
        boat.send_sentence("WIMWV,57.5,R,13.0,N,A")
        boat.send_sentence("WIMWV,96.6,T,11.2,N,A")
        boat.send_sentence("WIMWV,96.6,T,11.2,N,V")  # not valid
        boat.send_sentence("GPGLL,5251.0093,N,00518.8170,E,094736,A,A")
        boat.send_sentence("GPGLL,5251.0093,N,00518.8170,E,094737,A,A")  # the same place
        boat.send_sentence("GPGLL,5252.0000,N,00518.8170,E,094738,V,N")  # not valid
        boat.send_sentence("GPRMC,094737,A,5251.0093,N,00518.8170,W,5.6,,200818,1.4,E,A")  # no course while at rest
        boat.send_sentence("GPRMC,094738,V,,,,,,,200818,,,N")  # not valid
        boat.send_sentence("GPGSV,3,1,12,07,10,333,39")  # of no interest here
        boat.send_sentence("HEHDG,0.0,,,,")
        assert example.wait_readings(9) == [
            (f"{NAVIGATION}///depth/nmea2mqtt/S", {"action": "depth", "metres": 5.3, "offset": 0.4}),
            (f"{NAVIGATION}///depth/nmea2mqtt/S", {"action": "depth", "offset": 0.4}),
            (f"{NAVIGATION}///water/nmea2mqtt/S", {"action": "temperature", "celsius": -1.5}),
            (f"{NAVIGATION}///heading/nmea2mqtt/S", {"action": "heading", "degrees": 229.8}),
            (
                f"{NAVIGATION}///wind/nmea2mqtt/S",
                {"action": "wind", "degrees": 57.5, "knots": 13.0, "reference": "apparent"},
            ),
            (
                f"{NAVIGATION}///wind/nmea2mqtt/S",
                {"action": "wind", "degrees": 96.6, "knots": 11.2, "reference": "true"},
            ),
            (
                f"{NAVIGATION}///position/nmea2mqtt/S",
                {"action": "position", "latitude": 52.850155, "longitude": 5.313617},
            ),
            (
                f"{NAVIGATION}///position/nmea2mqtt/S",
                {"action": "track", "latitude": 52.850155, "longitude": -5.313617, "knots": 5.6},
            ),
            (f"{NAVIGATION}///heading/nmea2mqtt/S", {"action": "heading", "degrees": 0.0}),
        ]
        assert frame_counts(example.interface) == {"frames_received": 15, "frames_unmatched": 4}


def test_nmea_sentences_with_a_wrong_checksum_are_dropped(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("frame dropped: wrong checksum: expected '79', found '7A': 24 53 44 44 50 54")
    expected_logs.expect("frame dropped: wrong checksum")
    with NmeaInstrument(tmp_path) as boat, Example(tmp_path, mosquitto, "nmea2mqtt", boat.path, "boat") as example:
        for wrong in (0, 1, 0, 128, 255, 0):
            boat.send_sentence("SDDPT,5.3,0.4,", wrong)
        boat.send(b"$SDDPT,5.3,0.4,*7\r\n$SDDPT,5.3,0.4,\r\n*01\r\n")
        boat.send_sentence("SDHDG,1.0,,,,")
        example.wait_reading(f"{NAVIGATION}///heading/nmea2mqtt/S", action="heading", degrees=1.0)
        assert len(example.readings()) == 4
        assert frame_counts(example.interface) == {"frames_received": 10, "frames_bad_checksum": 6}


# --- MySensors


def test_mysensors_readings_become_messages(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        MySensorsGateway(tmp_path) as network,
        Example(tmp_path, mosquitto, "mysensors2mqtt", network.path) as example,
    ):
        network.start_up()
        network.send_message(0, 255, network.INTERNAL, 9, "TSF:MSG:READ,12-12-0,s=3,c=1,t=0,pt=7,l=5,sg=0:21.5")
        network.send_message(12, 255, network.PRESENTATION, 17, "2.3.2")
        network.send_message(12, 3, network.PRESENTATION, 6, "")
        network.send_message(12, 3, network.SET, 0, "21.5")
        network.send_message(12, 4, network.SET, 2, "1")
        network.send_message(12, 5, network.SET, 47, "open")
        network.send_message(12, 255, network.INTERNAL, 0, "87")
        gateway, node = "home/sensors///gateway/mysensors2mqtt/S", "home/sensors///node12/mysensors2mqtt/S"
        assert example.wait_readings(7) == [
            (gateway, {"action": "ready", "text": "Gateway startup complete."}),
            (node, {"action": "presented", "child": 255, "type": 17, "name": "2.3.2"}),
            (node, {"action": "presented", "child": 3, "type": 6}),
            (node, {"action": "value", "child": 3, "type": "temperature", "value": 21.5}),
            (node, {"action": "value", "child": 4, "type": "switch", "value": 1}),
            (node, {"action": "value", "child": 5, "type": "other", "value": "open"}),
            (node, {"action": "battery", "percent": 87}),
        ]
        assert frame_counts(example.interface) == {"frames_received": 8, "frames_unmatched": 1}  # the log line
        events = [payload for topic, payload in example.listener.pairs() if topic.endswith("/gateway/event")]
        assert [json.loads(event)["value"] for event in events] == ["Gateway startup complete."]


def test_mysensors_commands_get_their_outcome(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("command 'SWITCH': answered after")
    with (
        MySensorsGateway(tmp_path) as network,
        Example(tmp_path, mosquitto, "mysensors2mqtt", network.path) as example,
    ):
        done = example.command(ACTUATOR, "switch", node=12, child=6, on=True)
        assert done == {"action": "switch", "node": 12, "child": 6, "value": "1", "on": True, **OK}
        assert network.actuators == {(12, 6): "1"}
        done = example.command("home/sensors///gateway", "version")
        assert done == {"action": "version", "version": "2.3.2", **OK}
        assert network.lines == ["12;6;1;1;2;1", "0;0;3;0;2;"]
        refused = example.command(ACTUATOR, "switch", node=255, child=6, on=False)
        assert refused["response"] == "REFUSED"
        assert refused["reason"] == "argument 'node' is 255: expected at most 254"
        refused = example.command(ACTUATOR, "switch", node=12, child=6)
        assert (refused["response"], refused["reason"]) == ("REFUSED", "argument 'on' is missing")
        late = example.command(ACTUATOR, "switch", node=13, child=6, on=False)  # no such node
        assert late["response"] == "TIMEOUT"
        assert late["reason"] == "the device did not answer within 2 s"
        assert network.lines[2:] == ["13;6;1;1;2;0"]
        assert network.actuators == {(12, 6): "1"}
        network.send_message(13, 6, network.SET, 2, "0", ack=1)  # it was asleep
        example.wait_reading("home/sensors///node13/mysensors2mqtt/S", action="value", child=6, type="switch", value=0)
        assert network.rejected == []


def test_mysensors_does_not_confuse_the_echo_of_another_node(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        MySensorsGateway(tmp_path) as network,
        Example(tmp_path, mosquitto, "mysensors2mqtt", network.path) as example,
    ):
        network.is_silent = True
        command = '{"action": "switch", "node": 12, "child": 6, "on": true}'
        example.listener.publish(f"{ACTUATOR}/tester/C", command)
        wait_until(lambda: network.lines, what="the command")
        network.send_message(13, 6, network.SET, 2, "1", ack=1)
        network.send_message(12, 7, network.SET, 2, "1", ack=1)
        network.send_message(12, 6, network.SET, 2, "0", ack=1)
        reply = example.wait_reply(ACTUATOR)
        assert reply == {"action": "switch", "node": 12, "child": 6, "value": "0", "on": True, **OK}
        assert [topic for topic, _ in example.wait_readings(3)] == [
            "home/sensors///node13/mysensors2mqtt/S",
            "home/sensors///node12/mysensors2mqtt/S",
            "home/sensors///node12/mysensors2mqtt/S",  # the answer to the command is a reading as well
        ]


# --- Modbus RTU


def metered(folder: Path, address: int = 1) -> ModbusMeter:
    """Return a meter at 230.04 V, 1.5 A and 345 W."""
    meter = ModbusMeter(folder, address)
    for register, value in ((0, 230.04), (6, 1.5), (12, 345.0)):
        meter.set_float(register, value)
    return meter


def test_the_simulated_meter_is_one() -> None:
    """The CRC of the simulator against a frame from the specification of the protocol, not against our own."""
    assert ModbusMeter.crc(bytes.fromhex("02 07")) == bytes.fromhex("41 12")
    assert ModbusMeter.crc(bytes.fromhex("01 04 00 00 00 02")) == bytes.fromhex("71 CB")


def test_modbus_polls_become_messages_and_keep_coming(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        metered(tmp_path) as meter,
        Example(tmp_path, mosquitto, "modbus2mqtt", meter.path, every=_POLL) as example,
    ):
        topic = f"{METER}/modbus2mqtt/S"
        assert example.wait_readings(3) == [
            (topic, {"action": "voltage", "volts": 230.0}),
            (topic, {"action": "current", "amperes": 1.5}),
            (topic, {"action": "power", "watts": 345.0}),
        ]
        wait_until(lambda: len(meter.requests) >= 9, what="three rounds of polls")
        meter.set_float(0, 230.4)  # within the deadband
        meter.set_float(12, -20.0)
        example.wait_reading(topic, action="power", watts=-20.0)
        meter.set_float(0, 230.6)
        example.wait_reading(topic, action="voltage", volts=230.6)
        assert len(example.readings()) == 5
        reply_to = [request.hex(" ") for request in meter.requests[:6]]
        assert reply_to == ["01 04 00 00 00 02", "01 04 00 06 00 02", "01 04 00 0c 00 02"] * 2
        assert meter.rejected == []


def test_modbus_commands_get_their_outcome(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        metered(tmp_path) as meter,
        Example(tmp_path, mosquitto, "modbus2mqtt", meter.path, every=_NEVER) as example,
    ):
        example.wait_readings(3)
        assert example.command(METER, "relay", on=True) == {"action": "relay", "on": True, "coil": True, **OK}
        assert meter.coils == {0: True}
        assert example.command(METER, "relay", on=False) == {"action": "relay", "on": False, "coil": False, **OK}
        assert meter.coils == {0: False}
        refused = example.command(METER, "relay", on="yes")
        assert (refused["response"], refused["reason"]) == ("REFUSED", "argument 'on' is 'yes': expected true or false")
        meter.is_stuck = True
        refused = example.command(METER, "relay", on=True)
        assert (refused["response"], refused["exception"]) == ("REFUSED", meter.DEVICE_FAILURE)
        assert refused["reason"] == "the device refused it"
        meter.is_silent = True
        late = example.command(METER, "relay", on=True)
        assert (late["response"], late["reason"]) == ("TIMEOUT", "the device did not answer within 1 s")
        assert [request for request in meter.requests if request[1] == 5][3:] == [bytes.fromhex("01 05 00 00 FF 00")]
        meter.is_silent = meter.is_stuck = False
        assert example.command(METER, "relay", on=True)["response"] == "OK"
        assert meter.rejected == []


def test_modbus_answers_with_a_wrong_crc_are_dropped(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(
        "frame dropped: wrong checksum", "the device did not answer within 1 s", "may be the late answer to an earlier"
    )
    with metered(tmp_path) as meter:
        meter.is_noisy = True
        with Example(tmp_path, mosquitto, "modbus2mqtt", meter.path, every=_POLL) as example:
            wait_until(lambda: len(meter.requests) == 2, what="the second poll")
            meter.is_noisy = False
            example.wait_reading(f"{METER}/modbus2mqtt/S", action="voltage", volts=230.0)
            assert example.interface.stats()["frames_bad_checksum"] in (1, 2)  # the second may have been on its way


def test_a_missing_modbus_register_is_reported(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("serial: 'current': the device refused it: 01 84 02")
    with metered(tmp_path) as meter:
        del meter.registers[7]
        with Example(tmp_path, mosquitto, "modbus2mqtt", meter.path, every=_POLL) as example:
            topic = f"{METER}/modbus2mqtt/S"
            assert example.wait_readings(2) == [
                (topic, {"action": "voltage", "volts": 230.0}),
                (topic, {"action": "power", "watts": 345.0}),
            ]


def test_a_modbus_meter_with_another_address_stays_silent(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("'voltage': the device did not answer within 1 s")
    with (
        metered(tmp_path, address=2) as meter,
        Example(tmp_path, mosquitto, "modbus2mqtt", meter.path, every=_POLL) as example,
    ):
        wait_until(lambda: meter.overheard, what="the first poll")
        assert example.command(METER, "relay", on=True)["response"] == "TIMEOUT"
        assert (meter.requests, meter.rejected, example.readings()) == ([], [], [])


# --- SCPI


def test_scpi_polls_become_messages_and_keep_coming(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with ScpiSupply(tmp_path) as supply:
        supply.volts, supply.output = 12.0, True
        with Example(tmp_path, mosquitto, "scpi2mqtt", supply.path, "lab", every=_POLL) as example:
            topic = f"{SUPPLY}/scpi2mqtt/S"
            maker, model, number, version = supply.identity.split(",")
            assert example.wait_readings(5) == [
                (topic, {"action": "identity", "maker": maker, "model": model, "serial": number, "version": version}),
                (topic, {"action": "voltage", "volts": 12.0}),
                (topic, {"action": "current", "amperes": 1.2}),
                (topic, {"action": "voltage", "volts": 12.0}),
                (topic, {"action": "current", "amperes": 1.2}),
            ]
            supply.load = 100.0
            example.wait_reading(topic, action="current", amperes=0.12)
            assert supply.lines[:5] == ["*IDN?", *["MEAS:VOLT?", "MEAS:CURR?"] * 2]
            assert supply.errors == []


def test_scpi_commands_get_their_outcome(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with (
        ScpiSupply(tmp_path) as supply,
        Example(tmp_path, mosquitto, "scpi2mqtt", supply.path, "lab", every=_NEVER) as example,
    ):
        example.wait_readings(3)
        supply.errors.append((-410, "Query INTERRUPTED"))  # of long ago: not this command's fault
        done = example.command(SUPPLY, "set_voltage", volts=5)
        assert done == {"action": "set_voltage", "volts": 5, "answer": '+0,"No error"', **OK}
        assert example.command(SUPPLY, "set_output", on=True)["response"] == "OK"
        assert (supply.volts, supply.output) == (5.0, True)
        refused = example.command(SUPPLY, "set_voltage", volts=25.5)  # more than this one has
        assert (refused["response"], refused["reason"]) == ("REFUSED", "the device refused it")
        assert (refused["code"], refused["text"]) == (-222, "Data out of range")
        refused = example.command(SUPPLY, "set_voltage", volts=31)
        assert (refused["response"], refused["reason"]) == ("REFUSED", "argument 'volts' is 31: expected at most 30")
        refused = example.command(SUPPLY, "set_voltage", volts="5;OUTP OFF")
        assert (refused["response"], refused["reason"]) == (
            "REFUSED", "argument 'volts' is '5;OUTP OFF': expected a number"
        )  # fmt: skip
        assert (supply.volts, supply.output) == (5.0, True)
        supply.errors.append((-310, "System error"))
        failed = example.command(SUPPLY, "get_error")
        assert failed == {"action": "get_error", "code": -310, "text": "System error", **OK}
        assert example.command(SUPPLY, "get_error")["code"] == 0
        supply.is_silent = True
        assert example.command(SUPPLY, "set_voltage", volts=6)["response"] == "TIMEOUT"
        assert "*CLS;VOLT 6.000;:SYST:ERR?" in supply.lines


# --- the entry system


def test_the_entry_system_both_ways(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with EntrySystem(tmp_path) as entry, Example(tmp_path, mosquitto, "serial2mqtt", entry.path) as example:
        for number in (11, 10, 20, 42):
            entry.send_number(number)
        assert example.command(GATE, "gate_open") == {"action": "gate_open", **OK}
        assert example.wait_readings(5) == [
            ("home/security//frontgate/bell/serial2mqtt/S", "bell_on"),
            ("home/security//frontgate/bell/serial2mqtt/S", "bell_off"),
            (f"{GATE}/serial2mqtt/S", "gate_closed"),
            (f"{GATE}/serial2mqtt/S", "gate_open"),
            ("home/lighting//frontgate//serial2mqtt/C", "light_on"),
        ]
        assert entry.is_gate_open
        refused = example.command(GATE, "gate_closed")
        assert (refused["response"], refused["reason"]) == (
            "REFUSED", "'GATE_CLOSED' is not an action of this device: use one of GATE_OPEN"
        )  # fmt: skip
        assert (entry.lines, entry.rejected) == (["21"], [])
        assert frame_counts(example.interface) == {"frames_received": 5, "frames_unmatched": 1}


# --- the tank


def test_tank_readings_become_messages(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with TankSensor(tmp_path) as tank, Example(tmp_path, mosquitto, "tank2mqtt", tank.path) as example:
        tank.send_level(512, -3, 0b0010_0001)
        tank.send_level(513, -3, 0b0010_0001)  # within the deadband
        tank.send_level(515, -4, 0b0010_0001)
        tank.send_level(0x0D0A, 0x55, 0b0011_0010)  # contains the stop marker
        tank.send_level(0x00AA, 0x55, 0)  # contains the start marker, followed by bytes with the checksum of a frame
        topic = f"{TANK}/tank2mqtt/S"

        def level(percent: float, celsius: int, pump: bool, alarm: bool, mode: str) -> tuple[str, dict[str, Any]]:
            reading = {"percent": percent, "celsius": celsius, "pump": pump, "alarm": alarm, "mode": mode}
            return topic, {"action": "level", **reading}

        assert example.wait_readings(4) == [
            level(51.2, -3, True, False, "automatic"),
            level(51.5, -4, True, False, "automatic"),
            level(333.8, 85, False, True, "unknown"),
            level(17.0, 85, False, False, "off"),
        ]
        assert frame_counts(example.interface) == {"frames_received": 5}


def test_tank_frames_with_a_wrong_checksum_are_dropped(
    tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("frame dropped: wrong checksum: expected 12, found 13: 01 00 10 01 00 13")
    expected_logs.expect("frame dropped: wrong checksum")
    with TankSensor(tmp_path) as tank, Example(tmp_path, mosquitto, "tank2mqtt", tank.path) as example:
        for number in range(10):
            tank.send_level(16 + 10 * number, 1, 0, checksum_error=1 if number in (0, 3, 4) else 0)
        assert len(example.wait_readings(7)) == 7
        assert frame_counts(example.interface) == {"frames_received": 10, "frames_bad_checksum": 3}


def test_tank_commands_get_their_outcome(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with TankSensor(tmp_path) as tank, Example(tmp_path, mosquitto, "tank2mqtt", tank.path) as example:
        assert example.command(TANK, "pump", on=True) == {"action": "pump", "on": True, **OK}
        wait_until(lambda: tank.is_pumping, what="the pump")
        refused = example.command(TANK, "pump", on=2)
        assert (refused["response"], refused["reason"]) == ("REFUSED", "argument 'on' is 2: expected true or false")
        assert example.command(TANK, "pump", on=False)["response"] == "OK"
        wait_until(lambda: not tank.is_pumping, what="the pump")
        assert tank.rejected == []


# --- all of them


class Plug(NamedTuple):
    """An example, a command for it, and how it shows that its device is at work."""

    name: str
    device: Callable[[Path], Simulator]
    address: str = ""
    action: str = ""
    arguments: dict[str, Any] = {}  # noqa: RUF012
    root: str = "home"


PLUGS = [
    Plug("nmea2mqtt", NmeaInstrument, root="boat"),
    Plug("mysensors2mqtt", MySensorsGateway, ACTUATOR, "switch", {"node": 12, "child": 1, "on": True}),
    Plug("modbus2mqtt", metered, METER, "relay", {"on": True}),
    Plug("scpi2mqtt", ScpiSupply, SUPPLY, "set_output", {"on": False}, "lab"),
    Plug("serial2mqtt", EntrySystem, GATE, "gate_open"),
    Plug("tank2mqtt", TankSensor, TANK, "pump", {"on": False}),
]


@pytest.mark.parametrize("plug", PLUGS, ids=[plug.name for plug in PLUGS])
def test_a_plug_that_is_pulled_and_put_back(
    plug: Plug, tmp_path: Path, mosquitto: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(" has failed: ")
    with (
        plug.device(tmp_path) as device,
        Example(tmp_path, mosquitto, plug.name, device.path, plug.root) as example,
    ):
        device.unplug()
        pulled = time.monotonic()
        example.wait_availability("online", "offline")
        assert time.monotonic() - pulled < 1
        if plug.address:
            logged = example.command(plug.address, plug.action, **plug.arguments)
            assert (logged["response"], logged["reason"]) == ("OFFLINE", f"{device.path} is offline")
        device.plug_in()
        example.wait_availability("online", "offline", "online")
        if plug.address:
            assert example.command(plug.address, plug.action, **plug.arguments)["response"] == "OK"
        assert device.rejected == []


@pytest.mark.parametrize("plug", PLUGS, ids=[plug.name for plug in PLUGS])
def test_an_example_tried_without_its_device_as_the_documentation_shows(
    plug: Plug, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    script = (SHIPPED / "conf" / f"{plug.name}.sim").read_text()
    link = tmp_path / "tty"
    with (
        SimulateProcess(tmp_path, script, "--pty", str(link)) as device,
        Example(tmp_path, mosquitto, plug.name, link, plug.root) as example,
    ):
        if plug.address:
            assert example.command(plug.address, plug.action, **plug.arguments)["response"] == "OK"
        if plug.name != "serial2mqtt":  # whose bell rings once a minute
            example.wait_readings(1)
        assert "no answer matches" not in device.output
