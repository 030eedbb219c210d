"""Many devices in one process: what each additional one costs, and the throughput of all, in both directions."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import threading
import time
import tty
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import contenders
from benchmarks.goals import Goal
from benchmarks.lab import Lab, cpu_seconds, ending, resident_kib, spawn, stop_gateway, thread_wakeups
from benchmarks.report import Figures, Metric, WrongResultError, median
from benchmarks.rounds import run_rounds
from benchmarks.subscriber import Subscriber
from benchmarks.topics import LINK_TOPIC, lines, payloads

_LINES = 40_000  # of all devices together: the outbox holds them all
_START_TIMEOUT, _SILENCE = 90.0, 10.0  # s
_STATUSES, _STATES = "bench/climate//lab/+/bench/S", "bench/bench/+/availability"
_METRICS = (
    Metric("lines", "1/s"),
    Metric("processor", "us/line", 1),
    Metric("ready", "s", 2),
    Metric("VmRSS", "MiB", 1),
    Metric("wake-ups", "1/s", 1),
)


def run(lab: Lab) -> None:
    """Measure one, a hundred and a thousand devices."""
    count = 20_000 if lab.fast else _LINES
    print(f"devices: {count:,} lines, QoS 0, from all devices simultaneously, after a command to each device;")
    print(
        "  ready: from the start of the process until all ports are open; VmRSS and wake-ups: afterwards, while idle."
    )
    numbers = (1000, 1) if lab.fast else (1000, 1, 100)
    runners = {f"{number} ptys": partial(_round, lab, ptys, number, count) for number in numbers}
    if not lab.fast:
        runners["200 TCP"] = partial(_round, lab, _tcp, 200, count)
    samples = run_rounds(lab, runners, _METRICS)
    many, single = samples["1000 ptys"], samples["1 ptys"]
    ratio = median(many, "lines") / median(single, "lines")
    kib = (median(many, "VmRSS") - median(single, "VmRSS")) * 1024 / 999
    woken = max(0.0, median(many, "wake-ups") - median(single, "wake-ups")) / 999
    lab.goals.extend(
        [
            Goal("1,000 devices: throughput, of that of one", ratio, ">=", 0.7),
            Goal("1,000 devices: memory of one more, KiB", kib, "<=", 60),
            Goal("1,000 devices: wake-ups of one more, 1/s", woken, "<=", 0.001),
        ]
    )


@contextlib.contextmanager
def ptys(count: int) -> Iterator[tuple[list[str], list[int]]]:
    pairs = [os.openpty() for _ in range(count)]
    try:
        for _, slave in pairs:
            tty.setraw(slave)
        yield [os.ttyname(slave) for _, slave in pairs], [master for master, _ in pairs]
    finally:
        for pair in pairs:
            for descriptor in pair:
                os.close(descriptor)


@contextlib.contextmanager
def _tcp(count: int) -> Iterator[tuple[list[str], list[int]]]:
    """Listen on a port for each device; the list of descriptors gets that of each connection as it is accepted."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    descriptors: list[int] = []

    def accept() -> None:
        for server in servers:
            with contextlib.suppress(OSError):
                descriptors.append(server.accept()[0].detach())

    for server in servers:
        server.settimeout(_START_TIMEOUT)
    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield [f"socket://127.0.0.1:{server.getsockname()[1]}" for server in servers], descriptors
    finally:
        for server in servers:
            server.close()
        for descriptor in descriptors:
            os.close(descriptor)


