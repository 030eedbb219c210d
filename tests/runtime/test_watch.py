from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from gateway.core.throttled_exception import ThrottledException
from gateway.runtime.watch import Watch
from tests.conftest import ExpectedLogs
from tests.support.waiting import wait_until


class Nuisance(ThrottledException):
    """An error that occurs often."""

    period = 0.0001


@pytest.fixture
def checks() -> list[str]:
    return []


@pytest.fixture
def watch(checks: list[str]) -> Iterator[Watch]:
    watch = Watch(lambda: [lambda: checks.append(threading.current_thread().name)], interval=0.05)
    yield watch
    watch.close()


def check_until(watch: Watch, condition: Callable[[], object]) -> None:
    def is_so() -> object:
        watch.check()
        return condition()

    wait_until(is_so)


def test_checks_are_made_every_few_seconds_and_not_at_each_call(watch: Watch, checks: list[str]) -> None:
    watch.check()
    watch.check()
    assert checks == []
    check_until(watch, lambda: checks)
    watch.check()
    assert len(checks) == 1


def test_a_thread_makes_the_checks_where_the_main_thread_may_hang(watch: Watch, checks: list[str]) -> None:
    watch.start_thread()
    watch.start_thread()
    wait_until(lambda: len(checks) >= 2)
    assert set(checks) == {"watch"}
    assert [thread.name for thread in threading.enumerate()].count("watch") == 1


def test_suppressed_errors_are_logged_at_a_check_and_at_the_end(
    watch: Watch, checks: list[str], expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("nuisance (")
    for _ in range(3):
        Nuisance("nuisance", period=0.01)
    check_until(watch, lambda: caplog.messages)
    assert caplog.messages[0].startswith("nuisance (2 more times in the last ")
    for _ in range(4):
        Nuisance("another nuisance", key="other", period=60)
    watch.close()
    assert caplog.messages[1] == "another nuisance (3 more times in the last 0 s)"
