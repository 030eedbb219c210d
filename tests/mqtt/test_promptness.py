from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.promptness import Promptness
from tests.support.fake_clock import FakeClock


def test_on_a_link_that_answers_three_questions_are_sent_in_each_max_age_and_nothing_is_late() -> None:
    clock = FakeClock()
    promptness = Promptness(30.0, clock)
    promptness.begin(clock.now)
    asked = 0
    for _ in range(1000):
        clock.now += 0.25
        if promptness.time_left == 0:
            promptness.asked(asked)
            asked += 1
            clock.now += 0.1
            promptness.answered(asked - 1)
        assert not promptness.late
    assert asked == 25


def test_while_the_network_hangs_messages_are_late_and_so_are_those_right_after_the_late_answer() -> None:
    clock = FakeClock()
    promptness = Promptness(30.0, clock)
    promptness.begin(clock.now)
    clock.now += 10
    assert promptness.time_left == 0
    promptness.asked("a")
    assert promptness.time_left == 10.0
    clock.now += 60
    assert promptness.late == 70.0, "it may have been sent before the question"
    promptness.answered("a")
    assert promptness.late == 60.0, "it may have been sent right after the question, a minute ago"
    promptness.asked("b")
    clock.now += 0.01
    promptness.answered("b")
    assert not promptness.late


def test_a_question_that_the_broker_has_dropped_does_not_block_the_next_one() -> None:
    clock = FakeClock()
    promptness = Promptness(30.0, clock)
    promptness.begin(clock.now)
    for question in ("dropped", "b"):
        clock.now += 10
        assert promptness.time_left == 0
        promptness.asked(question)
    promptness.answered("b")
    proven = promptness.proven
    promptness.answered("dropped")
    promptness.answered("never asked")
    assert proven == promptness.proven == clock.now


def test_an_answer_that_names_no_question_answers_the_oldest_one() -> None:
    clock = FakeClock()
    promptness = Promptness(30.0, clock)
    for number in range(3):
        clock.now += 1
        promptness.asked(number)
    promptness.answered()
    assert promptness.proven == clock.now - 2
    promptness.answered()
    promptness.answered()
    promptness.answered()
    assert promptness.proven == clock.now


def test_without_a_maximum_age_nothing_is_late() -> None:
    clock = FakeClock()
    promptness = Promptness(0.0, clock)
    promptness.begin(clock.now)
    assert promptness.time_left == 30.0, "it still shows what the broker remembers"
    clock.now += 1e9
    assert not promptness.late
    assert promptness.max_age == math.inf


def test_a_maximum_age_that_would_wake_the_process_too_often_is_raised() -> None:
    promptness = Promptness(0.5, FakeClock())
    assert promptness.max_age == 6.0
    assert promptness.time_left == 2.0


def test_questions_that_are_never_answered_do_not_accumulate() -> None:
    promptness = Promptness(30.0, FakeClock())
    for number in range(100_000):
        promptness.asked(number)
    promptness.answered(99_999)
    promptness.answered(0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["ask", "message", "pass"]), st.floats(0, 40), st.floats(0, 90)),
        max_size=60,
    )
)
def test_whatever_the_network_does_nothing_older_than_the_maximum_age_counts_as_prompt(
    steps: list[tuple[str, float, float]],
) -> None:
    """A model of a link that delays messages but keeps their order, in each direction independently."""
    clock = FakeClock()
    promptness = Promptness(30.0, clock)
    promptness.begin(clock.now)
    stream: list[tuple[float, str, float]] = []  # time of arrival, kind, time at which the broker sent it
    last_there = last_here = clock.now

    def read_until(now: float) -> None:
        nonlocal stream
        for arrives, kind, sent in stream:
            if arrives <= now:
                clock.now = max(clock.now, arrives)
                if kind == "answer":
                    promptness.answered()
                else:
                    assert promptness.late or clock.now - sent <= promptness.max_age
        stream = [item for item in stream if item[0] > now]

    for kind, seconds, delay in steps:
        end = clock.now + seconds
        read_until(end)
        clock.now = end
        if kind == "ask":
            promptness.asked(object())
            last_there = max(last_there, clock.now + delay / 2)  # when the broker has the question
            last_here = max(last_here, last_there + delay / 2)
            stream.append((last_here, "answer", last_there))
        elif kind == "message":
            # The broker answers in order: a message that it sends before a question arrives before that answer.
            last_there = max(last_there, clock.now)
            last_here = max(last_here, clock.now + delay)
            stream.append((last_here, "message", clock.now))
    read_until(math.inf)


def test_the_round_trip_is_that_of_the_last_answer_but_not_of_the_first_of_a_link() -> None:
    clock = FakeClock()
    promptness = Promptness(30.0, clock)
    promptness.begin(clock.now)
    for number, seconds in enumerate((5.0, 0.5, 0.25)):
        promptness.asked(number)
        clock.now += seconds
        promptness.answered(number)
        assert promptness.round_trip == (None if number == 0 else seconds)
    promptness.begin(clock.now)
    assert promptness.round_trip is None
