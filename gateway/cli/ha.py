"""`mqttgateway ha`: prints what is announced to Home Assistant."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.configuration.load_entities import discovery_of
from gateway.configuration.settings import Configuration
from gateway.integrations.homeassistant.discovery import Source


def print_announcements(configuration: Configuration, _options: argparse.Namespace) -> int:
    """Print each topic with its document; return 0."""
    for topic, document in _documents(configuration):
        print(f"{topic}\n{json.dumps(document, indent=2, ensure_ascii=False)}\n")  # noqa: T201
    return 0


def _documents(configuration: Configuration) -> Iterator[tuple[str, Mapping[str, Any]]]:
    options = configuration.home_assistant._replace(enabled=True)
    discovery = discovery_of(options, configuration.name, configuration.root)
    devices = [device for interface in configuration.interfaces for device in interface.devices]
    yield from discovery.of_gateway(devices).documents.items()
    for interface in configuration.interfaces:
        for device in interface.devices:
            source = Source(device, interface.msg_map, interface.own_address)
            yield from discovery.of_device(source).documents.items()
