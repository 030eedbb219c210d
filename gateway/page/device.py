"""The view of one device: its readings, what it can be told, what became of its frames, and its last messages.

An interface without declared devices is shown as one: its frames, its messages and its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.core.tap import Note
from gateway.devices.document import DOCUMENT_KINDS, is_state
from gateway.devices.outcome import command_arguments, is_meant
from gateway.devices.point import ADDRESS_OF_DEVICE, Device, Point, PointType
from gateway.devices.snapshot import DeviceSnapshot, PointReading
from gateway.logs.masking import Masker
from gateway.message import Argument, InternalMsg, Publication, shown
from gateway.page.feed import Feed
from gateway.page.history import INTERVAL, History
from gateway.page.notes import answer, beginning
from gateway.page.overview import problem_part
from gateway.page.source import Source
from gateway.runtime.health import InterfaceHealth, assess
from gateway.runtime.interface_host import InterfaceHost
from gateway.translation.client_commands import can_write
from gateway.web.access import RequestError
from gateway.web.app import Content, Request, Route

_MOST_RECENT = 50  # messages that whoever opens the view sees of what has passed
_LONGEST_VALUE = 1000  # characters of a text that are shown
_NUMBERS = (PointType.NUMBER, PointType.INTEGER)


class DeviceView:
    """Answers what the view of a device asks for."""

    def __init__(self, source: Source, history: History, messages: Feed) -> None:
        self._source, self._history, self._messages = source, history, messages

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the addresses."""
        return {
            ("GET", "/api/device"): Route(self._device),
            ("GET", "/api/device/history"): Route(self._points_history),
            ("GET", "/api/device/messages"): Route(self._last_messages),
        }

    def _device(self, request: Request) -> dict[str, Any]:
        host, device = find(self._source, request.query)
        health, name = self._source.health(), host.options.name
        host.refresh_stats()
        problems = assess(health).problems
        about = [each for each in problems if each.interface == name and each.device in ("", device_id(device))]
        return {
            "time": health.time,
            "interface": {"name": name, **interface_part(health.interfaces.get(name, InterfaceHealth()))},
            "devices": [status.id for status in health.devices.get(name, ())][:_MOST_RECENT],
            "problems": [problem_part(each) for each in about],
            **({} if device is None else device_part(device, self._source.masker())),
        }

    def _points_history(self, request: Request) -> dict[str, Any]:
        host, device = find(self._source, request.query)
        name, points = host.options.name, device.device.points if device is not None else ()
        series = {
            point.key: self._history.of(("point", name, device_id(device), point.key))
            for point in points
            if point.type in (*_NUMBERS, PointType.BOOLEAN, PointType.CHOICE)
        }
        return {"interval": INTERVAL, "series": series, "frames": self._history.of(("frames", name))}

    def _last_messages(self, request: Request) -> Content:
        host, device = find(self._source, request.query)
        wanted = of_device(host, device.device if device is not None else None, self._topics(device))
        after = request.number("after", -1)
        news = self._messages.read(after, wanted, 0)
        if after >= 0:
            return answer(self._source.writer, news)
        recent = [each for each in self._messages.recent(wanted, _MOST_RECENT) if each[0] < news.next]
        return beginning(self._source.writer, recent, news.next)

    def _topics(self, device: DeviceSnapshot | None) -> frozenset[str]:
        configuration = self._source.gateway.configuration
        kinds = DOCUMENT_KINDS if device is not None else ()
        return frozenset(configuration.document_topic(device_id(device), kind) for kind in kinds)


def find(source: Source, names: Mapping[str, Any]) -> tuple[InterfaceHost, DeviceSnapshot | None]:
    """Return the interface and the device that a request names; None: it names no device.

    Raises `RequestError` if there is none.
    """
    interface, device = names.get("interface", ""), names.get("device", "")
    host = source.gateway.hosts.get(interface) if isinstance(interface, str) else None
    if host is None:
        raise RequestError("404 Not Found", f"there is no interface {interface!a:.100}: the overview lists all of them")
    if not device:
        return host, None
    found = host.devices.snapshot(device) if isinstance(device, str) else None
    if found is None:
        what = f"{interface} has no device {device!a:.100}: the overview lists all of them"
        raise RequestError("404 Not Found", what)
    return host, found


