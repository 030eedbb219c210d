"""What entity each point of a device is, and entities that are composed of several points. Pure.

| point | read | read and written | written |
| --- | --- | --- | --- |
| boolean | binary sensor | switch | switch |
| number, integer | sensor | number | number |
| choice | sensor with options | select | select |
| text | sensor | text | text |
| event | event | | button |

A written point that is never read is shown as Home Assistant assumes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.devices.document import is_state
from gateway.devices.point import Device, Point, PointType
from gateway.errors import Problem
from gateway.integrations.homeassistant import device_classes, templates
from gateway.integrations.homeassistant.commands import Command, CommandWriter, EntityError
from gateway.integrations.homeassistant.templates import NOTHING, UNKNOWN, ValueTemplate
from gateway.message import Argument

EXPIRY = 10
"""Seconds after which the broker drops a command that has not reached the gateway: a gate never opens late."""

COMPOSED = ("light", "cover", "climate", "valve", "lock")
"""The platforms of entities that are composed of points."""

OUTCOMES = ("OK", "REFUSED", "TIMEOUT", "OFFLINE", "ERROR")
"""The responses of a command, as docs/commands.md lists them; that of a Python interface may be another one."""

_ON, _OFF = "ON", "OFF"
_NUMERIC = (PointType.NUMBER, PointType.INTEGER)
_ANY_NUMBER = 1_000_000  # bounds of a number whose command has none: Home Assistant's own would be 1 to 100
_STATES = {
    "cover": ("open", "closed", "opening", "closing", "stopped"),
    "valve": ("open", "closed", "opening", "closing"),
    "lock": ("LOCKED", "UNLOCKED", "LOCKING", "UNLOCKING", "JAMMED"),
}
_OF_BOOLEAN = {"cover": ("open", "closed"), "valve": ("open", "closed"), "lock": ("LOCKED", "UNLOCKED")}
_MODES = ("auto", "off", "cool", "heat", "heat_cool", "dry", "fan_only")
_ACTIONS = ("off", "preheating", "heating", "cooling", "drying", "idle", "fan", "defrosting")


class Topics(NamedTuple):
    """The topics of the documents of one device."""

    state: str
    outcome: str
    event: str


class Entity(NamedTuple):
    """One entity: its key within the device, its platform, and what is particular to it in a discovery document.

    `points` are the keys of the points whose quality it depends on; `commands` are those that it publishes.
    """

    key: str
    platform: str
    config: Mapping[str, Any]
    points: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()


class _Parts:
    """What an entity consists of, while it is put together."""

    def __init__(self, topics: Topics, writer: CommandWriter) -> None:
        self.config: dict[str, Any] = {}
        self.commands: list[Command] = []
        self.points: list[str] = []
        self.topics, self.writer = topics, writer

    def read(
        self, point: Point, template: ValueTemplate, topic: str = "state_topic", key: str = "value_template"
    ) -> None:
        """Have a template read the value of a point from the state document; nothing if the point is never read."""
        if is_state(point):
            self.config[topic], self.config[key] = self.topics.state, template.text
            self.points.append(point.key)

    def write(self, command: Command, topic: str = "command_topic", key: str = "command_template") -> None:
        """Have the entity publish a command, by a template."""
        self.config[topic], self.config[key] = command.topic, command.template.text
        self.commands.append(command)

    def write_payloads(self, commands: Mapping[str, Command]) -> None:
        """Have the entity publish a fixed payload for each of some options, all on one topic."""
        topics = dict.fromkeys(command.topic for command in commands.values())
        if len(topics) > 1:
            raise EntityError(
                f"its commands have several topics: {', '.join(map(repr, topics))}",
                "write the action into the payload, or leave the point out",
            )
        for option, command in commands.items():
            self.config["command_topic"] = command.topic
            self.config[option] = command.template.twin(None)
            self.commands.append(command)


def entities_of(
    device: Device, writer: CommandWriter, topics: Topics, options: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Entity], list[Problem]]:
    """Return the entities of a device, and what keeps points from being some; paths begin within `entities`.

    `options` are those of its entities, by key: a key of a point changes the entity of that point, any other one makes
    an entity that is composed of points. The points of such an entity are no others, unless they have options as well.
    """
    points = {point.key: point for point in device.points}
    composed = {key: each for key, each in options.items() if key not in points}
    used = {name for each in composed.values() for name in _point_names(each)}
    entities, problems = [], []
    for key, each in [*((key, options.get(key, {})) for key in points), *composed.items()]:
        if each.get("hidden") or (key in used and key not in options):
            continue
        parts = _Parts(topics, writer)
        try:
            platform = _point_entity(parts, points[key], each) if key in points else _composed(parts, key, each, points)
            if each.get("category") == "config" and not parts.commands:
                raise EntityError("nothing is written by it, so that it has no category config", "write diagnostic")
        except EntityError as err:
            problems.append(Problem((key,), str(err), err.remedy))
            continue
        _add_common(parts.config, each, points.get(key), key)
        if parts.commands:
            parts.config["message_expiry_interval"] = EXPIRY
        entities.append(Entity(key, platform, parts.config, tuple(dict.fromkeys(parts.points)), tuple(parts.commands)))
    return entities, problems


def outcome_entity(topics: Topics) -> Entity:
    """Return the entity that tells how each command has ended."""
    config = {
        "name": "Command outcome",
        "state_topic": topics.outcome,
        "event_types": list(OUTCOMES),
        "value_template": templates.outcome(OUTCOMES, OUTCOMES[-1]).text,
        "entity_category": "diagnostic",
    }
    return Entity("_outcome", "event", config)


def _add_common(config: dict[str, Any], options: Mapping[str, Any], point: Point | None, key: str) -> None:
    config["name"] = options.get("name") or (point.name if point is not None else "") or pretty(key)
    for option, name in (("icon", "icon"), ("category", "entity_category"), ("enabled", "enabled_by_default")):
        if option in options:
            config[name] = options[option]


def pretty(key: str) -> str:
    """Return the key of a point as a name for people."""
    return key.replace("_", " ").capitalize()


# --- one point


def _point_entity(parts: _Parts, point: Point, options: Mapping[str, Any]) -> str:
    """Fill in `parts` for the entity of a point; return its platform. Raises `EntityError`."""
    kind, is_written = point.type, bool(point.writes)
    device_class = options.get("class", point.device_class)
    if kind is PointType.EVENT:
        platform = "event" if point.feeds else "button"
    elif kind is PointType.BOOLEAN:
        platform = "switch" if is_written else "binary_sensor"
    elif not is_written:
        platform = "sensor"
    else:
        platform = {PointType.CHOICE: "select", PointType.TEXT: "text"}.get(kind, "number")
    _ENTITIES[platform](parts, point, device_class, options)
    return platform


def _binary_sensor(parts: _Parts, point: Point, device_class: str, _: Mapping[str, Any]) -> None:
    device_classes.check_class("binary_sensor", device_class)
    parts.read(point, templates.mapped(point.key, {True: _ON, False: _OFF}))
    _add_class(parts, device_class)


def _switch(parts: _Parts, point: Point, device_class: str, _: Mapping[str, Any]) -> None:
    device_classes.check_class("switch", device_class)
    parts.read(point, templates.mapped(point.key, {True: _ON, False: _OFF}))
    on, off = parts.writer.of_value(point, True), parts.writer.of_value(point, False)
    parts.write_payloads({"payload_on": on, "payload_off": off})
    parts.config |= {"state_on": _ON, "state_off": _OFF}
    _add_class(parts, device_class)


def _sensor(parts: _Parts, point: Point, device_class: str, options: Mapping[str, Any]) -> None:
    if point.type is PointType.CHOICE:
        parts.read(point, _choice(point))
        parts.config |= {"device_class": "enum", "options": _labels(point)}
        return
    device_classes.check_class("sensor", device_class)
    if point.type not in _NUMERIC:
        if device_class and not device_classes.is_time(device_class):
            raise EntityError(
                f"the class {device_class} is for numbers, but the point is a text", "leave the class out"
            )
        parts.read(point, templates.text(point.key))
        _add_class(parts, device_class)
        return
    device_classes.check_unit("sensor", device_class, point.unit)
    parts.read(point, templates.plain(point.key))
    parts.config["state_class"] = device_classes.state_class(device_class, options.get("state_class"))
    parts.config |= {"suggested_display_precision": options["precision"]} if "precision" in options else {}
    if parts.config["state_class"] is None:
        del parts.config["state_class"]
    _add_class(parts, device_class)
    _add_unit(parts, point)


def _number(parts: _Parts, point: Point, device_class: str, options: Mapping[str, Any]) -> None:
    device_classes.check_class("number", device_class)
    device_classes.check_unit("number", device_class, point.unit)
    low, high = _range(point)
    parts.read(point, templates.between(point.key, low, high))
    parts.write(parts.writer.of_number(point))
    step = options.get("step", 1 if point.type is PointType.INTEGER else 0.1)
    parts.config |= {"min": low, "max": high, "step": step, "mode": "box"}
    _add_class(parts, device_class)
    _add_unit(parts, point)


def _select(parts: _Parts, point: Point, _class: str, _: Mapping[str, Any]) -> None:
    parts.read(point, _choice(point))
    parts.write(parts.writer.of_values(point, dict(zip(_labels(point), point.choices, strict=True))))
    parts.config["options"] = _labels(point)


def _text(parts: _Parts, point: Point, _class: str, _: Mapping[str, Any]) -> None:
    parts.read(point, templates.kept(point.key))
    parts.write(parts.writer.of_text(point))


def _button(parts: _Parts, point: Point, device_class: str, _: Mapping[str, Any]) -> None:
    device_classes.check_class("button", device_class)
    parts.write_payloads({"payload_press": parts.writer.of_value(point, point.writes[0].value)})
    _add_class(parts, device_class)


def _event(parts: _Parts, point: Point, device_class: str, _: Mapping[str, Any]) -> None:
    device_classes.check_class("event", device_class)
    types = _labels(point)
    parts.config |= {
        "state_topic": parts.topics.event,
        "value_template": (templates.event(point.key) if types else templates.any_event(point.key)).text,
        "event_types": types or [templates.ANY_EVENT],
    }
    _add_class(parts, device_class)


_ENTITIES: Mapping[str, Callable[[_Parts, Point, str, Mapping[str, Any]], None]] = {
    "binary_sensor": _binary_sensor,
    "switch": _switch,
    "sensor": _sensor,
    "number": _number,
    "select": _select,
    "text": _text,
    "button": _button,
    "event": _event,
}


def _labels(point: Point) -> list[str]:
    values = point.choices or [feed.value for feed in point.feeds if feed.argument is None]
    return [templates.shown(value) for value in values]


def _choice(point: Point) -> ValueTemplate:
    if not point.choices:
        raise EntityError("its choices are not known", "declare them: choices: [...]")
    if all(isinstance(choice, str) for choice in point.choices):
        return templates.plain(point.key)
    return templates.mapped(point.key, dict(zip(point.choices, _labels(point), strict=True)))


def _range(point: Point) -> tuple[float, float]:
    low = -_ANY_NUMBER if point.minimum is None else point.minimum
    high = _ANY_NUMBER if point.maximum is None else point.maximum
    if low >= high:
        raise EntityError(f"its smallest value is {low:g}, and its largest {high:g}", "correct minimum and maximum")
    return low, high


def _add_class(parts: _Parts, device_class: str) -> None:
    if device_class:
        parts.config["device_class"] = device_class


def _add_unit(parts: _Parts, point: Point) -> None:
    if point.unit:
        parts.config["unit_of_measurement"] = point.unit


# --- several points


class _Role(NamedTuple):
    """The part that a point plays in an entity: with one `value`, or with `values` by the words of the entity."""

    name: str
    point: Point
    value: Argument
    values: Mapping[str, Argument]

    def words(self, known: Sequence[str], of_boolean: Sequence[str] = ()) -> dict[str, Argument]:
        """Return the values of the point by those words of the entity that are known; raise `EntityError`."""
        words = dict(self.values)
        if not words and self.point.type is PointType.BOOLEAN and of_boolean:
            words = dict(zip(of_boolean, (True, False), strict=True))
        if not words:
            words = {choice: choice for choice in self.point.choices if choice in known}  # type: ignore[misc]
        strange = [word for word in words if word not in known] if known else []
        if not words or strange:
            what = (
                f"{strange[0]!r} is no {self.name} of it"
                if strange
                else f"no value of {self.point.key} is one of its words"
            )
            raise EntityError(what, f"write values: {{WORD: VALUE}} with words of: {', '.join(known)}")
        return words

    def template(self, words: Mapping[str, Argument], unknown: str = UNKNOWN) -> ValueTemplate:
        return templates.mapped(self.point.key, {value: word for word, value in words.items()}, unknown)


class _Roles:
    """The roles of a composed entity."""

    def __init__(self, options: Mapping[str, Any], points: Mapping[str, Point]) -> None:
        self._options, self._points = options, points

    def get(self, name: str, *, kinds: Iterable[PointType] = (), is_read: bool = False) -> _Role | None:
        """Return a role, if it is declared; raise `EntityError` if its point is missing or cannot have it."""
        option = self._options.get(name)
        if option is None:
            return None
        given: Mapping[str, Any] = {"point": option} if isinstance(option, str) else option
        point = self._points.get(given["point"])
        if point is None:
            raise EntityError(
                f"the device has no point {given['point']!r} for {name}", f"it has: {', '.join(self._points)}"
            )
        if kinds and point.type not in kinds:
            words = " or ".join(kind.value for kind in kinds)
            raise EntityError(
                f"the point {point.key} for {name} is a {point.type.value}, not a {words}", "name another point"
            )
        if is_read and not is_state(point):
            raise EntityError(f"the point {point.key} for {name} is never read", "name a point with 'from'")
        return _Role(name, point, given.get("value"), given.get("values", {}))

    def need(self, name: str, **wanted: Any) -> _Role:
        """Return a role that must be declared."""
        role = self.get(name, **wanted)
        if role is None:
            raise EntityError(f"it needs the option {name}", f"write {name}: KEY, with the key of a point")
        return role


def _point_names(options: Mapping[str, Any]) -> list[str]:
    return [
        option if isinstance(option, str) else option["point"]
        for name, option in options.items()
        if name in ROLES and isinstance(option, str | Mapping)
    ]


def _composed(parts: _Parts, key: str, options: Mapping[str, Any], points: Mapping[str, Point]) -> str:
    platform: str | None = options.get("platform")
    if platform is None:
        raise EntityError(
            f"the device has no point {key!r}", f"name one of its points ({', '.join(points)}), or add platform"
        )
    _COMPOSED[platform](parts, _Roles(options, points), options)
    device_class = options.get("class", "")
    if device_class and platform not in ("cover", "valve"):
        raise EntityError(f"a {platform} has no class", "leave the class out")
    device_classes.check_class(platform, device_class)
    _add_class(parts, device_class)
    return platform


def _light(parts: _Parts, roles: _Roles, _options: Mapping[str, Any]) -> None:
    on = roles.get("state", kinds=(PointType.BOOLEAN,))
    level = roles.get("brightness", kinds=_NUMERIC)
    config, writer = parts.config, parts.writer
    if on is not None:
        payloads = {"payload_on": writer.of_value(on.point, True), "payload_off": writer.of_value(on.point, False)}
        parts.write_payloads(payloads)
        states = {True: config["payload_on"], False: config["payload_off"]}  # a light has no other words for its state
        parts.read(on.point, templates.mapped(on.point.key, states, NOTHING), key="state_value_template")
    elif level is not None:
        if level.point.minimum not in (None, 0):
            raise EntityError(
                f"0 of {level.point.key} means off, but its smallest value is another", "name a point for state"
            )
        parts.write_payloads({"payload_off": writer.of_value(level.point, 0)})
        config |= {"payload_on": _ON, "on_command_type": "brightness"}
        shown = templates.rising(level.point.key, _ON, config["payload_off"])
        parts.read(level.point, shown, key="state_value_template")
    else:
        raise EntityError("it needs the option state, or brightness", "write state: KEY, with the key of a point")
    if level is not None:
        _, high = _range(level.point)
        parts.read(
            level.point,
            templates.plain(level.point.key, NOTHING),
            "brightness_state_topic",
            "brightness_value_template",
        )
        parts.write(writer.of_number(level.point), "brightness_command_topic", "brightness_command_template")
        config["brightness_scale"] = round(high)
    warmth = roles.get("color_temperature", kinds=(PointType.INTEGER,))
    if warmth is not None:
        low, high = _range(warmth.point)
        parts.read(
            warmth.point,
            templates.plain(warmth.point.key, NOTHING),
            "color_temp_state_topic",
            "color_temp_value_template",
        )
        parts.write(writer.of_number(warmth.point), "color_temp_command_topic", "color_temp_command_template")
        config |= {"color_temp_kelvin": True, "min_kelvin": round(low), "max_kelvin": round(high)}
    effect = roles.get("effect", kinds=(PointType.CHOICE,))
    if effect is not None:
        labels = _labels(effect.point)
        shown = templates.mapped(effect.point.key, dict(zip(effect.point.choices, labels, strict=True)), NOTHING)
        parts.read(effect.point, shown, "effect_state_topic", "effect_value_template")
        effects = writer.of_values(effect.point, dict(zip(labels, effect.point.choices, strict=True)))
        parts.write(effects, "effect_command_topic", "effect_command_template")
        config["effect_list"] = labels


def _cover(parts: _Parts, roles: _Roles, _: Mapping[str, Any]) -> None:
    state, position = _state(parts, roles, "cover"), roles.get("position", kinds=_NUMERIC)
    if state is None and position is None:
        raise EntityError("it needs the option state, or position", "write state: KEY, with the key of a point")
    if position is not None:
        low, high = _range(position.point)
        parts.read(position.point, templates.plain(position.point.key, NOTHING), "position_topic", "position_template")
        parts.config |= {"position_closed": round(low), "position_open": round(high)}
        if position.point.writes:
            parts.write(parts.writer.of_number(position.point), "set_position_topic", "set_position_template")
    _open_close_stop(parts, roles, state, position)


def _valve(parts: _Parts, roles: _Roles, _: Mapping[str, Any]) -> None:
    position = roles.get("position", kinds=_NUMERIC)
    if position is None:
        state = _state(parts, roles, "valve")
        if state is None:
            raise EntityError("it needs the option state, or position", "write state: KEY, with the key of a point")
        _open_close_stop(parts, roles, state, None)
        return
    low, high = _range(position.point)
    parts.read(position.point, templates.plain(position.point.key, NOTHING))
    parts.write(parts.writer.of_number(position.point))
    parts.config |= {"reports_position": True, "position_closed": round(low), "position_open": round(high)}


def _state(parts: _Parts, roles: _Roles, platform: str) -> dict[str, tuple[_Role, Argument]] | None:
    """Have the entity read its state; return role and value of the point for each word of it."""
    role = roles.get("state", kinds=(PointType.BOOLEAN, PointType.CHOICE))
    if role is None:
        return None
    words = role.words(_STATES[platform], _OF_BOOLEAN[platform])
    parts.read(role.point, role.template(words, NOTHING))
    return {word: (role, value) for word, value in words.items()}


def _open_close_stop(
    parts: _Parts, roles: _Roles, state: Mapping[str, tuple[_Role, Argument]] | None, position: _Role | None
) -> None:
    """Add the commands that open, close and stop: by roles of their own, by the state that they bring about, or by
    the position."""
    ends = _range(position.point) if position is not None and position.point.writes else None
    commands: dict[str, Command] = {}
    for name, word, end in (("open", "open", 1), ("close", "closed", 0), ("stop", "", 0)):
        role = roles.get(name)
        if role is not None:
            commands[f"payload_{name}"] = _press(parts, role)
        elif word and state is not None and word in state and state[word][0].point.writes:
            commands[f"payload_{name}"] = parts.writer.of_value(state[word][0].point, state[word][1])
        elif word and ends is not None and position is not None:
            commands[f"payload_{name}"] = parts.writer.of_value(position.point, _whole(ends[end]))
        else:
            parts.config[f"payload_{name}"] = None
    parts.write_payloads(commands)


def _press(parts: _Parts, role: _Role) -> Command:
    point = role.point
    value = role.value
    if (
        value is None
        and point.writes
        and all(write.argument is None for write in point.writes)
        and len(point.writes) == 1
    ):
        value = point.writes[0].value
    return parts.writer.of_value(point, value)


def _whole(number: float) -> float:
    return int(number) if float(number).is_integer() else number


def _lock(parts: _Parts, roles: _Roles, _: Mapping[str, Any]) -> None:
    state = _state(parts, roles, "lock")
    commands: dict[str, Command] = {}
    for name, word in (("lock", "LOCKED"), ("unlock", "UNLOCKED"), ("open", "")):
        role = roles.get(name)
        if role is not None:
            commands[f"payload_{name}"] = _press(parts, role)
        elif word and state is not None and word in state and state[word][0].point.writes:
            commands[f"payload_{name}"] = parts.writer.of_value(state[word][0].point, state[word][1])
    for name in ("lock", "unlock"):
        if f"payload_{name}" not in commands:
            raise EntityError(f"nothing {name}s it", f"write {name}: KEY, with the key of a point that is written")
    parts.write_payloads(commands)


def _climate(parts: _Parts, roles: _Roles, options: Mapping[str, Any]) -> None:
    writer, config = parts.writer, parts.config
    mode = roles.need("mode", kinds=(PointType.BOOLEAN, PointType.CHOICE), is_read=True)
    words = mode.words(_MODES, ("heat", "off"))
    parts.read(mode.point, mode.template(words), "mode_state_topic", "mode_state_template")
    if mode.point.writes:
        parts.write(writer.of_values(mode.point, words), "mode_command_topic", "mode_command_template")
    config["modes"] = list(words)
    target = roles.get("temperature", kinds=_NUMERIC)
    if target is not None:
        low, high = _range(target.point)
        parts.read(
            target.point,
            templates.plain(target.point.key, NOTHING),
            "temperature_state_topic",
            "temperature_state_template",
        )
        parts.write(writer.of_number(target.point), "temperature_command_topic", "temperature_command_template")
        is_whole = target.point.type is PointType.INTEGER
        config |= {"min_temp": low, "max_temp": high, "temp_step": options.get("step", 1 if is_whole else 0.5)}
        config["precision"] = 1.0 if is_whole else 0.1
    for name, prefix in (("current_temperature", "current_temperature"), ("current_humidity", "current_humidity")):
        role = roles.get(name, kinds=_NUMERIC, is_read=True)
        if role is not None:
            parts.read(role.point, templates.plain(role.point.key, NOTHING), f"{prefix}_topic", f"{prefix}_template")
    for role in filter(None, (target, roles.get("current_temperature"))):
        if role.point.unit in ("°C", "°F"):
            config["temperature_unit"] = role.point.unit[1]
    action = roles.get("action", kinds=(PointType.BOOLEAN, PointType.CHOICE), is_read=True)
    if action is not None:
        doing = action.template(action.words(_ACTIONS, ("heating", "idle")))
        parts.read(action.point, doing, "action_topic", "action_template")
    for name, listed, state_key in (
        ("fan_mode", "fan_modes", "fan_mode_state_template"),
        ("swing_mode", "swing_modes", "swing_mode_state_template"),
        ("preset_mode", "preset_modes", "preset_mode_value_template"),
    ):
        role = roles.get(name, kinds=(PointType.CHOICE,))
        if role is not None:
            own = dict(role.values) or dict(zip(_labels(role.point), role.point.choices, strict=True))
            parts.read(role.point, role.template(own), f"{name}_state_topic", state_key)
            parts.write(writer.of_values(role.point, own), f"{name}_command_topic", f"{name}_command_template")
            config[listed] = list(own)


_COMPOSED: Mapping[str, Callable[[_Parts, _Roles, Mapping[str, Any]], None]] = {
    "light": _light,
    "cover": _cover,
    "climate": _climate,
    "valve": _valve,
    "lock": _lock,
}

ROLES = frozenset((
    "state", "brightness", "color_temperature", "effect", "position", "open", "close", "stop", "lock", "unlock", "mode",
    "temperature", "current_temperature", "current_humidity", "action", "fan_mode", "swing_mode", "preset_mode",
))  # fmt: skip
"""The options of a composed entity that name a point."""

_NO_ID = re.compile(r"[^a-z0-9_]+")


def slug(*parts: str) -> str:
    """Return a name that can be a part of an entity's id."""
    return _NO_ID.sub("_", "_".join(parts).lower()).strip("_")
