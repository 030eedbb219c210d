"""What is configured, checked: frozen data, as `load_config` makes it of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway.errors import Finding
from gateway.logs.init_logger import LogOptions
from gateway.message import RUN
from gateway.mqtt.options import MqttOptions
from gateway.outbox.options import OutboxOptions
from gateway.routing.command_guard import CommandOptions
from gateway.routing.command_index import Addresses
from gateway.routing.message_filter import Filters
from gateway.routing.response_topics import ResponseTopics
from gateway.translation.mqtt_map import MsgMap


class InterfaceOptions(NamedTuple):
    """One interface: its name, its class, its options with defaults filled in, its map, and its filters.

    `addresses` are those of the commands that it is given; None: it is given every message.
    """

    name: str
    cls: type[Any]
    params: Mapping[str, Any]
    msg_map: MsgMap
    filters: Filters = Filters()
    addresses: Addresses | None = None


class Configuration(NamedTuple):
    """A whole configuration, checked. `secrets` are the texts that no log may show; `notes` are to be said once, and
    `warnings` are who else may change or read its files, and `no_folders` are the files that cannot be made, since
    their folders are not there (yet: a disk may come later).
    """

    file: Path
    name: str
    root: str
    mqtt: MqttOptions
    outbox: OutboxOptions
    commands: CommandOptions
    log: LogOptions
    interfaces: tuple[InterfaceOptions, ...]
    secrets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    no_folders: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        return f"Configuration({self.file})"  # never the secrets

    def availability_topic(self, interface: str = "") -> str:
        """Return where it is published whether the gateway, or one of its interfaces, is there."""
        return "/".join(filter(None, (self.root, self.name, interface, "availability")))

    @property
    def replays(self) -> bool:
        """Return whether a map lets any command pass that has waited: otherwise nobody need keep them."""
        return any(rule.replay for interface in self.interfaces for rule in interface.msg_map.delivery_rules)

    @property
    def run_topic(self) -> str:
        """Return where the gateway finds out what its broker remembers; see `gateway.mqtt.run_topic`."""
        return "/".join(filter(None, (self.root, self.name, RUN)))

    @property
    def response_topics(self) -> ResponseTopics:
        """Where answers to commands may be sent."""
        prefix = self.availability_topic().removesuffix("availability")
        return ResponseTopics(prefix, self.commands.response_topics)

    @property
    def availability_topics(self) -> frozenset[str]:
        """Where this gateway and its interfaces say whether they are there."""
        return frozenset(map(self.availability_topic, ("", *(interface.name for interface in self.interfaces))))
