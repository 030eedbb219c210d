"""The life of a link: over real connections to a peer of the test, with a clock of the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.core.inbox import Wakeup
from gateway.mqtt.connector import Connector
from gateway.mqtt.dial import LinkError
from gateway.mqtt.link import Link
from gateway.mqtt.link_state import LinkState
from gateway.mqtt.memory import BrokerMemory
from gateway.mqtt.options import MqttOptions
from gateway.mqtt.paho_hooks import HookedClient
from gateway.mqtt.receiver import Receiver
from gateway.mqtt.sender import Sender
from gateway.outbox.outbox import Outbox
from tests.conftest import ExpectedLogs
from tests.support.fake_clock import FakeClock
from tests.support.peer import CONNECT, Act, Conversation, Peer, refuse, serve, stay_silent
from tests.support.waiting import wait_until


class Bench:
    """A link with its parts; `delays` are those after which it connects again."""

    def __init__(self, port: int) -> None:
        self.clock = FakeClock()
        self.wakeup = Wakeup()
        self.client = HookedClient(CallbackAPIVersion.VERSION2, "test")
        self.client.on_socket_register_write = lambda *_: None
        outbox = Outbox()
        options = MqttOptions(port=port, client_id="test", version="3.1.1")
        connector = Connector(options, self.wakeup, self.clock, lambda _, high: high)
        self.sender = Sender(self.client, outbox, 0.0, self.clock)
        memory = BrokerMemory("", self.sender.states, outbox.republish_retained, 0.0, self.clock)
        receiver = Receiver(self.client, (), lambda _: None, self.clock, memory, wants_retained=False, no_local=False)
        self.link = Link(self.client, options, connector, self.sender, receiver, memory, self.clock)
        self.client.mg_serve(on_connect=self.link.on_connack, on_disconnect=self.link.on_disconnect)

    def run_until(self, state: LinkState) -> None:
        """Connect, and read packets until the link has this state."""

        def is_reached() -> bool:
            if self.link.state is LinkState.CONNECTING:
                self.link.adopt_connection()
            self.client.loop_write()
            self.client.loop_read()
            return self.link.state is state

        wait_until(is_reached, what=lambda: f"{state}: {self.link.state}")

    def bring_up(self) -> None:
        self.link.connect()
        self.run_until(LinkState.UP)
        self.sender.begin()


@contextmanager
def bench_for(*acts: Act) -> Iterator[tuple[Bench, Peer]]:
    with Peer(*acts) as peer:
        bench = Bench(peer.port)
        yield bench, peer
        bench.link.prepare_stop()
        bench.link.stop()
        bench.wakeup.close()


def test_a_link_is_opened_once_and_accepted() -> None:
    with bench_for(serve()) as (bench, peer):
        bench.bring_up()
        bench.link.connect()
        assert bench.link.state is LinkState.UP
        assert (bench.link.connects, bench.link.session_present, bench.link.last_failure) == (1, False, None)
        assert len(peer.conversations) == 1


def test_a_refusal_is_remembered_until_a_link_is_up_and_the_delay_is_kept(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("refused the connection: Server unavailable")
    with bench_for(refuse(3), serve()) as (bench, _):
        bench.link.connect()
        bench.run_until(LinkState.BACKING_OFF)
        assert "Server unavailable" in str(bench.link.last_failure)
        bench.clock.now += 0.9  # s of 1
        bench.link.connect()
        assert bench.link.state is LinkState.BACKING_OFF
        bench.link.end_delay()
        bench.bring_up()
        assert bench.link.last_failure is None


def test_a_broker_without_a_connack_is_dropped_in_time(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("sent no CONNACK within 5 s: is it an MQTT broker? (retrying in 1.0 s)")
    with bench_for(stay_silent) as (bench, peer):
        bench.link.connect()
        bench.run_until(LinkState.AWAITING_CONNACK)
        bench.client.loop_write()
        wait_until(lambda: peer.packets(CONNECT))
        bench.clock.now += 4.9
        states = []
        for _ in range(2):
            bench.link.check()
            states.append(bench.link.state)
            bench.clock.now += 0.1
        assert states == [LinkState.AWAITING_CONNACK, LinkState.BACKING_OFF]
        wait_until(lambda: peer.conversations[0].is_closed)


def test_a_silent_broker_is_dropped(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("has been silent for 1.5 x keepalive")
    with bench_for(serve()) as (bench, _):
        bench.bring_up()
        bench.clock.now += 90
        bench.link.check()
        assert bench.link.state_machine.may_connect is False
        bench.clock.now += 1
        bench.link.check()
        assert bench.link.state is LinkState.BACKING_OFF


@pytest.mark.parametrize(("seconds", "is_dropped"), [(9.9, False), (10.0, True)])
def test_a_link_that_was_not_read_for_long_is_dropped(
    seconds: float, is_dropped: bool, expected_logs: ExpectedLogs
) -> None:
    if is_dropped:
        expected_logs.expect("the gateway did not run for 10 s: what was sent to it meanwhile is dropped")
    with bench_for(serve()) as (bench, _):
        assert not bench.link.drop_if_suspended(seconds), "there is no link yet"
        bench.bring_up()
        assert bench.link.drop_if_suspended(seconds) is is_dropped
        assert bench.link.state is (LinkState.BACKING_OFF if is_dropped else LinkState.UP)


def test_a_step_that_fails_ends_the_link_and_nothing_else(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect(
        "could not be handled: LookupError('bad')", "a packet could not be handled: is it an MQTT broker?"
    )

    def fail() -> None:
        raise LookupError("bad")

    with bench_for(serve()) as (bench, _):
        bench.bring_up()
        bench.link.guard(fail)
        assert bench.link.state is LinkState.BACKING_OFF


def test_a_link_returns_to_the_preferred_broker_only_once() -> None:
    with bench_for(serve(), serve()) as (bench, _):
        bench.bring_up()
        bench.link.is_returning = True
        bench.link.check()
        assert bench.link.state is LinkState.BACKING_OFF
        bench.bring_up()
        bench.link.check()
        assert (bench.link.state, bench.link.connects) == (LinkState.UP, 2)


def test_dropping_does_nothing_without_a_connection() -> None:
    with bench_for(serve()) as (bench, _):
        bench.link.drop(LinkError("nothing to drop"))
        assert bench.link.state is LinkState.IDLE


def test_a_second_connack_is_tolerated() -> None:
    def answer_twice(conversation: Conversation) -> None:
        conversation.read()
        conversation.connack()
        conversation.connack()
        for _ in conversation.packets_until_closed():
            pass

    with bench_for(answer_twice) as (bench, _):
        bench.bring_up()
        wait_until(lambda: (bench.client.loop_read(), bench.link.connects)[1] == 2)
        assert bench.link.state is LinkState.UP


def test_the_end_of_a_link_is_not_logged_while_stopping() -> None:
    with bench_for(serve()) as (bench, peer):
        bench.bring_up()
        bench.link.prepare_stop()
        peer.conversations[0].hang_up()
        bench.run_until(LinkState.BACKING_OFF)
        bench.link.stop()
        assert bench.link.state is LinkState.IDLE
