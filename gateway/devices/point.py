"""What a device is made of: points, each of one type, fed by messages and written by commands. Pure data."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

from gateway.message import Argument, ReportRule


class PointType(enum.Enum):
    """What kind of value a point has; the values are the words of a configuration."""

    BOOLEAN = "boolean"
    NUMBER = "number"
    INTEGER = "integer"
    TEXT = "text"
    CHOICE = "choice"
    EVENT = "event"


class Feed(NamedTuple):
    """Which status messages feed a point: those with `action`.

    The value is that of `argument`, or, where that is None, the constant `value`: the action itself says what is so.
    """

    action: str
    argument: str | None
    value: Argument = None


class Write(NamedTuple):
    """The command that writes a value of a point: `action` with the value as `argument`.

    Where `argument` is None, the command has no arguments, and is the one for `value`; a point that is only written
    that way, whatever the value, is a button (`value` None). `where` are the names of those arguments that tell which
    device or point it is for. `choices` are the only values that the command takes, if there are such.
    """

    action: str
    argument: str | None
    value: Argument = None
    where: tuple[str, ...] = ()
    choices: tuple[Argument, ...] = ()


class Point(NamedTuple):
    """One thing that a device tells, or can be told.

    `key` is its name in documents. `feeds` and `writes` may be empty, but not both. `where` are arguments that a
    message must have to feed it, beside those of its device. `none` are values that mean that there is no reading.
    `assumed`: after a command that was executed, the value that was written counts as read. Times are in seconds;
    `silent_after` None: that of the device.
    """

    key: str
    type: PointType
    feeds: tuple[Feed, ...] = ()
    writes: tuple[Write, ...] = ()
    name: str = ""
    unit: str = ""
    device_class: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Argument, ...] = ()
    report: ReportRule | None = None
    where: Mapping[str, Argument] = {}
    none: tuple[Argument, ...] = ()
    assumed: bool = False
    silent_after: float | None = None


ADDRESS_OF_DEVICE = ("function", "gateway", "location", "device")
"""The fields of a message that tell which device it is of."""

AUTO = "auto"
"""The value of `silent_after` that derives it from how often the device was heard."""


class Device(NamedTuple):
    """A device: its identity, the words that its messages have, and its points.

    `id` is its name in topics and documents, and never derived from name or area, which people change. `address` are
    the words of its messages by field; a missing field is any word for a template, and the interface's own word for a
    device. `where` are arguments that its messages have in common, such as the unit on a bus. A device whose id has
    words in braces (`{device}`, or `{unit}` for an argument) is a template: one of it comes to be at its first reading.
    """

    id: str
    points: tuple[Point, ...]
    name: str = ""
    area: str = ""
    manufacturer: str = ""
    model: str = ""
    address: Mapping[str, str] = {}
    where: Mapping[str, Argument] = {}
    silent_after: float | str | None = None
    interval: float = 1.0
    refresh: float = 3600.0


def meanings(device: Device, words: Sequence[str]) -> dict[str, str]:
    """Return a short fingerprint of what each point of a device stands for, by key: what feeds it, and from where.

    `words` are those of the device's messages. A value that was read of a point with another fingerprint is that of
    something else. It is the same in each process, so that it can be kept on disk.
    """
    source = (*words, device.address.get("sender", ""))
    return {point.key: _fingerprint(source, {**device.where, **point.where}, point) for point in device.points}


def _fingerprint(source: Sequence[str], where: Mapping[str, Argument], point: Point) -> str:
    feeds = sorted(map(repr, map(tuple, point.feeds)))
    writes = sorted(repr(tuple(write[:3])) for write in point.writes) if point.assumed else []
    parts = (source, sorted((name, repr(value)) for name, value in where.items()), point.type.value, feeds, writes)
    return f"{crc32(repr(parts).encode(errors='replace')):08x}"
