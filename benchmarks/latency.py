"""The latency of a line from the device to a subscriber."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeAlias

from benchmarks import contenders, node_red
from benchmarks.contenders import BARE, C_PIPELINE, LEAST, OURS
from benchmarks.device import Device
from benchmarks.goals import Goal
from benchmarks.lab import Lab
from benchmarks.report import Figures, Metric, median_ratio, percentile
from benchmarks.rounds import run_rounds
from benchmarks.subscriber import Received, Subscriber
from benchmarks.topics import check_arrived, lines, payloads

_INTERVAL = 0.02  # s between two lines: 50 a second
_WARM_UP = 10  # lines that are not measured
_SILENCE = 5.0  # s after the last line; lines that are missing then are lost
_METRICS = (Metric("p50", "ms", 2), Metric("p99", "ms", 2))

Runner: TypeAlias = Callable[[Subscriber, Device], AbstractContextManager[Any]]


def run(lab: Lab) -> None:
    """Measure the latency with QoS 0 and QoS 1."""
    count = _WARM_UP + (50 if lab.fast else 150)
    for qos in (0, 1):
        print(
            f"latency-qos{qos}: {count - _WARM_UP} lines `T 21.5` at 50 lines/s from a pty, published with QoS {qos};"
        )
        print("  from the write to the device to the read of a plain-socket subscriber (subscribed with QoS 0).")

        def ours(listener: Subscriber, device: Device, qos: int = qos) -> AbstractContextManager[Any]:
            return contenders.gateway(lab, listener, contenders.serial_options(device.path), qos)

        def bare(listener: Subscriber, device: Device, qos: int = qos) -> AbstractContextManager[Any]:
            return contenders.peer(lab, listener, "serial_publisher", device.path, qos)

        runners = {OURS: partial(_round, lab, ours, count), BARE: partial(_round, lab, bare, count)}
        if qos == 0:
            runners[C_PIPELINE] = partial(_round, lab, partial(contenders.c_pipeline, lab), count, plain=True)
            if not lab.fast:
                runners[LEAST] = partial(_round, lab, partial(contenders.bare_socket, lab), count)
            if node_red.is_available():
                runners[node_red.NAME] = partial(_round, lab, partial(node_red.node_red, lab), count)
        samples = run_rounds(lab, runners, _METRICS)
        if qos == 0:
            for key, target in (("p50", 1.5), ("p99", 2.0)):
                ratio = median_ratio(samples[OURS], samples[C_PIPELINE], key)
                lab.goals.append(Goal(f"latency at 50 lines/s, {key}, of {C_PIPELINE}", ratio, "<=", target))


def _round(lab: Lab, runner: Runner, count: int, *, plain: bool = False) -> Figures:
    with Device() as device, contenders.subscriber(lab) as listener, runner(listener, device):
        delays = [delay * 1000 for delay in _measure_delays(device, listener, count, plain=plain)[_WARM_UP:]]
    return {"p50": percentile(delays, 50), "p99": percentile(delays, 99)}


def _measure_delays(device: Device, listener: Subscriber, count: int, *, plain: bool) -> list[float]:
    """Write lines on schedule, even if earlier ones have not arrived; return the delay (s) of each."""
    sent: list[float] = []
    delays: list[float] = []
    received: list[Received] = []
    waiting = lines(count)
    start = time.monotonic()
    end = start + count * _INTERVAL + _SILENCE
    while len(received) < count and time.monotonic() < end:
        due = start + len(sent) * _INTERVAL if len(sent) < count else end
        if time.monotonic() >= due:
            sent.append(time.monotonic())
            device.write(waiting[len(sent) - 1])
            continue
        for message in listener.receive(due - time.monotonic()):
            if len(received) < len(sent):  # otherwise it is one too many, which the check reports
                delays.append(time.monotonic() - sent[len(received)])
            received.append(message)
    expected = [line.strip() for line in waiting] if plain else payloads(count)
    check_arrived(((message.topic, message.payload) for message in received), expected)
    return delays
