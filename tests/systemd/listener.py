"""Subscribes to the topics of its command line at the broker of this machine, and prints each message."""

from __future__ import annotations

import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

client = mqtt.Client(CallbackAPIVersion.VERSION2)


def subscribe(*_: Any) -> None:
    client.subscribe([(topic, 1) for topic in sys.argv[1:]])


client.on_connect = subscribe
client.on_subscribe = lambda *_: print("subscribed")
client.on_message = lambda _, __, message: print(message.topic, message.payload.decode(errors="replace"))
client.connect_async("localhost")
client.loop_forever(retry_first_connection=True)
