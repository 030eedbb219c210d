"""The view of the whole: link, outbox, rates, interfaces and devices, and what is wrong in plain words.

It is asked for every second, by each browser, so that an answer has a few bytes for each device: names come with an
answer of their own, and only if there are other devices than before (`devices`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from gateway.page.history import INTERVAL, History, Key, counters, refresh
from gateway.page.source import Source
from gateway.routing.device_memory import DeviceStatus
from gateway.runtime.health import Health, InterfaceHealth, Problem, assess, summary
from gateway.web.app import Request, Route

Names = Mapping[str, Mapping[str, tuple[str, str]]]
"""Name and area of each device, by interface and id."""

_STATES = {True: "1", False: "0", None: "-"}


class Overview:
    """Answers what the overview asks for. Browsers that ask within half a second get the same answer."""

    def __init__(self, source: Source, history: History) -> None:
        self._source = source
        self._history = history
        self._lock = threading.Lock()
        self._health: Health | None = None
        self._answer: Mapping[str, Any] = {}
        self._names: dict[str, tuple[tuple[int, int, int], Mapping[str, tuple[str, str]]]] = {}

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the addresses."""
        return {
            ("GET", "/api/overview"): Route(self._overview),
            ("GET", "/api/devices"): Route(self._devices),
            ("GET", "/api/history"): Route(self._sparklines),
        }

    def _overview(self, _: Request) -> Mapping[str, Any]:
        health = self._source.health()
        with self._lock:
            if health is not self._health:
                gateway = self._source.gateway
                counts = {"/".join(key): count for key, count in counters(gateway).items()}
                refresh(gateway)  # for the next answer
                rates = {"at": round(time.monotonic(), 3), "counts": counts}
                self._health, self._answer = health, {**overview(health, self._known_names()), "rates": rates}
            return self._answer

    def _devices(self, _: Request) -> Mapping[str, Any]:
        health = self._source.health()
        with self._lock:
            names = self._known_names()
        mask = self._source.masker().mask
        interfaces = {
            name: [[each.id, *map(mask, names.get(name, {}).get(each.id, ("", "")))] for each in devices]
            for name, devices in health.devices.items()
        }
        return {"revision": revision(health, names), "interfaces": interfaces}

    def _sparklines(self, _: Request) -> Mapping[str, Any]:
        keys: list[Key] = [("in",), ("out",), ("outbox",), ("round_trip",)]
        keys += [("frames", name) for name in dict(self._source.gateway.hosts)]
        return {"interval": INTERVAL, "series": {"/".join(key): self._history.of(key) for key in keys}}

    def _known_names(self) -> Names:
        """Return what the devices are called. The declarations are read again only when they have changed."""
        hosts = dict(self._source.gateway.hosts)
        for name, host in hosts.items():
            revision_now = host.devices.revision
            if self._names.get(name, (None,))[0] != revision_now:
                declared = {device.id: (device.name, device.area) for device, _, _ in host.devices.declarations()}
                self._names[name] = revision_now, declared
        self._names = {name: each for name, each in self._names.items() if name in hosts}
        return {name: declared for name, (_, declared) in self._names.items()}


def overview(health: Health, names: Names) -> dict[str, Any]:
    """Return what the overview shows of a gateway."""
    verdict = assess(health)
    return {
        "name": health.name,
        "version": health.version,
        "time": round(health.time, 1),
        "uptime": round(health.uptime),
        "level": str(verdict.level),
        "summary": summary(health),
        "problems": [problem_part(each) for each in verdict.problems],
        "last_error": None if health.last_error is None else health.last_error._asdict(),
        "link": _link(health),
        "outbox": _outbox(health),
        "commands": {"outcomes": dict(health.outcomes), "refused": {k: n for k, n in health.refused.items() if n}},
        "interfaces": {name: _interface(each, health, name) for name, each in health.interfaces.items()},
        "revision": revision(health, names),
        "process": {**health.process._asdict(), "configuration": health.configuration},
    }


def problem_part(problem: Problem) -> dict[str, Any]:
    """Return what is shown of a problem."""
    return {
        "level": str(problem.level),
        "what": problem.what,
        "remedy": problem.remedy,
        "since": problem.since,
        "interface": problem.interface,
        "device": problem.device,
        "view": problem.view,
    }


def _link(health: Health) -> dict[str, Any]:
    link = health.link
    return {
        "is_up": link.is_up,
        "state": link.state,
        "broker": link.broker,
        "protocol": link.protocol,
        "since": link.since,
        "round_trip": link.round_trip,
        "connects": link.connects,
    }


def _outbox(health: Health) -> dict[str, Any]:
    outbox = health.outbox
    return {
        "file": outbox.file,
        "waiting": outbox.waiting,
        "oldest": round(outbox.oldest, 1),
        "dead_letters": outbox.dead_letters,
        "level_percent": outbox.level_percent,
        "dropped": {kind: count for kind, count in outbox.dropped.items() if count},
    }


def _interface(interface: InterfaceHealth, health: Health, name: str) -> dict[str, Any]:
    devices = health.devices.get(name, ())
    return {
        "type": interface.type,
        "status": interface.status,
        "reason": interface.hang or interface.closed or interface.reason,
        "since": interface.since,
        "heard_at": interface.heard_at,
        "understood_at": interface.understood_at,
        "states": "".join(_STATES[each.is_online] for each in devices),
        "ages": [None if each.age is None else round(each.age) for each in devices],
        "reasons": dict(_reasons(devices)),
    }


def _reasons(devices: Sequence[DeviceStatus]) -> Iterator[tuple[str, list[int]]]:
    """Yield why devices are offline, each reason with the places of its devices: many are so for the same one."""
    places: dict[str, list[int]] = {}
    for number, device in enumerate(devices):
        if device.is_online is False:
            places.setdefault(device.reason, []).append(number)
    yield from places.items()


def revision(health: Health, names: Names) -> int:
    """Return a number that changes when there are other devices, or they are called something else."""
    listed = [(name, [each.id for each in devices]) for name, devices in health.devices.items()]
    return crc32(repr((listed, names)).encode(errors="replace"))
