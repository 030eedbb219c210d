"""Repairs an outbox whose files were removed, replaced or truncated while in use: what can still be read is kept."""

from __future__ import annotations

import contextlib
import enum
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.message import Lane
from gateway.outbox.files import Fault, beside, move_file_away
from gateway.outbox.store import CorruptFileError, ForeignFileError, OutboxStore

_NO_PLACE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)


class Rescue(enum.Enum):
    """How much of what was committed is in the new file."""

    WHOLE = "all of it"
    OLDER = "what was there at the last checkpoint, and of that only what is not in memory"
    NOTHING = "nothing"


def rescue(
    store: OutboxStore, fault: Fault | None, spilled_ranges: Mapping[Lane, tuple[int, int]]
) -> tuple[OutboxStore, Rescue, str]:
    """Close `store`, to which `fault` has happened (None: its content is corrupt), and open a new file in its place.

    Return the new store, how much it holds, and the name to which a file that stood in its place was moved, or `""`.

    SQLite can still read files that were unlinked, so then everything is copied. From a log that was truncated SQLite
    reads only what it has in its own memory. If that is not enough, the file is as old as its last checkpoint, and only
    its rows in `spilled_ranges` (see `LaneQueues`) are kept: all others are in memory, and newer there.

    Raises `StoreError`, `OSError` or `sqlite3.Error` if there is no place for the new file. The call may be repeated.
    """
    path = store.path
    copy = path.with_name(f"{path.name}.rescue")
    # Created even if the folder does not belong to the gateway: it existed when the file was opened, and without it
    # no message could be accepted any more.
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = _copy(store, copy, fault, spilled_ranges)
    store.close()  # removes any file that has the name of its log: the new file may come only after that
    moved = ""
    is_in_the_way = kept is Rescue.NOTHING or fault in (Fault.FILE_GONE, Fault.FILE_CUT)
    if is_in_the_way and (path.exists() or path.is_symlink()):
        moved = move_file_away(path, "foreign" if fault is Fault.FILE_GONE else "corrupt").name
    for name in beside(path):  # SQLite would write the content of a log that is not its own into the new file
        name.unlink(missing_ok=True)
    if kept is not Rescue.NOTHING:
        copy.replace(path)
        _sync(path.parent)
    return OutboxStore(path), kept, moved


def _copy(
    store: OutboxStore, copy: Path, fault: Fault | None, spilled_ranges: Mapping[Lane, tuple[int, int]]
) -> Rescue:
    """Write what can be read of `store` to the file `copy`; return how much that is."""
    if fault is not None and _is_sound(_copy_all, store, copy):
        return Rescue.WHOLE
    if fault in (Fault.LOG_GONE, Fault.LOG_CUT) and _is_sound(_copy_file, store, copy):
        with contextlib.closing(OutboxStore(copy)) as older:
            older.keep_only(spilled_ranges)
        return Rescue.OLDER
    return Rescue.NOTHING


def _copy_all(store: OutboxStore, copy: Path) -> None:
    with contextlib.closing(sqlite3.connect(copy)) as target:
        store.back_up(target)


def _copy_file(store: OutboxStore, copy: Path) -> None:
    shutil.copyfile(store.path, copy)


def _is_sound(make: Callable[[OutboxStore, Path], None], store: OutboxStore, copy: Path) -> bool:
    """Create the file `copy` by `make`; return whether `store` could be read and the copy is an outbox file."""
    for name in (copy, *beside(copy)):
        name.unlink(missing_ok=True)
    copy.touch(mode=0o600)
    try:
        make(store, copy)
        OutboxStore(copy).close()
    except (CorruptFileError, ForeignFileError):
        return False
    except sqlite3.Error as err:
        if getattr(err, "sqlite_errorcode", 0) & 0xFF in _NO_PLACE:
            raise
        return False
    return True


def _sync(folder: Path) -> None:
    """Write the names of the files in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
