"""Something that goes wrong again and again is a state that ends."""

from __future__ import annotations

from gateway.core.trouble import MANY, RECENT, Interruptions, Recurrence


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


def test_a_few_interruptions_are_none_and_many_are_until_they_have_become_rare() -> None:
    interruptions = Interruptions()
    for number in range(MANY):
        assert interruptions.current(100.0 + number) is None
        interruptions.record(f"cut {number}", 100.0 + number)
    assert interruptions.current(110.0) == (100.0, "cut 2")
    interruptions.record("cut 3", 200.0)
    assert interruptions.current(101.0 + RECENT - 1) == (101.0, "cut 3")
    assert interruptions.current(101.0 + RECENT) is None
