"""`mqttgateway forget`: clears retained topics of a running gateway at the broker."""

from __future__ import annotations

import argparse

from gateway.cli.running import ask_gateway, gateway_name, reading_reply
from gateway.control.protocol import printable


def forget(options: argparse.Namespace) -> int:
    """Clear the topics, and print them; return the exit code. Raises `ControlError`."""
    reply = ask_gateway(gateway_name(options), "forget", what=options.what)
    with reading_reply():
        topics, is_up = list(reply["topics"]), reply["is_up"]
    for topic in topics:
        print(printable(topic))  # noqa: T201
    if not is_up:
        print("the broker is not connected: the topics are cleared once it is")  # noqa: T201
    return 0
