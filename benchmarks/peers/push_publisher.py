"""Paho's `loop_start` and a loop of `publish`, payloads made beforehand. Arguments: port, count, QoS."""

from __future__ import annotations

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.topics import COMMAND_TOPIC, READY_TOPIC, STATUS_TOPIC, payloads


def main(port: int, count: int, qos: int) -> None:
    """Publish `count` messages after the first command, and keep running."""
    commanded = threading.Event()
    ready = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda *_: commanded.set()
    client.on_subscribe = lambda *_: ready.set()

    def subscribe(*_: object) -> None:
        client.subscribe(COMMAND_TOPIC)

    client.on_connect = subscribe
    client.connect("127.0.0.1", port)
    client.loop_start()
    ready.wait(10)
    messages = payloads(count)
    client.publish(READY_TOPIC, b"online", qos=1).wait_for_publish(10)
    commanded.wait()
    for message in messages:
        client.publish(STATUS_TOPIC, message, qos)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
