"""Finds out which other users can change or read the files of a configuration.

A user who can change code that the gateway runs can do whatever the gateway can. Access control lists and capabilities
are not checked. Nothing here opens a file.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_MAX_BESIDE = 10_000  # files of a folder that are checked
_CODE = (".py", ".pyc", ".so")


class Access(NamedTuple):
    """An access to a file that another user should not have: the file, what the user can do, and the remedy."""

    path: Path
    what: str
    remedy: str


def runs_for_all(environment: Mapping[str, str]) -> bool:
    """Return whether this process is root or a service, so that it has more rights than the users who edit files.

    systemd.exec(5): SYSTEMD_EXEC_PID is the process that was started for the unit; its children inherit the variable.
    """
    return os.geteuid() == 0 or environment.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def who_may_change(path: Path) -> Access | None:
    """Return which other user can change the file at `path`, or replace it in one of the folders of its path.

    That is the case if every user may write to it, or if its owner is neither root nor the user of this process.
    None if there is no such user, or no such file.
    """
    if (access := _who_may_change_file(path)) is not None or _stat(path) is None:
        return access
    for folder, status in _folders(path):
        access = _who_may(path, f"the folder {folder}, and so {path.name},", "folder", folder, status)
        if access is not None:
            return access
    return None


def who_may_change_page(path: Path) -> Access | None:
    """Return the same as `who_may_change` for a file that the page of a gateway writes.

    To root, who does not know as which user the gateway runs, the owner of such a file is right.
    """
    status = _stat(path)
    if os.geteuid() == 0 and status is not None and status.st_uid != 0:
        return _who_may(path, "it", "file", path, os.stat_result((*status[:4], 0, *status[5:10])))
    return who_may_change(path)


def group_that_may_change(path: Path) -> Access | None:
    """Return which group can change the file at `path`; None if it is the own group of its owner."""
    status = _stat(path)
    if (
        status is None
        or not status.st_mode & stat.S_IWGRP
        or _group(status.st_gid) == _user(status.st_uid).partition(" ")[0]
    ):
        return None
    return Access(
        path, f"it can be changed by the group {_group(status.st_gid)}", "run chmod g-w on it if that is not intended"
    )


def who_may_read(path: Path) -> Access | None:
    """Return the finding that every user can read the file at `path`, which contains a secret; None if not so."""
    status = _stat(path)
    if status is None or not status.st_mode & stat.S_IROTH or not _is_reached_by_all(path):
        return None
    remedy = "run chmod o-r on it"
    if os.geteuid() not in (0, status.st_uid) and status.st_gid not in (os.getegid(), *os.getgroups()):
        remedy = f"run chgrp {_group(os.getegid())} on it, or this program could not read it any more, and chmod o-r"
    return Access(path, "it contains a secret, and every user can read it", remedy)


def who_may_change_code(path: Path) -> Access | None:
    """Return the same as `who_may_change` for a Python file and for the modules beside it, which it can import."""
    access = who_may_change(path)
    if access is None:
        accesses = map(_who_may_change_file, itertools.islice(_code_beside(path), _MAX_BESIDE))
        access = next(filter(None, accesses), None)
    return access


def _who_may_change_file(path: Path) -> Access | None:
    status = _stat(path)
    return None if status is None else _who_may(path, "it", "file", path, status)


def _who_may(path: Path, named: str, kind: str, file: Path, status: os.stat_result) -> Access | None:
    """Return which other user can change `file`, a file or folder with the given `status`; `named` is for the text."""
    if status.st_uid not in (0, os.geteuid()):
        what = (
            f"{named} belongs to the user {_user(status.st_uid)}, "
            f"who is neither root nor the user that runs this program"
        )
        remedy = (
            f"run chown root on the {kind}, or start the program as its user (in a container: --user {status.st_uid})"
        )
        return Access(path, what, remedy)
    is_sticky = kind == "folder" and status.st_mode & stat.S_ISVTX  # sticky: only its owner can replace a file in it
    is_link = stat.S_ISLNK(status.st_mode)  # the mode of a link has no meaning
    if status.st_mode & stat.S_IWOTH and not (is_sticky or is_link) and _is_reached_by_all(file):
        return Access(path, f"{named} can be changed by every user", f"run chmod o-w on the {kind}")
    return None


def _code_beside(path: Path) -> Iterator[Path]:
    cache = path.parent / "__pycache__"
    try:
        yield from (file for file in path.parent.iterdir() if file.suffix in _CODE and file != path)
        if cache.is_dir():
            yield cache
            yield from cache.iterdir()
    except OSError:  # the modules of a folder that cannot be listed can be imported, but not checked
        return


def _folders(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the folders of the path of a file, as written and with links resolved, and these links."""
    path = path.absolute()
    for link in (path, *path.parents):
        if link.is_symlink():
            yield link, link.lstat()
    for folder in dict.fromkeys((*path.parents, *path.resolve().parents)):
        status = _stat(folder)
        if status is not None:
            yield folder, status


def _is_reached_by_all(path: Path) -> bool:
    return all(status.st_mode & stat.S_IXOTH for _, status in _folders(path) if stat.S_ISDIR(status.st_mode))


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the path; opening the file reports it
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
