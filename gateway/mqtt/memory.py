"""What the broker remembers of this gateway: the run topic with its token, and the log about it."""

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
    """The broker's access rules forbid the topic that shows what the broker remembers."""

    period = 86_400.0


class BrokerMemory:
    """Publishes tokens on `topic` (`""`: none) as the first of `states`, and draws the conclusions when they come back.

    `on_forgotten` is called when the broker does not have what it should have retained. The thread that holds the send
    lock calls all methods.
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
        """Whether the session of the link that is up outlives the link."""
        self.has_unusable_session = False
        """Whether to reconnect without the session, since it is unknown which messages have waited in it."""
        self._clock = clock
        self._since = clock()  # when CONNECT was sent
        self._states = states
        self._pings = 0
        if topic:
            states.set(topic, self.run.token)

    def can_keep_session(self) -> bool:
        """Return whether the next link may have a session: only with the token, which separates old messages from new.

        Called before CONNECT is sent.
        """
        self._since = self._clock()
        self.run.connecting()
        return self.run.is_used

    def link_up(self, *, session_present: bool) -> None:
        """Start with a new link: except in a session, nothing can be received that was sent before CONNECT."""
        self.has_unusable_session = False
        self.promptness.begin(self._since)
        self.run.link_up(session_present=session_present)
        if self.run.is_used:
            self._publish(self.run.token)

    def use_topic_again(self) -> None:
        """Use the topic on a link on which the broker has refused it. The link must have no session."""
        self.run.connecting()
        self.run.link_up(session_present=False)
        if self.run.is_used:
            self._publish(self.run.token)

    def ask(self, ping: Callable[[], None]) -> None:
        """Ask how late messages may be: by publishing a token, or by calling `ping` where tokens are forbidden."""
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
        """Record a PINGRESP, which proves less than a token: the broker may still have older messages for us."""
        if not self.run.is_used:
            self.promptness.answered()

    def on_message(self, payload: bytes, *, retain: bool) -> None:
        """Record a message on the topic."""
        if self.run.on_message(payload, retain=retain):
            self.promptness.answered(payload)

    def state_settled(self, state: Publication, reason: int) -> bool:
        """Return whether a state is a token, after recording the reason code with which the broker answered it."""
        if state.topic != self.run.topic:
            return False
        if reason:
            self.run.forbid()
        else:
            self.run.token_acknowledged(state.payload)
        return True

    def _forbidden(self) -> None:
        """Do without the topic, and without a session as well, or the next run would find that session."""
        self.has_unusable_session = self.has_session
        self._states.forget(self.run.topic)
        forbidden = RunTopicForbidden(
            f"the broker does not let the gateway write and read the topic {self.run.topic!a}: it keeps no commands "
            "for the gateway, and gets all retained states again at each connect: allow the topic in its access rules",
            key=self.run.topic,
        )
        if forbidden.trigger:
            LOG.warning(forbidden.report)
