"""The device model alone, in this process: the cost of a line, memory, wake-ups and documents; its clock is simulated.

The former change filter, which the model has replaced, is the peer: its code stands here as it was.
"""

from __future__ import annotations

import gc
import math
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.goals import Goal
from benchmarks.lab import Lab
from benchmarks.report import Figures, Metric, WrongResultError, median, median_ratio
from benchmarks.rounds import run_rounds
from gateway.devices.model import Model
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.message import InternalMsg, ReportRule
from gateway.routing.device_memory import DeviceMemory
from gateway.routing.documents import Documents

_DEADBAND = 0.1
_RATE = 2_000  # lines/s
_DEVICES, _POINTS = 100, 100
OURS, FILTER = "device model", "former change filter"


class _FormerFilter:
    """Passes a message if an argument has changed by more than a deadband."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._deadband: Any = options.get("deadband", 0)
        self._on_change = options.get("on_change", False) or "deadband" in options
        self._interval = options.get("interval", 0.0)
        self._refresh = options.get("refresh")
        self.suppressed = 0
        self._by: tuple[str, ...] = tuple(options.get("by", ()))
        self._last: dict[tuple[object, ...], tuple[float, Mapping[str, Any]]] = {}

    def passes(self, msg: InternalMsg, now: float) -> bool:
        address = (msg.iscmd, msg.function, msg.gateway, msg.location, msg.device, msg.sender)
        key: tuple[object, ...] = (*address, msg.action, *(repr(msg.argument(name)) for name in self._by))
        last = self._last.get(key)
        if last is not None:
            elapsed = now - last[0]
            must_refresh = self._refresh is not None and elapsed >= self._refresh
            may_pass = elapsed >= self._interval
            if not must_refresh and not (may_pass and (not self._on_change or self._differs(last[1], msg.arguments))):
                self.suppressed += 1
                return False
        self._last[key] = (now, msg.arguments)
        return True

    def _differs(self, previous: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
        if previous.keys() != current.keys():
            return True
        return any(self._has_changed(name, previous[name], value) for name, value in current.items())

    def _has_changed(self, name: str, previous: Any, current: Any) -> bool:
        deadband = self._deadband.get(name, 0) if isinstance(self._deadband, Mapping) else self._deadband
        are_numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (previous, current))
        if are_numbers and deadband:
            return bool(abs(current - previous) > deadband)
        return bool(previous != current) or type(previous) is not type(current)


def run(lab: Lab) -> None:
    """Print the cost of a line beside the former filter; then memory, wake-ups and documents."""
    count = 20_000 if lab.fast else 100_000
    print(f"model: {count:,} messages that feed one point with a deadband, of which all, or none, change it by more;")
    print("  processor time of the observation alone, without decoding, map and outbox.")
    metrics = [Metric("held back", "us/line", 2, "1.0 of the filter"), Metric("changed", "us/line", 2)]
    samples = run_rounds(lab, {OURS: lambda: _ours(count), FILTER: lambda: _filter(count)}, metrics)
    print(f"  memory: {_DEVICES * _POINTS:,} points that have been read once, of {_DEVICES} devices (tracemalloc);")
    print("  wake-ups: the main thread's for them, in 10 simulated minutes; each device heard every 7 s, or each point")
    print("  once, at a moment of its own, and then refreshed every 300 s (the greater of both);")
    print(f"  documents: of one device whose value changes {_RATE:,} times a second, in 10 simulated seconds.")
    figures = [Metric("memory", "bytes/point", 0, "at most 1,024"), Metric("wake-ups", "1/s", 2, "at most 1"),
               Metric("documents", "1/s", 2), Metric("with documents", "us/line", 2)]  # fmt: skip
    many = run_rounds(lab, {OURS: lambda: {**_memory(), **_wakeups(), **_documents()}}, figures, factor=0.4)[OURS]
    ours, peer = samples[OURS], samples[FILTER]
    lab.goals.extend(
        [
            Goal("device model: a line with a deadband, held back, of the former filter",
                 median_ratio(ours, peer, "held back"), "<=", 1.0),
            Goal("device model: memory of a point, bytes", median(many, "memory"), "<=", 1024),
            Goal("device model: wake-ups of 10,000 points, 1/s", median(many, "wake-ups"), "<=", 1.0),
        ]
    )  # fmt: skip


def _message(value: float, device: str = "d0", point: str = "p0") -> InternalMsg:
    return InternalMsg(device=device, action="T", arguments={point: value})


def _device(number: int, points: int, report: ReportRule | None = None, **options: float) -> Device:
    each = (Point(f"p{n}", PointType.NUMBER, (Feed("T", f"p{n}"),), report=report) for n in range(points))
    return Device(f"d{number}", tuple(each), address={"device": f"d{number}"}, **options)  # type: ignore[arg-type]


def _costs(make: Callable[[], Callable[[InternalMsg, float], object]], count: int) -> Figures:
    """Return the cost of a message for a filter that `make` returns: of those that are held back, and of the others."""
    costs = {}
    for name, step in (("held back", 0.01), ("changed", 0.3)):
        messages = [_message(20 + step * (number % 10)) for number in range(10)]
        passes = make()
        passed, now = 0, 0.0
        start = time.thread_time()
        for _ in range(count // 10):
            for msg in messages:
                now += 0.001
                passed += passes(msg, now) not in (None, False)
        costs[name] = (time.thread_time() - start) / count * 1e6
        if passed != (1 if name == "held back" else count):
            raise WrongResultError(f"{passed} of {count} messages have passed ({name})")
    return costs


def _ours(count: int) -> Figures:
    def make() -> Callable[[InternalMsg, float], object]:
        model = Model([_device(0, 1, ReportRule(on_change=True, deadband=_DEADBAND))])
        return lambda msg, now: model.observe(msg, now, now)

    return _costs(make, count)


def _filter(count: int) -> Figures:
    return _costs(lambda: _FormerFilter({"deadband": _DEADBAND}).passes, count)


def _memory() -> Figures:
    messages = [[_message(1.0, f"d{n}", f"p{p}") for p in range(_POINTS)] for n in range(_DEVICES)]
    devices = [_device(n, _POINTS) for n in range(_DEVICES)]  # the declarations belong to the configuration
    gc.collect()
    tracemalloc.start()
    try:
        model = Model(devices)
        for of_device in messages:
            for msg in of_device:
                model.observe(msg, 0.0, 0.0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return {"memory": held / (_DEVICES * _POINTS)}


class _Simulated:
    """A memory of devices with a clock that is set; it counts documents and wake-ups."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.now = 0.0
        self.documents = self.wakeups = 0
        self.memory = DeviceMemory(lambda: self.now, lambda: self.now, Documents(self._publish))
        self.memory.configure(devices, {}, {})

    def _publish(self, topic: str, _payload: bytes) -> None:
        self.documents += topic.endswith("state")

    def advance(self, now: float) -> None:
        """Let time pass until `now`, with what is due meanwhile."""
        while self.now + self.memory.due_in <= now:
            self.now += self.memory.due_in
            self.memory.tick()
            self.wakeups += 1
        self.now = now

    def push(self, msg: InternalMsg) -> None:
        self.memory.observe(msg)
        self.memory.publish_changed()


