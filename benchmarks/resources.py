"""The cost of an idle gateway: wake-ups and memory; and the time that it needs to start."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import contenders
from benchmarks.contenders import BARE, OURS
from benchmarks.device import Device
from benchmarks.goals import Goal
from benchmarks.installed import install
from benchmarks.lab import ROOT, Lab, cpu_seconds, ending, resident_kib, spawn, stop_gateway, thread_wakeups
from benchmarks.report import Figures, Metric, WrongResultError, median, print_table
from benchmarks.rounds import run_rounds
from benchmarks.subscriber import Subscriber
from benchmarks.topics import LINK_TOPIC, STATUS_TOPIC, lines, payloads
from tests.support.waiting import wait_until

_SETTLE = 1.0  # s after the start, when imports and first messages are over
LIBRARIES = "the four libraries"


def idle(lab: Lab) -> None:
    """Measure the wake-ups of an idle process."""
    seconds, windows = (5.0, 1) if lab.fast else (10.0, max(1, min(lab.rounds, 3)))
    print("idle: voluntary context switches of all threads (/proc), with one silent serial device and the link up;")
    print(f"  {windows} x {seconds:g} s, the gateway and a pty reader with paho's loop_start side by side.")
    samples: dict[str, list[Figures]] = {OURS: [], BARE: []}
    threads: dict[str, list[str]] = {}
    with ExitStack() as stack:
        pids: dict[str, int] = {}
        pairs: list[tuple[Device, Subscriber]] = []
        for name in samples:
            device, listener = stack.enter_context(Device()), stack.enter_context(contenders.subscriber(lab))
            pairs.append((device, listener))
            options = contenders.serial_options(device.path)
            ours = contenders.gateway(lab, listener, options, 0)
            bare = contenders.peer(lab, listener, "serial_publisher", device.path, 0)
            pids[name] = stack.enter_context(ours if name == OURS else bare).pid
        time.sleep(_SETTLE)
        for _ in range(windows):
            previous = {name: (cpu_seconds(pid), thread_wakeups(pid)) for name, pid in pids.items()}
            time.sleep(seconds)
            for name, pid in pids.items():
                cpu, wakeups = previous[name]
                woken = {thread: count - wakeups.get(thread, 0) for thread, count in thread_wakeups(pid).items()}
                threads[name] = [f"{'main' if t == pid else t} {n / seconds:.1f}" for t, n in sorted(woken.items())]
                samples[name].append(
                    {
                        "wake-ups": sum(woken.values()) / seconds,
                        "processor": (cpu_seconds(pid) - cpu) / seconds * 100,
                    }
                )
        for device, listener in pairs:
            _check_line_arrives(device, listener)
    lab.goals.append(Goal("idle: wake-ups, 1/s", median(samples[OURS], "wake-ups"), "<=", 1.0))
    print_table((Metric("wake-ups", "1/s", 1, "at most 1"), Metric("processor", "%", 2)), samples)
    for name, parts in threads.items():
        print(f"    threads of {name}, last window, 1/s: {', '.join(parts)}")


def start(lab: Lab) -> None:
    """Measure the time from the start of the process to the CONNACK."""
    print("start: from the start of the process until a subscriber receives the `online` that is published on CONNACK;")
    print("  the gateway with one serial device, checks included, against Python with paho that only connects;")
    print("  both in an environment that pip created from the wheel, without the development tools.")
    commands = install(lab.folder)

    def ours() -> Figures:
        with Device() as device:
            options = contenders.gateway_command(lab, {"device": contenders.serial_options(device.path)}, 1)[-2:]
            return _start_round(lab, [str(commands / "mqttgateway"), *options], device)

    def bare() -> Figures:
        connect = ROOT / "benchmarks" / "peers" / "connect.py"
        return _start_round(lab, [str(commands / "python"), str(connect), str(lab.port), LINK_TOPIC], None)

    samples = run_rounds(
        lab, {OURS: ours, BARE: bare}, (Metric("start", "ms", 0, "at most 200"),), factor=1.0 if lab.fast else 2.0
    )
    lab.goals.append(Goal("start to CONNACK, ms", median(samples[OURS], "start"), "<=", 200))


def _start_round(lab: Lab, command: Sequence[str], device: Device | None) -> Figures:
    log = contenders.fresh_log(lab, "start")
    with contenders.subscriber(lab) as listener:
        began = time.monotonic()
        with ending(spawn(list(command), log, path=None)) as process:
            listener.wait_live(LINK_TOPIC, b"online")
            milliseconds = (time.monotonic() - began) * 1000
            if device is not None:
                wait_until(lambda: "is open" in log.read_text(), what="the port to be open")
                _check_line_arrives(device, listener)
                stop_gateway(process, log)
    return {"start": milliseconds}


def memory(lab: Lab) -> None:
    """Measure the resident memory after the start."""
    print(f"memory: VmRSS {_SETTLE:g} s after the start, with one serial device and the link up;")
    print("  against Python that has imported paho, PyYAML, jsonschema and pyserial, and the pty reader with paho.")

    def ours() -> Figures:
        with (
            Device() as device,
            contenders.subscriber(lab) as listener,
            contenders.gateway(lab, listener, contenders.serial_options(device.path), 1) as process,
        ):
            _check_line_arrives(device, listener)
            return _memory_of(process.pid)

    def libraries() -> Figures:
        log = contenders.fresh_log(lab, "libraries")
        with ending(spawn(contenders.peer_command("libraries"), log)) as process:
            deadline = time.monotonic() + 10
            while "ready" not in log.read_text():
                if time.monotonic() > deadline:
                    raise WrongResultError(f"the libraries were not imported within 10 s: {log.read_text()[-400:]}")
                time.sleep(0.01)
            return _memory_of(process.pid)

    def bare() -> Figures:
        with (
            Device() as device,
            contenders.subscriber(lab) as listener,
            contenders.peer(lab, listener, "serial_publisher", device.path, 1) as process,
        ):
            _check_line_arrives(device, listener)
            return _memory_of(process.pid)

    runners = {OURS: ours, LIBRARIES: libraries, BARE: bare}
    samples = run_rounds(lab, runners, (Metric("VmRSS", "MiB", 1, "at most 32"),), factor=0.6)
    lab.goals.append(Goal("resident memory, MiB", median(samples[OURS], "VmRSS"), "<=", 32))


def _check_line_arrives(device: Device, listener: Subscriber) -> None:
    """Check that the contender works: a line of the device arrives."""
    device.write(lines(1)[0])
    listener.wait_live(STATUS_TOPIC, payloads(1)[0])


def _memory_of(pid: int) -> Figures:
    time.sleep(_SETTLE)
    return {"VmRSS": resident_kib(pid) / 1024}
