"""The MQTT client: one link to one broker, kept up, driven by one thread.

Everything here is called by the main thread, but for `set_state`.
"""

from __future__ import annotations

import enum
import logging
import random
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from gateway.backoff import Backoff
from gateway.dial import LinkError, dial, tls_context
from gateway.dialler import Dialler
from gateway.link_words import why_closed, why_refused
from gateway.mailbox import Wakeup
from gateway.message import OFFLINE, ONLINE, Arrival
from gateway.mqtt_options import MqttOptions
from gateway.outbox import Outbox
from gateway.sender import Sender
from gateway.states import States
from gateway.throttled_exception import ThrottledException
from gateway.topic import filter_problem, without_covered

LOG = logging.getLogger(__name__)

_READS_PER_TURN = 200  # packets read before the outbox has its turn again
_HELD = 30.0  # s that a link must have held for the next failure to count as the first
_STOOD_STILL = 10.0  # s more than a turn should take: the process was stopped, or the machine
_SHORTEST_TICK, _LONGEST_TICK = 0.25, 5.0  # s between two looks at the keepalive


class LinkState(enum.Enum):
    """Where the link to the broker stands."""

    IDLE = "idle"
    CONNECTING = "connecting"
    AWAITING_CONNACK = "waiting for CONNACK"
    UP = "up"
    BACKING_OFF = "backing off"


class LinkFailed(ThrottledException):
    """The broker cannot be reached, refuses, or was lost."""

    period = 600.0


class CallbackFailed(ThrottledException):
    """Something went wrong while a packet was handled."""


