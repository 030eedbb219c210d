from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.topic import filter_matches
from gateway.mqtt.subscriptions import Subscriptions, overlap

levels = st.sampled_from(["a", "b", "+"])
filters = st.builds(
    lambda words, end: "/".join([*words, *end]), st.lists(levels, min_size=1, max_size=3), st.sampled_from([[], ["#"]])
)
topics = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a/b", "a/c", False),
        ("a/+", "+/b", True),
        ("a/#", "a", True),
        ("a/#", "b/#", False),
        ("a/b/#", "a/+", True),
        ("a/b/c", "a/b", False),
        ("+/+", "a/b/#", True),
        ("#", "x/y/z", True),
        ("$share/g/a/b", "a/+", True),
    ],
)
def test_filters_overlap_if_a_topic_can_match_both(first: str, second: str, expected: bool) -> None:
    assert overlap([first, second], [first]) is expected
    assert overlap([second, first], [second]) is expected
    assert overlap([second, first], []) is False, "neither is new"


@given(filters, filters, topics)
def test_two_filters_that_match_one_topic_overlap(first: str, second: str, topic: str) -> None:
    if filter_matches(first, topic) and filter_matches(second, topic):
        assert overlap([first, second], [first])


def test_without_overlap_no_filter_has_a_number_and_every_message_counts() -> None:
    subscriptions = Subscriptions()
    assert list(subscriptions.add(["a/+", "b/+"])) == [("a/+", 0), ("b/+", 0)]
    assert subscriptions.counts("a/x", ())
    assert not subscriptions.counts("a/x", (7,)), "of a filter that was given up: there is another copy"
    assert subscriptions.counts("a/x", (7,), may_have_waited=True), "of an earlier session"


def test_of_a_message_that_several_filters_match_one_copy_counts() -> None:
    subscriptions = Subscriptions()
    first, second, third = (number for _, number in subscriptions.add(["a/+", "+/b", "c"]))
    assert sorted(subscriptions.counts("a/b", (number,)) for number in (first, second)) == [False, True]
    assert subscriptions.counts("a/b", (first, second)), "a broker that sends one copy for both"
    assert subscriptions.counts("x/b", (second,))
    assert subscriptions.counts("c", (third,))


def test_a_copy_of_a_shared_subscription_always_counts() -> None:
    subscriptions = Subscriptions()
    for _, number in list(subscriptions.add(["a/+", "$share/g/a/b"])):
        assert subscriptions.counts("a/b", (number,))


def test_equal_filters_have_equal_numbers_after_a_new_connection() -> None:
    subscriptions = Subscriptions()
    numbers = dict(subscriptions.add(["a/+", "+/b"]))
    subscriptions.reset(is_resumed=False)
    assert dict(subscriptions.add(["+/b", "a/+"])) == numbers


def test_in_a_resumed_session_only_filters_of_ours_count() -> None:
    subscriptions = Subscriptions()
    subscriptions.reset(is_resumed=True)
    ((_, number),) = subscriptions.add(["a/+"])
    assert 1 <= number <= 268_435_455
    assert subscriptions.counts("a/b", (number,))
    assert not subscriptions.counts("a/b", ()), "of an earlier run"
    assert not subscriptions.counts("a/b", (number % 268_435_455 + 1,)), "of an earlier run"
    assert subscriptions.counts("a/b", (), may_have_waited=True), "it was sent when ours had no number"


@given(st.lists(filters, min_size=1, max_size=4, unique=True), st.lists(filters, max_size=4, unique=True), topics)
def test_at_each_moment_of_a_change_exactly_one_copy_counts(old: list[str], new: list[str], topic: str) -> None:
    """The broker sends one copy for each matching filter; old filters are removed once new ones are active."""
    subscriptions = Subscriptions()
    numbers = dict(subscriptions.add(old))

    def copies(has: list[str]) -> list[int]:
        return [numbers[topic_filter] for topic_filter in has if filter_matches(topic_filter, topic)]

    def counted(has: list[str]) -> int:
        return sum(subscriptions.counts(topic, (number,) if number else ()) for number in copies(has))

    assert counted(old) == min(1, len(copies(old)))
    added = [topic_filter for topic_filter in new if topic_filter not in old]
    numbers |= dict(subscriptions.add(added))
    both = [*old, *added]
    assert counted(both) == min(1, len(copies(both)))
    subscriptions.remove([topic_filter for topic_filter in old if topic_filter not in new])
    assert counted(new) == min(1, len(copies(new)))
