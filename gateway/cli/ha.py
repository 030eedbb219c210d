"""`mqttgateway ha`: prints what is announced to Home Assistant; with `--migrate`, changes the form of that."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.running import ask_gateway, reading_reply
from gateway.configuration.load_entities import discovery_of
from gateway.configuration.settings import Configuration
from gateway.core.counting import counted
from gateway.errors import GatewayError
from gateway.integrations.homeassistant.discovery import Source

_PATIENCE = 5.0  # s without any progress, for example while there is no link
_PAUSE = 0.1  # s between two questions
_DONE = ("documents_marked", "documents_sent", "documents_removed")


def home_assistant(configuration: Configuration, options: argparse.Namespace) -> int:
    """Print what is announced, or migrate to the form that the configuration says; return the exit code.

    Raises `ControlError` if the running gateway does not answer, `GatewayError` if it could not migrate.
    """
    if options.migrate:
        _migrate(configuration)
    else:
        _print_announcements(configuration)
    return 0


def _print_announcements(configuration: Configuration) -> None:
    for topic, document in _documents(configuration):
        print(f"{topic}\n{json.dumps(document, indent=2, ensure_ascii=False)}\n")  # noqa: T201


def _migrate(configuration: Configuration) -> None:
    """Have the running gateway reload, and wait until the broker has all documents of the new form, and no others.

    A gateway that starts with another form than that of the run before does the same.
    """
    options, name = configuration.home_assistant, configuration.name
    if not options.enabled:
        raise GatewayError(f"{configuration.file} announces nothing to Home Assistant: set home_assistant")
    before = _counters(name)
    ask_gateway(name, "reload")
    latest, since = _counters(name), time.monotonic()
    with reading_reply():
        while latest["documents_waiting"]:
            is_refused = latest["documents_refused"] > before.get("documents_refused", 0)
            if is_refused or time.monotonic() - since > _PATIENCE:
                waiting = counted(latest["documents_waiting"], "document")
                what = f"the broker refuses {waiting}" if is_refused else f"{waiting} cannot be delivered yet"
                raise GatewayError(f"{what}; the gateway tries again: see its log, and 'mqttgateway status {name}'")
            time.sleep(_PAUSE)
            previous, latest = latest, _counters(name)
            since = since if latest == previous else time.monotonic()
        marked, sent, removed = (latest[kind] - before.get(kind, 0) for kind in _DONE)
        line = f"announced in the form {options.form}: {counted(latest['documents'], 'document')}"
    print(f"{line} ({marked} of another form marked, {sent} sent, {removed} removed)")  # noqa: T201


def _counters(name: str) -> dict[str, int]:
    """Return the counters of what the running gateway announces; none if it announces nothing."""
    status = ask_gateway(name, "status")
    with reading_reply():
        return dict(status["stats"]["home_assistant"])


def _documents(configuration: Configuration) -> Iterator[tuple[str, Mapping[str, Any]]]:
    options = configuration.home_assistant._replace(enabled=True)
    discovery = discovery_of(options, configuration.name, configuration.root)
    devices = [device for interface in configuration.interfaces for device in interface.devices]
    yield from discovery.of_gateway(devices).documents.items()
    for interface in configuration.interfaces:
        for device in interface.devices:
            source = Source(device, interface.msg_map, interface.own_address)
            yield from discovery.of_device(source).documents.items()
