"""What other threads leave for the main thread."""

from __future__ import annotations

from gateway.core.errands import Errands
from tests.conftest import ExpectedLogs


def test_errands_are_run_in_their_order_and_each_once() -> None:
    done: list[object] = []
    errands = Errands(lambda: done.append("woken"))
    assert errands.add(lambda: done.append(1))
    assert errands.add(lambda: done.append(2))
    errands.run()
    errands.run()
    assert done == ["woken", "woken", 1, 2]


def test_an_error_is_logged_and_the_next_one_runs(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("what another thread has asked for failed")
    done: list[int] = []
    errands = Errands(lambda: None)
    errands.add(lambda: 1 / 0)
    errands.add(lambda: done.append(2))
    errands.run()
    assert done == [2]


def test_no_more_than_a_hundred_wait() -> None:
    errands = Errands(lambda: None)
    assert [errands.add(lambda: None) for _ in range(101)] == [True] * 100 + [False]
    errands.run()
    assert errands.add(lambda: None)
