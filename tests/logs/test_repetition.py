"""Lines that are repeated are written a few times, and then counted."""

from __future__ import annotations

import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.package_logger import TRAFFIC
from gateway.logs.repetition import Repetition
from tests.support.fake_clock import FakeClock

DAY = 86_400


class Log(logging.Handler):
    """A log whose lines are collected, with its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(0.0)
        self.lines: list[str] = []
        self.repetition = Repetition(self, self.clock)
        self.addFilter(self.repetition)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def log(self, text: str, level: int = logging.INFO, name: str = "mqttgateway.mqtt") -> None:
        self.handle(logging.LogRecord(name, level, __file__, 1, text, (), None))
        self.repetition.report()


def times_in(line: str) -> int:
    many = re.search(r" \((?:(\d+) times|(\d+) more times|once more) in the last \d+ (s|min|h)\)$", line)
    return 1 if many is None else int(many[1] or many[2] or 1)


def test_what_is_repeated_a_few_times_is_written_each_time() -> None:
    log = Log()
    for _ in range(4):
        log.log("reloaded gw.conf: log")
    assert log.lines == ["reloaded gw.conf: log"] * 4


def test_more_repetitions_are_counted_and_the_count_is_logged_at_the_end() -> None:
    log, before = Log(), Repetition.suppressed_in_total
    for _ in range(20):
        log.clock.now += 1
        log.log("the pump is stuck", name="pump")
    log.clock.now += 43
    log.repetition.report()
    assert log.lines == ["the pump is stuck"] * 4
    log.clock.now += 1
    log.repetition.report()
    assert log.lines[4:] == ["the pump is stuck (16 more times in the last 60 s)"]
    assert Repetition.suppressed_in_total - before == 16


def test_at_a_stop_everything_is_logged() -> None:
    log = Log()
    for _ in range(7):
        log.log("the pump is stuck", name="pump")
    log.repetition.report(is_last=True)
    assert log.lines[4:] == ["the pump is stuck (3 more times in the last 0 s)"]


def test_lines_of_the_gateway_and_warnings_may_differ_in_numbers() -> None:
    log = Log()
    for number in range(100):
        log.log(f"lost the broker: it closed the connection (retrying in {number / 7:.1f} s)")
        log.log(f"no answer after {number} ms", logging.WARNING, "pump")
        log.log(f"read {number}", logging.INFO, "pump")
    assert len([line for line in log.lines if "read" in line]) == 100, "the values that its author wants to see"
    assert len(log.lines) == 108


def test_names_that_contain_numbers_are_not_the_same() -> None:
    log = Log()
    for number in range(40):
        for _ in range(4):
            log.log(f"hall{number}: /dev/ttyUSB{number} is open")
            log.log(f"device '{number}' is offline: nothing heard for 30 s", logging.WARNING)
            log.log(f"{number}: cannot open socket://10.0.0.{number}:23")
    assert len(log.lines) == 480


def test_debugging_and_the_messages_themselves_are_all_written() -> None:
    log = Log()
    for _ in range(100):
        log.log("reading", logging.DEBUG)
        log.log("boiler -> home/boiler 21.5", name=TRAFFIC)
    assert len(log.lines) == 200


def test_the_same_text_of_another_logger_or_interface_is_another_line() -> None:
    log = Log()
    for _ in range(4):
        for name in ("a", "b"):
            for interface in ("hall", "attic"):
                record = logging.LogRecord(name, logging.INFO, __file__, 1, "stuck", (), None)
                record.interface = interface
                log.handle(record)
    assert len(log.lines) == 16


def test_a_traceback_stays_with_the_line_that_has_a_count() -> None:
    log = Log()
    for _ in range(10):
        log.log("stuck", logging.ERROR)
    log.clock.now += 60
    err = ValueError("why")
    log.handle(logging.LogRecord("mqttgateway.mqtt", logging.ERROR, __file__, 1, "stuck", (), (ValueError, err, None)))
    assert log.lines[4:] == ["stuck (7 times in the last 60 s)"]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 5000)), max_size=60))
def test_each_line_is_written_or_counted_once(steps: list[tuple[str, float]]) -> None:
    log = Log()
    for text, pause in steps:
        log.clock.now += pause
        log.log(text, name="pump")
    log.repetition.report(is_last=True)
    for text in "ab":
        assert sum(times_in(line) for line in log.lines if line.startswith(text)) == [t for t, _ in steps].count(text)


@pytest.mark.parametrize("pause", [1, 5, 60, 600])
def test_a_line_that_is_repeated_for_a_day_makes_few(pause: float) -> None:
    log, times = Log(), 0
    while log.clock.now < DAY:
        log.log("the pump is stuck", logging.ERROR, "pump")
        log.clock.now += pause
        times += 1
    log.repetition.report(is_last=True)
    assert sum(map(times_in, log.lines)) == times
    assert len(log.lines) < 20
