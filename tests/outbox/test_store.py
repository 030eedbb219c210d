from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.message import Lane, Publication
from gateway.outbox import store as store_module
from gateway.outbox.rows import DeadLetterRow, Row
from gateway.outbox.statements import VERSION
from gateway.outbox.store import (
    CorruptFileError,
    ForeignFileError,
    LaterVersionError,
    LockedStoreError,
    OutboxStore,
    StoreError,
    open_store,
)
from tests.support.disk import small_disk


def row(number: int, topic: str = "home/t", payload: bytes = b"x", lane: Lane = Lane.EVENT) -> Row:
    return Row.of(number, lane, 1000.5 + number, Publication(topic, payload, 1, lane=lane))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "gw.outbox"
    path.parent.mkdir(mode=0o700)
    return path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[OutboxStore]:
    with contextlib.closing(OutboxStore(path)) as store:
        yield store


def write(path: Path, count: int = 3) -> None:
    with opened(path) as store:
        store.commit([row(number, f"home/{number % 7}", bytes(200)) for number in range(1, count + 1)], [])


def execute(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


def files(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


# --- normal operation


def test_a_publication_is_read_as_it_was_written(path: Path) -> None:
    odd = Publication("ä/\x01/b", bytes(range(256)), 1, retain=True, lane=Lane.BULK, lifetime=0.5, correlation=b"\0c",
                      key=b"\xff\0", user_property=("ä", "\x01"))  # fmt: skip
    plain = Publication("a", b"", 1, lane=Lane.REPLY)
    with opened(path) as store:
        store.commit([Row.of(7, Lane.BULK, 123.25, odd), Row.of(9, Lane.REPLY, -5.0, plain)], [])
    with opened(path) as store:
        first, second = store.rows()
        assert (first.number, first.since, first.publication()) == (7, 123.25, odd)
        assert (second.number, second.since, second.publication()) == (9, -5.0, plain)
        assert store.last_number() == 9


def test_a_new_file_is_empty_and_only_for_its_owner(path: Path) -> None:
    with opened(path) as store:
        assert (store.rows(), store.last_number(), store.counts(100), store.topics(), store.retained()) == (
            [],
            0,
            [],
            [],
            {},
        )
        assert store.dead_letter_rows() == []
        store.commit([row(1)], [])
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}


def test_only_its_own_folder_is_created(tmp_path: Path) -> None:
    path = tmp_path / "home" / "state" / "gw.outbox"
    with pytest.raises(StoreError, match=f"No such file or directory: make the folder {path.parent}$"):
        OutboxStore(path)
    assert not path.parent.parent.exists()
    OutboxStore(path, owns_folder=True).close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_removed_rows_are_gone_and_the_others_are_not(path: Path) -> None:
    with opened(path) as store:
        store.commit([row(number) for number in range(1, 11)], [])
        store.commit([row(11)], [4, 2, 3, 3, 9, 77])
        assert [each.number for each in store.rows()] == [1, 5, 6, 7, 8, 10, 11]
        assert [each.number for each in store.iterate()] == [1, 5, 6, 7, 8, 10, 11]


def test_more_rows_than_a_statement_takes(path: Path) -> None:
    with opened(path) as store:
        store.commit([row(number) for number in range(1, 7778)], [])
        assert [each.number for each in store.rows()] == list(range(1, 7778))


def test_rows_of_a_lane_are_read_piece_by_piece(path: Path) -> None:
    with opened(path) as store:
        lanes = [Lane.BULK if number % 2 else Lane.EVENT for number in range(10)]
        store.commit([row(number, lane=lanes[number]) for number in range(1, 10)], [])
        assert [each.number for each in store.rows(Lane.BULK, 1, 3)] == [3, 5, 7]
        assert [each.number for each in store.rows(Lane.BULK, 7, 3)] == [9]
        assert store.rows(Lane.BULK, 9, 3) == []


def test_counts_and_topics(path: Path) -> None:
    with opened(path) as store:
        rows = [row(1, "a", b"12"), row(2, "bc", b"1", Lane.BULK), row(3, "a", b"", Lane.BULK), row(4, "a")]
        rows[2] = rows[2]._replace(key=b"k", property_name="ä", property_value="v")
        store.commit(rows, [])
        assert sorted(store.counts(100)) == [(Lane.EVENT, 2, 205), (Lane.BULK, 2, 208)]
        assert sorted(store.topics()) == [("a", Lane.BULK, 3), ("bc", Lane.BULK, 1)]


def test_what_is_retained_is_remembered_until_it_is_emptied(path: Path) -> None:
    with opened(path) as store:
        store.commit([], [], retained=[("a", b"1"), ("b", b"2")])
        store.commit([], [], retained=[("a", b"3"), ("b", b""), ("never", b"")])
    with opened(path) as store:
        assert store.retained() == {"a": b"3"}


def test_the_last_thousand_dead_letters_are_kept(path: Path) -> None:
    with opened(path) as store:
        for begin in (0, 600, 1200):
            store.commit([], [], [DeadLetterRow(None, 1.0, f"t{begin + n}", b"", 1, 0, "why") for n in range(600)])
        kept = store.dead_letter_rows()
        assert [each.topic for each in kept] == [f"t{number}" for number in range(800, 1800)]
        store.purge([], [each.number for each in kept[:999]])
        assert [each.topic for each in store.dead_letter_rows()] == ["t1799"]


def test_only_a_few_large_dead_letters_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_DEAD_LETTER_BYTES", 1000)
    with opened(path) as store:
        for number in range(10):
            store.commit([], [], [DeadLetterRow(None, 0.0, f"t{number}", bytes(300), 1, 0, "too large")])
        assert [each.topic for each in store.dead_letter_rows()] == ["t7", "t8", "t9"]
        store.commit([], [], [DeadLetterRow(None, 0.0, "large", bytes(3000), 1, 0, "too large")])
        assert [each.topic for each in store.dead_letter_rows()] == ["large"], "the last one is always there"


def test_a_commit_is_all_or_nothing(path: Path) -> None:
    with opened(path) as store:
        store.commit([row(1)], [])
        bad = row(3)._replace(lane=9)
        with pytest.raises(sqlite3.IntegrityError):
            store.commit([row(2), bad], [1], [DeadLetterRow(None, 1.0, "t", b"", 1, 0, "why")], [("a", b"1")])
        assert [each.number for each in store.rows()] == [1]
        assert (store.dead_letter_rows(), store.retained()) == ([], {})
        store.commit([row(4)], [])
        assert [each.number for each in store.rows()] == [1, 4]


VERSION_1 = """
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
INSERT INTO outbox VALUES (3, 2, 12.5, 'home/a', x'3132', 1, 1, 60.0, x'');
INSERT INTO set_aside VALUES (7, 11.5, 'home/b', x'3133', 1, 0, 'why');
INSERT INTO retained VALUES ('home/c', x'3134');
PRAGMA application_id = 0x6D716777;
PRAGMA user_version = 1;
"""


def test_a_file_of_an_earlier_version_is_read_and_used(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(VERSION_1)
    waiting = Publication("home/a", b"12", 1, retain=True, lane=Lane.LATEST, lifetime=60.0)
    with opened(path) as store:
        assert [(each.number, each.publication()) for each in store.rows()] == [(3, waiting)]
        assert [(each.number, each.publication().payload) for each in store.dead_letter_rows()] == [(7, b"13")]
        assert store.retained() == {"home/c": b"14"}
        store.commit(
            [Row.of(4, Lane.LATEST, 1.0, waiting.keyed(b"k"))], [], [DeadLetterRow(8, 1.0, "t", b"", 1, 0, "")]
        )
    with opened(path) as store:
        assert [each.publication().key for each in store.rows()] == [b"", b"k"]
        assert [each.number for each in store.dead_letter_rows()] == [7, 8]


def test_room_that_is_free_in_the_file_is_known(path: Path) -> None:
    with opened(path) as store:
        store.commit([row(number, payload=bytes(4000)) for number in range(1, 101)], [])
        assert store.free_bytes() < 50_000
        store.commit([], list(range(1, 101)))
        assert store.free_bytes() > 300_000


# --- files that cannot be used


def open_again(path: Path) -> tuple[list[str], list[int]]:
    """Open the store; return what is reported, and the numbers of the rows."""
    reports: list[str] = []
    with contextlib.closing(open_store(path, reports.append)) as store:
        numbers = [each.number for each in store.rows()]
        store.commit([row(10_000)], [])
    with opened(path) as store:
        assert store.rows()[-1].number == 10_000, "it works"
    return reports, numbers


@pytest.mark.parametrize("content", [b"hello, world\n" * 100, b"x", bytes(5000), b"\xff" * 4096, b"SQLite format 3\0"])
def test_a_file_of_something_else_is_moved_away(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    reports, numbers = open_again(path)
    assert numbers == []
    [moved] = [each for each in path.parent.iterdir() if each.name.startswith("gw.outbox.")]
    assert moved.read_bytes() == content
    assert len(reports) == 1
    assert str(path) in reports[0]
    assert f"moved to {moved.name}; created a new outbox" in reports[0]


def test_a_database_of_another_program_is_moved_away_as_foreign(path: Path) -> None:
    execute(path, "CREATE TABLE theirs (a)")
    content = path.read_bytes()
    reports, _ = open_again(path)
    assert f"{path} is a database of another program" in reports[0]
    [moved] = path.parent.glob("gw.outbox.foreign-*")
    assert moved.read_bytes() == content


def test_files_that_are_moved_away_in_the_same_second_have_different_names(path: Path) -> None:
    for content in (b"one" * 500, b"two" * 500, b"six" * 500):
        path.write_bytes(content)
        open_again(path)
    asides = list(path.parent.glob("gw.outbox.foreign-*"))
    assert sorted(each.read_bytes()[:3] for each in asides) == [b"one", b"six", b"two"]


@pytest.mark.parametrize("seed", range(12))
def test_a_truncated_file_is_moved_away(path: Path, seed: int) -> None:
    write(path, 500)
    whole = path.read_bytes()
    size = random.Random(seed).randrange(1, len(whole))
    path.write_bytes(whole[:size])
    reports, numbers = open_again(path)
    assert numbers == []
    assert "is corrupt" in reports[0] or "is not an outbox file" in reports[0]
    [moved] = [each for each in path.parent.iterdir() if each.name.startswith("gw.outbox.")]
    assert moved.read_bytes() == whole[:size]


@pytest.mark.parametrize("seed", range(12))
def test_a_file_with_garbage_in_it_is_moved_away_or_has_rows_that_were_written(path: Path, seed: int) -> None:
    write(path, 500)
    chance = random.Random(seed)
    content = bytearray(path.read_bytes())
    begin = chance.randrange(len(content) - 2000)
    content[begin : begin + 2000] = chance.randbytes(2000)
    path.write_bytes(content)
    reports, numbers = open_again(path)
    assert len(reports) <= 1
    assert set(numbers) <= set(range(1, 501))
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("statement", ["DROP TABLE outbox", "ALTER TABLE outbox DROP COLUMN lifetime"])
def test_a_file_without_our_tables_is_moved_away(path: Path, statement: str) -> None:
    write(path)
    execute(path, statement)
    reports, numbers = open_again(path)
    assert numbers == []
    assert "is corrupt" in reports[0]
    assert list(path.parent.glob("gw.outbox.corrupt-*"))


@pytest.mark.parametrize("table", ["retained", "set_aside"])
def test_a_file_without_one_of_the_smaller_tables_is_moved_away(path: Path, table: str) -> None:
    write(path)
    execute(path, f"DROP TABLE {table}")
    reports, _ = open_again(path)
    assert "is corrupt" in reports[0]


def test_invalid_values_are_refused_by_the_file(path: Path) -> None:
    write(path)
    for change in ("lane = 4", "lane = -1", "payload = 1", "topic = NULL"):
        with pytest.raises(sqlite3.IntegrityError):
            execute(path, f"UPDATE outbox SET {change}")


def test_invalid_values_that_are_in_the_file_are_noticed(path: Path) -> None:
    write(path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute("UPDATE outbox SET lane = 4 WHERE number = 2")
    reports, numbers = open_again(path)
    assert numbers == []
    assert "is corrupt (CHECK constraint failed" in reports[0]


def test_a_file_that_cannot_be_moved_away_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)  # the longer name does not exist in any file system
    path.write_bytes(b"something else" * 100)
    with pytest.raises(StoreError, match=r"cannot be renamed: File name too long: move it away$"):
        open_store(path, lambda _: None)


@pytest.mark.parametrize("has_wal", [False, True])
def test_a_file_of_a_later_version_is_refused_and_stays_byte_for_byte(path: Path, has_wal: bool) -> None:
    write(path)
    execute(path, f"PRAGMA user_version = {VERSION + 1}")
    if has_wal:  # as a gateway leaves it that was killed
        program = "import sqlite3, os, sys; db = sqlite3.connect(sys.argv[1]); db.execute('DELETE FROM outbox')"
        subprocess.run([sys.executable, "-c", f"{program}; db.commit(); os._exit(0)", str(path)], check=True)
        assert path.with_name("gw.outbox-wal").stat().st_size > 0
    before = files(path)
    with pytest.raises(
        LaterVersionError, match=rf"later version .* \(format {VERSION + 1}, this one knows {VERSION}\)"
    ):
        open_store(path, lambda _: None)
    assert files(path) == before


# --- no access


def test_a_file_in_use_is_refused_and_stays(path: Path) -> None:
    with opened(path) as store:
        store.commit([row(1)], [])
        with pytest.raises(LockedStoreError, match="is in use: does another gateway run with it"):
            open_store(path, lambda _: None)
        store.commit([row(2)], [])
        assert len(store.rows()) == 2
    assert [each.name for each in path.parent.iterdir()] == ["gw.outbox"]


def test_a_file_in_use_by_another_process_is_refused_until_that_is_killed(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gateway.outbox.store import OutboxStore;"
        "from tests.outbox.test_store import row;"
        "store = OutboxStore(Path(sys.argv[1])); store.commit([row(5)], []); print('ready', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        with pytest.raises(LockedStoreError):
            OutboxStore(path)
        child.kill()
    with opened(path) as store:
        assert [each.number for each in store.rows()] == [5]


@pytest.mark.parametrize("kind", ["folder", "link", "link to nothing", "device", "NUL", "file as folder"])
def test_a_path_that_is_not_a_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "gw.outbox"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        write(tmp_path / "real")
        path.symlink_to(tmp_path / "real")
    elif kind == "link to nothing":
        path.symlink_to(tmp_path / "nothing")
    elif kind == "device":
        path = Path("/dev/null")
    elif kind == "NUL":
        path = tmp_path / "a\0b"
    else:
        path.touch()
        path = path / "gw.outbox"
    with pytest.raises(StoreError, match=r"outbox\.file"):
        open_store(path, lambda _: None)
    assert not (tmp_path / "nothing").exists()


def test_a_file_that_must_exist_is_not_created(path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        OutboxStore(path, must_exist=True)
    assert not path.exists()


@pytest.mark.root
def test_without_room_for_a_new_file_an_error_is_raised(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256 * 1024) as disk:
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", 0) as ballast:
            while ballast.write(bytes(4096)):
                pass
        with pytest.raises(StoreError, match=r"check the disk and outbox\.file"):
            open_store(disk / "gw.outbox", lambda _: None)


@pytest.mark.root
def test_a_read_only_disk_is_an_error(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1024 * 1024) as disk:
        write(disk / "gw.outbox")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StoreError, match="Read-only file system"):
            open_store(disk / "gw.outbox", lambda _: None)


@pytest.mark.parametrize("err", [CorruptFileError, ForeignFileError, LaterVersionError, LockedStoreError])
def test_every_error_of_a_file_is_a_store_error(err: type[Exception]) -> None:
    assert issubclass(err, StoreError)


def test_a_large_outbox_opens_fast(path: Path) -> None:
    with opened(path) as store:
        store.commit([row(number, f"home/{number % 50}", bytes(60)) for number in range(1, 100_001)], [])
    began = os.times().elapsed
    with opened(path) as store:
        assert sum(count for _, count, _ in store.counts(100)) == 100_000
        assert len(store.topics()) == 50
    assert os.times().elapsed - began < 2.0


@pytest.mark.root
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_in_a_shared_folder_no_file_of_another_user_is_used(tmp_path: Path, suffix: str) -> None:
    """What is in it would be published with our rights; SQLite reads what lies beside it as well."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    path = folder / "gw.outbox"
    OutboxStore(path).close()
    beside = path.with_name(path.name + suffix)
    beside.touch()
    os.chown(beside, 65534, 65534)
    with pytest.raises(StoreError, match="this file belongs to the user with id 65534: remove it, or be that user"):
        OutboxStore(path)
