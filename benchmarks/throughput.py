"""Throughput in messages a second, and the processor time of each message."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeAlias

from benchmarks import contenders, node_red
from benchmarks.contenders import BARE, C_PIPELINE, LEAST, ON_DISK, OURS
from benchmarks.device import Device
from benchmarks.goals import Goal
from benchmarks.lab import Lab, cpu_seconds
from benchmarks.legacy import WAYS, legacy_gateway, python
from benchmarks.report import Figures, Metric, median_ratio
from benchmarks.rounds import run_rounds
from benchmarks.subscriber import Subscriber
from benchmarks.topics import COMMAND_TOPIC, STATUS_TOPIC, check_arrived, last_of_legacy, lines, payloads

Process: TypeAlias = "AbstractContextManager[subprocess.Popen[bytes]]"

_METRICS = (Metric("messages", "1/s"), Metric("processor", "us/message", 1))

# Fewer messages than the outbox holds by default (about 89,000 of this size), so that none is dropped: this measures
# speed, not the limits of the outbox.
_QOS0, _QOS1 = 40_000, 20_000
_QOS0_FAST, _QOS1_FAST = 20_000, 8_000


def push(lab: Lab) -> None:
    """Measure messages from an interface, QoS 0 and QoS 1, without a device."""
    for qos, count in _counts(lab):
        print(f"push-qos{qos}: on a command, an interface pushes {count:,} messages as fast as it can, QoS {qos};")
        print("  bare paho (loop_start) publishes the same. From the command to the last message at a subscriber.")
        print("  No more messages than the outbox holds, so that none is dropped.")

        def ours(listener: Subscriber, qos: int = qos, disk: bool = False) -> Process:
            return contenders.gateway(lab, listener, contenders.push_options(), qos, disk=disk)

        def bare(listener: Subscriber, qos: int = qos, count: int = count) -> Process:
            return contenders.peer(lab, listener, "push_publisher", count, qos)

        runners = {OURS: partial(_push_round, lab, ours, count), BARE: partial(_push_round, lab, bare, count)}
        if qos == 1:
            runners[ON_DISK] = partial(_push_round, lab, partial(ours, disk=True), count)
        samples = run_rounds(lab, runners, _METRICS)
        if qos == 0:
            ratio = median_ratio(samples[OURS], samples[BARE], "messages")
            lab.goals.append(Goal("interface pushes, QoS 0, of bare paho", ratio, ">=", 1.2))


def pty(lab: Lab) -> None:
    """Measure lines of a device at full speed, QoS 0 and QoS 1."""
    for qos, count in _counts(lab):
        where = ", outbox on disk" if qos else ""
        print(f"pty-qos{qos}: {count:,} lines `T 21.5` written to a pty as fast as they are read, QoS {qos}{where};")
        print("  from the first byte written to the last message at a subscriber.")

        def ours(listener: Subscriber, device: Device, qos: int = qos) -> Process:
            return contenders.gateway(lab, listener, contenders.serial_options(device.path), qos, disk=bool(qos))

        def bare(listener: Subscriber, device: Device, qos: int = qos) -> Process:
            return contenders.peer(lab, listener, "serial_publisher", device.path, qos)

        runners = {
            OURS: partial(_pty_round, lab, ours, lines(count), payloads(count)),
            BARE: partial(_pty_round, lab, bare, lines(count), payloads(count)),
        }
        if qos == 0:
            print("  cat | mosquitto_pub -l translates nothing; its processor time excludes that of cat.")
            plain = [line.strip() for line in lines(count)]
            runners[C_PIPELINE] = partial(_pty_round, lab, partial(contenders.c_pipeline, lab), lines(count), plain)
            if not lab.fast:
                least = partial(contenders.bare_socket, lab)
                runners[LEAST] = partial(_pty_round, lab, least, lines(count), payloads(count))
            if node_red.is_available():
                theirs = partial(node_red.node_red, lab)
                last = node_red.last_payload(count)
                runners[node_red.NAME] = partial(_pty_round, lab, theirs, lines(count), payloads(count), last)
            for name, way in WAYS.items() if python() else ():
                theirs = partial(_legacy, lab, way)
                runners[name] = partial(_pty_round, lab, theirs, lines(count), payloads(count), last_of_legacy(count))
        samples = run_rounds(lab, runners, _METRICS)
        peers = {C_PIPELINE: 0.7, **dict.fromkeys((node_red.NAME, *WAYS), 1.0)} if qos == 0 else {BARE: 0.7}
        for peer, target in peers.items():
            if peer in samples:
                ratio = median_ratio(samples[OURS], samples[peer], "messages")
                lab.goals.append(Goal(f"pty, QoS {qos}{', disk' if qos else ''}, of {peer}", ratio, ">=", target))


@contextlib.contextmanager
def _legacy(lab: Lab, way: str, listener: Subscriber, device: Device) -> Iterator[subprocess.Popen[bytes]]:
    with legacy_gateway(lab, way, lab.port, device.path) as process:
        listener.wait_live(STATUS_TOPIC, b"ready")
        yield process


def _counts(lab: Lab) -> tuple[tuple[int, int], tuple[int, int]]:
    return ((0, _QOS0_FAST), (1, _QOS1_FAST)) if lab.fast else ((0, _QOS0), (1, _QOS1))


def _push_round(lab: Lab, runner: Callable[[Subscriber], Process], count: int) -> Figures:
    with contenders.subscriber(lab) as listener, runner(listener) as process:
        go = partial(listener.publish, COMMAND_TOPIC, {"action": "GO", "count": count})
        return _measure(listener, process.pid, go, payloads(count))


def _pty_round(
    lab: Lab,
    runner: Callable[[Subscriber, Device], Process],
    device_lines: list[bytes],
    expected: list[bytes],
    last: bytes = b"",
) -> Figures:
    with Device() as device, contenders.subscriber(lab) as listener, runner(listener, device) as process:
        return _measure(
            listener, process.pid, partial(device.write_in_background, b"".join(device_lines)), expected, last
        )


def _measure(
    listener: Subscriber, pid: int, go: Callable[[], None], expected: list[bytes], last: bytes = b""
) -> Figures:
    cpu, start = cpu_seconds(pid), time.monotonic()
    go()
    end, received = listener.stream(last=last or expected[-1])
    cpu = cpu_seconds(pid) - cpu
    check_arrived(((message.topic, message.payload) for message in received), expected)
    return {"messages": len(expected) / (end - start), "processor": cpu / len(expected) * 1e6}
