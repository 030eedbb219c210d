"""What the values of points and the counters were in the last hour, so that whoever opens the page sees what happened.

A sample each `INTERVAL` s, taken in one thread while the page is served. A series takes 720 bytes for its numbers and
about 500 for its key and place, so that `MOST_SERIES` of them take less than 2.5 MB.
"""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from gateway.core.package_logger import package_logger
from gateway.devices.reading import Quality
from gateway.message import Argument
from gateway.page.source import Source
from gateway.runtime.running_gateway import RunningGateway

LOG = package_logger(__name__)

INTERVAL = 20.0
"""Seconds between two samples."""

SAMPLES = 180
"""Samples that are kept of each series: those of an hour."""

MOST_SERIES = 2000
"""Series that are kept; of more, those that came first stay."""

Key: TypeAlias = tuple[str, ...]
"""What a series is of: ("in",), ("frames", interface), or ("point", interface, device, point)."""

_COUNTING = 0.2  # s, for interfaces to count: numbers of some time before would make rates that go up and down
_SLICE, _PAUSE = 16, 0.001  # devices that are read without a pause; s, for threads that wait for a lock


class History:
    """The last samples of numbers. Any thread may call the methods."""

    def __init__(self, samples: int = SAMPLES, most_series: int = MOST_SERIES) -> None:
        self._samples, self._most_series = samples, most_series
        self._series: dict[Key, tuple[array[float], list[int]]] = {}  # a ring, and in which sample it was set last
        self._count = 0
        self._lock = threading.Lock()

    def add(self, values: Mapping[Key, float]) -> None:
        """Add a sample of all series; those that are not in it have no value. One without any value is forgotten."""
        nothing = array("f", [math.nan]) * self._samples
        with self._lock:
            place = self._count % self._samples
            self._count += 1
            for key in list(self._series):
                numbers, last = self._series[key]
                numbers[place] = math.nan
                if self._count - last[0] >= self._samples:
                    del self._series[key]
            for key, value in values.items():
                series = self._series.get(key)
                if series is None:
                    if len(self._series) >= self._most_series:
                        continue
                    series = self._series[key] = (nothing[:], [0])
                series[0][place] = _float(value)
                series[1][0] = self._count

    def of(self, key: Key) -> list[float | None]:
        """Return the samples of one series, the oldest first; None where there was no value."""
        with self._lock:
            series = self._series.get(key)
            if series is None:
                return []
            place = self._count % self._samples
            numbers = series[0][place:] + series[0][:place]
        values = [None if math.isnan(number) else _short(number) for number in numbers]
        first = next((index for index, value in enumerate(values) if value is not None), len(values))
        return values[first:]

    @property
    def series(self) -> int:
        """How many series are kept."""
        return len(self._series)


def _float(value: float) -> float:
    """Return a number as 4 bytes can hold it."""
    return float(value) if abs(value) < 3e38 else math.nan


def _short(number: float) -> float:
    """Return a number with the digits that 4 bytes can hold, so that an answer has no others."""
    return float(f"{number:.6g}")


class Sampler:
    """Adds a sample of a gateway to `history` every `interval` s, in a thread of its own, until it is closed."""

    def __init__(self, source: Source, history: History, interval: float = INTERVAL) -> None:
        self._source, self._history, self._interval = source, history, interval
        self._rates = Rates()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page-history", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._history.add(self._sample())
            except Exception:
                LOG.exception("a sample of the page's history failed")
            self._closed.wait(self._interval)

    def _sample(self) -> dict[Key, float]:
        source = self._source
        refresh(source.gateway)
        self._closed.wait(_COUNTING)
        health = source.health()
        values: dict[Key, float] = {("outbox",): health.outbox.waiting}
        if health.link.round_trip is not None:
            values["round_trip",] = health.link.round_trip
        values.update(self._rates.per_second(counters(source.gateway), time.monotonic()))
        for number, (interface, device) in enumerate(_devices(source)):
            if number % _SLICE == _SLICE - 1 and self._closed.wait(_PAUSE):
                break
            values.update(self._points(interface, device))
        return values

    def _points(self, interface: str, device: str) -> Iterator[tuple[Key, float]]:
        """Yield the good values of a device that are numbers, or can be shown as such."""
        host = self._source.gateway.hosts.get(interface)
        state = host.devices.snapshot(device) if host is not None else None
        for key, reading in state.readings.items() if state is not None else ():
            value = numeric(reading.value)
            if value is not None and reading.quality is Quality.GOOD:
                yield ("point", interface, device, key), value


def _devices(source: Source) -> Sequence[tuple[str, str]]:
    hosts = dict(source.gateway.hosts)
    return [(name, status.id) for name, host in hosts.items() for status in host.devices.statuses()]


def numeric(value: Argument) -> float | None:
    """Return a number for a value that has a history: a number, or a boolean as 1 or 0."""
    return float(value) if isinstance(value, bool | int | float) and abs(value) < 3e38 else None


def counters(gateway: RunningGateway) -> dict[Key, int]:
    """Return how many messages have come and gone, and how many frames of each interface have come.

    Frames are as of the last `refresh`. Where an interface does not count them, its messages are counted.
    """
    result: dict[Key, int] = {
        ("in",): gateway.received.get("received", 0),
        ("out",): gateway.outbox.stats()["delivered"],
    }
    for name, host in dict(gateway.hosts).items():
        result["frames", name] = host.last_device_stats().get("frames_received", host.outlet.pushed)
    return result


def refresh(gateway: RunningGateway) -> None:
    """Have the interfaces count their frames again, which each does soon, in its own thread."""
    for host in dict(gateway.hosts).values():
        host.refresh_stats()


class Rates:
    """Turns counters that only grow into rates per second."""

    def __init__(self) -> None:
        self._last: Mapping[Key, int] = {}
        self._at = 0.0

    def per_second(self, counters: Mapping[Key, int], now: float) -> dict[Key, float]:
        """Return by how much each counter has grown per second since the last call; one that is new has no rate."""
        last, seconds = self._last, now - self._at
        self._last, self._at = counters, now
        if seconds <= 0:
            return {}
        return {
            key: max(0, count - last[key]) / seconds  # a counter of an interface that was built again begins anew
            for key, count in counters.items()
            if key in last
        }
