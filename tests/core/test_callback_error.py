"""Exceptions of functions that must not end an interface: logged with their place, once for each kind."""

from __future__ import annotations

import json

import pytest

from gateway.core.activity import where_raised
from gateway.core.callback_error import log_callback_error
from tests.conftest import ExpectedLogs


def parse(text: str) -> object:
    try:
        return json.loads(text)  # raises in the standard library
    finally:
        text = ""


def error_of(text: str) -> Exception:
    with pytest.raises(ValueError) as raised:
        parse(text)
    return raised.value


def test_the_place_is_the_innermost_line_of_the_authors_own_code() -> None:
    line = parse.__code__.co_firstlineno + 2
    assert where_raised(error_of("{")) == f"{__file__}:{line} (parse)"
    assert where_raised(ValueError("never raised")) == "an unknown position"


def test_each_kind_of_error_is_logged_once(expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture) -> None:
    expected_logs.expect("dev: poll() failed at ", "JSONDecodeError: ", "KeyError: ")
    for _ in range(3):
        log_callback_error("dev", "poll()", error_of("{"))
        log_callback_error("dev", "poll()", KeyError("celsius"))
    assert len(caplog.records) == 2
    assert all(record.exc_info for record in caplog.records)


def test_an_error_without_a_text_is_logged_all_the_same(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("dev: poll() failed at an unknown position: MuteError: (its text failed: RuntimeError)")

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    log_callback_error("dev", "poll()", MuteError())
