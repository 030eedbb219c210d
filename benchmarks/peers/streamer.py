"""A device that says lines at a rate, and prints what is written to it.

Arguments: the descriptor of its end of the pty, lines/s.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

_TICK = 0.001  # s between two writes: what a USB adapter brings in one frame of the bus


def main(descriptor: int, rate: float) -> None:
    """Run until killed; what is not taken in time is not said later."""
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
