"""Connects: to which broker, with which version of MQTT, and when; and looks for the way back to the preferred one.

Only the main thread calls it; connections are opened in the dialler's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.core.backoff import Backoff
from gateway.core.inbox import Wakeup
from gateway.core.package_logger import package_logger
from gateway.mqtt.dial import Connection, LinkError, Server, dial, tls_context
from gateway.mqtt.dialler import Dialler
from gateway.mqtt.options import MqttOptions
from gateway.mqtt.paho_hooks import MAXIMUM_PACKET
from gateway.mqtt.probe import probe
from gateway.mqtt.reason_codes import DisconnectCause
from gateway.mqtt.servers import Next, Servers

LOG = package_logger(__name__)

_HELD = 30.0  # s that a link must have held for the next failure to count as the first

_RECEIVE_MAXIMUM = 100  # publications that the broker may send before the first is acknowledged


class Plan(NamedTuple):
    """When to try again (s), in words, and whether all that could be tried at once has been tried."""

    delay: float
    words: str
    all_tried: bool = True


class Connector:
    """Opens connections as `options` say, and plans the next try."""

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
        self._short_links = 0  # in a row that have not held
        self.servers = Servers(options.brokers, options.version, clock)

    @property
    def where(self) -> str:
        """The broker that is tried, or connected to."""
        return str(self.servers.current)

    @property
    def version(self) -> str:
        """The version that is spoken with it, in words."""
        return "MQTT 5" if self.servers.speaks_v5 else "MQTT 3.1.1"

    @property
    def is_fight(self) -> bool:
        """Whether the last links have ended so soon that another client may have the same client id."""
        return self._short_links > 0

    def start(self) -> None:
        """Begin to open a connection to the current broker."""
        server = self.servers.current
        self._dialler.start(lambda: self._dial(server))

    def take(self) -> Connection | None:
        """Return the connection, once it is open; None before. Raises `LinkError` if it cannot be opened."""
        return self._dialler.take()

    def close(self) -> None:
        """Close what was opened, and open nothing more."""
        self._dialler.close()

    def _dial(self, server: Server) -> Connection:
        """Runs in the dialler's thread."""
        options = self._options
        return dial(server, options.connect_timeout, self._tls, options.transport, options.path)

    def connect_properties(self, session_expiry: int) -> Properties | None:
        """Return the properties of CONNECT, which MQTT 3.1.1 has not; `session_expiry` in seconds, 0: no session."""
        if not self.servers.speaks_v5:
            return None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = _RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAXIMUM_PACKET
        if session_expiry:
            properties.SessionExpiryInterval = session_expiry
        return properties

    # --- what has come of it

    def link_up(self) -> None:
        """Take note that the current broker has accepted."""
        self._up_since = self._clock()
        has_fallen_back = self.servers.accepted()
        if self.servers.speaks_v5:
            return
        if not self._options.demo_broker:  # which has no access rules
            LOG.info(
                "%s MQTT 3.1.1 with %s: it cannot tell which messages its access rules reject; all count as delivered",
                "falling back to" if has_fallen_back else "speaking",
                self.where,
            )

    def link_lost(self, ending: DisconnectCause) -> Plan:
        """Count a link that was up: delays begin anew if it had held, but not if another client took it over."""
        has_held = self._clock() - self._up_since >= _HELD
        self._short_links = 0 if has_held else self._short_links + 1
        if has_held and ending is not DisconnectCause.TAKEN_OVER:
            self._backoff.reset()
        self.servers.lost()
        return Plan(0.0, "") if ending is DisconnectCause.RETURNING else self._later()

    def try_soon(self) -> None:
        """Let delays begin anew: why the links before have ended is known, and done with."""
        self._backoff.reset()

    def failed(self, ending: DisconnectCause) -> Plan:
        """Take note that the current broker could not be connected to."""
        then = self.servers.failed(ending)
        if then is Next.OTHER_VERSION:
            return Plan(0.0, "", all_tried=False)
        if then is Next.OTHER_SERVER:
            return Plan(0.0, f"{self.where} is tried next", all_tried=False)
        return self._later()

    def _later(self) -> Plan:
        delay = self._backoff.next_delay()
        return Plan(delay, f"tried again by itself, next in {delay:.1f} s")

    # --- the way back

    def preferred_answers(self) -> bool:
        """Tell whether the preferred broker has accepted a connection again, while the link to another one is up.

        It is looked for once a minute.
        """
        if self.servers.is_time_to_look() and self._dialler.is_idle:
            self._dialler.start(self._probe)
            return False
        if self._dialler.is_idle:
            return False
        try:
            answered = self._dialler.take()
        except (LinkError, OSError) as err:
            LOG.debug("%s: not yet: %s", self.servers.preferred, err)
            return False
        if answered is not None:
            answered.close()
        return answered is not None

    def _probe(self) -> Connection:
        """Connect to the preferred broker, under another client id. Runs in the dialler's thread."""
        server, options = self.servers.preferred, self._options
        connection = self._dial(server)
        try:
            probe(connection, server, f"{options.client_id}-probe", options.username, options.password)
        except BaseException:
            connection.close()
            raise
        return connection
