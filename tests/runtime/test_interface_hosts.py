"""The interfaces of a gateway as a reload changes them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import InterfaceOptions
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.outbox.outbox import Outbox
from gateway.routing.command_guard import CommandOptions
from gateway.routing.documents import Documents
from gateway.runtime.interface_hosts import InterfaceHosts
from tests.support.configuration import trial, write_conf
from tests.support.waiting import wait_until

STARTED = Device(
    "d", (Point("started", PointType.BOOLEAN, (Feed("STARTED", None, True),)),), address={"function": "trial"}
)


def options_of(folder: Path, **kinds: str) -> list[InterfaceOptions]:
    """Return the options of interfaces of `trial_interface.py`, by name; a `Threaded` one has a device."""
    conf = write_conf(folder, 1883, interfaces={name: trial(kind) for name, kind in kinds.items()})
    return [
        options._replace(devices=(STARTED,)) if kinds[options.name] == "Threaded" else options
        for options in load_configuration(conf, {}).interfaces
    ]


@pytest.mark.parametrize("name", ["other", "dev"], ids=["added", "of another type"])
def test_what_an_interface_sends_as_soon_as_a_reload_starts_it_feeds_its_devices(tmp_path: Path, name: str) -> None:
    states: dict[str, dict[str, object]] = {}

    def publish(topic: str, payload: bytes) -> None:
        if topic == "d/state":
            states[topic] = json.loads(payload)

    hosts = InterfaceHosts(options_of(tmp_path, dev="Recorder"), Outbox(), lambda *_: None, Documents(publish))
    hosts.configure_devices({})
    hosts.routes(CommandOptions())
    hosts.start()
    try:
        hosts.reconfigure(options_of(tmp_path, **{"dev": "Recorder", name: "Threaded"}))
        time.sleep(0.3)  # as long as it may take to configure the devices of all interfaces
        hosts.configure_devices({})
        hosts.routes(CommandOptions())
        hosts.start()

        def is_known() -> bool:
            hosts.tick()
            return states.get("d/state", {}).get("started") is True

        wait_until(is_known, what=lambda: str(states))
    finally:
        hosts.stop()
