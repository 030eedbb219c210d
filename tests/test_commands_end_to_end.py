"""Commands that reach a device, and those that must not, through a gateway process and a real broker."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.broker import Listener, Mosquitto
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.peer import Peer, packet, serve
from tests.support.waiting import wait_until

GATE = "home/security//yard/gate/me/C"
NAMES = ("left", "right")
# A broker of MQTT 5 is told not to send retained messages.
V3 = {"version": "3.1.1"}


def got(listener: Listener, name: str = "gw") -> list[str]:
    """Return the messages that have reached the device of the gateway `name`."""
    topic = f"home/trial////{name}/S"
    return [json.loads(payload)["what"] for result, payload in listener.pairs() if result == topic]


def subscribed(broker: Mosquitto, name: str = "gw", count: int = 1) -> None:
    text = f"Sending SUBACK to {name}"
    wait_until(lambda: broker.log.read_text().count(text) >= count, what=f"{text} {count} times")


def test_a_retained_command_is_not_executed_at_the_start_nor_at_a_reconnect(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    conf = write_conf(tmp_path, mosquitto.port, mqtt=V3, interface=trial("Recorder"))
    with mosquitto.client("home/#") as listener:
        listener.publish(GATE, "open", retain=True)
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("rejected: retained commands are never executed")
            thief = mqtt.Client(CallbackAPIVersion.VERSION2, "gw")  # a broker closes the older of two
            thief.connect("127.0.0.1", mosquitto.port)
            gateway.wait_log("lost the broker")
            thief.disconnect()
            gateway.wait_log("connected to", 2)
            subscribed(mosquitto, count=2)
            listener.publish(GATE, "close")
            wait_until(lambda: got(listener), what=lambda: gateway.log)
            gateway.stop()
        assert got(listener) == ["command security/-/yard/gate/me close"]
        assert " 2 retained command" in gateway.log.splitlines()[-1]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_command_published_with_retain_while_connected_is_like_any_other(
    version: str, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    mqtt_options = {"version": 5 if version == "5" else version}
    conf = write_conf(tmp_path, mosquitto.port, mqtt=mqtt_options, interface=trial("Recorder"))
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        subscribed(mosquitto)
        listener.publish(GATE, "open", retain=True)
        wait_until(lambda: got(listener), what=lambda: gateway.log)
        gateway.stop()
        assert got(listener) == ["command security/-/yard/gate/me open"]


def test_a_redelivered_command_is_not_executed_again(tmp_path: Path) -> None:
    def publish(mid: int, flags: int, payload: bytes) -> bytes:
        return packet(3, len(GATE).to_bytes(2, "big") + GATE.encode() + mid.to_bytes(2, "big") + payload, flags)

    first, again = publish(1, 0b0010, b"open"), publish(1, 0b1010, b"open")
    with Peer(serve(first=first + again + publish(2, 0b0010, b"open"))) as peer:
        conf = write_conf(tmp_path, peer.port, mqtt=V3, interface=trial("Recorder"), log={"traffic": True})
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("<- command security/-/yard/gate/me open", 2)
            gateway.wait_log("rejected: duplicate command")
            gateway.process.terminate()
            gateway.wait()
    assert len(re.findall("<- command", gateway.log)) == 2, "pressed twice is two commands"
    assert "1 duplicate command" in gateway.log


def test_a_command_of_an_hour_ago_is_not_executed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    commands = {"timestamp_argument": "time", "timestamp_required": True, "max_age": 60}
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"), commands=commands)
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        subscribed(mosquitto)
        for age in (3600, -3600, 0):
            when = datetime.now(UTC) - timedelta(seconds=age)
            listener.publish(GATE, json.dumps({"action": f"open {age}", "time": when.isoformat()}))
        wait_until(lambda: got(listener), what=lambda: gateway.log)
        gateway.stop()
        assert [what.partition(" time=")[0] for what in got(listener)] == [
            "command security/-/yard/gate/me open 0"
        ]  # fmt: skip
        assert "the command is 3600 s old" in gateway.log
        assert "2 expired command" in gateway.log.splitlines()[-1]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_the_outcome_of_each_command_for_a_device_is_a_document(
    version: str, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    mqtt_options = {"version": 5 if version == "5" else version}
    conf = write_conf(
        tmp_path, mosquitto.port, mqtt=mqtt_options, interface={"type": "dummy", "interval": 1000},
        commands={"timestamp_argument": "time"},
    )  # fmt: skip
    lamp = "home/lighting//office/lamp/homeassistant/C"
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        subscribed(mosquitto)
        for payload in "LAMP_ON", '{"action": "LAMP_DIM", "level": 5}', '{"action": "LAMP_OFF", "time": 1600000000}':
            listener.publish(lamp, payload)
        listener.publish("home/lighting//office/bell/homeassistant/C", "RING")  # of no device that is declared

        def documents() -> list[tuple[object, ...]]:
            payloads = [m.payload for m in listener.messages if m.topic == "home/gw/lamp/outcome" and not m.retain]
            names = ("action", "arguments", "response", "sender")
            return [tuple(json.loads(payload)[name] for name in names) for payload in payloads]

        wait_until(lambda: len(documents()) >= 3, what=lambda: f"{documents()} {gateway.log}")
        gateway.stop()
        assert sorted(documents()) == [
            ("LAMP_DIM", {"level": 5}, "REFUSED", "homeassistant"),
            ("LAMP_OFF", {"time": 1600000000}, "REFUSED", "homeassistant"),
            ("LAMP_ON", {}, "OK", "homeassistant"),
        ]
    with mosquitto.client("home/gw/#") as later:
        later.wait_topic("home/gw/lamp/state")
        assert not [topic for topic, _ in later.pairs() if topic.endswith("outcome")]


def test_filters_and_hooks_decide_what_passes_in_both_directions(tmp_path: Path, mosquitto: Mosquitto) -> None:
    (tmp_path / "hooks.py").write_text(
        "def by_day(msg):\n    return None if msg.action == 'night' else msg.replace(location='terrace')\n"
        "def broken(msg):\n    raise ValueError('out of order')\n"
    )
    filters = {
        "in": [{"deny": {"function": "security", "action": ["open"]}}, {"hook": "hooks.py:by_day"}],
        "out": [{"allow": {"function": "trial"}}, {"hook": "hooks.py:broken"}],
    }
    both = {"rec": trial("Recorder"), "rep": trial("Repeater", sender="rep")}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=both, filters=filters)
    with mosquitto.client("home/#") as listener, GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        subscribed(mosquitto)
        for action in ("open", "night", "close"):
            listener.publish(GATE, action)
        wait_until(lambda: got(listener), what=lambda: gateway.log)
        gateway.wait_log("rep: not sent: the hook 'hooks.py:broken' failed")
        gateway.stop()
        assert got(listener) == ["command security/-/terrace/gate/me close"]
        assert "rec: dropped: filters.in[0] denies it" in gateway.log
        assert gateway.log.count("ValueError('out of order')") == 2, "the traceback, once for each interface"
        assert "4 filtered" in gateway.log.splitlines()[-1]
        assert re.search("; interfaces: [^;]*3 refused", gateway.log.splitlines()[-1]), "also the denied outcomes"
        assert not [topic for topic, _ in listener.pairs() if "/rep/" in topic and not topic.endswith("availability")]


def test_two_gateways_that_repeat_one_another_are_cut_apart(tmp_path: Path, mosquitto: Mosquitto) -> None:
    confs = [
        write_conf(tmp_path, mosquitto.port, name, topics=["home/#"], interface=trial("Repeater")) for name in NAMES
    ]
    with (
        mosquitto.client("home/+/+/+/+/+/+") as listener,
        GatewayProcess(confs[0]) as one,
        GatewayProcess(confs[1]) as other,
    ):
        for name in NAMES:
            subscribed(mosquitto, name)
        listener.publish("home/climate//hall/stove/me/S", '{"action": "T", "celsius": 21}')
        listener.publish("home/lighting//hall/lamp/me/C", "toggle")
        wait_until(
            lambda: "echo loop" in one.log + other.log, what=lambda: f"{one.log}{other.log}{len(listener.messages)}"
        )
        listener.publish("home/climate//hall/window/me/S", "OPEN")
        for name in NAMES:
            listener.wait_topic(f"home/climate//hall/window/{name}/S")
        one.stop()
        other.stop()
        assert len(listener.messages) < 150, "three messages, and what two gateways made of them until they were cut"
        logged = one.log + other.log
        assert re.search(
            r"echo loop between '(left|right)' and '(left|right)': each repeats what the other sends", logged
        )
        at_once = [line for line in logged.splitlines() if "echo loop of" in line and "more" not in line]
        assert len(at_once) <= 2, "once for each gateway"
        assert re.search(r"\d echo loop", logged.splitlines()[-1] + one.log.splitlines()[-1])
