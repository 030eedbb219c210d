"""The commands of entities, as Home Assistant has to publish them: what the map of the gateway reads. Pure.

The map may write a value anywhere in the payload. Where it stands is found by writing two values that occur nowhere
else: what differs is the place of the value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gateway.devices.point import Device, Point, PointType
from gateway.integrations.homeassistant import templates
from gateway.integrations.homeassistant.templates import CommandTemplate
from gateway.message import Argument, InternalMsg
from gateway.translation.client_commands import ClientCommands, CommandError, can_write, write_of
from gateway.translation.mqtt_map import MsgMap

SENDER = "homeassistant"
"""The word of the sender in the commands of Home Assistant."""

_NUMBERS = {PointType.INTEGER: (735_218_643, 864_125_379), PointType.NUMBER: (735_218_643.5, 864_125_379.25)}
_TEXTS = ("q7Zx3Kd9", "w4Yv8Jb2")


class EntityError(CommandError):
    """A point cannot become the entity that it is to be; `remedy` says what to do."""


class Command(NamedTuple):
    """A command that Home Assistant publishes: topic and template; `probes` are messages that it is to stand for.

    Each probe is a value of the entity and the message that the gateway must receive for it.
    """

    topic: str
    template: CommandTemplate
    probes: tuple[tuple[Any, InternalMsg], ...]


class CommandWriter:
    """Writes the commands of one device in the words of `msg_map`; `own` are those of its interface's messages."""

    def __init__(self, msg_map: MsgMap, device: Device, own: Mapping[str, str]) -> None:
        self._commands = ClientCommands(msg_map, device, own, SENDER)

    def of_value(self, point: Point, value: Argument, shown: Any = None) -> Command:
        """Return the command that writes one value of a point; `shown` is that value as the entity has it.

        Raises `CommandError` if the point has none, or if the map cannot write it.
        """
        write = write_of(point, value)
        if value is None and write.argument is not None:
            what = f"it is not known which value it writes to the point {point.key}"
            raise EntityError(what, f"write {{point: {point.key}, value: VALUE}}")
        msg = self._commands.of_value(point, value)
        topic, payload = self._written(msg)
        return Command(topic, templates.constant(payload), ((shown, msg),))

    def of_values(self, point: Point, values: Mapping[str, Argument]) -> Command:
        """Return the command that writes several values of a point, each by a word of the entity; raise as above."""
        commands = {word: self.of_value(point, value, word) for word, value in values.items()}
        topic = _one_topic(command.topic for command in commands.values())
        payloads = {word: command.template.twin(word) for word, command in commands.items()}
        for payload in payloads.values():
            _check_ends(payload, payload)
        probes = tuple(probe for command in commands.values() for probe in command.probes)
        return Command(topic, templates.chosen(payloads), probes)

    def of_number(self, point: Point) -> Command:
        """Return the command that writes any number of a point; raise as above."""
        topic, before, after = self._around(point, [(number, str(number)) for number in _NUMBERS[point.type]])
        low = 1 if point.minimum is None else point.minimum
        samples = (low, low if point.maximum is None else point.maximum)
        probes = tuple((value, self._commands.of_value(point, value)) for value in map(_short, samples))
        return Command(topic, templates.number(before, after), probes)

    def of_mireds(self, point: Point, low: int, high: int) -> Command:
        """Return the command that writes a colour temperature of `low` to `high` kelvin, by mireds; raise as above."""
        topic, before, after = self._around(point, [(number, str(number)) for number in _NUMBERS[point.type]])
        ends = [templates.mireds(high), templates.mireds(low)]
        kelvins = [max(low, min(templates.mireds(end), high)) for end in ends]
        messages = [self._commands.of_value(point, kelvin) for kelvin in kelvins]
        return Command(topic, templates.from_mireds(before, after, low, high), tuple(zip(ends, messages, strict=True)))

    def of_text(self, point: Point) -> Command:
        """Return the command that writes any text of a point; raise as above."""
        try:
            topic, before, after = self._around(point, [(text, json.dumps(text)) for text in _TEXTS])
            template = templates.quoted(before, after)
        except CommandError:
            topic, before, after = self._around(point, [(text, text) for text in _TEXTS])
            template = templates.number(before, after)
        probe = self._commands.of_value(point, _TEXTS[0])
        return Command(topic, template, ((_TEXTS[0], probe),))

    def _around(self, point: Point, samples: list[tuple[Argument, str]]) -> tuple[str, str, str]:
        """Return the topic of a command, and what stands in its payload before and behind the value."""
        if all(write.argument is None for write in point.writes):
            raise EntityError("its commands have no argument for a value", "declare choices, or another type")
        written = [(self._written(self._commands.of_value(point, value)), text) for value, text in samples]
        topic = _one_topic((topic for (topic, _), _ in written))
        parts = {tuple(payload.split(text)) for (_, payload), text in written}
        part = next(iter(parts))
        if len(parts) != 1 or len(part) != 2:
            raise EntityError(
                "the map writes the value of its command in a way that Home Assistant cannot",
                "let the map write the value as it is, in the payload",
            )
        _check_ends(*part)
        return topic, part[0], part[1]

    def _written(self, msg: InternalMsg) -> tuple[str, str]:
        publication = self._commands.written(msg)
        return publication.topic, publication.payload.decode()


def settable(point: Point, values: Mapping[str, Argument]) -> dict[str, Argument]:
    """Return those of `values`, by the words of an entity, that a command of the point sets; it may report others.

    Raises `EntityError` if there are none.
    """
    found = {word: value for word, value in values.items() if can_write(point, value)}
    if not found:
        raise EntityError(f"no command of the point {point.key} sets one of its values", "name another point")
    return found


def _one_topic(topics: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(topics))
    if len(distinct) != 1:
        raise EntityError(
            f"its commands have several topics: {', '.join(map(repr, distinct[:3]))}",
            "write the action into the payload, or declare a point for each of them",
        )
    return distinct[0]


def _check_ends(before: str, after: str) -> None:
    """Raise `EntityError` if a command begins with a blank, or ends with one."""
    if before != before.lstrip() or after != after.rstrip():
        what = "its command has blanks at its ends, which Home Assistant leaves out of what a template gives"
        raise EntityError(what, "let the map write the payload without them")


def _short(number: float) -> float:
    """Return a whole number as an integer, as Home Assistant writes it."""
    return int(number) if float(number).is_integer() else number
