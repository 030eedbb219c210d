"""The run topic, its tokens among the states, and what they prove about the age of messages."""

from __future__ import annotations

import pytest

from gateway.message import Publication
from gateway.mqtt.memory import BrokerMemory
from gateway.mqtt.retained_states import RetainedStates
from tests.conftest import ExpectedLogs
from tests.support.fake_clock import FakeClock

TOPIC = "home/gw/run"


class Bench:
    def __init__(self, topic: str = TOPIC) -> None:
        self.clock = FakeClock()
        self.states = RetainedStates(self.clock)
        self.forgotten = 0
        self.pings = 0
        self.memory = BrokerMemory(topic, self.states, self._on_forgotten, 30.0, self.clock)

    def _on_forgotten(self) -> None:
        self.forgotten += 1

    def ping(self) -> None:
        self.pings += 1
        self.memory.pinged()

    def connect(self, *, session_present: bool = False) -> None:
        self.memory.has_session = self.memory.can_keep_session()
        self.memory.link_up(session_present=session_present)


def test_a_token_is_published_when_the_link_is_up_and_with_each_question() -> None:
    bench = Bench()
    assert bench.states.has_pending
    bench.connect()
    token = bench.memory.run.token
    bench.clock.now += 10
    bench.memory.ask(bench.ping)
    assert bench.memory.run.token != token
    assert bench.pings == 0
    assert bench.states.stats()["states"] == 1


def test_a_token_that_comes_back_proves_that_nothing_older_can_come() -> None:
    bench = Bench()
    bench.connect()
    sent = bench.clock.now
    bench.clock.now += 60
    assert bench.memory.promptness.late == 60
    bench.memory.on_message(bench.memory.run.token, retain=False)
    assert bench.memory.promptness.proven == sent
    bench.memory.ask(bench.ping)
    bench.memory.on_message(bench.memory.run.token, retain=False)
    assert not bench.memory.promptness.late


@pytest.mark.parametrize(("topic", "is_token"), [(TOPIC, True), ("home/gw/availability", False)])
def test_only_a_token_is_settled_here(topic: str, is_token: bool) -> None:
    bench = Bench()
    bench.connect()
    state = Publication(topic, bench.memory.run.token, 1, retain=True)
    assert bench.memory.state_settled(state, 0) is is_token


def test_where_the_topic_is_refused_pings_are_used_and_the_session_is_given_up(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the broker does not let the gateway write and read the topic 'home/gw/run'")
    bench = Bench()
    bench.connect(session_present=True)
    assert bench.memory.state_settled(Publication(TOPIC, b"", 1), 0x87)
    assert bench.memory.has_unusable_session
    assert bench.forgotten == 1
    assert bench.states.stats()["states"] == 0
    bench.memory.ask(bench.ping)
    asked = bench.clock.now
    bench.clock.now += 60
    bench.memory.ping_answered()
    assert bench.memory.promptness.proven == asked
    assert bench.pings == 1


def test_without_a_topic_there_is_no_session() -> None:
    bench = Bench("")
    assert not bench.memory.can_keep_session()
    assert bench.states.is_idle
