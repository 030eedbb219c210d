"""What comes in: the subscriptions, and the messages as they are given on. Only the main thread calls it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.message import Arrival, ReplyTo
from gateway.mqtt.paho_hooks import Received
from gateway.mqtt.subscriptions import Subscriptions
from gateway.throttled_exception import ThrottledException
from gateway.topic import filter_problem, without_covered

LOG = logging.getLogger(__name__)

_QUIET = 1.0  # s without a message: the broker has sent what waited in the session; it does so at once, and first
_LINGER = 1.0  # s between the subscription to new filters and the end of the old ones
_QUIET_AT_MOST = 10.0  # s after the subscriptions, where there never is such a pause


class CallbackFailed(ThrottledException):
    """Something went wrong while a packet was handled."""


class Receiver:
    """Subscribes to `filters` and gives what they bring to `on_msg`.

    On MQTT 5, `wants_retained` tells whether the broker is to send what it has retained, and `no_local` that it is
    not to send what this client has published. A broker of 3.1.1 always sends both.
    """

    def __init__(
        self,
        client: mqtt.Client,
        filters: Iterable[str],
        on_msg: Callable[[Arrival], None],
        clock: Callable[[], float],
        *,
        wants_retained: bool,
        no_local: bool,
    ) -> None:
        self.filters = without_covered(filters)
        self.is_subscribed = False
        self._client = client
        self._on_msg = on_msg
        self._clock = clock
        self._wants_retained = wants_retained
        self._no_local = no_local
        self._subscribing: dict[int, str] = {}
        self._leaving: tuple[str, ...] = ()  # filters of before, until `_leave_at`
        self._leave_at = 0.0
        self._unsubscribing: dict[int, tuple[str, ...]] = {}
        self._subscriptions = Subscriptions()
        self._is_v5 = self._takes_numbers = self._is_resuming = False
        self._awaits_session = False  # until the broker has answered the subscriptions of a new link
        self._subscribed_at = self._last_arrival = clock()

    def link_up(self, *, is_v5: bool, session_present: bool, takes_numbers: bool = True) -> None:
        """Subscribe to all filters, also those that the session has: they may have changed.

        `takes_numbers` tells whether the broker knows subscription identifiers.
        """
        self._is_resuming, self._awaits_session = session_present, True
        self._is_v5, self._takes_numbers = is_v5, is_v5 and takes_numbers
        self._subscribing.clear()
        self._subscriptions.begin_anew(is_resumed=session_present)
        self._subscribe(self.filters)

    def change(self, filters: Iterable[str], *, wants_retained: bool, no_local: bool, is_up: bool) -> None:
        """Listen to other filters: first to the new ones, and once the broker has these, to the old ones no more."""
        self._look_whether_quiet()
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
            if self._is_v5:
                options, properties = self._options(topic_filter), _identifier(number)
                _, mid = self._client.subscribe(topic_filter, options=options, properties=properties)
            else:
                _, mid = self._client.subscribe(topic_filter, qos=1)
            if mid is not None:
                self._subscribing[mid] = topic_filter
        self._look_whether_subscribed()

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
        if any(code.is_failure for code in codes):
            LOG.error("the broker refused the filter %a: %s: check its access rules", topic_filter, codes[0])
        self._look_whether_subscribed()

    def _look_whether_subscribed(self) -> None:
        self.is_subscribed = not self._subscribing
        if self.is_subscribed and self._awaits_session:
            self._awaits_session = False
            self._subscribed_at = self._last_arrival = self._clock()
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

    def take(self, message: mqtt.MQTTMessage | Received) -> None:
        """Give a message on; say it if that fails."""
        resumed = self._is_resuming and self._may_have_waited()
        if self._takes_numbers:
            numbers = getattr(message.properties, "SubscriptionIdentifier", ())
            if not self._subscriptions.counts(message.topic, numbers, may_have_waited=resumed):
                return
        try:
            self._on_msg(_arrival(message, resumed=resumed))
        except Exception as err:
            failed = CallbackFailed(f"a message on {message.topic!a} failed: {err!r}", key=repr(err))
            if failed.trigger:
                LOG.error(failed.report, exc_info=err)

    def _may_have_waited(self) -> bool:
        """Tell whether a message may have waited in the session.

        The broker sends those first and at once: until it has answered the subscriptions, and then until it has sent
        nothing for a moment.
        """
        self._look_whether_quiet()
        self._last_arrival = self._clock()
        return self._is_resuming

    def _look_whether_quiet(self) -> None:
        now = self._clock()
        if self._is_resuming and self.is_subscribed:
            has_paused = now - self._last_arrival > _QUIET
            self._is_resuming = not has_paused and now - self._subscribed_at < _QUIET_AT_MOST


def _arrival(message: mqtt.MQTTMessage | Received, *, resumed: bool) -> Arrival:
    plain = Arrival(message.topic, bytes(message.payload), message.retain, message.qos, message.dup, resumed)
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
