"""The MQTT client: one link to one broker, kept up, driven by one thread.

One thread drives it, the main one: `loop_with_reconnect` waits, and does all that there is to do. What is done with the
link is done by whoever has the turn (see `turn`): so a thread that has put something into the outbox may send it at
once, while the main thread sleeps. But for that and `set_state`, the main thread calls everything here.
"""

from __future__ import annotations

import math
import random
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.core.activity import longest_call_of_main_thread
from gateway.core.clock import boot_time
from gateway.core.inbox import Wakeup
from gateway.core.package_logger import package_logger
from gateway.message import OFFLINE, ONLINE, Arrival, Publication
from gateway.mqtt.broker_limits import limits_of
from gateway.mqtt.connector import Connector
from gateway.mqtt.dial import LinkError
from gateway.mqtt.link_log import log_failure, log_move
from gateway.mqtt.link_state import LinkState
from gateway.mqtt.memory import BrokerMemory
from gateway.mqtt.options import MqttOptions
from gateway.mqtt.paho_hooks import HookedClient
from gateway.mqtt.poller import Poller, has_more
from gateway.mqtt.reason_codes import (
    DisconnectCause,
    DisconnectError,
    describe_disconnect,
    why_not_connected,
    why_refused,
)
from gateway.mqtt.receiver import CallbackFailed, Receiver
from gateway.mqtt.send_lock import Progress, SendLock
from gateway.mqtt.sender import Sender
from gateway.mqtt.standstill import STOOD_STILL
from gateway.outbox.outbox import Outbox

LOG = package_logger(__name__)

_READS_PER_TURN = 200  # packets read before the outbox has its turn again
_SHORTEST_TICK, _LONGEST_TICK = 0.25, 5.0  # s between two looks at the keepalive

_RETAIN_NOT_SUPPORTED, _QOS_NOT_SUPPORTED = 0x9A, 0x9B  # of the will, where a CONNACK says so


