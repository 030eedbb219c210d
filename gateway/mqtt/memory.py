"""What the broker remembers of us, on the link that is up: the run topic with its token, and the log about it."""

from __future__ import annotations

import os
from collections.abc import Callable

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.message import Publication
from gateway.mqtt.promptness import Promptness
from gateway.mqtt.retained_states import RetainedStates
from gateway.mqtt.run_topic import RunTopic

LOG = package_logger(__name__)


class RunTopicForbidden(ThrottledException):
    """The broker's access rules forbid the topic by which the gateway knows what the broker remembers."""

    period = 86_400.0


class BrokerMemory:
    """Publishes tokens on `topic` (`""`: none) as the first of `states`, and knows what follows from their coming back.

    `on_forgotten` is called when the broker does not have what it was to retain. Whoever has the send lock calls this.
    """

    def __init__(
        self,
        topic: str,
        states: RetainedStates,
        on_forgotten: Callable[[], None],
        max_age: float,
        clock: Callable[[], float],
    ) -> None:
        self.run = RunTopic(topic, os.urandom(8).hex(), on_forgotten, self._forbidden, clock)
        self.promptness = Promptness(max_age, clock)
        self.has_session = False
        """Whether the link that is up has a session that outlives it."""
        self.has_unusable_session = False
        """Whether the link is to be made anew without its session, since nobody can tell what has waited in it."""
        self._clock = clock
        self._since = clock()  # when CONNECT was sent
        self._states = states
        self._pings = 0
        if topic:
            states.set(topic, self.run.token)

    def can_keep_session(self) -> bool:
        """Return whether the link that is about to be made may have a session: only with the token as its barrier.

        Called before CONNECT is sent.
        """
        self._since = self._clock()
        self.run.connecting()
        return self.run.is_used

    def link_up(self, *, session_present: bool) -> None:
        """Begin with a link on which, but for a session, nothing can come that was sent before CONNECT."""
        self.has_unusable_session = False
        self.promptness.begin(self._since)
        self.run.link_up(session_present=session_present)
        if self.run.is_used:
            self._publish(self.run.token)

    def ask(self, ping: Callable[[], None]) -> None:
        """Ask, by a token, or by `ping` where that is forbidden, how late what comes may be."""
        if self.run.is_used:
            self._publish(self.run.next_token())
        else:
            ping()

    def _publish(self, token: bytes) -> None:
        self.promptness.asked(token)
        self._states.set(self.run.topic, token)

    def pinged(self) -> None:
        """Record a PINGREQ."""
        if not self.run.is_used:
            self._pings += 1
            self.promptness.asked(self._pings)

    def ping_answered(self) -> None:
        """Record a PINGRESP, which proves less than a token: the broker may still keep older messages."""
        if not self.run.is_used:
            self.promptness.answered()

    def take(self, payload: bytes, *, retain: bool) -> None:
        """Record a message on the topic."""
        if self.run.take(payload, retain=retain):
            self.promptness.answered(payload)

    def state_settled(self, state: Publication, reason: int) -> bool:
        """Return whether a state is a token, with what the broker has answered to it: a reason code."""
        if state.topic != self.run.topic:
            return False
        if reason:
            self.run.forbid()
        else:
            self.run.token_taken(state.payload)
        return True

    def _forbidden(self) -> None:
        """Go on without the topic; without a session as well, or the next start would find it."""
        self.has_unusable_session = self.has_session
        self._states.forget(self.run.topic)
        forbidden = RunTopicForbidden(
            f"the broker does not let the gateway write and read the topic {self.run.topic!a}: it keeps no commands "
            "for the gateway, and gets all retained states again at each connect: allow the topic in its access rules",
            key=self.run.topic,
        )
        if forbidden.trigger:
            LOG.warning(forbidden.report)
