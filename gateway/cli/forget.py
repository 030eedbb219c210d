"""`mqttgateway forget`: has the broker forget retained topics of a running gateway."""

from __future__ import annotations

import argparse

from gateway.cli.running import ask_gateway, gateway_name, reading_reply
from gateway.control.protocol import printable


def forget(options: argparse.Namespace) -> int:
    """Have the topics forgotten, print which; return the exit code. Raises `ControlError`."""
    found = ask_gateway(gateway_name(options), "forget", what=options.what)
    with reading_reply():
        topics, is_up = list(found["topics"]), found["is_up"]
    for topic in topics:
        print(printable(topic))  # noqa: T201
    if not is_up:
        print("the broker is away: it is told once the link is up")  # noqa: T201
    return 0
