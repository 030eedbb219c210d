"""The MQTT client: a paho client that keeps one link to a broker up.

`loop_with_reconnect`, called by the main thread, waits for something to do and does it. The link is used by whoever
holds the send lock, so that a thread that has put a message into the outbox may send it while the main thread sleeps.
All methods are for the main thread, except `set_state`, and what an outbox calls (`Transmitter`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping

from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.core.clock import boot_time
from gateway.core.inbox import Wakeup
from gateway.core.trouble import Interruptions
from gateway.message import OFFLINE, ONLINE, Arrival
from gateway.mqtt.connector import Connector
from gateway.mqtt.dial import LinkError
from gateway.mqtt.link import Link
from gateway.mqtt.link_state import LinkState
from gateway.mqtt.memory import BrokerMemory
from gateway.mqtt.options import MqttOptions
from gateway.mqtt.paho_hooks import HookedClient
from gateway.mqtt.poller import Poller, has_more
from gateway.mqtt.recall import NOTHING, Recall
from gateway.mqtt.receiver import Receiver
from gateway.mqtt.sender import Sender
from gateway.mqtt.transmitter import Transmitter
from gateway.outbox.outbox import Outbox

_READS_PER_STEP = 200  # packets that are read before the outbox is sent again
_LONGEST_WAIT = 5.0  # s while a connection is being opened; the thread that does so wakes the loop
_STOP_STEP = 0.25  # s of a wait while stopping: nothing comes from the broker for what was sent with QoS 0


class MgClient(HookedClient):
    """A paho client that adds a guarded link: at most one connection is pending, and a lost link is opened again.

    `filters` are subscribed to at each connect, and `on_msg` gets the messages. The messages in `outbox` are sent while
    the link is up; after `outbox.attach(client.transmitter)` the threads that put them send them as well.
    `availability_topic` is the topic of the will, and has the payload `online` while the link is up. `run_topic` shows
    whether the broker still remembers this client (see `RunTopic`; `""`: it is not used). `recall` is what it retains
    of an earlier run. `wakeup` ends the wait of `loop_with_reconnect`. Commands expire at the broker when they are
    `command_lifetime` seconds old (0: never). For the other options see `mg_subscribe`.

    Methods of paho keep their meaning; those of this class begin with `mg_`, `lag_` or `loop_with_`.
    """

    def __init__(
        self,
        options: MqttOptions,
        outbox: Outbox,
        wakeup: Wakeup,
        *,
        filters: Iterable[str] = (),
        on_msg: Callable[[Arrival], None] = lambda _: None,
        availability_topic: str = "",
        run_topic: str = "",
        recall: Recall = NOTHING,
        command_lifetime: float = 0.0,
        wants_retained: bool = False,
        wants_session: bool = False,
        no_local: bool = False,
        max_age: float = 0.0,
        clock: Callable[[], float] = boot_time,
        uniform: Callable[[float, float], float] = random.uniform,
        send_clock: Callable[[], float] = boot_time,
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            options.client_id,
            clean_session=True,  # in MQTT 3.1.1, where a session never expires; for MQTT 5 see `ConnectRequest`
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,  # paho would connect again inside a callback
        )
        self.options = options
        self.outbox = outbox
        self._wakeup = wakeup
        self._poller = Poller(wakeup)
        self._availability_topic = availability_topic
        self._clock = clock
        self.sender = Sender(self, outbox, command_lifetime, clock)
        self.memory = BrokerMemory(run_topic, self.sender.states, outbox.republish_retained, max_age, clock)
        self.sender.on_state_settled = self.memory.state_settled
        self.sender.states.on_cleared = lambda topic: outbox.record_retained(topic, b"")
        self.receiver = Receiver(
            self, filters, on_msg, clock, self.memory,
            wants_retained=wants_retained, no_local=no_local, recall=recall,
        )  # fmt: skip
        connector = Connector(options, wakeup, clock, uniform)
        self.link = Link(self, options, connector, self.sender, self.receiver, self.memory, clock)
        self.link.wants_session = wants_session
        self._state_machine = self.link.state_machine  # read several times for each message
        self.transmitter = Transmitter(self, self._state_machine, self.sender, wakeup, send_clock)
        self._send_lock = self.transmitter.send_lock
        if availability_topic:
            self.set_state(availability_topic, ONLINE)
        self._set_up_paho()

    def __repr__(self) -> str:
        return f"<MgClient {self.broker} {self.link_state.value}>"

    def _set_up_paho(self) -> None:
        self.max_inflight_messages_set(0)  # the sender has its own window; paho scans all of its own at each PUBACK
        self.connect_timeout = self.options.connect_timeout
        if self.options.username is not None:
            self.username_pw_set(self.options.username, self.options.password)
        if self._availability_topic:
            self.will_set(self._availability_topic, OFFLINE, qos=1, retain=True)
        self.on_socket_register_write = lambda *_: None  # or publish() would write, in the middle of a callback
        self.mg_asked, self.mg_answered = self.memory.pinged, self.memory.ping_answered
        self.mg_passed_over = self.receiver.on_unusable
        self.mg_serve(
            on_connect=self.link.on_connack,
            on_disconnect=self.link.on_disconnect,
            on_subscribe=lambda _c, _u, mid, codes, _p: self.receiver.on_suback(mid, codes),
            on_unsubscribe=lambda _c, _u, mid, _codes, _p: self.receiver.on_unsuback(mid),
            on_message=lambda _c, _u, message: self.receiver.on_message(message),
        )

    # --- what is known of the link

    def stats(self) -> dict[str, int]:
        """Return the counters of the link, of sending and of receiving: any thread may call this, without a lock."""
        parts = (self.sender, self.receiver, self._send_lock)
        return {"connects": self.connects, **{name: count for part in parts for name, count in part.stats().items()}}

    @property
    def link_state(self) -> LinkState:
        """The state of the link."""
        return self._state_machine.state

    @property
    def broker(self) -> str:
        """The broker that is tried, or connected to."""
        return self.link.broker

    @property
    def protocol_in_words(self) -> str:
        """The version of MQTT that is used with it, in words."""
        return self.link.protocol

    @property
    def connects(self) -> int:
        """How many links were up."""
        return self.link.connects

    @property
    def session_present(self) -> bool:
        """Whether the broker had a session of this client when it accepted the last link."""
        return self.link.session_present

    @property
    def interruptions(self) -> Interruptions:
        """That the link is lost again and again, although it is up in between (s, `boot_time`)."""
        return self.link.interruptions

    @property
    def last_failure(self) -> LinkError | None:
        """Why all brokers have failed that were tried since the last link was up."""
        return self.link.last_failure

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters, without those that others of them cover."""
        return self.receiver.filters

    @property
    def is_subscribed(self) -> bool:
        """Whether the broker has answered all subscriptions."""
        return self.receiver.is_subscribed

    @property
    def receive_counts(self) -> Mapping[str, int]:
        """How many messages were not passed to `on_msg`, by the reason: copies, unusable."""
        return self.receiver.counts

    @property
    def is_caught_up(self) -> bool:
        """Whether all messages that had waited in the session have come, as far as that can be known."""
        return not self.memory.run.may_have_waited

    @property
    def link_since(self) -> float:
        """When (s, `boot_time`) the link was established or lost last."""
        return self._state_machine.since

    @property
    def round_trip(self) -> float | None:
        """The seconds that the broker took to answer last; None: it has not been asked on this link."""
        return self.memory.promptness.round_trip

    @property
    def stalled_for(self) -> float:
        """The seconds for which the broker has acknowledged nothing of what was sent; 0 if nothing is in flight."""
        return self.sender.stalled_for

    @property
    def refused_filters(self) -> Mapping[str, str]:
        """The filters that the broker has refused on this link, with its reasons."""
        return self.receiver.refused

    @property
    def refused_states(self) -> Collection[str]:
        """The topics of the states that the broker did not accept when they were published last."""
        return list(self.sender.states.suspended)

    @property
    def refused_topics(self) -> Collection[str]:
        """The topics that wait because the broker has refused a message on them without saying why."""
        return list(self.sender.refused_topics)

    @property
    def forbidden_run_topic(self) -> str:
        """The topic ROOT/NAME/run, if the broker forbids it; otherwise `""`."""
        run = self.memory.run
        return run.topic if self.link_state is LinkState.UP and not run.is_used else ""

    @property
    def maximum_packet(self) -> int | None:
        """The bytes of the largest packet that the broker accepts; None: it has announced no limit."""
        return self.sender.limits.maximum_packet

    @property
    def main_busy_for(self) -> float:
        """The seconds since the main thread should have been back at its wait; 0: it waits."""
        return self._send_lock.main_busy_for

    # --- the guard of a pending connection

    def lag_reset(self) -> None:
        """Start the wait for CONNACK again."""
        self._state_machine.set_deadline(self.options.connect_timeout)

    def lag_end(self) -> bool:
        """Return whether the wait (for CONNACK, or for the next attempt to connect) is over."""
        return self._state_machine.is_over

    def lag_test(self) -> bool:
        """Return whether a connection may be opened now: none is up or pending, and the delay is over."""
        return self._state_machine.may_connect

    def mg_connect(self) -> None:
        """Begin to connect; `loop_with_reconnect` continues. Does nothing while a link is up or pending."""
        if self.link_state is LinkState.IDLE:
            self.link.warn_if_unverified()
        self.mg_reconnect()

    def mg_reconnect(self) -> None:
        """Begin to connect, if `lag_test` allows it."""
        self.link.connect()

    # --- what is received and published

    def mg_subscribe(
        self,
        filters: Iterable[str],
        *,
        wants_retained: bool = False,
        wants_session: bool = False,
        no_local: bool = False,
        max_age: float = 0.0,
    ) -> None:
        """Replace the filters: subscribe to the new ones first, then unsubscribe from those that are gone.

        On MQTT 5, the broker sends retained messages if `wants_retained`, keeps what comes while there is no link if
        `wants_session` (from the next connect on), and does not send what this client has published if `no_local`. A
        broker of 3.1.1 does the first, not the second, and not the third. Messages that may be older than `max_age`
        seconds are marked as late (0: none is).
        """
        with self._send_lock:
            is_up = self.link_state is LinkState.UP
            self.link.wants_session = wants_session
            self.memory.promptness.max_age = max_age
            self.memory.run.try_again()
            self.receiver.change_filters(filters, wants_retained=wants_retained, no_local=no_local, is_up=is_up)

    def set_state(self, topic: str, payload: bytes) -> None:
        """Publish `payload` on `topic`, retained, now or when the link is up, and again at each connect.

        For a state, of which only the latest value counts. With an empty payload the broker retains nothing there any
        more; once it has acknowledged that, the outbox forgets what was retained, and nothing is published again.
        Any thread may call this.
        """
        self.sender.states.set(topic, payload)
        self._wakeup.set()

    # --- the loop

    def loop_with_reconnect(self, timeout: float | None = None) -> None:
        """Run one step: connect if it is due, wait up to `timeout` seconds for something to do, and do it.

        While other threads put and send one message after the other, it waits a fraction of a second longer.

        Returns immediately when `wakeup` is set. Never raises for what network or broker do.
        """
        with self._send_lock:
            self.mg_reconnect()
            if self._state_machine.state is LinkState.CONNECTING:
                self.link.adopt_connection()
            limit = 0.0 if self.transmitter.has_more else self._time_left()
            limit = limit if timeout is None else min(limit, timeout)
            sock, to_write = self.socket(), self.want_write()
        limit = self._send_lock.begin_wait(limit)
        ready = self._poller.wait(sock, limit, to_write=to_write)
        while limit and not any(ready) and (extension := self._send_lock.extend_wait()):
            ready = self._poller.wait(sock, extension, to_write=to_write)
        with self._send_lock:
            self._serve(readable=ready.readable, writable=ready.writable)

    def _serve(self, *, readable: bool, writable: bool) -> None:
        """Do what there is to do after a wait."""
        if self.link.drop_if_suspended(self._send_lock.end_wait()):
            return
        if readable:
            self.link.monitor.last_received = self._clock()
            self.link.guard(self._receive)
        if writable:
            self.link.guard(self.loop_write)
        self.sender.settle()
        self.link.guard(self._send)  # before what is not urgent
        if self.memory.has_unusable_session:
            self.link.drop_unusable_session()
        # The interface that a message was for runs as soon as Python's lock is free: so do no more than is due.
        is_busy = readable and self._state_machine.state is LinkState.UP and not self.link.is_returning
        if not is_busy or self.link.monitor.is_check_due:
            self._check()

    def _receive(self) -> None:
        sock, is_buffered = self.socket(), self.mg_is_buffered
        for _ in range(_READS_PER_STEP if sock is not None else 0):
            self.loop_read(_READS_PER_STEP)
            if is_buffered or self.socket() is not sock or not has_more(sock):
                return

    def _send(self) -> None:
        """Send what waits; the first message of a link only after the broker has answered all subscriptions."""
        if self.sender.is_waiting and self.receiver.is_subscribed and self._state_machine.state is LinkState.UP:
            self.sender.begin()
            self.memory.run.subscribed()
        self.transmitter.send()

    def _check(self) -> None:
        """Do what depends on the time: drop old filters, measure the age of messages, check the link."""
        self.link.monitor.begin_check()
        if self._state_machine.state is LinkState.UP:
            self.receiver.tick()
            if self._time_to_question == 0:
                self.link.guard(self._ask)
            self.memory.run.check()
        self.link.check()

    def _ask(self) -> None:
        """Ask the broker how late its messages are; at once, so that no wait of this loop counts as the broker's."""
        self.memory.ask(self.mg_ask)
        self._send()

    @property
    def _time_to_question(self) -> float:
        """The seconds until the broker is to be asked how late its messages are."""
        is_of_use = self.memory.run.is_used or self.filters
        return self.memory.promptness.time_left if is_of_use and not self.sender.is_waiting else math.inf

    def _time_left(self) -> float:
        """Return how many seconds the loop may wait if nothing happens."""
        if self._state_machine.state is LinkState.UP:
            return min(
                self.link.monitor.interval, self.sender.time_left, self.receiver.time_left, self._time_to_question
            )
        if self._state_machine.state is LinkState.CONNECTING:
            return _LONGEST_WAIT
        return self._state_machine.time_left

    # --- the end

    def mg_stop(self, timeout: float) -> bool:
        """Send what waits, publish `offline`, and disconnect, within `timeout` seconds; return whether all was sent.

        Where there is no link, one more attempt to connect is made if something waits.
        """
        deadline = self._clock() + timeout
        with self._send_lock:
            # The main thread has waited for the interfaces: that is no sign that the process was suspended.
            self._send_lock.excuse_wait()
        self.link.end_delay()
        while len(self.outbox) and self._clock() < deadline:
            self.loop_with_reconnect(min(deadline - self._clock(), _STOP_STEP))
        self.link.prepare_stop()
        if self.link_state is LinkState.UP:
            self._disconnect_cleanly(max(deadline, self._clock() + 0.5))
        with self._send_lock:
            self.link.stop()
        return len(self.outbox) == 0

    def _disconnect_cleanly(self, deadline: float) -> None:
        """Publish `offline`, then send DISCONNECT.

        If `offline` cannot be sent, DISCONNECT is not sent either: the broker then publishes it as the will.
        """
        states = self.sender.states
        if self._availability_topic:
            self.set_state(self._availability_topic, OFFLINE)
        while self.link_state is LinkState.UP and (states.has_pending or len(self.sender)) and self._clock() < deadline:
            self.loop_with_reconnect(deadline - self._clock())
        with self._send_lock:
            if self.link_state is LinkState.UP and not states.has_pending:
                self.disconnect()
                while self.want_write() and self.socket() is not None and self._clock() < deadline:
                    self._poller.wait(self.socket(), deadline - self._clock(), to_write=True)
                    self.link.guard(self.loop_write)
