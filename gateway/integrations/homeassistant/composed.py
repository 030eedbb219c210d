"""Entities that are composed of several points of a device: lights, covers, thermostats, valves, locks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.devices.document import is_state
from gateway.devices.point import Point, PointType
from gateway.integrations.homeassistant import templates
from gateway.integrations.homeassistant.commands import Command, EntityError, settable
from gateway.integrations.homeassistant.parts import (
    NUMERIC,
    ON,
    Parts,
    check_label,
    choices_by_label,
    step_of,
    whole_bounds,
)
from gateway.integrations.homeassistant.templates import NOTHING, UNKNOWN, ValueTemplate
from gateway.message import Argument

_STATES = {
    "cover": ("open", "closed", "opening", "closing", "stopped"),
    "valve": ("open", "closed", "opening", "closing"),
    "lock": ("LOCKED", "UNLOCKED", "LOCKING", "UNLOCKING", "JAMMED"),
}
_OF_BOOLEAN = {"cover": ("open", "closed"), "valve": ("open", "closed"), "lock": ("LOCKED", "UNLOCKED")}
_MODES = ("auto", "off", "cool", "heat", "heat_cool", "dry", "fan_only")
_ACTIONS = ("off", "preheating", "heating", "cooling", "drying", "idle", "fan", "defrosting")


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
        self.check_values(words)
        return words

    def check_values(self, words: Mapping[str, Argument]) -> None:
        """Raise `EntityError` if the point cannot have one of the values of `words`."""
        known = (True, False) if self.point.type is PointType.BOOLEAN else self.point.choices
        for value in words.values():
            if not any(value == each and type(value) is type(each) for each in known):
                shown = ", ".join(map(templates.shown, known)) or "not known: declare choices"
                raise EntityError(f"{value!r} is no value of the point {self.point.key}", f"its values are: {shown}")

    def template(self, words: Mapping[str, Argument], unknown: str = UNKNOWN) -> ValueTemplate:
        return templates.mapped(self.point.key, {value: word for word, value in words.items()}, unknown)


class _Roles:
    """The roles of a composed entity."""

    def __init__(self, options: Mapping[str, Any], points: Mapping[str, Point]) -> None:
        self._options, self._points = options, points
        self._asked_for: set[str] = set()

    def get(
        self, name: str, *, kinds: Iterable[PointType] = (), is_read: bool = False, takes: str = ""
    ) -> _Role | None:
        """Return a role, if it is declared; raise `EntityError` if its point is missing or cannot have it.

        `takes` is the option beside the point that it may have: `value`, `values`, or none.
        """
        self._asked_for.add(name)
        option = self._options.get(name)
        if option is None:
            return None
        given: Mapping[str, Any] = {"point": option} if isinstance(option, str) else option
        useless = next((each for each in ("value", "values") if each in given and each != takes), None)
        if useless is not None:
            raise EntityError(f"{useless} means nothing for {name}", f"leave it out: {name}: {given['point']}")
        point = self._points.get(given["point"])
        if point is None:
            raise EntityError(
                f"the device has no point {given['point']!r} for {name}", f"it has: {', '.join(self._points)}"
            )
        if kinds and point.type not in kinds:
            words = " or ".join(kind.value for kind in kinds)
            what = f"the point {point.key} for {name} has the type {point.type.value}, not {words}"
            raise EntityError(what, "name another point, or change its type")
        if is_read and not is_state(point):
            raise EntityError(f"the point {point.key} for {name} is never read", "name a point with 'from'")
        return _Role(name, point, given.get("value"), given.get("values", {}))

    def need(self, name: str, **wanted: Any) -> _Role:
        """Return a role that must be declared."""
        role = self.get(name, **wanted)
        if role is None:
            raise EntityError(f"it needs the option {name}", f"write {name}: KEY, with the key of a point")
        return role

    def check_all_used(self, platform: str) -> None:
        """Raise `EntityError` if a role is declared that an entity of `platform` does not have."""
        for name in self._options:
            if name in ROLES and name not in self._asked_for:
                raise EntityError(f"the option {name} means nothing for this {platform}", "leave it out")


def points_of(options: Mapping[str, Any]) -> list[str]:
    """Return the keys of the points of which an entity with these options is composed."""
    return [
        option if isinstance(option, str) else option["point"]
        for name, option in options.items()
        if name in ROLES and isinstance(option, str | Mapping)
    ]


def fill_composed(parts: Parts, key: str, options: Mapping[str, Any], points: Mapping[str, Point]) -> str:
    """Fill in `parts` for an entity that is composed of `points`; return its platform. Raises `EntityError`."""
    platform: str | None = options.get("platform")
    if platform is None:
        what = f"the device has no point {key!r}"
        raise EntityError(what, f"name one of its points ({', '.join(points)}), or add platform")
    roles = _Roles(options, points)
    _COMPOSED[platform](parts, roles, options)
    roles.check_all_used(platform)
    device_class = options.get("class", "")
    if device_class and platform not in ("cover", "valve"):
        raise EntityError(f"a {platform} has no class", "leave the class out")
    parts.add_class(platform, device_class)
    return platform


def _check_scale(point: Point, smallest: int) -> tuple[int, int]:
    """Return the range of a number whose smallest value may be `smallest` or more; raise `EntityError`."""
    low, high = whole_bounds(point)
    if low < smallest:
        what = f"the point {point.key} begins at {low}, but Home Assistant has no value below {smallest} for it"
        raise EntityError(what, "correct its minimum, or name another point")
    return low, high


def _light(parts: Parts, roles: _Roles, _options: Mapping[str, Any]) -> None:
    on = roles.get("state", kinds=(PointType.BOOLEAN,))
    level = roles.get("brightness", kinds=NUMERIC)
    config, writer = parts.config, parts.writer
    if on is not None:
        payloads = {"payload_on": writer.of_value(on.point, True), "payload_off": writer.of_value(on.point, False)}
        parts.write_payloads(payloads)
        states = {True: config["payload_on"], False: config["payload_off"]}  # a light has no other words for its state
        parts.read(on.point, templates.mapped(on.point.key, states), key="state_value_template")
    elif level is not None:
        if level.point.minimum not in (None, 0):
            raise EntityError(
                f"0 of {level.point.key} means off, but its smallest value is another", "name a point for state"
            )
        parts.write_payloads({"payload_off": writer.of_value(level.point, 0)})
        config |= {"payload_on": ON, "on_command_type": "brightness"}
        shown = templates.rising(level.point.key, ON, config["payload_off"])
        parts.read(level.point, shown, key="state_value_template")
    else:
        raise EntityError("it needs the option state, or brightness", "write state: KEY, with the key of a point")
    if level is not None:
        low, high = _check_scale(level.point, 0)
        if low > 1:
            what = f"Home Assistant sends each brightness from 1 to {high}, but {level.point.key} begins at {low}"
            raise EntityError(what, "let it begin at 0 or 1, and convert it in the rule that writes it")
        _read_and_write_number(parts, level.point, "brightness", "brightness_value_template")
        config["brightness_scale"] = high
    warmth = roles.get("color_temperature", kinds=(PointType.INTEGER,))
    if warmth is not None:
        low, high = _check_scale(warmth.point, 1)
        if parts.is_old:  # these have only mireds
            shown = templates.in_mireds(warmth.point.key)
            parts.read(warmth.point, shown, "color_temp_state_topic", "color_temp_value_template")
            command = writer.of_mireds(warmth.point, low, high)
            parts.write(command, "color_temp_command_topic", "color_temp_command_template")
            config |= {"min_mireds": templates.mireds(high), "max_mireds": templates.mireds(low)}
        else:
            _read_and_write_number(parts, warmth.point, "color_temp", "color_temp_value_template")
            config |= {"color_temp_kelvin": True, "min_kelvin": low, "max_kelvin": high}
    effect = roles.get("effect", kinds=(PointType.CHOICE,))
    if effect is not None:
        known = choices_by_label(effect.point)
        effects = settable(effect.point, known)
        parts.read(effect.point, effect.template(known, NOTHING), "effect_state_topic", "effect_value_template")
        parts.write(writer.of_values(effect.point, effects), "effect_command_topic", "effect_command_template")
        config["effect_list"] = list(effects)


def _read_and_write_number(parts: Parts, point: Point, name: str, template: str) -> None:
    """Have the entity read and write a number; its options begin with `name`, but for that of the `template`."""
    parts.read(point, templates.plain(point.key, NOTHING), f"{name}_state_topic", template)
    parts.write(parts.writer.of_number(point), f"{name}_command_topic", f"{name}_command_template")


def _cover(parts: Parts, roles: _Roles, _: Mapping[str, Any]) -> None:
    state, position = _state(parts, roles, "cover"), roles.get("position", kinds=NUMERIC, is_read=True)
    if state is None and position is None:
        raise EntityError("it needs the option state, or position", "write state: KEY, with the key of a point")
    if position is not None:
        low, high = whole_bounds(position.point)
        parts.read(position.point, templates.plain(position.point.key, NOTHING), "position_topic", "position_template")
        parts.config |= {"position_closed": low, "position_open": high}
        if position.point.writes:
            parts.write(parts.writer.of_number(position.point), "set_position_topic", "set_position_template")
    _open_close_stop(parts, roles, state, position)


def _valve(parts: Parts, roles: _Roles, _: Mapping[str, Any]) -> None:
    position = roles.get("position", kinds=NUMERIC)
    if position is None:
        state = _state(parts, roles, "valve")
        if state is None:
            raise EntityError("it needs the option state, or position", "write state: KEY, with the key of a point")
        _open_close_stop(parts, roles, state, None)
        return
    low, high = whole_bounds(position.point)
    parts.read(position.point, templates.plain(position.point.key, NOTHING))
    parts.write(parts.writer.of_number(position.point))
    stop = roles.get("stop", takes="value")
    if stop is not None:
        parts.write_payloads({"payload_stop": _press(parts, stop)})
    parts.config |= {"reports_position": True, "position_closed": low, "position_open": high}


def _state(parts: Parts, roles: _Roles, platform: str) -> dict[str, tuple[_Role, Argument]] | None:
    """Have the entity read its state; return role and value of the point for each word of it."""
    role = roles.get("state", kinds=(PointType.BOOLEAN, PointType.CHOICE), takes="values")
    if role is None:
        return None
    words = role.words(_STATES[platform], _OF_BOOLEAN[platform])
    # Old releases know no unknown cover or valve: each document without a word would be a warning in their log.
    unknown = NOTHING if parts.is_old and platform != "lock" else UNKNOWN
    parts.read(role.point, role.template(words, unknown))
    return {word: (role, value) for word, value in words.items()}


def _open_close_stop(
    parts: Parts, roles: _Roles, state: Mapping[str, tuple[_Role, Argument]] | None, position: _Role | None
) -> None:
    """Add the commands that open, close and stop: by roles of their own, by the state that they bring about, or by
    the position."""
    ends = whole_bounds(position.point) if position is not None and position.point.writes else None
    commands: dict[str, Command] = {}
    for name, word, end in (("open", "open", 1), ("close", "closed", 0), ("stop", "", 0)):
        command = _command_of(parts, roles, name, state, word)
        if command is not None:
            commands[f"payload_{name}"] = command
        elif word and ends is not None and position is not None:
            commands[f"payload_{name}"] = parts.writer.of_value(position.point, ends[end])
        else:
            parts.config[f"payload_{name}"] = None
    parts.write_payloads(commands)


def _command_of(
    parts: Parts, roles: _Roles, name: str, state: Mapping[str, tuple[_Role, Argument]] | None, word: str
) -> Command | None:
    """Return the command of the role `name`, or the one that sets the state to `word` (`""`: none); None: neither."""
    role = roles.get(name, takes="value")
    if role is not None:
        return _press(parts, role)
    if not word or state is None or word not in state:
        return None
    of_state, value = state[word]
    return parts.writer.of_value(of_state.point, value) if of_state.point.writes else None


def _press(parts: Parts, role: _Role) -> Command:
    value, writes = role.value, role.point.writes
    if value is None and len(writes) == 1 and writes[0].argument is None:
        value = writes[0].value
    return parts.writer.of_value(role.point, value)


def _lock(parts: Parts, roles: _Roles, _: Mapping[str, Any]) -> None:
    state = _state(parts, roles, "lock")
    commands: dict[str, Command] = {}
    for name, word in (("lock", "LOCKED"), ("unlock", "UNLOCKED"), ("open", "")):
        command = _command_of(parts, roles, name, state, word)
        if command is not None:
            commands[f"payload_{name}"] = command
    for name in ("lock", "unlock"):
        if f"payload_{name}" not in commands:
            raise EntityError(f"nothing {name}s it", f"write {name}: KEY, with the key of a point that is written")
    parts.write_payloads(commands)


def _climate(parts: Parts, roles: _Roles, options: Mapping[str, Any]) -> None:
    writer, config = parts.writer, parts.config
    mode = roles.need("mode", kinds=(PointType.BOOLEAN, PointType.CHOICE), is_read=True, takes="values")
    words = mode.words(_MODES, ("heat", "off"))
    if mode.point.writes:
        words = settable(mode.point, words)
    # Old releases know no unknown mode: each document without one would be an error in their log.
    unknown = ("off" if "off" in words else next(iter(words))) if parts.is_old else UNKNOWN
    parts.read(mode.point, mode.template(words, unknown), "mode_state_topic", "mode_state_template")
    if mode.point.writes:
        parts.write(writer.of_values(mode.point, words), "mode_command_topic", "mode_command_template")
    config["modes"] = list(words)
    target = roles.get("temperature", kinds=NUMERIC)
    if target is not None:
        _read_and_write_number(parts, target.point, "temperature", "temperature_state_template")
        low, high = target.point.minimum, target.point.maximum
        if low is not None and high is not None and low >= high:
            raise EntityError(f"its lowest temperature is {low:g}, and its highest {high:g}", "correct them")
        if (low is None) is not (high is None):  # Home Assistant would take its own for the other one
            raise EntityError(
                f"only one end of the range of {target.point.key} is known", "declare the other one as well"
            )
        limits = {"min_temp": low, "max_temp": high}
        config |= {name: limit for name, limit in limits.items() if limit is not None}
        config["temp_step"] = step_of(target.point, options, 0.5)
        config["precision"] = 1.0 if target.point.type is PointType.INTEGER else 0.1
    for name in ("current_temperature", "current_humidity"):
        role = roles.get(name, kinds=NUMERIC, is_read=True)
        if role is not None:
            parts.read(role.point, templates.plain(role.point.key, NOTHING), f"{name}_topic", f"{name}_template")
    for role in filter(None, (target, roles.get("current_temperature"))):
        if role.point.unit in ("°C", "°F"):
            config["temperature_unit"] = role.point.unit[1]
    action = roles.get("action", kinds=(PointType.BOOLEAN, PointType.CHOICE), is_read=True, takes="values")
    if action is not None:
        doing = action.template(action.words(_ACTIONS, ("heating", "idle")))
        parts.read(action.point, doing, "action_topic", "action_template")
    for name, listed, state_key in (
        ("fan_mode", "fan_modes", "fan_mode_state_template"),
        ("swing_mode", "swing_modes", "swing_mode_state_template"),
        ("preset_mode", "preset_modes", "preset_mode_value_template"),
    ):
        role = roles.get(name, kinds=(PointType.CHOICE,), takes="values")
        if role is not None:
            own = dict(role.values) or choices_by_label(role.point)
            for word in own:
                check_label(word)
            role.check_values(own)
            own = settable(role.point, own)
            parts.read(role.point, role.template(own), f"{name}_state_topic", state_key)
            parts.write(writer.of_values(role.point, own), f"{name}_command_topic", f"{name}_command_template")
            # Home Assistant adds the preset none to each list, and refuses one that has it.
            config[listed] = [word for word in own if (name, word) != ("preset_mode", "none")]


_COMPOSED: Mapping[str, Callable[[Parts, _Roles, Mapping[str, Any]], None]] = {
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
