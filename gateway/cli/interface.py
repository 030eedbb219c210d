"""`mqttgateway interface restart|close|open`: acts on one interface of a running gateway."""

from __future__ import annotations

import argparse
import sys

from gateway.cli.running import ask_gateway, gateway_name, reading_reply
from gateway.control.protocol import printable

_WANTED = {"restart": "running", "close": "closed", "open": "running"}


def change_interface(options: argparse.Namespace) -> int:
    """Restart, close or open the interface; return 0 if it has done so, 1 if it failed. Raises `ControlError`."""
    action = options.action
    reply = ask_gateway(gateway_name(options), f"interface {action}", interface=options.interface)
    with reading_reply():
        outcome = reply["outcome"]
        text = printable(f"{reply['interface']}: {outcome}")
    is_done = outcome == _WANTED[action]
    print(text, file=sys.stdout if is_done else sys.stderr)
    return 0 if is_done else 1
