"""What the broker retains of an earlier run of this gateway: asked for once, on the first link. Pure.

A gateway without a file for its outbox remembers nothing of its devices over a restart, but the broker does. On the
first link, the gateway subscribes to its own documents as well. The broker sends what it retains of them before it
sends the token of the run topic (see `run_topic`), for it has one queue for each client: so the token ends the recall.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.core.topic import filter_matches

TIMEOUT = 15.0
"""Seconds after which a recall ends if no token has come back."""


class Recall(NamedTuple):
    """What is asked for: the topics that `topic_filter` matches (`""`: nothing).

    `on_retained` gets topic and payload of each message that the broker retains there, and `on_end` is called when
    there are no more, or when nobody knows whether there are. Both are called by the main thread, with the send lock.
    """

    topic_filter: str = ""
    on_retained: Callable[[str, bytes], None] = lambda _topic, _payload: None
    on_end: Callable[[], None] = lambda: None

    def matches(self, topic: str) -> bool:
        """Return whether messages on `topic` are asked for."""
        return filter_matches(self.topic_filter, topic)


NOTHING = Recall()
"""There is nothing to ask for."""
