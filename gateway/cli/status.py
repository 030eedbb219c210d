"""`mqttgateway status`: prints the state of a running gateway."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.running import ask_gateway, gateway_name, reading_reply
from gateway.control.protocol import printable


def status(options: argparse.Namespace) -> int:
    """Print the state of the running gateway; return the exit code. Raises `ControlError`."""
    reply = ask_gateway(gateway_name(options), "status")
    if options.json:
        print(json.dumps(reply, indent=2))  # noqa: T201
        return 0
    with reading_reply():
        lines = list(_lines(reply))
    for line in lines:
        print(printable(line))  # noqa: T201
    return 0


def _lines(reply: Mapping[str, Any]) -> Iterator[str]:
    link = reply["link"]
    yield f"{reply['name']}: {reply['version']}, process id {reply['pid']}, up for {_duration(reply['uptime'])}"
    yield f"  configuration {reply['configuration']}"
    session = ", session resumed" if link["session_present"] else ""
    session += "" if link["is_caught_up"] or not session else ", messages queued in it are still arriving"
    connected = {0: "never connected", 1: "connected once"}.get(link["connects"], f"connected {link['connects']} times")
    where = f"{link['broker']}, {link['protocol']}{session}, {connected}"
    yield f"  link          {link['state']}: {where}"
    if link["last_failure"]:
        yield f"  last failure  {link['last_failure']}"
    for interface in reply["interfaces"]:
        state = "online" if interface["available"] else "offline"
        counts = _counts(interface, "failures", "pushed", "refused", "inbox")
        yield f"  interface     {interface['name']} ({interface['type']}): {state}{counts}"
        if interface["last_failure"]:
            yield f"  last failure  {_when(interface['last_failure']['time'])} {interface['last_failure']['reason']}"
        yield from _devices(interface["devices"])
    outbox = dict(reply["outbox"])
    yield f"  outbox        {outbox.pop('file') or 'in memory'}{_counts(outbox, *outbox)}"
    yield f"  received      {_counts(reply['received'], *reply['received'])[2:] or 'nothing'}"


def _devices(devices: Mapping[str, Any]) -> Iterator[str]:
    left = dict(devices["counts"])
    for device in devices["shown"]:
        left[device["status"]] -= 1
        reason = f", {device['reason']}" if device["reason"] else ""
        ago = device["heard_ago"]
        heard = "not heard yet" if ago is None else f"heard {_duration(ago)} ago"
        yield f"    device      {device['id']}: {device['status']}{reason}; {heard}"
    more = _counts(left, *left)[2:]
    if more:
        yield f"    more        devices that are not shown: {more}"


def _counts(counters: Mapping[str, Any], *names: str) -> str:
    return "".join(f", {counters[name]} {name.replace('_', ' ')}" for name in names if counters[name])


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _duration(seconds: float) -> str:
    minutes, remaining = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (remaining, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