def _wakeups() -> Figures:
    gateway = _Simulated([_device(number, _POINTS, silent_after=30.0, refresh=60.0) for number in range(_DEVICES)])
    seconds, pause = 600.0, 7.0 / _DEVICES
    for step in range(int(seconds / pause)):
        gateway.advance(step * pause)
        gateway.push(_message(1.0, f"d{step % _DEVICES}"))
    if gateway.memory.stats()["devices_offline"]:
        raise WrongResultError("devices that were heard are offline")
    return {"wake-ups": max(gateway.wakeups / seconds, _wakeups_of_refreshes())}


def _wakeups_of_refreshes() -> float:
    rule, count = ReportRule(on_change=True, refresh=300.0), _DEVICES * _POINTS
    devices = count // 10
    gateway = _Simulated([_device(number, 10, rule) for number in range(devices)])
    for step in range(count):
        gateway.advance(step * 300.0 / count)
        gateway.push(_message(1.0, f"d{step % devices}", f"p{step // devices}"))
    gateway.advance(math.ceil(gateway.now))
    before, seconds = gateway.wakeups, 600.0
    gateway.advance(gateway.now + seconds)
    return (gateway.wakeups - before) / seconds


def _documents() -> Figures:
    gateway, seconds = _Simulated([_device(0, 1)]), 10
    messages = [_message(number / 10) for number in range(seconds * _RATE)]
    start = time.thread_time()
    for number, msg in enumerate(messages):
        gateway.advance(number / _RATE)
        gateway.push(msg)
    cost = (time.thread_time() - start) / len(messages) * 1e6
    gateway.advance(seconds + 1.0)
    return {"documents": gateway.documents / seconds, "with documents": cost}
