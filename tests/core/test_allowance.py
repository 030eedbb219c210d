from __future__ import annotations

from gateway.core.allowance import Allowance
from tests.support.fake_clock import FakeClock


def test_so_many_are_allowed_at_once_and_so_many_a_second() -> None:
    clock = FakeClock()
    allowance = Allowance(10, clock=clock)
    assert [allowance.take() for _ in range(12)] == [True] * 10 + [False] * 2
    clock.now += 0.25
    assert [allowance.take() for _ in range(4)] == [True, True, False, False]
    clock.now += 3600
    assert sum(allowance.take() for _ in range(1000)) == 10


def test_a_flood_gets_no_more_than_its_share() -> None:
    clock = FakeClock()
    allowance = Allowance(5, 10.0, clock)
    taken = 0
    for _ in range(100_000):
        clock.now += 0.001
        taken += allowance.take()
    assert 54 <= taken <= 56
