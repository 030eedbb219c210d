"""The topics on which the gateway may publish responses. Pure.

The sender of a command chooses its response topic, and the gateway may be permitted to publish where the sender is
not. Since the gateway cannot know all topics that are commands or states of others, it responds only on topics that
are recognisable as response topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.core.topic import filter_matches

ANSWER_LEVELS = ("response", "responses", "reply", "replies")
"""A topic that has a level with one of these names is a response topic."""


class ResponseTopics(NamedTuple):
    """The topics on which responses are allowed.

    `prefix` is the beginning of this gateway's own topics, such as `home/hall/`; `allowed` holds the filters that are
    listed in the configuration.
    """

    prefix: str = ""
    allowed: Sequence[str] = ()

    def is_configured(self, topic: str) -> bool:
        """Return whether the configuration lists `topic`."""
        return any(filter_matches(topic_filter, topic) for topic_filter in self.allowed)

    def is_allowed(self, topic: str) -> bool:
        """Return whether `topic` is a response topic."""
        is_below_prefix = bool(self.prefix) and topic.startswith(self.prefix)
        has_level = not set(ANSWER_LEVELS).isdisjoint(topic.split("/"))
        return is_below_prefix or has_level or self.is_configured(topic)

    def remedy(self, *, may_allow: bool) -> str:
        """Return what to do if a topic is refused. `may_allow`: the configuration could allow it."""
        below_prefix = f", or below {self.prefix}" if self.prefix else ""
        levels = f"{', '.join(ANSWER_LEVELS[:-1])} or {ANSWER_LEVELS[-1]}"
        allow = ", or allow it in commands.response_topics" if may_allow else ""
        return f"use a topic that has a level named {levels}{below_prefix}{allow}"
