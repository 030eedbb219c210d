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
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from gateway.devices.document import is_state
from gateway.devices.point import Device, Point, PointType
from gateway.errors import Problem
from gateway.integrations.homeassistant import device_classes, templates
from gateway.integrations.homeassistant.commands import Command, CommandWriter, EntityError, settable
from gateway.integrations.homeassistant.composed import ROLES, fill_composed, points_of
from gateway.integrations.homeassistant.parts import OFF, ON, Parts, Topics, bounds, choices_by_label, step_of
from gateway.integrations.homeassistant.templates import ValueTemplate
from gateway.message import Argument
from gateway.translation.client_commands import CommandError

EXPIRY = 10
"""Seconds after which the broker drops a command that has not reached the gateway: a gate never opens late."""

OUTCOMES = ("OK", "REFUSED", "TIMEOUT", "OFFLINE", "ERROR")
"""The responses of a command, as docs/commands.md lists them; that of a Python interface may be another one."""

_ONLY_FOR = {"state_class": ("sensor",), "precision": ("sensor",), "step": ("number", "climate")}
"""The options that only some platforms have."""


class Entity(NamedTuple):
    """One entity: its key within the device, its platform, and what is particular to it in a discovery document.

    `points` are the keys of the points whose quality it depends on; `commands` are those that it publishes.
    """

    key: str
    platform: str
    config: Mapping[str, Any]
    points: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()


def entities_of(
    device: Device,
    writer: CommandWriter,
    topics: Topics,
    options: Mapping[str, Mapping[str, Any]],
    told: Collection[str] | None = None,
    *,
    is_old: bool = False,
) -> tuple[list[Entity], list[Problem]]:
    """Return the entities of a device, and what keeps points from being some; paths begin within `entities`.

    `options` are those of its entities, by key: a key of a point changes the entity of that point, any other one makes
    an entity that is composed of points. The points of such an entity are no others, unless they have options as well.
    `told` are the points of which there has been a value, and others that are only read are no entities: a template
    declares what any of its devices may measure. None: all are. `is_old`: for a release before 2024.11.
    """
    points = {point.key: point for point in device.points}
    composed = {key: each for key, each in options.items() if key not in points}
    used = {name for each in composed.values() for name in points_of(each)}
    entities, problems = [], []
    for key, each in [*((key, options.get(key, {})) for key in points), *composed.items()]:
        if each.get("hidden") or (key in used and key not in options):
            continue
        if told is not None and key in points and key not in told and _is_only_read(points[key]):
            continue
        parts = Parts(topics, writer, is_old=is_old)
        try:
            if key in points:
                platform = _fill(parts, points[key], each)
            else:
                platform = fill_composed(parts, key, each, points)
            _check_options(platform, parts, each)
        except CommandError as err:
            problems.append(Problem((key,), str(err), err.remedy))
            continue
        _add_common(parts.config, each, points.get(key), key)
        if parts.commands:
            parts.config["message_expiry_interval"] = EXPIRY
        entities.append(Entity(key, platform, parts.config, tuple(dict.fromkeys(parts.points)), tuple(parts.commands)))
    return entities, problems


def _is_only_read(point: Point) -> bool:
    return is_state(point) and not point.writes


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


def _check_options(platform: str, parts: Parts, options: Mapping[str, Any]) -> None:
    """Raise `EntityError` if an option means nothing for the entity."""
    if options.get("category") == "config" and not parts.commands:
        raise EntityError("nothing is written by it, so that it has no category config", "write diagnostic")
    for name, platforms in _ONLY_FOR.items():
        is_text = platform == "sensor" and parts.config.get("device_class") == "enum"
        if name in options and (platform not in platforms or is_text):
            what = f"the option {name} means nothing for this {platform.replace('_', ' ')}"
            raise EntityError(what, "leave it out")


def _add_common(config: dict[str, Any], options: Mapping[str, Any], point: Point | None, key: str) -> None:
    config["name"] = options.get("name") or (point.name if point is not None else "") or pretty(key)
    for option, name in (("icon", "icon"), ("category", "entity_category"), ("enabled", "enabled_by_default")):
        if option in options:
            config[name] = options[option]


def pretty(key: str) -> str:
    """Return the key of a point as a name for people."""
    return key.replace("_", " ").capitalize()


# --- one point


def _fill(parts: Parts, point: Point, options: Mapping[str, Any]) -> str:
    """Fill in `parts` for the entity of a point; return its platform. Raises `EntityError`."""
    of_several = [name for name in options if name == "platform" or name in ROLES]
    if of_several:
        what = f"it has the option {of_several[0]} of an entity that is composed of points, and the name of a point"
        raise EntityError(what, "give it another name than that of a point")
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
    if options.get("class") and (platform in ("select", "text") or kind is PointType.CHOICE):
        raise EntityError(f"a {kind.value} has no class", "leave the class out")
    _ENTITIES[platform](parts, point, device_class, options)
    return platform


def _binary_sensor(parts: Parts, point: Point, device_class: str, _: Mapping[str, Any]) -> None:
    parts.read(point, templates.mapped(point.key, {True: ON, False: OFF}))
    parts.add_class("binary_sensor", device_class)


