"""The free space on the disk of the outbox: whether it is full, and how large a commit may be."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from gateway.core.package_logger import package_logger

LOG = package_logger(__name__)

_RESERVE = 4 * 1024**2  # bytes of the disk that are left free, so that SQLite can still clean up
_SHARE = 4  # a commit gets at most this part of the free space: it is written to SQLite's log, and then to the file
_LEAST = 64 * 1024  # bytes that a commit always gets: SQLite's log has that much room already


class DiskSpace:
    """The free space on the disk of the file at `path`, as of the last `check`. `statvfs` is that of `os`."""

    def __init__(self, path: Path, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> None:
        self._path = path
        self._statvfs = statvfs
        self.free = 0
        """Free bytes of the disk."""
        self.is_full = False
        """Whether no more than the reserve is free."""
        try:
            disk = statvfs(path.parent)
        except OSError:
            self._reserve = 0
        else:
            self._reserve = min(_RESERVE, disk.f_blocks * disk.f_frsize // 8)

    @property
    def largest_commit(self) -> int:
        """How many bytes may be committed at a time."""
        return max(_LEAST, self.free // _SHARE)

    def check(self, free_in_file: Callable[[], int]) -> bool:
        """Return whether the disk is full, and log when that begins and ends.

        `free_in_file` returns how many bytes of the file are unused: SQLite uses these before the file grows, so the
        disk counts as full only if they are few, too.
        """
        is_full = self._usable(free_in_file) < self._reserve
        if is_full != self.is_full:
            self.is_full = is_full
            if is_full:
                LOG.error("disk full (%s): outbox limits now apply in memory; free some space", self._path)
            else:
                LOG.info("disk has room again (%s)", self._path)
        return is_full

    def _usable(self, free_in_file: Callable[[], int]) -> int:
        try:
            disk = self._statvfs(self._path.parent)
            self.free = disk.f_bavail * disk.f_frsize
            return self.free if self.free >= self._reserve else max(self.free, free_in_file())
        except (OSError, sqlite3.Error):
            return self._reserve  # the commit that follows reports what is wrong
