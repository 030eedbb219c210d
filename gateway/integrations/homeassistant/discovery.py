"""The discovery documents of Home Assistant for the devices of a gateway, and for the gateway itself. Pure.

One document a device, or, for releases before 2024.11, one a component. Everything that identifies a device or an
entity is made of ids, never of names or areas, which people change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from gateway.core.topic import filter_matches
from gateway.devices.point import Device
from gateway.errors import Problem
from gateway.integrations.homeassistant import templates
from gateway.integrations.homeassistant.commands import CommandWriter
from gateway.integrations.homeassistant.entities import Entity, entities_of, outcome_entity, slug
from gateway.integrations.homeassistant.options import (
    COMPONENTS,
    HomeAssistantOptions,
    announced_filter,
    node_of,
)
from gateway.integrations.homeassistant.parts import Topics
from gateway.message import HEALTH
from gateway.translation.mqtt_map import MsgMap

GATEWAY = "-gateway"
"""The object of the gateway's own document: no device can have this id."""


_ORIGIN = "mqttgateway"


class Source(NamedTuple):
    """A device as it is now: its declaration, the map of its interface, the words of the interface's messages.

    `template` is the id by which it is declared, if that of a template; `told` are the points of which it has had a
    value, None: it is only an example of one.
    """

    device: Device
    msg_map: MsgMap
    own: Mapping[str, str]
    template: str = ""
    told: Collection[str] | None = None


class Announcement(NamedTuple):
    """What is announced of one device: its documents by topic, its entities, and what is wrong with others.

    The paths of `problems` begin within `entities`, with the device's id.
    """

    documents: Mapping[str, Mapping[str, Any]]
    entities: tuple[Entity, ...] = ()
    problems: tuple[Problem, ...] = ()


class Discovery:
    """Writes discovery documents for the gateway called `gateway`, of the version `version`.

    `document_topic` returns the topic of a document of a device, by its id and the kind; those of the gateway itself
    have the id `""`.
    """

    def __init__(
        self,
        options: HomeAssistantOptions,
        gateway: str,
        version: str,
        document_topic: Callable[[str, str], str],
    ) -> None:
        self.options = options
        self._gateway = gateway
        self._node = node_of(options, gateway)
        self._version = version
        self._topic = document_topic
        self._availability_topic = document_topic("", "availability")
        self._health_topic = document_topic("", HEALTH)

    @property
    def birth_topic(self) -> str:
        """The topic on which Home Assistant tells that it has started."""
        return f"{self.options.prefix}/status"

    @property
    def _is_old(self) -> bool:
        return self.options.form == COMPONENTS

    def owns(self, topic: str) -> bool:
        """Return whether `topic` can be that of a discovery document of this gateway, in either form."""
        return filter_matches(announced_filter(self.options, self._gateway), topic)

    # --- devices

    def of_device(self, source: Source) -> Announcement:
        """Return what is announced of a device."""
        device = source.device
        topics = Topics(*(self._topic(device.id, kind) for kind in ("state", "outcome", "event")))
        declared = self.options.entities.get(source.template or device.id, {})
        writer = CommandWriter(source.msg_map, device, source.own)
        told = source.told if source.template else None
        entities, problems = entities_of(device, writer, topics, declared, told, is_old=self._is_old)
        if any(entity.commands for entity in entities):
            entities.append(outcome_entity(topics))
        base = self._base(device)
        components = {entity.key: self._component(device, entity, topics) for entity in entities}
        documents = self._documents(device.id, base, components)
        problems = [problem._replace(path=(source.template or device.id, *problem.path)) for problem in problems]
        return Announcement(documents, tuple(entities), tuple(problems))

    def _base(self, device: Device) -> dict[str, Any]:
        described = {
            "identifiers": [f"mqttgateway_{self._node}/{device.id}"],  # `a_b` is not the device `b` of a gateway `a`
            "name": device.name or device.id,
            "manufacturer": device.manufacturer,
            "model": device.model,
            "suggested_area": device.area,
            "via_device": f"mqttgateway_{self._node}",
        }
        return {
            "device": {key: value for key, value in described.items() if value},
            "origin": self._origin(),
            "availability": self._availability(device),
            "availability_mode": "all",
            "qos": 1,
        }

    def _origin(self) -> dict[str, str]:
        return {"name": _ORIGIN, "sw_version": self._version}

    def _availability(self, device: Device) -> list[dict[str, str]]:
        topics = (self._availability_topic, self._topic(device.id, "availability"))
        return [{"topic": topic} for topic in dict.fromkeys(topics)]

    def _component(self, device: Device, entity: Entity, topics: Topics) -> dict[str, Any]:
        component = self._named(device.id, entity)
        if entity.points:
            reliable = {"topic": topics.state, "value_template": templates.reliable(entity.points).text}
            component["availability"] = [*self._availability(device), reliable]
        return component

    def _object(self, owner: str, key: str) -> str:
        """Return what no other entity of the gateway is called: `a_b` with the point `c` is not `a` with `b_c`.

        The key of a point has no hyphen.
        """
        return f"{owner}{'-' if '_' in owner else '_'}{key}"

    def _named(self, owner: str, entity: Entity) -> dict[str, Any]:
        name = slug(*((self._node, "gateway") if owner == GATEWAY else (owner,)), entity.key)
        return {
            "platform": entity.platform,
            "unique_id": f"{self._node}_{self._object(owner, entity.key)}",
            "default_entity_id": f"{entity.platform}.{name}",
            **entity.config,
        }

    def _documents(
        self, owner: str, base: Mapping[str, Any], components: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Mapping[str, Any]]:
        if not components:
            return {}
        prefix = self.options.prefix
        if not self._is_old:
            return {f"{prefix}/device/{self._node}/{owner}/config": {**base, "components": dict(components)}}
        documents: dict[str, Mapping[str, Any]] = {}
        for key, component in components.items():
            topic = f"{prefix}/{component['platform']}/{self._node}/{self._object(owner, key)}/config"
            # The name of 2026.4 and later, and that of the releases before.
            object_id = component["default_entity_id"].partition(".")[2]
            own = {name: value for name, value in component.items() if name != "platform"}
            documents[topic] = {**base, **own, "object_id": object_id}
        return documents

    # --- the gateway

    def of_gateway(self, devices: Iterable[Device]) -> Announcement:
        """Return what is announced of the gateway itself: the link, what waits, what was refused."""
        # In old releases, a time that is not known is a warning in the log, for each document.
        heard = () if self._is_old else devices
        entities = list(_gateway_entities(self._availability_topic, self._health_topic, heard))
        base = {
            "device": {
                "identifiers": [f"mqttgateway_{self._node}"],
                "name": self._gateway,
                "model": "mqttgateway",
                "sw_version": self._version,
            },
            "origin": self._origin(),
            "qos": 1,
        }
        components = {entity.key: self._gateway_component(entity) for entity in entities}
        return Announcement(self._documents(GATEWAY, base, components), tuple(entities))

    def _gateway_component(self, entity: Entity) -> dict[str, Any]:
        component = self._named(GATEWAY, entity)
        if entity.config["state_topic"] != self._availability_topic:
            component["availability"] = [{"topic": self._availability_topic}]
        return component


