"""Opens files and folders safely where other users may write, too: never follows their symbolic links."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class NotOwnError(OSError):
    """A file or folder belongs to another user, or others may change it. `strerror` has the reason and the remedy."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


def open_own_folder(path: Path, *, create: bool = False) -> int:
    """Return a descriptor of the folder at `path`, which belongs to us or root, and which only its owner may write to.

    With `create` a missing folder is created, accessible to its owner only. Root also accepts a folder of another user
    if root alone could have created it, as systemd does for a service. Raises `NotOwnError`, or `OSError` if there is
    no such folder. Files that are opened relative to the descriptor cannot be exchanged between check and use.
    """
    if create:
        # Not `exist_ok`, which follows a link: with fs.protected_symlinks, the kernel refuses that of a stranger
        # without saying why.
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=True)
    status = path.lstat()
    is_link = stat.S_ISLNK(status.st_mode)
    if is_link:
        _check_owner(path, status, "link")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(path, flags if is_link else flags | os.O_NOFOLLOW)
    try:
        opened = os.fstat(descriptor)
        if not _was_created_by_root(path):
            _check_owner(path, opened, "folder")
        if opened.st_mode & _WRITABLE_BY_OTHERS:
            raise NotOwnError(path, "others may write to this folder: chmod go-w it")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_to_append(path: Path, mode: int) -> int:
    """Return a descriptor for appending to the file at `path`; a new file gets `mode`, less the umask.

    In a folder in which all users may write, such as that for temporary files, a link or file of another user is
    refused (`NotOwnError`), as the kernel does if fs.protected_symlinks and fs.protected_regular are set. Raises
    `OSError` for a pipe without a reader, and for any other file that cannot be opened, and `ValueError` for an
    impossible file name.
    """
    if "\0" in str(path):  # the text that Python itself has for this differs between its versions
        raise ValueError("its name contains a NUL character")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    if not path.parent.stat().st_mode & stat.S_IWOTH:
        return _open_without_waiting(path, flags, mode)
    is_link = path.is_symlink()
    with contextlib.suppress(FileNotFoundError):  # before it is opened: the kernel refuses it without saying why
        _check_owner(path, path.lstat(), "link" if is_link else "file")
    if is_link:
        return _open_without_waiting(path, flags, mode)
    descriptor = _open_without_waiting(path, flags | os.O_NOFOLLOW, mode)
    try:
        _check_owner(path, os.fstat(descriptor), "file")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_without_waiting(path: Path, flags: int, mode: int) -> int:
    """Open a file without blocking: opening a pipe would wait for a reader, possibly forever (open(2), O_NONBLOCK)."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK, mode)
    except OSError as err:
        if err.errno == errno.ENXIO:
            raise OSError(err.errno, "this is a pipe without a reader: remove it", str(path)) from err
        raise
    os.set_blocking(descriptor, True)
    return descriptor


def refuse_foreign_file(path: Path) -> None:
    """Raise `NotOwnError` if the file at `path` belongs to another user, or others may change it; ignore a missing one.

    This is checked only in a folder in which all users may write: elsewhere only a permitted user has created the file.
    If the folder has the sticky bit, as /tmp has, no other user can exchange a file of ours afterwards.
    """
    try:
        status = path.lstat()
        if not path.parent.stat().st_mode & stat.S_IWOTH:
            return
    except (OSError, ValueError):  # ValueError: a NUL in the name; opening the file reports it
        return
    _check_owner(path, status, "file")
    # The mode of a link itself is meaningless.
    if status.st_mode & _WRITABLE_BY_OTHERS and not stat.S_ISLNK(status.st_mode):
        raise NotOwnError(path, "others may write to this file: chmod go-w it")


def _check_owner(path: Path, status: os.stat_result, kind: str) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise NotOwnError(path, f"this {kind} belongs to the user with id {status.st_uid}: remove it, or be that user")


def _was_created_by_root(path: Path) -> bool:
    """Return whether we are root, and only root can have created the folder, whoever owns it."""
    if os.geteuid() != 0:
        return False
    parent = path.resolve().parent.stat()
    return parent.st_uid == 0 and not parent.st_mode & _WRITABLE_BY_OTHERS
