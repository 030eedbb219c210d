from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.message import Publication, ReplyTo
from gateway.routing.outcomes import Outcomes

OK = Publication("home/lamp/S", b"ok", qos=1, retain=False)


def asked(command: int, topic: str = "me/reply") -> ReplyTo:
    return ReplyTo(topic, b"17", command)


def test_a_duplicate_gets_the_answer_of_the_first_one() -> None:
    outcomes = Outcomes()
    assert outcomes.record(asked(1), OK) == []
    for topic in "me/reply", "you/reply":
        assert outcomes.repeat(asked(1, topic)) == OK.answering(asked(1, topic))
    assert outcomes.repeat(asked(2)) is None


def test_a_duplicate_before_the_answer_is_answered_with_it_once() -> None:
    outcomes = Outcomes()
    for topic in "me/reply", "you/reply", "you/reply":
        assert outcomes.repeat(asked(1, topic)) is None
    (other,) = outcomes.record(asked(1), OK)
    assert (other.topic, other.payload, other.correlation) == ("you/reply", b"ok", b"17")
    assert outcomes.record(asked(1), OK) == []


def test_a_command_without_number_is_not_remembered() -> None:
    outcomes = Outcomes(max_commands=1)
    outcomes.record(asked(1), OK)
    assert outcomes.record(asked(0), OK) == ()
    assert outcomes.repeat(asked(1)) is not None


def test_the_oldest_is_forgotten_first() -> None:
    outcomes = Outcomes(max_commands=2)
    for command in 1, 2, 3:
        outcomes.record(asked(command), OK)
    assert [outcomes.repeat(asked(command)) is not None for command in (3, 2, 1)] == [True, True, False]


def test_large_answers_leave_room_for_few() -> None:
    outcomes = Outcomes(max_bytes=10_000)
    for command in range(1, 6):
        outcomes.record(asked(command), OK._replace(payload=b"x" * 4000))
    assert [outcomes.repeat(asked(command)) is not None for command in (5, 4, 3)] == [True, True, False]


def test_a_stranger_cannot_fill_the_memory_with_topics_that_wait() -> None:
    outcomes = Outcomes()
    for number in range(10_000):
        assert outcomes.repeat(asked(1, f"reply/{number}")) is None
    assert len(outcomes.record(asked(1), OK)) <= 8


_steps = st.lists(
    st.tuples(st.booleans(), st.integers(1, 8), st.sampled_from(["a/reply", "b/reply"]), st.integers(0, 900)),
    max_size=60,
)


@given(_steps)
def test_whatever_comes_an_answer_is_the_last_of_its_command_or_forgotten(
    steps: list[tuple[bool, int, str, int]],
) -> None:
    outcomes = Outcomes(max_commands=4, max_bytes=3000)
    last: dict[int, bytes] = {}
    for is_answer, command, topic, size in steps:
        if is_answer:
            last[command] = b"x" * size
            outcomes.record(asked(command, topic), OK._replace(payload=last[command]))
        else:
            again = outcomes.repeat(asked(command, topic))
            assert again is None or (again.topic, again.payload) == (topic, last[command])
