"""The health document: how the gateway is, for people and programs that do not ask it."""

from __future__ import annotations

import json

from gateway.routing.device_memory import DeviceStatus
from gateway.runtime.health import Health, health_document


def test_the_document_tells_how_the_gateway_is() -> None:
    devices = [
        DeviceStatus("boiler", True, "", 3.0),
        DeviceStatus("lamp", False, "nothing heard for 60 s", None),
        DeviceStatus("new", None, "", None),
    ]
    health = Health("3.0.0", "MQTT 5", 2, 7, 12.4, 1, {"late_command": 3}, devices)
    heard = {"boiler": "2026-11-29T21:30:05.120Z"}
    assert json.loads(health_document(health, heard)) == {
        "version": "3.0.0",
        "link": {"protocol": "MQTT 5", "connects": 2},
        "outbox": {"waiting": 7, "oldest": 12, "dead_letters": 1},
        "commands": {"refused": {"late_command": 3}},
        "devices": {
            "boiler": {"status": "online", "last_heard": "2026-11-29T21:30:05.120Z"},
            "lamp": {"status": "offline", "last_heard": None},
            "new": {"status": "unknown", "last_heard": None},
        },
    }