def _round(lab: Lab, make: Any, devices: int, count: int) -> Figures:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    log = contenders.fresh_log(lab, "devices")
    with make(devices) as (ports, ends), Subscriber(lab.port, _STATUSES, _STATES, LINK_TOPIC) as listener:
        interfaces = {f"d{number}": _options(port, number) for number, port in enumerate(ports)}
        began = time.monotonic()
        with ending(spawn(contenders.gateway_command(lab, interfaces, 0), log)) as process:
            _wait_open(listener, devices, log)
            ready = time.monotonic() - began
            for end in ends:
                os.set_blocking(end, False)
            _command_all(listener, ends)
            idle = thread_wakeups(process.pid)
            time.sleep(2.0)
            woken = sum(thread_wakeups(process.pid).values()) - sum(idle.values())
            resident = resident_kib(process.pid) / 1024
            cpu, start = cpu_seconds(process.pid), time.monotonic()
            seconds = _stream(listener, ends, count // devices) - start
            cpu = cpu_seconds(process.pid) - cpu
            stop_gateway(process, log)
    return {
        "lines": count / seconds,
        "processor": cpu / count * 1e6,
        "ready": ready,
        "VmRSS": resident,
        "wake-ups": woken / 2.0,
    }


def _options(port: str, number: int) -> dict[str, Any]:
    options = contenders.serial_options(port)
    address = {**options["address"], "device": f"p{number}"}
    return {**options, "address": address, "encode": [{"match": {"action": "PING"}, "write": "ping"}]}


def _wait_open(listener: Subscriber, devices: int, log: Path) -> None:
    waiting = {f"bench/bench/d{number}/availability" for number in range(devices)}
    deadline = time.monotonic() + _START_TIMEOUT
    while waiting and time.monotonic() < deadline:
        for message in listener.receive(1.0):
            if message.payload == b"online" and not message.retained:
                waiting.discard(message.topic)
    if waiting:
        raise WrongResultError(f"{len(waiting)} of {devices} devices are not open: {log.read_text()[-400:]}")


def _command_all(listener: Subscriber, ends: list[int]) -> None:
    """Send a command to each device; return when each has received it and each command has been answered."""
    for number in range(len(ends)):
        listener.publish(f"bench/climate//lab/p{number}/harness/C", {"action": "PING"})
    received = dict.fromkeys(ends, b"")
    poll = select.poll()
    for end in ends:
        poll.register(end, select.POLLIN)
    while not all(data.endswith(b"\r\n") for data in received.values()):
        ready = poll.poll(_SILENCE * 1000)
        if not ready:
            raise WrongResultError(f"{sum(not data for data in received.values())} devices received nothing")
        for end, _ in ready:
            received[end] += os.read(end, 100)
    if set(received.values()) != {b"ping\r\n"}:
        raise WrongResultError(f"unexpected bytes written to devices: {set(received.values())}")
    answered, deadline = 0, time.monotonic() + _SILENCE
    while answered < len(ends) and time.monotonic() < deadline:
        answered += sum(message.topic.endswith("/S") for message in listener.receive(1.0))
    if answered != len(ends):
        raise WrongResultError(f"{answered} of {len(ends)} commands were answered")


def _stream(listener: Subscriber, ends: list[int], each: int) -> float:
    """Send `each` lines from each device; return the time of the last arrival. All must arrive, in their order."""
    data, expected = b"".join(lines(each)), payloads(each)
    feeder = threading.Thread(target=_feed, args=(ends, data), daemon=True)
    feeder.start()
    received, last, total = defaultdict[str, list[bytes]](list), time.monotonic(), 0
    while total < each * len(ends) and time.monotonic() < last + _SILENCE:
        time.sleep(0.005)  # few reads: the processor is for the gateway
        for message in listener.receive(1.0):
            received[message.topic].append(message.payload)
            total += 1
            last = time.monotonic()
    feeder.join(_SILENCE)
    wrong = [topic for topic, messages in received.items() if messages != expected]
    if wrong or len(received) != len(ends):
        raise WrongResultError(
            f"{total} of {each * len(ends)} lines arrived; wrong on {len(wrong)} of {len(received)} topics"
        )
    return last


def _feed(ends: list[int], data: bytes) -> None:
    poll = select.poll()
    remaining = {end: memoryview(data) for end in ends}
    for end in ends:
        poll.register(end, select.POLLOUT)
    while remaining:
        for end, _ in poll.poll():
            with contextlib.suppress(BlockingIOError):
                remaining[end] = remaining[end][os.write(end, remaining[end]) :]
            if not remaining[end]:
                poll.unregister(end)
                del remaining[end]
