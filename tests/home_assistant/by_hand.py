"""A device that is published by hand: every kind of entity, fed from one state document, commanded on one topic.

It proves the harness without the gateway, and keeps in one place the smallest configuration of each platform that both
releases take without a warning.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

STATE = "home/boiler/boiler/state"
OUTCOME = "home/boiler/boiler/outcome"
COMMAND = "home/heating//hall/boiler/homeassistant/C"
GATEWAY_ONLINE = "home/boiler/availability"
DEVICE_ONLINE = "home/boiler/boiler/availability"

DEVICE = {
    "identifiers": ["mqttgateway_boiler_boiler"],
    "name": "Boiler",
    "manufacturer": "Example",
    "model": "B1",
    "sw_version": "1.0",
    "suggested_area": "Hall",
    "via_device": "mqttgateway_boiler",
}
GATEWAY = {"identifiers": ["mqttgateway_boiler"], "name": "Gateway boiler", "sw_version": "3.0.0"}
ORIGIN = {"name": "mqttgateway", "sw_version": "3.0.0", "support_url": "https://example.com"}


class Part(NamedTuple):
    """An entity: its key, its platform, its configuration, and the points of the document that it shows."""

    key: str
    platform: str
    config: dict[str, Any]
    points: dict[str, Any]
    state: str  # that results from `points`
    calls: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = ()  # a service, its data, the command


def _get(key: str, missing: str = "") -> str:
    return f"{{{{ value_json.get({key!r}, {missing!r}) }}}}"


def _words(key: str, yes: str, no: str, missing: str = "") -> str:
    return f"{{{{ {{true: {yes!r}, false: {no!r}}}.get(value_json.get({key!r}), {missing!r}) }}}}"


def _send(action: str, **arguments: Any) -> str:
    return json.dumps({"action": action, **arguments})


def _template(action: str, argument: str, value: str) -> str:
    """Return a template of a command whose argument is the template `value`."""
    return _send(action, **{argument: "%"}).replace('"%"', f"{{{{ {value} }}}}")


PARTS = (
    Part("temperature", "sensor", {"device_class": "temperature", "state_class": "measurement",
         "unit_of_measurement": "°C", "value_template": _get("temperature")}, {"temperature": 21.5}, "21.5"),
    Part("phase", "sensor", {"device_class": "enum", "options": ["idle", "burning"],
         "value_template": _get("phase", "None")}, {"phase": "idle"}, "idle"),
    Part("note", "sensor", {"value_template": "{{ value_json.get('note', this.state) }}"}, {"note": "ok"}, "ok"),
    Part("door", "binary_sensor", {"device_class": "door", "value_template": _words("door", "ON", "OFF")},
         {"door": True}, "on"),
    Part("heater", "switch", {"value_template": _words("heater", "ON", "OFF"), "state_on": "ON", "state_off": "OFF",
         "command_topic": COMMAND, "payload_on": _send("HEAT", on=True), "payload_off": _send("HEAT", on=False)},
         {"heater": True}, "on", (("turn_off", {}, {"action": "HEAT", "on": False}),
                                  ("turn_on", {}, {"action": "HEAT", "on": True}))),
    Part("target", "number", {"device_class": "temperature", "unit_of_measurement": "°C", "min": 5, "max": 30,
         "step": 0.5, "mode": "box", "value_template": _get("target"), "command_topic": COMMAND,
         "command_template": _template("TARGET", "celsius", "value")},
         {"target": 20}, "20", (("set_value", {"value": 22.5}, {"action": "TARGET", "celsius": 22.5}),)),
    Part("program", "select", {"options": ["eco", 'a "b"'], "value_template": _get("program"),
         "command_topic": COMMAND, "command_template": _template("PROGRAM", "name", "value | tojson")},
         {"program": "eco"}, "eco", (("select_option", {"option": 'a "b"'}, {"action": "PROGRAM", "name": 'a "b"'}),)),
    Part("label", "text", {"max": 20, "value_template": _get("label", "None"), "command_topic": COMMAND,
         "command_template": _template("LABEL", "text", "value | tojson")},
         {"label": "hello"}, "hello", (("set_value", {"value": "it's <ü>"}, {"action": "LABEL", "text": "it's <ü>"}),)),
    Part("reset", "button", {"command_topic": COMMAND, "payload_press": _send("RESET")}, {}, "unknown",
         (("press", {}, {"action": "RESET"}),)),
    Part("lamp", "light", {"state_topic": STATE, "state_value_template":
         _words("lamp", _send("LAMP", on=True), _send("LAMP", on=False)),
         "payload_on": _send("LAMP", on=True), "payload_off": _send("LAMP", on=False), "command_topic": COMMAND,
         "brightness_state_topic": STATE, "brightness_value_template": _get("brightness"), "brightness_scale": 100,
         "brightness_command_topic": COMMAND, "on_command_type": "last",
         "brightness_command_template": _template("LAMP_LEVEL", "percent", "value")},
         {"lamp": True, "brightness": 50}, "on",
         (("turn_off", {}, {"action": "LAMP", "on": False}), ("turn_on", {}, {"action": "LAMP", "on": True}))),
    Part("blind", "cover", {"device_class": "blind", "command_topic": COMMAND, "payload_open": _send("OPEN"),
         "payload_close": _send("CLOSE"), "payload_stop": _send("STOP"), "position_topic": STATE,
         "position_template": _get("position"), "value_template":
         "{{ ('closed' if value_json['position'] == 0 else 'open') if 'position' in value_json else '' }}",
         "set_position_topic": COMMAND,
         "set_position_template": _template("MOVE", "percent", "position")},
         {"position": 40}, "open",
         (("open_cover", {}, {"action": "OPEN"}), ("stop_cover", {}, {"action": "STOP"}),
          ("set_cover_position", {"position": 70}, {"action": "MOVE", "percent": 70}))),
    Part("gate", "cover", {"device_class": "gate", "command_topic": COMMAND, "payload_open": _send("GATE_OPEN"),
         "payload_close": _send("GATE_CLOSE"), "payload_stop": None, "state_open": "open", "state_closed": "closed",
         "value_template": _words("gate", "open", "closed")},
         {"gate": False}, "closed", (("open_cover", {}, {"action": "GATE_OPEN"}),)),
    Part("room", "climate", {"modes": ["off", "heat"], "temperature_unit": "C", "min_temp": 5, "max_temp": 30,
         "temp_step": 0.5, "mode_state_topic": STATE, "mode_state_template": _words("heating", "heat", "off", "None"),
         "mode_command_topic": COMMAND,
         "mode_command_template": "{{ {'heat': '" + _send("HEATING", on=True) + "', 'off': '"
                                  + _send("HEATING", on=False) + "'}[value] }}",
         "temperature_state_topic": STATE, "temperature_state_template": _get("room_target"),
         "temperature_command_topic": COMMAND, "temperature_command_template": _template("ROOM", "celsius", "value"),
         "current_temperature_topic": STATE, "current_temperature_template": _get("room_now")},
         {"heating": True, "room_target": 20.5, "room_now": 19.0}, "heat",
         (("set_hvac_mode", {"hvac_mode": "off"}, {"action": "HEATING", "on": False}),
          ("set_temperature", {"temperature": 21.5}, {"action": "ROOM", "celsius": 21.5}))),
    Part("water", "valve", {"device_class": "water", "command_topic": COMMAND, "payload_open": _send("WATER", on=True),
         "payload_close": _send("WATER", on=False), "state_open": "open", "state_closed": "closed",
         "value_template": _words("water", "open", "closed")},
         {"water": True}, "open", (("close_valve", {}, {"action": "WATER", "on": False}),)),
    Part("entry", "lock", {"command_topic": COMMAND, "payload_lock": _send("LOCK", on=True),
         "payload_unlock": _send("LOCK", on=False), "state_locked": "LOCKED", "state_unlocked": "UNLOCKED",
         "value_template": _words("locked", "LOCKED", "UNLOCKED")},
         {"locked": True}, "locked", (("unlock", {}, {"action": "LOCK", "on": False}),)),
)  # fmt: skip

# Not fed from the state document.
EVENTS = Part("outcome", "event", {"state_topic": OUTCOME,
              "event_types": ["OK", "REFUSED", "TIMEOUT", "OFFLINE", "ERROR"],
              "value_template": "{{ {'event_type': value_json['response'], 'reason': value_json['reason'],"
                                " 'action': value_json['action']} | tojson }}"}, {}, "")  # fmt: skip


def _availability(part: Part) -> list[dict[str, str]]:
    both = [{"topic": GATEWAY_ONLINE}, {"topic": DEVICE_ONLINE}]
    if not part.points:
        return both
    key = next(iter(part.points))
    bad = f"{{{{ 'offline' if value_json['_quality'].get({key!r}) in ['stale', 'bad'] else 'online' }}}}"
    return [*both, {"topic": STATE, "value_template": bad}]


def _component(part: Part) -> dict[str, Any]:
    return {
        "platform": part.platform,
        "unique_id": f"boiler_boiler_{part.key}",
        "default_entity_id": entity_id(part),
        "name": part.key.capitalize(),
        "availability": _availability(part),
        **part.config,
    }


def entity_id(part: Part) -> str:
    return f"{part.platform}.boiler_{part.key}"


def device_document(parts: tuple[Part, ...] = (*PARTS, EVENTS)) -> dict[str, str]:
    """Return topics and payloads that announce the device in one document, as releases from 2024.11 read it."""
    shared = {"state_topic": STATE, "qos": 1, "availability_mode": "all", "device": DEVICE, "origin": ORIGIN}
    document = {**shared, "components": {part.key: _component(part) for part in parts}}
    gateway = {"device": GATEWAY, "origin": ORIGIN, "components": {"link": {
        "platform": "binary_sensor", "unique_id": "boiler_link", "name": "Link", "device_class": "connectivity",
        "entity_category": "diagnostic", "state_topic": GATEWAY_ONLINE, "payload_on": "online",
        "payload_off": "offline"}}}  # fmt: skip
    return {
        "homeassistant/device/boiler/config": json.dumps(gateway),
        "homeassistant/device/boiler_boiler/config": json.dumps(document),
    }


_WITHOUT_STATE_TOPIC = ("button", "light", "climate")


def component_documents(parts: tuple[Part, ...] = (*PARTS, EVENTS)) -> dict[str, str]:
    """Return topics and payloads that announce the device with a document an entity, as all releases read them."""
    documents = {}
    for part in parts:
        config = {"qos": 1, "availability_mode": "all", "device": DEVICE, "origin": ORIGIN, **_component(part)}
        del config["platform"]
        config["object_id"] = f"boiler_{part.key}"  # before 2025.10
        if part.platform not in _WITHOUT_STATE_TOPIC:
            config.setdefault("state_topic", STATE)
        documents[f"homeassistant/{part.platform}/boiler_boiler/{part.key}/config"] = json.dumps(config)
    return documents


def state_document(*, is_known: bool = True, quality: str = "") -> str:
    """Return the state of all points; with `quality`, that of all points is not good."""
    points = {name: value for part in PARTS for name, value in part.points.items()}
    flaws = dict.fromkeys(points, quality or "unknown") if quality or not is_known else {}
    return json.dumps({**(points if is_known else {}), "_status": "online", "_quality": flaws, "_time": {}})
