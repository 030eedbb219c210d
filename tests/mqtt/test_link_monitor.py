"""Whether a link still works, with a clock of the test."""

from __future__ import annotations

import pytest

from gateway.mqtt.link_monitor import LinkMonitor
from tests.support.fake_clock import FakeClock


def failure(monitor: LinkMonitor, *, stalled_for: float = 0.0, is_subscribing: bool = False) -> str:
    return str(monitor.failure("b:1", stalled_for=stalled_for, is_subscribing=is_subscribing) or "")


def monitored(keepalive: float, default: float = 60.0) -> tuple[LinkMonitor, FakeClock]:
    clock = FakeClock()
    monitor = LinkMonitor(default, clock)
    monitor.link_up(keepalive)
    return monitor, clock


@pytest.mark.parametrize(("keepalive", "seconds"), [(1, 0.25), (2, 0.25), (8, 1.0), (60, 5.0), (0, 0.25)])
def test_a_link_is_checked_several_times_in_a_keepalive(keepalive: float, seconds: float) -> None:
    monitor, clock = monitored(keepalive)
    assert monitor.interval == seconds
    monitor.begin_check()
    due = []
    for step in (0.0, seconds - 0.01, 0.01):
        clock.now += step
        due.append(monitor.is_check_due)
    monitor.begin_check()
    assert [*due, monitor.is_check_due] == [False, False, True, False]


def test_a_broker_may_be_silent_for_one_and_a_half_keepalives() -> None:
    monitor, clock = monitored(60)
    clock.now += 90
    assert failure(monitor) == ""
    clock.now += 1
    assert failure(monitor) == "b:1 has been silent for 1.5 x keepalive: check network and broker"
    monitor.last_received = clock.now
    assert failure(monitor) == ""
    clock.now += 91
    monitor.link_up(60)
    assert failure(monitor) == "", "the next link begins from the start"


def test_without_a_keepalive_a_broker_may_be_silent_for_ever() -> None:
    monitor, clock = monitored(0)
    clock.now += 1e6
    assert failure(monitor) == ""


@pytest.mark.parametrize(("keepalive", "default", "seconds"), [(60, 60, 90), (2, 60, 10), (0, 40, 60), (0, 0, 10)])
def test_acknowledgements_are_waited_for(keepalive: float, default: float, seconds: float) -> None:
    """With a keepalive of 0 from the broker that of the configuration counts."""
    monitor, clock = monitored(keepalive, default)
    assert failure(monitor, stalled_for=seconds) == ""
    assert failure(monitor, stalled_for=seconds + 1) == "b:1 no longer acknowledges messages: check the broker"
    clock.now += seconds
    monitor.last_received = clock.now
    assert failure(monitor, is_subscribing=True) == ""
    clock.now += 1
    monitor.last_received = clock.now
    assert failure(monitor, is_subscribing=True) == "b:1 does not answer the subscriptions: check the broker"
    assert failure(monitor) == ""
