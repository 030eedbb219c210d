"""Readings that waited for the broker, on disk and over a restart: the newest of each, with the time of the reading."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.message import iso_time
from tests.support.broker import Mosquitto, free_port
from tests.support.configuration import write_conf
from tests.support.device import PtyDevice
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until

RULE = {
    "regex": "(?P<action>[A-Z]) (?P<t>.*)",
    "values": {"t": "float"},
    "message": {"device": "m", "action": "{action}", "arguments": {"t": "{t}", "got": "{time}"}},
}
MAP = {"root": "home", "topics": [], "delivery": [{"match": {"device": "m"}, "lane": "latest"}]}


class Client:
    """A subscriber that speaks MQTT 5: it sees user properties."""

    def __init__(self, port: int) -> None:
        self.messages: list[mqtt.MQTTMessage] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_message = lambda _client, _data, message: self.messages.append(message)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        wait_until(self.client.is_connected)
        ready: list[int] = []
        self.client.on_subscribe = lambda *_: ready.append(1)
        self.client.subscribe("home/+/+/+/m/#", 1)
        wait_until(lambda: ready)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client.on_subscribe = self.client.on_message = None

    def readings(self) -> list[tuple[dict[str, Any], list[tuple[str, str]]]]:
        return [(json.loads(each.payload), getattr(each.properties, "UserProperty", [])) for each in self.messages]


@pytest.mark.parametrize("version", [5, "3.1.1"])
def test_readings_that_waited_are_the_newest_of_each_and_tell_when_they_were_read(
    tmp_path: Path, mosquitto: Mosquitto, version: int | str
) -> None:
    def conf(port: int) -> Path:
        interface = {"type": "serial", "port": str(device.path), "decode": [RULE],
                     "reading_time": {"argument": "at", "property": "read_at"}}  # fmt: skip
        more: dict[str, Any] = {"outbox": {"store": "disk", "file": "gw.outbox"}, "log": {"traffic": True}}
        return write_conf(tmp_path, port, map=MAP, interface=interface, mqtt={"version": version}, **more)

    with PtyDevice(tmp_path) as device:
        with GatewayProcess(conf(free_port())) as gateway:
            gateway.wait_log("is open")
            device.write(b"V 1\nA 1\nW 1\nV 2\nA 2\n")
            gateway.wait_log("A t=2.0")
            gateway.stop()
        stopped = iso_time(time.time())
        client = Client(mosquitto.port)
        try:
            with GatewayProcess(conf(mosquitto.port)):
                wait_until(lambda: len(client.messages) == 3, what=lambda: str(client.readings()))
        finally:
            client.close()
    readings = client.readings()
    assert [(payload["action"], payload["t"]) for payload, _ in readings] == [("W", 1.0), ("V", 2.0), ("A", 2.0)]
    for payload, user_properties in readings:
        assert payload["got"] <= payload["at"] <= stopped
        assert user_properties == ([("read_at", payload["at"])] if version == 5 else [])
