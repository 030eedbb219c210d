"""The cost of a line without a real broker: processor time and rate, with a broker that discards everything."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TypeAlias

from benchmarks import contenders
from benchmarks.contenders import BARE, OURS
from benchmarks.device import Device
from benchmarks.goals import Goal
from benchmarks.lab import Lab, cpu_seconds, ending, spawn
from benchmarks.legacy import READLINE, WAYS, legacy_gateway, python
from benchmarks.report import Figures, Metric, WrongResultError, median_ratio
from benchmarks.rounds import run_rounds
from benchmarks.topics import STATUS_TOPIC, lines

Contender: TypeAlias = Callable[[int, str], AbstractContextManager["subprocess.Popen[bytes]"]]

_OURS_TIMES = 5
_TIMEOUT = 30.0  # s for a line of output of the null broker


def run(lab: Lab) -> None:
    """Compare the gateway, version 1.1.4 and a pty reader with paho."""
    count = 8_000 if lab.fast else 40_000
    print(
        f"cpu: {count:,} lines from a pty, QoS 0, to a broker that discards them; processor time of the process only."
    )
    print(f"  {OURS} gets {_OURS_TIMES} times as many, since half a second is too short a time to measure.")

    @contextlib.contextmanager
    def ours(port: int, device: str) -> Iterator[subprocess.Popen[bytes]]:
        command = contenders.gateway_command(lab, {"device": contenders.serial_options(device)}, 0, port)
        with ending(spawn(command, contenders.fresh_log(lab, "null"))) as process:
            yield process

    @contextlib.contextmanager
    def bare(port: int, device: str) -> Iterator[subprocess.Popen[bytes]]:
        command = contenders.peer_command("serial_publisher", port, device, 0)
        with ending(spawn(command, contenders.fresh_log(lab, "null"))) as process:
            yield process

    contender_of: dict[str, Contender] = {OURS: ours}
    if python():
        contender_of |= {name: partial(legacy_gateway, lab, WAYS[name]) for name in sorted(WAYS, key=READLINE.__ne__)}
    contender_of[BARE] = bare
    counts = {OURS: count * _OURS_TIMES}
    runners = {
        name: partial(_round, lab, contender, counts.get(name, count)) for name, contender in contender_of.items()
    }
    samples = run_rounds(lab, runners, (Metric("processor", "us/line", 1), Metric("lines", "1/s")))
    if READLINE in samples:
        cost, rate = (median_ratio(samples[OURS], samples[READLINE], key) for key in ("processor", "lines"))
        lab.goals.extend(
            [
                Goal("null broker: processor per line, of mqttgateway 1.1.4, readline", cost, "<=", 0.1),
                Goal("null broker: lines/s, of mqttgateway 1.1.4, readline", rate, ">=", 25),
            ]
        )


def _round(lab: Lab, contender: Contender, count: int) -> Figures:
    log = contenders.fresh_log(lab, "broker")
    with Device() as device, ending(spawn(contenders.peer_command("null_broker", STATUS_TOPIC, count), log)):
        port = int(_printed_line(log, 0).removeprefix("port "))
        with contender(port, device.path) as process:
            _printed_line(log, 1)
            cpu = cpu_seconds(process.pid)
            device.write_in_background(b"".join(lines(count)))
            arrived, seconds, bad = _printed_line(log, 2).split()
            cpu = cpu_seconds(process.pid) - cpu
    if (arrived, bad) != (str(count), "0"):
        raise WrongResultError(f"{arrived} of {count} lines, {bad} of them wrong")
    return {"processor": cpu / count * 1e6, "lines": count / float(seconds)}


def _printed_line(log: Path, number: int) -> str:
    """Return line `number` of the output of the null broker; wait for it."""
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        if len(printed := log.read_text().splitlines()) > number:
            return printed[number]
        time.sleep(0.02)
    raise WrongResultError(f"the null broker has not printed line {number + 1}: {log.read_text()[-400:]}")
