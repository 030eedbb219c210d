"""The gateway's side of Home Assistant: what it announces, when, and how the gateway itself is. For the main thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from gateway import __version__
from gateway.configuration.load_entities import discovery_of, own_words
from gateway.configuration.settings import Configuration
from gateway.core.package_logger import package_logger
from gateway.core.receipt import Receipt
from gateway.integrations.homeassistant.announcer import Announcer
from gateway.integrations.homeassistant.discovery import REFUSALS, Announcement, Discovery, Source
from gateway.message import Publication, iso_time
from gateway.mqtt.client import MgClient
from gateway.outbox.outbox import Outbox
from gateway.routing.device_memory import DeviceStatus
from gateway.runtime.health import Health, health_document
from gateway.runtime.interface_host import InterfaceHost

LOG = package_logger(__name__)

_HEALTH_INTERVAL = 60.0  # s


class HomeAssistant:
    """Announces the devices of `hosts` as `configuration` says, and publishes the health document.

    `counts` returns how many messages were refused, by kind, and `set_state` publishes a retained state.
    """

    def __init__(
        self,
        client: MgClient,
        outbox: Outbox,
        counts: Callable[[], Mapping[str, int]],
        uniform: Callable[[float, float], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._outbox, self._counts, self._clock = client, outbox, counts, clock
        self._announcer = Announcer(self._put, outbox.record_retained, clock, uniform)
        self._discovery: Discovery | None = None
        self._configuration: Configuration | None = None
        self._health_topic = ""
        self._hosts: Mapping[str, InterfaceHost] = {}
        self._revisions: list[tuple[int, int]] = []
        self._health_at = math.inf
        self._connects = 0  # at the last health document
        self._reported: set[str] = set()
        outbox.on_forgotten = self._announcer.announce_all

    def stats(self) -> dict[str, int]:
        """Return the counters. Any thread may call this."""
        return self._announcer.stats()

    @property
    def topics(self) -> Collection[str]:
        """The topics of everything that is announced, or still to be taken back."""
        health = [self._health_topic] if self._discovery is not None else []
        return [*self._announcer.topics, *health]

    @property
    def listeners(self) -> Mapping[str, Callable[[bytes], None]]:
        """The topics to subscribe to, with what is to be called with each payload."""
        return {} if self._discovery is None else {self._discovery.birth_topic: self._on_status}

    def configure(self, configuration: Configuration, hosts: Mapping[str, InterfaceHost]) -> None:
        """Announce what another configuration says, and take back what is gone."""
        options = configuration.home_assistant
        before, was_enabled = self._health_topic, self._discovery is not None
        self._configuration, self._hosts, self._health_topic = configuration, hosts, configuration.health_topic
        self._discovery = discovery_of(options, configuration.name, configuration.root) if options.enabled else None
        if was_enabled and (self._discovery is None or before != self._health_topic):
            self._client.set_state(before, b"")
        owned = {
            topic: payload
            for topic, payload in dict(self._outbox.retained).items()
            if payload and self._owns(topic)
        }  # fmt: skip
        self._announcer.restore(owned)
        self._health_at = -math.inf if self._discovery is not None else math.inf
        self._update()

    def _owns(self, topic: str) -> bool:
        """Return whether an earlier run may have announced something on `topic`, whatever its prefix was."""
        levels = topic.split("/")
        name = self._configuration.name if self._configuration is not None else ""
        discovery = self._discovery
        return levels[-1] == "config" and (
            discovery.owns(topic) if discovery is not None else len(levels) >= 5 and levels[-3] == name
        )

    @property
    def due_in(self) -> float:
        """The seconds until `step` has something to do."""
        return min(self._announcer.due_in, max(0.0, self._health_at - self._clock()))

    def step(self) -> None:
        """Announce devices that have come or gone, send what is next, and publish the health document if it is due."""
        if self._discovery is None and not self._announcer.topics:
            return
        if [host.devices.revision for host in self._hosts.values()] != self._revisions:
            self._update()
        self._announcer.step()
        if self._clock() >= self._health_at or (
            self._discovery is not None and self._client.connects != self._connects
        ):
            self._connects = self._client.connects
            self._health_at = self._clock() + _HEALTH_INTERVAL
            self._outbox.record_retained(self._health_topic, b"{}")  # a run without it has to clear the topic
            self._client.set_state(self._health_topic, self._health())

    def _on_status(self, payload: bytes) -> None:
        if payload == b"online":
            self._announcer.home_assistant_started()

    def _put(self, publication: Publication, receipt: Receipt) -> bool:
        return self._outbox.put(publication, receipt)

    # --- what is announced

    def _update(self) -> None:
        self._revisions = [host.devices.revision for host in self._hosts.values()]
        documents: dict[str, Mapping[str, Any]] = {}
        if self._discovery is not None:
            sources = list(self._sources())
            documents.update(self._discovery.of_gateway(source.device for source in sources).documents)
            for source in sources:
                announcement = self._discovery.of_device(source)
                documents.update(announcement.documents)
                self._report(source, announcement)
        self._announcer.update(documents)

    def _sources(self) -> Iterable[Source]:
        for host in self._hosts.values():
            own = own_words(host.options)
            for device, template in host.devices.declarations():
                yield Source(device, host.options.msg_map, own, template)

    def _report(self, source: Source, announcement: Announcement) -> None:
        """Log why a point of a device of a template is no entity; that of others was a mistake of the configuration."""
        for problem in announcement.problems:
            text = f"{source.device.id}.{problem.path[-1]} is not announced to Home Assistant: {problem.what}"
            if text not in self._reported and len(self._reported) < 1000:
                self._reported.add(text)
                LOG.warning("%s: %s", text, problem.remedy)

    # --- how the gateway is

    def _health(self) -> bytes:
        statuses = [status for host in self._hosts.values() for status in host.devices.statuses()]
        counts, client = self._outbox.counts(), self._client
        refused = self._counts()
        health = Health(
            __version__,
            client.protocol_in_words,
            client.connects,
            counts.waiting + counts.in_flight,
            self._outbox.oldest_age,
            counts.set_aside,
            {kind: refused.get(kind, 0) for kind in REFUSALS},
            statuses,
        )
        return health_document(health, {status.id: at for status in statuses if (at := _heard_at(status))})


def _heard_at(status: DeviceStatus) -> str:
    return "" if status.age is None else iso_time(time.time() - status.age)
