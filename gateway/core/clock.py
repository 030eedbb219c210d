"""The clock for all times that matter outside this machine, such as the age of a command."""

from __future__ import annotations

import time
from functools import partial

boot_time = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Return the seconds since the machine started, including those during which it was suspended.

`time.monotonic` stops while the machine is suspended: a command that arrived just before a laptop's lid was closed
would still count as new when the lid is opened the next morning.
"""
