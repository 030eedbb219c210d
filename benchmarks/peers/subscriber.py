"""Paho's `loop_start` that receives: when the last message has arrived, publishes whether all came in order, once each.

Arguments: port, count.
"""

from __future__ import annotations

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.topics import COMMAND_TOPIC, READY_TOPIC, STATUS_TOPIC, commands


def main(port: int, count: int) -> None:
    """Run until killed."""
    expected = commands(count)
    received, is_right = 0, True
    client = mqtt.Client(CallbackAPIVersion.VERSION2)

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        nonlocal received, is_right
        is_right = is_right and received < count and message.payload == expected[received]
        received += 1
        if message.payload == expected[-1]:
            client.publish(STATUS_TOPIC, b"DONE" if is_right and received == count else b"WRONG")

    client.on_message = on_message

    def subscribe(*_: object) -> None:
        client.subscribe(COMMAND_TOPIC)

    def publish_ready(*_: object) -> None:
        client.publish(READY_TOPIC, b"online")

    client.on_connect = subscribe
    client.on_subscribe = publish_ready
    client.connect("127.0.0.1", port)
    client.loop_start()
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