def _switch(parts: Parts, point: Point, device_class: str, _: Mapping[str, Any]) -> None:
    parts.read(point, templates.mapped(point.key, {True: ON, False: OFF}))
    on, off = parts.writer.of_value(point, True), parts.writer.of_value(point, False)
    parts.write_payloads({"payload_on": on, "payload_off": off})
    parts.config |= {"state_on": ON, "state_off": OFF}
    parts.add_class("switch", device_class)


def _sensor(parts: Parts, point: Point, device_class: str, options: Mapping[str, Any]) -> None:
    if point.type is PointType.CHOICE:
        parts.read(point, _choice(point))
        parts.config |= {"device_class": "enum", "options": list(choices_by_label(point))}
        return
    parts.add_class("sensor", device_class)
    if point.type is PointType.TEXT:
        if device_class and not device_classes.is_time(device_class):
            what = f"the class {device_class} is for numbers, but the point is a text"
            raise EntityError(what, "leave the class out")
        for name in ("state_class", "precision"):
            if name in options:
                raise EntityError(f"the option {name} is for numbers, but the point is a text", "leave it out")
        is_time = device_classes.is_time(device_class)
        is_date = device_class == "date"
        parts.read(point, templates.moment(point.key, is_date=is_date) if is_time else templates.text(point.key))
        return
    if device_classes.is_time(device_class):
        what = f"the class {device_class} is for times as texts, but the point is a number"
        raise EntityError(what, "leave the class out, or read the time as a text such as 2026-11-29T21:30:05Z")
    device_classes.check_unit("sensor", device_class, point.unit)
    parts.read(point, templates.plain(point.key))
    state_class = device_classes.state_class(device_class, point.unit, options.get("state_class"))
    parts.config |= {} if state_class is None else {"state_class": state_class}
    parts.config |= {"suggested_display_precision": options["precision"]} if "precision" in options else {}
    _add_unit(parts, point)


def _number(parts: Parts, point: Point, device_class: str, options: Mapping[str, Any]) -> None:
    parts.add_class("number", device_class)
    device_classes.check_unit("number", device_class, point.unit)
    low, high = bounds(point)
    parts.read(point, templates.between(point.key, low, high))
    parts.write(parts.writer.of_number(point))
    parts.config |= {"min": low, "max": high, "step": step_of(point, options, 0.1), "mode": "box"}
    _add_unit(parts, point)


def _select(parts: Parts, point: Point, _class: str, _: Mapping[str, Any]) -> None:
    choices = settable(point, choices_by_label(point))  # a state must be one of the options
    parts.read(point, _choice(point) if len(choices) == len(point.choices) else _mapped(point, choices))
    parts.write(parts.writer.of_values(point, choices))
    parts.config["options"] = list(choices)


def _text(parts: Parts, point: Point, _class: str, _: Mapping[str, Any]) -> None:
    parts.read(point, templates.kept(point.key))
    parts.write(parts.writer.of_text(point))


def _button(parts: Parts, point: Point, device_class: str, _: Mapping[str, Any]) -> None:
    parts.write_payloads({"payload_press": parts.writer.of_value(point, point.writes[0].value)})
    parts.add_class("button", device_class)


def _event(parts: Parts, point: Point, device_class: str, _: Mapping[str, Any]) -> None:
    types = _event_types(point)
    parts.config |= {
        "state_topic": parts.topics.event,
        "value_template": (templates.event(point.key) if types else templates.any_event(point.key)).text,
        "event_types": types or [templates.ANY_EVENT],
    }
    parts.add_class("event", device_class)


_ENTITIES: Mapping[str, Callable[[Parts, Point, str, Mapping[str, Any]], None]] = {
    "binary_sensor": _binary_sensor,
    "switch": _switch,
    "sensor": _sensor,
    "number": _number,
    "select": _select,
    "text": _text,
    "button": _button,
    "event": _event,
}


def _event_types(point: Point) -> list[str]:
    """Return the values that an event can have, if they are all known."""
    if any(feed.argument is not None for feed in point.feeds):
        return list(choices_by_label(point)) if point.choices else []
    return list(dict.fromkeys(templates.shown(feed.value) for feed in point.feeds))


def _choice(point: Point) -> ValueTemplate:
    choices = choices_by_label(point)
    if all(isinstance(choice, str) for choice in point.choices):
        return templates.plain(point.key)
    return _mapped(point, choices)


def _mapped(point: Point, choices: Mapping[str, Argument]) -> ValueTemplate:
    return templates.mapped(point.key, {choice: label for label, choice in choices.items()})


def _add_unit(parts: Parts, point: Point) -> None:
    if point.unit:
        parts.config["unit_of_measurement"] = point.unit


_NO_ID = re.compile(r"[^a-z0-9]+")  # two underscores in a row are not accepted


def slug(*parts: str) -> str:
    """Return a name that can be a part of an entity's id."""
    return _NO_ID.sub("_", "_".join(parts).lower()).strip("_")
