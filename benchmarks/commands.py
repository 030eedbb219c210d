"""Commands: how many reach an interface per second, and the time until the answer while the device sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from benchmarks import contenders
from benchmarks.contenders import BARE, LEAST, OURS
from benchmarks.device import Device
from benchmarks.goals import Goal
from benchmarks.lab import ROOT, Lab, ending, spawn
from benchmarks.report import Figures, Metric, WrongResultError, median, median_ratio, percentile
from benchmarks.rounds import run_rounds
from benchmarks.subscriber import Subscriber
from benchmarks.throughput import Process
from benchmarks.topics import COMMAND_TOPIC, FILTERS, READY_TOPIC, STATUS_TOPIC, commands

_RATES = (0, 2_000, 20_000)  # lines/s
STREAM_TOPIC = STATUS_TOPIC.replace("/probe/", "/talker/")


def receive(lab: Lab) -> None:
    """Measure how many commands a second an interface receives."""
    count = 8_000 if lab.fast else 40_000
    print(f"commands: {count:,} commands, QoS 0, from a plain socket through the broker to an interface,")
    print("  through the map and the command guard; bare paho (loop_start) compares the payload and counts.")

    def ours(listener: Subscriber) -> Process:
        sink = {"type": str(ROOT / "benchmarks" / "sink_interface.py"), "count": count}
        return contenders.gateway(lab, listener, sink, 0)

    def bare(listener: Subscriber) -> Process:
        return contenders.peer(lab, listener, "subscriber", count)

    runners = {OURS: partial(_receive_round, lab, ours, count), BARE: partial(_receive_round, lab, bare, count)}
    samples = run_rounds(lab, runners, (Metric("commands", "1/s"),))
    ratio = median_ratio(samples[OURS], samples[BARE], "commands")
    lab.goals.append(Goal("commands in, of bare paho's receive rate", ratio, ">=", 0.8))


def _receive_round(lab: Lab, runner: Callable[[Subscriber], Process], count: int) -> Figures:
    with Subscriber(lab.port, *FILTERS) as listener, Subscriber(lab.port) as publisher, runner(listener):
        start = time.monotonic()
        payloads = commands(count)
        sender = threading.Thread(target=lambda: publisher.publish_all(COMMAND_TOPIC, payloads), daemon=True)
        sender.start()
        listener.wait_live(STATUS_TOPIC, b"DONE", 60.0)
        return {"commands": count / (time.monotonic() - start)}


def round_trip(lab: Lab) -> None:
    """Measure the time from a command to the status that answers it."""
    count = 40 if lab.fast else 200
    print(f"round-trip: {count} commands, one after the other, each written to a pty and answered by a status, QoS 0,")
    print("  while the device sends that many lines a second; each answer must be that of its command.")
    print("  For comparison: the minimum in Python (one thread, one socket) and, at the highest rate, the shortest")
    print("  program with paho's loop_start.")
    ours = {rate: f"{rate:,} lines/s" for rate in _RATES}
    runners = {name: partial(_trip_round, lab, rate, count, _ours) for rate, name in ours.items()}
    for rate in _RATES[-1:] if lab.fast else _RATES:
        runners[f"{LEAST}, {ours[rate]}"] = partial(_trip_round, lab, rate, count, _least)
    runners[f"{BARE}, {ours[_RATES[-1]]}"] = partial(_trip_round, lab, _RATES[-1], count, _bare)
    samples = run_rounds(lab, runners, (Metric("p50", "ms", 2), Metric("p99", "ms", 2)))
    for name in ours.values():
        lab.goals.append(Goal(f"command -> status at {name}: p99, ms", median(samples[name], "p99"), "<=", 1.2))


def _ours(lab: Lab, listener: Subscriber, device: Device) -> Process:
    options = contenders.serial_options(device.path)
    options["decode"][0]["message"]["device"] = "talker"  # on a topic of its own, to which no client subscribes
    rule = {"match": {"action": "SET"}, "arguments": {"n": {"type": "integer"}}, "write": "S {n}"}
    return contenders.gateway(lab, listener, {**options, "encode": [rule]}, 0)


def _least(lab: Lab, listener: Subscriber, device: Device) -> Process:
    return contenders.bare_socket(lab, listener, device, STREAM_TOPIC)


def _bare(lab: Lab, listener: Subscriber, device: Device) -> Process:
    return contenders.peer(lab, listener, "talker", device.path, STREAM_TOPIC)


def _trip_round(lab: Lab, rate: int, count: int, contender: Callable[[Lab, Subscriber, Device], Process]) -> Figures:
    with (
        Device() as device,
        Subscriber(lab.port, READY_TOPIC) as listener,
        contender(lab, listener, device),
        Subscriber(lab.port, STATUS_TOPIC) as client,
        ending(
            spawn(
                contenders.peer_command("streamer", device.end, rate),
                contenders.fresh_log(lab, "streamer"),
                pass_fds=[device.end],
            )
        ),
    ):
        _check_stream(lab, rate)
        delays = [_measure_trip(client, number) * 1000 for number in range(count + 10)][10:]
        _check_written(lab, count + 10)
    return {"p50": percentile(delays, 50), "p99": percentile(delays, 99)}


def _check_stream(lab: Lab, rate: int) -> None:
    """Check for half a second what the device sends, but not while measuring: that takes processor time.

    A stream that is slower than intended is not an error of the contender: the machine may be busy, or small.
    """
    with Subscriber(lab.port, STREAM_TOPIC) as listener:
        start, received = time.monotonic(), []
        while time.monotonic() < start + 0.5:
            received += [message.payload for message in listener.receive(0.05)]
        seconds = time.monotonic() - start
    if (rate and not received) or set(received) - {b'{"action": "TEMPERATURE", "celsius": 21.5}'}:
        raise WrongResultError(
            f"{len(received)} lines within 0.5 s at {rate} lines/s, or unexpected ones: {received[:1]}"
        )
    if len(received) < rate * seconds / 2:
        reached = f"{len(received) / seconds:,.0f} of {rate:,} lines/s"
        print(f"  This machine reached only {reached}: this round was measured at that rate.")


def _check_written(lab: Lab, count: int) -> None:
    """Check that each command was written to the device exactly once; the last one may still be on its way."""
    deadline = time.monotonic() + 2.0
    expected = b"".join(b"S %d\r\n" % number for number in range(count))
    while (written := (lab.folder / "streamer.log").read_bytes()) != expected:
        if time.monotonic() > deadline:
            raise WrongResultError(f"the device received {written[-40:]!r} instead of {count} commands in order")
        time.sleep(0.01)


def _measure_trip(client: Subscriber, number: int) -> float:
    start = time.monotonic()
    client.publish(COMMAND_TOPIC, {"action": "SET", "n": number})
    while time.monotonic() < start + 10.0:
        for message in client.receive(1.0):
            if f'"n": {number},'.encode() in message.payload and b'"response": "OK"' in message.payload:
                return time.monotonic() - start
            raise WrongResultError(f"not the answer of command {number}: {message.payload!r}")
    raise WrongResultError(f"command {number} was not answered within 10 s")
