"""A pty reader and paho's `loop_start`: reads all available bytes, splits them into lines, publishes them.

Arguments: port, device, QoS.
"""

from __future__ import annotations

import json
import os
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.topics import READY_TOPIC, STATUS_TOPIC


def main(port: int, device: str, qos: int) -> None:
    """Run until killed."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    fd = os.open(device, os.O_RDWR | os.O_NOCTTY)
    client.publish(READY_TOPIC, b"online", qos=1).wait_for_publish(10)
    partial_line = b""
    while data := os.read(fd, 65536):
        *frames, partial_line = (partial_line + data).split(b"\n")
        for frame in frames:
            kind, _, value = frame.decode().partition(" ")
            if kind == "T":
                payload = json.dumps({"action": "TEMPERATURE", "celsius": float(value)})
                client.publish(STATUS_TOPIC, payload, qos)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
