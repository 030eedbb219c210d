"""What comes in: the subscriptions, and the messages as they are given on. Only the main thread calls it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import MAX_UNTRUSTED_KEYS, ThrottledException
from gateway.core.topic import filter_problem, without_covered
from gateway.message import Arrival, ReplyTo
from gateway.mqtt.memory import BrokerMemory
from gateway.mqtt.paho_hooks import Received
from gateway.mqtt.subscriptions import Subscriptions

LOG = package_logger(__name__)

_LONGEST_SHOWN = 200  # characters of a topic in the log
_LINGER = 1.0  # s between the subscription to new filters and the end of the old ones


class CallbackFailed(ThrottledException):
    """Something went wrong while a packet was handled."""


class MessageUnusable(ThrottledException):
    """A message is longer than the gateway takes, or is no MQTT."""

    most_new_keys = MAX_UNTRUSTED_KEYS


class Receiver:
    """Subscribes to `filters` and gives what they bring to `on_msg`, with what `memory` knows of its age.

    `counts` holds what is not given on: copies (a message that several filters have brought, but for the first), and
    unusable (longer than we take, or no MQTT).
    On MQTT 5, `wants_retained` tells whether the broker is to send what it has retained, and `no_local` that it is
    not to send what this client has published. A broker of 3.1.1 always sends both.
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
        self._leaving: tuple[str, ...] = ()  # filters of before, until `_leave_at`
        self._leave_at = 0.0
        self._unsubscribing: dict[int, tuple[str, ...]] = {}
        self._subscriptions = Subscriptions()
        self._is_v5 = self._takes_numbers = False

    def link_up(self, *, is_v5: bool, session_present: bool, takes_numbers: bool = True) -> None:
        """Subscribe to all filters, also those that the session has: they may have changed.

        `takes_numbers` tells whether the broker knows subscription identifiers.
        """
        self._is_v5, self._takes_numbers = is_v5, is_v5 and takes_numbers
        self._subscribing.clear()
        self._subscriptions.begin_anew(is_resumed=session_present)
        self._subscribe(self.filters)
        if self._run.is_used:  # at last: a broker may close over it
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE)
            self._note(self._run.topic, self._client.subscribe(self._run.topic, **self._how(options)))
            self._look_whether_subscribed()

    def change(self, filters: Iterable[str], *, wants_retained: bool, no_local: bool, is_up: bool) -> None:
        """Listen to other filters: first to the new ones, and once the broker has these, to the old ones no more."""
        self._wants_retained, self._no_local = wants_retained, no_local
        before, self.filters = self.filters, without_covered(filters)
        self._leaving = tuple(dict.fromkeys(one for one in (*self._leaving, *before) if one not in self.filters))
        if is_up:
            self._subscribe([one for one in self.filters if one not in before])

    def _subscribe(self, filters: Iterable[str]) -> None:
        sound = []
        for topic_filter in filters:
            problem = filter_problem(topic_filter)  # paho lets some pass for which a broker closes the link
            if problem:
                LOG.error("cannot subscribe to %a: %s: correct the filter", topic_filter, problem)
            else:
                sound.append(topic_filter)
        numbered = self._subscriptions.add(sound) if self._takes_numbers else [(one, 0) for one in sound]
        for topic_filter, number in numbered:  # each by itself: a broker may drop the whole list for a bad one
            how = self._how(self._options(topic_filter), number)
            self._note(topic_filter, self._client.subscribe(topic_filter, **how))
        self._look_whether_subscribed()

    def _how(self, options: SubscribeOptions, number: int = 0) -> dict[str, Any]:
        """Return what the client is to be told of a subscription: MQTT 3.1.1 has only the QoS."""
        return {"options": options, "properties": _identifier(number)} if self._is_v5 else {"qos": options.QoS}

    def _note(self, topic_filter: str, sent: tuple[object, int | None]) -> None:
        """Record that the SUBACK for a filter is awaited, if the SUBSCRIBE was `sent`."""
        _, mid = sent
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

    def subscribed(self, mid: int, codes: list[ReasonCode]) -> None:
        """Take note of a SUBACK."""
        topic_filter = self._subscribing.pop(mid, "?")
        is_refused = any(code.is_failure for code in codes)
        if is_refused and topic_filter == self._run.topic:
            self._run.forbid()
        elif is_refused:
            LOG.error("the broker refused the filter %a: %s: check its access rules", topic_filter, codes[0])
        self._look_whether_subscribed()

    def _look_whether_subscribed(self) -> None:
        self.is_subscribed = not self._subscribing
        if self.is_subscribed and self._leaving:
            self._leave_at = self._clock() + _LINGER

    @property
    def time_left(self) -> float:
        """Return in how many seconds `turn` will have something to do."""
        return max(0.0, self._leave_at - self._clock()) if self._leaving and self.is_subscribed else math.inf

    def turn(self) -> None:
        """Unsubscribe from old filters, once what they alone have brought must be here."""
        if not self._leaving or not self.is_subscribed or self._clock() < self._leave_at:
            return
        _, mid = self._client.unsubscribe(list(self._leaving))
        if mid is not None:
            self._unsubscribing[mid] = self._leaving
        self._leaving = ()

    def unsubscribed(self, mid: int) -> None:
        """Take note of an UNSUBACK."""
        gone = self._unsubscribing.pop(mid, ())
        self._subscriptions.remove(one for one in gone if one not in self.filters)  # it may be back already

    def passed_over(self, topic: str, what: str) -> None:
        """Count and log a message that cannot be used, and was acknowledged all the same."""
        self.counts["unusable"] += 1
        shown = topic if len(topic) <= _LONGEST_SHOWN else f"{topic[:_LONGEST_SHOWN]}..."
        unusable = MessageUnusable(
            f"dropped: a message on {shown!a} is, or has, {what}: find out who publishes it", key=f"{shown} {what}"
        )
        if unusable.trigger:
            LOG.warning(unusable.report)

    def take(self, message: mqtt.MQTTMessage | Received) -> None:
        """Give a message on; say it if that fails."""
        topic, resumed = message.topic, self._run.may_have_waited
        if topic == self._run.topic:
            self._memory.take(bytes(message.payload), retain=message.retain)
            return
        if resumed:
            self._run.message_came()
        if self._takes_numbers:
            numbers = getattr(message.properties, "SubscriptionIdentifier", ())
            if not self._subscriptions.counts(topic, numbers, may_have_waited=resumed):
                self.counts["copies"] += 1
                return
        try:
            self._on_msg(_arrival(message, resumed=resumed, late=self._memory.promptness.late))
        except Exception as err:
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
    """Return the properties of a SUBSCRIBE with a subscription identifier; 0: with none."""
    if not number:
        return None
    properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
    properties.SubscriptionIdentifier = number
    return properties
