"""The health document: how a gateway is, as JSON of a limited size. Pure.

The document says everything about the gateway as a whole. Of its interfaces and devices it says as much as there is
room for: first the hundred devices whose entities Home Assistant may have, then those that are not online, then the
others; `not_shown` says how many are left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from gateway.message import iso_time
from gateway.routing.device_memory import DeviceStatus
from gateway.runtime.health import Health, InterfaceHealth, LinkHealth, Verdict

LARGEST = 64 * 1024
"""Bytes of a document; less, if the broker accepts only smaller packets."""

STATUS = {None: "unknown", True: "online", False: "offline"}
"""The status of a device in words."""

_LONGEST = 200  # characters of a text
_FIRST = 100  # devices that come first: Home Assistant has entities of the document for no more
_LEAST = 2048  # bytes that a document always gets
_END = 250  # bytes for the names of the parts, and for what is counted at the end
_NUMBERS = ("version", "level", "uptime", "link", "outbox", "commands", "process")  # where there is room for no texts
_INTERFACES = 4  # one part of so many of the room is left to the interfaces


def health_document(health: Health, verdict: Verdict, limit: int = LARGEST) -> bytes:
    """Return the document, of at most `limit` bytes, and of `_LEAST` at least."""
    limit = max(_LEAST, limit)
    document = _whole(health, verdict)
    text = _encoded(document)
    if len(text) > limit - _END:  # a broker that accepts next to nothing
        text = _encoded({key: document[key] for key in _NUMBERS})
    devices = [(name, device) for name, all_devices in health.devices.items() for device in all_devices]
    counts = Counter(STATUS[device.is_online] for _, device in devices)
    room = limit - len(text) - _END
    interfaces = _members(_interface_items(health), room // _INTERFACES if devices else room)
    shown = _members(_device_items(health.time, devices), room - sum(map(len, interfaces)) - len(interfaces))
    end = {
        "device_counts": {word: counts[word] for word in STATUS.values()},
        "not_shown": {"interfaces": len(health.interfaces) - len(interfaces), "devices": len(devices) - len(shown)},
    }
    members = b",".join(interfaces), b",".join(shown)
    return b'%s,"interfaces":{%s},"devices":{%s},%s' % (text[:-1], *members, _encoded(end)[1:])


def as_time(moment: float | None) -> str | None:
    """Return a moment (s, Unix time) as documents contain it; None if it is None, or no time at all."""
    try:
        return None if moment is None else iso_time(moment)
    except (ValueError, OverflowError, OSError):
        return None


def link_in_document(link: LinkHealth) -> dict[str, Any]:
    """Return the link as documents contain it."""
    return {
        "server": link.broker,
        "protocol": link.protocol,
        "session": link.session_present,
        "connects": link.connects,
        "since": as_time(link.since),
        "round_trip_ms": None if link.round_trip is None else round(1000 * link.round_trip, 1),
    }


def interface_in_document(interface: InterfaceHealth) -> dict[str, Any]:
    """Return an interface as documents contain it, but for the reason why it does not work."""
    return {
        "status": interface.status,
        "since": as_time(interface.since),
        "last_frame": as_time(interface.heard_at),
        "last_good_frame": as_time(interface.understood_at),
        "frames": {name: count for name, count in interface.frames.items() if count},
    }


def _whole(health: Health, verdict: Verdict) -> dict[str, Any]:
    outbox, error, process = health.outbox, health.last_error, health.process
    return {
        "name": health.name,
        "version": health.version,
        "time": as_time(health.time),
        "level": str(verdict.level),
        "problems": [
            {"level": str(each.level), "what": each.what, "remedy": each.remedy, "since": as_time(each.since)}
            for each in verdict.problems
        ],
        "configuration": health.configuration_hash,
        "uptime": round(health.uptime),
        "link": link_in_document(health.link),
        "outbox": {
            "waiting": outbox.waiting,
            "oldest": round(outbox.oldest),
            "dead_letters": outbox.dead_letters,
            "dropped": dict(outbox.dropped),
        },
        "commands": {"outcomes": dict(health.outcomes), "refused": dict(health.refused)},
        "last_error": None
        if error is None
        else {
            "time": as_time(error.time),
            "level": error.level,
            "text": error.text[:_LONGEST],
            "times": error.times,
        },
        "process": process._asdict(),
    }


def _interface_items(health: Health) -> Iterator[tuple[str, dict[str, Any]]]:
    items = sorted(health.interfaces.items(), key=lambda item: item[1].is_working)  # first those that do not work
    return ((name, _interface(interface)) for name, interface in items)


def _interface(interface: InterfaceHealth) -> dict[str, Any]:
    reason = interface.closed or interface.hang or interface.failure or interface.reason
    described = interface_in_document(interface)
    return {**described, "reason": reason[:_LONGEST]} if reason else described


def _device_items(now: float, devices: list[tuple[str, DeviceStatus]]) -> Iterator[tuple[str, dict[str, Any]]]:
    numbered = sorted(enumerate(devices), key=lambda item: (item[0] >= _FIRST, item[1][1].is_online is True))
    return ((device.id, _device(now, interface, device)) for _, (interface, device) in numbered)


def _device(now: float, interface: str, device: DeviceStatus) -> dict[str, Any]:
    described: dict[str, Any] = {
        "status": STATUS[device.is_online],
        "interface": interface,
        "last_heard": None if device.age is None else as_time(now - device.age),
    }
    if device.is_online is False:
        described["stale_since"] = None if device.since is None else as_time(now - device.since)
        described["reason"] = device.reason[:_LONGEST]
    return described


def _members(items: Iterator[tuple[str, dict[str, Any]]], room: int) -> list[bytes]:
    """Return as many members of a JSON object as fit into `room` bytes."""
    members: list[bytes] = []
    for key, value in items:
        member = b"%s:%s" % (_encoded(key), _encoded(value))
        room -= len(member) + 1
        if room < 0:
            break
        members.append(member)
    return members


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # `json.dumps` would make one each time


def _encoded(value: object) -> bytes:
    return _encode(value).encode(errors="replace")
