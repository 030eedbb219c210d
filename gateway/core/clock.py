"""The clock by which everything is measured that somebody outside waits for."""

from __future__ import annotations

import time
from functools import partial

boot_time = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Return the seconds since the machine started, those during which it was suspended included.

`time.monotonic` stands still meanwhile: a command that came just before a laptop's lid was closed would still count as
fresh when it is opened the next morning.
"""
