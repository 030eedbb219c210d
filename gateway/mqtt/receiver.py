"""Receives messages: subscribes to filters, and delivers what they bring. Only the main thread calls it."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.core.backoff import Backoff, no_jitter
from gateway.core.package_logger import package_logger
from gateway.core.tap import TAP
from gateway.core.throttled_exception import MAX_UNTRUSTED_KEYS, ThrottledException
from gateway.core.topic import filter_problem, without_covered
from gateway.message import Arrival, ReplyTo
from gateway.mqtt.memory import BrokerMemory
from gateway.mqtt.paho_hooks import Received
from gateway.mqtt.recall import NOTHING, Recall
from gateway.mqtt.recall import TIMEOUT as RECALL_SECONDS
from gateway.mqtt.subscriptions import Subscriptions

LOG = package_logger(__name__)

LINGER = 1.0
"""Seconds between the answers to new subscriptions and the end of the old ones, see `Receiver.tick`."""

_FIRST_RETRY, _LAST_RETRY = 10.0, 600.0  # s until a filter is subscribed to again that the broker has refused
_MAX_LOGGED_TOPIC = 200  # characters of a topic in the log


class CallbackFailed(ThrottledException):
    """The handling of a packet has failed."""


class MessageUnusable(ThrottledException):
    """A message is larger than the gateway accepts, or violates the MQTT standard."""

    most_new_keys = MAX_UNTRUSTED_KEYS


class FilterRefused(ThrottledException):
    """The broker has refused a subscription. It is asked again and again, but this is not news every time."""

    period = 86_400.0


class Receiver:
    """Subscribes to `filters` and delivers what they bring to `on_msg`, with what `memory` knows about its age.

    `counts` holds how many messages were not delivered: copies (of a message that several filters have brought, all
    but one), and unusable ones (too large, or no MQTT).
    `recall` is asked for once, on the first link.
    On MQTT 5, `wants_retained` means that the broker is to send what it has retained, and `no_local` that it is not to
    send what this client has published. A broker of MQTT 3.1.1 always sends both.
    """

    def __init__(
        self,
        client: mqtt.Client,
        filters: Iterable[str],
        on_msg: Callable[[Arrival], None],
        clock: Callable[[], float],
        memory: BrokerMemory,
        *,
        wants_retained: bool,
        no_local: bool,
        recall: Recall = NOTHING,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.filters = without_covered(filters)
        self.is_subscribed = False
        self._client = client
        self._on_msg = on_msg
        self._clock = clock
        self._memory = memory
        self._run = memory.run
        self._wants_retained = wants_retained
        self._no_local = no_local
        self._subscribing: dict[int, str] = {}
        self._leaving: tuple[str, ...] = ()  # old filters, until `_leave_at`
        self._leave_at = 0.0
        self._unsubscribing: dict[int, tuple[str, ...]] = {}
        self._subscriptions = Subscriptions()
        self._is_v5 = self._has_identifiers = False
        self._failed = self._refused_filters = 0
        self.refused: dict[str, str] = {}
        """The filters that the broker has refused on this link, with its reasons. Replaced as a whole."""
        self._retries = Backoff(_FIRST_RETRY, _LAST_RETRY, no_jitter)
        self._retry_at = math.inf
        self._was_run_refused = False  # by a SUBACK: then the broker will not end the link over it
        self._recall = recall
        self._recall_until = math.inf

    def stats(self) -> dict[str, int]:
        """Return the counters: any thread may call this, without a lock."""
        return {
            "copies": self.counts["copies"],
            "unusable": self.counts["unusable"],
            "failed": self._failed,
            "filters": len(self.filters),
            "unanswered_subscriptions": len(self._subscribing),
            "refused_filters": self._refused_filters,
        }

    def link_up(self, *, is_v5: bool, session_present: bool, has_identifiers: bool = True) -> None:
        """Subscribe to all filters, also to those in the session: their options may have changed.

        `has_identifiers` means that the broker supports subscription identifiers.
        """
        self._is_v5, self._has_identifiers = is_v5, is_v5 and has_identifiers
        self._subscribing.clear()
        self.refused = {}
        self._retries.reset()
        self._retry_at = math.inf
        self._subscriptions.reset(is_resumed=session_present)
        self._subscribe(self.filters)
        if self._run.is_used:  # last, because a broker may close the link over it
            for topic_filter in self._recall.filters:
                self._subscribe_with_retained(topic_filter)
                self._recall_until = self._clock() + RECALL_SECONDS
            self._subscribe_with_retained(self._run.topic)
            self._update_is_subscribed()
        else:
            self._end_recall()

    def _subscribe_with_retained(self, topic_filter: str) -> None:
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE)
        self._await_suback(topic_filter, self._client.subscribe(topic_filter, **self._subscribe_arguments(options)))

    def _end_recall(self) -> None:
        if self._recall is NOTHING:
            return
        recall, self._recall = self._recall, NOTHING
        if self._recall_until < math.inf:
            self._client.unsubscribe(list(recall.filters))
            self._recall_until = math.inf
        recall.on_end()

    def change_filters(self, filters: Iterable[str], *, wants_retained: bool, no_local: bool, is_up: bool) -> None:
        """Subscribe to the new ones among `filters`, and later (see `tick`) unsubscribe from those not among them."""
        self._wants_retained, self._no_local = wants_retained, no_local
        previous, self.filters = self.filters, without_covered(filters)
        leaving = dict.fromkeys((*self._leaving, *previous))
        self._leaving = tuple(topic_filter for topic_filter in leaving if topic_filter not in self.filters)
        self.refused = {each: reason for each, reason in self.refused.items() if each in self.filters}
        if is_up:
            self._subscribe([topic_filter for topic_filter in self.filters if topic_filter not in previous])

    def _subscribe(self, filters: Iterable[str]) -> None:
        valid = []
        for topic_filter in filters:
            problem = filter_problem(
                topic_filter
            )  # paho accepts some filters because of which a broker closes the link
            if problem:
                LOG.error("cannot subscribe to %a: %s: correct the filter", topic_filter, problem)
            else:
                valid.append(topic_filter)
        if self._has_identifiers:
            numbered = self._subscriptions.add(valid)
        else:
            numbered = iter([(topic_filter, 0) for topic_filter in valid])
        # Each filter has its own SUBSCRIBE: a broker may refuse a whole list because of one filter in it.
        for topic_filter, number in numbered:
            arguments = self._subscribe_arguments(self._options(topic_filter), number)
            self._await_suback(topic_filter, self._client.subscribe(topic_filter, **arguments))
        self._update_is_subscribed()

    def _subscribe_arguments(self, options: SubscribeOptions, number: int = 0) -> dict[str, Any]:
        """Return the arguments of paho's `subscribe`: MQTT 3.1.1 has only the QoS."""
        return {"options": options, "properties": _identifier(number)} if self._is_v5 else {"qos": options.QoS}

    def _await_suback(self, topic_filter: str, result: tuple[object, int | None]) -> None:
        """Record that a SUBACK is expected for a filter, if `result` is that of a SUBSCRIBE that was sent."""
        _, mid = result
        if mid is not None:
            self._subscribing[mid] = topic_filter

    def _options(self, topic_filter: str) -> SubscribeOptions:
        is_shared = topic_filter.startswith("$share/")  # no_local on these is a protocol error (section 3.8.3.1)
        return SubscribeOptions(
            qos=1,
            noLocal=self._no_local and not is_shared,
            retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            if self._wants_retained
            else SubscribeOptions.RETAIN_DO_NOT_SEND,
        )

    def on_suback(self, mid: int, codes: list[ReasonCode]) -> None:
        """Handle a SUBACK."""
        topic_filter = self._subscribing.pop(mid, "?")
        is_refused = any(code.is_failure for code in codes)
        if is_refused and topic_filter == self._run.topic:
            self._run.forbid()
            self._was_run_refused = True
        elif is_refused and topic_filter in self._recall.filters:
            LOG.info("the broker does not let the gateway read %a: what it retains there stays unknown", topic_filter)
            if self._recall.filters == (topic_filter,):
                self._end_recall()
            else:
                others = tuple(each for each in self._recall.filters if each != topic_filter)
                self._recall = self._recall._replace(filters=others)
        elif is_refused:
            self._refused_filters += 1
            self.refused = {**self.refused, topic_filter: str(codes[0])}
            if self._retry_at == math.inf:
                self._retry_at = self._clock() + self._retries.next_delay()
            text = f"the broker refused the filter {topic_filter!a}: {codes[0]}: check its access rules"
            refused = FilterRefused(text, key=topic_filter, level=logging.ERROR)
            if refused.trigger:
                LOG.error(refused.report)
        elif topic_filter == self._run.topic and self._was_run_refused:
            self._was_run_refused = False
            LOG.info("the broker accepts the filter %a now", topic_filter)
        elif topic_filter in self.refused:
            self.refused = {each: reason for each, reason in self.refused.items() if each != topic_filter}
            LOG.info("the broker accepts the filter %a now", topic_filter)
        self._update_is_subscribed()

    def _update_is_subscribed(self) -> None:
        self.is_subscribed = not self._subscribing
        if self.is_subscribed and self._leaving:
            self._leave_at = self._clock() + LINGER

    @property
    def time_left(self) -> float:
        """The seconds until `tick` has something to do."""
        leaving = self._leave_at if self._leaving and self.is_subscribed else math.inf
        run = self._run.time_left if self._is_run_to_be_tried else math.inf
        return min(run, max(0.0, min(leaving, self._recall_until, self._retry_at) - self._clock()))

    @property
    def _is_run_to_be_tried(self) -> bool:
        return self._was_run_refused and not self._run.is_used

    def tick(self) -> None:
        """Subscribe to refused filters again, and unsubscribe from old ones, when it is time for that.

        Access rules change, and a cluster refuses filters while it elects a leader.

        Messages that matched only an old filter, because the broker did not know the new ones yet, may still be in its
        queue then. Once an old filter is forgotten, its copies do not count any more (see `Subscriptions`): without the
        pause these messages would be lost.
        """
        if self._clock() >= self._recall_until:
            self._end_recall()
        if self._clock() >= self._retry_at:
            self._retry_at = math.inf
            self._subscribe(self.refused)
        if self._is_run_to_be_tried and not self._run.time_left:
            self._subscribe_with_retained(self._run.topic)  # before a token is published there
            self._memory.use_topic_again()
            self._update_is_subscribed()
        if not self._leaving or not self.is_subscribed or self._clock() < self._leave_at:
            return
        _, mid = self._client.unsubscribe(list(self._leaving))
        if mid is not None:
            self._unsubscribing[mid] = self._leaving
        self._leaving = ()

    def on_unsuback(self, mid: int) -> None:
        """Handle an UNSUBACK."""
        filters = self._unsubscribing.pop(mid, ())
        # Without those that were subscribed to again meanwhile:
        self._subscriptions.remove(topic_filter for topic_filter in filters if topic_filter not in self.filters)

    def on_unusable(self, topic: str, what: str) -> None:
        """Count and log a message that is, or contains, `what`: it cannot be used, but was acknowledged."""
        self.counts["unusable"] += 1
        recorder = TAP.recorder
        if recorder is not None:
            recorder.turned_away(recorder.arrived(Arrival(topic, b"")), "gateway", f"it is, or has, {what}")
        shown = topic if len(topic) <= _MAX_LOGGED_TOPIC else f"{topic[:_MAX_LOGGED_TOPIC]}..."
        unusable = MessageUnusable(
            f"dropped: a message on {shown!a} is, or has, {what}: find out who publishes it", key=f"{shown} {what}"
        )
        if unusable.trigger:
            LOG.warning(unusable.report)

    def on_message(self, message: mqtt.MQTTMessage | Received) -> None:
        """Deliver a message; log an error if that fails."""
        topic, resumed = message.topic, self._run.may_have_waited
        if topic == self._run.topic:
            self._memory.on_message(bytes(message.payload), retain=message.retain)
            if not self._run.is_waiting:
                self._end_recall()
            return
        if self._recall is not NOTHING and self._recall.matches(topic):
            if message.retain and message.payload:
                self._recall.on_retained(topic, bytes(message.payload))
            return
        if resumed:
            self._run.message_came()
        if self._has_identifiers:
            numbers = getattr(message.properties, "SubscriptionIdentifier", ())
            if not self._subscriptions.counts(topic, numbers, may_have_waited=resumed):
                self.counts["copies"] += 1
                recorder = TAP.recorder
                if recorder is not None:
                    copy = recorder.arrived(_arrival(message, resumed=resumed, late=0.0))
                    recorder.turned_away(copy, "gateway", "it is a copy: several subscriptions have brought it")
                return
        try:
            self._on_msg(_arrival(message, resumed=resumed, late=self._memory.promptness.late))
        except Exception as err:
            self._failed += 1
            failed = CallbackFailed(f"a message on {message.topic!a} failed: {err!r}", key=repr(err))
            if failed.trigger:
                LOG.error(failed.report, exc_info=err)


def _arrival(message: mqtt.MQTTMessage | Received, *, resumed: bool, late: float) -> Arrival:
    plain = Arrival(message.topic, bytes(message.payload), message.retain, message.qos, message.dup, resumed, late=late)
    if message.properties is None:
        return plain
    topic = getattr(message.properties, "ResponseTopic", "")
    correlation = getattr(message.properties, "CorrelationData", b"")
    reply_to = ReplyTo(topic, correlation) if topic or correlation else None
    expiry = getattr(message.properties, "MessageExpiryInterval", None)
    return plain._replace(expiry=expiry, reply_to=reply_to)


def _identifier(number: int) -> Properties | None:
    """Return the properties of a SUBSCRIBE with a subscription identifier; None if `number` is 0."""
    if not number:
        return None
    properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
    properties.SubscriptionIdentifier = number
    return properties
