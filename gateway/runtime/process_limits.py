"""Limits of the process: its file descriptors, and how long a thread may keep Python's interpreter lock."""

from __future__ import annotations

import resource
import sys

from gateway.errors import GatewayError

_PER_INTERFACE = 2  # descriptors: one for the inbox, one for the device
_RESERVE = 64  # descriptors for everything else: broker, disk, log, and ports while they are being opened

# How long a thread may compute while others wait for the interpreter lock. With few interfaces, a command or its answer
# must not wait for a device that floods: Python's default of 5 ms is long; 1 ms costs 4 % of the highest rate. With
# many interfaces the interval has to grow, because each waiting thread wakes once per interval to request the lock:
# with a thousand of them that takes three times as much processor time as the work (190 us a line instead of 53). One
# step of a device is short in any case.
_SHORTEST_INTERVAL, _INTERVAL_PER_INTERFACE, _LONGEST_INTERVAL = 0.001, 0.0005, 0.05  # s


def apply_process_limits(interfaces: int) -> None:
    """Prepare the process for a number of interfaces.

    Raises `GatewayError`, which names the remedy, if it is not allowed to open as many descriptors as they need.
    """
    sys.setswitchinterval(min(max(_SHORTEST_INTERVAL, interfaces * _INTERVAL_PER_INTERFACE), _LONGEST_INTERVAL))
    needed = interfaces * _PER_INTERFACE + _RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise GatewayError(
            f"{interfaces} interfaces need {needed} file descriptors, but this process may open only {hard}: "
            f"set LimitNOFILE={needed} in the unit, or run 'ulimit -n {needed}' before starting it"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))