def device_id(device: DeviceSnapshot | None) -> str:
    """Return the id of a device; `""` if there is none."""
    return "" if device is None else device.device.id


def interface_part(interface: InterfaceHealth) -> dict[str, Any]:
    """Return what is shown of an interface."""
    return {
        "type": interface.type,
        "status": interface.status,
        "reason": interface.hang or interface.closed or interface.failure or interface.reason,
        "since": interface.since,
        "heard_at": interface.heard_at,
        "understood_at": interface.understood_at,
        "frames": dict(interface.frames),
    }


def device_part(snapshot: DeviceSnapshot, masker: Masker) -> dict[str, Any]:
    """Return what is shown of a device, its readings and its commands, without secrets."""
    device = snapshot.device
    about = {name: masker.mask(getattr(device, name)) for name in ("id", "name", "area", "manufacturer", "model")}
    return {
        "device": {
            **about,
            "status": {True: "online", False: "offline", None: "unknown"}[snapshot.is_online],
            "reason": masker.mask(snapshot.reason) if snapshot.is_online is False else "",
            "age": None if snapshot.age is None else round(snapshot.age, 1),
        },
        "readings": [_reading(point, snapshot.readings[point.key], masker) for point in device.points if point.feeds
                     or is_state(point)],
        "commands": [_command(point, masker) for point in device.points if point.writes],
    }  # fmt: skip


def _reading(point: Point, reading: PointReading, masker: Masker) -> dict[str, Any]:
    return {
        "key": point.key,
        "name": masker.mask(point.name),
        "type": point.type.value,
        "unit": masker.mask(point.unit),
        "class": point.device_class,
        "is_set": reading.is_set,
        "value": _shown(reading.value, masker),
        "time": reading.time if reading.is_set else None,
        "quality": reading.quality.value,
        "reason": masker.mask(reading.reason),
    }


def _command(point: Point, masker: Masker) -> dict[str, Any]:
    values = values_of(point)
    return {
        "key": point.key,
        "name": masker.mask(point.name),
        "type": point.type.value,
        "unit": masker.mask(point.unit),
        "minimum": point.minimum,
        "maximum": point.maximum,
        "is_button": is_button(point),
        "values": None if values is None else [_shown(value, masker) for value in values],
    }


def is_button(point: Point) -> bool:
    """Return whether a point is only told to do something, without any value."""
    return all(write.argument is None and write.value is None for write in point.writes)


def values_of(point: Point) -> list[Argument] | None:
    """Return the only values that can be written to a point; None: any of its type."""
    if is_button(point):
        return None
    if point.type is PointType.BOOLEAN:
        known: Iterable[Argument] = (True, False)
    elif point.choices:
        known = point.choices
    elif all(write.argument is None for write in point.writes):
        known = [write.value for write in point.writes]
    else:
        known = next((write.choices for write in point.writes if write.choices), ())
    values = [value for value in known if can_write(point, value)]
    return values or None


def _shown(value: Argument, masker: Masker) -> Any:
    """Return a value as JSON can contain it, without secrets."""
    if value is None or isinstance(value, bool | float | int):
        return value if not isinstance(value, int) or abs(value) < 2**63 else str(value)[:_LONGEST_VALUE]
    text = masker.mask(value if isinstance(value, str) else shown(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def of_device(host: InterfaceHost, device: Device | None, topics: frozenset[str]) -> Callable[[Note], bool]:
    """Return which notes are shown for a device; None: all of the interface. `topics` are those of its documents.

    All messages of an interface are those of its device, if it has only one.
    """
    name = host.options.name
    is_only = device is None or len(host.devices.statuses()) == 1
    own = host.options.own_address
    words = [] if device is None else [device.address.get(field, own.get(field, "")) for field in ADDRESS_OF_DEVICE]

    def is_of_it(note: Note) -> bool:
        if note.interface == name and is_only:
            return True
        if note.interface not in (name, "") or device is None:
            return False
        for _, _, detail in note.steps:
            if isinstance(detail, InternalMsg):
                return list(detail[1:5]) == words and is_meant(device.where, command_arguments(detail))
            if isinstance(detail, Publication) and detail.topic in topics:
                return True
        return False

    return is_of_it
