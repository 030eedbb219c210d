"""Where answers may be sent. Pure.

A stranger chooses the response topic of a command, and the gateway may publish where the stranger may not. Which
topics are commands and states of others it cannot know; so it answers only where a topic says that it is for answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.core.topic import filter_matches

ANSWER_LEVELS = ("response", "responses", "reply", "replies")
"""A topic with a level of one of these names is for answers."""


class ResponseTopics(NamedTuple):
    """Which topics may be answered on.

    `prefix` is what the topics begin with that are this gateway's own, such as `home/hall/`; `allowed` are the filters
    that the configuration names.
    """

    prefix: str = ""
    allowed: Sequence[str] = ()

    def names(self, topic: str) -> bool:
        """Return whether the configuration names `topic`."""
        return any(filter_matches(one, topic) for one in self.allowed)

    def has(self, topic: str) -> bool:
        """Return whether `topic` is for answers."""
        is_own = bool(self.prefix) and topic.startswith(self.prefix)
        return is_own or not set(ANSWER_LEVELS).isdisjoint(topic.split("/")) or self.names(topic)

    def remedy(self, *, may_allow: bool) -> str:
        """Return what to do where a topic is refused; `may_allow`: the configuration could allow it."""
        own = f", or below {self.prefix}" if self.prefix else ""
        levels = f"{', '.join(ANSWER_LEVELS[:-1])} or {ANSWER_LEVELS[-1]}"
        allow = ", or allow it in commands.response_topics" if may_allow else ""
        return f"use another one, with a level named {levels}{own}{allow}"
