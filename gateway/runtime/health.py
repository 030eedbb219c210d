"""The health document of the gateway: how it is, for people and programs that do not ask it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gateway.routing.device_memory import DeviceStatus


class Health(NamedTuple):
    """How a gateway is at one moment. Ages are in seconds."""

    version: str
    protocol: str
    connects: int
    waiting: int
    oldest: float
    dead_letters: int
    refused: Mapping[str, int]
    devices: Iterable[DeviceStatus]


_STATUS = {None: "unknown", True: "online", False: "offline"}


def health_document(health: Health, heard_at: Mapping[str, str]) -> bytes:
    """Return the document as JSON; `heard_at` are the times (RFC 3339) at which devices were heard, by id."""
    document: dict[str, Any] = {
        "version": health.version,
        "link": {"protocol": health.protocol, "connects": health.connects},
        "outbox": {
            "waiting": health.waiting,
            "oldest": round(health.oldest),
            "dead_letters": health.dead_letters,
        },
        "commands": {"refused": dict(health.refused)},
        "devices": {
            device.id: {"status": _STATUS[device.is_online], "last_heard": heard_at.get(device.id)}
            for device in health.devices
        },
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
