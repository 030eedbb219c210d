"""Announcing a thousand entities to Home Assistant: how long it takes, its bytes, and what it does to other traffic."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import contenders
from benchmarks.device import Device
from benchmarks.goals import Goal
from benchmarks.lab import Lab, ending, resident_kib, spawn
from benchmarks.report import Figures, Metric, WrongResultError, median, percentile
from benchmarks.rounds import run_rounds
from benchmarks.subscriber import Subscriber
from benchmarks.topics import COMMAND_TOPIC, STATUS_TOPIC
from tests.support.broker import find_tool

_DEVICES, _POINTS = 100, 10
_DOCUMENTS = _DEVICES + 1  # that of the gateway is the first
_INTERVAL = 0.005  # s between two lines
_COMMAND_EVERY = 4  # lines
_ANNOUNCE_EVERY = 0.7  # s
_STARTS = 100  # of Home Assistant at once: the gateway waits for the least of as many random times within 10 s
_SETTLING, _SILENCE = 2.0, 5.0  # s, before the first line and after the last one
_GATEWAY = "homeassistant/device/bench/-gateway/config"
_ANNOUNCING, _QUIET = "announcing", "no announcements"
_METRICS = (
    Metric("line p50", "ms", 2),
    Metric("line p99", "ms", 2),
    Metric("command p50", "ms", 2),
    Metric("command p99", "ms", 2),
    Metric("VmRSS", "MiB", 1),
)


@dataclass
class _Traffic:
    """When (s, Unix time) each line and each command was sent, and the delay (s) of each, by its number."""

    sent: dict[str, list[float]] = field(default_factory=lambda: {"line": [], "command": []})
    delays: dict[str, dict[int, float]] = field(default_factory=lambda: {"line": {}, "command": {}})

    def percentiles(self, spans: Sequence[tuple[float, float]]) -> dict[str, float]:
        """Return the percentiles (ms) of what was sent within one of `spans`; of everything if there are none."""
        figures: dict[str, float] = {}
        for kind, delays in self.delays.items():
            chosen = [
                1000 * delay
                for number, delay in delays.items()
                if not spans or any(begin <= self.sent[kind][number] <= end for begin, end in spans)
            ]
            figures |= {f"{kind} p{percent}": percentile(chosen, percent) for percent in (50, 99)}
        return figures


def run(lab: Lab) -> None:
    """Measure announcements, and the lines and commands beside them."""
    program = find_tool("mosquitto_sub")
    if program is None:
        print("announce: mosquitto_sub is missing: apt install mosquitto-clients")
        return
    seconds = 7.0 if lab.fast else 20.0
    print(f"announce: {_DEVICES} devices of {_POINTS} points, announced to Home Assistant every {_ANNOUNCE_EVERY} s;")
    print(
        f"  {1 / _INTERVAL:.0f} lines/s and {1 / _INTERVAL / _COMMAND_EVERY:.0f} commands/s beside them, QoS 0. Their"
    )
    print("  delays are those of what is sent while documents arrive; and those without Home Assistant.")
    took: list[float] = []
    sizes: list[int] = []
    runners = {
        _ANNOUNCING: partial(_round, lab, program, seconds, took, sizes),
        _QUIET: partial(_round, lab, "", seconds, [], []),
    }
    samples = run_rounds(lab, runners, _METRICS)
    ours, quiet = samples[_ANNOUNCING], samples[_QUIET]
    memory = [1024 * (our["VmRSS"] - peer["VmRSS"]) for our, peer in zip(ours, quiet, strict=False)]
    print(
        f"  from the first to the last of {_DOCUMENTS} documents, {len(took)} times: "
        f"p50 {1000 * percentile(took, 50):.0f} ms, p99 {1000 * percentile(took, 99):.0f} ms; "
        f"{percentile(sizes, 50) / 1024:.0f} KiB; memory of one of {_DEVICES * _POINTS:,} entities "
        f"{percentile(memory, 50) / _DEVICES / _POINTS:.1f} KiB"
    )
    more = {kind: median(ours, f"{kind} p50") - median(quiet, f"{kind} p50") for kind in ("line", "command")}
    print(f"  meanwhile, a line takes {more['line']:.1f} ms longer, and a command {more['command']:.1f} ms (medians)")
    lab.goals.append(Goal("announcing 1,000 entities, ms", 1000 * percentile(took, 50), "<=", 1000))
    lab.goals.append(Goal("meanwhile, a command takes longer by: p50, ms", more["command"], "<=", 20))


def _options(port: str) -> dict[str, Any]:
    """Return an interface of many devices: most of their points are sensors, one is a switch, and one a number."""
    options = contenders.serial_options(port)
    names = [f"p{number}" for number in range(_POINTS - 1)]
    groups = " ".join(f"(?P<{name}>[0-9.]+)" for name in names)
    arguments = {name: f"{{{name}}}" for name in names}
    values = dict.fromkeys(names, "float")
    on = {"bool": {"true": "1", "false": "0"}}
    readings = {"device": "{d}", "action": "VALUES", "arguments": {**arguments, "on": "{on}"}}
    options["decode"].append(
        {"regex": f"(?P<d>d[0-9]+) {groups} (?P<on>[01])", "values": {**values, "on": on}, "message": readings}
    )
    options["encode"] = [
        {"match": {"action": "SET"}, "arguments": {"n": {"type": "integer"}}, "write": "S {n}"},
        _rule("LEVEL", "level", {"type": "number", "minimum": 0, "maximum": 100}),
        _rule("SWITCH", "on", {"type": "boolean", "convert": on}),
    ]
    points: dict[str, Any] = {
        name: {"from": f"VALUES.{name}", "unit": "°C", "class": "temperature"} for name in names[1:]
    }
    points["level"] = {"from": "VALUES.p0", "write": "LEVEL.level", "unit": "%"}
    points["switch"] = {"from": "VALUES.on", "write": "SWITCH.on"}
    options["devices"] = [
        {"id": f"d{n}", "name": f"Device {n}", "address": {"device": f"d{n}"}, "points": points}
        for n in range(_DEVICES)
    ]
    return options


def _rule(action: str, argument: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the rule for a command to one of the devices."""
    arguments = {"d": {"type": "integer"}, argument: values}
    return {"match": {"device": "d{d}", "action": action}, "arguments": arguments, "write": f"C {{d}} {{{argument}}}"}


