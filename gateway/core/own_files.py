"""Files and folders of one's own, where others may write beside them: no symbolic link of a stranger is followed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class NotOwnError(OSError):
    """What is there belongs to somebody else, or others may change it: what, and the remedy as its `strerror`."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


def open_own_folder(path: Path, *, create: bool = False) -> int:
    """Return a descriptor of the folder at `path`, which is ours or root's, and which nobody else may write to.

    With `create` it is made, for its owner only, if it is missing. Root also takes a folder of another user where
    root alone could have put it, as systemd does for a service. Raises `NotOwnError`, or `OSError` where there is none.
    What is opened by the descriptor cannot be exchanged between the look and the use.
    """
    if create:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    is_link = stat.S_ISLNK(found.st_mode)
    if is_link:
        _refuse_stranger(path, found, "link")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(path, flags if is_link else flags | os.O_NOFOLLOW)
    try:
        opened = os.fstat(descriptor)
        if not _is_put_there_by_root(path):
            _refuse_stranger(path, opened, "folder")
        if opened.st_mode & _WRITABLE_BY_OTHERS:
            raise NotOwnError(path, "others may write to this folder: chmod go-w it")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_to_append(path: Path, mode: int) -> int:
    """Return a descriptor of the file at `path`, to append to; a new file gets `mode`, less the umask.

    In a folder in which all may write, such as that for temporary files, a link or a file of a stranger is refused
    (`NotOwnError`), as the kernel does where fs.protected_symlinks and fs.protected_regular are set. Raises `OSError`
    for a pipe that nobody reads, and for what else cannot be opened; `ValueError` for a name that no file can have.
    """
    if "\0" in str(path):  # each version of Python has words of its own for it
        raise ValueError("its name holds a NUL character")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    if not path.parent.stat().st_mode & stat.S_IWOTH:
        return _open_without_waiting(path, flags, mode)
    if path.is_symlink():
        _refuse_stranger(path, path.lstat(), "link")
        return _open_without_waiting(path, flags, mode)
    descriptor = _open_without_waiting(path, flags | os.O_NOFOLLOW, mode)
    try:
        _refuse_stranger(path, os.fstat(descriptor), "file")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_without_waiting(path: Path, flags: int, mode: int) -> int:
    """Open a file; a pipe would wait for somebody who reads it, for ever (open(2), O_NONBLOCK)."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK, mode)
    except OSError as err:
        if err.errno == errno.ENXIO:
            raise OSError(err.errno, "this is a pipe that nobody reads: remove it", str(path)) from err
        raise
    os.set_blocking(descriptor, True)
    return descriptor


def refuse_foreign_file(path: Path) -> None:
    """Raise `NotOwnError` if the file at `path` is a stranger's, or others may change it; where there is none, do not.

    Only in a folder in which all may write: elsewhere nobody has put it there unasked. In one with the sticky bit,
    as /tmp has it, no stranger can exchange a file of ours afterwards.
    """
    try:
        found = path.lstat()
        if not path.parent.stat().st_mode & stat.S_IWOTH:
            return
    except (OSError, ValueError):  # the latter: a NUL; who opens it will say
        return
    _refuse_stranger(path, found, "file")
    if found.st_mode & _WRITABLE_BY_OTHERS and not stat.S_ISLNK(found.st_mode):  # the mode of a link says nothing
        raise NotOwnError(path, "others may write to this file: chmod go-w it")


def _refuse_stranger(path: Path, found: os.stat_result, what: str) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise NotOwnError(path, f"this {what} belongs to the user with id {found.st_uid}: remove it, or be that user")


def _is_put_there_by_root(path: Path) -> bool:
    """Return whether we are root, and nobody but root can have put the folder there, whoever owns it."""
    if os.geteuid() != 0:
        return False
    above = path.resolve().parent.stat()
    return above.st_uid == 0 and not above.st_mode & _WRITABLE_BY_OTHERS
