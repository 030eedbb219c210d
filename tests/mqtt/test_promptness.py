from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.promptness import Promptness


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_on_a_link_that_answers_a_question_goes_out_each_third_of_the_age_and_nothing_is_late() -> None:
    clock = Clock()
    promptness = Promptness(30.0, clock)
    promptness.begin(clock.now)
    asked = 0
    for _ in range(1000):
        clock.now += 0.25
        if promptness.is_due:
            promptness.asked()
            asked += 1
            clock.now += 0.1
            promptness.answered()
        assert not promptness.is_late
    assert asked == 25


def test_while_the_network_hangs_what_comes_is_late_and_so_is_what_comes_right_behind_the_late_answer() -> None:
    clock = Clock()
    promptness = Promptness(30.0, clock)
    promptness.begin(clock.now)
    clock.now += 10
    assert promptness.time_left == 0
    promptness.asked()
    assert promptness.time_left == math.inf, "one question at a time"
    assert not promptness.is_due
    clock.now += 60
    assert promptness.is_late, "it may have been sent before the question"
    promptness.answered()
    assert promptness.is_late, "it may have been sent right behind the question, a minute ago"
    assert promptness.time_left == 0
    promptness.asked()
    clock.now += 0.01
    promptness.answered()
    assert not promptness.is_late


def test_where_nobody_wants_to_know_nothing_is_asked_and_nothing_is_late() -> None:
    clock = Clock()
    promptness = Promptness(0.0, clock)
    promptness.begin(clock.now)
    clock.now += 1e9
    assert not promptness.is_due
    assert not promptness.is_late
    assert promptness.time_left == math.inf


def test_an_age_that_would_wake_the_process_too_often_is_told_as_far_as_it_can_be() -> None:
    promptness = Promptness(0.5, Clock())
    assert promptness.max_age == 6.0
    assert promptness.time_left == 2.0


@given(
    st.lists(
        st.tuples(st.sampled_from(["ask", "message", "pass"]), st.floats(0, 40), st.floats(0, 90)),
        max_size=60,
    )
)
def test_whatever_the_network_does_nothing_older_than_the_age_counts_as_prompt(
    steps: list[tuple[str, float, float]],
) -> None:
    """A model of a link that holds things back but keeps their order, each way on its own."""
    clock = Clock()
    promptness = Promptness(30.0, clock)
    promptness.begin(clock.now)
    stream: list[tuple[float, str, float]] = []  # when it arrives, what it is, when the broker sent it
    last_there = last_here = clock.now

    def read_until(now: float) -> None:
        nonlocal stream
        for arrives, what, sent in stream:
            if arrives <= now:
                clock.now = max(clock.now, arrives)
                if what == "answer":
                    promptness.answered()
                else:
                    assert promptness.is_late or clock.now - sent <= promptness.max_age
        stream = [item for item in stream if item[0] > now]

    for what, seconds, delay in steps:
        end = clock.now + seconds
        read_until(end)
        clock.now = end
        if what == "ask":
            promptness.asked()
            last_there = max(last_there, clock.now + delay / 2)  # when the broker has the question
            last_here = max(last_here, last_there + delay / 2)
            stream.append((last_here, "answer", last_there))
        elif what == "message":
            # The broker answers in order: a message that it sends before a question is in front of that answer.
            last_there = max(last_there, clock.now)
            last_here = max(last_here, clock.now + delay)
            stream.append((last_here, "message", clock.now))
    read_until(math.inf)