class MgClient(mqtt.Client):
    """A paho client with a link that is guarded while it is pending and made anew when it is lost.

    `filters` are subscribed to at each connect, `on_msg` gets what they bring, and
    `outbox` is emptied while the link is up. `availability_topic` is the will's, and says `online` while
    the link is up. `wakeup` ends the wait of `loop_with_reconnect`: the outbox sets it.

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
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            options.client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,  # paho would connect again by itself, inside a callback
        )
        self.options = options
        self.filters = without_covered(filters)
        self.link_state = LinkState.IDLE
        self.connects = 0
        self.is_subscribed = False
        self.last_failure: LinkError | None = None
        self._tls = tls_context(options.tls) if options.tls.enabled else None
        self.outbox = outbox
        self._wakeup = wakeup
        self._on_msg = on_msg
        self._availability_topic = availability_topic
        self._clock = clock
        self._backoff = Backoff(1.0, options.reconnect_max, uniform)
        self._deadline = clock()  # of the state: next try, or end of the wait for CONNACK
        self._last_heard = self._up_since = clock()
        self._last_turn = time.monotonic()  # of the process, whatever clock is given
        self._dialler = Dialler(wakeup)
        self._dialled: socket.socket | None = None
        self._reason: LinkError | None = None
        self._short_links = 0  # in a row that have not held
        self._sender = Sender(self, outbox, clock)
        self._subscribing: dict[int, str] = {}
        self._states = States()
        if availability_topic:
            self._states.set(availability_topic, ONLINE)
        self._stopping = False
        self._set_up_paho()

    def __repr__(self) -> str:
        return f"<MgClient {self._where} {self.link_state.value}>"

    @property
    def _where(self) -> str:
        return f"{self.options.host}:{self.options.port}"

    @property
    def _longest_unsettled(self) -> float:
        """How long (s) the broker may leave the oldest publication in flight unacknowledged."""
        return max(1.5 * self.options.keepalive, 10.0)

    def _set_up_paho(self) -> None:
        self.max_inflight_messages_set(0)  # the window is ours; paho's own scans all of it at each PUBACK
        self.connect_timeout = self.options.connect_timeout
        if self.options.username is not None:
            self.username_pw_set(self.options.username, self.options.password)
        if self._availability_topic:
            self.will_set(self._availability_topic, OFFLINE, qos=1, retain=True)
        self.on_socket_open = _send_at_once
        self.on_socket_register_write = lambda *_: None  # or publish() would write, in the middle of a callback
        self.on_connect = self._mg_on_connect
        self.on_disconnect = self._mg_on_disconnect
        self.on_subscribe = self._mg_on_subscribe
        self.on_message = self._mg_on_message

    # --- the guard of a pending connection

    def lag_reset(self) -> None:
        """Begin the wait for CONNACK."""
        self._deadline = self._clock() + self.options.connect_timeout

    def lag_end(self) -> bool:
        """Tell whether the wait (for CONNACK, or for the next try) is over."""
        return self._clock() >= self._deadline

    def lag_test(self) -> bool:
        """Tell whether a connection may be tried now: none is up or pending, and the delay is over."""
        return self.link_state in (LinkState.IDLE, LinkState.BACKING_OFF) and self.lag_end()

    # --- connecting

    def mg_connect(self) -> None:
        """Begin to connect; `loop_with_reconnect` does the rest. Does nothing while a link is up or pending."""
        if self.link_state in (LinkState.IDLE, LinkState.BACKING_OFF):  # paho would close a link that is there
            self.connect_async(self.options.host, self.options.port, self.options.keepalive)
            self.mg_reconnect()

    def mg_reconnect(self) -> None:
        """Try to connect, if `lag_test` allows it."""
        if not self.lag_test():
            return
        self._enter(LinkState.CONNECTING)
        options = self.options
        self._dialler.start(lambda: dial(options.host, options.port, options.connect_timeout, self._tls))

    def _take_over(self) -> None:
        """Go on with what the dialler has left: send CONNECT, or back off."""
        try:
            self._dialled = self._dialler.take()
            if self._dialled is None:
                return
            self._enter(LinkState.AWAITING_CONNACK)
            self.lag_reset()
            self.reconnect()
        except LinkError as err:
            self._lost(err)
        except (OSError, ValueError, struct.error) as err:  # struct.error: a user name over 65,535 bytes
            self._lost(LinkError(f"the connection to {self._where} failed ({err})"))

    def _create_socket(self) -> Any:
        """Give paho the connection that is open already; paho's own way where there is none."""
        dialled, self._dialled = self._dialled, None
        return dialled if dialled is not None else super()._create_socket()

    # --- the loop

    def loop_with_reconnect(self, timeout: float | None = None) -> None:
        """Do one turn: connect if it is due, wait up to `timeout` seconds for something to do, and do it.

        Returns at once when `wakeup` is set. Never raises for what network or broker do.
        """
        self.mg_reconnect()
        if self.link_state is LinkState.CONNECTING:
            self._take_over()
        self._guard(self._send)
        limit = self._time_left()
        limit = limit if timeout is None else min(limit, timeout)
        readable, writable = self._wait(limit)
        if self._stood_still(limit):
            return
        if readable:
            self._last_heard = self._clock()
            self._guard(self._receive)
        if writable:
            self._guard(self._flush)
        self._sender.settle()
        if self._states.has_unsaid:
            self._guard(self._send)
        self._keep_alive()

    def _stood_still(self, limit: float) -> bool:
        """Give a link up on which nobody has listened for a while, because the process was stopped.

        What the broker has sent meanwhile waits in the socket. It is not read: there may be commands in it
        that nobody expects to be done any more.
        """
        last, self._last_turn = self._last_turn, time.monotonic()
        seconds = self._last_turn - last - limit
        if self.link_state is not LinkState.UP or seconds < _STOOD_STILL:
            return False
        self._sock_close()
        self._lost(
            LinkError(f"the gateway stood still for {seconds:.0f} s", "what was sent to it meanwhile is dropped")
        )
        return True

    def _time_left(self) -> float:
        """Return how long (s) nothing can be due."""
        if self.link_state is LinkState.UP:
            return min(max(self.options.keepalive / 8, _SHORTEST_TICK), _LONGEST_TICK)
        if self.link_state is LinkState.CONNECTING:
            return _LONGEST_TICK  # the dialling thread wakes us
        return max(0.0, self._deadline - self._clock())

    def _wait(self, timeout: float) -> tuple[bool, bool]:
        """Wait for socket or wake-up; return whether the socket is readable and writable."""
        poll = select.poll()
        poll.register(self._wakeup.fileno(), select.POLLIN)
        sock = self.socket()
        fd = sock.fileno() if sock is not None else -1
        if fd >= 0:
            poll.register(fd, select.POLLIN | (select.POLLOUT if self.want_write() else 0))
            if sock is not None and _pending(sock):
                timeout = 0.0
        events = dict(poll.poll(timeout * 1000))
        if self._wakeup.fileno() in events:
            self._wakeup.clear()
        event = events.get(fd, 0)
        return bool(event & ~select.POLLOUT) or (fd >= 0 and _pending(sock)), bool(event & select.POLLOUT)

    def _receive(self) -> None:
        poll = select.poll()
        sock = self.socket()
        if sock is None:
            return
        poll.register(sock.fileno(), select.POLLIN)
        for _ in range(_READS_PER_TURN):
            self.loop_read()
            if self.socket() is not sock or not (_pending(sock) or poll.poll(0)):
                return

    def _flush(self) -> None:
        self.loop_write()

    def set_state(self, topic: str, payload: bytes) -> None:
        """Publish `payload` on `topic`, retained, now or when the link is up, and again at each connect.

        For what is a state and not a message: only its latest value counts. Any thread may call this.
        """
        self._states.set(topic, payload)
        self._wakeup.set()

    def _say_states(self) -> None:
        self._states.say(lambda topic, payload: self.publish(topic, payload, qos=1, retain=True))

    def _send(self) -> None:
        """Hand publications to paho while the window has room, and what paho has to the socket."""
        while self.link_state is LinkState.UP and self._sender.hand_over():
            self._flush()
            self._sender.settle()
        if self.link_state is LinkState.UP:
            self._say_states()
        if self.want_write():
            self._flush()

    def _guard(self, step: Callable[[], None]) -> None:
        """Do a step of the network; give the link up if a packet of the broker breaks paho."""
        try:
            step()
        except Exception as err:
            failed = CallbackFailed(f"a packet from {self._where} could not be handled: {err!r}", key=repr(err))
            if failed.trigger:
                LOG.error(failed.report, exc_info=err if failed.is_first else None)
            self._drop(LinkError("a packet could not be handled", "is it an MQTT broker?"))

    def _keep_alive(self) -> None:
        if self.link_state is LinkState.UP:
            self._guard(self._misc)
            if self._clock() - self._last_heard > 1.5 * self.options.keepalive:
                self._drop(LinkError(f"{self._where} has been silent for 1.5 x keepalive", "check network and broker"))
            elif (
                len(self._sender)
                and self._clock() - max(self._sender.last_settled, self._up_since) > self._longest_unsettled
            ):
                self._drop(LinkError(f"{self._where} acknowledges nothing any more", "check the broker"))
        elif self.link_state is LinkState.AWAITING_CONNACK and self.lag_end():
            seconds = self.options.connect_timeout
            self._drop(LinkError(f"{self._where} sent no CONNACK within {seconds:g} s", "is it an MQTT broker?"))

    def _misc(self) -> None:
        self.loop_misc()

    # --- the end of a link

    def _drop(self, reason: LinkError) -> None:
        """Give the link up, as paho then notices by itself."""
        self._reason = reason
        sock = self.socket()
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
                self.loop_read()
            except Exception as err:  # noqa: BLE001
                LOG.debug("closing: %r", err)
        if self.link_state in (LinkState.AWAITING_CONNACK, LinkState.UP):
            self._sock_close()
            self._lost(reason)

    def _lost(self, reason: LinkError) -> None:
        """Take note that there is no link, and when to try again."""
        was_up = self.link_state is LinkState.UP
        if was_up:
            has_held = self._clock() - self._up_since >= _HELD
            self._short_links = 0 if has_held else self._short_links + 1
            if has_held:
                self._backoff.reset()
        delay = 0.0 if self._stopping else self._backoff.next_delay()
        self._deadline = self._clock() + delay
        self._enter(LinkState.BACKING_OFF)
        self._sender.link_lost()
        if self._stopping:
            return
        self.last_failure = reason
        failed = LinkFailed(
            f"{'lost the broker' if was_up else 'no connection to the broker'}: {reason}", key=f"{self._where} {reason}"
        )
        if failed.trigger or was_up:
            LOG.warning("%s (tried again by itself, next in %.1f s)", failed.report or failed, delay)

    def _enter(self, state: LinkState) -> None:
        LOG.debug("link to %s: %s -> %s", self._where, self.link_state.value, state.value)
        self.link_state = state

    # --- what paho calls; all within loop_with_reconnect

    def _mg_on_connect(self, _c: object, _u: object, _flags: object, code: ReasonCode, _p: object) -> None:
        if code.is_failure:
            self._reason = why_refused(self._where, code)
            return
        self._enter(LinkState.UP)
        self.connects += 1
        self._last_heard = self._up_since = self._clock()
        self._reason = self.last_failure = None
        LOG.info("connected to %s as %s", self._where, self.options.client_id)
        self._subscribe_all()
        # Said in the next turn, behind what paho is about to send again: that may hold an older state.
        self._states.say_all_again()

    def _subscribe_all(self) -> None:
        self._subscribing.clear()
        for topic_filter in self.filters:  # each by itself: a broker may drop the whole list for a bad one
            problem = filter_problem(topic_filter)  # paho lets some pass for which a broker closes the link
            if problem:
                LOG.error("cannot subscribe to %a: %s: correct the filter", topic_filter, problem)
                continue
            _, mid = self.subscribe(topic_filter, qos=1)
            if mid is not None:
                self._subscribing[mid] = topic_filter
        self.is_subscribed = not self._subscribing

    def _mg_on_subscribe(self, _c: object, _u: object, mid: int, codes: list[ReasonCode], _p: object) -> None:
        topic_filter = self._subscribing.pop(mid, "?")
        if any(code.is_failure for code in codes):
            LOG.error("the broker refused the filter %a: %s: check its access rules", topic_filter, codes[0])
        self.is_subscribed = not self._subscribing

    def _mg_on_disconnect(self, _c: object, _u: object, _flags: object, code: ReasonCode, _p: object) -> None:
        if self.link_state not in (LinkState.AWAITING_CONNACK, LinkState.UP):
            return
        reason, self._reason = self._reason, None
        self._lost(reason or self._why_closed(code))

    def _why_closed(self, code: ReasonCode) -> LinkError:
        pending = self.link_state is LinkState.AWAITING_CONNACK
        remedy = "does it speak MQTT 3.1.1, without TLS?" if pending and self._tls is None else ""
        if not pending and self._short_links:
            remedy = f"does another client have the client id {self.options.client_id!a}?"
        return why_closed(self._where, code, pending=pending, remedy=remedy)

    def _mg_on_message(self, _c: object, _u: object, message: mqtt.MQTTMessage) -> None:
        try:
            self._on_msg(Arrival(message.topic, bytes(message.payload), message.retain, message.qos, message.dup))
        except Exception as err:
            failed = CallbackFailed(f"a message on {message.topic!a} failed: {err!r}", key=repr(err))
            if failed.trigger:
                LOG.error(failed.report, exc_info=err)

    # --- the end

    def mg_stop(self, timeout: float) -> bool:
        """Send what waits, say `offline`, and disconnect, within `timeout` seconds; return whether all was sent.

        Where there is no link, one more is tried if something waits.
        """
        deadline = self._clock() + timeout
        if self.link_state is LinkState.BACKING_OFF:
            self._deadline = self._clock()  # the delay is over
        while len(self.outbox) and self._clock() < deadline:
            self.loop_with_reconnect(deadline - self._clock())
        self._stopping = True
        self._dialler.close()
        if self.link_state is LinkState.UP:
            self._say_goodbye(max(deadline, self._clock() + 0.5))
        self._sock_close()
        self._enter(LinkState.IDLE)
        return len(self.outbox) == 0

    def _say_goodbye(self, deadline: float) -> None:
        self._say_states()
        if self._availability_topic:
            info = self.publish(self._availability_topic, OFFLINE, qos=1, retain=True)
            while self.link_state is LinkState.UP and not info.is_published() and self._clock() < deadline:
                self.loop_with_reconnect(deadline - self._clock())
        if self.link_state is LinkState.UP:
            self.disconnect()
            while self.want_write() and self.socket() is not None and self._clock() < deadline:
                self._wait(deadline - self._clock())
                self._guard(self._flush)


def _pending(sock: Any) -> bool:
    """Tell whether a TLS socket has bytes that select does not know of."""
    pending = getattr(sock, "pending", None)
    return bool(pending()) if pending is not None else False


def _send_at_once(_client: object, _userdata: object, sock: Any) -> None:
    """Switch Nagle's algorithm off: a burst of small packets would wait 40 ms for an acknowledgement."""
    if getattr(sock, "family", None) in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
