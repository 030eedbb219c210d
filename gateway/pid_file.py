"""The file by which a running gateway is found, and in which it says what became of the last reload."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from gateway.app_properties import NAME


class PidFile:
    """The file of the running gateway called `name`: its process id, and a line that `say` sets.

    Locked as long as the gateway lives, so that a file which a killed one has left deceives nobody. Where it
    cannot be written the gateway runs without it.
    """

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self._file: TextIO | None = None
        for folder in _folders(environment):
            with contextlib.suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if folder.stat().st_uid == os.geteuid() or "RUNTIME_DIRECTORY" in environment:
                    self._file = _locked(folder / f"{name}.pid")
                    break
        self.say("")

    def say(self, text: str) -> None:
        """Write one line for whoever looks."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.seek(0)
                self._file.truncate()
                self._file.write(f"{os.getpid()}\n{text}\n")
                self._file.flush()

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                Path(self._file.name).unlink()
            self._file.close()
            self._file = None


def read_pid_file(name: str, environment: Mapping[str, str]) -> tuple[int, str] | None:
    """Return the process id of the running gateway called `name`, and what it says; None if there is none."""
    for folder in (*_folders(environment), Path("/run") / NAME):
        with contextlib.suppress(OSError, ValueError), (folder / f"{name}.pid").open(encoding="utf-8") as file:
            if _is_locked(file):
                pid, _, text = file.read().partition("\n")
                return int(pid), text.strip()
    return None


def _locked(path: Path) -> TextIO:
    """Open and lock a file; raise `OSError` if another has locked it."""
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _is_locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _folders(environment: Mapping[str, str]) -> Iterator[Path]:
    of_systemd = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if of_systemd:
        yield Path(of_systemd)
    of_user = environment.get("XDG_RUNTIME_DIR", "")
    if of_user.startswith("/"):
        yield Path(of_user) / NAME
    yield Path(tempfile.gettempdir()) / f"{NAME}-{os.geteuid()}"
