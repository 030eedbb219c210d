"""What entity each point is, and what is refused with a remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.devices.point import Device, Feed, Point, PointType, Write
from gateway.errors import Problem
from gateway.integrations.homeassistant.commands import CommandWriter
from gateway.integrations.homeassistant.entities import Entity, entities_of, outcome_entity, slug
from gateway.integrations.homeassistant.parts import Topics
from gateway.message import Argument
from gateway.translation.mqtt_map import MsgMap
from tests.integrations.homeassistant.rendering import commanded, rendered

TOPICS = Topics("home/gw/d/state", "home/gw/d/outcome", "home/gw/d/event")
COMMANDS = "home/f//l/d/homeassistant/C"
READ = (Feed("READ", "v"),)
WRITE = (Write("SET", "v"),)
PLAIN_MAP = MsgMap("home", ["home/#"], sender="gw")


def found(
    *points: Point, options: Mapping[str, Mapping[str, Any]] | None = None, is_old: bool = False
) -> tuple[dict[str, Entity], list[Problem]]:
    device = Device("d", points, address={"function": "f", "location": "l", "device": "d"})
    writer = CommandWriter(PLAIN_MAP, device, {})
    entities, problems = entities_of(device, writer, TOPICS, options or {}, is_old=is_old)
    assert len({entity.key for entity in entities}) == len(entities)
    return {entity.key: entity for entity in entities}, problems


def entity_of(point: Point, **options: Any) -> Entity:
    entities, problems = found(point, options={point.key: options} if options else {})
    assert problems == []
    return entities[point.key]


def problem_of(*points: Point, **options: Any) -> tuple[str, str]:
    """Return what is wrong, and the remedy, with the entity `x`, or with the point of that name."""
    entities, problems = found(*points, options={"x": options})
    assert "x" not in entities
    (problem,) = (problem for problem in problems if problem.path == ("x",))
    assert problem.remedy
    return problem.what, problem.remedy


def states(entity: Entity, *documents: Mapping[str, Any], template: str = "value_template") -> list[str]:
    return [rendered(entity.config[template], document) for document in documents]


def point(kind: str, *, key: str = "x", **more: Any) -> Point:
    directions = {"feeds": READ, **more}
    return Point(key, PointType(kind), **directions)


# --- one point


def test_a_boolean_is_a_binary_sensor_or_a_switch() -> None:
    read = entity_of(point("boolean", device_class="door"))
    assert (read.platform, read.config["device_class"], read.config["state_topic"]) == (
        "binary_sensor",
        "door",
        TOPICS.state,
    )
    assert states(read, {"x": True}, {"x": False}, {}) == ["ON", "OFF", "None"]
    assert "message_expiry_interval" not in read.config and read.commands == ()
    switch = entity_of(point("boolean", writes=WRITE))
    assert switch.platform == "switch"
    assert switch.config["command_topic"] == COMMANDS
    assert switch.config["payload_on"] == '{"action": "SET", "v": true}'
    assert switch.config["payload_off"] == '{"action": "SET", "v": false}'
    assert (switch.config["state_on"], switch.config["state_off"]) == ("ON", "OFF")
    assert switch.config["message_expiry_interval"] == 10
    assumed = entity_of(point("boolean", feeds=(), writes=WRITE))
    assert assumed.platform == "switch" and "state_topic" not in assumed.config and assumed.points == ()


def test_a_boolean_of_two_actions_is_a_switch_with_plain_payloads() -> None:
    gate = entity_of(point("boolean", writes=(Write("OPEN", None, True), Write("CLOSE", None, False))))
    assert (gate.config["payload_on"], gate.config["payload_off"]) == ("OPEN", "CLOSE")


@pytest.mark.parametrize("kind", ["number", "integer"])
def test_a_number_is_a_sensor_or_a_number(kind: str) -> None:
    sensor = entity_of(point(kind, unit="°C", device_class="temperature"), precision=1)
    assert sensor.platform == "sensor"
    assert sensor.config["unit_of_measurement"] == "°C" and sensor.config["device_class"] == "temperature"
    assert sensor.config["state_class"] == "measurement" and sensor.config["suggested_display_precision"] == 1
    assert states(sensor, {"x": 21.5}, {}) == ["21.5", "None"]
    number = entity_of(point(kind, writes=WRITE, minimum=5, maximum=30, unit="°C"))
    assert number.platform == "number"
    assert (number.config["min"], number.config["max"]) == (5, 30)
    assert number.config["step"] == (1 if kind == "integer" else 0.1)
    assert states(number, {"x": 21}, {"x": 31}, {}) == ["21", "None", ""]
    assert number.config["command_template"] == '{"action": "SET", "v": {{ value }}}'
    assert entity_of(point(kind, writes=WRITE), step=2).config["step"] == 2


@pytest.mark.parametrize(
    ("unit", "device_class"), [("µg/m³", "pm25"), ("\u03bcg/m³", "pm25"), ("VAr", "reactive_power")]
)
def test_a_unit_that_home_assistant_takes_for_another_is_accepted(unit: str, device_class: str) -> None:
    assert entity_of(point("number", unit=unit, device_class=device_class)).config["unit_of_measurement"] == unit


def test_an_angle_has_degrees() -> None:
    angle = entity_of(point("number", unit="°"), state_class="measurement_angle")
    assert angle.config["state_class"] == "measurement_angle"


def test_a_choice_is_a_sensor_with_options_or_a_select() -> None:
    sensor = entity_of(point("choice", choices=("low", "high")))
    assert (sensor.platform, sensor.config["device_class"]) == ("sensor", "enum")
    assert sensor.config["options"] == ["low", "high"] and "state_class" not in sensor.config
    assert states(sensor, {"x": "low"}, {}) == ["low", "None"]
    select = entity_of(point("choice", choices=(1, 2.5), writes=WRITE))
    assert (select.platform, select.config["options"]) == ("select", ["1", "2.5"])
    assert states(select, {"x": 1}, {"x": 2.5}, {"x": 3}, {}) == ["1", "2.5", "None", "None"]
    (command,) = select.commands
    assert command.template.twin("2.5") == '{"action": "SET", "v": 2.5}'


@pytest.mark.parametrize(
    "writes",
    [
        (Write("SET", "v", choices=("open", "closed")),),
        (Write("OPEN", None, "open"), Write("CLOSE", None, "closed")),
    ],
)
def test_a_value_that_is_only_reported_is_no_option(writes: tuple[Write, ...]) -> None:
    gate = entity_of(point("choice", choices=("open", "closed", "moving"), writes=writes))
    assert gate.config["options"] == ["open", "closed"]
    assert states(gate, {"x": "open"}, {"x": "moving"}, {}) == ["open", "None", "None"]
    never = point("choice", choices=("moving",), writes=writes)
    assert problem_of(never)[0] == "no command of the point x sets one of its values"


def test_a_text_is_a_sensor_or_a_text() -> None:
    sensor = entity_of(point("text"))
    assert sensor.platform == "sensor" and "state_class" not in sensor.config
    assert states(sensor, {"x": "a" * 300}, {}) == ["a" * 255, "None"]
    text = entity_of(point("text", writes=WRITE))
    assert text.platform == "text"
    assert states(text, {"x": "hello"}) == ["hello"]
    (command,) = text.commands
    assert command.template.twin('it\'s "x"') == '{"action": "SET", "v": "it\'s \\"x\\""}'


def test_a_text_that_is_no_time_is_unknown_for_a_class_of_times() -> None:
    for device_class, time in (("timestamp", "2026-12-01T00:00:00Z"), ("date", "2026-12-01")):
        sensor = entity_of(point("text", device_class=device_class))
        assert states(sensor, {"x": time}, {"x": "2020-11-30T11:50:33"}, {"x": "never"}, {}) == [time, *["None"] * 3]


def test_an_event_is_an_event_or_a_button() -> None:
    event = entity_of(point("event", choices=("short", "long")))
    assert (event.platform, event.config["event_types"]) == ("event", ["short", "long"])
    assert event.config["state_topic"] == TOPICS.event and event.points == ()
    assert entity_of(point("event")).config["event_types"] == ["received"]
    known = (Feed("BELL", None, "ring"), Feed("KNOCK", None, "knock"))
    assert entity_of(point("event", feeds=known)).config["event_types"] == ["ring", "knock"]
    mixed = entity_of(point("event", feeds=(*known, *READ)))
    assert mixed.config["event_types"] == ["received"], "it can be any other one"
    button = entity_of(point("event", feeds=(), writes=(Write("HALT", None),)))
    assert (button.platform, button.config["payload_press"]) == ("button", "HALT")
    assert "state_topic" not in button.config


def test_options_of_a_point_change_its_entity() -> None:
    entity = entity_of(
        point("boolean", name="Its name"), name="Mine", icon="mdi:fan", category="diagnostic", enabled=False
    )
    assert entity.config["name"] == "Mine" and entity.config["icon"] == "mdi:fan"
    assert entity.config["entity_category"] == "diagnostic" and entity.config["enabled_by_default"] is False
    assert entity_of(point("boolean", name="Its name")).config["name"] == "Its name"
    assert entity_of(point("boolean", key="flow_rate")).config["name"] == "Flow rate"
    assert found(point("boolean"), options={"x": {"hidden": True}}) == ({}, [])
    assert entity_of(point("number"), state_class="none").config.get("state_class") is None


@pytest.mark.parametrize(
    ("kind", "more", "options", "expected"),
    [
        ("boolean", {"device_class": "dor"}, {}, "'dor' is no class of a binary sensor of Home Assistant"),
        ("boolean", {"device_class": "door", "writes": WRITE}, {}, "'door' is no class of a switch"),
        ("number", {"unit": "bar"}, {"class": "temperature"}, "the class temperature does not have the unit 'bar'"),
        ("number", {"device_class": "energy"}, {}, "the class energy needs a unit"),
        ("number", {"unit": "kWh", "device_class": "energy"}, {"state_class": "measurement"},
         "the class energy does not have the state class measurement"),
        ("number", {"device_class": "timestamp"}, {}, "the class timestamp is for times as texts"),
        ("text", {"device_class": "temperature"}, {}, "the class temperature is for numbers"),
        ("text", {}, {"state_class": "total"}, "the option state_class is for numbers"),
        ("choice", {}, {}, "the choices of the point x are not known"),
        ("choice", {"choices": (1, "1")}, {}, "two choices of the point x are shown alike"),
        ("choice", {"choices": (1, True)}, {}, "two choices of the point x are shown alike"),
        ("choice", {"choices": (1, 1.0)}, {}, "two choices of the point x are shown alike"),
        ("choice", {"choices": ("a", "")}, {}, "'' is empty, or has blanks at its ends"),
        ("choice", {"choices": ("a", "b\n"), "writes": WRITE}, {}, "'b\\n' is empty, or has blanks at its ends"),
        ("choice", {"choices": ("a" * 256,)}, {}, "'aaaaaaaaaaaaaaaaaaaa'... has 256 characters"),
        ("number", {"unit": "m", "device_class": "distance"}, {"state_class": "measurement_angle"},
         "the state class measurement_angle does not have the unit 'm'"),
        ("number", {}, {"state_class": "measurement_angle"}, "the state class measurement_angle does not have"),
        ("integer", {"writes": WRITE}, {"step": 0.5}, "the point x takes whole numbers, but the step is 0.5"),
        ("choice", {"choices": ("a",)}, {"class": "temperature"}, "a choice has no class"),
        ("choice", {"choices": ("a",)}, {"precision": 1}, "the option precision means nothing for this sensor"),
        ("number", {"writes": WRITE, "minimum": 5, "maximum": 5}, {}, "its smallest value is 5, and its largest 5"),
        ("number", {"writes": WRITE}, {"precision": 1}, "the option precision means nothing for this number"),
        ("number", {}, {"step": 1}, "the option step means nothing for this sensor"),
        ("boolean", {}, {"category": "config"}, "nothing is written by it"),
        ("boolean", {}, {"platform": "light", "state": "x"}, "it has the option platform of an entity that is"),
        ("boolean", {}, {"brightness": "x"}, "it has the option brightness of an entity that is composed"),
        ("boolean", {"writes": (Write("OPEN", None, True),)}, {}, "no command of the point x sets it to False"),
        ("number", {"writes": (Write("ONE", None, 1),)}, {}, "its commands have no argument for a value"),
        ("event", {"feeds": (), "writes": WRITE}, {}, "it is not known which value it writes"),
    ],
)  # fmt: skip
def test_mistakes_with_a_point_are_refused_with_a_remedy(
    kind: str, more: Mapping[str, Any], options: Mapping[str, Any], expected: str
) -> None:
    what, _ = problem_of(point(kind, **more), **options)
    assert what.startswith(expected), what


# --- several points

POWER = point("boolean", key="power", writes=WRITE)
LEVEL = point("integer", key="level", writes=(Write("DIM", "n"),), minimum=0, maximum=100)
WARMTH = point("integer", key="warmth", writes=(Write("WARM", "k"),), minimum=2700, maximum=6500)
EFFECT = point("choice", key="effect", writes=(Write("EFFECT", "e"),), choices=("calm", "party"))
HALT = point("event", key="halt", feeds=(), writes=(Write("HALT", None),))
MOVE = point("choice", key="move", choices=("open", "closed"), writes=(Write("UP", None, "open"),
                                                                       Write("DOWN", None, "closed")))  # fmt: skip
MODE = point("choice", key="mode", choices=("off", "heat", "cool"), writes=(Write("MODE", "m"),))
TARGET = point("number", key="target", writes=(Write("TARGET", "c"),), minimum=5, maximum=30, unit="°C")
MEASURED = point("number", key="measured", unit="°C")
HUMIDITY = point("number", key="humidity", unit="%")
BURNS = point("boolean", key="burns")
FAN = point("choice", key="fan", choices=("low", "high"), writes=(Write("FAN", "f"),))
LOCKED = point("boolean", key="locked", writes=(Write("LOCK", None, True), Write("UNLOCK", None, False)))
VALVE_AT = LEVEL._replace(key="at")
ALL = (
    POWER, LEVEL, WARMTH, EFFECT, HALT, MOVE, MODE, TARGET, MEASURED, HUMIDITY, BURNS, FAN, LOCKED, VALVE_AT
)  # fmt: skip


def composed(**options: Any) -> Entity:
    entities, problems = found(*ALL, options={"x": options})
    assert problems == []
    used = {value if isinstance(value, str) else value["point"]
            for name, value in options.items() if name not in ("platform", "class", "name")}  # fmt: skip
    assert set(entities) == {"x", *(point.key for point in ALL)} - used, "its points are no entities of their own"
    return entities["x"]


def test_a_light_has_all_roles() -> None:
    light = composed(platform="light", state="power", brightness="level", color_temperature="warmth", effect="effect")
    on, off = '{"action": "SET", "v": true}', '{"action": "SET", "v": false}'
    assert light.platform == "light" and (light.config["payload_on"], light.config["payload_off"]) == (on, off)
    assert states(light, {"power": True}, {"power": False}, {}, template="state_value_template") == [on, off, "None"]
    assert light.config["brightness_scale"] == 100
    assert light.config["brightness_command_template"] == '{"action": "DIM", "n": {{ value }}}'
    assert (light.config["min_kelvin"], light.config["max_kelvin"]) == (2700, 6500)
    assert light.config["effect_list"] == ["calm", "party"]
    assert states(light, {"effect": "party"}, {}, template="effect_value_template") == ["party", ""]
    assert light.points == ("power", "level", "warmth", "effect")
    assert len(light.commands) == 5


def test_old_releases_have_a_colour_temperature_in_mireds() -> None:
    """They do not know that it can be in kelvin, and would take 2700 for mireds, and send 370."""
    options = {"x": {"platform": "light", "state": "power", "color_temperature": "warmth"}}
    entities, problems = found(POWER, WARMTH, options=options, is_old=True)
    light = entities["x"]
    assert not problems and not {"color_temp_kelvin", "min_kelvin", "max_kelvin"} & set(light.config)
    assert (light.config["min_mireds"], light.config["max_mireds"]) == (154, 370)
    documents: list[dict[str, int]] = [{"warmth": 2700}, {"warmth": 6500}, {"warmth": 0}, {}]
    assert states(light, *documents, template="color_temp_value_template") == ["370", "154", "", ""]
    sent = [commanded(light.config["color_temp_command_template"], mireds) for mireds in (154, 250, 370)]
    assert sent == [f'{{"action": "WARM", "k": {kelvin}}}' for kelvin in (6494, 4000, 2703)]
    command = light.commands[-1]
    assert [command.template.twin(mireds) for mireds in (154, 250, 370)] == sent
    assert [msg.arguments["k"] for _, msg in command.probes] == [6494, 2703]
    warm, cold = (commanded(light.config["color_temp_command_template"], mireds) for mireds in (1000, 1))
    assert ("2700" in warm) and ("6500" in cold), "never out of its range"


def test_a_light_shows_an_effect_that_only_the_device_can_choose() -> None:
    effect = EFFECT._replace(writes=(Write("EFFECT", "e", choices=("calm",)),))
    options = {"x": {"platform": "light", "state": "power", "effect": "effect"}}
    entities, problems = found(POWER, effect, options=options)
    assert problems == [] and entities["x"].config["effect_list"] == ["calm"]
    shown = states(entities["x"], {"effect": "calm"}, {"effect": "party"}, template="effect_value_template")
    assert shown == ["calm", "party"]


def test_a_light_may_have_only_a_brightness() -> None:
    light = composed(platform="light", brightness="level")
    off = '{"action": "DIM", "n": 0}'
    assert light.config["payload_off"] == off and light.config["on_command_type"] == "brightness"
    assert states(light, {"level": 3}, {"level": 0}, template="state_value_template") == ["ON", off]


def test_a_cover_moves_by_its_state_or_by_its_position() -> None:
    by_state = composed(platform="cover", state="move", stop="halt", **{"class": "gate"})
    assert by_state.config["device_class"] == "gate"
    payloads = [by_state.config[f"payload_{name}"] for name in ("open", "close", "stop")]
    assert payloads == ["UP", "DOWN", "HALT"]
    assert states(by_state, {"move": "open"}, {"move": "closed"}, {}) == ["open", "closed", "None"]
    by_position = composed(platform="cover", position="level")
    assert by_position.config["payload_open"] == '{"action": "DIM", "n": 100}'
    assert by_position.config["payload_close"] == '{"action": "DIM", "n": 0}'
    assert by_position.config["payload_stop"] is None, "there is no button for it"
    assert (by_position.config["position_closed"], by_position.config["position_open"]) == (0, 100)
    assert "state_topic" not in by_position.config, "it would have to understand each document"


def test_a_cover_has_words_of_its_own_for_its_values() -> None:
    entity = composed(platform="cover", state={"point": "power", "values": {"open": False, "closed": True}})
    assert states(entity, {"power": False}, {"power": True}) == ["open", "closed"]
    assert entity.config["payload_open"] == '{"action": "SET", "v": false}'


@pytest.mark.parametrize(
    ("platform", "words", "of_old"),
    [
        ("cover", {"open": "calm", "closed": "party"}, ""),
        ("valve", {"open": "calm", "closed": "party"}, ""),
        ("lock", {"UNLOCKED": "calm", "LOCKED": "party"}, "None"),
    ],
)
def test_a_value_that_is_no_word_of_the_entity_is_unknown(platform: str, words: dict[str, str], of_old: str) -> None:
    """A garage door that moves is not closed any more. Old releases would warn of each such document of a cover."""
    options = {"x": {"platform": platform, "state": {"point": "effect", "values": words}}}
    for is_old, unknown in ((False, "None"), (True, of_old)):
        entities, problems = found(*ALL, options=options, is_old=is_old)
        assert problems == []
        shown = states(entities["x"], {"effect": "party"}, {"effect": "moving"}, {})
        assert shown == [list(words)[1], unknown, unknown]


def test_a_valve_has_a_state_or_a_position() -> None:
    by_state = composed(platform="valve", state="power", **{"class": "water"})
    assert states(by_state, {"power": True}, {"power": False}) == ["open", "closed"]
    by_position = composed(platform="valve", position="at", stop="halt")
    assert by_position.config["reports_position"] is True and by_position.config["payload_stop"] == "HALT"
    assert states(by_position, {"at": 5}, {}) == ["5", ""]


def test_a_lock_locks_and_unlocks() -> None:
    lock = composed(platform="lock", state="locked", open="halt")
    assert [lock.config[f"payload_{name}"] for name in ("lock", "unlock", "open")] == ["LOCK", "UNLOCK", "HALT"]
    assert states(lock, {"locked": True}, {"locked": False}) == ["LOCKED", "UNLOCKED"]
    alone = composed(platform="lock", lock={"point": "power", "value": True}, unlock={"point": "power", "value": False})
    assert alone.config["payload_lock"] == '{"action": "SET", "v": true}' and "state_topic" not in alone.config


def test_a_thermostat_has_all_roles() -> None:
    climate = composed(
        platform="climate", mode="mode", temperature="target", current_temperature="measured",
        current_humidity="humidity", action="burns", fan_mode="fan",
        preset_mode={"point": "effect", "values": {"eco": "calm", "boost": "party"}},
    )  # fmt: skip
    config = climate.config
    assert config["modes"] == ["off", "heat", "cool"]
    assert (config["min_temp"], config["max_temp"], config["temp_step"]) == (5, 30, 0.5)
    assert config["temperature_unit"] == "C" and config["fan_modes"] == ["low", "high"]
    assert config["preset_modes"] == ["eco", "boost"]
    assert states(climate, {"burns": True}, {"burns": False}, template="action_template") == ["heating", "idle"]
    assert states(climate, {"effect": "calm"}, template="preset_mode_value_template") == ["eco"]
    bare = point("number", key="target", writes=WRITE)
    entities, _ = found(MODE, bare, options={"x": {"platform": "climate", "mode": "mode", "temperature": "target"}})
    assert not {"min_temp", "max_temp"} & set(entities["x"].config), "those of Home Assistant"


def test_a_thermostat_may_have_a_value_for_the_preset_that_home_assistant_adds_by_itself() -> None:
    """It lists `none` with the presets of each thermostat, and refuses a list that has it already."""
    preset = {"point": "effect", "values": {"none": "calm", "boost": "party"}}
    entities, problems = found(*ALL, options={"x": {"platform": "climate", "mode": "mode", "preset_mode": preset}})
    assert problems == [] and entities["x"].config["preset_modes"] == ["boost"]
    shown = states(entities["x"], {"effect": "calm"}, {"effect": "party"}, template="preset_mode_value_template")
    assert shown == ["none", "boost"]
    (command,) = (each for each in entities["x"].commands if "EFFECT" in each.template.text)
    assert command.template.twin("none") == '{"action": "EFFECT", "e": "calm"}'


def test_the_mode_of_a_thermostat_is_never_unknown_for_old_releases() -> None:
    """Each document without a mode would be an error in their log."""
    options = {"x": {"platform": "climate", "mode": "mode"}}
    for is_old, unknown in ((True, "off"), (False, "None")):
        entities, _ = found(MODE, options=options, is_old=is_old)
        assert states(entities["x"], {}, template="mode_state_template") == [unknown]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "the device has no point 'x'"),
        ({"platform": "light"}, "it needs the option state, or brightness"),
        ({"platform": "light", "state": "pwr"}, "the device has no point 'pwr' for state"),
        ({"platform": "light", "state": "level"}, "the point level for state has the type integer, not boolean"),
        ({"platform": "light", "state": "burns"}, "no command of the point burns sets it to True"),
        ({"platform": "light", "brightness": "warmth"}, "0 of warmth means off, but its smallest value is another"),
        ({"platform": "light", "state": "power", "brightness": "target2"}, "the range of the point target2 is not"),
        ({"platform": "light", "state": "power", "position": "level"}, "the option position means nothing for this"),
        ({"platform": "light", "state": "power", "class": "gate"}, "a light has no class"),
        ({"platform": "light", "brightness": {"point": "level", "value": 5}}, "value means nothing for brightness"),
        ({"platform": "light", "state": "power", "step": 1}, "the option step means nothing for this light"),
        ({"platform": "light", "state": "power", "effect": "unknown"}, "the choices of the point unknown are not"),
        ({"platform": "light", "state": {"point": "power", "values": {"on": False}}}, "values means nothing for state"),
        ({"platform": "light", "state": "power", "brightness": "below"}, "the point below begins at -10"),
        ({"platform": "light", "state": "power", "brightness": "tens"}, "Home Assistant sends each brightness from 1"),
        ({"platform": "light", "state": "power", "color_temperature": "below"}, "the point below begins at -10"),
        ({"platform": "cover", "position": "unread"}, "the point unread for position is never read"),
        ({"platform": "cover", "state": {"point": "move", "value": "open"}}, "value means nothing for state"),
        ({"platform": "cover", "position": {"point": "level", "values": {"open": 1}}}, "values means nothing for posi"),
        ({"platform": "climate", "mode": "mode", "temperature": "level", "step": 0.5}, "the point level takes whole"),
        ({"platform": "climate", "mode": "mode", "temperature": "upside"}, "its lowest temperature is 5, and its high"),
        ({"platform": "climate", "mode": "mode", "temperature": "open"}, "only one end of the range of open is known"),
        ({"platform": "climate", "mode": "mode", "fan_mode": {"point": "fan", "values": {" low": "low"}}},
         "' low' is empty, or has blanks at its ends"),
        ({"platform": "cover"}, "it needs the option state, or position"),
        ({"platform": "cover", "position": "target2"}, "the range of the point target2 is not known"),
        ({"platform": "cover", "position": "half"}, "the point half goes from 0 to 0.5"),
        ({"platform": "cover", "state": "effect"}, "no value of effect is one of its words"),
        ({"platform": "cover", "state": {"point": "move", "values": {"opened": "open"}}}, "'opened' is no state of it"),
        ({"platform": "cover", "state": {"point": "move", "values": {"open": "opn"}}}, "'opn' is no value of the po"),
        ({"platform": "cover", "state": {"point": "power", "values": {"open": 1}}}, "1 is no value of the point pow"),
        ({"platform": "cover", "state": "move", "class": "door2"}, "'door2' is no class of a cover"),
        ({"platform": "cover", "state": "move", "stop": "level"}, "it is not known which value it writes"),
        ({"platform": "valve", "position": "at", "open": "halt"}, "the option open means nothing for this valve"),
        ({"platform": "lock", "state": "burns"}, "nothing locks it"),
        ({"platform": "climate", "temperature": "target"}, "it needs the option mode"),
        ({"platform": "climate", "mode": "halt"}, "the point halt for mode has the type event"),
        ({"platform": "climate", "mode": "mode", "current_temperature": "unread"}, "the point unread for current_temp"),
        ({"platform": "climate", "mode": "mode", "fan_mode": {"point": "fan", "values": {"slow": "slw"}}},
         "'slw' is no value of the point fan"),
    ],
)  # fmt: skip
def test_mistakes_with_several_points_are_refused_with_a_remedy(options: Mapping[str, Any], expected: str) -> None:
    more = (
        point("number", key="target2", writes=WRITE),
        point("number", key="half", writes=WRITE, minimum=0, maximum=0.5),
        point("number", key="unread", feeds=(), writes=WRITE),
        point("choice", key="unknown", writes=WRITE),
        point("integer", key="below", writes=WRITE, minimum=-10, maximum=10),
        point("integer", key="tens", writes=WRITE, minimum=10, maximum=100),
        point("number", key="upside", writes=WRITE, minimum=5, maximum=5),
        point("number", key="open", writes=WRITE, minimum=50),
    )
    what, _ = problem_of(*ALL, *more, **options)
    assert what.startswith(expected), what


def test_a_point_of_a_composed_entity_can_be_shown_as_well() -> None:
    options = {"lamp": {"platform": "light", "state": "power"}, "power": {"name": "Power"}}
    entities, problems = found(POWER, options=options)
    assert set(entities) == {"lamp", "power"} and not problems


@pytest.mark.parametrize("value", [True, 5, "on"])
def test_a_button_may_send_a_value(value: Argument) -> None:
    button = entity_of(point("event", feeds=(), writes=(Write("SET", None, value),)))
    assert button.config["payload_press"] == "SET"


def test_the_outcome_of_commands_is_an_event() -> None:
    entity = outcome_entity(TOPICS)
    assert (entity.platform, entity.config["state_topic"]) == ("event", TOPICS.outcome)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [(("Bo", "x"), "bo_x"), (("a__b", "_outcome"), "a_b_outcome"), (("a-b", "c_"), "a_b_c"), (("Ä", "x"), "x")],
)
def test_an_entity_id_is_one_that_home_assistant_accepts(parts: tuple[str, ...], expected: str) -> None:
    assert slug(*parts) == expected
