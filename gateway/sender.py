"""What goes out: from the outbox into paho's hands, and back to the outbox as delivered, or to be sent again."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode

from gateway.lane import Entry
from gateway.outbox import Outbox

LOG = logging.getLogger(__name__)

WINDOW = 100
"""Publications handed to paho and not yet with the broker; the rest waits in the outbox."""


class Sender:
    """Hands publications to paho, in their order and within the window, and settles what the broker has taken."""

    def __init__(self, client: mqtt.Client, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._client = client
        self._outbox = outbox
        self._clock = clock
        self._in_flight: deque[tuple[mqtt.MQTTMessageInfo, Entry]] = deque()
        self.last_settled = clock()
        """When the broker has last taken something, or when the first of what is in flight was handed over."""

    def __len__(self) -> int:
        """Return how many publications paho has."""
        return len(self._in_flight)

    def hand_over(self) -> bool:
        """Hand to paho what the window has room for; return whether that was anything."""
        room = WINDOW - len(self._in_flight)
        if room <= 0 or not self._outbox.has_waiting:
            return False
        for entry in self._outbox.take(room):
            self._publish(entry)
        return True

    def _publish(self, entry: Entry) -> None:
        publication = entry.publication
        try:
            info = self._client.publish(publication.topic, publication.payload, publication.qos, publication.retain)
        except ValueError as err:
            self._outbox.set_aside(entry, f"it cannot be published: {err}")
            return
        if info.rc == MQTTErrorCode.MQTT_ERR_NO_CONN:  # QoS 1 waits in paho now, and is sent from there
            info.rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:  # paho has not taken it
            LOG.debug("paho took no publication: %s", info.rc)
            self._outbox.put_back([entry])
            return
        if not self._in_flight:
            self.last_settled = self._clock()
        self._in_flight.append((info, entry))

    def settle(self) -> None:
        """Tell the outbox what the broker has taken.

        Asked for here, not told by `on_publish`: paho makes a reason code and properties for each call of
        that, which costs more than the rest of a publication.
        """
        done = []
        while self._in_flight and self._in_flight[0][0].is_published():
            done.append(self._in_flight.popleft()[1])
        if done:
            self.last_settled = self._clock()
            self._outbox.settle(done)

    def link_lost(self) -> None:
        """Return to the outbox what was never sent. QoS 1 stays with paho, which sends it again itself."""
        self.settle()
        at_most_once = [pair for pair in self._in_flight if pair[1].publication.qos == 0]
        unsent = [entry for info, entry in at_most_once if not info.is_published()]
        self._in_flight = deque(pair for pair in self._in_flight if pair[1].publication.qos > 0)
        # Sent behind a QoS 1 that is not acknowledged:
        self._outbox.settle(entry for info, entry in at_most_once if info.is_published())
        self._outbox.put_back(unsent)
