"""Replies that wait: limits in a second and in number, and the speed of the line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interfaces.serial_interface.replies import MOST_PER_SECOND, Replies


def test_replies_are_written_in_order_at_once() -> None:
    replies = Replies()
    assert (bool(replies), replies.due(), replies.pop(0.0)) == (False, None, b"")
    assert replies.add("a", b"1", 5.0) and replies.add("b", b"2", 5.0)
    assert (bool(replies), replies.due()) == (True, 0.0)
    assert [replies.pop(5.0) for _ in range(3)] == [b"1", b"2", b""]


def test_bytes_per_second_hold_for_replies() -> None:
    replies = Replies(bytes_per_second=10)
    replies.written(5, 1.0)
    assert replies.add("a", b"1", 1.0)
    assert (replies.due(), replies.pop(1.4), replies.pop(1.5)) == (1.5, b"", b"1")


def test_not_more_than_ten_wait_and_a_new_connection_has_none() -> None:
    replies = Replies()
    assert sum(replies.add(f"rule {number}", b"x", 0.0) for number in range(100)) == 10
    replies.clear()
    assert (bool(replies), replies.pop(0.0)) == (False, b"")


@given(st.lists(st.floats(0, 5), max_size=200).map(sorted))
def test_no_rule_replies_more_than_ten_times_in_a_second(times: list[float]) -> None:
    replies = Replies()
    sent = []
    for now in times:
        if replies.add("a", b"x", now):
            assert replies.pop(now) == b"x"
            sent.append(now)
    for index in range(len(sent) - MOST_PER_SECOND):
        assert sent[index + MOST_PER_SECOND] - sent[index] >= 1.0
    assert sent[:MOST_PER_SECOND] == times[:MOST_PER_SECOND]
