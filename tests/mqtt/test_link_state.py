"""The states of the link: one table of transitions, and a deadline, with a clock of the test."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.link_state import TRANSITIONS, LinkEvent, LinkState, LinkStateMachine
from tests.support.fake_clock import FakeClock

WAY_UP = (LinkEvent.CONNECT, LinkEvent.OPENED, LinkEvent.ACCEPTED)


def machine_after(*events: LinkEvent) -> LinkStateMachine:
    machine = LinkStateMachine(FakeClock())
    for event in events:
        machine.advance(event)
    return machine


@given(st.lists(st.sampled_from(list(LinkEvent)), max_size=50))
def test_no_sequence_of_events_leaves_the_table(events: list[LinkEvent]) -> None:
    machine = LinkStateMachine(FakeClock())
    for event in events:
        previous = machine.state
        expected = TRANSITIONS.get((previous, event))
        if expected is None:
            with pytest.raises(RuntimeError, match="no transition"):
                machine.advance(event)
            assert machine.state is previous
        else:
            machine.advance(event)
            assert machine.state is expected


def test_every_state_can_be_reached_and_left() -> None:
    assert {state for state, _ in TRANSITIONS} == set(LinkState)
    assert set(TRANSITIONS.values()) == set(LinkState)
    assert {event for _, event in TRANSITIONS} == set(LinkEvent)


def test_a_link_comes_up_step_by_step_and_not_otherwise() -> None:
    machine = LinkStateMachine(FakeClock())
    states = [machine.state]
    for event in WAY_UP:
        machine.advance(event)
        states.append(machine.state)
    assert states == [LinkState.IDLE, LinkState.CONNECTING, LinkState.AWAITING_CONNACK, LinkState.UP]
    for first in (LinkEvent.OPENED, LinkEvent.ACCEPTED, LinkEvent.LOST):
        with pytest.raises(RuntimeError, match=r"link to b:1: no transition from 'idle' when .*"):
            LinkStateMachine(FakeClock()).advance(first, "b:1")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_link_is_lost_in_each_state_of_a_connection_and_opened_again(count: int) -> None:
    events = (*WAY_UP[:count], LinkEvent.LOST)
    assert machine_after(*events).state is LinkState.BACKING_OFF
    assert machine_after(*events, LinkEvent.CONNECT).state is LinkState.CONNECTING


def test_it_can_be_stopped_in_any_state_and_more_than_once() -> None:
    for count in range(len(WAY_UP) + 1):
        machine = machine_after(*WAY_UP[:count], LinkEvent.STOPPED, LinkEvent.STOPPED)
        assert machine.state is LinkState.IDLE


def test_each_transition_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    machine = LinkStateMachine(FakeClock())
    with caplog.at_level(logging.DEBUG):
        machine.advance(LinkEvent.CONNECT, "broker:1883")
        machine.advance(LinkEvent.LOST, "broker:1883")
    assert caplog.messages == [
        "link to broker:1883: idle -> connecting",
        "link to broker:1883: connecting -> backing off",
    ]
    assert repr(machine) == "<LinkStateMachine backing off>"


def test_a_connection_may_be_opened_only_after_the_delay_and_only_without_another_one() -> None:
    clock = FakeClock()
    machine = LinkStateMachine(clock)
    allowed = [machine.may_connect]
    for event in WAY_UP:
        machine.advance(event)
        allowed.append(machine.may_connect)
        assert machine.is_pending_or_up == (event is not LinkEvent.CONNECT)
    assert allowed == [True, False, False, False]
    machine.advance(LinkEvent.LOST)
    machine.set_deadline(5.0)
    assert (machine.may_connect, machine.is_over, machine.time_left) == (False, False, 5.0)
    clock.now += 4.5
    assert (machine.may_connect, machine.time_left) == (False, 0.5)
    clock.now += 0.5
    assert (machine.may_connect, machine.is_over, machine.time_left) == (True, True, 0.0)
    clock.now += 100
    assert machine.time_left == 0.0


def test_it_is_known_since_when_the_link_is_up_or_down() -> None:
    clock = FakeClock()
    link = LinkStateMachine(clock)

    def advance(*events: LinkEvent) -> float:
        for event in events:
            clock.now += 1
            link.advance(event)
        return link.since

    up = advance(LinkEvent.CONNECT, LinkEvent.OPENED, LinkEvent.ACCEPTED)
    assert up == clock.now
    assert advance(LinkEvent.ACCEPTED) == up, "another CONNACK changes nothing"
    lost = advance(LinkEvent.LOST)
    assert lost == clock.now
    assert advance(LinkEvent.CONNECT, LinkEvent.LOST) == lost, "a failed attempt changes nothing"
