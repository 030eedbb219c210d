"""What the documents have to be, from what has happened: simple, and of its own. It uses no code of the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.restart.plant import UNITS
from tests.restart.setup import Setup

MISSING: Final = "(missing)"

REPEATED: Final = {("boiler", "temperature"), ("probe", "celsius"), ("tank", "level"), ("pump", "on"),
                   *((f"unit{unit}", "power") for unit in UNITS)}  # fmt: skip
"""The points that a device reports again and again; the others are sent once."""


@dataclass
class Known:
    """What a document may contain of a point: one of `values`, and one of `qualities`, as long as it has a value."""

    values: list[Any] = field(default_factory=lambda: [MISSING])
    qualities: set[str] = field(default_factory=lambda: {"good"})

    def may_be(self, *values: Any) -> None:
        self.values += [value for value in values if value not in self.values]


class Expected:
    """What the gateway can know, and the broker has to have.

    `is_on_disk`: what the gateway has known survives its end. Of a group of events, the order is known but not the
    time that each takes to be noticed. Therefore several results may be allowed, until a look has shown which it was.
    """

    def __init__(self, setup: Setup, is_on_disk: bool) -> None:
        self.setup = setup
        self._is_on_disk = is_on_disk
        self.is_gateway_up = False
        self.silent: set[str] = {"unit3", "unit4"}
        self.works = {"bus": True, "water": True}  # whether the interface can open its device
        self.now: dict[tuple[str, str], Any] = {}  # of the repeated points
        self.known: dict[tuple[str, str], Known] = {}
        self.history: dict[tuple[str, str], list[Any]] = {}
        self.units: dict[str, bool | None] = {}
        """Devices of the template: whether the gateway has heard of them in this life; None: perhaps."""
        self.leftovers: set[str] = set()
        """Topics that the broker may have of an earlier life of a gateway which remembers nothing."""
        self._published: set[str] = set()
        self._is_uncertain = False  # whether a reload may not have been noticed yet

    # --- what happens

    def started(self, setup: Setup) -> None:
        self.is_gateway_up = True
        self.units = self.units if self._is_on_disk else {}
        self._change_to(setup)
        for device in self.setup.devices():
            if self._may_be_heard(device):
                self._hear(device)

    def ended(self, is_killed: bool) -> None:
        self.is_gateway_up = False
        if not self._is_on_disk:
            self.leftovers |= self._published | self._topics(self.setup)
        for known in self.known.values():
            known.qualities = {"stale"}
        # The disk may have what was so a minute ago, and the broker what it had when it was connected last.
        if not self._is_on_disk or is_killed or self._is_uncertain:
            missing = () if self._is_on_disk else (MISSING,)
            for point, values in self.history.items():
                self.known.setdefault(point, Known(qualities={"stale"})).may_be(*missing, *values)
        self._is_uncertain = False

    def reloaded(self, setup: Setup) -> None:
        self._is_uncertain = True
        self._change_to(setup)

    def lost_memory(self) -> None:
        """Record that the broker has begun with nothing retained."""
        self.leftovers = set()

    def interface(self, name: str, works: bool) -> None:
        self.works[name] = works
        for device, (interface, _) in self.setup.devices().items():
            if interface == name:
                self._doubt(device)
                self._hear(device)

    def silence(self, device: str, is_silent: bool) -> None:
        (self.silent.add if is_silent else self.silent.discard)(device)
        self._doubt(device)
        if not is_silent:
            self._hear(device)

    def measure(self, device: str, point: str, value: Any) -> None:
        """Record that a repeated point has another value."""
        self.now[device, point] = value
        self._hear(device)

    def tell(self, device: str, point: str, value: Any) -> None:
        """Record that a value was sent once, which the gateway has received for certain."""
        self.history.setdefault((device, point), []).append(value)
        if any(key.name == point for key in self.setup.devices().get(device, ("", ()))[1]):
            self.known[device, point] = Known([value])

    def _hear(self, device: str) -> None:
        """Record that the repeated values of a device may be known to the gateway from now on."""
        if not self._may_be_heard(device):
            return
        for point in self.setup.devices()[device][1]:
            if (device, point.name) in REPEATED:
                value = self.now[device, point.name]
                self.history.setdefault((device, point.name), []).append(value)
                known = self.known.setdefault((device, point.name), Known())
                known.may_be(value)
                known.qualities |= {"good"}
        if device.startswith("unit") and not self.units.get(device):
            self.units[device] = None

    def _may_be_heard(self, device: str) -> bool:
        interface = self.setup.devices().get(device, ("",))[0]
        return self.is_gateway_up and device not in self.silent and self.works.get(interface, False)

    def _doubt(self, device: str) -> None:
        for (name, _), known in self.known.items():
            if name == device:
                known.qualities |= {"stale"}

    def _change_to(self, setup: Setup) -> None:
        previous, self.setup = self.setup, setup
        devices = setup.devices()
        keys = {(device, point.name): point.key for device, (_, points) in devices.items() for point in points}
        old = {(device, p.name): p.key for device, (_, points) in previous.devices().items() for p in points}
        for point in [point for point in self.known if keys.get(point) != old.get(point) or point not in keys]:
            del self.known[point]
        if (setup.meter_id, setup.meter_silence) != (previous.meter_id, previous.meter_silence):
            is_other = setup.meter_id != previous.meter_id
            for device in list(self.units):
                self.units[device] = None if not is_other else False
            for (device, name), known in self.known.items():
                if device.startswith("unit"):
                    known.may_be(MISSING, *self.history.get((device, name), ()))
                    known.qualities |= {"stale"}
        for device in devices:
            self._hear(device)

    # --- what has to be

    def _topics(self, setup: Setup) -> set[str]:
        ids = [setup.id_of(device) for device in setup.devices()]
        return {
            *(f"home/gw/{device}/{kind}" for device in ids for kind in ("state", "availability")),
            *(f"home/gw/{interface}/availability" for interface in setup.interfaces()),
        }

    def links(self, retained: Mapping[str, bytes]) -> Iterator[str]:
        """Yield what is wrong with the availability of gateway and interfaces."""
        if retained.get("home/gw/availability") != b"online":
            yield "the gateway is not online"
        for interface in self.setup.interfaces():
            topic = f"home/gw/{interface}/availability"
            payload = b"online" if self.works[interface] else b"offline"
            if retained.get(topic) != payload:
                yield f"{topic} is {retained.get(topic)!r} instead of {payload!r}"

    def problems(self, retained: Mapping[str, bytes]) -> Iterator[str]:
        """Yield what is wrong with what the broker retains, in the end."""
        yield from self.links(retained)
        allowed = {f"home/gw/{interface}/availability" for interface in self.setup.interfaces()}
        allowed |= {"home/gw/availability", "home/gw/health", "home/gw/run"}
        for device in self.setup.devices():
            topic = f"home/gw/{self.setup.id_of(device)}"
            is_there = self._is_there(device)
            if is_there is not False:
                allowed |= {f"{topic}/state", f"{topic}/availability"}
            if is_there or (is_there is None and f"{topic}/state" in retained):
                yield from self._problems_of(device, topic, retained)
        found = f"home/gw/{self.setup.meter_id.partition('{')[0]}"  # a template may still make these devices
        allowed |= {topic for topic in self.leftovers if topic.startswith(found)}
        for topic in retained.keys() - allowed:
            yield f"{topic} is of no device: {retained[topic]!r}"

    def _is_there(self, device: str) -> bool | None:
        if not device.startswith("unit"):
            return True
        if self._is_online(device):
            return True
        return self.units.get(device, None if self._is_on_disk else False)

    def _is_online(self, device: str) -> bool:
        return device not in self.silent and self.works[self.setup.devices()[device][0]]

    def _problems_of(self, device: str, topic: str, retained: Mapping[str, bytes]) -> Iterator[str]:
        status = "online" if self._is_online(device) else "offline"
        if device.startswith("unit") and f"{topic}/state" in self.leftovers and status == "offline":
            return  # the gateway knows nothing of it, and the broker has what another one has left
        payload = retained.get(f"{topic}/state")
        if payload is None:
            yield f"{topic}/state is missing"
            return
        document = json.loads(payload)
        if document["_status"] != status:
            yield f"{topic} is {document['_status']} instead of {status}"
        if bool(document.get("_reason")) != (status == "offline"):
            yield f"{topic}: _reason is {document.get('_reason')!r}"
        if retained.get(f"{topic}/availability") != status.encode():
            yield f"{topic}/availability is {retained.get(f'{topic}/availability')!r} instead of {status}"
        points = self.setup.devices()[device][1]
        for point in points:
            value, quality = document.get(point.key, MISSING), document["_quality"].get(point.key, "good")
            values, qualities = self._allowed(device, point.name)
            if value not in values or type(value) not in map(type, values):
                yield f"{topic}: {point.key} is {value!r} instead of one of {values}"
            elif quality not in (qualities if value != MISSING else {"unknown"}):
                yield f"{topic}: {point.key} = {value!r} is {quality} instead of {' or '.join(sorted(qualities))}"
        keys = {key for key in document if not key.startswith("_")}
        if keys - {point.key for point in points} or keys != document["_time"].keys():
            yield f"{topic}: the document has {sorted(keys)}, and times of {sorted(document['_time'])}"

    def _allowed(self, device: str, point: str) -> tuple[list[Any], set[str]]:
        if self._is_online(device) and (device, point) in REPEATED:
            return [self.now[device, point]], {"good"}
        known = self.known.get((device, point), Known())
        return known.values, known.qualities if self._is_online(device) else {"stale"}

    def observed(self, retained: Mapping[str, bytes]) -> None:
        """Record that everything is as it has to be: from now on it is known which of several it was."""
        self._is_uncertain = False
        self._published |= {topic for topic in retained if topic.startswith("home/gw/")}
        for device, (_, points) in self.setup.devices().items():
            topic = f"home/gw/{self.setup.id_of(device)}/state"
            if device.startswith("unit"):
                self.units[device] = (topic in retained and topic not in self.leftovers) or self._is_online(device)
                if self._is_online(device):
                    self.leftovers -= {topic, topic.replace("/state", "/availability")}
            if topic not in retained and self._is_on_disk:
                for point in points:  # the documents are removed; what the disk had may come back with the device
                    values = self.history.get((device, point.name), ())
                    self.known[device, point.name] = Known([MISSING, *values], {"stale"})
            if topic not in retained or topic in self.leftovers:
                continue
            document = json.loads(retained[topic])
            for point in points:
                if point.key in document:
                    quality = document["_quality"].get(point.key, "good")
                    self.known[device, point.name] = Known([document[point.key]], {quality})
                else:
                    self.known.pop((device, point.name), None)
