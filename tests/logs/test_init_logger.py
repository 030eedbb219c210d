from __future__ import annotations

import logging
import os
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configuration.load_config import load_configuration
from gateway.core.own_files import NotOwnError
from gateway.core.package_logger import TRAFFIC
from gateway.core.throttled_exception import ThrottledException
from gateway.logs.init_logger import (
    MAX_LINES,
    LogOptions,
    RateLimit,
    init_logger,
    log_stats,
    report_suppressed,
)
from gateway.logs.levels import LEVELS
from tests.conftest import ExpectedLogs
from tests.support.configuration import write_conf
from tests.support.fake_clock import FakeClock

LOG = logging.getLogger("test")

MINIMAL = "{root: home, topics: [], interface: {type: dummy}"


pytestmark = pytest.mark.usefixtures("root_logger")


def start(options: LogOptions = LogOptions(), secrets: tuple[str, ...] = (), **environment: str) -> None:  # noqa: B008
    init_logger(options, secrets, environment)


def stream_of(descriptor: int) -> str:
    """Return what systemd writes into JOURNAL_STREAM if it connects `descriptor` to the journal."""
    status = os.fstat(descriptor)
    return f"{status.st_dev}:{status.st_ino}"


# --- where it goes


def test_lines_go_to_standard_error_with_time_level_and_name(capsys: pytest.CaptureFixture[str]) -> None:
    start()
    LOG.info("connected to %s", "broker")
    out, err = capsys.readouterr()
    assert out == ""
    date, time, *remaining = err.split(" ", 2)
    assert (len(date), len(time), remaining) == (10, len("12:00:00.000"), ["INFO    test: connected to broker\n"])


def test_under_systemd_a_line_has_a_priority_and_no_time(
    capsys: pytest.CaptureFixture[str], expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("w", "e", "c")
    start(LogOptions(level="debug"), JOURNAL_STREAM="8:1234")
    for level, text in ((10, "d"), (20, "i"), (30, "w"), (40, "e"), (50, "c")):
        LOG.log(level, text)
    assert capsys.readouterr().err == "<7>test: d\n<6>test: i\n<4>test: w\n<3>test: e\n<2>test: c\n"


def test_under_systemd_every_line_of_a_traceback_has_the_priority(
    capsys: pytest.CaptureFixture[str], expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("failed")
    start(JOURNAL_STREAM="8:1234")
    try:
        raise ValueError("bad")
    except ValueError:
        LOG.exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["<3>test: failed", "<3>Traceback (most recent call last):"]
    assert lines[-1] == "<3>ValueError: bad"
    assert all(line.startswith("<3>") for line in lines)


def test_a_stream_that_is_not_the_journal_has_no_priorities(capfd: pytest.CaptureFixture[str]) -> None:
    """As of a program that a service of the desktop has started in a terminal, or whose output goes to a file."""
    start(JOURNAL_STREAM=stream_of(2))
    LOG.info("to the journal")
    start(JOURNAL_STREAM="8:1234")
    LOG.info("to a file")
    journal, file = capfd.readouterr().err.splitlines()
    assert journal == "<6>test: to the journal"
    assert file.endswith(" INFO    test: to a file")


@pytest.mark.parametrize("level", LEVELS)
def test_the_level_is_the_least_important_kind_that_is_written(
    level: str, capsys: pytest.CaptureFixture[str], expected_logs: ExpectedLogs
) -> None:
    expected = LEVELS[LEVELS.index(level) :]
    expected_logs.expect(*(f"at {name}" for name in expected if name in ("warning", "error", "critical")))
    expected_logs.allow("at warning", "at error")  # for `last_error`, which they reach at any level
    start(LogOptions(level=level), JOURNAL_STREAM="8:1234")
    for name in LEVELS:
        LOG.log(logging.getLevelNamesMapping()[name.upper()], "at %s", name)
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == list(expected)


def test_the_file_may_have_a_level_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], expected_logs: ExpectedLogs
) -> None:
    file = tmp_path / "gw.log"
    expected_logs.expect("at warning")
    for level, file_level in (("warning", "info"), ("info", "warning"), ("info", None)):
        start(LogOptions(level=level, file=str(file), file_level=file_level), JOURNAL_STREAM="1")
        LOG.info("at info")
        LOG.warning("at warning")
        texts = [[line.rpartition(" ")[2] for line in text.splitlines()]
                for text in (capsys.readouterr().err, file.read_text())]  # fmt: skip
        both, one = ["info", "warning"], ["warning"]
        assert texts == [one if level == "warning" else both, one if file_level == "warning" else both]
        file.write_text("")


