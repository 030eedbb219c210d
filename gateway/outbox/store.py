"""The file behind the outbox: an SQLite database in WAL mode. One thread uses it, one process at a time.

Accepted means committed: `synchronous=FULL` has the operating system write each commit to the disk before it returns
(https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gateway.core.own_files import refuse_foreign_file
from gateway.errors import GatewayError
from gateway.message import Lane, Publication
from gateway.outbox.files import MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS, Fault, WatchedFiles, beside, move_file_away

APPLICATION_ID = 0x6D716777
"""In the header of the file (`PRAGMA application_id`): "mqgw"."""

VERSION = 1
"""Of the tables (`PRAGMA user_version`). A file of a later one is refused, never changed."""

_VARIABLES = 30_000  # of 32,766 that SQLite takes in a statement since 3.32
_TABLES = """
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY, lane INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 3),
    since REAL NOT NULL, topic TEXT NOT NULL,
    payload BLOB NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, lifetime REAL, correlation BLOB NOT NULL
) STRICT;
CREATE INDEX outbox_lane ON outbox (lane, number);
CREATE TABLE set_aside (
    number INTEGER PRIMARY KEY AUTOINCREMENT, since REAL NOT NULL, topic TEXT NOT NULL,
    payload BLOB NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE retained (topic TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""
_COLUMNS = "number, lane, since, topic, payload, qos, retain, lifetime, correlation"
_SET_ASIDE_COLUMNS = "number, since, topic, payload, qos, retain, reason"
_RETAINED = "topic, payload"


class StoreError(GatewayError):
    """The file of the outbox cannot be used: which, why, and the remedy."""


class LaterVersionError(StoreError):
    """The file was written by a later version of this program."""


class LockedStoreError(StoreError):
    """Another process uses the file."""


class ForeignFileError(StoreError):
    """The file is whole, but of another program."""


class CorruptFileError(StoreError):
    """The file is damaged."""


class Row(NamedTuple):
    """One publication that waits: its number, where, since when (s, Unix time), and what it is."""

    number: int
    lane: int
    since: float
    topic: str
    payload: bytes
    qos: int
    retain: int
    lifetime: float | None
    correlation: bytes

    @staticmethod
    def of(number: int, lane: Lane, since: float, publication: Publication) -> Row:
        """Return the row of a publication."""
        p = publication
        return Row(number, lane, since, p.topic, p.payload, p.qos, p.retain, p.lifetime, p.correlation)

    def publication(self) -> Publication:
        """Return the publication of this row."""
        return Publication(
            self.topic,
            self.payload,
            self.qos,
            bool(self.retain),
            lane=Lane(self.lane),
            lifetime=self.lifetime,
            correlation=self.correlation,
        )


class DeadLetterRow(NamedTuple):
    """One publication that no broker took: its number, since when it waited (s, Unix time), what it is, and why.

    Without a number (None) it is to be given one.
    """

    number: int | None
    since: float
    topic: str
    payload: bytes
    qos: int
    retain: int
    reason: str

    def publication(self) -> Publication:
        """Return the publication of this row, as it is sent once more."""
        lane = Lane.LATEST if self.retain else Lane.EVENT  # that of before is not known any more
        return Publication(self.topic, self.payload, self.qos, bool(self.retain), lane=lane)


class OutboxStore:
    """The open file at `path`. Raises `StoreError` where it cannot be opened or used; `sqlite3.Error` while it is.

    `owns_folder` tells that its folder is the gateway's own, and is made where it is missing; no other one is.
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
            for file in (path, *beside(path)):  # what a stranger wrote there would be published with our rights
                refuse_foreign_file(file)
            path.touch(mode=0o600)
            self._look_at_header()
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
            is_new = not application and not version and not self._one("SELECT count(*) FROM sqlite_schema")
            if not is_new and application != APPLICATION_ID:
                raise ForeignFileError(f"{self.path} is a database of another program")
            self._refuse_later_version(application, version)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA wal_autocheckpoint = 250")  # pages of 4 KiB: a small disk is enough
            # Debian's SQLite writes each removed row over: a full disk has no room for that.
            self._db.execute("PRAGMA secure_delete = OFF")
            self._db.execute("BEGIN EXCLUSIVE")  # takes the lock for good
            if is_new:
                for statement in filter(str.strip, _TABLES.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {VERSION}")
            self._db.execute("COMMIT")
            for columns, table in ((_COLUMNS, "outbox"), (_SET_ASIDE_COLUMNS, "set_aside"), (_RETAINED, "retained")):
                self._db.execute(f"SELECT {columns} FROM {table} LIMIT 1")  # noqa: S608
            fault = self._one("PRAGMA quick_check(1)")
        except sqlite3.DatabaseError as err:
            raise self._problem(err) from err
        if fault != "ok":
            raise CorruptFileError(f"{self.path} is damaged ({fault})")

    def _look_at_header(self) -> None:
        """Refuse what is plain from the begin of the file without touching it, as SQLite might (what is in a WAL).

        Source: https://www.sqlite.org/fileformat.html#the_database_header
        """
        with self.path.open("rb") as file:
            header = file.read(100)
        if 0 < len(header) < 100:  # SQLite takes it for an empty one
            raise ForeignFileError(f"{self.path} is no outbox")
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
            return ForeignFileError(f"{self.path} is no outbox")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return LockedStoreError(f"{self.path} is in use: does another gateway run with it?")
        if code == sqlite3.SQLITE_CORRUPT or not code or code == sqlite3.SQLITE_ERROR:  # ERROR: other tables than ours
            return CorruptFileError(f"{self.path} is damaged ({err})")
        return StoreError(f"the outbox {self.path} cannot be used: {err}: check the disk and outbox.file")

    def _pragma(self, name: str) -> int:
        return int(self._one(f"PRAGMA {name}"))

    def _one(self, statement: str) -> Any:
        return self._db.execute(statement).fetchone()[0]

    def close(self) -> None:
        """Close the file; what is committed stays."""
        self._db.close()

    def fault(self) -> Fault | None:
        """Return what somebody else has done to the files since this was asked last; None: nothing."""
        return self._files.fault()

    def seems_faulty(self) -> bool:
        """Return whether `fault` may have something to return. Any thread may ask."""
        return self._files.seem_faulty()

    def back_up(self, target: sqlite3.Connection) -> None:
        """Write all of it to `target`, also where the file has lost its name. Raises `sqlite3.Error`."""
        self._db.backup(target)

    def free_bytes(self) -> int:
        """Return how much of the file is not used."""
        return self._pragma("freelist_count") * self._pragma("page_size")

    # --- what the writer does

    def empty_log(self) -> None:
        """Write into the file itself what is only in SQLite's log, as far as that goes."""
        with contextlib.suppress(sqlite3.Error):  # nothing is lost; the next commit will say what is wrong
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def commit(
        self,
        inserts: Sequence[Row],
        removals: Sequence[int],
        set_aside: Sequence[DeadLetterRow] = (),
        retained: Iterable[tuple[str, bytes]] = (),
        retried: Sequence[int | None] = (),
    ) -> int:
        """Write all of it or nothing; on return it is on the disk. Raises `sqlite3.Error`.

        `removals` are numbers of what waited, `retried` those of what was set aside and is no more. Return how many of
        what was set aside were dropped, since only the last ones are kept.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for first, last in _runs(sorted(removals)):  # before the rest, which then has room
                self._db.execute("DELETE FROM outbox WHERE number BETWEEN ? AND ?", (first, last))
            self._insert(inserts)
            dropped = self._set_aside(set_aside)
            for topic, payload in retained:
                if payload:
                    self._db.execute("INSERT OR REPLACE INTO retained VALUES (?, ?)", (topic, payload))
                else:
                    self._db.execute("DELETE FROM retained WHERE topic = ?", (topic,))
            self._db.executemany("DELETE FROM set_aside WHERE number = ?", [(number,) for number in retried])
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            raise
        return dropped

    def _insert(self, rows: Sequence[Row]) -> None:
        """Insert many rows with one statement: each gives the interpreter away once, and may wait to get it back.

        In powers of two, so that few statements are ever compiled.
        """
        width = len(Row._fields)
        begin = 0
        while begin < len(rows):
            count = min(1 << (len(rows) - begin).bit_length() - 1, _VARIABLES // width)
            one = f"({', '.join('?' * width)})"
            statement = f"INSERT OR REPLACE INTO outbox ({_COLUMNS}) VALUES {', '.join([one] * count)}"  # noqa: S608
            self._db.execute(statement, [value for row in rows[begin : begin + count] for value in row])
            begin += count

    def _set_aside(self, rows: Sequence[DeadLetterRow]) -> int:
        """Write `rows`, each in the place of what has its number; return how many are dropped, the first of all."""
        if not rows:
            return 0
        self._db.executemany("INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        return self._db.execute(
            "DELETE FROM set_aside WHERE number <= (SELECT number FROM set_aside ORDER BY number DESC"
            " LIMIT 1 OFFSET ?) OR number <"
            " (SELECT coalesce(min(CASE WHEN size <= ? THEN number END), max(number)) FROM"
            " (SELECT number, sum(length(payload)) OVER (ORDER BY number DESC) AS size FROM set_aside))",
            (MAX_DEAD_LETTERS, MAX_DEAD_LETTER_BYTES),
        ).rowcount

    # --- what is there

    def rows(self, lane: Lane | None = None, after: int = 0, count: int = -1, size: float = math.inf) -> list[Row]:
        """Return up to `count` rows behind the number `after`, of one lane or of all, in their order.

        Also no more once there are `size` bytes of payload.
        """
        where = "" if lane is None else f"lane = {int(lane)} AND "
        statement = f"SELECT {_COLUMNS} FROM outbox WHERE {where}number > ? ORDER BY number LIMIT ?"  # noqa: S608
        rows: list[Row] = []
        for row in map(Row._make, self._db.execute(statement, (after, count))):
            rows.append(row)
            size -= len(row.payload)
            if size <= 0:
                break
        return rows

    def iterate(self, after: int = 0) -> Iterator[Row]:
        """Yield all that waits behind the number `after`, in the order in which it came."""
        statement = f"SELECT {_COLUMNS} FROM outbox WHERE number > ? ORDER BY number"  # noqa: S608
        yield from map(Row._make, self._db.execute(statement, (after,)))

    def last_number(self) -> int:
        """Return the highest number of what waits; 0 if nothing does."""
        return int(self._one("SELECT coalesce(max(number), 0) FROM outbox"))

    def last_dead_letter(self) -> int:
        """Return the highest number that anything set aside has ever had; 0 if there was none."""
        return int(self._one("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'set_aside'"))

    def counts(self, overhead: int) -> list[tuple[Lane, int, int]]:
        """Return, for each lane, how many wait, and their bytes, `overhead` for each included."""
        found = self._db.execute(
            "SELECT lane, count(*), sum(length(CAST(topic AS BLOB)) + length(payload) + length(correlation) + ?)"
            " FROM outbox GROUP BY lane",
            (overhead,),
        )
        return [(Lane(lane), count, size) for lane, count, size in found]

    def topics(self) -> list[tuple[str, Lane, int]]:
        """Return, for each topic, the last lane that something of it waits in, and how many wait."""
        found = self._db.execute("SELECT topic, max(lane), count(*) FROM outbox GROUP BY topic")
        return [(topic, Lane(lane), count) for topic, lane, count in found]

    def retained(self) -> dict[str, bytes]:
        """Return, by topic, what the broker was last given to retain."""
        return dict(self._db.execute("SELECT topic, payload FROM retained"))

    def dead_letter_rows(self) -> list[DeadLetterRow]:
        """Return what no broker took."""
        return list(self.iterate_dead_letters())

    def iterate_dead_letters(self, after: int = 0, count: int = -1) -> Iterator[DeadLetterRow]:
        """Yield up to `count` of what no broker took, behind the number `after`."""
        statement = f"SELECT {_SET_ASIDE_COLUMNS} FROM set_aside WHERE number > ? ORDER BY number LIMIT ?"  # noqa: S608
        yield from map(DeadLetterRow._make, self._db.execute(statement, (after, count)))

    def newest_dead_states(self) -> dict[str, int]:
        """Return, by topic, the number of the last retained message that was set aside."""
        return dict(self._db.execute("SELECT topic, max(number) FROM set_aside WHERE retain GROUP BY topic"))

    def keep_only(self, spans: Mapping[Lane, tuple[int, int]]) -> None:
        """Of what waits, keep only what has a number between the two of its lane, both excluded."""
        kept = "".join(f" AND NOT (lane = {int(lane)} AND number > {begin} AND number < {end})"
                       for lane, (begin, end) in spans.items())  # fmt: skip
        self._db.execute(f"DELETE FROM outbox WHERE true{kept}")  # noqa: S608

    def purge(self, waiting: Sequence[int], set_aside: Sequence[int | None]) -> None:
        """Remove what waits, and what is set aside, by their numbers."""
        self.commit([], waiting, retried=set_aside)


def open_store(path: Path, say: Any, *, owns_folder: bool = False) -> OutboxStore:
    """Open the file at `path`; one that is damaged, or not ours, is set aside under a name that tells, and said.

    `say` is given the sentence. Raises `StoreError` where another process uses it, a later version wrote it, or
    there is no access to it.
    """
    try:
        return OutboxStore(path, owns_folder=owns_folder)
    except (CorruptFileError, ForeignFileError) as err:
        kind = "corrupt" if isinstance(err, CorruptFileError) else "foreign"
        try:
            aside = move_file_away(path, kind)
        except OSError as failed:
            raise StoreError(f"{err}, and cannot be set aside: {failed.strerror}: move it away") from failed
        say(f"{err}: it is set aside as {aside.name}, and a new outbox is begun")
        return OutboxStore(path, owns_folder=owns_folder)


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each run of consecutive numbers."""
    first = last = None
    for number in numbers:
        if first is None or last is None:
            first = last = number
        elif number == last + 1 or number == last:
            last = number
        else:
            yield first, last
            first = last = number
    if first is not None and last is not None:
        yield first, last
