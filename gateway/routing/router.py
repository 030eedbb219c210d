"""Incoming messages: from topic and payload to the interfaces that are to have them.

A message goes through each map whose filters match it, once, and then, through the filters of the configuration,
to the interfaces of that map. Dropped, counted and said: what the map refuses, commands that the guard refuses,
what goes round in a loop, and what the filters hold back.

A command that is addressed to a device of this gateway, and that no interface is given, is answered here, once, by
the interface of that device. One that is addressed to nobody here is another gateway's to answer.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from paho.mqtt.matcher import MQTTMatcher

from gateway.core.activity import Call
from gateway.core.bounded_cache import put
from gateway.core.clock import boot_time
from gateway.core.inbox import held_by
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import OF_STRANGERS, ThrottledException
from gateway.core.topic import filter_levels, topic_problem
from gateway.errors import FilteredError, MessageError, PayloadError, RefusedError, TopicError, WordError
from gateway.logs.init_logger import TRAFFIC
from gateway.message import Arrival, InternalMsg, Publication, ReplyTo
from gateway.routing.command_guard import command_key
from gateway.routing.message_filter import passed
from gateway.routing.response_topics import ResponseTopics
from gateway.routing.route import Route

__all__ = ["InboxFull", "MessageRefused", "Route", "Router"]

LOG = package_logger(__name__)
_TRAFFIC_LOG = logging.getLogger(TRAFFIC)


class MessageRefused(ThrottledException):
    """A message from the broker that no interface can be given, or that nobody is to answer."""

    most_new_keys = OF_STRANGERS


class InboxFull(ThrottledException):
    """An interface does not take its messages as fast as they come."""


_UNMARKED, _STATUS = "it is no topic for answers", "it would be a status"
_ALLOWABLE = (_UNMARKED, _STATUS)  # what is wrong with a response topic that commands.response_topics may allow
_GATEWAY_LEVELS = ("availability", "run")  # the last level of topics on which gateways speak of themselves


def _is_gateway_topic(topic: str) -> bool:
    """Return whether a gateway says on `topic` whether it is there, or that it runs."""
    return topic.rpartition("/")[2] in _GATEWAY_LEVELS


def _would_do(route: Route, name: str, msg: InternalMsg) -> bool:
    """Return whether `msg` is a command that the interface called `name` would do, whatever its action."""
    with Call(f"{name}: accepts()"):
        return route.inboxes[name].is_own(msg)


class _Delivery:
    """What becomes of one arrival: where it is to be answered, whether anybody has taken it, and what else is said."""

    __slots__ = ("arrival", "asked", "is_asked_for", "is_taken", "outcome")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.is_asked_for = arrival.reply_to is not None
        """Whether it is still to be found where it is to be answered: of commands for nobody here nothing is said."""
        self.asked: ReplyTo | None = None
        self.is_taken = False
        self.outcome: Callable[[], object] | None = None
        """Says what has become of a command that nobody has taken; there is one, however many have refused it."""

    def owe(self, outcome: Callable[[], object]) -> None:
        """Take `outcome` unless there is one."""
        self.outcome = self.outcome or outcome


class Router:
    """Delivers incoming messages. Only the thread of the MQTT client calls it.

    `own_topics` are those on which the gateway says whether it is there. `counts` holds what became of the messages:
    received, delivered, echo, availability, refused, inbox full, retained command, queued command, duplicate command,
    expired command, undated command, for nobody (a command that no interface has an address for), echo loop, filtered,
    hook failed, response topic refused. `answer` takes what is said only to those who asked for it;
    `response_topics` tells where they may.
    """

    def __init__(
        self,
        routes: Sequence[Route] = (),
        answer: Callable[[Publication], object] = lambda _: None,
        clock: Callable[[], float] = boot_time,
        wall_clock: Callable[[], float] = time.time,
        own_topics: Collection[str] = (),
        response_topics: ResponseTopics | None = None,
    ) -> None:
        self._answer = answer
        self._clock = clock
        self._wall_clock = wall_clock
        self.counts: Counter[str] = Counter()
        self.use(routes, own_topics, response_topics)

    def use(
        self, routes: Sequence[Route], own_topics: Collection[str], response_topics: ResponseTopics | None = None
    ) -> None:
        """Deliver by other routes from now on."""
        self._own_topics = frozenset(own_topics)
        self._response_topics = response_topics or ResponseTopics()
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

    def stats(self) -> dict[str, int]:
        """Return what became of the messages, by name. Any thread may call it."""
        return {name.replace(" ", "_"): number for name, number in self.counts.copy().items()}

    def deliver(self, arrival: Arrival) -> None:
        """Give a message to every interface whose map reads it. Never raises for what a message holds."""
        self.counts["received"] += 1
        if arrival.topic in self._own_topics:
            self.counts["availability"] += 1
            return
        delivery = _Delivery(arrival)
        for route in self._routes_of(arrival.topic):
            self._deliver(route, delivery)
        # Nobody waits for the outcome of a retained command: it would be said again at each connect.
        if delivery.outcome is not None and not delivery.is_taken and not arrival.retain:
            delivery.outcome()

    def _routes_of(self, topic: str) -> tuple[Route, ...]:
        known = self._known.get(topic)
        if known is None:
            routes = {id(route): route for targets in self._matches(topic) for route in targets}
            known = tuple(routes.values())
            put(self._known, topic, known)
        return known

    def _deliver(self, route: Route, delivery: _Delivery) -> None:
        arrival, msg_map = delivery.arrival, route.msg_map
        try:
            msg = msg_map.mqtt2internal(arrival.topic, arrival.payload)
        except MessageError as err:
            if isinstance(err, TopicError) and _is_gateway_topic(arrival.topic):  # of another gateway
                self.counts["availability"] += 1
                return
            self._refuse(err, arrival.topic)
            if isinstance(err, PayloadError):
                self._owe_unreadable(route, delivery, err)
            return
        if msg_map.is_echo(msg):
            self.counts["echo"] += 1
            return
        listeners, owners = self._listeners[id(route)]
        names = listeners.of(msg)
        if msg.iscmd:
            if not names:
                self.counts["for nobody"] += 1
                return
            msg = msg.answered_at(self._asked(delivery))
        try:
            lifetime = self._admit(route, arrival, msg)
            route.loops.admit(msg, msg_map.sender)
        except RefusedError as err:
            self._refuse(err, arrival.topic)
            for name in owners.of(msg):  # the first of them that would do it answers
                self._owe_refusal(route, name, msg, err, delivery)
            return
        if msg.iscmd:
            msg = route.guard.without_timestamp(msg)
        for name in names:
            self._give(route, name, msg, lifetime, delivery)

    def _admit(self, route: Route, arrival: Arrival, msg: InternalMsg) -> float:
        """Return how long (s) `msg` may wait for its interface; raise `RefusedError` if it is not to be done."""
        if not msg.iscmd:
            return math.inf
        how = route.msg_map.delivery_of(msg)
        return route.guard.admit(arrival, msg, how, self._clock(), self._wall_clock())

    def _give(self, route: Route, name: str, msg: InternalMsg, lifetime: float, delivery: _Delivery) -> None:
        """Give a message to one interface, in the form in which its filters let it pass."""
        listeners, owners = self._listeners[id(route)]
        try:
            filters = route.filters.get(name)
            given = passed(filters, msg) if filters else msg
            if given.iscmd and not msg.iscmd:  # a hook has made a command of a status, which may be an old one
                lifetime = self._admit(route, delivery.arrival, given)
        except RefusedError as err:
            self._refuse(err, delivery.arrival.topic, name)
            if name in owners.of(msg):
                self._owe_refusal(route, name, msg, err, delivery)
            return
        if owners is not listeners and name not in owners.of(given):  # its filters have seen what is another's
            return
        if _TRAFFIC_LOG.isEnabledFor(logging.INFO):
            _TRAFFIC_LOG.info("%s <- %s", name, given)  # before the push: the answer must not stand above it
        inbox = route.inboxes[name]
        if inbox.push(given, lifetime, held_by(delivery.arrival.payload)):
            self.counts["delivered"] += 1
            delivery.is_taken = True
            return
        self.counts["inbox full"] += 1
        why = inbox.why_refused()
        full = InboxFull(f"{name}: dropped: {why}", key=name)
        if full.trigger:
            LOG.warning(full.report)
        full_error = RefusedError("inbox full", f"{name} does not take it: {why}")
        self._owe_refusal(route, name, msg, full_error, delivery, given)

    # --- what is refused

    def _refuse(self, err: MessageError, topic: str, interface: str = "") -> None:
        """Count and say a refusal, of one interface or of all."""
        for_whom = f"{interface}: " if interface else ""
        if not isinstance(err, RefusedError):
            self.counts["refused"] += 1
            key, remedy, bug = str(err), "", None
        else:
            self.counts[err.kind] += 1
            key, remedy, bug = err.key or f"{err} {topic}", f": {err.remedy}" if err.remedy else "", err.__cause__
        what = f"dropped: {err} (on {topic!a})"
        # A word that a strict map does not know is how a map says "not for me".
        level = logging.INFO if isinstance(err, WordError | FilteredError) else logging.WARNING
        refusal = MessageRefused(f"{for_whom}{what}{remedy}", key=for_whom + key, level=level)
        if refusal.trigger:
            LOG.log(level, refusal.report, exc_info=bug if refusal.is_first else None)

    def _owe_refusal(
        self, route: Route, name: str, msg: InternalMsg, err: RefusedError, delivery: _Delivery,
        given: InternalMsg | None = None,
    ) -> None:  # fmt: skip
        """Have the interface that a command is addressed to say why it is refused, if nobody takes it.

        It is addressed to an interface that would do it, in the form that it would be `given`.
        """
        if delivery.outcome is not None or not _would_do(route, name, given or msg):
            return
        if err.is_answered:
            outlet = route.outlets.get(name)
            if outlet is not None:
                delivery.owe(partial(outlet, msg.reply("REFUSED", str(err))))
        elif delivery.asked is not None and delivery.asked.topic:
            delivery.owe(partial(self._repeat, route, delivery.asked))

    def _repeat(self, route: Route, asked: ReplyTo) -> None:
        """Answer a duplicate as the first one was, or will be."""
        answer = route.outcomes.repeat(asked)
        if answer is not None:
            self._answer(answer)

    def _owe_unreadable(self, route: Route, delivery: _Delivery, err: PayloadError) -> None:
        """Tell a sender who asked for it that its command cannot be read.

        It has no place on the status topic: what cannot be read has no action.
        """
        msg_map = route.msg_map
        if delivery.arrival.reply_to is None:
            return
        said = msg_map.addressee(delivery.arrival.topic)
        _, owners = self._listeners[id(route)]
        if not said.iscmd or msg_map.is_echo(said):
            return
        if not any(_would_do(route, name, said) for name in owners.of(said)):
            return
        asked = self._asked(delivery)
        if asked is not None and asked.topic:
            text = json.dumps({"response": "REFUSED", "reason": str(err)}, ensure_ascii=False)
            answer = Publication(asked.topic, text.encode("utf-8", "replace"), msg_map.status_qos).answering(asked)
            delivery.owe(partial(self._answer, answer))

    # --- where answers go

    def _asked(self, delivery: _Delivery) -> ReplyTo | None:
        """Return where an arrival is to be answered, and by what it is known; None if by nothing.

        Without a topic if that is none on which a stranger may let us publish.
        """
        arrival, wanted = delivery.arrival, delivery.arrival.reply_to
        if delivery.is_asked_for and wanted is not None:
            delivery.is_asked_for = False
            topic = wanted.topic if wanted.topic and self._may_answer_on(wanted.topic, arrival) else ""
            if topic or wanted.correlation:
                delivery.asked = ReplyTo(topic, wanted.correlation, command_key(arrival))
        return delivery.asked

    def _may_answer_on(self, topic: str, arrival: Arrival) -> bool:
        problem = topic_problem(topic) or self._misuse_of(topic)
        if not problem:
            if self._response_topics.has(topic):
                return True
            problem = _UNMARKED
        remedy = self._response_topics.remedy(may_allow=problem in _ALLOWABLE)
        self.counts["response topic refused"] += 1
        what = f"no answer is sent to {topic!a}: {problem} (asked for on {arrival.topic!a})"
        refusal = MessageRefused(f"{what}: {remedy}", key=f"response {topic}: {problem}")
        if refusal.trigger:
            LOG.warning(refusal.report)
        return False

    def _misuse_of(self, topic: str) -> str:
        """Say what our answer on `topic` would do in our name; `""` if nothing."""
        if any(True for _ in self._matches(topic)):
            return "this gateway listens there itself"
        if any(msg_map.is_command_topic(topic) for msg_map in self._maps):
            return "it would be a command"
        if topic in self._own_topics or _is_gateway_topic(topic):
            return "it says who is there"
        is_named = self._response_topics.names(topic)
        if not is_named and any(msg_map.is_status_topic(topic) for msg_map in self._maps):
            return _STATUS
        return ""

    def _matches(self, topic: str) -> Iterable[list[Route]]:
        return self._matcher.iter_match(topic)  # type: ignore[no-untyped-call,no-any-return]
