"""The broker dies, hangs, loses its state, or prefers another client: accepted messages are delivered in order."""

from __future__ import annotations

import signal
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.broker import Mosquitto
from tests.support.health import wait_named
from tests.support.stream import Stream


def restart(stream: Stream, broker: Mosquitto) -> None:
    """Kill the broker and start it again; the witness reconnects before the gateway."""
    assert stream.witness is not None
    broker.kill()
    stream.proxy.refuse_connections()
    stream.witness.wait_lost()
    assert stream.gateway is not None
    wait_named(stream.gateway, "no link to the broker", "lost the broker", "no connection to the broker")
    broker.start()
    stream.witness.wait_subscribed()
    stream.proxy.accept_connections()


def test_killed_mid_stream_three_times(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, count=1500, rate=1000) as stream:
        stream.start()
        for _ in range(3):
            stream.wait_seen(100)
            restart(stream, mosquitto)
        verdict = stream.finish()
        assert verdict.accepted == 1500
        stream.stop()


def test_hanging_longer_than_keepalive(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, count=1200, rate=400, mqtt={"keepalive": 1}) as stream:
        gateway = stream.start()
        stream.wait_seen(100)
        mosquitto.signal(signal.SIGSTOP)
        wait_named(gateway, "does not acknowledge what it is sent", "has been silent for 1.5 x keepalive")
        gateway.wait_log("has been silent for 1.5 x keepalive")
        mosquitto.signal(signal.SIGCONT)
        assert stream.finish().lost_by_broker == ()
        stream.stop()


def test_restarted_without_retained_states(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, count=600, rate=600) as stream:
        stream.start()
        stream.wait_seen(50)
        restart(stream, mosquitto)
        stream.finish()
        for name in ("gw", "gw/load"):
            with mosquitto.client(f"home/{name}/availability") as late:
                late.wait_for(lambda message: bool(message.retain) and message.payload == b"online")
        stream.stop()


def test_another_client_with_our_client_id(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """They disconnect each other repeatedly; the gateway backs off, logs why, and loses nothing."""
    thief = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="gw")
    thief.reconnect_delay_set(1, 1)
    with Stream(tmp_path, mosquitto.port, count=800, rate=300, mqtt={"reconnect_max": 5}) as stream:
        gateway = stream.start()
        stream.wait_seen(50)
        thief.connect("127.0.0.1", mosquitto.port)
        thief.loop_start()
        try:
            gateway.wait_log("connected to", 3)
            wait_named(gateway, "client id 'gw'")
        finally:
            thief.disconnect()
            thief.loop_stop()
        assert stream.finish().lost_by_broker == ()
        assert "client id 'gw'" in gateway.log
        stream.stop()
