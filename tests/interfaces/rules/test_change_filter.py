"""Report by exception: which readings are published, and how often at least and at most."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message import InternalMsg
from interfaces.rules.change_filter import ChangeFilter


def reading(value: Any = 0, device: str = "thermometer", **more: Any) -> InternalMsg:
    return InternalMsg(device=device, action="TEMPERATURE", arguments={"value": value, **more})


def passed(options: dict[str, Any], *readings: tuple[float, Any]) -> list[tuple[float, Any]]:
    """Return the pairs of time (s) and value that pass."""
    change_filter = ChangeFilter(options)
    return [(when, value) for when, value in readings if change_filter.passes(reading(value), when)]


@pytest.mark.parametrize(
    ("options", "values", "published"),
    [
        ({}, [1, 1, 1], [1, 1, 1]),
        ({"on_change": True}, [1, 1, 2, 2, 1], [1, 2, 1]),
        ({"on_change": True}, ["a", "a", None, None, "", True, 1, 1], ["a", None, "", True, 1]),
        ({"on_change": True}, [[1], [1], [2], {"a": 1}, {"a": 1}], [[1], [2], {"a": 1}]),
        ({"deadband": 0.5}, [20, 20.4, 20.5, 20.6, 20.2, 20.0], [20, 20.6, 20.0]),
        ({"deadband": 0.5}, [20, "off", "off", 20], [20, "off", 20]),
        ({"deadband": {"value": 2}}, [10, 12, 12.5, 9], [10, 12.5, 9]),
        ({"deadband": {"other": 2}}, [10, 10, 10.1], [10, 10.1]),
        ({"deadband": 0}, [1, 1, 1.5], [1, 1.5]),
        ({"deadband": 5}, [True, False, False], [True, False]),
    ],
)
def test_only_changed_readings_are_published(options: dict[str, Any], values: list[Any], published: list[Any]) -> None:
    assert [value for _, value in passed(options, *enumerate(values))] == published


def test_a_slow_drift_is_published() -> None:
    """A value is compared with the last published one, not with the last one read."""
    drift = [(float(step), step / 10) for step in range(31)]
    assert [value for _, value in passed({"deadband": 0.95}, *drift)] == [0.0, 1.0, 2.0, 3.0]


def test_nothing_is_published_within_the_interval() -> None:
    times = [0.0, 0.5, 1.0, 1.9, 2.0, 10.0, 10.9]
    assert [when for when, _ in passed({"interval": 1}, *((when, 1) for when in times))] == [0.0, 1.0, 2.0, 10.0]


def test_a_change_within_the_interval_is_published_after_it() -> None:
    options = {"on_change": True, "interval": 5}
    assert passed(options, (0, 1), (1, 2), (4, 2), (5, 2), (6, 2), (12, 2)) == [(0, 1), (5, 2)]


def test_a_reading_is_repeated_after_the_refresh_time() -> None:
    options = {"on_change": True, "refresh": 60}
    assert passed(options, (0, 1), (59, 1), (60, 1), (100, 1), (120, 1)) == [(0, 1), (60, 1), (120, 1)]
    assert passed({"interval": 100, "refresh": 10}, (0, 1), (9, 1), (10, 1)) == [(0, 1), (10, 1)]


def test_readings_are_distinguished_by_address_and_action() -> None:
    change_filter = ChangeFilter({"on_change": True})
    assert change_filter.passes(reading(1, "a"), 0)
    assert change_filter.passes(reading(1, "b"), 0)
    assert not change_filter.passes(reading(1, "a"), 1)
    assert change_filter.passes(InternalMsg(device="a", action="HUMIDITY", arguments={"value": 1}), 1)
    assert change_filter.passes(InternalMsg(iscmd=True, device="a", action="TEMPERATURE", arguments={"value": 1}), 1)
    assert not change_filter.passes(reading(1, "b"), 1)


def test_readings_are_distinguished_by_the_arguments_in_by() -> None:
    change_filter = ChangeFilter({"on_change": True, "by": ["child"]})
    assert change_filter.passes(reading(1, child=1), 0)
    assert change_filter.passes(reading(1, child=2), 0)
    assert change_filter.passes(reading(1), 0)
    assert not change_filter.passes(reading(1, child=1), 0)
    assert change_filter.passes(reading(2, child=1), 0)


def test_an_additional_or_missing_argument_is_a_change() -> None:
    change_filter = ChangeFilter({"deadband": 10})
    assert change_filter.passes(reading(1), 0)
    assert change_filter.passes(reading(1, unit="C"), 0)
    assert not change_filter.passes(reading(1, unit="C"), 0)
    assert change_filter.passes(reading(1), 0)


def test_the_number_of_remembered_readings_is_limited() -> None:
    change_filter = ChangeFilter({"on_change": True})
    for number in range(10_000):
        change_filter.passes(reading(1, str(number)), 0)
    change_filter.passes(reading(2, "0"), 0)
    assert not change_filter.passes(reading(1, "1"), 0), "a change of a known reading does not clear the others"
    change_filter.passes(reading(1, "one more"), 0)
    assert change_filter.passes(reading(1, "1"), 0)


_steps = st.lists(st.tuples(st.floats(0, 10), st.integers(-20, 20)), min_size=1, max_size=40)


@given(_steps, st.integers(1, 10), st.integers(0, 10), st.none() | st.integers(1, 30))
def test_the_published_value_is_never_far_off_nor_old(
    steps: list[tuple[float, int]], deadband: int, interval: int, refresh: int | None
) -> None:
    """A reading is not published only if the last one is near enough or too recent, and never if that is too old."""
    change_filter = ChangeFilter(
        {"deadband": deadband, "interval": interval, **({"refresh": refresh} if refresh else {})}
    )
    now, last = 0.0, None
    for pause, value in steps:
        now += pause
        if change_filter.passes(reading(value), now):
            if last is not None:
                elapsed = now - last[0]
                assert elapsed >= interval or (refresh and elapsed >= refresh)
                assert abs(value - last[1]) > deadband or (refresh and elapsed >= refresh)
            last = now, value
        else:
            assert last is not None, "the first reading is always published"
            assert abs(value - last[1]) <= deadband or now - last[0] < interval
            assert not refresh or now - last[0] < refresh
