"""The last warning or error of the log is remembered: masked, in one line, with how often it came in a row."""

from __future__ import annotations

import logging
import time

import pytest

from gateway.logs.init_logger import LogOptions, init_logger
from gateway.logs.last_error import last_error
from tests.conftest import ExpectedLogs

LOG = logging.getLogger("test")

pytestmark = pytest.mark.usefixtures("root_logger")


def test_the_last_one_is_remembered_and_counted(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("lost", "broken", "bad call")
    init_logger(LogOptions(), ("hidden",), {})
    assert last_error() is None
    LOG.info("fine")
    assert last_error() is None
    for number in range(3):
        LOG.warning("lost 127.0.0.1:%d with hidden", number)
    error = last_error()
    assert error is not None
    assert error[1:] == ("warning", "lost 127.0.0.1:2 with ***", 3)
    assert abs(error.time - time.time()) < 60
    try:
        raise ValueError("broken")
    except ValueError:
        LOG.exception("it is\nbroken")
    error = last_error()
    assert error is not None and error[1:] == ("error", "it is\\nbroken", 1), "without the traceback"
    LOG.warning("bad call %s")
    assert last_error() != error


def test_it_is_remembered_whatever_level_is_written(
    capsys: pytest.CaptureFixture[str], expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("quiet")
    init_logger(LogOptions(level="critical"), (), {})
    LOG.warning("quiet")
    error = last_error()
    assert error is not None and error.text == "quiet"
    assert capsys.readouterr().err == ""
