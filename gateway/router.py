"""Incoming messages: from topic and payload to the interfaces that are to have them.

A message goes through each map whose filters match it, once, and then, through the filters of the configuration,
to the interfaces of that map. Dropped, counted and said: what the map refuses, commands that the guard refuses,
what goes round in a loop, and what the filters hold back.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from paho.mqtt.matcher import MQTTMatcher

from gateway.command_guard import CommandGuard
from gateway.echo_loop import EchoLoops
from gateway.errors import FilteredError, MessageError, RefusedError, TopicError, WordError
from gateway.init_logger import TRAFFIC
from gateway.listeners import Addresses, Listeners
from gateway.mailbox import MsgList
from gateway.message import Arrival, InternalMsg, Publication, ReplyTo
from gateway.message_filter import MessageFilter, passed
from gateway.throttled_exception import ThrottledException
from gateway.topic import filter_levels, topic_problem
from gateway.translation.mqtt_map import MsgMap
from gateway.translation.remembered import remember

LOG = logging.getLogger(__name__)
_TRAFFIC_LOG = logging.getLogger(TRAFFIC)


class MessageRefused(ThrottledException):
    """A message from the broker that no interface can be given, or that nobody is to answer."""


class InboxFull(ThrottledException):
    """An interface does not take its messages as fast as they come."""


class Route:
    """A map, and what lies behind it: the interfaces, by name, that take the messages it reads.

    `filters` holds the incoming filters of those that have any, and `addresses` what commands are for those that do
    not want every message.
    """

    def __init__(
        self,
        msg_map: MsgMap,
        inboxes: dict[str, MsgList],
        filters: dict[str, Sequence[MessageFilter]] | None = None,
        guard: CommandGuard | None = None,
        loops: EchoLoops | None = None,
        addresses: dict[str, Addresses] | None = None,
    ) -> None:
        self.msg_map = msg_map
        self.inboxes = inboxes
        self.filters = {} if filters is None else filters
        self.guard = CommandGuard() if guard is None else guard
        self.loops = EchoLoops() if loops is None else loops
        self.addresses = {} if addresses is None else addresses

    def listeners(self) -> Listeners:
        """Return who is to have which message. A filter may make any of one, so that it sees all of them."""
        return Listeners({name: None if name in self.filters else self.addresses.get(name) for name in self.inboxes})


class _Delivery:
    """What becomes of one arrival: where it is to be answered, who has taken it, and why others have not."""

    __slots__ = ("arrival", "is_taken", "refusals", "reply_to")

    def __init__(self, arrival: Arrival, reply_to: ReplyTo | None) -> None:
        self.arrival = arrival
        self.reply_to = reply_to
        self.is_taken = False
        self.refusals: tuple[tuple[MsgMap, InternalMsg, RefusedError], ...] = ()


class Router:
    """Delivers incoming messages. Only the thread of the MQTT client calls it.

    `own_topics` are those on which the gateway says whether it is there. `counts` holds what became of the messages:
    received, delivered, echo, availability, refused, inbox full, retained command, queued command, duplicate command,
    expired command, undated command, for nobody (a command that no interface has an address for), echo loop, filtered,
    hook failed, response topic refused. `answer` takes what is said to those who asked for it when nobody does their
    command.
    """

    def __init__(
        self,
        routes: Sequence[Route] = (),
        answer: Callable[[Publication], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        own_topics: Collection[str] = (),
    ) -> None:
        self._answer = answer
        self._clock = clock
        self._wall_clock = wall_clock
        self.counts: Counter[str] = Counter()
        self.use(routes, own_topics)

    def use(self, routes: Sequence[Route], own_topics: Collection[str]) -> None:
        """Deliver by other routes from now on."""
        self._own_topics = frozenset(own_topics)
        self._matcher = MQTTMatcher()  # type: ignore[no-untyped-call]
        by_filter: dict[str, list[Route]] = {}
        for route in routes:
            for topic_filter in route.msg_map.topics:
                by_filter.setdefault("/".join(filter_levels(topic_filter)), []).append(route)
        for plain, targets in by_filter.items():
            self._matcher[plain] = targets
        self._known: dict[str, tuple[Route, ...]] = {}  # by topic, those that `_matcher` has found
        self._maps = tuple(route.msg_map for route in routes)
        self._listeners = {id(route): route.listeners() for route in routes}
        self.filters = tuple(dict.fromkeys(f for route in routes for f in route.msg_map.topics))

    def deliver(self, arrival: Arrival) -> None:
        """Give a message to every interface whose map reads it. Never raises for what a message holds."""
        self.counts["received"] += 1
        if arrival.topic in self._own_topics:
            self.counts["availability"] += 1
            return
        asked = arrival.reply_to
        delivery = _Delivery(arrival, self._reply_to(asked, arrival) if asked and asked.topic else None)
        for route in self._routes_of(arrival.topic):
            self._deliver(route, delivery)
        if delivery.reply_to is not None and not delivery.is_taken and not arrival.retain:  # there nobody waits
            self._answer_refused(delivery, delivery.reply_to)

    def _routes_of(self, topic: str) -> tuple[Route, ...]:
        known = self._known.get(topic)
        if known is None:
            routes = {id(route): route for targets in self._matches(topic) for route in targets}
            known = tuple(routes.values())
            remember(self._known, topic, known)
        return known

    def _deliver(self, route: Route, delivery: _Delivery) -> None:
        arrival, msg_map = delivery.arrival, route.msg_map
        try:
            msg = msg_map.mqtt2internal(arrival.topic, arrival.payload)
        except MessageError as err:
            if isinstance(err, TopicError) and arrival.topic.endswith("/availability"):  # of another gateway
                self.counts["availability"] += 1
                return
            self._refuse(err, arrival.topic)
            return
        if msg_map.is_echo(msg):
            self.counts["echo"] += 1
            return
        if delivery.reply_to is not None and msg.iscmd:
            msg = msg.answered_at(delivery.reply_to)
        try:
            lifetime = self._admit(route, arrival, msg)
            route.loops.admit(msg, msg_map.sender)
        except RefusedError as err:
            self._refuse(err, arrival.topic)
            delivery.refusals += ((msg_map, msg, err),)
            return
        names = self._listeners[id(route)].of(msg)
        if msg.iscmd and not names:
            self.counts["for nobody"] += 1
        for name in names:
            self._give(route, name, route.inboxes[name], msg, lifetime, delivery)

    def _admit(self, route: Route, arrival: Arrival, msg: InternalMsg) -> float:
        """Return how long (s) `msg` may wait for its interface; raise `RefusedError` if it is not to be done."""
        if not msg.iscmd:
            return math.inf
        how = route.msg_map.delivery_of(msg)
        return route.guard.admit(arrival, msg, how, self._clock(), self._wall_clock())

    def _give(
        self, route: Route, name: str, inbox: MsgList, msg: InternalMsg, lifetime: float, delivery: _Delivery
    ) -> None:
        """Give a message to one interface, in the form in which its filters let it pass."""
        try:
            filters = route.filters.get(name)
            given = passed(filters, msg) if filters else msg
            if given.iscmd and not msg.iscmd:  # a hook has made a command of a status, which may be an old one
                lifetime = self._admit(route, delivery.arrival, given)
        except RefusedError as err:
            self._refuse(err, delivery.arrival.topic, name)
            delivery.refusals += ((route.msg_map, msg, err),)
            return
        if _TRAFFIC_LOG.isEnabledFor(logging.INFO):
            _TRAFFIC_LOG.info("%s <- %s", name, given)  # before the push: the answer must not stand above it
        if inbox.push(given, lifetime):
            self.counts["delivered"] += 1
            delivery.is_taken = True
        else:
            self.counts["inbox full"] += 1
            full = InboxFull(f"{name}: dropped: {inbox.limit} messages wait for it already", key=name)
            if full.trigger:
                LOG.warning(full.report)

    # --- what is refused

    def _refuse(self, err: MessageError, topic: str, interface: str = "") -> None:
        """Count and say a refusal, of one interface or of all."""
        for_whom = f"{interface}: " if interface else ""
        if not isinstance(err, RefusedError):
            self.counts["refused"] += 1
            key, remedy, bug = str(err), "", None
        else:
            self.counts[err.kind] += 1
            key, remedy, bug = err.key or f"{err.kind} {topic}", f": {err.remedy}" if err.remedy else "", err.__cause__
        what = f"dropped: {err} (on {topic!a})"
        refusal = MessageRefused(f"{for_whom}{what}{remedy}", key=for_whom + key)
        if refusal.trigger:
            # A word that a strict map does not know is how a map says "not for me".
            level = logging.INFO if isinstance(err, WordError | FilteredError) else logging.WARNING
            LOG.log(level, refusal.report, exc_info=bug if refusal.is_first else None)

    def _answer_refused(self, delivery: _Delivery, reply_to: ReplyTo) -> None:
        """Tell a sender who asked for it that nobody does the command."""
        for msg_map, msg, err in delivery.refusals:
            if msg.iscmd and err.is_answered:
                with contextlib.suppress(MessageError):  # it has a word that can be read and not written
                    reply = msg_map.internal2mqtt(msg.reply("REFUSED", str(err)))
                    self._answer(reply.answering(reply_to))
                return

    # --- where answers go

    def _reply_to(self, wanted: ReplyTo, arrival: Arrival) -> ReplyTo | None:
        """Return where an arrival is to be answered, if that is a topic on which a stranger may let us publish."""
        topic = wanted.topic
        problem = topic_problem(topic) or self._misuse_of(topic)
        if not problem:
            return wanted
        self.counts["response topic refused"] += 1
        what = f"no answer is sent to {topic!a}: {problem} (asked for on {arrival.topic!a})"
        refusal = MessageRefused(f"{what}: use a response topic of your own", key=f"response {topic}")
        if refusal.trigger:
            LOG.warning(refusal.report)
        return None

    def _misuse_of(self, topic: str) -> str:
        """Say what our answer on `topic` would do in our name; `""` if nothing."""
        if any(True for _ in self._matches(topic)):
            return "this gateway listens there itself"
        if any(msg_map.is_command_topic(topic) for msg_map in self._maps):
            return "it would be a command"
        if topic.endswith("/availability"):
            return "it says who is there"
        return ""

    def _matches(self, topic: str) -> Iterable[list[Route]]:
        return self._matcher.iter_match(topic)  # type: ignore[no-untyped-call,no-any-return]
