"""What the gateway could not use: it is grouped, counted and bounded."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.unknown import (
    CHECKSUM,
    FRAMING,
    LONGEST_EXAMPLE,
    MOST_EXAMPLES,
    MOST_GROUPS,
    RULE,
    WORD_IN,
    WORD_OUT,
    Collector,
)
from gateway.errors import WordError
from tests.support.fake_clock import FakeClock


def letters(number: int) -> bytes:
    """Return a word that differs for each number."""
    return bytes(ord("g") + int(digit) for digit in str(number))


def test_frames_of_one_shape_are_one_group_with_its_times_and_different_examples() -> None:
    clock = FakeClock()
    collector = Collector(clock)
    for value in (b"1", b"2", b"1", b"3", b"4", b"5"):
        collector.frame("dev", RULE, b"T " + value, "no rule matches")
        clock.now += 1
    ((group,), forgotten) = collector.groups()
    assert (group.interface, group.kind, group.shape, group.times) == ("dev", RULE, "T #", 6)
    assert (group.first, group.last, group.reason) == (1000.0, 1005.0, "no rule matches")
    assert [example.data for example in group.examples] == [b"T 1", b"T 2", b"T 3", b"T 4"]
    assert len(group.examples) == MOST_EXAMPLES
    assert forgotten == 0


def test_interfaces_and_causes_are_kept_apart_and_what_was_seen_last_is_first() -> None:
    clock = FakeClock()
    collector = Collector(clock)
    for interface, kind in (("a", RULE), ("b", RULE), ("a", CHECKSUM)):
        collector.frame(interface, kind, b"T 1")
        clock.now += 1
    collector.noise("a", b"\x00\x01", "100 bytes")
    clock.now += 1
    collector.frame("b", RULE, b"T 2")
    groups, _ = collector.groups()
    assert [(each.interface, each.kind) for each in groups] == [
        ("b", RULE), ("a", FRAMING), ("a", CHECKSUM), ("a", RULE),
    ]  # fmt: skip
    assert len({each.number for each in groups}) == 4


def test_damaged_frames_are_one_group_however_they_look() -> None:
    collector = Collector()
    for number in range(100):
        collector.frame("dev", CHECKSUM, letters(number), "wrong")
    ((group,), _) = collector.groups()
    assert (group.times, len(group.examples)) == (100, MOST_EXAMPLES)


def test_a_mad_device_does_not_push_out_what_others_have_sent() -> None:
    collector = Collector()
    collector.frame("quiet", RULE, b"DOOR OPEN")
    for number in range(1000):
        collector.frame("mad", RULE, letters(number))
    groups, forgotten = collector.groups()
    assert len(groups) == MOST_GROUPS
    assert forgotten == 1001 - MOST_GROUPS
    assert [each.shape for each in groups if each.interface == "quiet"] == ["DOOR OPEN"]
    assert {each.shape for each in groups} >= {letters(number).decode() for number in range(999, 900, -1)}


def test_what_is_seen_again_stays() -> None:
    collector = Collector()
    for number in range(500):
        collector.frame("dev", RULE, b"DOOR OPEN")
        collector.frame("dev", RULE, letters(number))
    groups, _ = collector.groups()
    assert [each.times for each in groups if each.shape == "DOOR OPEN"] == [500]


def test_a_long_frame_is_kept_in_part() -> None:
    collector = Collector()
    collector.frame("dev", RULE, b"x" * 5000)
    (example,) = collector.groups()[0][0].examples
    assert (len(example.data), example.size, example.is_whole) == (LONGEST_EXAMPLE, 5000, False)


def test_words_are_grouped_by_field_and_direction() -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ValueError

    collector = Collector()
    missing = WordError("device: 'a' is not in the map", "device", "a")
    collector.word("dev", missing, "status a", is_incoming=False)
    collector.word("dev", missing, Unprintable(), is_incoming=False)
    collector.word("dev", missing, "home/a/C", is_incoming=True)
    collector.word("dev", WordError("action: 'x' is not text"), "status", is_incoming=False)
    groups = {(each.kind, each.field, each.shape): each for each in collector.groups()[0]}
    assert groups.keys() == {
        (WORD_OUT, "device", "a"), (WORD_IN, "device", "a"), (WORD_OUT, "", "action: 'x' is not text"),
    }  # fmt: skip
    assert groups[WORD_OUT, "device", "a"].times == 2


def test_everything_can_be_forgotten() -> None:
    collector = Collector()
    for number in range(MOST_GROUPS + 1):
        collector.frame("dev", RULE, letters(number))
    collector.clear()
    assert collector.groups() == ([], 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from((RULE, CHECKSUM)), st.binary(max_size=12))))
def test_nothing_is_lost_in_the_count(dropped: list[tuple[str, str, bytes]]) -> None:
    collector = Collector()
    for interface, kind, frame in dropped:
        collector.frame(interface, kind, frame)
    groups, forgotten = collector.groups()
    assert sum(each.times for each in groups) == len(dropped)
    assert forgotten == 0


def test_threads_may_drop_at_the_same_time() -> None:
    collector = Collector()

    def drop(interface: str) -> None:
        for number in range(2000):
            collector.frame(interface, RULE, letters(number % 300))

    threads = [threading.Thread(target=drop, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for _ in range(50):
        assert len(collector.groups()[0]) <= MOST_GROUPS
    for thread in threads:
        thread.join()
    groups, _ = collector.groups()
    assert len(groups) == MOST_GROUPS
    assert {each.interface for each in groups} == set("abcd")