def test_traffic_is_logged_only_if_configured(capsys: pytest.CaptureFixture[str]) -> None:
    start(LogOptions(level="debug"), JOURNAL_STREAM="1")
    logging.getLogger(TRAFFIC).info("one")
    start(LogOptions(traffic=True), JOURNAL_STREAM="1")
    logging.getLogger(TRAFFIC).info("two")
    assert capsys.readouterr().err == f"<6>{TRAFFIC}: two\n"


def test_a_file_gets_the_same_lines_with_the_name_of_the_thread(tmp_path: Path) -> None:
    file = tmp_path / "gw.log"
    start(LogOptions(file=str(file)))
    LOG.info("hello")
    assert file.read_text().endswith(" INFO    MainThread test: hello\n")


def test_a_full_file_is_rotated_and_a_limited_number_is_kept(tmp_path: Path) -> None:
    start(LogOptions(file=str(tmp_path / "gw.log"), file_bytes=1000, files=2))
    for number in range(60):
        LOG.info("line %d", number)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["gw.log", "gw.log.1", "gw.log.2"]
    assert all((tmp_path / name).stat().st_size <= 1000 for name in files)
    assert "line 59" in (tmp_path / "gw.log").read_text()


def test_a_file_that_cannot_be_opened_is_an_error_and_changes_nothing(
    tmp_path: Path, root_logger: logging.Logger
) -> None:
    handlers = list(root_logger.handlers)
    with pytest.raises(FileNotFoundError):
        start(LogOptions(file=str(tmp_path / "missing" / "gw.log")))
    assert root_logger.handlers == handlers


def test_a_file_below_the_home_of_nobody_is_a_plain_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root_logger: logging.Logger
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        start(LogOptions(file="~no-such-user/gw.log"))


def test_a_full_disk_is_reported_once_and_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    start(LogOptions(file="/dev/full", file_bytes=10**9), JOURNAL_STREAM="1")
    for number in range(3):
        LOG.info("line %d", number)
    reason = "the log file /dev/full cannot be written: [Errno 28] No space left on device"
    lines = capsys.readouterr().err.splitlines()
    assert sorted(lines) == sorted([reason, "<6>test: line 0", "<6>test: line 1", "<6>test: line 2"])


