"""Clients of the cluster, of paho and not of this project: one that counts, and one that looks at what is retained."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.ledger import Entry, entry_of
from tests.support.waiting import wait_until

_RETRY = 0.2  # s between two tries to connect
_KEEPALIVE = 5


def new_client(protocol: int, client_id: str = "") -> mqtt.Client:
    """Return a client with this level of MQTT; its session is kept if it has a name."""
    version = MQTTProtocolVersion(protocol)
    clean = None if version == MQTTProtocolVersion.MQTTv5 else not client_id
    return mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version, clean_session=clean)


class Subscriber:
    """Receives what is published below `home` with QoS 1, in a session, by one node or another.

    `entries` are the entries of the ledger in it, in the order of their arrival, with repetitions; `latest` holds the
    latest of all other messages by topic. What is only retained does not count.
    """

    def __init__(self, ports: Sequence[int], protocol: int) -> None:
        self.entries: list[Entry] = []
        self.latest: dict[str, bytes] = {}
        self.sessions_lost = 0
        """How often a node did not know the session any more."""
        self._newest = -1
        self._newest_at: list[tuple[float, int]] = []  # when each higher number came
        self._ports = ports
        self._protocol = protocol
        self._index = 1  # begin with another node than the gateway
        self._is_over = threading.Event()
        self._is_subscribed = threading.Event()
        self._has_session = False
        self._thread = threading.Thread(target=self._run, name="subscriber")

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(self._is_subscribed.is_set, 60, "the subscriber to be subscribed")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join(30)

    def received_after(self, number: int) -> float | None:
        """Return when the first entry arrived that is newer than `number`; None if none has."""
        return next((at for at, newest in self._newest_at if newest > number), None)

    def _run(self) -> None:
        while not self._is_over.is_set():
            client = new_client(self._protocol, "subscriber")
            client.on_connect = self._on_connect
            client.on_subscribe = lambda *_: self._is_subscribed.set()
            client.on_message = self._on_message
            try:
                client.connect("127.0.0.1", self._ports[self._index], _KEEPALIVE, **self._session())
                while client.loop(0.1) == MQTTErrorCode.MQTT_ERR_SUCCESS and not self._is_over.is_set():
                    pass
            except (OSError, ValueError):  # ValueError: paho's, of a socket that was closed while it was connecting
                pass
            client.on_connect = client.on_subscribe = client.on_message = None
            self._is_subscribed.clear()
            self._index = (self._index + 1) % len(self._ports)
            self._is_over.wait(_RETRY)

    def _session(self) -> dict[str, Any]:
        if self._protocol != MQTTProtocolVersion.MQTTv5:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        return {"clean_start": False, "properties": properties}

    def _on_connect(self, client: mqtt.Client, _: object, flags: mqtt.ConnectFlags, reason: Any, *__: object) -> None:
        if reason.is_failure:
            client.disconnect()
            return
        self.sessions_lost += self._has_session and not flags.session_present
        self._has_session = True
        client.subscribe("home/#", 1)

    def _on_message(self, _: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        if message.retain:
            return
        entry = entry_of(message.topic, bytes(message.payload))
        if entry is None:
            self.latest[message.topic] = bytes(message.payload)
            return
        self.entries.append(entry)
        if entry[1] > self._newest:
            self._newest = entry[1]
            self._newest_at.append((time.monotonic(), entry[1]))


def retained_at(port: int, protocol: int, topic: str, timeout: float = 5) -> bytes | None:
    """Return what the node at `port` has retained on `topic`, for a client that connects now; None for nothing."""
    found: list[bytes] = []
    is_subscribed = threading.Event()
    client = new_client(protocol)

    def on_connect(*_: object) -> None:
        client.subscribe(topic, 0)  # with 1, NATS would elect a leader for it

    client.on_connect = on_connect
    client.on_subscribe = lambda *_: is_subscribed.set()
    client.on_message = lambda _, __, message: found.append(bytes(message.payload)) if message.retain else None
    try:
        client.connect("127.0.0.1", port)
        end = time.monotonic() + timeout
        while not found and time.monotonic() < end:
            if client.loop(0.05) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
            if is_subscribed.is_set():  # what is retained follows at once
                end = min(end, time.monotonic() + 1)
                is_subscribed.clear()
        client.disconnect()
    except (OSError, ValueError):
        pass
    client.on_connect = client.on_subscribe = client.on_message = None
    return found[0] if found else None
