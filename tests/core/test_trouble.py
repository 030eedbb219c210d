"""Something that goes wrong again and again is a state that ends."""

from __future__ import annotations

from gateway.core.trouble import RECENT, Recurrence


def test_it_lasts_from_the_first_time_until_some_time_after_the_last() -> None:
    recurrence = Recurrence()
    assert recurrence.current(0.0) is None
    recurrence.record("first", 100.0)
    recurrence.record("second", 100.0 + RECENT - 1)
    assert recurrence.current(100.0 + 2 * RECENT - 2) == (100.0, "second")
    assert recurrence.current(100.0 + 2 * RECENT - 1) is None
    recurrence.record("third", 5000.0)
    assert recurrence.current(5000.0) == (5000.0, "third")


def test_it_ends_when_its_cause_is_changed() -> None:
    recurrence = Recurrence()
    recurrence.record("it", 100.0)
    recurrence.end()
    assert recurrence.current(100.0) is None
