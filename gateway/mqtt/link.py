"""The life of a link to the broker: how it is opened, accepted, checked, dropped and lost. The main thread calls it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.core.activity import longest_call_of_main_thread
from gateway.core.clock import boot_time
from gateway.core.trouble import Interruptions
from gateway.mqtt.broker_limits import limits_of
from gateway.mqtt.connector import Connector
from gateway.mqtt.dial import LinkError
from gateway.mqtt.link_log import LOG, log_failure, log_move
from gateway.mqtt.link_monitor import LinkMonitor
from gateway.mqtt.link_state import LinkEvent, LinkState, LinkStateMachine
from gateway.mqtt.memory import BrokerMemory
from gateway.mqtt.options import MqttOptions
from gateway.mqtt.paho_hooks import HookedClient
from gateway.mqtt.reason_codes import (
    DisconnectCause,
    DisconnectError,
    describe_disconnect,
    describe_missing_connack,
    describe_refusal,
)
from gateway.mqtt.receiver import CallbackFailed, Receiver
from gateway.mqtt.sender import Sender
from gateway.mqtt.standstill import STOOD_STILL

_RETAIN_NOT_SUPPORTED, _QOS_NOT_SUPPORTED = 0x9A, 0x9B  # reason codes of a CONNACK that refuses the will


class Link:
    """Opens one link after the other, and notifies its parts when one is up or lost.

    The parts are the `connector`, the `sender`, the `receiver` and the `memory`; `client` is the paho
    client of the link. The caller holds the send lock.
    """

    def __init__(
        self,
        client: HookedClient,
        options: MqttOptions,
        connector: Connector,
        sender: Sender,
        receiver: Receiver,
        memory: BrokerMemory,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._options = options
        self._connector = connector
        self._sender = sender
        self._receiver = receiver
        self._memory = memory
        self.state_machine = LinkStateMachine(clock)
        self.monitor = LinkMonitor(options.keepalive, clock)
        self.connects = 0
        """How many links were up."""
        self.session_present = False
        """Whether the broker had a session of this client when it accepted the last link."""
        self.last_failure: LinkError | None = None
        """Why all brokers have failed that were tried since the last link was up."""
        self.interruptions = Interruptions()
        """That it is lost again and again, although it is up in between (s, `boot_time`)."""
        self.wants_session = False
        """Whether the broker is to keep a session from the next connect on."""
        self._reason: LinkError | None = None  # why the link is being dropped, until paho reports its end
        self.is_returning = False
        """Whether the link is to be dropped for the preferred broker, once all messages in flight are acknowledged."""
        self._is_stopping = False

    @property
    def state(self) -> LinkState:
        """The state of the link."""
        return self.state_machine.state

    @property
    def broker(self) -> str:
        """The broker that is tried, or connected to."""
        return self._connector.broker

    @property
    def protocol(self) -> str:
        """The version of MQTT that is used with it, in words."""
        return self._connector.version

    # --- opening

    def warn_if_unverified(self) -> None:
        """Log a warning if TLS is used without checking the certificate of the broker."""
        if self._options.tls.enabled and not self._options.tls.verify:
            LOG.warning(
                "the certificate of %s is not verified: anyone in between can read messages and send commands: "
                "set mqtt.tls.verify to true, with mqtt.tls.ca_file",
                self.broker,
            )

    def connect(self) -> None:
        """Begin to open a connection, if none is open or being opened, and the delay is over."""
        if self.state_machine.may_connect:
            self._advance(LinkEvent.CONNECT)
            self._connector.start()

    def adopt_connection(self) -> None:
        """Send CONNECT on the connection, once it is open; back off if it cannot be opened."""
        try:
            connection = self._connector.pop_connection()
            if connection is None:
                return
            self._advance(LinkEvent.OPENED)
            self.state_machine.set_deadline(self._options.connect_timeout)
            self._client.connect_async(**self._connector.connect_request(self._session_expiry())._asdict())
            self._client.mg_adopt(connection, self._connector.servers.protocol)
        except LinkError as err:
            self.lost(err)
        except (OSError, ValueError, struct.error) as err:  # struct.error: a user name over 65,535 bytes
            self.lost(LinkError(f"the connection to {self.broker} failed ({err})"))

    def _session_expiry(self) -> int:
        """Return how many seconds the broker is to keep the session without a link; 0: there is to be no session."""
        is_kept = self._memory.can_keep_session() and self.wants_session
        session_expiry = self._options.session_expiry if is_kept else 0
        self._memory.has_session = session_expiry > 0 and self._connector.servers.speaks_v5
        return session_expiry

    def on_connack(
        self, _client: object, _data: object, flags: mqtt.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        """Handle a CONNACK: begin with the link, or remember why the broker has refused it. paho calls this."""
        if code.is_failure:
            self._reason = describe_refusal(self.broker, code, properties)
            if code.value in (_RETAIN_NOT_SUPPORTED, _QOS_NOT_SUPPORTED):
                self._client.mg_weaken_will(
                    without_qos=code.value == _QOS_NOT_SUPPORTED, without_retain=code.value == _RETAIN_NOT_SUPPORTED
                )
            return
        self._advance(LinkEvent.ACCEPTED)
        self.connects += 1
        self.session_present = flags.session_present
        self._reason = self.last_failure = None
        client_id = getattr(properties, "AssignedClientIdentifier", self._options.client_id)
        LOG.info("connected to %s as %s", self.broker, client_id)
        self.monitor.link_up(self._client.keepalive)
        self._connector.link_up()
        is_v5 = self._connector.servers.speaks_v5
        self._sender.link_up(self.broker, limits_of(properties), is_v5=is_v5)
        has_identifiers = bool(getattr(properties, "SubscriptionIdentifierAvailable", 1))
        self._memory.link_up(session_present=self.session_present)
        self._receiver.link_up(is_v5=is_v5, session_present=self.session_present, has_identifiers=has_identifiers)

    # --- checking

    def guard(self, step: Callable[[], object]) -> None:
        """Run a step of the network; log an error and drop the link if a packet of the broker makes paho fail."""
        try:
            step()
        except Exception as err:  # noqa: BLE001  (whatever paho makes of garbage)
            failed = CallbackFailed(f"a packet from {self.broker} could not be handled: {err!r}", key=repr(err))
            if failed.trigger:
                LOG.error(failed.report, exc_info=err if failed.is_first else None)
            self.drop(LinkError("a packet could not be handled", "is it an MQTT broker?"))

    def check(self) -> None:
        """Send PINGREQ if it is due; drop a link that does not work, or that is to be dropped for the preferred broker.

        Before the link is up: drop a connection on which no CONNACK has come in time.
        """
        if self.state_machine.state is LinkState.UP:
            self.guard(self._client.loop_misc)
        if self.state_machine.state is LinkState.UP:
            failure = self.monitor.failure(
                self.broker, stalled_for=self._sender.stalled_for, is_subscribing=self._sender.is_waiting
            )
            if failure is not None:
                self.drop(failure)
            else:
                self._check_preferred()
        elif self.state_machine.state is LinkState.AWAITING_CONNACK and self.state_machine.is_over:
            message = f"{self.broker} sent no CONNACK within {self._options.connect_timeout:g} s"
            self.drop(DisconnectError(message, "is it an MQTT broker?", DisconnectCause.SILENCE))

    def _check_preferred(self) -> None:
        """Return to the preferred broker when it answers again, once all messages in flight are acknowledged."""
        if not self.is_returning and self._connector.preferred_answers():
            self.is_returning = True
            self._sender.pause()
        if self.is_returning and len(self._sender) == 0:
            message = f"switching from {self.broker} back to the preferred broker {self._connector.servers.preferred}"
            self.drop(DisconnectError(message, "", DisconnectCause.RETURNING))

    def drop_unusable_session(self) -> None:
        """Drop the link if its session cannot be used.

        A callback of paho must not call this: paho has a lock then, which it needs to close the connection.
        """
        if self._memory.has_unusable_session and self.state_machine.state is LinkState.UP:
            self.drop(LinkError("the broker's session cannot be used", "connecting again without it"))

    def drop_if_suspended(self, seconds: float) -> bool:
        """Drop a link that was not read for `seconds` because the process was suspended; return whether it was.

        What the broker has sent meanwhile waits in the socket. It is not read: it may contain commands that are not
        expected to be executed any more.
        """
        if seconds < STOOD_STILL or self.state_machine.state is not LinkState.UP:
            return False
        self._client.mg_close_socket()
        cause = longest_call_of_main_thread()
        remedy = f"{f'{cause}; ' if cause else ''}what was sent to it meanwhile is dropped"
        self.lost(LinkError(f"the gateway did not run for {seconds:.0f} s", remedy))
        return True

    # --- the end of a link

    def drop(self, reason: LinkError) -> None:
        """Close the connection, for `reason`. Does nothing where no connection is open."""
        if not self.state_machine.is_pending_or_up:
            return
        self._reason = reason
        self._client.mg_shut_down()  # paho reads the end of the connection, and mostly calls `on_disconnect`
        if self.state_machine.is_pending_or_up:
            self._client.mg_close_socket()
            self.lost(reason)

    def on_disconnect(
        self,
        _client: object,
        _data: object,
        flags: mqtt.DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        """Handle the end of a connection. paho calls this."""
        if not self.state_machine.is_pending_or_up:
            return
        reason, self._reason = self._reason, None
        if reason is None and self.state_machine.state is LinkState.AWAITING_CONNACK:
            reason = describe_missing_connack(self.broker, code, self.protocol, with_tls=self._options.tls.enabled)
        self.lost(
            reason
            or describe_disconnect(
                self.broker,
                code,
                properties,
                client_id=self._options.client_id,
                by_broker=flags.is_disconnect_packet_from_server,
                is_fight=self._connector.is_fight,
            )
        )

    def lost(self, reason: LinkError) -> None:
        """Record that there is no link, log why, and set the time of the next attempt."""
        cause = reason.cause if isinstance(reason, DisconnectError) else DisconnectCause.OTHER
        was_up, broker = self.state_machine.state is LinkState.UP, self.broker
        self._advance(LinkEvent.LOST)
        self._reason = None
        self.is_returning = False
        may_be_a_message = was_up and cause is DisconnectCause.CLOSED
        if may_be_a_message and self._sender.is_waiting and self._memory.run.is_used:
            self._memory.run.closed_early()
        if self._sender.link_lost(may_be_a_message=may_be_a_message):
            self._connector.reset_delay()
        if self._is_stopping:
            return
        if was_up and cause is not DisconnectCause.RETURNING:
            self.interruptions.record(f"{reason}", boot_time())
        plan = self._connector.link_lost(cause) if was_up else self._connector.failed(cause)
        self.state_machine.set_deadline(plan.delay)
        if plan.all_tried and cause is not DisconnectCause.RETURNING:
            self.last_failure = reason
        is_fight = cause is DisconnectCause.TAKEN_OVER or self._connector.is_fight
        if plan.words:
            log_failure(f"{reason}", broker, plan.words, was_up=was_up, is_always=was_up and not is_fight)
        else:
            log_move(f"{reason}", broker, is_always=cause is DisconnectCause.RETURNING)

    def end_delay(self) -> None:
        """End the delay before the next attempt, if there is one."""
        if self.state_machine.state is LinkState.BACKING_OFF:
            self.state_machine.set_deadline(0.0)

    def prepare_stop(self) -> None:
        """Open no more connections: the next end of a link is the last one, and is not logged."""
        self._is_stopping = True
        self._connector.close()

    def stop(self) -> None:
        """Close the connection, if there is one still."""
        self._client.mg_close_socket()
        self._advance(LinkEvent.STOPPED)

    def _advance(self, event: LinkEvent) -> None:
        self.state_machine.advance(event, self.broker)
