"""The real surroundings of an interface: inbox, map, outbox and outlet; and the messages that it has published."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from gateway.core.inbox import MsgList
from gateway.devices.point import Device
from gateway.message import InternalMsg, Publication
from gateway.outbox.outbox import Outbox
from gateway.routing.device_memory import DeviceMemory
from gateway.routing.documents import Documents
from gateway.routing.outlet import Outlet
from gateway.translation.mqtt_map import MsgMap
from tests.support.waiting import wait_until


class Desk:
    """The surroundings of the interface `dev` of a gateway `gw`, whose map accepts every word.

    `outcomes` are the documents of the commands for its `devices`, `events` those of their events, and `reasons` why
    these were offline, in turn.
    """

    def __init__(self, msg_map: MsgMap | None = None, devices: Sequence[Device] = ()) -> None:
        self.map = msg_map or MsgMap("home", sender="gw")
        self.inbox = MsgList()
        self.outbox = Outbox()
        self.messages: list[InternalMsg] = []
        self.outcomes: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.availability: list[str] = []
        self.reasons: list[str] = []
        documents = Documents(self._add_state, topic=lambda device, kind: f"home/gw/{device}/{kind}")
        memory = DeviceMemory(time.monotonic, time.time, documents)
        memory.configure(devices, {}, {})
        self.outlet = Outlet("dev", self.map, self.outbox, self._set_available, devices=memory)

    def collect(self) -> list[InternalMsg]:
        """Receive new publications; return all messages since the beginning."""
        entries = self.outbox.take(1_000_000)
        self.outbox.settle(entries)
        for entry in entries:
            self._add(entry.publication)
        return self.messages

    def _add(self, publication: Publication) -> None:
        if publication.topic.endswith("/outcome"):
            self.outcomes.append(json.loads(publication.payload))
            return
        if publication.topic.endswith("/event"):
            self.events.append(json.loads(publication.payload))
            return
        self.messages.append(self.map.mqtt2internal(publication.topic, publication.payload))

    def _add_state(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/state") and "_reason" in (document := json.loads(payload)):
            self.reasons.append(document["_reason"])

    def _set_available(self, is_available: bool) -> None:
        self.availability.append("online" if is_available else "offline")

    def wait_messages(self, count: int) -> list[InternalMsg]:
        """Return the messages, once there are `count` of them."""
        wait_until(lambda: len(self.collect()) >= count, what=lambda: f"{count} messages; got {self.messages}")
        return self.messages

    def wait_availability(self, *expected: str) -> None:
        """Wait until exactly the payloads `expected` have been published, in this order."""

        def is_published() -> bool:
            self.collect()
            return self.availability == list(expected)

        wait_until(is_published, what=lambda: f"{expected}; got {self.availability}")
