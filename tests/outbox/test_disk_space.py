from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

import pytest

from gateway.outbox.disk_space import DiskSpace
from tests.conftest import ExpectedLogs

MIB = 1024**2
FULL = "disk full (/state/gw.outbox): outbox limits now apply in memory; free some space"


class Disk:
    """A disk of some bytes, as `os.statvfs` describes it."""

    def __init__(self, size: int, free: int) -> None:
        self.size = size
        self.free = free
        self.error: OSError | None = None
        self.folders: list[Path] = []

    def statvfs(self, folder: Path) -> os.statvfs_result:
        self.folders.append(folder)
        if self.error is not None:
            raise self.error
        return os.statvfs_result((4096, 4096, self.size // 4096, 0, self.free // 4096, 0, 0, 0, 0, 255))

    def space(self) -> DiskSpace:
        return DiskSpace(Path("/state/gw.outbox"), self.statvfs)


def none_in_file() -> int:
    return 0


def test_a_full_disk_is_logged_once_and_so_is_that_it_has_room_again(
    expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.expect(FULL)
    caplog.set_level(logging.INFO)
    disk = Disk(1000 * MIB, 5 * MIB)
    space = disk.space()
    checks = []
    for free in (5, 3, 3, 5, 5):
        disk.free = free * MIB
        checks.append(space.check(none_in_file))
    assert checks == [False, True, True, False, False]
    assert [record.getMessage() for record in caplog.records] == [
        FULL,
        "disk has room again (/state/gw.outbox)",
    ]
    assert set(disk.folders) == {Path("/state")}, "the file itself may not exist"


@pytest.mark.parametrize(("size", "free", "is_full"), [(8, 2, False), (8, 0, True), (1000, 3, True)])
def test_of_a_small_disk_an_eighth_is_left_free(
    size: int, free: int, is_full: bool, expected_logs: ExpectedLogs
) -> None:
    if is_full:
        expected_logs.expect(FULL)
    assert Disk(size * MIB, free * MIB).space().check(none_in_file) is is_full


def test_a_file_with_unused_bytes_is_not_full_even_if_its_disk_is() -> None:
    assert not Disk(1000 * MIB, 0).space().check(lambda: 4 * MIB)


def test_what_cannot_be_checked_does_not_count_as_full() -> None:
    """The commit that follows reports what is wrong with the disk."""

    def damaged() -> int:
        raise sqlite3.DatabaseError("malformed")

    disk = Disk(1000 * MIB, 0)
    space = disk.space()
    assert not space.check(damaged)
    disk.error = FileNotFoundError(2, "no such folder")
    assert not space.check(none_in_file)
    assert not disk.space().check(none_in_file), "nor where it cannot be checked from the start"


def test_a_commit_gets_a_quarter_of_the_free_space_but_always_some() -> None:
    disk = Disk(1000 * MIB, 400 * MIB)
    space = disk.space()
    assert space.largest_commit == 64 * 1024, "nothing is known yet"
    space.check(none_in_file)
    assert (space.free, space.largest_commit) == (400 * MIB, 100 * MIB)
