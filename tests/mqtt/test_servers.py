"""Which broker is tried next, and in which version of MQTT."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import MQTTProtocolVersion

from gateway.mqtt.dial import Server
from gateway.mqtt.reason_codes import DisconnectCause
from gateway.mqtt.servers import Next, Servers
from tests.support.fake_clock import FakeClock

A, B, C = Server("a", 1), Server("b", 2), Server("c", 3)


def test_one_broker_is_tried_again_and_again() -> None:
    servers = Servers([A], 5, FakeClock())
    for _ in range(3):
        assert servers.current == A
        assert servers.failed(DisconnectCause.OTHER) is Next.LATER


def test_several_are_tried_one_after_the_other_without_delay_and_then_from_the_preferred_one_on() -> None:
    servers = Servers([A, B, C], 5, FakeClock())
    assert [(servers.current, servers.failed(DisconnectCause.OTHER)) for _ in range(4)] == [
        (A, Next.OTHER_SERVER),
        (B, Next.OTHER_SERVER),
        (C, Next.LATER),
        (A, Next.OTHER_SERVER),
    ]


def test_after_a_loss_the_preferred_one_is_tried_first() -> None:
    servers = Servers([A, B], 5, FakeClock())
    servers.failed(DisconnectCause.OTHER)
    assert not servers.accepted()
    assert servers.current == B
    servers.lost()
    assert servers.current == A


def test_the_preferred_one_is_probed_once_a_minute_while_another_is_used() -> None:
    clock = FakeClock()
    servers = Servers([A, B], 5, clock)
    servers.accepted()
    clock.now += 1000
    assert not servers.is_probe_due()  # this is the preferred one
    servers.failed(DisconnectCause.OTHER)
    servers.accepted()
    assert not servers.is_probe_due()
    clock.now += 60
    assert servers.is_probe_due()
    assert not servers.is_probe_due()
    clock.now += 60
    assert servers.is_probe_due()


def test_3_1_1_is_used_for_an_hour_with_a_broker_that_refuses_mqtt_5() -> None:
    clock = FakeClock()
    servers = Servers([A], 5, clock)
    protocols = [servers.protocol]
    assert servers.failed(DisconnectCause.VERSION_REFUSED) is Next.OTHER_VERSION
    protocols.append(servers.protocol)
    assert protocols == [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311]
    assert servers.accepted()
    clock.now += 3599
    servers.lost()
    spoken = [servers.speaks_v5]
    assert not servers.accepted()  # only the first time
    clock.now += 1
    assert [*spoken, servers.speaks_v5] == [False, True]


def test_each_broker_has_its_own_version() -> None:
    servers = Servers([A, B], 5, FakeClock())
    servers.failed(DisconnectCause.VERSION_REFUSED)
    servers.accepted()
    servers.failed(DisconnectCause.OTHER)
    assert servers.current == B
    assert servers.speaks_v5


def test_5_is_tried_again_with_a_broker_that_refuses_both_versions() -> None:
    servers = Servers([A], 5, FakeClock())
    assert servers.failed(DisconnectCause.NO_CONNACK) is Next.OTHER_VERSION
    assert servers.failed(DisconnectCause.NO_CONNACK) is Next.LATER
    assert servers.speaks_v5


def test_5_is_tried_again_with_a_broker_of_3_1_1_that_now_refuses_that() -> None:
    servers = Servers([A], 5, FakeClock())
    servers.failed(DisconnectCause.VERSION_REFUSED)
    servers.accepted()
    servers.lost()
    assert servers.failed(DisconnectCause.VERSION_REFUSED) is Next.LATER
    assert servers.speaks_v5


def test_3_1_1_is_not_tried_with_a_broker_that_has_accepted_mqtt_5_and_now_fails() -> None:
    servers = Servers([A], 5, FakeClock())
    servers.accepted()
    servers.lost()
    assert servers.failed(DisconnectCause.NO_CONNACK) is Next.LATER
    assert servers.speaks_v5
    assert servers.failed(DisconnectCause.VERSION_REFUSED) is Next.OTHER_VERSION


def test_after_silence_3_1_1_is_tried_next_and_if_accepted_is_used_for_that_link_only() -> None:
    servers = Servers([A], 5, FakeClock())
    assert servers.failed(DisconnectCause.SILENCE) is Next.OTHER_VERSION
    assert not servers.speaks_v5
    assert servers.accepted()
    spoken = [servers.speaks_v5]  # as long as the link lasts
    servers.lost()
    assert [*spoken, servers.speaks_v5] == [False, True]


def test_after_one_of_the_brokers_has_accepted_mqtt_5_the_silence_of_another_is_no_sign_of_the_version() -> None:
    servers = Servers([A, B], 5, FakeClock())
    servers.accepted()
    servers.lost()
    servers.failed(DisconnectCause.OTHER)
    assert servers.current == B
    for cause in (DisconnectCause.SILENCE, DisconnectCause.NO_CONNACK):
        assert servers.failed(cause) is Next.LATER
        servers.failed(DisconnectCause.OTHER)
    assert servers.failed(DisconnectCause.VERSION_REFUSED) is Next.OTHER_VERSION


def test_only_3_1_1_is_used_where_it_is_configured() -> None:
    servers = Servers([A], "3.1.1", FakeClock())
    assert servers.failed(DisconnectCause.VERSION_REFUSED) is Next.LATER
    assert servers.protocol == MQTTProtocolVersion.MQTTv311
    assert not servers.accepted()


@given(st.lists(st.sampled_from(list(DisconnectCause)), max_size=40), st.integers(1, 4))
def test_however_attempts_fail_all_brokers_are_tried_before_a_delay(causes: list[DisconnectCause], count: int) -> None:
    servers = Servers([Server("h", port) for port in range(1, count + 1)], 5, FakeClock())
    tried: list[Server] = []
    for cause in causes:
        tried.append(servers.current)
        if servers.failed(cause) is Next.LATER:
            assert list(dict.fromkeys(tried)) == [Server("h", port) for port in range(1, count + 1)]
            assert len(tried) <= 2 * count  # each at most once in each version
            tried.clear()
