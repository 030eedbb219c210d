"""The gateway's side of Home Assistant: what it announces, and when. For the main thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from gateway.configuration.load_entities import discovery_of
from gateway.configuration.settings import Configuration
from gateway.core.package_logger import package_logger
from gateway.integrations.homeassistant.announcer import Announcer
from gateway.integrations.homeassistant.discovery import (
    Announcement,
    Discovery,
    Source,
    announced_device,
)
from gateway.message import Arrival, ReplyTo
from gateway.mqtt.client import MgClient
from gateway.outbox.outbox import Outbox
from gateway.routing.router import Listener
from gateway.runtime.interface_host import InterfaceHost

LOG = package_logger(__name__)


class HomeAssistant:
    """Announces the devices of a gateway as its configuration says.

    If `is_recall_awaited`, nothing is announced before `recall` tells what the broker retains of an earlier run.
    `uniform` draws a number between two bounds.
    """

    def __init__(
        self,
        client: MgClient,
        outbox: Outbox,
        uniform: Callable[[float, float], float],
        *,
        is_recall_awaited: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._outbox = client, outbox
        self._announcer = Announcer(outbox.put, outbox.record_retained, clock, uniform)
        self._is_recall_awaited = is_recall_awaited
        self._recalled: dict[str, str] = {}  # devices that an earlier run has announced, by topic
        self._discovery: Discovery | None = None
        self._configuration: Configuration | None = None
        self._hosts: Mapping[str, InterfaceHost] = {}
        self._revisions: list[tuple[int, int, int]] = []
        self._connects = 0  # when the link was new last
        self._reported: set[str] = set()

    def announce_all(self) -> None:
        """Announce everything again: the broker has lost its memory."""
        self._announcer.announce_all()

    def stats(self) -> dict[str, int]:
        """Return the counters. Any thread may call this."""
        return self._announcer.stats()

    @property
    def topics(self) -> Collection[str]:
        """The topics of everything that is announced, or still to be taken back."""
        return self._announcer.topics

    @property
    def listeners(self) -> Mapping[str, Listener]:
        """The topics to subscribe to, with what is to be called with each message."""
        return {} if self._discovery is None else {self._discovery.birth_topic: self._on_status}

    def configure(self, configuration: Configuration, hosts: Mapping[str, InterfaceHost]) -> None:
        """Announce what another configuration says, and take back what is gone."""
        options = configuration.home_assistant
        self._configuration, self._hosts = configuration, hosts
        self._discovery = discovery_of(options, configuration.name, configuration.root) if options.enabled else None
        # Whatever prefix and node were then: nobody but this gateway has published what is in its outbox.
        owned = {
            topic: payload
            for topic, payload in dict(self._outbox.retained).items()
            if topic.endswith("/config") and announced_device(payload) is not None
        }
        self._announcer.restore(owned)
        self._announcer.try_again()
        self._update()

    def recall(self, retained: Mapping[str, bytes]) -> None:
        """Take back what an earlier run has announced, by topic, of devices that are gone; what others wrote stays.

        A device that a template may still make is announced until then as it was.
        """
        self._is_recall_awaited = False
        devices = {topic: announced_device(payload) for topic, payload in retained.items()}
        self._recalled = {topic: device for topic, device in devices.items() if device is not None}
        self._announcer.restore({topic: retained[topic] for topic in self._recalled})
        self._update()

    @property
    def due_in(self) -> float:
        """The seconds until `step` has something to do."""
        return math.inf if self._is_recall_awaited else self._announcer.due_in

    def step(self) -> None:
        """Announce devices that have come or gone, and send what is next."""
        if self._discovery is None and not self._announcer.topics:
            return
        if [host.devices.revision for host in self._hosts.values()] != self._revisions:
            self._update()
        if self._client.connects != self._connects:
            self._connects = self._client.connects
            self._tell_what_is_lost()
        if not self._is_recall_awaited:
            self._announcer.step()

    def _tell_what_is_lost(self) -> None:
        """Log, once, what Home Assistant lacks without MQTT 5."""
        protocol = self._client.protocol_in_words
        if self._discovery is not None and protocol != "MQTT 5" and protocol not in self._reported:
            self._reported.add(protocol)
            LOG.info(
                "the broker is connected with %s: commands of Home Assistant do not expire there, and from its release "
                "2027.1 on, Home Assistant accepts only brokers with MQTT 5",
                protocol,
            )

    def _on_status(self, arrival: Arrival, _: ReplyTo | None) -> None:
        if arrival.payload == b"online":
            self._announcer.home_assistant_started()

    # --- what is announced

    def _update(self) -> None:
        self._revisions = [host.devices.revision for host in self._hosts.values()]
        documents: dict[str, Mapping[str, Any]] = {}
        kept: list[str] = []
        if self._discovery is not None:
            sources = list(self._sources())
            documents.update(self._discovery.of_gateway(source.device for source in sources).documents)
            for source in sources:
                announcement = self._discovery.of_device(source)
                documents.update(announcement.documents)
                self._report(source, announcement)
            may_come = [topic for topic, device in self._recalled.items() if device and self._may_find(device)]
            kept = [topic for topic in may_come if self._discovery.owns(topic)]
        self._announcer.update(documents, kept)

    def _may_find(self, device: str) -> bool:
        """Return whether a template may make a device with this id."""
        if self._configuration is None:
            return False
        topic = self._configuration.document_topic(device, "state")
        return any(host.devices.may_find(topic) for host in self._hosts.values())

    def _sources(self) -> Iterable[Source]:
        for host in self._hosts.values():
            for device, template, told in host.devices.declarations():
                yield Source(device, host.options.msg_map, host.options.own_address, template, told)

    def _report(self, source: Source, announcement: Announcement) -> None:
        """Log why a point of a device of a template is no entity; that of others was a mistake of the configuration."""
        for problem in announcement.problems:
            text = f"{source.device.id}.{problem.path[-1]} is not announced to Home Assistant: {problem.what}"
            if text not in self._reported and len(self._reported) < 1000:
                self._reported.add(text)
                LOG.warning("%s: %s", text, problem.remedy)
