"""The file of the outbox: an SQLite database in WAL mode. Used by one thread at a time, of one process.

Accepted means committed: `synchronous=FULL` has the operating system write each commit to the disk before it returns
(https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.core.own_files import refuse_foreign_file
from gateway.errors import GatewayError
from gateway.message import Lane
from gateway.outbox import statements
from gateway.outbox.files import Fault, WatchedFiles, beside, move_file_away
from gateway.outbox.options import MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS
from gateway.outbox.rows import DeadLetterRow, Row
from gateway.outbox.statements import APPLICATION_ID, VERSION


class StoreError(GatewayError):
    """The file of the outbox cannot be used: which file, why, and the remedy."""


class LaterVersionError(StoreError):
    """The file was written by a later version of this program."""


class LockedStoreError(StoreError):
    """Another process uses the file."""


class ForeignFileError(StoreError):
    """The file is intact, but belongs to another program."""


class CorruptFileError(StoreError):
    """The file is corrupt."""


class OutboxStore:
    """The open file at `path`.

    The constructor raises `StoreError` if the file cannot be opened or used; the methods raise `sqlite3.Error`.
    `owns_folder` says that its folder belongs to the gateway, and is created if it is missing; no other folder is.
    """

    def __init__(self, path: Path, *, must_exist: bool = False, owns_folder: bool = False) -> None:
        self.path = path
        try:
            if owns_folder:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if must_exist and not path.is_file():
                raise FileNotFoundError(2, "no such file")
            if path.is_symlink() or (path.exists() and not path.is_file()):
                raise StoreError(f"{path} is not a file: name another as outbox.file")
            for file in (path, *beside(path)):  # what another user has written there would be published as ours
                refuse_foreign_file(file)
            path.touch(mode=0o600)
            self._check_header()
        except (OSError, ValueError) as err:  # ValueError: a NUL in the path
            reason = getattr(err, "strerror", None) or err
            is_missing = isinstance(err, FileNotFoundError) and not must_exist
            remedy = f"make the folder {path.parent}" if is_missing else "check outbox.file and permissions"
            raise StoreError(f"the outbox {path} cannot be opened: {reason}: {remedy}") from err
        self._db = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            self._open()
            self._files = WatchedFiles(path)
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        try:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            application = self._pragma("application_id")
            version = self._pragma("user_version")
            is_new = not application and not version and not self._value("SELECT count(*) FROM sqlite_schema")
            if not is_new and application != APPLICATION_ID:
                raise ForeignFileError(f"{self.path} is a database of another program")
            self._refuse_later_version(application, version)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA wal_autocheckpoint = 250")  # pages of 4 KiB: a small disk is enough
            # Debian's SQLite overwrites each removed row with zeros, and a full disk has no room for that.
            self._db.execute("PRAGMA secure_delete = OFF")
            self._db.execute("BEGIN EXCLUSIVE")  # takes the lock, and keeps it until the file is closed
            self._create_tables(None if is_new else version)
            self._db.execute("COMMIT")
            for statement in statements.CHECKS:
                self._db.execute(statement)
            result = self._value("PRAGMA quick_check(1)")
        except sqlite3.DatabaseError as err:
            raise self._problem(err) from err
        if result != "ok":
            raise CorruptFileError(f"{self.path} is corrupt ({result})")

    def _create_tables(self, version: int | None) -> None:
        """Create the tables, or change those of an earlier `version` into those of today."""
        if version == VERSION:
            return
        upgrades = [statements.UPGRADES[each] for each in range(version, VERSION)] if version else [statements.TABLES]
        for statement in filter(str.strip, ";".join(upgrades).split(";")):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {VERSION}")

    def _check_header(self) -> None:
        """Raise if the first bytes of the file show that it is not ours.

        Done before SQLite opens the file: SQLite would write the content of a WAL into it, and a file that is not ours
        must stay as it is. Source: https://www.sqlite.org/fileformat.html#the_database_header
        """
        with self.path.open("rb") as file:
            header = file.read(100)
        if 0 < len(header) < 100:  # SQLite would treat it as an empty file
            raise ForeignFileError(f"{self.path} is not an outbox file")
        self._refuse_later_version(int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big"))

    def _refuse_later_version(self, application: int, version: int) -> None:
        if application == APPLICATION_ID and version > VERSION:
            raise LaterVersionError(
                f"{self.path} was written by a later version of this program (format {version}, this one knows "
                f"{VERSION}): use that version, or move the file away"
            )

    def _problem(self, err: sqlite3.DatabaseError) -> StoreError:
        code = getattr(err, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            return ForeignFileError(f"{self.path} is not an outbox file")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return LockedStoreError(f"{self.path} is in use: does another gateway run with it?")
        if code == sqlite3.SQLITE_CORRUPT or not code or code == sqlite3.SQLITE_ERROR:  # ERROR: other tables than ours
            return CorruptFileError(f"{self.path} is corrupt ({err})")
        return StoreError(f"the outbox {self.path} cannot be used: {err}: check the disk and outbox.file")

    def _pragma(self, name: str) -> int:
        return int(self._value(f"PRAGMA {name}"))

    def _value(self, statement: str) -> Any:
        return self._db.execute(statement).fetchone()[0]

    def close(self) -> None:
        """Close the file; what is committed stays."""
        self._db.close()

    def fault(self) -> Fault | None:
        """Return what another program has done to the files since the last call; None: nothing."""
        return self._files.fault()

    def seems_faulty(self) -> bool:
        """Return whether `fault` may return something. Any thread may call it."""
        return self._files.seem_faulty()

    def back_up(self, target: sqlite3.Connection) -> None:
        """Write all of it to `target`, even if the file has been unlinked. Raises `sqlite3.Error`."""
        self._db.backup(target)

    def free_bytes(self) -> int:
        """Return how many bytes of the file are unused."""
        return self._pragma("freelist_count") * self._pragma("page_size")

    # --- written by the writer

    def empty_log(self) -> None:
        """Write the content of SQLite's log into the file itself, as far as possible."""
        with contextlib.suppress(sqlite3.Error):  # no data is lost; the next commit reports what is wrong
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def commit(
        self,
        inserts: Sequence[Row],
        removals: Sequence[int],
        dead_letters: Sequence[DeadLetterRow] = (),
        retained: Iterable[tuple[str, bytes]] = (),
        removed_dead_letters: Sequence[int | None] = (),
    ) -> int:
        """Write all of it in one transaction; on return it is on the disk. Raises `sqlite3.Error` if it is not.

        `removals` are numbers of waiting messages, `removed_dead_letters` those of dead letters. Return how many older
        dead letters were dropped, since only the last ones are kept.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for first, last in statements.runs(sorted(removals)):  # first, so that the inserts have their room
                self._db.execute("DELETE FROM outbox WHERE number BETWEEN ? AND ?", (first, last))
            for statement, variables in statements.inserts(inserts):
                self._db.execute(statement, variables)
            dropped = self._write_dead_letters(dead_letters)
            for topic, payload in retained:
                if payload:
                    self._db.execute("INSERT OR REPLACE INTO retained VALUES (?, ?)", (topic, payload))
                else:
                    self._db.execute("DELETE FROM retained WHERE topic = ?", (topic,))
            numbers = [(number,) for number in removed_dead_letters]
            self._db.executemany("DELETE FROM set_aside WHERE number = ?", numbers)
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            raise
        return dropped

    def _write_dead_letters(self, rows: Sequence[DeadLetterRow]) -> int:
        """Write `rows`, replacing those with the same number; return how many of the oldest are dropped."""
        if not rows:
            return 0
        self._db.executemany(statements.WRITE_DEAD_LETTER, rows)
        limits = (MAX_DEAD_LETTERS, MAX_DEAD_LETTER_BYTES)
        return self._db.execute(statements.LIMIT_DEAD_LETTERS, limits).rowcount

    # --- read

    def rows(self, lane: Lane | None = None, after: int = 0, count: int = -1, size: float = math.inf) -> list[Row]:
        """Return up to `count` rows behind the number `after`, of one lane or of all, in their order.

        No further row is returned once there are `size` bytes of payload.
        """
        rows: list[Row] = []
        for row in map(Row._make, self._db.execute(statements.select_rows(lane), (after, count))):
            rows.append(row)
            size -= len(row.payload)
            if size <= 0:
                break
        return rows

    def iterate(self, after: int = 0) -> Iterator[Row]:
        """Yield all rows that wait behind the number `after`, in the order in which they were added."""
        yield from map(Row._make, self._db.execute(statements.WAITING, (after,)))

    def last_number(self) -> int:
        """Return the highest number of a waiting row; 0 if none waits."""
        return int(self._value("SELECT coalesce(max(number), 0) FROM outbox"))

    def last_dead_letter(self) -> int:
        """Return the highest number that a dead letter has ever had; 0 if there was none."""
        return int(self._value("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'set_aside'"))

    def counts(self, overhead: int) -> list[tuple[Lane, int, int]]:
        """Return, for each lane, how many rows wait, and their bytes, including `overhead` for each."""
        lanes = self._db.execute(
            "SELECT lane, count(*), sum(length(CAST(topic || property_name || property_value AS BLOB))"
            " + length(payload) + length(correlation) + length(state_key) + ?) FROM outbox GROUP BY lane",
            (overhead,),
        )
        return [(Lane(lane), count, size) for lane, count, size in lanes]

    def topics(self) -> list[tuple[str, Lane, int]]:
        """Return, for each topic, the last lane in which a row of it waits, and how many wait."""
        topics = self._db.execute("SELECT topic, max(lane), count(*) FROM outbox GROUP BY topic")
        return [(topic, Lane(lane), count) for topic, lane, count in topics]

    def retained(self) -> dict[str, bytes]:
        """Return, by topic, the last payload that was sent to the broker with retain."""
        return dict(self._db.execute("SELECT topic, payload FROM retained"))

    def dead_letter_rows(self) -> list[DeadLetterRow]:
        """Return all dead letters."""
        return list(self.iterate_dead_letters())

    def dead_letter_count(self) -> int:
        """Return how many dead letters there are."""
        return int(self._value("SELECT count(*) FROM set_aside"))

    def iterate_dead_letters(self, after: int = 0, count: int = -1) -> Iterator[DeadLetterRow]:
        """Yield up to `count` dead letters behind the number `after`."""
        yield from map(DeadLetterRow._make, self._db.execute(statements.DEAD_LETTERS, (after, count)))

    def newest_dead_states(self) -> dict[str, int]:
        """Return, by topic, the number of the last dead letter with retain."""
        return dict(self._db.execute("SELECT topic, max(number) FROM set_aside WHERE retain GROUP BY topic"))

    def keep_only(self, ranges: Mapping[Lane, tuple[int, int]]) -> None:
        """Remove all waiting rows but those with a number inside the range of their lane, both ends excluded."""
        self._db.execute(statements.delete_outside(ranges))

    def purge(self, waiting: Sequence[int], dead_letters: Sequence[int | None]) -> None:
        """Remove waiting rows and dead letters, by their numbers."""
        self.commit([], waiting, removed_dead_letters=dead_letters)


def open_store(path: Path, report: Callable[[str], Any], *, owns_folder: bool = False) -> OutboxStore:
    """Open the file at `path`. A file that is corrupt, or not ours, is moved away first.

    `report` is then called with a sentence that says so. Raises `StoreError` if another process uses the file, a later
    version wrote it, or it cannot be accessed.
    """
    try:
        return OutboxStore(path, owns_folder=owns_folder)
    except (CorruptFileError, ForeignFileError) as err:
        kind = "corrupt" if isinstance(err, CorruptFileError) else "foreign"
        try:
            moved = move_file_away(path, kind)
        except OSError as failed:
            raise StoreError(f"{err}, and cannot be renamed: {failed.strerror}: move it away") from failed
        report(f"{err}: moved to {moved.name}; created a new outbox")
        return OutboxStore(path, owns_folder=owns_folder)
