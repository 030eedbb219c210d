"""An outbox whose files somebody else has removed, replaced or cut off in use: what is still readable is kept."""

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
    """How much of what was committed a new file holds."""

    WHOLE = "all of it"
    OLDER = "what was there at the last checkpoint, and of that only what is not in memory"
    NOTHING = "nothing"


def rescue(
    store: OutboxStore, fault: Fault | None, spilled_ranges: Mapping[Lane, tuple[int, int]]
) -> tuple[OutboxStore, Rescue, str]:
    """Close `store`, to which `fault` has happened (None: what is in it is damaged), and open a sound one in its place.

    Return it, how much it holds, and the name under which what stood in its place was set aside, or `""`. SQLite
    still reads files that have lost their names, so that all is copied. Of a log that was cut off it reads only what
    it has in its memory; where that is not enough, the file is as good as its last checkpoint, and what lies in the
    `spilled_ranges` (see `LaneQueues.spilled_ranges`) is kept of it.

    Raises `StoreError`, `OSError` or `sqlite3.Error` where there is no place for the new file: it may be tried again.
    """
    path = store.path
    copy = path.with_name(f"{path.name}.rescue")
    # Whoever's folder it is, it was there when the file was opened, and what is accepted is to have a place again.
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = _copy(store, copy, fault, spilled_ranges)
    store.close()  # removes what has the name of its log: the new file may come only after that
    aside = ""
    is_in_the_way = kept is Rescue.NOTHING or fault in (Fault.FILE_GONE, Fault.FILE_CUT)
    if is_in_the_way and (path.exists() or path.is_symlink()):
        aside = move_file_away(path, "foreign" if fault is Fault.FILE_GONE else "corrupt").name
    for name in beside(path):  # a log that is not its own would be written into the new file
        name.unlink(missing_ok=True)
    if kept is not Rescue.NOTHING:
        copy.replace(path)
        _sync(path.parent)
    return OutboxStore(path), kept, aside


def _copy(
    store: OutboxStore, copy: Path, fault: Fault | None, spilled_ranges: Mapping[Lane, tuple[int, int]]
) -> Rescue:
    """Write what is left of `store` to the file `copy`; return how much that is."""
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
    """Have the file `copy` made anew; return whether `store` could be read, and the copy is an outbox."""
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
    """Have the names in `folder` written to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