def test_a_second_call_replaces_the_first_and_no_other_handler(
    tmp_path: Path, root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    others = list(root_logger.handlers)
    start(LogOptions(file=str(tmp_path / "one.log")))
    start(LogOptions(file=str(tmp_path / "two.log")), JOURNAL_STREAM="1")
    LOG.info("hello")
    assert capsys.readouterr().err == "<6>test: hello\n"
    assert (tmp_path / "one.log").read_text() == ""
    assert len(root_logger.handlers) == len(others) + 3


def test_what_an_earlier_set_up_has_only_counted_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    start(JOURNAL_STREAM="1")
    for _ in range(10):
        LOG.info("again")
    capsys.readouterr()
    start(JOURNAL_STREAM="1")
    assert capsys.readouterr().err == "<6>test: again (6 more times in the last 0 s)\n"


# --- what a line may contain


def test_a_record_is_one_line_whatever_it_contains(capsys: pytest.CaptureFixture[str]) -> None:
    start(JOURNAL_STREAM="1")
    LOG.info("got %s", "a\n<0>test: forged\r\x1b[2J\x00\x85\u2028\u202e\udc80 é 日本")
    assert capsys.readouterr().err == (
        "<6>test: got a\\n<0>test: forged\\r\\x1b[2J\\x00\\x85\\u2028\\u202e\\udc80 é 日本\n"
    )


@given(st.text(st.characters(), max_size=20))
def test_no_text_can_break_a_line_or_reach_the_terminal(text: str) -> None:
    formatter = init_logger(LogOptions(), (), {"JOURNAL_STREAM": stream_of(sys.stderr.fileno())})[0].formatter
    assert formatter is not None
    line = formatter.format(logging.LogRecord("test", logging.INFO, __file__, 1, "%s", (text,), None))
    assert line.isprintable()
    assert line.startswith("<6>test: ")


# --- secrets


FORMS = ["hunter2'\n", "hunter2'\\n", "68756e74657232270a", "68 75 6e 74 65 72 32 27 0a"]


@pytest.mark.parametrize("form", FORMS, ids=["as it is", "quoted", "hexadecimal", "spaced hexadecimal"])
def test_a_secret_is_never_written_in_any_of_its_forms(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gw.log"
    start(LogOptions(file=str(file)), ("hunter2'\n", ""), JOURNAL_STREAM="1")
    LOG.info("the password is %s!", form)
    assert capsys.readouterr().err == "<6>test: the password is ***!\n"
    assert "password is ***!\n" in file.read_text()


def test_a_secret_that_contains_another_is_masked_whole(capsys: pytest.CaptureFixture[str]) -> None:
    start(LogOptions(), ("code", "codeword"), JOURNAL_STREAM="1")
    LOG.info("codeword code")
    assert capsys.readouterr().err == "<6>test: *** ***\n"


def test_a_traceback_shows_no_secret(capsys: pytest.CaptureFixture[str], expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("failed")
    start(LogOptions(), ("hunter2",))
    try:
        raise ValueError("hunter2 is wrong")
    except ValueError:
        LOG.exception("failed")
    written = capsys.readouterr().err
    assert "ValueError: *** is wrong" in written
    assert "hunter2" not in written.replace('raise ValueError("hunter2', "")


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        (MINIMAL + ", mqtt: {username: u, password: hunter2}}", {}),
        (MINIMAL + ", mqtt: {username: u, password: '${SECRET}'}}", {"SECRET": "hunter2"}),
        (MINIMAL + ", mqtt: {username: u, password: 'x${SECRET}'}}", {"SECRET": "hunter2"}),
        (MINIMAL + ", mqtt: {username: u, password_file: secret.txt}}", {}),
        (MINIMAL.replace("dummy", "dummy, location: '${SECRET}'") + "}", {"SECRET": "hunter2"}),
        ("{root: home, topics: [], interfaces: {a: {type: dummy, location: 'x ${SECRET}'}}}", {"SECRET": "hunter2"}),
    ],
    ids=["plain", "environment", "part of it", "file", "interface", "interfaces"],
)
def test_no_secret_of_a_configuration_reaches_the_log(
    text: str, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret.txt").write_text("hunter2\n")
    (tmp_path / "gw.conf").write_text(text)
    configuration = load_configuration(tmp_path / "gw.conf", environment)
    assert "hunter2" not in repr(configuration.mqtt)
    file = tmp_path / "gw.log"
    start(LogOptions(level="debug", file=str(file)), configuration.secrets)
    for what in (configuration, configuration.mqtt.password, configuration.interfaces[0].params, b"hunter2"):
        LOG.debug("%s %r", what, what)
    written = capsys.readouterr().err + file.read_text()
    assert written.count("\n") == 8
    assert "hunter2" not in written


def test_a_secret_is_masked_as_the_bytes_that_its_device_receives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = {"regex": "x", "message": {"function": "a", "device": "b", "action": "X"}}
    device: dict[str, Any] = {"type": "serial", "port": "loop://", "encoding": "latin-1", "decode": [rule]}
    device["conversation"] = {"opening": [{"write": "LOGIN ${CODE}"}]}
    configuration = load_configuration(write_conf(tmp_path, 1, interface=device), {"CODE": "pässwort"})
    start(LogOptions(), configuration.secrets, JOURNAL_STREAM="1")
    for encoding in ("latin-1", "utf-8"):
        LOG.info("got %s", "pässwort".encode(encoding).hex(" "))
    assert capsys.readouterr().err == "<6>test: got ***\n" * 2


# --- how much


class Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def test_lines_over_the_limit_are_suppressed_and_counted() -> None:
    clock, handler = FakeClock(0.0), Collector()
    handler.addFilter(RateLimit(handler, limit=3, clock=clock))

    def log(text: str) -> None:
        handler.handle(logging.LogRecord("x", logging.INFO, "x", 1, text, (), None))

    for number in range(5):
        log(str(number))
    clock.now = 59.9
    log("5")
    clock.now = 60.0
    log("6")
    clock.now = 121.0
    log("7")
    suppressed = "3 log lines suppressed: more than 3 in one minute"
    assert handler.texts == ["0", "1", "2", suppressed, "6", "7"]


def test_every_handler_is_limited(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "gw.log"
    start(LogOptions(file=str(file), file_bytes=10**9))
    for number in range(MAX_LINES + 10):
        LOG.info("line %d", number)
    assert len(file.read_text().splitlines()) == len(capsys.readouterr().err.splitlines()) == MAX_LINES


# --- who may read it


def test_a_log_file_is_readable_for_its_owner_and_group_also_after_rotation(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        start(LogOptions(file=str(tmp_path / "gw.log"), file_bytes=1000, files=2))
        for number in range(60):
            LOG.info("line %d", number)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


@pytest.mark.root
def test_a_log_file_of_another_user_in_a_shared_folder_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    link = tmp_path / "shared" / "gw.log"
    link.symlink_to(victim)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(NotOwnError, match="this link belongs to the user with id 65534"):
        start(LogOptions(file=str(link)))
    assert victim.read_text() == "precious"


# --- the order of lines


def written(capsys: pytest.CaptureFixture[str], *times: float) -> list[str]:
    """Return the times in the lines of records that were created at those times, and written in this order."""
    for when in times:
        fields = {"name": "test", "levelno": logging.INFO, "levelname": "INFO", "msg": f"at {when}"}
        record = logging.makeLogRecord(fields)
        record.created, record.msecs = when, when % 1 * 1000
        logging.getLogger().handle(record)
    return [line[:23] for line in capsys.readouterr().err.splitlines()]


def test_the_time_of_a_line_is_never_earlier_than_that_above_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Another thread may be faster between the creation of a record and its line."""
    start()
    lines = written(capsys, 1000.125, 1000.5, 1000.4995, 998.0, 1001.0)
    assert [line[-6:] for line in lines] == ["40.125", "40.500", "40.500", "40.500", "41.000"]


def test_a_clock_that_is_set_back_is_followed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    before = written(capsys, 5000.0)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    after = written(capsys, 1400.0)
    assert after[0] < before[0]


def test_lines_of_many_threads_are_in_the_order_of_their_times(capsys: pytest.CaptureFixture[str]) -> None:
    start()

    def write() -> None:
        for number in range(300):
            LOG.info("%d", number)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    times = [line[:23] for line in capsys.readouterr().err.splitlines()]
    assert len(times) == 1200
    assert times == sorted(times)


def test_suppressed_lines_are_reported_at_the_end(
    capsys: pytest.CaptureFixture[str], expected_logs: ExpectedLogs
) -> None:
    start()
    for number in range(MAX_LINES + 7):
        LOG.info("%d", number)
    report_suppressed(is_last=True)
    report_suppressed(is_last=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == MAX_LINES + 1
    assert lines[-1].endswith(f"7 log lines suppressed: more than {MAX_LINES} in one minute")


# --- counters


def test_suppressed_lines_and_errors_are_counted(expected_logs: ExpectedLogs) -> None:
    class Repeated(ThrottledException):
        pass

    expected_logs.allow("log lines suppressed", "again (2 more times")
    limit = RateLimit(logging.NullHandler(), limit=2)
    counted = log_stats()
    for _ in range(5):
        limit.filter(logging.makeLogRecord({}))
    for _ in range(3):
        Repeated("again")
    assert log_stats() == {
        "lines_suppressed": counted["lines_suppressed"] + 3,
        "lines_repeated": counted["lines_repeated"],
        "errors_suppressed": counted["errors_suppressed"] + 2,
    }
    Repeated.counts_are_logged = False


@pytest.mark.parametrize("what", ["removed", "renamed", "replaced"])
def test_a_log_file_that_somebody_has_taken_away_is_created_again(tmp_path: Path, what: str) -> None:
    file = tmp_path / "gw.log"
    start(LogOptions(file=str(file)))
    LOG.info("before")
    if what == "removed":
        file.unlink()
    else:
        file.rename(tmp_path / "gw.log.old")
    if what == "replaced":
        file.write_text("new\n")
    LOG.info("after")
    LOG.info("and later")
    lines = file.read_text().splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["new"] * (what == "replaced") + ["after", "and later"]
