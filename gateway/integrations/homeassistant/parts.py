"""What an entity consists of, while it is put together; and what points mean for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.devices.document import is_state
from gateway.devices.point import Point, PointType
from gateway.integrations.homeassistant import device_classes, templates
from gateway.integrations.homeassistant.commands import Command, CommandWriter, EntityError
from gateway.integrations.homeassistant.templates import ValueTemplate
from gateway.message import Argument

ON, OFF = "ON", "OFF"
NUMERIC = (PointType.NUMBER, PointType.INTEGER)
_ANY_NUMBER = 1_000_000  # bounds of a number whose command has none: Home Assistant's own would be 1 to 100


class Topics(NamedTuple):
    """The topics of the documents of one device."""

    state: str
    outcome: str
    event: str


class Parts:
    """What an entity consists of, while it is put together; `is_old`: for a release before 2024.11."""

    def __init__(self, topics: Topics, writer: CommandWriter, *, is_old: bool = False) -> None:
        self.is_old = is_old
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

    def add_class(self, platform: str, device_class: str) -> None:
        """Give the entity a device class, unless it is `""`; raise `EntityError` if the platform does not have it."""
        device_classes.check_class(platform, device_class)
        if device_class:
            self.config["device_class"] = device_class


def choices_by_label(point: Point) -> dict[str, Argument]:
    """Return the choices of a point by what stands for them in Home Assistant; raise `EntityError` if they are not
    known, or shown alike."""
    if not point.choices:
        raise EntityError(f"the choices of the point {point.key} are not known", "declare them: choices: [...]")
    choices = {templates.shown(choice): choice for choice in point.choices}
    if len(choices) < len(point.choices) or len(set(point.choices)) < len(point.choices):  # 1 is True, in a table
        raise EntityError(f"two choices of the point {point.key} are shown alike", "declare texts as its choices")
    for label in choices:
        check_label(label)
    return choices


def check_label(label: str) -> None:
    """Raise `EntityError` if Home Assistant cannot show a state, or offer an option, with this text."""
    if label != label.strip() or not label:
        what = f"{label!r} is empty, or has blanks at its ends, which Home Assistant leaves out"
        raise EntityError(what, "declare other choices, or hide the point")
    if len(label) > templates.MAX_STATE:
        what = f"{label[:20]!r}... has {len(label)} characters, but a state has at most {templates.MAX_STATE}"
        raise EntityError(what, "declare shorter choices, or hide the point")


def step_of(point: Point, options: Mapping[str, Any], default: float) -> float:
    """Return the step of a number; raise `EntityError` if it leads to values that the point does not take."""
    is_whole = point.type is PointType.INTEGER
    step: float = options.get("step", 1 if is_whole else default)
    if is_whole and not float(step).is_integer():
        what = f"the point {point.key} takes whole numbers, but the step is {step:g}"
        raise EntityError(what, "write a whole number as step, or leave it out")
    return step


def bounds(point: Point) -> tuple[float, float]:
    """Return the smallest and the largest value of a number, by which it can be set; raise `EntityError` if there is
    nothing between them."""
    low = -_ANY_NUMBER if point.minimum is None else point.minimum
    high = _ANY_NUMBER if point.maximum is None else point.maximum
    if low >= high:
        raise EntityError(f"its smallest value is {low:g}, and its largest {high:g}", "correct minimum and maximum")
    return low, high


def whole_bounds(point: Point) -> tuple[int, int]:
    """Return the declared bounds of a number, for what has a full range; raise `EntityError` if it has none."""
    low, high = point.minimum, point.maximum
    if low is None or high is None:
        raise EntityError(f"the range of the point {point.key} is not known", "declare its minimum and maximum")
    if low >= high or not float(low).is_integer() or not float(high).is_integer():
        what = f"the point {point.key} goes from {low:g} to {high:g}"
        raise EntityError(what, "its minimum and maximum must be different whole numbers")
    return int(low), int(high)
