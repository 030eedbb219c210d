from __future__ import annotations

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.mqtt.broker_limits import BrokerLimits, limits_of


def test_a_broker_that_announces_nothing_has_no_limits() -> None:
    limits = limits_of(Properties(PacketTypes.CONNACK))  # type: ignore[no-untyped-call]
    assert limits == limits_of(None) == BrokerLimits()
    assert not limits.needs_size_check
    assert limits.allow(10**9, 2, True)


def test_limits_are_read_from_connack() -> None:
    connack = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    connack.ReceiveMaximum, connack.MaximumPacketSize, connack.MaximumQoS, connack.RetainAvailable = 7, 100, 1, 0
    limits = limits_of(connack)
    assert limits == BrokerLimits(7, 100, 1, False)
    assert limits.needs_size_check
    assert limits.allow(100, 1, False)
    assert not limits.allow(101, 1, False)
    assert not limits.allow(100, 2, False)
    assert not limits.allow(100, 1, True)


@pytest.mark.parametrize(("maximum", "is_needed"), [(2_000_000, False), (600_000, False), (500_000, True)])
def test_a_limit_that_no_packet_of_ours_comes_near_costs_nothing(maximum: int, is_needed: bool) -> None:
    """Mosquitto 2.1 announces one at each connect."""
    assert BrokerLimits(maximum_packet=maximum).needs_size_check is is_needed
