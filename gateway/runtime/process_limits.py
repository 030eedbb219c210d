"""What a process needs for its interfaces: descriptors, and how often their threads take turns."""

from __future__ import annotations

import resource
import sys

from gateway.errors import GatewayError

_EACH = 2  # descriptors of an interface: its inbox and its device
_RESERVE = 64  # descriptors for all the rest: broker, disk, log, and ports that are being opened, which takes more

# How long a thread may compute while others wait for Python's lock. With few interfaces a command, or its answer, is
# not to wait for a device that floods: Python's own 5 ms are long, and 1 ms costs 4 % of the highest rate. With many,
# each that waits looks that often whether it should ask for the lock: a thousand take three times as much of the
# processor as the work, 190 us a line instead of 53. The turn of a device is short without it.
_SHORTEST_TURN, _TURN_EACH, _LONGEST_TURN = 0.001, 0.0005, 0.05  # s: at least, for each interface, and at most


def apply_process_limits(interfaces: int) -> None:
    """Prepare the process for so many interfaces. Raises `GatewayError` if it may not open as many descriptors."""
    sys.setswitchinterval(min(max(_SHORTEST_TURN, interfaces * _TURN_EACH), _LONGEST_TURN))
    needed = interfaces * _EACH + _RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise GatewayError(
            f"{interfaces} interfaces need {needed} file descriptors, and this process may have {hard}: "
            f"set LimitNOFILE={needed} in the unit, or ulimit -n {needed} before it is started"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))
