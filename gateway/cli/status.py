"""`mqttgateway status`: prints how a running gateway is; its exit code is for monitoring."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from gateway.cli.running import ask_gateway, gateway_name, reading_reply
from gateway.control.protocol import ControlError, printable
from gateway.core.paths import NAME

_EXIT_CODES = {"well": 0, "degraded": 1, "down": 2}
_DOWN = _EXIT_CODES["down"]
_WIDTH = 80  # columns of a terminal
_NAMES = 14  # columns of the names at the beginning of a line
_NOT_COUNTED = ("oldest",)  # of the outbox
_MOST_SHOWN = 20  # frames and counters of one line


def status(options: argparse.Namespace) -> int:
    """Print the state of the running gateway; return 0 if it is well, 1 if it is degraded, 2 if it is down, or none."""
    name = gateway_name(options)
    try:
        reply = ask_gateway(name, "health" if options.alive else "status")
        if options.json:
            print(json.dumps(reply, indent=2))  # noqa: T201
        else:
            with reading_reply():
                lines = [*_head(reply), *(() if options.alive else _details(reply))]
            for line in lines:
                print(printable(line))  # noqa: T201
        with reading_reply():
            return _code(reply, is_probe=options.alive)
    except ControlError as err:
        print(f"{NAME}: {err}", file=sys.stderr)  # noqa: T201
        return _DOWN


def _code(reply: Mapping[str, Any], *, is_probe: bool) -> int:
    if is_probe:  # a restart mends neither broker nor device
        return 0 if reply["is_alive"] else _DOWN
    return _EXIT_CODES[reply["level"]]


def _head(reply: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the gateway is. The first line names the gravest problem: a monitoring system shows no other."""
    begin = f"{reply['name']} is {reply['level']}: "
    if not reply["problems"]:
        yield from _wrapped(begin, reply["headline"], 2)
        return
    for problem in reply["problems"]:
        since = f" (since {_when(problem['since'])})" if problem["since"] else ""
        yield from _wrapped(begin, f"{problem['what']}{since}", 2)
        if problem["remedy"]:
            yield from _wrapped("  -> ", problem["remedy"], 5)
        begin = "- "
    yield from _wrapped("", reply["summary"], 2)


def _details(reply: Mapping[str, Any]) -> Iterator[str]:
    link, process, error = reply["link"], reply["process"], reply["last_error"]
    yield ""
    yield from _line("gateway", f"{reply['version']}, process id {reply['pid']}, up for {_duration(reply['uptime'])}")
    known = f" ({reply['configuration']})" if reply["configuration"] else ""
    yield from _line("configuration", f"{reply['configuration_file']}{known}")
    yield from _line("link", _link(link))
    now = _moment(reply["time"])
    for name, interface in reply["interfaces"].items():
        counts = _counts(interface, "failures", "pushed", "refused", "inbox")
        heard = f", last frame {_when(interface['last_frame'])}, {_good(interface)}" if interface["last_frame"] else ""
        yield from _line("interface", f"{name} ({interface['type']}): {interface['status']}{counts}{heard}")
        if interface["frames"]:
            yield from _line("frames", _counts(interface["frames"], *list(interface["frames"])[:_MOST_SHOWN])[2:], 2)
        if interface["last_failure"]:
            failure = interface["last_failure"]
            yield from _line("last failure", f"{_when(failure['time'])} {failure['reason']}")
        yield from _devices(interface["devices"], now)
    outbox = {name: value for name, value in reply["outbox"].items() if name not in _NOT_COUNTED}
    oldest = f", the oldest for {_duration(reply['outbox']['oldest'])}" if outbox["waiting"] else ""
    yield from _line("outbox", f"{outbox.pop('file') or 'in memory'}{_counts(outbox, *outbox)}{oldest}")
    yield from _line("received", _counts(reply["received"], *reply["received"])[2:] or "nothing")
    outcomes = reply["commands"]["outcomes"]
    if outcomes:
        yield from _line("commands", _counts(outcomes, *outcomes)[2:])
    if error:
        times = f" ({error['times']} times)" if error["times"] > 1 else ""
        yield from _line(f"last {error['level']}", f"{_when(error['time'])} {error['text']}{times}")
    memory = process["memory"] / 1024**2
    yield from _line("process", f"{memory:.0f} MiB, {process['threads']} threads, {process['descriptors']} descriptors")


def _good(interface: Mapping[str, Any]) -> str:
    moment = interface["last_good_frame"]
    return f"the last good one {_when(moment)}" if moment else "and no good one"


def _link(link: Mapping[str, Any]) -> str:
    session = ", session resumed" if link["session"] else ""
    session += "" if link["is_caught_up"] or not session else ", messages queued in it are still arriving"
    connected = {0: "never connected", 1: "connected once"}.get(link["connects"], f"connected {link['connects']} times")
    since = f", since {_when(link['since'])}" if link["since"] else ""
    trip = f", round trip {link['round_trip_ms']:.1f} ms" if link["round_trip_ms"] is not None else ""
    return f"{link['state']}: {link['server']}, {link['protocol']}{session}, {connected}{since}{trip}"


def _devices(devices: Mapping[str, Any], now: float) -> Iterator[str]:
    left = dict(devices["counts"])
    for device in devices["shown"]:
        left[device["status"]] -= 1
        reason = f", {device['reason']}" if device["reason"] else ""
        last = device["last_heard"]
        heard = f"heard {_duration(now - _moment(last))} ago" if last else "not heard yet"
        yield from _line("device", f"{device['id']}: {device['status']}{reason}; {heard}", 2)
    more = _counts(left, *left)[2:]
    if more:
        yield from _line("more", f"devices that are not shown: {more}", 2)


def _line(name: str, text: str, indent: int = 0) -> Iterator[str]:
    """Yield a line that begins with a name, and goes on below its text if it is too long."""
    return _wrapped(f"{' ' * indent}{name:<{_NAMES - indent}}", text, _NAMES)


def _wrapped(begin: str, text: str, indent: int) -> Iterator[str]:
    """Yield `text` behind `begin`: wrapped for a terminal, otherwise in one line, since programs read lines."""
    width = _WIDTH if sys.stdout.isatty() else len(begin) + len(text) + indent
    lines = textwrap.wrap(
        text, width, initial_indent=begin, subsequent_indent=" " * indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    yield from lines or [begin.rstrip()]


def _counts(counters: Mapping[str, Any], *names: str) -> str:
    return "".join(f", {counters[name]} {name.replace('_', ' ')}" for name in names if counters[name])


def _moment(text: str) -> float:
    """Return the moment (s, Unix time) that a reply contains."""
    return datetime.fromisoformat(text).timestamp()


def _when(text: str) -> str:
    """Return a moment for people: the time of day if it is today, otherwise the date, too."""
    local, today = time.localtime(_moment(text)), time.localtime()
    return time.strftime("%H:%M:%S" if local[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", local)


def _duration(seconds: float) -> str:
    minutes, remaining = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (remaining, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
