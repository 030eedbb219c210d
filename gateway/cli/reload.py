"""`mqttgateway reload`: makes the running gateway use its changed configuration and map."""

from __future__ import annotations

import argparse

from gateway.cli.running import ask_gateway, gateway_name, reading_reply
from gateway.control.protocol import printable


def reload(options: argparse.Namespace) -> int:
    """Make the running gateway reload, print what has changed, and return 0.

    Only the gateway checks its files: they may name variables and credentials that it alone has.

    Raises `ControlError` with the findings if the gateway rejected the reload.
    """
    reply = ask_gateway(gateway_name(options), "reload")
    with reading_reply():
        line = f"reloaded {reply['file']}: {reply['changes']}"
    print(printable(line))  # noqa: T201
    return 0
