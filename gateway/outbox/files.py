"""The files of an outbox as they lie in their folder: what somebody else does to them, and how they are set aside."""

from __future__ import annotations

import enum
import os
import time
from pathlib import Path
from typing import NamedTuple

MAX_DEAD_LETTERS = 1000
MAX_DEAD_LETTER_BYTES = 16 * 1024**2
"""How many messages that no broker took, and bytes of their payloads, the file keeps: the last ones."""


class Fault(enum.Enum):
    """What somebody else has done to the file, or to SQLite's log beside it (`-wal`), while it is in use.

    SQLite notices none of it: it goes on with files that nobody finds again once the process has ended.
    """

    FILE_GONE = "was removed or replaced"
    FILE_CUT = "was cut off"
    LOG_GONE = "has lost its log (-wal), which was removed or replaced"
    LOG_CUT = "has lost its log (-wal), which was cut off"


class WatchedFiles:
    """The file at `path` and its log, as they are when this is made. Both only grow while SQLite uses them."""

    def __init__(self, path: Path) -> None:
        self._path, self._log_path = str(path), f"{path}-wal"
        self._file, self._log = _found(self._path), _found(self._log_path)

    def fault(self) -> Fault | None:
        """Return what has happened to them since they were looked at last; None: nothing but what SQLite does."""
        file, log = _found(self._path), _found(self._log_path)
        fault = self._compare(file, log)
        if fault is None:
            self._file, self._log = file, log
        return fault

    def seem_faulty(self) -> bool:
        """Return whether `fault` may find something. It changes nothing, so that another thread may ask.

        While SQLite writes, it may be wrong: two looks then come in another order.
        """
        return self._compare(_found(self._path), _found(self._log_path)) is not None

    def _compare(self, file: _Found | None, log: _Found | None) -> Fault | None:
        if file is None or self._file is None or file[:2] != self._file[:2]:
            return Fault.FILE_GONE
        if file.size < self._file.size:
            return Fault.FILE_CUT
        if log is None or self._log is None or log[:2] != self._log[:2]:
            return Fault.LOG_GONE
        if log.size < self._log.size or _has_hole(self._log_path, log.size):
            return Fault.LOG_CUT
        return None


class _Found(NamedTuple):
    device: int
    inode: int
    size: int


def _found(path: str) -> _Found | None:
    try:
        found = os.stat(path)  # noqa: PTH116  (several times for each commit)
    except OSError:
        return None
    return _Found(found.st_dev, found.st_ino, found.st_size)


def _has_hole(path: str, size: int) -> bool:
    """Return whether the file was cut off just before a write behind its end, which leaves a hole in it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.lseek(descriptor, 0, os.SEEK_HOLE) < size
    except OSError:  # empty, or the file system does not know
        return False
    finally:
        os.close(descriptor)


def beside(path: Path) -> list[Path]:
    """Return the files that SQLite keeps beside the one at `path`, whether they are there or not."""
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def move_file_away(path: Path, kind: str) -> Path:
    """Rename the file at `path`, and what SQLite keeps beside it, so that the name tells `kind` and time."""
    stamp = time.strftime("%Y%m%dT%H%M%S")
    aside = path.with_name(f"{path.name}.{kind}-{stamp}")
    count = 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}.{kind}-{stamp}-{count}")
    path.rename(aside)
    for old, new in zip(beside(path), beside(aside), strict=True):
        if old.exists():
            old.rename(new)
    return aside
