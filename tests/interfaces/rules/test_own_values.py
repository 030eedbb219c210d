"""The gateway's own values in what is written: the time, and a counter that stays in its range."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from interfaces.rules.own_values import OWN_VALUES, OwnValues

SEVEN = datetime(2026, 11, 30, 7, 0, 5, 999, UTC)


def test_the_time_is_that_of_the_clock() -> None:
    values = OwnValues((0, 255), SEVEN.timestamp).values()
    assert set(values) == OWN_VALUES
    assert f"{values['utc']:%d.%m.%y %H:%M:%S}" == "30.11.26 07:00:05"
    assert values["now"] == SEVEN.replace(microsecond=0)
    assert values["now"].utcoffset() == SEVEN.astimezone().utcoffset()


@given(first=st.integers(0, 300), size=st.integers(0, 5), takes=st.integers(1, 20))
def test_the_counter_goes_on_where_it_is_used(first: int, size: int, takes: int) -> None:
    own = OwnValues((first, first + size), float)
    counts = []
    for _ in range(takes):
        assert set(own.take({"now"})) == {"now"}
        assert own.values()["count"] == own.values()["count"]
        counts.append(own.take({"count", "other"})["count"])
    assert counts == [first + number % (size + 1) for number in range(takes)]
