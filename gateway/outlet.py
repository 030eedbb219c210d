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
_BREATHER = 500  # messages between two chances to be held back: seldom enough that no UART overruns meanwhile
_TRAFFIC_LOG = logging.getLogger(TRAFFIC)


class PushRefused(ThrottledException):
    """A message of an interface cannot be written to MQTT."""


class Outlet:
    """The `msglist_out` of one interface.

    `accept` takes the publications: the outbox's `put`. `say_available` is told whether the device is there,
    when that has changed. `hold_back` is called now and then, and may wait a little while the broker catches up.
    """

    def __init__(
        self,
        name: str,
        msg_map: MsgMap,
        accept: Callable[[Publication], bool],
        say_available: Callable[[bool], None] = lambda _: None,
        hold_back: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._map = msg_map
        self._accept = accept
        self._say_available = say_available
        self._hold_back = hold_back
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
        is_accepted = self._accept(publication)
        if self.pushed % _BREATHER == 0:
            self._hold_back()
        return is_accepted

    def set_available(self, is_available: bool) -> None:
        """Publish whether the device is there, if that has changed."""
        if is_available != self._is_available:
            self._is_available = is_available
            self._say_available(is_available)
