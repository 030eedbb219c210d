"""Several gateways on one machine, with the broker and the devices: what each takes at a usual rate, with QoS 1."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import threading
import time
from functools import partial
from pathlib import Path

from benchmarks import contenders, devices
from benchmarks.lab import Lab, cpu_seconds, ending, proportional_kib, spawn, stop_gateway
from benchmarks.report import Figures, Metric, WrongResultError
from benchmarks.rounds import run_rounds
from benchmarks.subscriber import Subscriber
from benchmarks.topics import lines

_DEVICES = 40  # of each gateway
_SECONDS = 10  # in which each device sends a line a second
_START_TIMEOUT = 60.0  # s
_METRICS = (
    Metric("lines", "1/s"),
    Metric("ready", "s", 1),
    Metric("a gateway", "MiB", 1),
    Metric("all gateways", "MiB"),
    Metric("a gateway's core", "%", 2),
    Metric("the broker's core", "%", 2),
)


def run(lab: Lab) -> None:
    """Measure one gateway and ten, with forty devices each."""
    print(f"fleet: {_DEVICES} ptys for each gateway, each with a line a second, QoS 1, the outbox on disk;")
    print(
        "  ready: until all gateways are connected and all ports open; MiB: its share of memory (PSS), after the lines;"
    )
    print("  core: the processor time of one, of a second, while the lines are sent.")
    run_rounds(lab, {f"{number} gateways": partial(_round, lab, number) for number in (1, 10)}, _METRICS)


def _round(lab: Lab, gateways: int) -> Figures:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    log = contenders.fresh_log(lab, "fleet")
    names = [f"g{number}" for number in range(gateways)]
    with (
        devices.ptys(gateways * _DEVICES) as (ports, ends),
        Subscriber(lab.port, "fleet/+/+/+/+/+/S", "fleet/+/+/availability") as listener,
        contextlib.ExitStack() as stack,
    ):
        began = time.monotonic()
        processes = [
            stack.enter_context(ending(spawn(_command(lab, name, ports[number::gateways]), log)))
            for number, name in enumerate(names)
        ]
        _wait_open(listener, len(ports), log)
        ready = time.monotonic() - began
        assert lab.broker.process is not None
        pids = [process.pid for process in processes]
        before, broker = sum(map(cpu_seconds, pids)), cpu_seconds(lab.broker.process.pid)
        _send(listener, ends)
        cpu = sum(map(cpu_seconds, pids)) - before
        broker = cpu_seconds(lab.broker.process.pid) - broker
        memory = sum(map(proportional_kib, pids)) / 1024
        for process in processes:
            stop_gateway(process, log)
    return {
        "lines": float(len(ports)),
        "ready": ready,
        "a gateway": memory / gateways,
        "all gateways": memory,
        "a gateway's core": cpu / gateways / _SECONDS * 100,
        "the broker's core": broker / _SECONDS * 100,
    }


def _command(lab: Lab, name: str, ports: list[str]) -> list[str]:
    """Write the configuration of one gateway; return the command that runs it."""
    interfaces = {}
    for number, port in enumerate(ports):
        options = contenders.serial_options(port)
        interfaces[f"d{number}"] = {
            **options,
            "address": {**options["address"], "gateway": name, "device": f"d{number}"},
        }
    conf = lab.folder / f"{name}.conf"
    for file in lab.folder.glob(f"{name}.outbox*"):
        file.unlink()
    options = {
        "root": "fleet",
        "topics": [f"fleet/+/{name}/+/+/+/C"],
        "mqtt": {"port": lab.port},
        "outbox": {"file": str(lab.folder / f"{name}.outbox")},
        "interfaces": interfaces,
    }
    conf.write_text(json.dumps(options))
    return [sys.executable, "-m", "gateway", "--conf", str(conf)]


def _wait_open(listener: Subscriber, ports: int, log: Path) -> None:
    is_open: set[str] = set()
    deadline = time.monotonic() + _START_TIMEOUT
    while len(is_open) < ports and time.monotonic() < deadline:
        is_open |= {message.topic for message in listener.receive(0.1) if message.payload == b"online"}
    if len(is_open) < ports:
        raise WrongResultError(f"{ports - len(is_open)} of {ports} ports are not open: {log.read_text()[-400:]}")


def _send(listener: Subscriber, ends: list[int]) -> None:
    """Let each device send a line a second, evenly; all must arrive."""
    feeder = threading.Thread(target=_feed, args=(ends,), daemon=True)
    feeder.start()
    missing, deadline = len(ends) * _SECONDS, time.monotonic() + _SECONDS + 10
    while missing > 0 and time.monotonic() < deadline:
        missing -= sum(message.topic.endswith("/S") for message in listener.receive(0.5))
    feeder.join()
    if missing:
        raise WrongResultError(f"{missing} lines have not arrived, or twice")


def _feed(ends: list[int]) -> None:
    began = time.monotonic()
    for second, line in enumerate(lines(_SECONDS)):
        for index, end in enumerate(ends):
            time.sleep(max(0.0, began + second + index / len(ends) - time.monotonic()))
            os.write(end, line)
