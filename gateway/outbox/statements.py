"""The SQL of the outbox file: its tables, its columns and its longer statements. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.message import Lane
from gateway.outbox.rows import Row

APPLICATION_ID = 0x6D716777
"""In the header of the file (`PRAGMA application_id`): "mqgw"."""

VERSION = 2
"""The version of the tables (`PRAGMA user_version`). A file of a later version is refused and never changed."""

_MAX_VARIABLES = 30_000  # of the 32,766 that SQLite accepts in one statement since 3.32

TABLES = """
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY, lane INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 3),
    since REAL NOT NULL, topic TEXT NOT NULL,
    payload BLOB NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, lifetime REAL, correlation BLOB NOT NULL,
    state_key BLOB NOT NULL DEFAULT x'',
    property_name TEXT NOT NULL DEFAULT '', property_value TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX outbox_lane ON outbox (lane, number);
CREATE TABLE set_aside (
    number INTEGER PRIMARY KEY AUTOINCREMENT, since REAL NOT NULL, topic TEXT NOT NULL,
    payload BLOB NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, reason TEXT NOT NULL,
    property_name TEXT NOT NULL DEFAULT '', property_value TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE retained (topic TEXT PRIMARY KEY, payload BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""
"""The tables of a new file. Dead letters are in `set_aside`: another name would keep earlier versions from the file."""

UPGRADES: Mapping[int, str] = {
    1: """
ALTER TABLE outbox ADD COLUMN state_key BLOB NOT NULL DEFAULT x'';
ALTER TABLE outbox ADD COLUMN property_name TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN property_value TEXT NOT NULL DEFAULT '';
ALTER TABLE set_aside ADD COLUMN property_name TEXT NOT NULL DEFAULT '';
ALTER TABLE set_aside ADD COLUMN property_value TEXT NOT NULL DEFAULT ''
""",
}
"""By version, the statements that make its tables those of the next version."""

_PROPERTY = "property_name, property_value"
_COLUMNS = f"number, lane, since, topic, payload, qos, retain, lifetime, correlation, state_key, {_PROPERTY}"
_DEAD_LETTER_COLUMNS = f"number, since, topic, payload, qos, retain, reason, {_PROPERTY}"

CHECKS = tuple(
    f"SELECT {columns} FROM {table} LIMIT 1"  # noqa: S608
    for columns, table in (
        (_COLUMNS, "outbox"), (_DEAD_LETTER_COLUMNS, "set_aside"), ("topic, payload", "retained")
    )
)  # fmt: skip
"""Statements that fail if a table or a column of it is missing."""

WAITING = f"SELECT {_COLUMNS} FROM outbox WHERE number > ? ORDER BY number"  # noqa: S608
"""All rows that wait behind a number."""

DEAD_LETTERS = f"SELECT {_DEAD_LETTER_COLUMNS} FROM set_aside WHERE number > ? ORDER BY number LIMIT ?"  # noqa: S608
"""Some dead letters behind a number."""

WRITE_DEAD_LETTER = f"INSERT OR REPLACE INTO set_aside ({_DEAD_LETTER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608

LIMIT_DEAD_LETTERS = """
DELETE FROM set_aside WHERE
    number <= (SELECT number FROM set_aside ORDER BY number DESC LIMIT 1 OFFSET ?)
    OR number < (
        SELECT coalesce(min(CASE WHEN size <= ? THEN number END), max(number)) FROM
        (SELECT number, sum(length(payload)) OVER (ORDER BY number DESC) AS size FROM set_aside)
    )
"""
"""Removes all dead letters but the last ones: by number, and by the bytes of their payloads. Keeps at least one."""


def select_rows(lane: Lane | None) -> str:
    """Return the statement for some rows of `lane` (None: of all lanes) that wait behind a number."""
    where = "" if lane is None else f"lane = {int(lane)} AND "
    return f"SELECT {_COLUMNS} FROM outbox WHERE {where}number > ? ORDER BY number LIMIT ?"  # noqa: S608


def inserts(rows: Sequence[Row]) -> Iterator[tuple[str, list[object]]]:
    """Yield the statements that insert `rows`, each with its variables.

    One statement inserts many rows, because SQLite releases the interpreter lock once for each statement, and may wait
    to get it back. The numbers of rows are powers of two, so that only few different statements are ever compiled.
    """
    width = len(Row._fields)
    one_row = f"({', '.join('?' * width)})"
    begin = 0
    while begin < len(rows):
        count = min(1 << (len(rows) - begin).bit_length() - 1, _MAX_VARIABLES // width)
        values = ", ".join([one_row] * count)
        statement = f"INSERT OR REPLACE INTO outbox ({_COLUMNS}) VALUES {values}"  # noqa: S608
        yield statement, [value for row in rows[begin : begin + count] for value in row]
        begin += count


def delete_outside(ranges: Mapping[Lane, tuple[int, int]]) -> str:
    """Return the statement that removes all rows but those with a number inside the range of their lane."""
    kept = "".join(f" AND NOT (lane = {int(lane)} AND number > {begin} AND number < {end})"
                   for lane, (begin, end) in ranges.items())  # fmt: skip
    return f"DELETE FROM outbox WHERE true{kept}"  # noqa: S608


def runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last number of each run of consecutive ones in `numbers`, which are sorted."""
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