_MAX_LAST_HEARD = 100
"""Devices of which the gateway's health document tells when they were heard: each entity reads the whole document."""


def _gateway_entities(availability: str, health: str, devices: Iterable[Device]) -> Iterable[Entity]:
    diagnostic = {"entity_category": "diagnostic"}
    link = {"name": "Link to the broker", "state_topic": availability, "payload_on": "online", "payload_off": "offline"}
    yield Entity("link", "binary_sensor", {**link, "device_class": "connectivity", **diagnostic})

    def sensor(key: str, name: str, *path: str, **more: Any) -> Entity:
        read = {"state_topic": health, "value_template": templates.at(*path).text}
        return Entity(key, "sensor", {"name": name, **read, **more, **diagnostic})

    counted = {"state_class": "measurement"}
    grows = {"state_class": "total_increasing"}
    yield sensor("protocol", "Protocol", "link", "protocol")
    yield sensor("version", "Version", "version")
    yield sensor("outbox_waiting", "Messages waiting", "outbox", "waiting", **counted)
    age = {"unit_of_measurement": "s", "device_class": "duration", **counted}
    yield sensor("outbox_age", "Age of the oldest message", "outbox", "oldest", **age)
    yield sensor("dead_letters", "Dead letters", "outbox", "dead_letters", **counted)
    for kind in REFUSALS:
        yield sensor(f"refused_{kind}", f"Refused: {kind.replace('_', ' ')}", "commands", "refused", kind, **grows)
    heard = {"device_class": "timestamp"}
    for device in list(devices)[:_MAX_LAST_HEARD]:
        name = f"{device.name or device.id}: last heard"
        yield sensor(f"heard_{device.id}", name, "devices", device.id, "last_heard", **heard)


REFUSALS = (
    "retained_command", "queued_command", "late_command", "duplicate_command", "expired_command", "undated_command",
    "inbox_full",
)  # fmt: skip
"""The kinds of refused commands that the health document counts."""


def payload_of(document: Mapping[str, Any]) -> bytes:
    """Return a discovery document as the payload of a message."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def with_tombstones(payload: bytes, previous: bytes) -> bytes:
    """Return a device's document in which components that only `previous` has, or of another platform, are removed.

    Home Assistant removes one that has nothing but its platform. One that is merely left out stays until its next
    start, and one that changes its platform in one go stays for ever.
    """
    if not previous or payload == previous:
        return payload
    document = json.loads(payload)
    now = document.get("components", {})
    try:
        before = json.loads(previous)["components"]
        gone = {
            key: {"platform": component["platform"]}
            for key, component in before.items()
            if len(component) > 1
            and isinstance(component["platform"], str)
            and now.get(key, {}).get("platform") != component["platform"]
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return payload  # what is retained there is of somebody else
    return payload_of({**document, "components": {**now, **gone}}) if gone else payload


MIGRATE = b'{"migrate_discovery": true}'
"""Has Home Assistant let the entities of a topic be taken over by documents of the other form."""


def announced_device(payload: bytes) -> str | None:
    """Return the id of the device that a retained document of an earlier run announces, `""` for the gateway itself.

    None: nobody but another program can have written it.
    """
    if payload == MIGRATE:
        return ""
    try:
        document = json.loads(payload)
        if document["origin"]["name"] != _ORIGIN:
            return None
        topics = [entry["topic"].split("/") for entry in document.get("availability", ())]
        return topics[1][-2] if len(topics) > 1 and "via_device" in document["device"] else ""
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def is_device_form(topic: str) -> bool:
    """Return whether a discovery topic is that of a device's document, not of a component's."""
    return topic.split("/")[-4] == "device"
