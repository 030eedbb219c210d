"""What the broker remembers of us, on the link that is up: the run topic with its token, and the log about it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from gateway.mqtt.run_topic import RunTopic
from gateway.mqtt.states import States
from gateway.throttled_exception import ThrottledException

LOG = logging.getLogger(__name__)


class RunTopicForbidden(ThrottledException):
    """The broker's access rules forbid the topic by which the gateway knows what the broker remembers."""

    period = 86_400.0


class BrokerMemory:
    """Publishes the token of each link on `topic` (`""`: not at all), as the first of `states`.

    `on_forgotten` is called when the broker does not have what it was to retain. Whoever has the send lock calls this.
    """

    def __init__(
        self, topic: str, states: States, on_forgotten: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self.run = RunTopic(topic, os.urandom(8).hex(), on_forgotten, self._forbidden, clock)
        self.has_unusable_session = False
        """Whether the link is to be made anew without its session, since nobody can tell what has waited in it."""
        self._states = states
        if topic:
            states.set(topic, self.run.token)

    def keeps_session(self) -> bool:
        """Return whether the link that is about to be made may have a session: only with the token as its barrier."""
        self.run.connecting()
        return self.run.is_used

    def link_up(self, *, session_present: bool) -> None:
        """Have the token of a new link published."""
        self.has_unusable_session = False
        self.run.link_up(session_present=session_present)
        if self.run.is_used:
            self._states.set(self.run.topic, self.run.token)

    def state_settled(self, topic: str, reason: int) -> bool:
        """Return whether a state is ours, with what the broker has answered to it: a reason code."""
        if topic != self.run.topic:
            return False
        if reason:
            self.run.forbid()
        else:
            self.run.token_taken()
        return True

    def _forbidden(self, may_have_waited: bool) -> None:
        """Go on without the topic; without a session as well."""
        self.has_unusable_session = may_have_waited
        self._states.forget(self.run.topic)
        forbidden = RunTopicForbidden(
            f"the broker does not let the gateway write and read the topic {self.run.topic!a}: it keeps no commands "
            "for the gateway, and gets all retained states again at each connect: allow the topic in its access rules",
            key=self.run.topic,
        )
        if forbidden.trigger:
            LOG.warning(forbidden.report)
