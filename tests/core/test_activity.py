from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from gateway.core.activity import Call, current, longest_call_of_main_thread, report_overdue, where
from tests.conftest import ExpectedLogs
from tests.support.waiting import wait_until


class Stuck:
    """A thread that is in a call until it is let go."""

    def __init__(self, longest: float | None) -> None:
        self.release = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(longest,))
        self.thread.start()
        wait_until(lambda: current(self.thread.ident) is not None)

    def run(self, longest: float | None) -> None:
        with Call("dev: loop()", None), Call("dev: read()", longest):
            self.stand_still()

    def stand_still(self) -> None:
        self.release.wait()

    def end(self) -> None:
        self.release.set()
        self.thread.join()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    made = Stuck(0.01)
    yield made
    made.end()


def test_a_call_that_does_not_return_is_named_once_with_its_line_and_again_when_it_has_returned(
    stuck: Stuck, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("dev: read() has not returned for 0 s: it is at ", "dev: read() returned after ")

    def texts() -> list[str]:
        report_overdue()
        return [text for text in caplog.messages if "has not returned" in text]

    wait_until(texts)
    assert len(texts()) == 1
    assert re.search(rf"{re.escape(__file__)}:\d+ \(run\) > {re.escape(__file__)}:\d+ \(stand_still\)$", texts()[0])
    stuck.end()
    report_overdue()
    assert caplog.messages[-1] == "dev: read() returned after 0 s"


def test_a_late_call_that_was_not_checked_is_reported_when_it_returns(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("the hook took 0 s: it should return within 0.01 s")
    with Call("the hook", 0.01):
        threading.Event().wait(0.02)
    report_overdue()
    assert len(caplog.messages) == 1


def test_calls_that_return_in_time_or_may_wait_are_not_named(caplog: pytest.LogCaptureFixture) -> None:
    patient = Stuck(None)
    with Call("quick"):
        report_overdue()
    patient.end()
    assert caplog.messages == []
    assert current() is None


def test_a_thread_that_has_ended_has_no_position(stuck: Stuck, expected_logs: ExpectedLogs) -> None:
    expected_logs.allow("dev: read() ")  # another check may log it meanwhile
    assert "(stand_still)" in where(stuck.thread.ident)
    stuck.end()
    assert where(stuck.thread.ident) == where(None) == "its end"


def test_many_short_calls_that_block_the_main_thread_together_are_added_up() -> None:
    assert longest_call_of_main_thread() == ""
    for _ in range(12):
        with Call("the hook 'slow'"):
            threading.Event().wait(0.1)
    with Call("the hook 'quick'"):
        threading.Event().wait(0.06)
    assert re.fullmatch(r"the hook 'slow' took [12] s", longest_call_of_main_thread())
    assert longest_call_of_main_thread(within=0.0) == ""
