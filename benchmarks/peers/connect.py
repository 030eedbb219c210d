"""Connects with paho, publishes that it is online, and keeps running: the minimal cost of a start.

Arguments: the broker's port, a topic.
"""

from __future__ import annotations

import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main(port: int, topic: str) -> None:
    """Run until killed."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)

    def publish_online(*_: object) -> None:
        client.publish(topic, b"online", qos=1)

    client.on_connect = publish_online
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
