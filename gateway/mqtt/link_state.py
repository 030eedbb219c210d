"""The states of the link to the broker, and the one table of their transitions. Pure: the clock is an argument."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType

from gateway.mqtt.link_log import LOG


class LinkState(enum.Enum):
    """The state of the link to the broker."""

    IDLE = "idle"
    CONNECTING = "connecting"
    AWAITING_CONNACK = "waiting for CONNACK"
    UP = "up"
    BACKING_OFF = "backing off"


class LinkEvent(enum.Enum):
    """What changes the state of the link."""

    CONNECT = "a connection is to be opened"
    OPENED = "the connection is open"
    ACCEPTED = "the broker has accepted the connection"
    LOST = "the link is lost, or could not be established"
    STOPPED = "the client stops"


TRANSITIONS: Mapping[tuple[LinkState, LinkEvent], LinkState] = MappingProxyType(
    {
        (LinkState.IDLE, LinkEvent.CONNECT): LinkState.CONNECTING,
        (LinkState.BACKING_OFF, LinkEvent.CONNECT): LinkState.CONNECTING,
        (LinkState.CONNECTING, LinkEvent.OPENED): LinkState.AWAITING_CONNACK,
        (LinkState.AWAITING_CONNACK, LinkEvent.ACCEPTED): LinkState.UP,
        # MQTT allows one CONNACK for each connection. A broker that sends another one is tolerated.
        (LinkState.UP, LinkEvent.ACCEPTED): LinkState.UP,
        (LinkState.CONNECTING, LinkEvent.LOST): LinkState.BACKING_OFF,
        (LinkState.AWAITING_CONNACK, LinkEvent.LOST): LinkState.BACKING_OFF,
        (LinkState.UP, LinkEvent.LOST): LinkState.BACKING_OFF,
        **{(state, LinkEvent.STOPPED): LinkState.IDLE for state in LinkState},
    }
)
"""The next state, by state and event. A pair that is not listed cannot occur."""


class LinkStateMachine:
    """The state of the link, with the deadline of the two states that end after a time.

    The deadline is the end of the wait for CONNACK, or of the delay before the next attempt to connect. `clock` returns
    seconds. `since` is when the link was established or lost last. Whoever has the send lock may call this; `state` and
    `since` may be read by any thread.
    """

    __slots__ = ("_clock", "_deadline", "since", "state")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.state = LinkState.IDLE
        self._clock = clock
        self._deadline = self.since = clock()

    def __repr__(self) -> str:
        return f"<LinkStateMachine {self.state.value}>"

    def advance(self, event: LinkEvent, broker: str = "") -> None:
        """Enter the next state, and log the transition with the name of the `broker`.

        Raises `RuntimeError`, and keeps the state, if the table has no transition for `event` from this state.
        """
        next_state = TRANSITIONS.get((self.state, event))
        if next_state is None:
            raise RuntimeError(f"link to {broker}: no transition from {self.state.value!r} when {event.value}")
        LOG.debug("link to %s: %s -> %s", broker, self.state.value, next_state.value)
        if LinkState.UP in (self.state, next_state) and self.state is not next_state:
            self.since = self._clock()
        self.state = next_state

    def set_deadline(self, seconds: float) -> None:
        """Set the deadline to `seconds` from now."""
        self._deadline = self._clock() + seconds

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self._clock() >= self._deadline

    @property
    def time_left(self) -> float:
        """The seconds until the deadline; 0 after it."""
        return max(0.0, self._deadline - self._clock())

    @property
    def is_pending_or_up(self) -> bool:
        """Whether there is a connection: the broker is asked for its CONNACK, or the link is up."""
        return self.state in (LinkState.AWAITING_CONNACK, LinkState.UP)

    @property
    def may_connect(self) -> bool:
        """Whether a connection may be opened now: none is open or being opened, and the delay is over."""
        return self.state in (LinkState.IDLE, LinkState.BACKING_OFF) and self.is_over
