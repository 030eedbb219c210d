"""The file by which a running gateway is found, and in which it says what became of the last reload."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from gateway.app_properties import NAME, runtime_folders

_BYTES = 1024  # of the file, always: nobody who reads it meanwhile finds half of what is said


class PidFile:
    """The file of the running gateway called `name`: its process id, and a line that `say` sets.

    Locked as long as the gateway lives, so that a file which a killed one has left deceives nobody. Where it
    cannot be written the gateway runs without it.
    """

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self._file: BinaryIO | None = None
        self._path = Path()
        for folder in runtime_folders(environment):
            with contextlib.suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if folder.stat().st_uid == os.geteuid() or "RUNTIME_DIRECTORY" in environment:
                    self._path = folder / f"{name}.pid"
                    self._file = _locked(self._path)
                    break
        self.say("")

    def say(self, text: str) -> None:
        """Write one line for whoever looks; it is cut to what the file holds."""
        if self._file is not None:
            said = f"{os.getpid()}\n{text}\n".encode("utf-8", "replace")[:_BYTES]
            with contextlib.suppress(OSError):
                os.pwrite(self._file.fileno(), said.ljust(_BYTES), 0)

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._file.close()
            self._file = None


def read_pid_file(name: str, environment: Mapping[str, str]) -> tuple[int, str] | None:
    """Return the process id of the running gateway called `name`, and what it says; None if there is none."""
    for folder in (*runtime_folders(environment), Path("/run") / NAME):
        with contextlib.suppress(OSError, ValueError), (folder / f"{name}.pid").open("rb") as file:
            if _is_locked(file):
                pid, _, text = file.read().decode("utf-8", "replace").partition("\n")
                return int(pid), text.strip()
    return None


def _locked(path: Path) -> BinaryIO:
    """Open and lock a file; raise `OSError` if another has locked it."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _is_locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