def _round(lab: Lab, program: str, seconds: float, took: list[float], sizes: list[int]) -> Figures:
    """Measure one round; `took` gets the duration (s) of each announcement, `sizes` its bytes."""
    options = {"home_assistant": bool(program)}
    with (
        Device() as device,
        contenders.subscriber(lab) as listener,
        contenders.gateway(lab, listener, _options(device.path), 0, **options) as process,
        Subscriber(lab.port, STATUS_TOPIC) as client,
        _documents(lab, program) as file,
    ):
        settled = time.monotonic() + _SETTLING
        while time.monotonic() < settled:
            client.receive(settled - time.monotonic())
        traffic = _measure(device, client, seconds, announces=bool(program))
        memory = resident_kib(process.pid) / 1024
    groups = _announcements(file)
    if program and not groups:
        raise WrongResultError("nothing was announced")
    took += [group[-1][0] - group[0][0] for group in groups]
    sizes += [sum(size for _, _, size in group) for group in groups]
    spans = [(group[0][0], group[-1][0]) for group in groups]
    return {**traffic.percentiles(spans), "VmRSS": memory}


@contextlib.contextmanager
def _documents(lab: Lab, program: str) -> Iterator[Path]:
    """Have a process of its own write when which document came, and how long it was: this one is to measure delays."""
    file = contenders.fresh_log(lab, "documents")
    file.touch()
    if not program:
        yield file
        return
    command = [program, "-p", str(lab.port), "-R", "-q", "1", "-t", "homeassistant/device/#", "-F", "%U %t %l"]
    with (
        file.open("wb") as output,
        ending(spawn(command, contenders.fresh_log(lab, "sub"), stdout=output.fileno())) as sub,
    ):
        yield file
        sub.send_signal(signal.SIGTERM)  # it writes what it has
        with contextlib.suppress(subprocess.TimeoutExpired):
            sub.wait(5)


def _measure(device: Device, client: Subscriber, seconds: float, *, announces: bool) -> _Traffic:
    """Send lines and commands on schedule, and receive all of them; announce from time to time."""
    traffic = _Traffic()
    count = round(seconds / _INTERVAL)
    start = time.monotonic()
    offset = time.time() - start
    end = start + seconds + _SILENCE
    announce_at = start + 0.2 if announces else end
    written = missing = 0
    while time.monotonic() < end and (written < count or missing):
        now, due = time.monotonic(), start + written * _INTERVAL if written < count else end
        if now >= announce_at:
            client.publish_all("homeassistant/status", [b"online"] * _STARTS)
            announce_at += _ANNOUNCE_EVERY
        elif now >= due:
            traffic.sent["line"].append(now + offset)
            device.write(f"T {written}\n".encode())
            missing += 1
            if written % _COMMAND_EVERY == 0:
                number = len(traffic.sent["command"])
                traffic.sent["command"].append(time.monotonic() + offset)
                client.publish(COMMAND_TOPIC, {"action": "SET", "n": number})
                missing += 1
            written += 1
        else:
            for message in client.receive(min(due, announce_at) - now):
                missing -= _note(traffic, message.payload, time.monotonic() + offset)
    if missing:
        raise WrongResultError(f"{missing} lines and commands have not arrived")
    return traffic


def _note(traffic: _Traffic, payload: bytes, now: float) -> int:
    """Note the arrival of a line or of the answer to a command; return 1, or raise `WrongResultError`."""
    members = json.loads(payload)
    kind, number = ("command", members.get("n")) if "response" in members else ("line", members.get("celsius"))
    if members.get("response", "OK") != "OK" or number is None or number in traffic.delays[kind]:
        raise WrongResultError(f"not what was sent: {payload!r}")
    traffic.delays[kind][int(number)] = now - traffic.sent[kind][int(number)]
    return 1


def _announcements(file: Path) -> list[list[tuple[float, str, int]]]:
    """Return the documents of each whole announcement: when (s, Unix time) each of them came, its topic, its bytes."""
    lines = re.findall(r"^([0-9.]+) (\S+) ([0-9]+)$", file.read_text(), re.MULTILINE)
    documents = [(float(at), topic, int(size) + len(topic)) for at, topic, size in lines]
    starts = [index for index, (_, topic, _) in enumerate(documents) if topic == _GATEWAY]
    groups = [documents[begin:end] for begin, end in itertools.pairwise([*starts, len(documents)])]
    return [group for group in groups if len({topic for _, topic, _ in group}) == len(group) == _DOCUMENTS]
