from __future__ import annotations

import math

from gateway.message import Publication
from gateway.mqtt.quarantine import MAX_ENTRIES, Quarantine
from gateway.outbox.outbox import Outbox
from gateway.outbox.queues import Entry
from tests.support.fake_clock import FakeClock


def entries(*topics: str) -> list[Entry]:
    """Return an entry of an outbox for each topic."""
    outbox = Outbox()
    outbox.put_all([Publication(topic, b"", 1) for topic in topics])
    return outbox.take(len(topics))


def test_a_suspect_is_kept_aside_until_others_are_acknowledged_at_its_position() -> None:
    quarantine = Quarantine(FakeClock())
    (suspect,) = entries("a")
    assert not quarantine.can_be_tried(1000)
    assert quarantine.isolate(suspect, position=3)
    assert not quarantine.is_on_trial(suspect)
    assert not quarantine.can_be_tried(2)
    assert quarantine.can_be_tried(3)
    assert quarantine.release(is_trial=True) == [suspect]
    assert quarantine.is_on_trial(suspect)
    assert quarantine.entries == []
    assert not quarantine.can_be_tried(3)


def test_a_second_suspect_refutes_the_first() -> None:
    quarantine = Quarantine(FakeClock())
    first, second = entries("a", "b")
    assert quarantine.isolate(first, position=1)
    assert not quarantine.isolate(second, position=1)
    assert quarantine.release() == [first, second]
    assert not quarantine.is_on_trial(first)
    assert quarantine.broker_in_doubt


def test_nothing_overtakes_a_suspect_of_its_topic() -> None:
    quarantine = Quarantine(FakeClock())
    suspect, other, same = entries("a", "b", "a")
    quarantine.isolate(suspect, position=1)
    assert quarantine.filter([other, same]) == [other]
    assert quarantine.release() == [suspect, same]


def test_without_an_acknowledgement_it_is_released_after_a_growing_time() -> None:
    clock = FakeClock()
    quarantine = Quarantine(clock)
    (suspect,) = entries("a")
    assert (quarantine.is_due, quarantine.time_left) == (False, math.inf)
    for delay in (10.0, 20.0, 40.0):
        quarantine.isolate(suspect, position=1)
        assert (quarantine.is_due, quarantine.time_left) == (False, delay)
        clock.now += delay
        assert (quarantine.is_due, quarantine.time_left) == (True, 0)
        assert quarantine.release() == [suspect]
        assert not quarantine.is_on_trial(suspect), "nothing else was acknowledged: that proves nothing"
    quarantine.message_acknowledged()
    assert not quarantine.broker_in_doubt
    quarantine.isolate(suspect, position=1)
    assert quarantine.time_left == 10.0


def test_not_more_is_kept_aside_than_should_be() -> None:
    quarantine = Quarantine(FakeClock())
    suspect, *others = entries(*["a"] * (MAX_ENTRIES + 1))
    quarantine.isolate(suspect, position=1)
    quarantine.filter(others[:-1])
    assert not quarantine.is_due
    quarantine.filter(others[-1:])
    assert quarantine.is_full
    assert quarantine.is_due
