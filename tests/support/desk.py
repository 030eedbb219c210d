"""All that an interface is given, and real: inbox, map, outbox and outlet; and what it has published."""

from __future__ import annotations

from gateway.core.inbox import MsgList
from gateway.message import InternalMsg, Publication
from gateway.outbox.outbox import Outbox
from gateway.routing.outlet import Outlet
from gateway.translation.mqtt_map import MsgMap
from tests.support.waiting import wait_until


class Desk:
    """The desk of the interface `dev` of a gateway `gw`, whose map passes every word."""

    def __init__(self, msg_map: MsgMap | None = None) -> None:
        self.map = msg_map or MsgMap("home", sender="gw")
        self.inbox = MsgList()
        self.outbox = Outbox()
        self.messages: list[InternalMsg] = []
        self.availability: list[str] = []
        self.outlet = Outlet("dev", self.map, self.outbox, self._say_available)

    def collect(self) -> list[InternalMsg]:
        """Take what has been published so far; return all messages since the beginning."""
        entries = self.outbox.take(1_000_000)
        self.outbox.settle(entries)
        for entry in entries:
            self._sort(entry.publication)
        return self.messages

    def _sort(self, publication: Publication) -> None:
        self.messages.append(self.map.mqtt2internal(publication.topic, publication.payload))

    def _say_available(self, is_available: bool) -> None:
        self.availability.append("online" if is_available else "offline")

    def wait_messages(self, count: int) -> list[InternalMsg]:
        """Return the messages, once there are `count` of them."""
        wait_until(lambda: len(self.collect()) >= count, what=lambda: f"{count} messages; got {self.messages}")
        return self.messages

    def wait_availability(self, *expected: str) -> None:
        """Return once exactly `expected` has been said, one after the other."""

        def said() -> bool:
            self.collect()
            return self.availability == list(expected)

        wait_until(said, what=lambda: f"{expected}; got {self.availability}")
