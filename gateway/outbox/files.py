"""The files of an outbox in their folder: how damage by other programs is noticed, and how a file is moved away."""

from __future__ import annotations

import enum
import os
import time
from pathlib import Path
from typing import NamedTuple


class Fault(enum.Enum):
    """What another program has done to the file, or to SQLite's log beside it (`-wal`), while it is in use.

    SQLite notices none of it: it goes on writing to files that no other process can open any more.
    """

    FILE_GONE = "was removed or replaced"
    FILE_CUT = "was truncated"
    LOG_GONE = "lost its log (-wal), which was removed or replaced"
    LOG_CUT = "lost its log (-wal), which was truncated"


class WatchedFiles:
    """The file at `path` and its log, as they are at construction. Both only grow while SQLite uses them."""

    def __init__(self, path: Path) -> None:
        self._path, self._log_path = str(path), f"{path}-wal"
        self._file, self._log = _state_of(self._path), _state_of(self._log_path)

    def fault(self) -> Fault | None:
        """Return what has happened to the files since the last call; None if only SQLite has changed them."""
        file, log = _state_of(self._path), _state_of(self._log_path)
        fault = self._compare(file, log)
        if fault is None:
            self._file, self._log = file, log
        return fault

    def seem_faulty(self) -> bool:
        """Return whether `fault` may return something. Changes nothing, so that any thread may call it.

        The answer may be wrong while SQLite writes, because the two files are not checked at the same moment.
        """
        return self._compare(_state_of(self._path), _state_of(self._log_path)) is not None

    def _compare(self, file: _FileState | None, log: _FileState | None) -> Fault | None:
        if file is None or self._file is None or file[:2] != self._file[:2]:
            return Fault.FILE_GONE
        if file.size < self._file.size:
            return Fault.FILE_CUT
        if log is None or self._log is None or log[:2] != self._log[:2]:
            return Fault.LOG_GONE
        if log.size < self._log.size or _has_hole(self._log_path, log.size):
            return Fault.LOG_CUT
        return None


class _FileState(NamedTuple):
    device: int
    inode: int
    size: int


def _state_of(path: str) -> _FileState | None:
    try:
        status = os.stat(path)  # noqa: PTH116  (several times for each commit)
    except OSError:
        return None
    return _FileState(status.st_dev, status.st_ino, status.st_size)


def _has_hole(path: str, size: int) -> bool:
    """Return whether the file has a hole.

    SQLite writes its log without holes. But if the log is truncated and SQLite then writes behind the new end, the log
    is as long as before, and only the hole between the two shows what has happened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.lseek(descriptor, 0, os.SEEK_HOLE) < size
    except OSError:  # an empty file, or a file system that does not know about holes
        return False
    finally:
        os.close(descriptor)


def beside(path: Path) -> list[Path]:
    """Return the paths of the files that SQLite keeps beside the one at `path`, whether these exist or not."""
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def move_file_away(path: Path, kind: str) -> Path:
    """Rename the file at `path`, and those that SQLite keeps beside it, to a name with `kind` and the time.

    Return the new path. Raises `OSError` if the file cannot be renamed.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S")
    moved = path.with_name(f"{path.name}.{kind}-{stamp}")
    count = 1
    while moved.exists():
        count += 1
        moved = path.with_name(f"{path.name}.{kind}-{stamp}-{count}")
    path.rename(moved)
    for old, new in zip(beside(path), beside(moved), strict=True):
        if old.exists():
            old.rename(new)
    return moved
