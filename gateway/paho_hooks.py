"""The one place that knows paho's inside: what it has no public way for, and what it spends most on.

Written for paho-mqtt 2.2, to which pyproject.toml holds it; the tests hold these hooks to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

from gateway.dial import Connection

_FLAGS_OF_QOS = 0x06  # in the first byte of a PUBLISH


class HookedClient(mqtt.Client):
    """A paho client that takes connections that are open already, and versions of MQTT, and tells refusals.

    `on_refusal` is called with packet identifier and reason code when a PUBACK says that a message was not taken.
    """

    on_refusal: Callable[[int, int], None]
    _adopted: Connection | None = None

    def mg_adopt(self, connection: Connection, protocol: MQTTProtocolVersion) -> None:
        """Connect over `connection`, as `connect_async` has been told to.

        paho takes the version in its constructor, and changes it itself between two connections, to fall back to 3.1.
        """
        self._adopted = connection
        self._protocol = protocol
        self.reconnect()

    def _create_socket(self) -> Any:
        """Give paho the connection that is open already."""
        adopted, self._adopted = self._adopted, None
        return adopted if adopted is not None else super()._create_socket()

    def mg_is_unwritten(self, mid: int) -> bool:
        """Tell whether nothing of the PUBLISH with this packet identifier has been written."""
        return any(
            packet["mid"] == mid and packet["command"] & 0xF0 == mqtt.PUBLISH and packet["pos"] == 0
            for packet in self._out_packet
        )

    def mg_weaken_will(self, *, without_qos: bool, without_retain: bool) -> None:
        """Do without what the broker does not have, from the next CONNECT on."""
        qos = 0 if without_qos else self._will_qos
        self.will_set(self.will_topic or "", self.will_payload, qos, self._will_retain and not without_retain)

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """Take note of a PUBACK.

        paho makes a reason code and properties for each, which costs more than all the rest of a publication.
        """
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or len(packet) < 2 or (len(packet) > 2 and self._protocol != MQTTProtocolVersion.MQTTv5):
            return super()._handle_pubackcomp(cmd)
        mid = int.from_bytes(packet[:2], "big")
        message = self._out_messages.get(mid)
        if message is None or message.qos != 1:
            return super()._handle_pubackcomp(cmd)
        if len(packet) > 2 and packet[2] >= 0x80:
            self.on_refusal(mid, packet[2])
        del self._out_messages[mid]
        self._inflight_messages -= 1
        message.info._set_as_published()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_publish(self) -> MQTTErrorCode:
        """Read a PUBLISH of MQTT 5 that has no properties, as most have none, like one of 3.1.1.

        paho takes eight times as long to read that there are none.
        """
        packet = self._in_packet["packet"]
        at = 2 + int.from_bytes(packet[:2], "big") + (2 if self._in_packet["command"] & _FLAGS_OF_QOS else 0)
        if self._protocol != MQTTProtocolVersion.MQTTv5 or packet[at : at + 1] != b"\0":
            return super()._handle_publish()
        del packet[at]
        self._protocol = MQTTProtocolVersion.MQTTv311
        try:
            return super()._handle_publish()
        finally:
            self._protocol = MQTTProtocolVersion.MQTTv5
