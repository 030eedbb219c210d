"""Standard error is never waited for: what has no room there is lost and counted, and nobody stops for it."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.logs.init_logger import LogOptions, init_logger
from gateway.logs.standard_error import write_line

pytestmark = pytest.mark.usefixtures("root_logger")

LOG = logging.getLogger("vendor")


@contextlib.contextmanager
def pipe_as_standard_error() -> Iterator[int]:
    """Have standard error be a pipe; yield the end that reads it."""
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w", encoding="utf-8") as stream, contextlib.redirect_stderr(stream):
        yield read_end
    os.close(read_end)


def drained(descriptor: int) -> str:
    """Return what waits in the pipe."""
    os.set_blocking(descriptor, False)
    parts: list[bytes] = []
    while True:
        try:
            parts.append(os.read(descriptor, 1 << 16))
        except BlockingIOError:
            return b"".join(parts).decode()


def test_a_pipe_that_nobody_reads_stops_nothing() -> None:
    with pipe_as_standard_error() as pipe:
        init_logger(LogOptions(), (), {})
        for number in range(1000):  # a blocked write would last for ever
            LOG.info("x%d %s", number, "abc " * 60)
        kept = drained(pipe)
        assert kept.startswith("20") and len(kept) < 1000 * 240
        LOG.info("again")
        notice, line = drained(pipe).splitlines()
    assert notice.endswith("log lines lost: nothing has read standard error") and "WARNING mqttgateway.logs" in notice
    assert line.endswith("vendor: again")


def test_a_line_that_was_torn_ends_before_the_next_one() -> None:
    with pipe_as_standard_error() as pipe:
        init_logger(LogOptions(), (), {})
        try:
            raise ValueError("\n".join(["x" * 100] * 1000))
        except ValueError:
            LOG.info("a traceback that is longer than a pipe", exc_info=True)
        begin = drained(pipe)
        assert begin and not begin.endswith("\n")
        LOG.info("again")
        assert drained(pipe).startswith("\n20"), "the next line begins a line"


def test_a_reader_that_is_gone_stops_nothing() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w", encoding="utf-8") as stream, contextlib.redirect_stderr(stream):
        init_logger(LogOptions(), (), {})
        LOG.info("nobody reads this")


def test_a_process_without_standard_error_can_log(tmp_path: Path) -> None:
    file = tmp_path / "log"
    code = (
        "import logging; from gateway.logs.init_logger import LogOptions, init_logger;"
        f"init_logger(LogOptions(file={str(file)!r})); logging.getLogger('vendor').info('still here')"
    )
    ran = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", code], check=False)
    assert ran.returncode == 0
    assert "still here" in file.read_text()


def test_the_failure_of_the_log_file_is_told_without_waiting() -> None:
    with pipe_as_standard_error() as pipe:
        os.set_blocking(sys.stderr.fileno(), False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(sys.stderr.fileno(), b"x" * 4096)
        os.set_blocking(sys.stderr.fileno(), True)
        write_line("the log file cannot be written")
        assert set(drained(pipe)) == {"x"}
        write_line("the log file cannot be written")
        assert drained(pipe) == "the log file cannot be written\n"
