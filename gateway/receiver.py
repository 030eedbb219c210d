"""What comes in: the subscriptions, and the messages as they are given on. Only the main thread calls it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.message import Arrival, ReplyTo
from gateway.throttled_exception import ThrottledException
from gateway.topic import filter_problem, without_covered

LOG = logging.getLogger(__name__)

_QUIET = 1.0  # s without a message: the broker has sent what waited in the session; it does so at once, and first
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
        self._is_resuming = False
        self._subscribed_at = self._last_arrival = clock()

    def link_up(self, *, is_v5: bool, session_present: bool) -> None:
        """Subscribe to all filters, also those that the session has: they may have changed."""
        self._is_resuming = session_present
        self._subscribing.clear()
        for topic_filter in self.filters:  # each by itself: a broker may drop the whole list for a bad one
            problem = filter_problem(topic_filter)  # paho lets some pass for which a broker closes the link
            if problem:
                LOG.error("cannot subscribe to %a: %s: correct the filter", topic_filter, problem)
                continue
            if is_v5:
                _, mid = self._client.subscribe(topic_filter, options=self._options(topic_filter))
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
        self._subscribed_at = self._last_arrival = self._clock()

    def take(self, message: mqtt.MQTTMessage, where: str) -> None:
        """Give a message on; say it if that fails."""
        try:
            self._on_msg(self._arrival(message))
        except Exception as err:
            failed = CallbackFailed(f"a message on {message.topic!a} failed: {err!r}", key=f"{where} {err!r}")
            if failed.trigger:
                LOG.error(failed.report, exc_info=err)

    def _arrival(self, message: mqtt.MQTTMessage) -> Arrival:
        resumed = self._is_resuming and self._may_have_waited()
        expiry = reply_to = None
        if message.properties is not None:
            expiry = getattr(message.properties, "MessageExpiryInterval", None)
            topic = getattr(message.properties, "ResponseTopic", None)
            if topic:
                reply_to = ReplyTo(topic, getattr(message.properties, "CorrelationData", b""))
        return Arrival(
            message.topic, bytes(message.payload), message.retain, message.qos, message.dup, resumed, expiry, reply_to
        )

    def _may_have_waited(self) -> bool:
        """Tell whether a message may have waited in the session.

        The broker sends those first and at once: until it has answered the subscriptions, and then until it has sent
        nothing for a moment.
        """
        now = self._clock()
        if self.is_subscribed:
            has_paused = now - self._last_arrival > _QUIET
            self._is_resuming = not has_paused and now - self._subscribed_at < _QUIET_AT_MOST
        self._last_arrival = now
        return self._is_resuming
