"""Reads the pipe given first, and fills it instead while the file given second exists; FILE.full tells that it is."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

path, clogged = Path(sys.argv[1]), Path(sys.argv[2])
full = clogged.with_suffix(".full")
pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
pause = threading.Event()
while not pause.wait(0.02):
    try:
        while clogged.exists():
            os.write(pipe, b".")
        full.unlink(missing_ok=True)
        while os.read(pipe, 65536):
            pass
    except BlockingIOError:
        if clogged.exists():
            full.touch()
