"""A pty reader and paho's `loop_start`, which answers: it publishes the lines of a device, and writes commands to it.

With TCP_NODELAY, which paho does not set: without it, an answer waits 40 ms for the acknowledgement of earlier bytes.

Arguments: port, device, the topic for the lines of the device.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.topics import COMMAND_TOPIC, READY_TOPIC, STATUS_TOPIC


def main(port: int, device: str, topic: str) -> None:
    """Run until killed."""
    fd = os.open(device, os.O_RDWR | os.O_NOCTTY)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        command = json.loads(message.payload)
        os.write(fd, b"S %d\r\n" % command["n"])
        client.publish(STATUS_TOPIC, json.dumps({**command, "response": "OK", "reason": ""}))

    def subscribe(*_: object) -> None:
        client.subscribe(COMMAND_TOPIC)

    def publish_ready(*_: object) -> None:
        client.publish(READY_TOPIC, b"online")

    client.on_message = on_message
    client.on_connect = subscribe
    client.on_subscribe = publish_ready
    client.connect("127.0.0.1", port)
    sock: Any = client.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.loop_start()
    partial_line = b""
    while data := os.read(fd, 65536):
        *frames, partial_line = (partial_line + data).split(b"\n")
        for frame in frames:
            kind, _, value = frame.decode().partition(" ")
            if kind == "T":
                client.publish(topic, json.dumps({"action": "TEMPERATURE", "celsius": float(value)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
