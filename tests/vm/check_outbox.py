"""Checks an outbox file before the gateway opens it, in a copy, and tells a collector: HOST PORT FILE."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

_NETWORK = 60.0  # s until the network is there


def check(file: Path) -> str:
    """Return what SQLite says of a file and its log: `ok`, or what is wrong."""
    if not file.exists():
        return "missing"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        for ending in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{file}{ending}", f"{copy}{ending}")
        try:
            with contextlib.closing(sqlite3.connect(copy)) as database:
                return " ".join(str(row[0]) for row in database.execute("PRAGMA integrity_check"))
        except sqlite3.Error as err:
            return str(err)


def main() -> None:
    """Check the file of the command line."""
    host, port, file = sys.argv[1:]
    result, deadline = check(Path(file)), time.monotonic() + _NETWORK
    while True:
        try:
            with socket.create_connection((host, int(port)), 5) as sock:
                sock.sendall(f"outbox {result}\n".encode())
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main()
