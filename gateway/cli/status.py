"""`mqttgateway status`: how a running gateway is."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.running import ask_gateway, gateway_name, reading_reply
from gateway.control.protocol import printable


def status(options: argparse.Namespace) -> int:
    """Print what the running gateway says of itself; return the exit code. Raises `ControlError`."""
    found = ask_gateway(gateway_name(options), "status")
    if options.json:
        print(json.dumps(found, indent=2))  # noqa: T201
        return 0
    with reading_reply():
        lines = list(_lines(found))
    for line in lines:
        print(printable(line))  # noqa: T201
    return 0


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    link = found["link"]
    yield f"{found['name']}: {found['version']}, process id {found['pid']}, up for {_duration(found['uptime'])}"
    yield f"  configuration {found['configuration']}"
    session = ", session resumed" if link["session_present"] else ""
    session += "" if link["is_caught_up"] or not session else ", what has waited in it is still to come"
    where = f"{link['broker']}, {link['protocol']}{session}, connected {link['connects']} times"
    yield f"  link          {link['state']}: {where}"
    if link["last_failure"]:
        yield f"  last failure  {link['last_failure']}"
    for interface in found["interfaces"]:
        state = "online" if interface["available"] else "offline"
        counts = _counts(interface, "failures", "pushed", "refused", "inbox")
        yield f"  interface     {interface['name']} ({interface['type']}): {state}{counts}"
        if interface["last_failure"]:
            yield f"  last failure  {_when(interface['last_failure']['time'])} {interface['last_failure']['reason']}"
    outbox = dict(found["outbox"])
    yield f"  outbox        {outbox.pop('file') or 'in memory'}{_counts(outbox, *outbox)}"
    yield f"  received      {_counts(found['received'], *found['received'])[2:] or 'nothing'}"


def _counts(found: Mapping[str, Any], *names: str) -> str:
    return "".join(f", {found[name]} {name.replace('_', ' ')}" for name in names if found[name])


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
