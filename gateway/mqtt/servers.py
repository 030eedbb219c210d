"""Which broker to try next, and with which version of MQTT. Pure: the clock comes in as an argument."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from paho.mqtt.enums import MQTTProtocolVersion

from gateway.mqtt.dial import Server
from gateway.mqtt.options import Version
from gateway.mqtt.reason_codes import DisconnectCause

_V5_AGAIN = 3600.0  # s after which a broker that refused MQTT 5 is asked again, at a connect: it may be a newer one now
_RETURN = 60.0  # s between two looks at whether the preferred broker answers again


class Next(enum.Enum):
    """What to do after a try that has failed."""

    OTHER_VERSION = "try the same broker at once, with another version"
    OTHER_SERVER = "try the next broker at once"
    LATER = "all have been tried: wait, then begin with the preferred one"


class Servers:
    """The brokers, the preferred one first, and what is known of them.

    MQTT 5 is tried first where `version` is 5. A broker that refuses it is tried with 3.1.1 at once, and so is one that
    closes instead of a CONNACK, as old ones do. If it takes 3.1.1, it stays with that for an hour at least. One that
    says nothing may only be slow: with it, 3.1.1 is tried next, and if it takes that, for this link only. Where one of
    the brokers has spoken 5, closing and silence say nothing of the version: they are as many ways to the same one.
    """

    def __init__(self, servers: Sequence[Server], version: Version, clock: Callable[[], float]) -> None:
        self._servers = tuple(servers)
        self._prefers_v5 = version == 5
        self._clock = clock
        self._index = 0
        self._is_trying_old = self._is_only_slow = False
        self._old_until: dict[Server, float] = {}
        self._has_spoken_v5 = False
        self._look_again = clock()

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
        """Tell whether MQTT 5 is spoken with the current broker."""
        is_old = self._is_trying_old or self._clock() < self._old_until.get(self.current, float("-inf"))
        return self._prefers_v5 and not is_old

    @property
    def protocol(self) -> MQTTProtocolVersion:
        """The version to speak, for paho."""
        return MQTTProtocolVersion.MQTTv5 if self.speaks_v5 else MQTTProtocolVersion.MQTTv311

    def accepted(self) -> bool:
        """Take note that the current broker has accepted; return whether it has turned out not to speak MQTT 5."""
        found_old = self._is_trying_old
        if found_old and not self._is_only_slow:
            self._is_trying_old = False
            self._old_until[self.current] = self._clock() + _V5_AGAIN
        self._has_spoken_v5 = self._has_spoken_v5 or self.speaks_v5
        self._look_again = self._clock() + _RETURN
        return found_old

    def failed(self, ending: DisconnectCause) -> Next:
        """Take note that the current broker could not be connected to; return what to do."""
        is_version = ending is DisconnectCause.VERSION_REFUSED
        is_version = is_version or (
            ending in (DisconnectCause.NO_CONNACK, DisconnectCause.SILENCE) and not self._has_spoken_v5
        )
        if is_version and self.speaks_v5:
            self._is_trying_old, self._is_only_slow = True, ending is DisconnectCause.SILENCE
            return Next.OTHER_VERSION
        if is_version:
            self._old_until.pop(self.current, None)
        self._is_trying_old = False
        self._index = (self._index + 1) % len(self._servers)
        return Next.OTHER_SERVER if self._index else Next.LATER

    def lost(self) -> None:
        """Take note that the link to the current broker is lost: the preferred one is tried first again."""
        self._index = 0
        self._is_trying_old = False

    def is_time_to_look(self) -> bool:
        """Tell whether it is time to look if the preferred broker answers again; it is true once each time."""
        if self._index == 0 or self._clock() < self._look_again:
            return False
        self._look_again = self._clock() + _RETURN
        return True
