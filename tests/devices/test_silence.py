"""Silence: when a device counts as gone, whichever way and however often it was heard before."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.point import AUTO, Device, Feed, Point, PointType, Write
from gateway.devices.reading import Quality
from gateway.message import InternalMsg
from tests.devices.test_model import Bench

HEATING = InternalMsg(action="HEATING", arguments={"on": True})
COMMAND = InternalMsg(iscmd=True, action="HEAT", arguments={"on": True})
WAYS = ("observe", "other", "outcome", "heard", "answered", "unreadable")
DAY = 86_400.0


def heater(silent_after: float | str | None, of_point: float | None = None, interval: float = 1.0) -> Device:
    heating = Point(
        "heater", PointType.BOOLEAN, (Feed("HEATING", "on"),), (Write("HEAT", "on"),), silent_after=of_point
    )
    other = Point("temperature", PointType.NUMBER, (Feed("TEMPERATURE", "celsius"),))
    return Device("heater", (heating, other), silent_after=silent_after, interval=interval)


def hear(bench: Bench, way: str) -> None:
    """Have the device heard."""
    model, now = bench.model, bench.now
    if way == "observe":
        bench.push(HEATING)
    elif way == "other":
        bench.push(InternalMsg(action="TEMPERATURE", arguments={"celsius": now}))
    elif way == "outcome":
        bench.push(COMMAND.reply("OK"))
    elif way == "heard":
        model.heard("heater", now)
    elif way == "answered":
        model.answered(HEATING, now)
    else:
        model.values_unreadable(HEATING.with_arguments({}), {"on": "it is no value"}, now)
    bench.write(model.changed(now))


def plain_bench(device: Device) -> Bench:
    bench = Bench(device)
    bench.model = type(bench.model)([device])
    return bench


def limit_of(silent_after: float | str, pauses: list[float]) -> float:
    if isinstance(silent_after, float):
        return silent_after
    known = pauses[-20:]
    return max(60.0 if len(known) >= 3 else DAY, 5 * max(known, default=0.0))


@given(
    st.sampled_from([30.0, AUTO]),
    st.none() | st.just(7.0),
    st.sampled_from([1.0, 500.0]),
    st.lists(
        st.tuples(st.floats(0, 2) | st.floats(0, 100) | st.floats(0, 3 * DAY), st.sampled_from(WAYS)),
        min_size=1, max_size=70,
    ),
)  # fmt: skip
def test_silence_is_noticed_within_a_second(
    silent_after: float | str, of_point: float | None, interval: float, steps: list[tuple[float, str]]
) -> None:
    bench = plain_bench(heater(silent_after, of_point, interval))
    state = bench.model.states["heater"]
    heater_reading = state.reading_of["heater"]
    pauses: list[float] = []
    heard = seen = -math.inf

    def check() -> None:
        end = heard + limit_of(silent_after, pauses)
        assert not (state.is_online and bench.now >= math.ceil(end))
        assert state.is_online or bench.now >= end
        if of_point is not None and heater_reading.quality is Quality.GOOD:
            assert bench.now < math.ceil(seen + of_point)

    for pause, way in steps:
        bench.advance(pause)
        if heard > -math.inf:
            check()
        if heard > -math.inf:
            pauses.append(min(bench.now - heard, limit_of(silent_after, pauses)))
        if way == "observe":
            seen = bench.now
        hear(bench, way)
        heard = bench.now
    for _ in range(3):
        bench.advance(limit_of(silent_after, pauses) / 2)
        check()


def test_a_device_that_was_heard_once_or_twice_is_offline_after_a_day() -> None:
    for count in (1, 2):
        bench = plain_bench(heater(AUTO))
        for _ in range(count):
            hear(bench, "observe")
            bench.advance(10)
        bench.advance(DAY - 12)
        assert bench.model.states["heater"].is_online
        bench.advance(3)
        assert bench.last["_reason"] == "nothing heard for 86400 s"


def test_a_device_that_sends_more_rarely_than_before_is_not_offline_time_and_again() -> None:
    bench = plain_bench(heater(AUTO))
    for pause in (*[10] * 30, *[120] * 30):
        hear(bench, "observe")
        bench.advance(pause)
    assert [is_online for _, _, is_online in bench.statuses] == [True, False, True]


def test_a_long_outage_delays_the_next_one_only_a_little() -> None:
    bench = plain_bench(heater(AUTO))
    for pause in (*[10] * 30, 5 * DAY, 10):
        hear(bench, "observe")
        bench.advance(pause)
    hear(bench, "observe")
    began = bench.now
    bench.advance(DAY)
    assert bench.statuses[-1] == (began + 300, "heater", False)


def test_a_long_pause_that_has_left_the_window_delays_nothing() -> None:
    bench = plain_bench(heater(AUTO))
    for pause in (100, 100, 100, 400, *[10] * 21):
        hear(bench, "observe")
        bench.advance(pause)
    hear(bench, "observe")
    began = bench.now
    bench.advance(1000)
    assert bench.statuses[-1] == (began + 60, "heater", False)


@pytest.mark.parametrize(("silent_after", "is_online"), [(None, False), (AUTO, False), (1000.0, True)])
def test_three_unanswered_requests_end_a_device_that_has_no_limit_in_seconds(
    silent_after: float | str | None, is_online: bool
) -> None:
    bench = plain_bench(heater(silent_after))
    hear(bench, "observe")
    for _ in range(3):
        bench.model.unanswered(HEATING)
    assert bench.model.states["heater"].is_online is is_online
    bench.model.lose_all("the port is gone")
    bench.model.recover_all(5.0)
    state = bench.model.states["heater"]
    expected = (None, "") if is_online else (False, "3 requests in a row were not answered")
    assert (state.is_online, state.reason) == expected


@pytest.mark.parametrize("is_heard", [True, False])
def test_the_time_of_a_silent_device_begins_again_when_its_interface_works_again(is_heard: bool) -> None:
    bench = plain_bench(heater(5.0))
    model = bench.model
    if is_heard:
        hear(bench, "observe")
    for _ in range(2):
        model.lose_all("the port is gone")
        bench.write(model.changed(bench.now))
        bench.advance(100)
        assert bench.last["_reason"] == "the port is gone"
        model.recover_all(bench.now)
        bench.write(model.changed(bench.now))
        bench.advance(4)
        assert bench.last["_status"] == "unknown" and "_reason" not in bench.last
        bench.advance(2)
        assert bench.last["_status"] == "offline" and bench.last["_reason"] == "nothing heard for 5 s"
    model.recover_all(bench.now)  # as after a reload
    bench.advance(10)
    assert bench.last["_reason"] == "nothing heard for 5 s"
