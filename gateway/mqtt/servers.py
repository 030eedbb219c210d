"""Which broker to try next, and with which version of MQTT. Pure: the clock is an argument."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from paho.mqtt.enums import MQTTProtocolVersion

from gateway.mqtt.dial import Server
from gateway.mqtt.options import Version
from gateway.mqtt.reason_codes import DisconnectCause

_V5_RETRY = 3600.0  # s after which MQTT 5 is tried again with a broker that refused it: it may have been updated
_PROBE_INTERVAL = 60.0  # s between two checks whether the preferred broker answers again


class Next(enum.Enum):
    """What to do after an attempt that has failed."""

    OTHER_VERSION = "try the same broker immediately, with another version"
    OTHER_SERVER = "try the next broker immediately"
    LATER = "all have been tried: wait, then begin with the preferred one"


class Servers:
    """The brokers, the preferred one first, and which version of MQTT each of them supports.

    MQTT 5 is tried first where `version` is 5. If a broker refuses it, or closes the connection instead of sending a
    CONNACK, as old brokers do, 3.1.1 is tried immediately. If the broker accepts that, 3.1.1 is used for an hour at
    least. A broker that sends nothing may only be slow: 3.1.1 is tried next with it, too, and if it accepts that, 3.1.1
    is used for this link only. Once one of the brokers has accepted MQTT 5, neither a closed connection nor silence is
    a sign of an old version, since several addresses usually lead to the same broker. `clock` returns seconds.
    """

    def __init__(self, servers: Sequence[Server], version: Version, clock: Callable[[], float]) -> None:
        self._servers = tuple(servers)
        self._prefers_v5 = version == 5
        self._clock = clock
        self._index = 0
        self._is_trying_v3 = self._may_be_slow = False
        self._v3_until: dict[Server, float] = {}
        self._has_accepted_v5 = False
        self._next_probe = clock()

    @property
    def current(self) -> Server:
        """The broker that is tried, or connected to."""
        return self._servers[self._index]

    @property
    def preferred(self) -> Server:
        """The first broker."""
        return self._servers[0]

    @property
    def speaks_v5(self) -> bool:
        """Whether MQTT 5 is used with the current broker."""
        is_v3 = self._is_trying_v3 or self._clock() < self._v3_until.get(self.current, float("-inf"))
        return self._prefers_v5 and not is_v3

    @property
    def protocol(self) -> MQTTProtocolVersion:
        """The version of MQTT to use, as paho names it."""
        return MQTTProtocolVersion.MQTTv5 if self.speaks_v5 else MQTTProtocolVersion.MQTTv311

    def accepted(self) -> bool:
        """Record that the current broker has accepted the connection; return whether it had refused MQTT 5 before."""
        has_fallen_back = self._is_trying_v3
        if has_fallen_back and not self._may_be_slow:
            self._is_trying_v3 = False
            self._v3_until[self.current] = self._clock() + _V5_RETRY
        self._has_accepted_v5 = self._has_accepted_v5 or self.speaks_v5
        self._next_probe = self._clock() + _PROBE_INTERVAL
        return has_fallen_back

    def failed(self, cause: DisconnectCause) -> Next:
        """Record that the current broker could not be connected to; return what to do next."""
        is_version = cause is DisconnectCause.VERSION_REFUSED
        is_version = is_version or (
            cause in (DisconnectCause.NO_CONNACK, DisconnectCause.SILENCE) and not self._has_accepted_v5
        )
        if is_version and self.speaks_v5:
            self._is_trying_v3, self._may_be_slow = True, cause is DisconnectCause.SILENCE
            return Next.OTHER_VERSION
        if is_version:
            self._v3_until.pop(self.current, None)
        self._is_trying_v3 = False
        self._index = (self._index + 1) % len(self._servers)
        return Next.OTHER_SERVER if self._index else Next.LATER

    def lost(self) -> None:
        """Record that the link to the current broker is lost: the preferred one is tried first again."""
        self._index = 0
        self._is_trying_v3 = False

    def is_probe_due(self) -> bool:
        """Return whether to check now if the preferred broker answers again: true once in each interval."""
        if self._index == 0 or self._clock() < self._next_probe:
            return False
        self._next_probe = self._clock() + _PROBE_INTERVAL
        return True
