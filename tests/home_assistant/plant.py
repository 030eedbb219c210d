"""The boiler of docs/devices.md, as a device behind a pseudo-terminal, and the configuration that reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.home_assistant.talker import Talker

SILENT_AFTER = 3  # s


class Boiler(Talker):
    """Reports its temperature and its gate again and again, answers commands, and can refuse them or become silent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "boiler", beat=0.3)
        self.temperature = 21.5
        self.is_heating = False
        self.refuses = False
        self.is_silent = False

    def report(self) -> None:
        if self.is_silent:
            return
        for line in f"T {self.temperature}", f"H{int(self.is_heating)}", "GC", "L 40", "M eco":
            self.line.write_now(line.encode() + b"\n")

    def answer(self, text: str) -> None:
        if self.is_silent:
            return
        if self.refuses:
            self.line.write_now(b"ERR\n")
            return
        if text in ("H0", "H1"):
            self.is_heating = text == "H1"
        if text in ("H0", "H1") or text.startswith("S"):
            self.line.write_now(text.encode() + b"\n")

    def restart_after(self, beginning: str, boot: str) -> None:
        """Begin a line, restart before its end, and tell so."""
        with self._lock:
            self.line.write_now(beginning.encode())
            self.line.write_now(boot.encode())


_CELSIUS, _NUMBER = r"(?P<v>-?\d+\.\d)", r"(?P<v>-?[0-9.]+)"


def _reading(regex: str, action: str, argument: str, convert: Any) -> dict[str, Any]:
    return {"regex": regex, "values": {"v": convert}, "message": {"action": action, "arguments": {argument: "{v}"}}}


def points() -> dict[str, dict[str, Any]]:
    """Return the points of the boiler: one of each kind that a serial device has."""
    return {
        "temperature": {"from": "TEMPERATURE.celsius", "unit": "°C", "class": "temperature"},
        "heater": {"from": "HEATING.on", "write": "HEAT.on"},
        "gate": {"from": {"GATE_OPEN": True, "GATE_CLOSED": False}, "class": "opening"},
        "level": {"from": "LEVEL.percent", "unit": "%"},
        "mode": {"from": "MODE.name"},
        "setpoint": {"write": "SETPOINT.celsius", "unit": "°C", "assumed": True},
    }


# What results: the entity, and the attributes that it must have.
ENTITIES: dict[str, tuple[str, dict[str, Any]]] = {
    "sensor.boiler_temperature": ("21.5", {"unit_of_measurement": "°C", "device_class": "temperature"}),
    "switch.boiler_heater": ("off", {}),
    "binary_sensor.boiler_gate": ("off", {"device_class": "opening"}),
    "sensor.boiler_level": ("40", {"unit_of_measurement": "%"}),
    "sensor.boiler_mode": ("eco", {}),
    "number.boiler_setpoint": ("unknown", {"unit_of_measurement": "°C", "min": 5, "max": 30}),
}


def write_conf(conf: Path, port: int, line: Path, its_points: dict[str, dict[str, Any]], form: str = "device") -> None:
    """Write the configuration of the gateway, as a whole at once: the gateway may be reading it."""
    on = {"bool": {"true": "1", "false": "0"}}
    interface = {
        "type": "serial",
        "port": str(line),
        "framing": {"terminator": "\n"},
        "address": {"function": "heating", "location": "hall", "device": "boiler"},
        "conversation": {"timeout": 0.5, "reopen_after": 0},
        "decode": [
            _reading(f"T {_CELSIUS}", "TEMPERATURE", "celsius", "float"),
            _reading("H(?P<v>[01])", "HEATING", "on", on),
            _reading(f"L {_NUMBER}", "LEVEL", "percent", "int"),
            _reading("M (?P<v>[a-z]+)", "MODE", "name", "lower"),
            {"regex": "GO", "message": {"action": "GATE_OPEN"}},
            {"regex": "GC", "message": {"action": "GATE_CLOSED"}},
        ],
        "encode": [
            {
                "match": {"action": "HEAT"},
                "arguments": {"on": {"type": "boolean", "convert": on}},
                "write": "H{on}",
                "response": {"regex": "H[01]"},
                "refusal": {"regex": "ERR"},
            },
            {
                "match": {"action": "SETPOINT"},
                "arguments": {"celsius": {"type": "number", "minimum": 5, "maximum": 30}},
                "write": "S{celsius}",
                "response": {"regex": "S[0-9.]+"},
                "refusal": {"regex": "ERR"},
            },
        ],
        "devices": [
            {"id": "boiler", "name": "Boiler", "area": "Hall", "silent_after": SILENT_AFTER, "points": its_points}
        ],
    }
    document = {
        "name": "boiler",
        "mqtt": {"port": port, "reconnect_max": 2},
        "root": "home",
        "topics": ["home/heating/+/hall/+/+/C"],
        "home_assistant": True if form == "device" else {"form": form},
        "interface": interface,
    }
    new = conf.with_suffix(".new")
    new.write_text(json.dumps(document, indent=1))
    new.rename(conf)
