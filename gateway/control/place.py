"""The place of a gateway's control socket: its folder, its file, and the checks of who owns them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.control.protocol import ControlError
from gateway.core.paths import NAME, runtime_folders

_LONGEST_ADDRESS = 107  # bytes: sun_path of unix(7), with its NUL
_LONGEST_LOCK = 1.0  # s that another gateway may take to create its socket
_RETRY = 0.01  # s
_BACKLOG = 8
_ENDING = ".sock"
_UCRED = struct.Struct("3i")  # unix(7), SO_PEERCRED


class Peer(NamedTuple):
    """The process at the other end of a unix socket, as the kernel knows it."""

    pid: int
    uid: int
    gid: int


def peer_of(sock: socket.socket) -> Peer:
    """Return the process at the other end of `sock`, as it was when it connected or listened. Raises `OSError`."""
    return Peer._make(_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))


def folders_to_search(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders in which the socket of a running gateway may be, the most likely one first."""
    yield from runtime_folders(environment)
    for_units = Path("/run") / NAME  # created by systemd, with one folder for each unit
    yield for_units
    with contextlib.suppress(OSError):
        yield from sorted(path for path in for_units.iterdir() if path.is_dir())


def names_in(folder: int) -> list[str]:
    """Return the names of the gateways that have a socket in the folder with the descriptor `folder`."""
    try:
        return sorted(file.removesuffix(_ENDING) for file in os.listdir(folder) if file.endswith(_ENDING))
    except OSError:
        return []


def address_of(folder: int, name: str) -> str:
    """Return the address of the socket of the gateway called `name`, in the folder with the descriptor `folder`.

    The address goes by the descriptor: so the folder is the one that was checked, even if its path leads to another one
    by now, and a long path does not matter. Raises `ControlError` if `name` is too long for it.
    """
    address = f"/proc/self/fd/{folder}/{name}.sock"
    size = len(os.fsencode(address))
    if size > _LONGEST_ADDRESS:
        most = _LONGEST_ADDRESS - size + len(os.fsencode(name))
        raise ControlError(f"the name {name!a:.40} is too long for a control socket: use at most {most} bytes")
    return address


def path_of(folder: int) -> Path:
    """Return the path of the folder with the descriptor `folder`, without links, as the kernel knows it."""
    return Path(f"/proc/self/fd/{folder}").readlink()


def _address_to_bind(folder: int, name: str) -> str:
    """Return the address to listen at: that of `address_of`, but with the path of the folder if it is short enough.

    The kernel lists that path in /proc/net/unix, and programs that clean up /tmp do not remove a socket that is listed
    there (tmpfiles.d(5)).
    """
    by_descriptor, by_path = address_of(folder, name), str(path_of(folder) / f"{name}.sock")
    return by_path if len(os.fsencode(by_path)) <= _LONGEST_ADDRESS else by_descriptor


def listen(folder: int, name: str) -> socket.socket:
    """Return the listening socket of the gateway called `name`, which only its owner may connect to.

    A file that a killed gateway has left behind is replaced. Raises `ControlError` if another gateway answers there, or
    if that cannot be found out; `OSError` if the socket cannot be created in the folder.
    """
    address = _address_to_bind(folder, name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(listener.fileno(), 0o600)  # before it has a name, so that others can connect at no time
        with _locked(folder):
            try:
                listener.bind(address)
            except OSError as err:
                if err.errno != errno.EADDRINUSE:
                    raise
                _remove_stale(folder, name)
                listener.bind(address)
            listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(folder: int, name: str, timeout: float) -> socket.socket:
    """Return a connection to the socket of the gateway called `name`, with a `timeout` (s).

    Raises `OSError` if there is none, or no process listens; `BlockingIOError` if so many others wait for that process
    that it has no place within the timeout. Symbolic links are not followed: one could lead to the socket of another
    program.
    """
    deadline = time.monotonic() + timeout
    file = os.open(f"{name}.sock", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISSOCK(os.fstat(file).st_mode):
            raise FileNotFoundError(errno.ENOENT, "no socket", f"{name}.sock")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(timeout)
            while True:
                try:
                    sock.connect(f"/proc/self/fd/{file}")
                    break
                except BlockingIOError:  # at once, and also with a timeout: the kernel does not wait here
                    if time.monotonic() >= deadline:
                        raise
                    time.sleep(_RETRY)
        except BaseException:
            sock.close()
            raise
    finally:
        os.close(file)
    return sock


def file_of(folder: int, name: str) -> tuple[int, int] | None:
    """Return device and inode of the socket's file, which identify it; None if there is no file."""
    try:
        status = os.stat(f"{name}.sock", dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def file_at(folder: Path, name: str) -> tuple[int, int] | None:
    """Return the same as `file_of`, for the folder that is at the path `folder` now."""
    try:
        status = (folder / f"{name}.sock").lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def remove(folder: int, name: str, file: tuple[int, int] | None) -> None:
    """Remove the file of a socket, if it is still the given `file`."""
    with contextlib.suppress(OSError, ControlError), _locked(folder):
        if file is not None and file_of(folder, name) == file:
            os.unlink(f"{name}.sock", dir_fd=folder)


def _remove_stale(folder: int, name: str) -> None:
    """Remove the file that a killed gateway has left. Raises `ControlError` if it is in use, or is no socket."""
    status = os.stat(f"{name}.sock", dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISSOCK(status.st_mode):
        raise ControlError(f"{name}.sock exists and is no socket: remove it")
    try:
        with connect(folder, name, 0.0) as probe:
            who = f" (process id {peer_of(probe).pid})"
    except ConnectionRefusedError:
        os.unlink(f"{name}.sock", dir_fd=folder)
        return
    except BlockingIOError:  # its backlog is full: the other gateway runs, and is busy
        who = ""
    raise ControlError(f"another gateway called {name!a} runs{who}: give one of them another name")


@contextlib.contextmanager
def _locked(folder: int) -> Iterator[None]:
    """Prevent other gateways from creating or removing sockets in `folder` meanwhile. Raises `ControlError`."""
    deadline = time.monotonic() + _LONGEST_LOCK
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as err:
            if err.errno != errno.EWOULDBLOCK or time.monotonic() >= deadline:
                raise ControlError("another program keeps the folder locked: stop that program") from err
            time.sleep(_RETRY)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)
