"""A device that sends lines at a given rate, and prints everything that is written to it.

Arguments: the descriptor of its end of the pty, lines/s.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

_TICK = 0.001  # s between two writes, as a USB adapter delivers its bytes once a frame of the bus


def main(descriptor: int, rate: float) -> None:
    """Run until killed; lines that are not read in time are dropped."""
    os.set_blocking(descriptor, False)
    due = time.monotonic()
    while True:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(descriptor, 65536):
                os.write(1, data)
        if rate:
            with contextlib.suppress(BlockingIOError):
                os.write(descriptor, b"T 21.5\n" * round(rate * _TICK))
        due += _TICK
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
