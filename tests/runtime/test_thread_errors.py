from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from gateway.runtime.thread_errors import log_thread_errors
from tests.conftest import ExpectedLogs


def run_thread(target: Callable[[], object]) -> None:
    thread = threading.Thread(target=target, name="helper of a device")
    thread.start()
    thread.join(10)


def test_what_ends_a_thread_is_logged_with_its_traceback(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect("thread helper of a device died: ZeroDivisionError(")
    with log_thread_errors():
        run_thread(lambda: 1 // 0)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info is not None
    assert record.name == "mqttgateway.runtime"


def test_a_thread_that_ends_itself_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    def end() -> None:
        raise SystemExit

    with log_thread_errors():
        run_thread(end)
    assert caplog.messages == []


def test_the_previous_hook_is_restored() -> None:
    previous = threading.excepthook
    with log_thread_errors():
        assert threading.excepthook is not previous
    assert threading.excepthook is previous
