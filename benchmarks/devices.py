"""Many devices in one process: what each one more costs, and what all together get through, each live both ways."""

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
    """One, a hundred and a thousand devices."""
    count = 20_000 if lab.fast else _LINES
    print(f"devices: {count:,} lines, QoS 0, from all devices at once; before them, a command to each device;")
    print("  ready: from the start of the process until all ports are open; VmRSS and wake-ups: then, at rest.")
    numbers = (1000, 1) if lab.fast else (1000, 1, 100)
    runners = {f"{number} ptys": partial(_round, lab, _ptys, number, count) for number in numbers}
    if not lab.fast:
        runners["200 TCP"] = partial(_round, lab, _tcp, 200, count)
    samples = run_rounds(lab, runners, _METRICS)
    many, one = samples["1000 ptys"], samples["1 ptys"]
    ratio = median(many, "lines") / median(one, "lines")
    kib = (median(many, "VmRSS") - median(one, "VmRSS")) * 1024 / 999
    woken = max(0.0, median(many, "wake-ups") - median(one, "wake-ups")) / 999
    lab.goals.extend(
        [
            Goal("1,000 devices: throughput, of that of one", ratio, ">=", 0.7),
            Goal("1,000 devices: memory of one more, KiB", kib, "<=", 60),
            Goal("1,000 devices: wake-ups of one more, 1/s", woken, "<=", 0.001),
        ]
    )


@contextlib.contextmanager
def _ptys(count: int) -> Iterator[tuple[list[str], list[int]]]:
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
    """Listen on a port for each device; its descriptor becomes that of the connection, once there is one."""
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
    with make(devices) as (ports, ends), Subscriber(lab.port, _STATUSES, _STATES, LINK_TOPIC) as ear:
        interfaces = {f"d{number}": _options(port, number) for number, port in enumerate(ports)}
        began = time.monotonic()
        with ending(spawn(contenders.gateway_command(lab, interfaces, 0), log)) as process:
            _wait_open(ear, devices, log)
            ready = time.monotonic() - began
            for end in ends:
                os.set_blocking(end, False)
            _command_all(ear, ends)
            idle = thread_wakeups(process.pid)
            time.sleep(2.0)
            woken = sum(thread_wakeups(process.pid).values()) - sum(idle.values())
            resident = resident_kib(process.pid) / 1024
            cpu, start = cpu_seconds(process.pid), time.monotonic()
            seconds = _stream(ear, ends, count // devices) - start
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


def _wait_open(ear: Subscriber, devices: int, log: Path) -> None:
    waiting = {f"bench/bench/d{number}/availability" for number in range(devices)}
    deadline = time.monotonic() + _START_TIMEOUT
    while waiting and time.monotonic() < deadline:
        for message in ear.receive(1.0):
            if message.payload == b"online" and not message.retained:
                waiting.discard(message.topic)
    if waiting:
        raise WrongResultError(f"{len(waiting)} of {devices} devices are not open: {log.read_text()[-400:]}")


def _command_all(ear: Subscriber, ends: list[int]) -> None:
    """Send a command to each device; return when each has read it, and each has been answered."""
    for number in range(len(ends)):
        ear.publish(f"bench/climate//lab/p{number}/harness/C", {"action": "PING"})
    heard = dict.fromkeys(ends, b"")
    poll = select.poll()
    for end in ends:
        poll.register(end, select.POLLIN)
    while not all(data.endswith(b"\r\n") for data in heard.values()):
        ready = poll.poll(_SILENCE * 1000)
        if not ready:
            raise WrongResultError(f"{sum(not data for data in heard.values())} devices were not written to")
        for end, _ in ready:
            heard[end] += os.read(end, 100)
    if set(heard.values()) != {b"ping\r\n"}:
        raise WrongResultError(f"written to devices: {set(heard.values())}")
    answered, deadline = 0, time.monotonic() + _SILENCE
    while answered < len(ends) and time.monotonic() < deadline:
        answered += sum(message.topic.endswith("/S") for message in ear.receive(1.0))
    if answered != len(ends):
        raise WrongResultError(f"{answered} of {len(ends)} commands were answered")


def _stream(ear: Subscriber, ends: list[int], each: int) -> float:
    """Have each device say `each` lines; return when the last has arrived. All must arrive, in their order."""
    said, expected = b"".join(lines(each)), payloads(each)
    feeder = threading.Thread(target=_feed, args=(ends, said), daemon=True)
    feeder.start()
    heard, last, total = defaultdict[str, list[bytes]](list), time.monotonic(), 0
    while total < each * len(ends) and time.monotonic() < last + _SILENCE:
        time.sleep(0.005)  # few reads: the processor is for the gateway
        for message in ear.receive(1.0):
            heard[message.topic].append(message.payload)
            total += 1
            last = time.monotonic()
    feeder.join(_SILENCE)
    wrong = [topic for topic, found in heard.items() if found != expected]
    if wrong or len(heard) != len(ends):
        raise WrongResultError(
            f"{total} of {each * len(ends)} lines arrived; wrong on {len(wrong)} of {len(heard)} topics"
        )
    return last


def _feed(ends: list[int], said: bytes) -> None:
    poll = select.poll()
    left = {end: memoryview(said) for end in ends}
    for end in ends:
        poll.register(end, select.POLLOUT)
    while left:
        for end, _ in poll.poll():
            with contextlib.suppress(BlockingIOError):
                left[end] = left[end][os.write(end, left[end]) :]
            if not left[end]:
                poll.unregister(end)
                del left[end]
