from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gateway.runtime.hang_limit import PAUSE, HangLimit
from gateway.runtime.supervisor import Hang
from tests.conftest import ExpectedLogs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gw.hang"


def hang(seconds: float, where: str = "x.py:1") -> Hang:
    return Hang("loop()", time.monotonic() - seconds, where)


def words(seconds: int, where: str = "x.py:1") -> str:
    return f"the interface has not returned from loop() for {seconds} s: it is at {where}"


def test_only_a_hang_over_the_limit_restarts_the_process(file: Path) -> None:
    limit = HangLimit(file)
    assert limit.reason_to_restart({}, 600) == ""
    assert limit.reason_to_restart({"boiler": hang(599)}, 600) == ""
    assert limit.reason_to_restart({"boiler": hang(1e6)}, 0) == "", "0: never"
    assert not file.exists()
    assert limit.reason_to_restart({"boiler": hang(601)}, 600) == f"boiler: {words(601)}"
    assert file.read_text() == f"boiler: {words(601)}\n"


def test_the_longest_hang_is_named_and_the_others_are_counted(file: Path) -> None:
    hangs = {"a": hang(700, "A"), "b": hang(900, "B"), "c": hang(5), "d": hang(800)}
    assert HangLimit(file).reason_to_restart(hangs, 600) == f"b: {words(900, 'B')}, and 2 other interfaces too"


def test_the_process_is_restarted_at_most_once_an_hour_also_by_the_next_process(file: Path) -> None:
    assert HangLimit(file).reason_to_restart({"boiler": hang(601)}, 600)
    limit = HangLimit(file)
    for age, is_restarted in ((PAUSE - 10, False), (PAUSE + 10, True)):
        os.utime(file, (time.time() - age, time.time() - age))
        assert bool(limit.reason_to_restart({"boiler": hang(601)}, 600)) is is_restarted
    os.utime(file, (time.time() + 1e6, time.time() + 1e6))
    assert limit.reason_to_restart({"boiler": hang(601)}, 600), "the clock was put back"


def test_where_nothing_can_be_remembered_the_process_is_not_restarted(
    tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect(f"boiler: {words(601)}; the gateway is not restarted for it: ")
    limit = HangLimit(tmp_path / "gone" / "gw.hang")
    for _ in range(3):
        assert limit.reason_to_restart({"boiler": hang(601)}, 600) == ""
