"""The configurations between which a sequence changes, and which devices each of them has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.restart.plant import UNITS

TANKS = Path(__file__).with_name("tanks.py")


class Point(NamedTuple):
    """A point: its key in documents, and the name under which the plant and `Expected` know it."""

    key: str
    name: str


class Setup(NamedTuple):
    """What a reload can change. `meter_id` is the template's id; `meter_silence` its `silent_after`, in seconds."""

    temperature_key: str = "temperature"
    has_probe: bool = True
    has_fan: bool = True
    has_tanks: bool = True
    meter_id: str = "meter{unit}"
    meter_silence: int = 2

    def devices(self) -> dict[str, tuple[str, tuple[Point, ...]]]:
        """Return interface and points of each device, by the name under which the plant knows it."""
        boiler = (Point(self.temperature_key, "temperature"), Point("target", "target"), Point("heater", "heater"))
        devices: dict[str, tuple[str, tuple[Point, ...]]] = {"boiler": ("bus", boiler)}
        if self.has_probe:
            devices["probe"] = "bus", (Point("celsius", "celsius"),)
        if self.has_fan:
            devices["fan"] = "bus", (Point("level", "level"),)
        for unit in UNITS:
            devices[f"unit{unit}"] = "bus", (Point("power", "power"), Point("total", "total"))
        if self.has_tanks:
            devices["tank"] = "water", (Point("level", "level"),)
            devices["pump"] = "water", (Point("on", "on"),)
        return devices

    def id_of(self, device: str) -> str:
        """Return the id of a device in topics; a class's own devices have the name of the interface before it."""
        if device.startswith("unit"):
            return self.meter_id.replace("{unit}", device.removeprefix("unit"))
        return f"water_{device}" if device in ("tank", "pump") else device

    def interfaces(self) -> list[str]:
        """Return the names of the interfaces."""
        return ["bus", "water"] if self.has_tanks else ["bus"]


def write_conf(conf: Path, setup: Setup, port: int, line: Path, file: Path, outbox: dict[str, Any]) -> None:
    """Write the configuration, as a whole at once: the gateway may be reading it."""
    interfaces: dict[str, Any] = {"bus": _bus(setup, line)}
    if setup.has_tanks:
        interfaces["water"] = {"type": str(TANKS), "file": str(file)}
    document = {
        "name": "gw",
        "mqtt": {"port": port, "reconnect_max": 2},
        "outbox": outbox,
        "root": "home",
        "topics": ["home/heating/+/+/+/+/C", "home/water/+/+/+/+/C"],
        "interfaces": interfaces,
    }
    new = conf.with_suffix(".new")
    new.write_text(json.dumps(document, indent=1))
    new.rename(conf)


def _bus(setup: Setup, line: Path) -> dict[str, Any]:
    number = r"(?P<v>-?[0-9.]+)"
    poll = {
        "name": "probe",
        "every": 0.5,
        "write": "P?",
        "response": {"regex": f"P={number}", "values": {"v": "int"},
                     "message": {"device": "probe", "action": "PROBE", "arguments": {"celsius": "{v}"}}},
    }  # fmt: skip
    return {
        "type": "serial",
        "port": str(line),
        "framing": {"terminator": "\n"},
        "address": {"function": "heating"},
        "conversation": {"timeout": 0.3, "reopen_after": 0, "polls": [poll]},
        "decode": [
            _rule(f"T {number}", "float", "boiler", "TEMPERATURE", "celsius"),
            _rule(f"G {number}", "int", "boiler", "TARGET", "celsius"),
            _rule("H (?P<v>[01])", {"bool": {"true": "1", "false": "0"}}, "boiler", "HEATING", "on"),
            _unit_rule("M", "POWER", "watts"),
            _unit_rule("E", "ENERGY", "kwh"),
        ],
        "encode": [
            {
                "match": {"device": "boiler", "action": "HEAT"},
                "arguments": {"on": {"type": "boolean", "convert": {"bool": {"true": "1", "false": "0"}}}},
                "write": "H{on}",
                "response": {"regex": "H [01]"},
                "refusal": {"regex": "ERR"},
            },
            {
                "match": {"device": "fan", "action": "FAN"},
                "arguments": {"level": {"type": "integer", "minimum": 0, "maximum": 9}},
                "write": "F{level}",
                "response": {"regex": "F [0-9]"},
            },
        ],
        "devices": _devices(setup),
    }


def _rule(regex: str, convert: Any, device: str, action: str, argument: str) -> dict[str, Any]:
    message = {"device": device, "action": action, "arguments": {argument: "{v}"}}
    return {"regex": regex, "values": {"v": convert}, "message": message}


def _unit_rule(letter: str, action: str, argument: str) -> dict[str, Any]:
    message = {"device": "meters", "action": action, "arguments": {"unit": "{unit}", argument: "{v}"}}
    regex = f"{letter} (?P<unit>[0-9]) (?P<v>[0-9]+)"
    return {"regex": regex, "values": {"unit": "int", "v": "int"}, "message": message}


def _devices(setup: Setup) -> list[dict[str, Any]]:
    boiler = {
        setup.temperature_key: {"from": "TEMPERATURE.celsius"},
        "target": {"from": "TARGET.celsius"},
        "heater": {"from": "HEATING.on", "write": "HEAT.on"},
    }
    devices: list[dict[str, Any]] = [
        {"id": "boiler", "address": {"device": "boiler"}, "silent_after": 2, "points": boiler},
        {
            "id": setup.meter_id,
            "address": {"device": "meters"},
            "where": {"unit": "{unit}"},
            "silent_after": setup.meter_silence,
            "points": {"power": {"from": "POWER.watts"}, "total": {"from": "ENERGY.kwh"}},
        },
    ]
    if setup.has_probe:
        devices.append(
            {"id": "probe", "address": {"device": "probe"}, "points": {"celsius": {"from": "PROBE.celsius"}}}
        )
    if setup.has_fan:
        points = {"level": {"write": "FAN.level", "assumed": True}}
        devices.append({"id": "fan", "address": {"device": "fan"}, "points": points})
    return devices
