"""Where an interface pushes its messages: through its map into the outbox. Any thread may push."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.errors import MessageError
from gateway.init_logger import TRAFFIC
from gateway.message import InternalMsg, Publication
from gateway.mqtt_map import MsgMap
from gateway.throttled_exception import ThrottledException

LOG = logging.getLogger(__name__)
_TRAFFIC_LOG = logging.getLogger(TRAFFIC)

ONLINE, OFFLINE = b"online", b"offline"


class PushRefused(ThrottledException):
    """A message of an interface cannot be written to MQTT."""


class Outlet:
    """The `msglist_out` of one interface.

    `accept` takes the publications: the outbox's `put`. `availability_topic` is where the interface's
    availability is published, retained.
    """

    def __init__(
        self, name: str, msg_map: MsgMap, accept: Callable[[Publication], bool], availability_topic: str
    ) -> None:
        self.name = name
        self._map = msg_map
        self._accept = accept
        self._availability_topic = availability_topic
        self._is_available: bool | None = None
        self.pushed = 0
        self.refused = 0

    def push(self, msg: InternalMsg) -> bool:
        """Send `msg`; return whether the outbox has accepted it.

        A message that the map cannot write is refused, counted and said, and nothing is raised: one bad
        reading must not stop a device.
        """
        try:
            publication = self._map.internal2mqtt(msg)
        except MessageError as err:
            self.refused += 1
            refusal = PushRefused(f"{self.name}: not sent: {err} ({msg})", key=f"{self.name}: {err}")
            if refusal.trigger:
                LOG.warning(refusal.report)
            return False
        self.pushed += 1
        if _TRAFFIC_LOG.isEnabledFor(logging.INFO):
            _TRAFFIC_LOG.info("%s -> %s", self.name, msg)
        return self._accept(publication)

    def set_available(self, is_available: bool) -> None:
        """Publish whether the device is there, if that has changed."""
        if is_available != self._is_available:
            payload = ONLINE if is_available else OFFLINE
            if self._accept(Publication(self._availability_topic, payload, qos=1, retain=True)):
                self._is_available = is_available  # or else it is said again at the next call
