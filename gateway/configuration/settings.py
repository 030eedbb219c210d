"""The checked configuration as immutable data: what `load_configuration` returns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway.devices.document import RETAINED_KINDS
from gateway.devices.point import Device
from gateway.errors import Finding
from gateway.integrations.homeassistant.options import HomeAssistantOptions
from gateway.logs.init_logger import LogOptions
from gateway.message import HEALTH, MANAGE, RUN
from gateway.mqtt.options import MqttOptions
from gateway.outbox.options import OutboxOptions
from gateway.routing.command_guard import CommandOptions
from gateway.routing.command_index import Addresses
from gateway.routing.message_filter import Filters
from gateway.routing.reading_time import ReadingTime
from gateway.routing.response_topics import ResponseTopics
from gateway.translation.mqtt_map import MsgMap
from gateway.web.options import WebOptions

HANG_LIMIT = 600.0
"""Seconds that an interface may hang before the process is restarted for it, where a service manager can do that."""


def document_topic(root: str, gateway: str, device: str, kind: str) -> str:
    """Return the topic of a document of a device, below the root and the name of its gateway.

    The documents of the gateway itself have the device `""`.
    """
    return "/".join(filter(None, (root, gateway, device, kind)))


class InterfaceOptions(NamedTuple):
    """One interface: its name, its class, its options with defaults filled in, its map, and its filters.

    `addresses` are the addresses of the commands that the interface receives; None: it receives every message.
    `devices` are the devices behind it; `max_devices` limits those that are added at their first reading.
    `reading_time` says how the times of readings travel with them; None: they do not.
    """

    name: str
    cls: type[Any]
    params: Mapping[str, Any]
    msg_map: MsgMap
    filters: Filters = Filters()
    addresses: Addresses | None = None
    devices: tuple[Device, ...] = ()
    max_devices: int = 100
    reading_time: ReadingTime | None = None

    @property
    def own_address(self) -> Mapping[str, str]:
        """The words that the messages of the interface have, unless a device or a rule has others."""
        address = self.params.get("address")
        if not isinstance(address, Mapping):
            return {}
        return {field: word for field, word in address.items() if isinstance(word, str)}


class Configuration(NamedTuple):
    """A complete and checked configuration.

    `files` are the other files that were read: maps, code, and those with secrets. `secrets` are the texts that no log
    may show. `notes` are logged once at the start. `warnings` name the users who
    could change or read the files of the configuration although they should not. `no_folders` are the files that
    cannot be created because their folders do not exist; this may change, for example when a disk is mounted. `hash`
    identifies the content of the file and its maps.
    """

    file: Path
    name: str
    root: str
    mqtt: MqttOptions
    outbox: OutboxOptions
    commands: CommandOptions
    log: LogOptions
    interfaces: tuple[InterfaceOptions, ...]
    home_assistant: HomeAssistantOptions = HomeAssistantOptions()
    files: tuple[Path, ...] = ()
    hang_limit: float = HANG_LIMIT
    management: bool = False
    web: WebOptions = WebOptions()
    secrets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    no_folders: tuple[Finding, ...] = ()
    hash: str = ""

    def __repr__(self) -> str:
        return f"Configuration({self.file})"  # never the secrets

    def document_topic(self, device: str, kind: str) -> str:
        """Return the topic of a document of a device, by the device's id; `kind` is one of `DOCUMENT_KINDS`."""
        return document_topic(self.root, self.name, device, kind)

    def is_own_topic(self, topic: str) -> bool:
        """Return whether `topic` can be that of an availability or a retained document of this gateway.

        It need not be that of an interface or a device that is declared now.
        """
        levels = topic.removeprefix(self.availability_topic().removesuffix("availability")).split("/")
        return levels in (["availability"], [HEALTH]) or (len(levels) == 2 and levels[1] in RETAINED_KINDS)

    def availability_topic(self, interface: str = "") -> str:
        """Return the topic on which the gateway publishes whether it, or one of its interfaces, is available."""
        return self.document_topic(interface, "availability")

    @property
    def health_topic(self) -> str:
        """Return the topic of the gateway's own document: how it is."""
        return self.document_topic("", HEALTH)

    @property
    def manage_topic(self) -> str:
        """Return the topic of requests that manage the gateway; answers go to the topic `reply` below it."""
        return "/".join(filter(None, (self.root, self.name, MANAGE)))

    @property
    def replays(self) -> bool:
        """Return whether any map accepts late commands; if none does, the broker need not keep them."""
        return any(rule.replay for interface in self.interfaces for rule in interface.msg_map.delivery_rules)

    @property
    def run_topic(self) -> str:
        """Return the topic by which the gateway finds out what its broker has kept; see `gateway.mqtt.run_topic`."""
        return self.document_topic("", RUN)

    @property
    def response_topics(self) -> ResponseTopics:
        """Return the topics to which answers to commands may be sent."""
        prefix = self.availability_topic().removesuffix("availability")
        return ResponseTopics(prefix, self.commands.response_topics)

    @property
    def availability_topics(self) -> frozenset[str]:
        """Return the topics on which this gateway and its interfaces publish whether they are available."""
        return frozenset(map(self.availability_topic, ("", *(interface.name for interface in self.interfaces))))
