"""Incoming messages: from topic and payload to the interfaces that are to have them.

A message goes through each map whose filters match it, once, and then to the interfaces of that map.
Dropped, counted and said: what the map refuses, the gateway's own messages, and retained commands, which
would make a device act on something that was said long ago.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from paho.mqtt.matcher import MQTTMatcher

from gateway.errors import MessageError, WordError
from gateway.init_logger import TRAFFIC
from gateway.mailbox import MsgList
from gateway.message import Arrival
from gateway.mqtt_map import MsgMap
from gateway.throttled_exception import ThrottledException
from gateway.topic import filter_levels

LOG = logging.getLogger(__name__)
_TRAFFIC_LOG = logging.getLogger(TRAFFIC)


class MessageRefused(ThrottledException):
    """A message from the broker that no interface can be given."""


class InboxFull(ThrottledException):
    """An interface does not take its messages as fast as they come."""


@dataclass(frozen=True, eq=False)
class Route:
    """A map and the interfaces, by name, that take the messages it reads."""

    msg_map: MsgMap
    inboxes: dict[str, MsgList]


class Router:
    """Delivers incoming messages. Only the thread of the MQTT client calls it.

    `counts` holds what became of them: received, delivered, echo, retained command, refused, inbox full.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._matcher = MQTTMatcher()  # type: ignore[no-untyped-call]
        by_filter: dict[str, list[Route]] = {}
        for route in routes:
            for topic_filter in route.msg_map.topics:
                by_filter.setdefault("/".join(filter_levels(topic_filter)), []).append(route)
        for plain, targets in by_filter.items():
            self._matcher[plain] = targets
        self.filters = tuple(dict.fromkeys(f for route in routes for f in route.msg_map.topics))
        self.counts: Counter[str] = Counter()

    def deliver(self, arrival: Arrival) -> None:
        """Give a message to every interface whose map reads it. Never raises for what a message holds."""
        if arrival.topic.endswith("/availability"):  # a gateway's, perhaps our own: no message
            return
        self.counts["received"] += 1
        matches: Iterable[list[Route]] = self._matcher.iter_match(arrival.topic)  # type: ignore[no-untyped-call]
        routes = {id(route): route for targets in matches for route in targets}
        for route in routes.values():
            self._deliver(route, arrival)

    def _deliver(self, route: Route, arrival: Arrival) -> None:
        topic = arrival.topic
        try:
            msg = route.msg_map.mqtt2internal(topic, arrival.payload)
        except MessageError as err:
            self.counts["refused"] += 1
            refusal = MessageRefused(f"dropped: {err} (on {topic!a})", key=str(err))
            if refusal.trigger:
                # A word that a strict map does not know is how a map says "not for me".
                LOG.log(logging.INFO if isinstance(err, WordError) else logging.WARNING, refusal.report)
            return
        if route.msg_map.is_echo(msg):
            self.counts["echo"] += 1
            return
        if msg.iscmd and arrival.retain:
            self.counts["retained command"] += 1
            refusal = MessageRefused(f"dropped: a retained command is never acted on (on {topic!a})", key=topic)
            if refusal.trigger:
                LOG.warning(
                    "%s: publish it without retain, and clear it with an empty retained message", refusal.report
                )
            return
        for name, inbox in route.inboxes.items():
            if _TRAFFIC_LOG.isEnabledFor(logging.INFO):
                _TRAFFIC_LOG.info("%s <- %s", name, msg)  # before the push: the answer must not stand above it
            if inbox.push(msg):
                self.counts["delivered"] += 1
            else:
                self.counts["inbox full"] += 1
                full = InboxFull(f"{name}: dropped: {inbox.limit} messages wait for it already", key=name)
                if full.trigger:
                    LOG.warning(full.report)
