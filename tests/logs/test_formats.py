"""The log at a terminal, and as JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
import re
import struct
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

from gateway.logs.formats import LineFormatter
from gateway.logs.init_logger import LogOptions, init_logger
from gateway.logs.masking import Masker
from gateway.logs.terminal import TerminalFormatter
from tests.conftest import ExpectedLogs

pytestmark = pytest.mark.usefixtures("root_logger")

LOST = (
    "no connection to the broker: nothing listens at 127.0.0.1:1883: is the broker running, and mqtt.port right? "
    "(retrying in 1.8 s)"
)


def record(
    text: str, level: int = logging.INFO, name: str = "mqttgateway.mqtt", when: float = 0.0
) -> logging.LogRecord:
    made = logging.LogRecord(name, level, __file__, 1, text, (), None)
    made.created = when or time.mktime((2026, 12, 1, 9, 5, 7, 0, 0, -1))
    return made


def lines(formatter: LineFormatter, *records: logging.LogRecord) -> list[str]:
    return [line for each in records for line in formatter.format(each).splitlines()]


# --- at a terminal


def test_a_person_reads_short_names_and_the_date_once() -> None:
    formatter = TerminalFormatter(Masker(), lambda: 80, has_colours=False)
    assert lines(formatter, record("connected to broker:1883 as hall"), record("again", name="pkg.door")) == [
        "2026-12-01",
        "09:05:07 mqtt: connected to broker:1883 as hall",
        "09:05:07 pkg.door: again",
    ]
    tomorrow = record("x").created + 86_400
    assert lines(formatter, record("x", when=tomorrow))[0] == "2026-12-02"


def test_a_long_line_is_wrapped_at_words_within_the_columns() -> None:
    formatter = TerminalFormatter(Masker(), lambda: 80, has_colours=False)
    _, *shown = lines(formatter, record(LOST, logging.WARNING))
    assert shown == [
        "09:05:07 WARNING mqtt: no connection to the broker: nothing listens at",
        "         127.0.0.1:1883: is the broker running, and mqtt.port right? (retrying",
        "         in 1.8 s)",
    ]
    (path,) = (line for line in lines(formatter, record(f"see /{'x' * 90}/-a-b here")) if "xxx" in line)
    assert path == f"         /{'x' * 90}/-a-b", "a path can be copied"


def test_no_secret_escapes_by_being_wrapped() -> None:
    formatter = TerminalFormatter(Masker(["one two three four"]), lambda: 40, has_colours=False)
    assert "four" not in formatter.format(record("the password is one two three four, and so on"))


def test_only_the_beginning_of_a_line_has_a_colour_and_only_if_it_matters() -> None:
    formatter = TerminalFormatter(Masker(), lambda: 80, has_colours=True)
    _, info, warning, wrapped, _, error = lines(
        formatter, record("a"), record("b\x1b[2J", logging.WARNING), record(LOST[:80], logging.WARNING),
        record("c", logging.ERROR),
    )  # fmt: skip
    assert info == "09:05:07 mqtt: a"
    assert warning == "\x1b[33m09:05:07 WARNING \x1b[0mmqtt: b\\x1b[2J", "a device cannot colour anything"
    assert wrapped.startswith("\x1b[33m09:05:07 WARNING \x1b[0mmqtt: no")
    assert error == "\x1b[31m09:05:07 ERROR \x1b[0mmqtt: c"


@contextlib.contextmanager
def terminal() -> Iterator[int]:
    """The other end of a terminal of 60 columns, which is standard error."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    with os.fdopen(slave, "w", encoding="utf-8") as stderr, contextlib.redirect_stderr(stderr):
        yield master
    os.close(master)


@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "JOURNAL_STREAM": "8:1234"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_standard_error_that_is_a_terminal(
    environment: dict[str, str], is_coloured: bool, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("no connection")
    with terminal() as master:
        init_logger(LogOptions(), (), environment)
        logging.getLogger("mqttgateway.mqtt").warning(LOST)
        shown = os.read(master, 4096).decode().splitlines()
    assert max(map(len, shown[2:])) <= 60
    assert ("\x1b[33m" in shown[1]) is is_coloured
    assert re.sub(r"\x1b\[\d*m", "", shown[1])[9:] == "WARNING mqtt: no connection to the broker: nothing"


# --- as JSON


def test_json_is_one_object_in_a_line_in_both_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("boiler: it failed")
    file = tmp_path / "gw.log"
    init_logger(LogOptions(format="json", file=str(file)), ('geh"eim',), {}, ("boiler",))
    try:
        raise ValueError('not geh"eim')
    except ValueError:
        logging.getLogger("mqttgateway.runtime").exception('boiler: it failed: geh"eim\nnext')
    text = capsys.readouterr().err
    assert text == file.read_text()
    (line,) = text.splitlines()
    shown = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", shown.pop("time"))
    assert shown.pop("traceback").endswith("ValueError: not ***")
    assert shown == {
        "level": "error",
        "logger": "mqttgateway.runtime",
        "interface": "boiler",
        "thread": "MainThread",
        "message": "boiler: it failed: ***\\nnext",
    }


def test_json_has_a_priority_under_systemd(capsys: pytest.CaptureFixture[str]) -> None:
    init_logger(LogOptions(format="json"), (), {"JOURNAL_STREAM": "1"})
    logging.getLogger("mqttgateway.mqtt").info("connected")
    assert capsys.readouterr().err.startswith('<6>{"time": "')
