"""Decides to which broker to connect, with which version of MQTT, and when; opens the connection.

It also checks whether the preferred broker answers again. Only the main thread calls it; connections are opened in the
thread of the dialler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.core.backoff import Backoff
from gateway.core.inbox import Wakeup
from gateway.core.package_logger import package_logger
from gateway.core.tls import tls_context
from gateway.mqtt.dial import Connection, LinkError, Server, dial
from gateway.mqtt.dialler import Dialler
from gateway.mqtt.options import MqttOptions
from gateway.mqtt.paho_hooks import MAXIMUM_PACKET
from gateway.mqtt.probe import probe
from gateway.mqtt.reason_codes import DisconnectCause
from gateway.mqtt.servers import Next, Servers

LOG = package_logger(__name__)

_STABLE = 30.0  # s after which a link counts as stable: the delays after it begin with the shortest

_RECEIVE_MAXIMUM = 100  # publications that the broker may send before the first is acknowledged


class Plan(NamedTuple):
    """When to connect again (in seconds), and that in words for the log; `""`: immediately, which is not worth a word.

    `all_tried` is false while there is another broker or version to try immediately.
    """

    delay: float
    words: str
    all_tried: bool = True


class ConnectRequest(NamedTuple):
    """The arguments of paho's `connect_async`: what CONNECT contains, and the address, which paho wants as well."""

    host: str
    port: int
    keepalive: int
    clean_start: bool
    properties: Properties | None


class Connector:
    """Opens connections as `options` say, and plans the next attempt.

    `wakeup` is set when a connection is open, `clock` returns seconds, and `uniform` draws a delay between two bounds.
    Raises `TlsError` if a file of the TLS options cannot be used.
    """

    def __init__(
        self,
        options: MqttOptions,
        wakeup: Wakeup,
        clock: Callable[[], float],
        uniform: Callable[[float, float], float],
    ) -> None:
        self._options = options
        self._tls = tls_context(options.tls) if options.tls.enabled else None
        self._clock = clock
        self._dialler = Dialler(wakeup)
        self._backoff = Backoff(1.0, options.reconnect_max, uniform)
        self._up_since = clock()
        self._short_links = 0  # consecutive links that were not stable
        self.servers = Servers(options.brokers, options.version, clock)

    @property
    def broker(self) -> str:
        """The broker that is tried, or connected to."""
        return str(self.servers.current)

    @property
    def version(self) -> str:
        """The version of MQTT that is used with it, in words."""
        return "MQTT 5" if self.servers.speaks_v5 else "MQTT 3.1.1"

    @property
    def is_fight(self) -> bool:
        """Whether the last links have ended so soon that another client may have the same client id."""
        return self._short_links > 0

    # --- opening a connection

    def start(self) -> None:
        """Begin to open a connection to the current broker."""
        server = self.servers.current
        self._dialler.start(lambda: self._dial(server))

    def pop_connection(self) -> Connection | None:
        """Return the connection, once it is open; None before. Raises `LinkError` if it cannot be opened."""
        return self._dialler.pop()

    def close(self) -> None:
        """Close what was opened, and open nothing more."""
        self._dialler.close()

    def _dial(self, server: Server) -> Connection:
        """Open a connection. Runs in the thread of the dialler."""
        options = self._options
        return dial(server, options.connect_timeout, self._tls, options.transport, options.path)

    def connect_request(self, session_expiry: int) -> ConnectRequest:
        """Return what CONNECT is to contain; the broker keeps the session for `session_expiry` seconds, 0: not at all.

        Clean start is only set where no session is wanted: Mosquitto 2.0 loses a session at its restart if the session
        began with clean start.
        """
        server = self.servers.current
        properties = None
        if self.servers.speaks_v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.ReceiveMaximum = _RECEIVE_MAXIMUM
            properties.MaximumPacketSize = MAXIMUM_PACKET
            if session_expiry:
                properties.SessionExpiryInterval = session_expiry
        port = server.port or 1  # a unix socket has none, and paho refuses 0
        return ConnectRequest(server.host, port, self._options.keepalive, not session_expiry, properties)

    # --- the result

    def link_up(self) -> None:
        """Record that the current broker has accepted the connection."""
        self._up_since = self._clock()
        has_fallen_back = self.servers.accepted()
        if self.servers.speaks_v5:
            return
        if not self._options.demo_broker:  # which has no access rules
            LOG.info(
                "%s: this broker cannot report which messages its access rules reject; all messages count as delivered",
                f"{self.broker} did not accept MQTT 5; falling back to MQTT 3.1.1"
                if has_fallen_back
                else f"using MQTT 3.1.1 with {self.broker}",
            )

    def link_lost(self, cause: DisconnectCause) -> Plan:
        """Return the plan after a link that was up.

        After a stable link the delays begin with the shortest again, unless another client has taken the link over.
        """
        is_stable = self._clock() - self._up_since >= _STABLE
        self._short_links = 0 if is_stable else self._short_links + 1
        if is_stable and cause is not DisconnectCause.TAKEN_OVER:
            self._backoff.reset()
        self.servers.lost()
        return Plan(0.0, "") if cause is DisconnectCause.RETURNING else self._after_delay()

    def reset_delay(self) -> None:
        """Begin with the shortest delay again: the cause of the lost links is known, and has been dealt with."""
        self._backoff.reset()

    def failed(self, cause: DisconnectCause) -> Plan:
        """Return the plan after the current broker could not be connected to."""
        step = self.servers.failed(cause)
        if step is Next.OTHER_VERSION:
            return Plan(0.0, "", all_tried=False)
        if step is Next.OTHER_SERVER:
            return Plan(0.0, f"trying {self.broker} next", all_tried=False)
        return self._after_delay()

    def _after_delay(self) -> Plan:
        delay = self._backoff.next_delay()
        return Plan(delay, f"retrying in {delay:.1f} s")

    # --- back to the preferred broker

    def preferred_answers(self) -> bool:
        """Return whether the preferred broker has accepted a connection again. Call it while another link is up.

        Once a minute this begins to connect to it.
        """
        if self.servers.is_probe_due() and self._dialler.is_idle:
            self._dialler.start(self._probe)
            return False
        if self._dialler.is_idle:
            return False
        try:
            connection = self._dialler.pop()
        except (LinkError, OSError) as err:
            LOG.debug("%s: not yet: %s", self.servers.preferred, err)
            return False
        if connection is not None:
            connection.close()
        return connection is not None

    def _probe(self) -> Connection:
        """Connect to the preferred broker, under another client id. Runs in the thread of the dialler."""
        server, options = self.servers.preferred, self._options
        connection = self._dial(server)
        try:
            probe(connection, server, f"{options.client_id}-probe", options.username, options.password)
        except BaseException:
            connection.close()
            raise
        return connection
