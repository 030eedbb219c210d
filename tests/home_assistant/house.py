"""A house: one point of each kind, and entities that are composed of several, as a device that tells KEY=VALUE."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.home_assistant.talker import Talker

GATE = ("open", "closed", "opening", "closing", "moving")  # the last one is no word of a cover


class House(Talker):
    """Reports its values again and again, and takes others: what it is written, it tells back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "house", beat=0.5)
        self.values = {
            "lamp": "0", "level": "40", "dimmer": "0", "gate": "closed", "blind": "30", "valve": "0", "lock": "1",
            "room": "19.5", "target": "21.0", "heat": "off", "scene": "day", "note": "hello", "code": "0",
        }  # fmt: skip

    def tell(self, key: str, value: str) -> None:
        """Tell something at once, such as that the bell was rung."""
        with self._lock:
            if key in self.values:
                self.values[key] = value
            self.line.write_now(f"{key}={value}\n".encode())

    def report(self) -> None:
        for key, value in self.values.items():
            self.line.write_now(f"{key}={value}\n".encode())

    def answer(self, text: str) -> None:
        key, _, value = text.partition("=")
        if key == "gate":
            value = {"up": "open", "down": "closed", "halt": "opening"}[value]
        self.tell(key, value)


class Call(NamedTuple):
    """A service call, the line that reaches the house, and the state and attributes after it."""

    service: str
    entity: str
    data: Mapping[str, Any]
    line: str
    state: str
    attributes: Mapping[str, Any] = {}


ENTITIES: dict[str, tuple[str, dict[str, Any]]] = {
    "light.house_ceiling": ("off", {}),
    "light.house_bedside": ("off", {}),
    "cover.house_drive": ("closed", {"device_class": "gate"}),
    "cover.house_window": ("open", {"current_position": 30}),
    "valve.house_garden": ("closed", {}),
    "lock.house_door": ("locked", {}),
    "climate.house_heating": ("off", {"current_temperature": 19.5, "temperature": 21.0}),
    "select.house_scene": ("day", {}),
    "text.house_note": ("hello", {}),
    "number.house_code": ("0", {"min": 0, "max": 9999}),
    "button.house_restart": ("unknown", {}),
    "event.house_bell": ("unknown", {}),
}

CALLS = (
    Call("light.turn_on", "light.house_ceiling", {}, "lamp=1", "on", {"brightness": 102}),
    Call("light.turn_on", "light.house_ceiling", {"brightness": 204}, "level=80", "on", {"brightness": 204}),
    Call("light.turn_off", "light.house_ceiling", {}, "lamp=0", "off"),
    Call("light.turn_on", "light.house_bedside", {"brightness": 255}, "dimmer=100", "on", {"brightness": 255}),
    Call("light.turn_off", "light.house_bedside", {}, "dimmer=0", "off"),
    Call("cover.open_cover", "cover.house_drive", {}, "gate=up", "open"),
    Call("cover.stop_cover", "cover.house_drive", {}, "gate=halt", "opening"),
    Call("cover.close_cover", "cover.house_drive", {}, "gate=down", "closed"),
    Call("cover.set_cover_position", "cover.house_window", {"position": 70}, "blind=70", "open",
         {"current_position": 70}),
    Call("cover.close_cover", "cover.house_window", {}, "blind=0", "closed"),
    Call("valve.open_valve", "valve.house_garden", {}, "valve=1", "open"),
    Call("lock.unlock", "lock.house_door", {}, "lock=0", "unlocked"),
    Call("lock.lock", "lock.house_door", {}, "lock=1", "locked"),
    Call("climate.set_hvac_mode", "climate.house_heating", {"hvac_mode": "heat"}, "heat=on", "heat"),
    Call("climate.set_temperature", "climate.house_heating", {"temperature": 22.5}, "target=22.5", "heat",
         {"temperature": 22.5}),
    Call("select.select_option", "select.house_scene", {"option": "night"}, "scene=night", "night"),
    Call("text.set_value", "text.house_note", {"value": 'Grüße "<ü>"'}, 'note=Grüße "<ü>"', 'Grüße "<ü>"'),
    Call("number.set_value", "number.house_code", {"value": 42}, "code=42", "42"),
)  # fmt: skip


