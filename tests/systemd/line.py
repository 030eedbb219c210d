"""A serial line: a pseudoterminal, linked at the path given first, with the line `N=COUNT` in each interval (s).

While there is a file PATH.says, its content is sent instead.
"""

from __future__ import annotations

import os
import pty
import sys
import threading
import tty
from pathlib import Path

link, interval = Path(sys.argv[1]), float(sys.argv[2])
master, slave = pty.openpty()
tty.setraw(slave)
link.unlink(missing_ok=True)
link.symlink_to(os.ttyname(slave))
os.close(slave)
says = link.with_suffix(".says")
pause, number = threading.Event(), 0
os.set_blocking(master, False)
while not pause.wait(interval):
    try:
        os.write(master, says.read_bytes() if says.exists() else b"N=%d\n" % number)
        number += 1
    except (BlockingIOError, OSError):  # nobody reads, or has it open
        continue