class MgClient(HookedClient):
    """A paho client with a link that is guarded while it is pending and made anew when it is lost.

    `filters` are subscribed to at each connect, `on_msg` gets what they bring, and `outbox` is emptied while the link
    is up, or passed by, by whoever puts something into it (see `SendLock`). `availability_topic` is the will's, and has
    `online` while the link is up. `run_topic` tells whether the broker remembers us (see `RunTopic`; `""`: without).
    `wakeup` ends the wait of `loop_with_reconnect`. Commands expire at the broker once they are `command_lifetime`
    (s; 0: never) old. For the others see `mg_subscribe`.

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
            clean_session=True,  # of 3.1.1, where a session never expires; for version 5 see `_take_over`
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,  # paho would connect again by itself, inside a callback
        )
        self.options = options
        self.link_state = LinkState.IDLE
        self.connects = 0
        self.session_present = False
        self.last_failure: LinkError | None = None
        self.outbox = outbox
        self._turn = SendLock(self._send_waiting, wakeup, send_clock)
        outbox.on_put, outbox.send_directly = self._turn.request_send, self._send_directly
        self._wakeup = wakeup
        self._waiter = Poller(wakeup)
        self._availability_topic = availability_topic
        self._clock = clock
        self._connector = Connector(options, wakeup, clock, uniform)
        self._deadline = clock()  # of the state: next try, or end of the wait for CONNACK
        self._last_heard = self._looked_at = self._up_since = clock()
        self._reason: LinkError | None = None
        self._is_returning = False  # to the preferred broker
        self._sender = Sender(self, outbox, command_lifetime, clock)
        self._memory = BrokerMemory(run_topic, self._sender.states, outbox.republish_retained, max_age, clock)
        self._sender.on_state_settled = self._memory.state_settled
        self._wants_session = wants_session
        self._receiver = Receiver(
            self, filters, on_msg, clock, self._memory, wants_retained=wants_retained, no_local=no_local
        )
        if availability_topic:
            self.set_state(availability_topic, ONLINE)
        self._stopping = False
        self._set_up_paho()

    def __repr__(self) -> str:
        return f"<MgClient {self._where} {self.link_state.value}>"

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters, without those that others of them cover."""
        return self._receiver.filters

    @property
    def is_subscribed(self) -> bool:
        """Whether the broker has answered all subscriptions."""
        return self._receiver.is_subscribed

    @property
    def receive_counts(self) -> Mapping[str, int]:
        """How many messages were not given on, by the reason: copies, unusable."""
        return self._receiver.counts

    def stats(self) -> dict[str, int]:
        """Return the counters of the link, of sending and of receiving: any thread may call this, without a lock."""
        return {"connects": self.connects, **self._sender.stats(), **self._receiver.stats(), **self._turn.stats()}

    @property
    def is_caught_up(self) -> bool:
        """Whether all that had waited in the session has come, as far as that can be known."""
        return not self._memory.run.may_have_waited

    @property
    def broker(self) -> str:
        """The broker that is tried, or connected to."""
        return self._where

    @property
    def protocol_in_words(self) -> str:
        """The version of MQTT that is spoken with it, in words."""
        return self._connector.version

    @property
    def _where(self) -> str:
        return self._connector.where

    @property
    def _longest_unsettled(self) -> float:
        """How long (s) the broker may leave the oldest publication in flight unacknowledged."""
        return max(1.5 * (self.keepalive or self.options.keepalive), 10.0)

    def _set_up_paho(self) -> None:
        self.max_inflight_messages_set(0)  # the window is ours; paho's own scans all of it at each PUBACK
        self.connect_timeout = self.options.connect_timeout
        if self.options.username is not None:
            self.username_pw_set(self.options.username, self.options.password)
        if self._availability_topic:
            self.will_set(self._availability_topic, OFFLINE, qos=1, retain=True)
        self.on_socket_register_write = lambda *_: None  # or publish() would write, in the middle of a callback
        self.mg_asked, self.mg_answered = self._memory.pinged, self._memory.ping_answered
        self.mg_passed_over = self._receiver.on_unusable
        self.mg_serve(
            on_connect=self._mg_on_connect,
            on_disconnect=self._mg_on_disconnect,
            on_subscribe=lambda _c, _u, mid, codes, _p: self._receiver.on_suback(mid, codes),
            on_unsubscribe=lambda _c, _u, mid, _codes, _p: self._receiver.on_unsuback(mid),
            on_message=lambda _c, _u, message: self._receiver.on_message(message),
        )

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
        if self.link_state is LinkState.IDLE and self.options.tls.enabled and not self.options.tls.verify:
            LOG.warning(
                "the certificate of %s is not checked: anybody in between can read along and send commands: "
                "set mqtt.tls.verify to true, with mqtt.tls.ca_file",
                self._where,
            )
        self.mg_reconnect()

    def mg_reconnect(self) -> None:
        """Try to connect, if `lag_test` allows it."""
        if not self.lag_test():
            return
        self._enter(LinkState.CONNECTING)
        self._connector.start()

    def _take_over(self) -> None:
        """Go on with what the dialler has left: send CONNECT, or back off."""
        try:
            connection = self._connector.take()
            if connection is None:
                return
            self._enter(LinkState.AWAITING_CONNACK)
            self.lag_reset()
            self._prepare_connect()
            self.mg_adopt(connection, self._connector.servers.protocol)
        except LinkError as err:
            self._lost(err)
        except (OSError, ValueError, struct.error) as err:  # struct.error: a user name over 65,535 bytes
            self._lost(LinkError(f"the connection to {self._where} failed ({err})"))

    def _prepare_connect(self) -> None:
        """Tell paho what its CONNECT is to say.

        A session that began with clean start set would not survive a restart of Mosquitto 2.0: it is only set where
        no session is wanted.
        """
        server = self._connector.servers.current
        is_kept = self._memory.can_keep_session() and self._wants_session
        session_expiry = self.options.session_expiry if is_kept else 0
        self._memory.has_session = session_expiry > 0 and self._connector.servers.speaks_v5
        self.connect_async(
            server.host,
            server.port or 1,  # a unix socket has none, which paho takes for a mistake
            self.options.keepalive,
            clean_start=not session_expiry,
            properties=self._connector.connect_properties(session_expiry),
        )

    def _look_for_preferred(self) -> None:
        """Return to the preferred broker when it answers again, once what is in flight has arrived."""
        if not self._is_returning and self._connector.preferred_answers():
            self._is_returning = True
            self._sender.pause()
        if self._is_returning and len(self._sender) == 0:
            what = f"{self._where} is left: {self._connector.servers.preferred} answers again"
            self._drop(DisconnectError(what, "", DisconnectCause.RETURNING))

    # --- the loop

    def loop_with_reconnect(self, timeout: float | None = None) -> None:
        """Do one turn: connect if it is due, wait up to `timeout` seconds for something to do, and do it.

        While others put and send one message after the other, it waits a fraction of a second longer.

        Returns at once when `wakeup` is set. Never raises for what network or broker do.
        """
        with self._turn:
            self.mg_reconnect()
            if self.link_state is LinkState.CONNECTING:
                self._take_over()
            limit = 0.0 if self._has_more_to_send() else self._time_left()
            limit = limit if timeout is None else min(limit, timeout)
            sock, to_write = self.socket(), self.want_write()
        limit = self._turn.begin_wait(limit)
        got = self._waiter.wait(sock, limit, to_write=to_write)
        while limit and not any(got) and (tick := self._turn.extend_wait()):
            got = self._waiter.wait(sock, tick, to_write=to_write)
        with self._turn:
            self._serve(readable=got.readable, writable=got.writable)

    def _serve(self, *, readable: bool, writable: bool) -> None:
        """Do what there is to do after a wait."""
        if self._stood_still():
            return
        if readable:
            self._last_heard = self._clock()
            self._guard(self._receive)
        if writable:
            self._guard(self._flush)
        self._sender.settle()
        self._guard(self._send)  # before what is not urgent
        # Not sooner: paho holds a lock in its callbacks.
        if self._memory.has_unusable_session and self.link_state is LinkState.UP:
            self._drop(LinkError("the broker's session cannot be used", "connecting again without it"))
        # Python's lock is to be free soon: an interface may have been woken, with a command.
        is_busy = readable and self.link_state is LinkState.UP and not self._is_returning
        if not is_busy or self._clock() - self._looked_at >= self._tick:
            self._look_around()

    def _look_around(self) -> None:
        """See to what depends on the clock: old filters, the keepalive, a broker that hangs, the preferred one."""
        self._looked_at = self._clock()
        if self.link_state is LinkState.UP:
            self._receiver.tick()
            if self._asking_in == 0:
                self._guard(lambda: self._memory.ask(self.mg_ask))
            self._memory.run.check()
        self._keep_alive()

    def _stood_still(self) -> bool:
        """Give a link up on which nobody has listened for a while, because the process was stopped.

        What the broker has sent meanwhile waits in the socket. It is not read: there may be commands in it
        that nobody expects to be done any more.
        """
        seconds = self._turn.end_wait()
        if self.link_state is not LinkState.UP or seconds < STOOD_STILL:
            return False
        self._sock_close()
        held = longest_call_of_main_thread()
        remedy = f"{f'{held}; ' if held else ''}what was sent to it meanwhile is dropped"
        self._lost(LinkError(f"the gateway stood still for {seconds:.0f} s", remedy))
        return True

    @property
    def _tick(self) -> float:
        """How often (s) a link is looked after."""
        return min(max(self.keepalive / 8, _SHORTEST_TICK), _LONGEST_TICK)

    @property
    def _asking_in(self) -> float:
        """The seconds until the broker is to be asked how late it is."""
        is_of_use = self._memory.run.is_used or self.filters
        return self._memory.promptness.time_left if is_of_use and not self._sender.is_waiting else math.inf

    def _time_left(self) -> float:
        """Return how long (s) nothing can be due."""
        if self.link_state is LinkState.UP:
            return min(self._tick, self._sender.time_left, self._receiver.time_left, self._asking_in)
        if self.link_state is LinkState.CONNECTING:
            return _LONGEST_TICK  # the dialling thread wakes us
        return max(0.0, self._deadline - self._clock())

    def _receive(self) -> None:
        sock, is_buffered = self.socket(), self._buffer is not None
        for _ in range(_READS_PER_TURN if sock is not None else 0):
            self.loop_read(_READS_PER_TURN)
            if is_buffered or self.socket() is not sock or not has_more(sock):
                return

    def _flush(self) -> None:
        self.loop_write()

    def set_state(self, topic: str, payload: bytes) -> None:
        """Publish `payload` on `topic`, retained, now or when the link is up, and again at each connect.

        For what is a state and not a message: only its latest value counts. Any thread may call this.
        """
        self._sender.states.set(topic, payload)
        self._wakeup.set()

    def forget_state(self, topic: str) -> None:
        """Say a state no more. What the broker retains of it is for others to remove."""
        self._sender.states.forget(topic)

    def _send(self) -> None:
        """Hand publications over as the window has room, and all that is to be written to the socket."""
        if self.link_state is LinkState.UP and self._sender.is_waiting and self._receiver.is_subscribed:
            self._sender.begin()
            self._memory.run.subscribed()
        if self.link_state is LinkState.UP and self._sender.send_pending():
            self._flush()
            self._sender.settle()
        if self.link_state is LinkState.UP:
            self._sender.publish_states()
        if self.want_write():
            self._flush()
            self._sender.settle()

    def _send_directly(self, publications: Sequence[Publication], may_wait: bool) -> bool:
        """Send what has not been put into the outbox, if that can be done at once: nothing need wait then."""

        def send() -> Progress | None:
            is_all = self._sender.send_directly(publications) if self.link_state is LinkState.UP else None
            return None if is_all is None else Progress.DONE if is_all else Progress.STUCK

        try:
            return self._turn.send_directly(send, may_wait)
        except Exception as err:  # noqa: BLE001  (as below)
            LOG.debug("passing on: %r", err)
            return False

    def _send_waiting(self) -> Progress:
        """Send what window and connection have room for, in whatever thread has the turn."""
        if self.link_state is not LinkState.UP:
            return Progress.DONE
        if self._buffer is None:
            return Progress.STUCK
        try:
            self._sender.send_pending()
            is_written = self.mg_flush()
            self._sender.settle()
        except Exception as err:  # noqa: BLE001  (the main thread meets it, too, and gives the link up)
            LOG.debug("sending: %r", err)
            return Progress.STUCK
        if not is_written:
            return Progress.STUCK
        return Progress.MORE if self._sender.has_more else Progress.DONE

    def _has_more_to_send(self) -> bool:
        """Tell whether `_send` would go on at once; it stops after a while, so that others have their turn."""
        return self.link_state is LinkState.UP and self._sender.has_more

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
            if self.keepalive and self._clock() - self._last_heard > 1.5 * self.keepalive:
                self._drop(LinkError(f"{self._where} has been silent for 1.5 x keepalive", "check network and broker"))
            elif self._sender.stalled_for > self._longest_unsettled:
                self._drop(LinkError(f"{self._where} acknowledges nothing any more", "check the broker"))
            elif self._sender.is_waiting and self._clock() - self._up_since > self._longest_unsettled:
                self._drop(LinkError(f"{self._where} does not answer the subscriptions", "check the broker"))
            else:
                self._look_for_preferred()
        elif self.link_state is LinkState.AWAITING_CONNACK and self.lag_end():
            what = f"{self._where} sent no CONNACK within {self.options.connect_timeout:g} s"
            self._drop(DisconnectError(what, "is it an MQTT broker?", DisconnectCause.SILENCE))

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
        ending = reason.ending if isinstance(reason, DisconnectError) else DisconnectCause.OTHER
        was_up, where = self.link_state is LinkState.UP, self._where
        self._enter(LinkState.BACKING_OFF)
        self._is_returning = False
        is_over_message = was_up and ending is DisconnectCause.CLOSED
        if is_over_message and self._sender.is_waiting and self._memory.run.is_used:
            self._memory.run.closed_early()
        if self._sender.link_lost(may_be_a_message=is_over_message):
            self._connector.try_soon()
        if self._stopping:
            return
        plan = self._connector.link_lost(ending) if was_up else self._connector.failed(ending)
        self._deadline = self._clock() + plan.delay
        if plan.all_tried and ending is not DisconnectCause.RETURNING:
            self.last_failure = reason
        is_fight = ending is DisconnectCause.TAKEN_OVER or self._connector.is_fight
        if plan.words:
            log_failure(f"{reason}", where, plan.words, was_up=was_up, is_each=was_up and not is_fight)
        else:
            log_move(f"{reason}", where, is_each=ending is DisconnectCause.RETURNING)

    def _enter(self, state: LinkState) -> None:
        LOG.debug("link to %s: %s -> %s", self._where, self.link_state.value, state.value)
        self.link_state = state

    # --- what paho calls; all within loop_with_reconnect

    def _mg_on_connect(
        self, _c: object, _u: object, flags: mqtt.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._reason = why_refused(self._where, code, properties)
            if code.value in (_RETAIN_NOT_SUPPORTED, _QOS_NOT_SUPPORTED):
                self.mg_weaken_will(
                    without_qos=code.value == _QOS_NOT_SUPPORTED, without_retain=code.value == _RETAIN_NOT_SUPPORTED
                )
            return
        self._enter(LinkState.UP)
        self.connects += 1
        self.session_present = flags.session_present
        self._last_heard = self._up_since = self._clock()
        self._reason = self.last_failure = None
        client_id = getattr(properties, "AssignedClientIdentifier", self.options.client_id)
        LOG.info("connected to %s as %s", self._where, client_id)
        self._connector.link_up()
        is_v5 = self._connector.servers.speaks_v5
        self._sender.link_up(self._where, limits_of(properties), is_v5=is_v5)
        has_identifiers = bool(getattr(properties, "SubscriptionIdentifierAvailable", 1))
        self._memory.link_up(session_present=self.session_present)
        self._receiver.link_up(is_v5=is_v5, session_present=self.session_present, has_identifiers=has_identifiers)

    def mg_subscribe(
        self,
        filters: Iterable[str],
        *,
        wants_retained: bool = False,
        wants_session: bool = False,
        no_local: bool = False,
        max_age: float = 0.0,
    ) -> None:
        """Listen to other filters from now on: to the new ones first, and then no more to those that are gone.

        On MQTT 5, `wants_retained` has the broker send what it has retained, `wants_session` has it keep what comes
        while there is no link (from the next connect on), and `no_local` has it keep back what this client has
        published; a broker of 3.1.1 does the first, not the second, and not the third. Messages that may be older than
        `max_age` (s; 0: nobody wants to know) are marked as late.
        """
        with self._turn:
            is_up = self.link_state is LinkState.UP
            self._wants_session = wants_session
            self._memory.promptness.max_age = max_age
            self._memory.run.try_again()
            self._receiver.change_filters(filters, wants_retained=wants_retained, no_local=no_local, is_up=is_up)

    def _mg_on_disconnect(
        self, _c: object, _u: object, flags: mqtt.DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if self.link_state not in (LinkState.AWAITING_CONNACK, LinkState.UP):
            return
        reason, self._reason = self._reason, None
        if reason is None and self.link_state is LinkState.AWAITING_CONNACK:
            reason = why_not_connected(self._where, code, self._connector.version, with_tls=self.options.tls.enabled)
        self._lost(
            reason
            or describe_disconnect(
                self._where,
                code,
                properties,
                client_id=self.options.client_id,
                by_broker=flags.is_disconnect_packet_from_server,
                is_fight=self._connector.is_fight,
            )
        )

    # --- the end

    def mg_stop(self, timeout: float) -> bool:
        """Send what waits, say `offline`, and disconnect, within `timeout` seconds; return whether all was sent.

        Where there is no link, one more is tried if something waits.
        """
        deadline = self._clock() + timeout
        with self._turn:
            self._turn.excuse_wait()  # a thousand interfaces were waited for, not the process stopped
        if self.link_state is LinkState.BACKING_OFF:
            self._deadline = self._clock()  # the delay is over
        while len(self.outbox) and self._clock() < deadline:
            # A short wait: the broker answers nothing to what has gone out with QoS 0.
            self.loop_with_reconnect(min(deadline - self._clock(), _SHORTEST_TICK))
        self._stopping = True
        self._connector.close()
        if self.link_state is LinkState.UP:
            self._say_goodbye(max(deadline, self._clock() + 0.5))
        with self._turn:
            self._sock_close()
            self._enter(LinkState.IDLE)
        return len(self.outbox) == 0

    def _say_goodbye(self, deadline: float) -> None:
        """Say `offline` and DISCONNECT. Where the first cannot be said, nor is the second: the will then says it."""
        states = self._sender.states
        if self._availability_topic:
            self.set_state(self._availability_topic, OFFLINE)
        while (
            self.link_state is LinkState.UP and (states.has_pending or len(self._sender)) and self._clock() < deadline
        ):
            self.loop_with_reconnect(deadline - self._clock())
        with self._turn:
            if self.link_state is LinkState.UP and not states.has_pending:
                self.disconnect()
                while self.want_write() and self.socket() is not None and self._clock() < deadline:
                    self._waiter.wait(self.socket(), deadline - self._clock(), to_write=True)
                    self._guard(self._flush)
