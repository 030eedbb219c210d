from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.outbox.files import Fault, WatchedFiles


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "gw.outbox"
    path.write_bytes(bytes(8192))
    path.with_name("gw.outbox-wal").write_bytes(b"x" * 20_000)
    return path


def log_of(path: Path) -> Path:
    return path.with_name("gw.outbox-wal")


def _written_behind_a_cut(path: Path) -> None:
    """Between two checks the log is truncated, and SQLite, which has not noticed, writes behind its end."""
    with log_of(path).open("r+b") as log:
        log.truncate(5000)
        log.seek(20_000)
        log.write(b"y" * 5000)


@pytest.mark.parametrize(("do", "fault"), [
    (lambda path: path.unlink(), Fault.FILE_GONE),
    (lambda path: path.with_name("other").rename(path), Fault.FILE_GONE),
    (lambda path: os.truncate(path, 8191), Fault.FILE_CUT),
    (lambda path: log_of(path).unlink(), Fault.LOG_GONE),
    (lambda path: path.with_name("other").rename(log_of(path)), Fault.LOG_GONE),
    (lambda path: os.truncate(log_of(path), 19_999), Fault.LOG_CUT),
    (lambda path: os.truncate(log_of(path), 0), Fault.LOG_CUT),
    (_written_behind_a_cut, Fault.LOG_CUT),
])  # fmt: skip
def test_changes_by_other_programs_are_noticed(path: Path, do: Callable[[Path], object], fault: Fault) -> None:
    path.with_name("other").write_bytes(bytes(30_000))
    files = WatchedFiles(path)
    assert files.fault() is None
    do(path)
    assert files.fault() is fault


def test_files_that_grow_and_are_then_truncated_to_what_they_were_are_noticed(path: Path) -> None:
    files = WatchedFiles(path)
    with log_of(path).open("ab") as log:
        log.write(b"z" * 4000)
    assert files.fault() is None
    os.truncate(log_of(path), 20_000)
    assert files.fault() is Fault.LOG_CUT


def test_changes_by_sqlite_are_no_fault(path: Path) -> None:
    path.unlink()
    log_of(path).unlink()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 20")
    db.execute("CREATE TABLE t (x)")
    files = WatchedFiles(path)
    for number in range(200):
        db.execute("INSERT INTO t VALUES (?)", (bytes(3000),))
        if number % 3 == 0:
            db.execute("DELETE FROM t")
        assert files.fault() is None, number
    db.close()
