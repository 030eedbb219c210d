from __future__ import annotations

import threading

import pytest

from gateway.core.deadline import DeadlineError, check_deadline, ending_when


def test_what_is_done_ends_when_the_time_is_over_and_only_then() -> None:
    is_over = False
    check_deadline()
    with ending_when(lambda: is_over):
        check_deadline()
        is_over = True
        with pytest.raises(DeadlineError):
            check_deadline()
    check_deadline()


def test_what_is_inside_ends_with_what_is_around_it() -> None:
    with ending_when(lambda: True), ending_when(lambda: False), pytest.raises(DeadlineError):
        check_deadline()


def test_other_threads_go_on() -> None:
    ended: list[str] = []
    with ending_when(lambda: True):

        def go_on() -> None:
            check_deadline()
            ended.append("here")

        thread = threading.Thread(target=go_on)
        thread.start()
        thread.join()
    assert ended == ["here"]


def test_nothing_takes_it_for_a_failure() -> None:
    with pytest.raises(DeadlineError), ending_when(lambda: True):
        try:
            check_deadline()
        except Exception:  # noqa: BLE001
            pytest.fail("a check of a configuration would report it as a failure of its class")
