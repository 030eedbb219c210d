"""`mqttgateway log-level`: changes the level of the log of a running gateway."""

from __future__ import annotations

import argparse

from gateway.cli.running import ask_gateway, gateway_name, reading_reply
from gateway.control.protocol import printable


def set_log_level(options: argparse.Namespace) -> int:
    """Change the level, and print it; return 0. Raises `ControlError`."""
    reply = ask_gateway(gateway_name(options), "log level", level=options.level, part=options.part)
    with reading_reply():
        line = f"{reply['part'] or 'the whole log'}: {reply['level']}"
    print(printable(line))  # noqa: T201
    return 0
