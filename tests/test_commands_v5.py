"""Commands over MQTT 5: replies on the response topic, and commands that were queued in the session."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.broker import Mosquitto
from tests.support.configuration import replaying_map, trial, write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until

LAMP = "home/lighting//office/lamp"
ANSWERS = "me/response"


class Client:
    """A client of MQTT 5 that requests replies on its own response topic."""

    def __init__(self, port: int) -> None:
        self.messages: list[mqtt.MQTTMessage] = []
        self._ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe([(ANSWERS, 1), ("home/#", 1)])
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = lambda _c, _u, message: self.messages.append(message)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(10), "the client was not connected in time"

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client.on_connect = self.client.on_subscribe = self.client.on_message = None

    def send_command(self, action: str, number: int, topic: str = f"{LAMP}/me/C", to: str = ANSWERS) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if to:
            properties.ResponseTopic = to
        properties.CorrelationData = bytes([number])
        self.client.publish(topic, action, 1, properties=properties).wait_for_publish(10)

    def answers(self) -> list[tuple[bytes, str, str]]:
        """Return correlation data, response and reason of all answers."""
        result = [(message.properties, json.loads(message.payload)) for message in self.messages
                 if message.topic == ANSWERS]  # fmt: skip
        return [(getattr(p, "CorrelationData", b""), payload["response"], payload["reason"]) for p, payload in result]

    def wait_answers(self, count: int) -> list[tuple[bytes, str, str]]:
        wait_until(lambda: len(self.answers()) >= count, what=lambda: f"{count} answers; got {self.answers()}")
        return self.answers()


@contextmanager
def connected_client(broker: Mosquitto) -> Iterator[Client]:
    client = Client(broker.port)
    try:
        yield client
    finally:
        client.close()


def dummy(folder: Path, broker: Mosquitto, **options: Any) -> Path:
    return write_conf(folder, broker.port, interface={"type": "dummy", "interval": 1000}, **options)


def test_an_answer_arrives_on_the_response_topic_with_its_correlation_data(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with connected_client(mosquitto) as client, GatewayProcess(dummy(tmp_path, mosquitto)) as gateway:
        gateway.wait_log("connected to")
        wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text(), what="the subscription")
        client.send_command("LAMP_ON", 1)
        client.send_command("LAMP_DIM", 2)
        client.wait_answers(2)  # before that, one answer would serve both
        client.send_command("LAMP_ON", 1)  # a sender that repeats itself
        client.send_command("LAMP_OFF", 3, to="home/security//yard/gate/you/C")
        client.send_command("LAMP_ON", 4)
        assert sorted(client.wait_answers(4)) == [  # the repeated one does not wait for the interface
            (b"\x01", "OK", ""),
            (b"\x01", "OK", ""),
            (b"\x02", "REFUSED", "'LAMP_DIM' is not an action of this device: use one of LAMP_ON, LAMP_OFF"),
            (b"\x04", "OK", ""),
        ]
        statuses = [json.loads(m.payload) for m in client.messages if m.topic == f"{LAMP}/gw/S"]
        assert [status["action"] for status in statuses if "response" in status] == [
            "LAMP_ON", "LAMP_DIM", "LAMP_OFF", "LAMP_ON"
        ]  # fmt: skip
        gateway.stop()
        documents = [json.loads(m.payload) for m in client.messages if m.topic == "home/gw/lamp/outcome"]
        assert [(one["action"], one["response"], one["sender"]) for one in documents] == [
            ("LAMP_ON", "OK", "me"), ("LAMP_DIM", "REFUSED", "me"), ("LAMP_OFF", "OK", "me"), ("LAMP_ON", "OK", "me")
        ], "a command that is repeated has no second document"  # fmt: skip
        assert "this gateway subscribes to it" in gateway.log
        assert "1 duplicate command" in gateway.log


@pytest.mark.parametrize("topics", [("", ""), ("one/reply", "two/reply"), ("", ANSWERS), (ANSWERS, "$SYS/x")])
def test_the_same_correlation_data_is_executed_once_whatever_the_response_topic(
    tmp_path: Path, mosquitto: Mosquitto, topics: tuple[str, str]
) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    gate = "home/security//yard/gate/me/C"
    with connected_client(mosquitto) as client, GatewayProcess(conf) as gateway:
        wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text(), what="the subscription")
        for topic in topics:
            client.send_command("open", 1, gate, to=topic)
        client.send_command("close", 2, gate, to="")
        wait_until(lambda: any(b"close" in m.payload for m in client.messages if m.topic == "home/trial////gw/S"))
        gateway.stop()
        done = [json.loads(m.payload)["what"] for m in client.messages if m.topic == "home/trial////gw/S"]
        assert done == ["command security/-/yard/gate/me open", "command security/-/yard/gate/me close"]
        assert "1 duplicate command" in gateway.log


def test_a_command_queued_in_the_session_is_not_executed_and_its_client_is_informed(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"), map=replaying_map(tmp_path))
    with connected_client(mosquitto) as client:
        with GatewayProcess(conf) as gateway:
            wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text(), what="the subscription")
            gateway.stop()
        client.send_command("open", 1, "home/security//yard/gate/me/C")
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("rejected: the command was queued while the gateway was offline")
            (informed,) = client.wait_answers(1)
            assert informed == (b"\x01", "REFUSED", "the command was queued while the gateway was offline")
            (outcome,) = [m for m in client.messages if m.topic == "home/security//yard/gate/gw/S"]
            assert json.loads(outcome.payload) == {"action": "open", "response": "REFUSED", "reason": informed[2]}
            assert not outcome.retain
            wait_until(lambda: "Received PUBACK from gw" in mosquitto.log.read_text(), what="the token")
            client.send_command("close", 2, "home/security//yard/gate/me/C")
            wait_until(
                lambda: [m for m in client.messages if m.topic == "home/trial////gw/S"], what=lambda: gateway.log
            )
            gateway.stop()
        done = [json.loads(m.payload)["what"] for m in client.messages if m.topic == "home/trial////gw/S"]
        assert done == ["command security/-/yard/gate/me close"]
        assert "1 queued command" in gateway.log


def test_a_retained_command_is_not_executed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with mosquitto.client("home/#") as listener:
        listener.publish("home/security//yard/gate/me/C", "open", retain=True)
        with GatewayProcess(conf) as gateway:
            wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text(), what="the subscription")
            listener.publish("home/security//yard/gate/me/C", "close")
            done = json.loads(listener.wait_topic("home/trial////gw/S").payload)["what"]
            gateway.stop()
    assert done == "command security/-/yard/gate/me close"


def test_a_refused_command_is_no_state_of_its_device(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Its outcome stood retained on the topic of the states, as if the relay were on."""
    rules = [{"match": {"function": "lighting"}, "retain": True, "lane": "latest"}]
    conf = dummy(tmp_path, mosquitto, map={"root": "home", "topics": ["home/+/+/+/+/+/C"], "delivery": rules},
                 filters={"in": [{"deny": {"action": "LAMP_ON"}}]})  # fmt: skip
    with connected_client(mosquitto) as client, GatewayProcess(conf) as gateway:
        wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text(), what="the subscription")
        client.send_command('{"action": "LAMP_ON", "level": 50}', 1)
        assert client.wait_answers(1) == [(b"\x01", "REFUSED", "filters.in[0] denies it")]
        with mosquitto.client("home/lighting/#") as later:
            later.wait_for(lambda message: b"LAMP_STATE" in message.payload)
            retained = [message.payload for message in later.messages if message.retain]
            assert not [payload for payload in retained if b"REFUSED" in payload], "only its states"
        (logged,) = [json.loads(m.payload) for m in client.messages if b"REFUSED" in m.payload and m.topic[-2:] == "/S"]
        assert logged["requested"] == {"level": 50} and "level" not in logged
        gateway.stop()
