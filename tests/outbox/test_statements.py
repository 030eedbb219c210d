from __future__ import annotations

import itertools
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message import Lane, Publication
from gateway.outbox import statements
from gateway.outbox.rows import Row


def row(number: int, lane: Lane = Lane.EVENT) -> Row:
    return Row.of(number, lane, 0.0, Publication("t", b"x", 1, lane=lane))


@pytest.fixture
def db() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.executescript(statements.TABLES)
    return db


def insert(db: sqlite3.Connection, rows: list[Row]) -> int:
    """Insert `rows`; return by how many statements."""
    all_statements = list(statements.inserts(rows))
    for statement, variables in all_statements:
        db.execute(statement, variables)
    return len(all_statements)


@given(st.lists(st.integers(0, 60)).map(sorted))
def test_runs_hold_each_number_and_no_other(numbers: list[int]) -> None:
    runs = list(statements.runs(numbers))
    assert [number for first, last in runs for number in range(first, last + 1)] == sorted(set(numbers))
    assert all(last + 1 < first for (_, last), (first, _) in itertools.pairwise(runs)), "as few as can be"


@pytest.mark.parametrize(("rows", "count"), [(0, 0), (1, 1), (7, 3), (2048, 1), (10_000, 8)])
def test_many_rows_are_inserted_by_few_statements(db: sqlite3.Connection, rows: int, count: int) -> None:
    assert insert(db, [row(number) for number in range(1, rows + 1)]) == count
    assert db.execute("SELECT count(*) FROM outbox").fetchone() == (rows,)


def test_rows_outside_the_ranges_of_their_lanes_are_deleted(db: sqlite3.Connection) -> None:
    insert(db, [row(number, Lane.BULK if number % 2 else Lane.EVENT) for number in range(1, 11)])
    db.execute(statements.delete_outside({Lane.BULK: (1, 9)}))
    assert db.execute("SELECT number FROM outbox").fetchall() == [(3,), (5,), (7,)]
    db.execute(statements.delete_outside({}))
    assert db.execute("SELECT number FROM outbox").fetchall() == []


def test_the_rows_of_a_lane_or_of_all_are_selected_in_their_order(db: sqlite3.Connection) -> None:
    insert(db, [row(number, Lane.BULK if number % 2 else Lane.EVENT) for number in (3, 1, 2, 4, 5)])

    def numbers(lane: Lane | None) -> list[int]:
        return [Row._make(values).number for values in db.execute(statements.select_rows(lane), (1, 2))]

    assert (numbers(None), numbers(Lane.BULK)) == ([2, 3], [3, 5])


@pytest.mark.parametrize("table", ["outbox", "set_aside", "retained"])
def test_a_missing_table_is_noticed(db: sqlite3.Connection, table: str) -> None:
    for check in statements.CHECKS:
        db.execute(check)
    db.execute(f"DROP TABLE {table}")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        for check in statements.CHECKS:
            db.execute(check)