def write_conf(conf: Path, port: int, line: Path, form: str) -> None:
    """Write the configuration of the gateway."""

    def told(key: str, pattern: str, convert: Any = "text") -> dict[str, Any]:
        message = {"action": key.upper(), "arguments": {"value": "{v}"}}
        return {"regex": f"{key}=(?P<v>{pattern})", "values": {"v": convert}, "message": message}

    def written(key: str, **argument: Any) -> dict[str, Any]:
        match = {"action": f"SET_{key.upper()}"}
        return {
            "match": match,
            "arguments": {"value": argument},
            "write": f"{key}={{value}}",
            "response": {"regex": f"{key}=.*"},
        }

    on = {"bool": {"true": "1", "false": "0"}}
    boolean: dict[str, Any] = {"type": "boolean", "convert": on}
    percent = {"type": "integer", "minimum": 0, "maximum": 100}
    interface = {
        "type": "serial",
        "port": str(line),
        "framing": {"terminator": "\n"},
        "address": {"function": "house", "device": "house"},
        "conversation": {"timeout": 0.5, "reopen_after": 0},
        "decode": [
            told("lamp", "[01]", on), told("level", "[0-9]+", "int"), told("dimmer", "[0-9]+", "int"),
            told("gate", "|".join(GATE), {"enum": {word: word for word in GATE}}),
            told("blind", "[0-9]+", "int"), told("valve", "[01]", on), told("lock", "[01]", on),
            told("room", "[0-9.]+", "float"), told("target", "[0-9.]+", "float"),
            told("heat", "on|off", {"bool": {"true": "on", "false": "off"}}),
            told("scene", "day|night", {"enum": {"day": "day", "night": "night"}}), told("note", ".*"),
            told("code", "[0-9]+", "int"),
            {"regex": "bell=(?P<v>short|long)", "values": {"v": {"enum": {"short": "short", "long": "long"}}},
             "message": {"action": "BELL", "arguments": {"value": "{v}"}}},
        ],
        "encode": [
            written("lamp", **boolean), written("level", **percent), written("dimmer", **percent),
            *({"match": {"action": f"GATE_{word.upper()}"}, "write": f"gate={line}", "response": {"regex": "gate=.*"}}
              for word, line in (("open", "up"), ("close", "down"), ("stop", "halt"))),
            written("blind", **percent), written("valve", **boolean), written("lock", **boolean),
            written("target", type="number", minimum=5, maximum=30),
            written("heat", type="boolean", convert={"bool": {"true": "on", "false": "off"}}),
            written("scene", choices=["day", "night"]),
            written("note", pattern=".*", max_length=100),
            written("code", type="integer", minimum=0, maximum=9999),
            {"match": {"action": "RESTART"}, "write": "restart=1"},
        ],
        "devices": [{"id": "house", "name": "House", "points": {
            "lamp": {"from": "LAMP.value", "write": "SET_LAMP.value"},
            "level": {"from": "LEVEL.value", "write": "SET_LEVEL.value"},
            "dimmer": {"from": "DIMMER.value", "write": "SET_DIMMER.value"},
            "gate": {"from": "GATE.value"},
            "gate_command": {"write": {"GATE_OPEN": "open", "GATE_CLOSE": "close", "GATE_STOP": "stop"}},
            "blind": {"from": "BLIND.value", "write": "SET_BLIND.value"},
            "valve": {"from": "VALVE.value", "write": "SET_VALVE.value"},
            "lock": {"from": "LOCK.value", "write": "SET_LOCK.value"},
            "room": {"from": "ROOM.value", "unit": "°C", "class": "temperature"},
            "target": {"from": "TARGET.value", "write": "SET_TARGET.value", "unit": "°C", "class": "temperature"},
            "heat": {"from": "HEAT.value", "write": "SET_HEAT.value"},
            "scene": {"from": "SCENE.value", "write": "SET_SCENE.value"},
            "note": {"from": "NOTE.value", "write": "SET_NOTE.value"},
            "code": {"from": "CODE.value", "write": "SET_CODE.value"},
            "bell": {"from": "BELL.value", "type": "event", "choices": ["short", "long"]},
            "restart": {"write": "RESTART"},
        }}],
    }  # fmt: skip
    entities = {
        "ceiling": {"platform": "light", "state": "lamp", "brightness": "level"},
        "bedside": {"platform": "light", "brightness": "dimmer"},
        "drive": {
            "platform": "cover", "class": "gate", "state": "gate",
            "open": {"point": "gate_command", "value": "open"},
            "close": {"point": "gate_command", "value": "close"},
            "stop": {"point": "gate_command", "value": "stop"},
        },
        "window": {"platform": "cover", "position": "blind"},
        "garden": {"platform": "valve", "state": "valve"},
        "door": {"platform": "lock", "state": "lock"},
        "heating": {"platform": "climate", "mode": "heat", "temperature": "target", "current_temperature": "room"},
    }  # fmt: skip
    document = {
        "name": "home",
        "mqtt": {"port": port},
        "root": "home",
        "topics": ["home/house/#"],
        "home_assistant": {"form": form, "entities": {"house": entities}},
        "interface": interface,
    }
    conf.write_text(json.dumps(document, indent=1))
