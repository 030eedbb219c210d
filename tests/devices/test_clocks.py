"""The clocks of the model: the wall clock is only shown, and may jump; the monotonic one stands still in a suspend."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.devices.point import AUTO, Device, Feed, Point, PointType
from gateway.message import InternalMsg, ReportRule
from gateway.routing.device_memory import DeviceMemory
from gateway.routing.documents import Documents
from tests.conftest import ExpectedLogs
from tests.routing.test_device_memory import Bench

CLIMATE = tuple(
    Point(
        key, PointType.NUMBER, (Feed("CLIMATE", key),), silent_after=20.0,
        report=ReportRule(on_change=True, interval=5.0, refresh=60.0),
    )
    for key in ("celsius", "percent")
)  # fmt: skip
YEAR_1970, YEAR_2026 = 12.0, 1_796_000_000.0


def run(steps: list[tuple[float, int]], walls: list[float]) -> tuple[list[Any], list[Any]]:
    """Return what is sent and published, without the times that are shown, for a wall clock that shows `walls`."""
    now, wall = 0.0, 0.0
    published: list[Any] = []
    sent: list[Any] = []

    def publish(topic: str, payload: bytes) -> None:
        published.append((now, topic, payload.split(b'"_time"')[0]))

    memory = DeviceMemory(lambda: now, lambda: wall, Documents(publish))
    template = Device("{device}", CLIMATE, silent_after=AUTO)
    memory.configure([template], {}, {})
    for number, (pause, value) in enumerate(steps):
        wall = walls[number]
        end = now + pause
        while memory.due_in <= end - now:
            now += memory.due_in
            sent += [(now, msg) for msg in memory.tick()]
        now = end
        name = ("celsius", "percent")[value % 2]
        msg, _ = memory.observe(InternalMsg(device=f"d{value % 3}", action="CLIMATE", arguments={name: value}))
        sent.append((now, msg))
        memory.publish_changed()
    return sent, published


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.floats(0, 90), st.integers(0, 8)), min_size=1, max_size=30),
    walls=st.lists(st.floats(-1e9, 1e10), min_size=30, max_size=30),
)
def test_whatever_the_wall_clock_shows_nothing_else_changes(
    expected_logs: ExpectedLogs, steps: list[tuple[float, int]], walls: list[float]
) -> None:
    expected_logs.allow("is offline: nothing heard for")
    steady = [YEAR_2026 + number for number in range(30)]
    assert run(steps, walls) == run(steps, steady)


def test_the_time_of_a_reading_is_what_the_wall_clock_shows() -> None:
    """A Raspberry Pi without a clock of its own starts in 1970, until the time of the network is known."""
    point = Point("temperature", PointType.NUMBER, (Feed("T", "celsius"),))
    wall = YEAR_1970
    last = b""

    def publish(topic: str, payload: bytes) -> None:
        nonlocal last
        last = payload if topic.endswith("state") else last

    seconds = itertools.count()
    memory = DeviceMemory(lambda: next(seconds), lambda: wall, Documents(publish))
    memory.configure([Device("boiler", (point,))], {}, {})
    for wall, shown in ((YEAR_1970, b"1970-01-01T00:00:12.000Z"), (YEAR_2026, b"2026-11-30T")):
        memory.observe(InternalMsg(action="T", arguments={"celsius": wall}))
        memory.publish_changed()
        assert b'"temperature":"' + shown in last


def test_nothing_is_silent_for_a_suspend_in_which_the_clock_of_the_model_stands_still() -> None:
    bench = Bench(Device("boiler", (CLIMATE[0],), silent_after=30.0))
    bench.push(InternalMsg(action="CLIMATE", arguments={"celsius": 20}))
    bench.wall = 8 * 3600.0
    bench.advance(29)
    assert bench.memory.stats()["devices_offline"] == 0
