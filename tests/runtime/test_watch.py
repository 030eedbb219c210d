from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from gateway.core.throttled_exception import ThrottledException
from gateway.runtime import watch
from gateway.runtime.watch import Watch
from tests.conftest import ExpectedLogs
from tests.support.waiting import wait_until


class Nuisance(ThrottledException):
    """Comes often."""

    period = 0.0001


@pytest.fixture
def looks() -> list[str]:
    return []


@pytest.fixture
def made(looks: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setattr(watch, "STEP", 0.05)
    made = Watch(lambda: [lambda: looks.append(threading.current_thread().name)])
    yield made
    made.close()


def look_until(made: Watch, condition: Callable[[], object]) -> None:
    def is_so() -> object:
        made.look()
        return condition()

    wait_until(is_so)


def test_it_looks_every_few_seconds_and_not_at_each_call(made: Watch, looks: list[str]) -> None:
    made.look()
    made.look()
    assert looks == []
    look_until(made, lambda: looks)
    made.look()
    assert len(looks) == 1


def test_a_thread_looks_where_the_main_one_may_hang(made: Watch, looks: list[str]) -> None:
    made.start_thread()
    made.start_thread()
    wait_until(lambda: len(looks) >= 2)
    assert set(looks) == {"watch"}
    assert [thread.name for thread in threading.enumerate()].count("watch") == 1


def test_what_was_held_back_is_logged_at_a_look_and_at_the_end(
    made: Watch, looks: list[str], expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("nuisance (")
    for _ in range(3):
        Nuisance("nuisance", period=0.01)
    look_until(made, lambda: caplog.messages)
    assert caplog.messages[0].startswith("nuisance (2 more times in the last ")
    for _ in range(4):
        Nuisance("another nuisance", key="other", period=60)
    made.close()
    assert caplog.messages[1] == "another nuisance (3 more times in the last 0 s)"
