"""The cost of the outbox: put, commit, take and settle; bytes written to disk; memory during an outage."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.lab import Lab, resident_kib
from benchmarks.report import Figures, Metric, WrongResultError, percentile
from benchmarks.rounds import run_rounds
from gateway.core.receipt import Receipt
from gateway.message import Publication
from gateway.outbox.durable_outbox import DurableOutbox
from gateway.outbox.options import DISK_DEFAULTS, OutboxOptions
from gateway.outbox.outbox import Outbox
from gateway.outbox.queues import Entry
from gateway.outbox.store import OutboxStore
from gateway.outbox.writer import OutboxWriter

MEMORY, DISK = "in memory", "on disk"
_PAYLOAD = b'{"action": "TEMPERATURE", "celsius": 21.5}'
_DAY = 86_400


def run(lab: Lab) -> None:
    """Run all measurements of the outbox."""
    _speed(lab)
    _latency(lab)
    _writes(lab)
    _outage(lab)


@contextlib.contextmanager
def _on_disk(lab: Lab, commit_interval: float = 0.0) -> Iterator[DurableOutbox]:
    path = lab.folder / f"{time.monotonic_ns()}.outbox"
    outbox = DurableOutbox(DISK_DEFAULTS._replace(commit_interval=commit_interval))
    writer = OutboxWriter(outbox, OutboxStore(path))
    writer.start()
    try:
        yield outbox
    finally:
        writer.close(60)


def _message(number: int, topic: str = "") -> Publication:
    return Publication(topic or f"home/heating//{number % 50}/boiler/me/S", _PAYLOAD, 1)


def _speed(lab: Lab) -> None:
    count = 20_000 if lab.fast else 100_000
    print(
        f"outbox: put one message, and throughput with a main thread that takes 100 and settles ({count:,} messages)."
    )

    def figures(outbox: Outbox) -> Figures:
        messages = [_message(number) for number in range(1000)]
        began = time.perf_counter()
        for each in messages:
            outbox.put(each)
        cost = (time.perf_counter() - began) / len(messages)
        _take(outbox, len(messages))
        producer = threading.Thread(target=_produce, args=(outbox, count))
        began = time.perf_counter()
        producer.start()
        _take(outbox, count)
        rate = count / (time.perf_counter() - began)
        producer.join()
        return {"put": cost * 1e6, "steady": rate}

    def on_disk() -> Figures:
        with _on_disk(lab) as outbox:
            return figures(outbox)

    metrics = Metric("put", "us", 1), Metric("steady", "1/s", 0)
    run_rounds(lab, {DISK: on_disk, MEMORY: lambda: figures(Outbox())}, metrics)


def _produce(outbox: Outbox, count: int) -> None:
    for number in range(count):
        outbox.put(_message(number, "home/t"))
        if number % 100 == 0:
            outbox.wait_for_room()


def _take(outbox: Outbox, count: int) -> list[Entry]:
    taken: list[Entry] = []
    while len(taken) < count:
        batch = outbox.take(100)
        outbox.settle(batch)
        taken += batch
        if not batch:
            time.sleep(0.0002)
    return taken


def _latency(lab: Lab) -> None:
    count = 200 if lab.fast else 1000
    print(f"commit: from `put` of one message with a receipt until it is accepted ({count} one after the other).")

    def on_disk() -> Figures:
        with _on_disk(lab) as outbox:
            seconds = []
            for number in range(count):
                receipt = Receipt()
                began = time.perf_counter()
                outbox.put(_message(number), receipt)
                receipt.wait_accepted(10)
                seconds.append((time.perf_counter() - began) * 1000)
                outbox.settle(outbox.take(1))
        return {"p50": percentile(seconds, 50), "p99": percentile(seconds, 99)}

    run_rounds(lab, {DISK: on_disk}, (Metric("p50", "ms", 2), Metric("p99", "ms", 2)))


def _writes(lab: Lab) -> None:
    seconds = 8 if lab.fast else 20
    print(f"writes: one message a second, acknowledged after 2 ms, for {seconds} s; bytes written to the disk")
    print("  (/proc/PID/io), extrapolated to a day.")

    def with_interval(commit_interval: float) -> Callable[[], Figures]:
        def measure() -> Figures:
            with _on_disk(lab, commit_interval) as outbox:
                time.sleep(0.2)
                written_before = _written()
                for number in range(seconds):
                    outbox.put(_message(number, "home/t"))
                    time.sleep(0.002)
                    outbox.settle(outbox.take(1))
                    time.sleep(0.998)
                written = _written() - written_before
            return {"a day": written / seconds * _DAY / 1024**2}

        return measure

    contenders = {f"commit_interval {interval:g}": with_interval(interval) for interval in (0.0, 0.1, 1.0)}
    run_rounds(lab, contenders, (Metric("a day", "MiB", 0),), factor=0.2)


def _written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def _outage(lab: Lab) -> None:
    count = 36_000 if lab.fast else 360_000
    print(f"outage: {count:,} waiting messages (an hour at 100 a second is 360,000), in a process of its own:")
    print("  the growth of its memory, and the rate at which they are taken afterwards, in order, each settled.")

    def measure(kind: str) -> Callable[[], Figures]:
        def figures() -> Figures:
            path = lab.folder / f"{time.monotonic_ns()}.outbox"
            command = [sys.executable, "-m", "benchmarks.outbox", kind, str(count), str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise WrongResultError(done.stderr[-400:])
            grown, rate = map(float, done.stdout.split())
            return {"memory": grown, "drain": rate}

        return figures

    metrics = Metric("memory", "MiB", 1), Metric("drain", "1/s", 0)
    run_rounds(lab, {DISK: measure(DISK), MEMORY: measure(MEMORY)}, metrics, factor=0.4)


def _measure_outage(kind: str, count: int, path: Path) -> None:
    """Run the measurement of `_outage`, in its own process."""
    outbox = DurableOutbox() if kind == DISK else Outbox(OutboxOptions(max_bytes=1024**3))
    writer = None
    if isinstance(outbox, DurableOutbox):
        writer = OutboxWriter(outbox, OutboxStore(path))
        writer.start()
    initial_kib = resident_kib(os.getpid())
    for number in range(count):
        outbox.put(Publication("home/t", b"%d" % number, 1))
        if number % 100 == 0:
            outbox.wait_for_room()
    grown = resident_kib(os.getpid()) - initial_kib
    began = time.perf_counter()
    taken = 0
    while taken < count:
        batch = outbox.take(100)
        if [int(each.publication.payload) for each in batch] != list(range(taken, taken + len(batch))):
            raise WrongResultError(f"wrong order after message {taken}")
        outbox.settle(batch)
        taken += len(batch)
        if not batch:
            time.sleep(0.0002)
    rate = count / (time.perf_counter() - began)
    print(grown / 1024, rate)
    if writer is not None and writer.close(60):
        raise WrongResultError("messages were lost")


if __name__ == "__main__":
    _measure_outage(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
