"""When a link that is up has to be checked, and whether it still works. Pure: the clock is an argument."""

from __future__ import annotations

from collections.abc import Callable

from gateway.mqtt.dial import LinkError

_SHORTEST_CHECK, _LONGEST_CHECK = 0.25, 5.0  # s between two checks
_SILENCE = 1.5  # keepalives without a byte from the broker: MQTT gives the client the same time (3.1.2.10)
_SHORTEST_PATIENCE = 10.0  # s for an acknowledgement, however short the keepalive is


class LinkMonitor:
    """Watches one link after the other for a broker that sends nothing, or acknowledges nothing.

    Call `link_up` for each new link, and set `last_received` whenever the broker has sent something. `keepalive`
    (seconds) is that of the configuration.
    """

    def __init__(self, keepalive: float, clock: Callable[[], float]) -> None:
        self._default_keepalive = keepalive
        self._clock = clock
        self.last_received = clock()
        """The time (of `clock`) at which the broker last sent something."""
        self._last_check = clock()
        self._up_since = clock()
        self._keepalive = 0.0
        self.interval = _LONGEST_CHECK
        """The seconds between two checks of the link."""

    def link_up(self, keepalive: float) -> None:
        """Begin with a link for which the broker has accepted `keepalive` seconds; 0: it may be silent for ever."""
        self.last_received = self._up_since = self._clock()
        self._keepalive = keepalive
        self.interval = min(max(keepalive / 8, _SHORTEST_CHECK), _LONGEST_CHECK)

    @property
    def is_check_due(self) -> bool:
        """Whether the last check was `interval` seconds ago."""
        return self._clock() - self._last_check >= self.interval

    def begin_check(self) -> None:
        """Record that the link is being checked now."""
        self._last_check = self._clock()

    def failure(self, broker: str, *, stalled_for: float, is_subscribing: bool) -> LinkError | None:
        """Return why the link to `broker` has to be dropped; None if it works.

        The broker has acknowledged nothing for `stalled_for` seconds, and has not answered all subscriptions if
        `is_subscribing`.
        """
        now = self._clock()
        patience = max(_SILENCE * (self._keepalive or self._default_keepalive), _SHORTEST_PATIENCE)
        if self._keepalive and now - self.last_received > _SILENCE * self._keepalive:
            return LinkError(f"{broker} has been silent for {_SILENCE} x keepalive", "check network and broker")
        if stalled_for > patience:
            return LinkError(f"{broker} no longer acknowledges messages", "check the broker")
        if is_subscribing and now - self._up_since > patience:
            return LinkError(f"{broker} does not answer the subscriptions", "check the broker")
        return None
