from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.backoff import Backoff


def longest(low: float, high: float) -> float:
    """Stands for chance: the end of the range."""
    assert low == 0.0
    return high


def test_the_bound_doubles_from_the_first_to_the_limit() -> None:
    backoff = Backoff(1.0, 60.0, longest)
    assert [backoff.next_delay() for _ in range(8)] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert backoff.tries == 8


def test_after_a_reset_it_begins_again() -> None:
    backoff = Backoff(0.5, 30.0, longest)
    assert [backoff.next_delay(), backoff.next_delay()] == [0.5, 1.0]
    backoff.reset()
    assert (backoff.tries, backoff.next_delay()) == (0, 0.5)


def test_it_never_overflows() -> None:
    backoff = Backoff(1.0, 60.0, longest)
    assert {backoff.next_delay() for _ in range(5000)} == {1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0}


@given(st.floats(0.001, 100), st.floats(0.001, 10_000), st.integers(1, 100), st.integers())
def test_every_delay_is_drawn_from_zero_to_its_bound(first: float, limit: float, tries: int, seed: int) -> None:
    delays = Backoff(first, limit, random.Random(seed).uniform)
    bounds = Backoff(first, limit, longest)
    for number in range(tries):
        bound = bounds.next_delay()
        assert bound == min(limit, first * 2.0**number)
        assert 0.0 <= delays.next_delay() <= bound


def test_two_gateways_that_lost_the_same_broker_do_not_come_back_in_step() -> None:
    one, other = Backoff(1.0, 60.0), Backoff(1.0, 60.0)
    assert [one.next_delay() for _ in range(10)] != [other.next_delay() for _ in range(10)]
