"""Incoming messages: from topic and payload to the interfaces that receive them.

A message goes through each map with a matching filter, once, and then, through the filters of the configuration, to
the interfaces of that map. These are dropped, counted and logged: what the map cannot read, commands that the guard
refuses, messages in an echo loop, and what the filters deny.

A command that is addressed to a device of this gateway, and that no interface receives, is answered here, once, by
the interface of that device. A command that is addressed to no device here is left to other gateways to answer.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from paho.mqtt.matcher import MQTTMatcher

from gateway.core.activity import Call
from gateway.core.bounded_cache import put
from gateway.core.clock import boot_time
from gateway.core.inbox import memory_size
from gateway.core.package_logger import TRAFFIC, package_logger
from gateway.core.tap import TAP, Step
from gateway.core.throttled_exception import MAX_UNTRUSTED_KEYS, ThrottledException
from gateway.core.topic import filter_levels, topic_problem
from gateway.core.unknown import UNKNOWN
from gateway.devices.document import JSON_KINDS
from gateway.errors import FilteredError, MessageError, PayloadError, RefusedError, TopicError, WordError
from gateway.message import HEALTH, REQUEST_ENDS, RUN, Arrival, InternalMsg, Publication, ReplyTo
from gateway.routing.command_guard import command_key
from gateway.routing.message_filter import apply_filters
from gateway.routing.response_topics import ResponseTopics
from gateway.routing.route import Route

__all__ = ["InboxFull", "MessageRefused", "Route", "Router"]

LOG = package_logger(__name__)
_TRAFFIC_LOG = logging.getLogger(TRAFFIC)


class MessageRefused(ThrottledException):
    """A message from the broker is not delivered to any interface, or a command is not answered."""

    most_new_keys = MAX_UNTRUSTED_KEYS


class InboxFull(ThrottledException):
    """An interface does not read its messages as fast as they arrive."""


_UNMARKED, _STATUS = "it is not a response topic", "it would be a status"
_DOCUMENT = "it would be a document of a device"
_ALLOWABLE = (_UNMARKED, _STATUS, _DOCUMENT)  # the reasons that commands.response_topics can override
_GATEWAY_LEVELS = ("availability", RUN, HEALTH)
"""The last levels of the topics on which gateways publish their own state, beside those of `JSON_KINDS`."""
_KINDS = (
    "received", "delivered", "echo", "availability", "refused", "inbox full", "retained command", "queued command",
    "late command", "duplicate command", "expired command", "undated command", "for nobody", "echo loop", "filtered",
    "hook failed", "response topic refused",
)  # fmt: skip


_WHERE = {"filtered": "filter", "hook failed": "filter", "echo loop": "echo"}
"""At which stage a message is refused, as those who follow messages are told; of other kinds, by a check."""

REFUSED_COMMANDS = (
    "retained command", "queued command", "late command", "duplicate command", "expired command", "undated command",
    "inbox full",
)  # fmt: skip
"""The kinds of commands that were refused before an interface had them."""

Listener = Callable[[Arrival, ReplyTo | None], None]
"""Gets what arrives on a topic, and where it is to be answered: None, or an empty topic, if that is not known."""


def _is_gateway_topic(topic: str) -> bool:
    """Return whether `topic` can be one on which a gateway publishes something of its own, and no message."""
    return topic.rpartition("/")[2] in (*_GATEWAY_LEVELS, *JSON_KINDS) or topic.endswith(REQUEST_ENDS)


def _would_execute(route: Route, name: str, msg: InternalMsg) -> bool:
    """Return whether `msg` is a command that the interface called `name` would execute, whatever its action is."""
    with Call(f"{name}: accepts()"):
        return route.inboxes[name].would_execute(msg)


class _Delivery:
    """The progress of one arrival: its response topic, whether an interface has received it, and the outcome if not."""

    __slots__ = (
        "arrival", "arrived", "is_addressed", "is_received", "is_reply_to_unchecked", "outcome", "reply_to",
        "unaddressed",
    )  # fmt: skip

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        recorder = TAP.recorder
        self.arrived: Step | None = None if recorder is None else recorder.arrived(arrival)
        """The first step of its way, for those who follow messages; None: nobody does."""
        self.is_reply_to_unchecked = arrival.reply_to is not None
        """Whether the response topic must still be checked: that is postponed until it is known that it is needed."""
        self.reply_to: ReplyTo | None = None
        """Where it is to be answered, and its number as a command, once that has been checked."""
        self.is_received = False
        self.is_addressed = False
        """Whether an interface has its address, by any of the maps that read it."""
        self.unaddressed: InternalMsg | None = None
        """What it is by a map none of whose interfaces has its address."""
        self.outcome: Callable[[], object] | None = None
        """Publishes the outcome of a command that no interface has received; only one, however many refuse it."""

    def set_outcome(self, outcome: Callable[[], object]) -> None:
        """Set the outcome, unless there is one already."""
        self.outcome = self.outcome or outcome

    def turned_away(self, where: str, why: str, name: str = "", msg: InternalMsg | None = None) -> None:
        """Tell those who follow messages that the interface called `name`, or each, does not receive it."""
        recorder = TAP.recorder
        if recorder is not None and self.arrived is not None:
            recorder.turned_away(self.arrived, where, why, name, msg)


class Router:
    """Delivers incoming messages. Only the thread of the MQTT client calls its methods, except `stats`.

    `own_topics` are those on which this gateway publishes its availability. `answer` publishes outcomes that go only
    to the response topic of a command; `response_topics` decides which response topics are allowed. `counts` holds
    how many messages were received, delivered and so on, by kind (see `_KINDS`); "for nobody" counts commands whose
    address belongs to no interface.
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
        self.set_routes(routes, own_topics, response_topics)

    def set_routes(
        self,
        routes: Sequence[Route],
        own_topics: Collection[str],
        response_topics: ResponseTopics | None = None,
        listeners: Mapping[str, Listener] | None = None,
    ) -> None:
        """Use other routes from now on; `listeners` get what arrives on topics that are subscribed to as well."""
        self._own_topics = frozenset(own_topics)
        self._listeners = listeners or {}
        self._response_topics = response_topics or ResponseTopics()
        self._matcher = MQTTMatcher()  # type: ignore[no-untyped-call]
        by_filter: dict[str, list[Route]] = {}
        for route in routes:
            for topic_filter in route.msg_map.topics:
                by_filter.setdefault("/".join(filter_levels(topic_filter)), []).append(route)
        for unshared_filter, targets in by_filter.items():
            self._matcher[unshared_filter] = targets
        self._cached_routes: dict[str, tuple[Route, ...]] = {}  # by topic, since searching `_matcher` is slow
        self._maps = tuple(route.msg_map for route in routes)
        self._indexes = {id(route): route.indexes() for route in routes}
        self._routes = tuple(routes)
        filters = (each for route in routes for each in route.msg_map.topics)
        self.filters = tuple(dict.fromkeys((*filters, *self._listeners)))

    def stats(self) -> dict[str, int]:
        """Return the counts since the start, and the sizes of what the routes remember. Any thread may call this."""
        stats = {kind.replace(" ", "_"): 0 for kind in _KINDS}
        stats.update((kind.replace(" ", "_"), count) for kind, count in dict(self.counts).items())
        for route in self._routes:
            for name, count in route.stats().items():
                stats[name] = stats.get(name, 0) + count
        return stats

    def deliver(self, arrival: Arrival) -> None:
        """Deliver a message to every interface whose map reads it. Raises nothing, whatever the message contains."""
        self.counts["received"] += 1
        if arrival.topic in self._own_topics:
            self.counts["availability"] += 1
            if TAP.recorder is not None:
                _Delivery(arrival).turned_away("gateway", "the gateway has published it itself")
            return
        listener = self._listeners.get(arrival.topic)
        if listener is not None:  # whoever listens is a part of the gateway, and no map has to read the message
            self.counts["availability"] += 1
            listener(arrival, self._reply_to(_Delivery(arrival)))
            return
        delivery = _Delivery(arrival)
        for route in self._routes_of(arrival.topic):
            self._deliver(route, delivery)
        if delivery.unaddressed is not None and not delivery.is_addressed:
            self._tell_unaddressed(delivery.unaddressed, delivery)
        # The outcome of a retained command is not published: it would be published again at each connect, and no
        # client waits for it.
        if delivery.outcome is not None and not delivery.is_received and not arrival.retain:
            delivery.outcome()

    def _routes_of(self, topic: str) -> tuple[Route, ...]:
        cached = self._cached_routes.get(topic)
        if cached is None:
            routes = {id(route): route for targets in self._matches(topic) for route in targets}
            cached = tuple(routes.values())
            put(self._cached_routes, topic, cached)
        return cached

    def _deliver(self, route: Route, delivery: _Delivery) -> None:
        arrival, msg_map = delivery.arrival, route.msg_map
        try:
            msg = msg_map.mqtt2internal(arrival.topic, arrival.payload)
        except MessageError as err:
            if isinstance(err, TopicError) and _is_gateway_topic(arrival.topic):  # of another gateway
                self.counts["availability"] += 1
                if delivery.arrived is not None:
                    delivery.turned_away("gateway", "it is the state of another gateway")
                return
            self._refuse(err, delivery)
            if (unknown := UNKNOWN.collector) is not None and isinstance(err, WordError):
                unknown.word(next(iter(route.inboxes), ""), err, arrival.topic, is_incoming=True)
            if isinstance(err, PayloadError):
                self._prepare_unreadable(route, delivery, err)
            return
        if msg_map.is_echo(msg):
            self.counts["echo"] += 1
            if delivery.arrived is not None:
                delivery.turned_away("echo", "this gateway has sent it itself", msg=msg)
            return
        examiners, recipients = self._indexes[id(route)]
        names = examiners.interfaces_for(msg)
        delivery.is_addressed = delivery.is_addressed or bool(names)
        if msg.iscmd:
            if not names:
                delivery.unaddressed = msg
                return
            msg = msg.answered_at(self._reply_to(delivery))
        try:
            lifetime = self._admit(route, arrival, msg)
            route.loops.admit(msg, msg_map.sender)
        except RefusedError as err:
            self._refuse(err, delivery, msg=msg)
            for name in recipients.interfaces_for(msg):  # the first one that would execute the command answers it
                self._prepare_refusal(route, name, msg, err, delivery)
            return
        if msg.iscmd:
            msg = route.guard.without_timestamp(msg)
        if not names:
            delivery.unaddressed = msg
        for name in names:
            self._push(route, name, msg, lifetime, delivery)

    def _tell_unaddressed(self, msg: InternalMsg, delivery: _Delivery) -> None:
        """Count a command that is for no interface; tell those who follow messages of it, and of such a status."""
        if msg.iscmd:
            self.counts["for nobody"] += 1
        if delivery.arrived is not None:
            why = "here has this address" if msg.iscmd else "wants statuses of this address"
            delivery.turned_away("address", f"no interface {why}", msg=msg)

    def _admit(self, route: Route, arrival: Arrival, msg: InternalMsg) -> float:
        """Return how long (s) `msg` may wait for its interface; raise `RefusedError` if it must not be executed."""
        if not msg.iscmd:
            return math.inf
        rule = route.msg_map.delivery_of(msg)
        return route.guard.admit(arrival, msg, rule, self._clock(), self._wall_clock())

    def _push(self, route: Route, name: str, msg: InternalMsg, lifetime: float, delivery: _Delivery) -> None:
        """Put a message into the inbox of one interface, in the form in which it passes the filters."""
        examiners, recipients = self._indexes[id(route)]
        try:
            filters = route.filters.get(name)
            passed = apply_filters(filters, msg) if filters else msg
            # A hook may have turned a status into a command: an old retained status must not become a new command.
            if passed.iscmd and not msg.iscmd:
                lifetime = self._admit(route, delivery.arrival, passed)
        except RefusedError as err:
            self._refuse(err, delivery, name, msg)
            if name in recipients.interfaces_for(msg):
                self._prepare_refusal(route, name, msg, err, delivery)
            return
        if recipients is not examiners and name not in recipients.interfaces_for(passed):
            return  # only its filters were to examine the message, which is for another interface
        if _TRAFFIC_LOG.isEnabledFor(logging.INFO):
            _TRAFFIC_LOG.info("%s <- %s", name, passed)  # before the push: else the answer may be logged first
        inbox, recorder = route.inboxes[name], TAP.recorder
        if recorder is not None and delivery.arrived is not None:
            recorder.received(delivery.arrived, name, passed)
        if inbox.push(passed, lifetime, memory_size(delivery.arrival.payload)):
            self.counts["delivered"] += 1
            delivery.is_received = True
            return
        self.counts["inbox full"] += 1
        reason = inbox.rejection_reason()
        if recorder is not None:
            recorder.not_received(name, passed, reason)
        full = InboxFull(f"{name}: dropped: {reason}", key=name)
        if full.trigger:
            LOG.warning(full.report)
        inbox_full = RefusedError("inbox full", f"{name} accepts no more messages: {reason}")
        self._prepare_refusal(route, name, msg, inbox_full, delivery, passed)

    # --- what is refused

    def _refuse(
        self, err: MessageError, delivery: _Delivery, interface: str = "", msg: InternalMsg | None = None
    ) -> None:
        """Count and log a refusal by one interface, or by all."""
        topic = delivery.arrival.topic
        if delivery.arrived is not None:
            where = _WHERE.get(err.kind, "check") if isinstance(err, RefusedError) else "map"
            delivery.turned_away(where, str(err), interface, msg)
        for_whom = f"{interface}: " if interface else ""
        if not isinstance(err, RefusedError):
            self.counts["refused"] += 1
            key, remedy, bug = str(err), "", None
        else:
            self.counts[err.kind] += 1
            key, remedy, bug = err.key or f"{err} {topic}", f": {err.remedy}" if err.remedy else "", err.__cause__
        is_rejected = isinstance(err, RefusedError) and not isinstance(err, FilteredError)
        text = f"{'rejected' if is_rejected else 'dropped'}: {err} (on {topic!a})"
        # A strict map that lacks a word is the usual way to ignore messages, and so is a filter.
        level = logging.INFO if isinstance(err, WordError | FilteredError) else logging.WARNING
        refusal = MessageRefused(f"{for_whom}{text}{remedy}", key=for_whom + key, level=level)
        if refusal.trigger:
            LOG.log(level, refusal.report, exc_info=bug if refusal.is_first else None)

    def _prepare_refusal(
        self, route: Route, name: str, msg: InternalMsg, err: RefusedError, delivery: _Delivery,
        passed: InternalMsg | None = None,
    ) -> None:  # fmt: skip
        """Prepare the outcome that the interface `name` refuses the command `msg`, in case no interface receives it.

        Only for an interface that would execute the command, in the form in which it has `passed` the filters.
        """
        if delivery.outcome is not None or not _would_execute(route, name, passed or msg):
            return
        if err.is_answered:
            outlet = route.outlets.get(name)
            if outlet is not None:
                delivery.set_outcome(partial(outlet, msg.reply("REFUSED", str(err))))
        elif delivery.reply_to is not None and delivery.reply_to.topic:
            delivery.set_outcome(partial(self._repeat, route, delivery.reply_to))

    def _repeat(self, route: Route, reply_to: ReplyTo) -> None:
        """Answer a duplicate as the first command was, or will be, answered."""
        answer = route.outcomes.repeat(reply_to)
        if answer is not None:
            self._answer(answer)

    def _prepare_unreadable(self, route: Route, delivery: _Delivery, err: PayloadError) -> None:
        """Prepare the outcome of a command that cannot be read, if it has a response topic.

        It cannot be published on a status topic: without a readable payload there is no action.
        """
        msg_map = route.msg_map
        if delivery.arrival.reply_to is None:
            return
        addressed = msg_map.addressee(delivery.arrival.topic)
        _, recipients = self._indexes[id(route)]
        if not addressed.iscmd or msg_map.is_echo(addressed):
            return
        if not any(_would_execute(route, name, addressed) for name in recipients.interfaces_for(addressed)):
            return
        reply_to = self._reply_to(delivery)
        if reply_to is not None and reply_to.topic:
            text = json.dumps({"response": "REFUSED", "reason": str(err)}, ensure_ascii=False)
            answer = Publication(reply_to.topic, text.encode("utf-8", "replace"), msg_map.status_qos)
            delivery.set_outcome(partial(self._answer, answer.answering(reply_to)))

    # --- response topics

    def _reply_to(self, delivery: _Delivery) -> ReplyTo | None:
        """Return where an arrival is to be answered, and the number that identifies it; None if it has neither.

        The topic is empty if the response topic is not one on which a client may make this gateway publish.
        """
        arrival, requested = delivery.arrival, delivery.arrival.reply_to
        if delivery.is_reply_to_unchecked and requested is not None:
            delivery.is_reply_to_unchecked = False
            topic = requested.topic if requested.topic and self._may_answer_on(requested.topic, arrival) else ""
            if topic or requested.correlation:
                delivery.reply_to = ReplyTo(topic, requested.correlation, command_key(arrival))
        return delivery.reply_to

    def _may_answer_on(self, topic: str, arrival: Arrival) -> bool:
        problem = topic_problem(topic) or self._misuse_of(topic)
        if problem is None:
            if self._response_topics.is_allowed(topic):
                return True
            problem = _UNMARKED
        remedy = self._response_topics.remedy(may_allow=problem in _ALLOWABLE)
        self.counts["response topic refused"] += 1
        text = f"no answer is published on {topic!a}: {problem} (requested by a command on {arrival.topic!a})"
        refusal = MessageRefused(f"{text}: {remedy}", key=f"response {topic}: {problem}")
        if refusal.trigger:
            LOG.warning(refusal.report)
        return False

    def _misuse_of(self, topic: str) -> str | None:
        """Return what an answer on `topic` would do in the name of this gateway; None if it would do no harm."""
        if any(True for _ in self._matches(topic)):
            return "this gateway subscribes to it"
        if any(msg_map.is_command_topic(topic) for msg_map in self._maps):
            return "it would be a command"
        if topic in self._listeners or topic.endswith(REQUEST_ENDS):
            return "gateways are asked and managed there"
        level = topic.rpartition("/")[2]
        if topic in self._own_topics or level in _GATEWAY_LEVELS:
            return _DOCUMENT if level in JSON_KINDS else "it is an availability topic"
        is_configured = self._response_topics.is_configured(topic)
        if not is_configured and level in JSON_KINDS:
            return _DOCUMENT
        if not is_configured and any(msg_map.is_status_topic(topic) for msg_map in self._maps):
            return _STATUS
        return None

    def _matches(self, topic: str) -> Iterable[list[Route]]:
        return self._matcher.iter_match(topic)  # type: ignore[no-untyped-call,no-any-return]
