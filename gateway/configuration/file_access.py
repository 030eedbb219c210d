"""Who else may change, or read, the files that a configuration is made of: whoever may change code, runs it as us.

Access lists and capabilities are not looked at. Nothing here opens a file.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_MAX_BESIDE = 10_000  # files of a folder that are looked at
_CODE = (".py", ".pyc", ".so")


class Access(NamedTuple):
    """Somebody who may do what they should not: which file, what they may, and the remedy."""

    path: Path
    what: str
    remedy: str


def runs_for_all(environment: Mapping[str, str]) -> bool:
    """Return whether this process is root, or a service: its rights are worth more than those of who edits files.

    systemd.exec: SYSTEMD_EXEC_PID is the process that was started for the unit; what that starts has it, too.
    """
    return os.geteuid() == 0 or environment.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def who_may_change(path: Path) -> Access | None:
    """Return why the file at `path` is not ours alone: all may write to it, or it is of neither root nor ourselves.

    The same of a folder on the way to it, where it could be exchanged. None if it is ours, or not there.
    """
    if (access := _who_may_change_file(path)) is not None or _stat(path) is None:
        return access
    for folder, found in _folders(path):
        access = _who_may(path, f"the folder {folder}, and so {path.name},", "folder", folder, found)
        if access is not None:
            return access
    return None


def group_that_may_change(path: Path) -> Access | None:
    """Return which group may write to the file at `path`; None if it is that of its owner alone."""
    found = _stat(path)
    if (
        found is None
        or not found.st_mode & stat.S_IWGRP
        or _group(found.st_gid) == _user(found.st_uid).partition(" ")[0]
    ):
        return None
    return Access(path, f"it may be changed by the group {_group(found.st_gid)}", "chmod g-w it, if that is too many")


def who_may_read(path: Path) -> Access | None:
    """Return whether everybody may read the file at `path`, in which there is a secret."""
    found = _stat(path)
    if found is None or not found.st_mode & stat.S_IROTH or not _is_reached_by_all(path):
        return None
    return Access(path, "there is a secret in it, and everybody may read it", "chmod o-r it")


def who_may_change_code(path: Path) -> Access | None:
    """Return as `who_may_change` of the Python file at `path`, and of the modules beside it, which it can import."""
    access = who_may_change(path)
    if access is None:
        found = map(_who_may_change_file, itertools.islice(_code_beside(path), _MAX_BESIDE))
        access = next(filter(None, found), None)
    return access


def _who_may_change_file(path: Path) -> Access | None:
    found = _stat(path)
    return None if found is None else _who_may(path, "it", "file", path, found)


def _who_may(path: Path, named: str, kind: str, file: Path, found: os.stat_result) -> Access | None:
    """Return who may change `file`, a file or a folder, of which `found` is the status."""
    if found.st_uid not in (0, os.geteuid()):
        what = f"{named} belongs to the user {_user(found.st_uid)}, who is neither root nor the one that runs this"
        remedy = f"chown root the {kind}, or run as its user (in a container: --user {found.st_uid})"
        return Access(path, what, remedy)
    is_kept_apart = kind == "folder" and found.st_mode & stat.S_ISVTX  # in there, nobody touches the files of others
    is_link = stat.S_ISLNK(found.st_mode)  # whose mode says nothing
    if found.st_mode & stat.S_IWOTH and not (is_kept_apart or is_link) and _is_reached_by_all(file):
        return Access(path, f"{named} may be changed by everybody", f"chmod o-w the {kind}")
    return None


def _code_beside(path: Path) -> Iterator[Path]:
    cache = path.parent / "__pycache__"
    try:
        yield from (file for file in path.parent.iterdir() if file.suffix in _CODE and file != path)
        if cache.is_dir():
            yield cache
            yield from cache.iterdir()
    except OSError:  # what cannot be listed can be imported all the same; but then nobody can say
        return


def _folders(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the folders on the way to a file, as its path has them and as they are without links; and these links."""
    path = path.absolute()
    for link in (path, *path.parents):
        if link.is_symlink():
            yield link, link.lstat()
    for folder in dict.fromkeys((*path.parents, *path.resolve().parents)):
        found = _stat(folder)
        if found is not None:
            yield folder, found


def _is_reached_by_all(path: Path) -> bool:
    return all(found.st_mode & stat.S_IXOTH for _, found in _folders(path) if stat.S_ISDIR(found.st_mode))


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):  # the latter: a NUL; who opens it will say
        return None


def _user(number: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(number).pw_name} (id {number})"
    except KeyError:
        return f"with id {number}"


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return f"with id {number}"
