"""What a process needs for many interfaces: descriptors, and fewer switches between their threads."""

from __future__ import annotations

import resource
import sys

from gateway.errors import GatewayError

_EACH = 2  # descriptors of an interface: its inbox and its device
_RESERVE = 64  # descriptors for all the rest: broker, disk, log, and ports that are being opened, which takes more

# A thread that waits for Python's lock looks every 5 ms whether it should ask for it. A hundred that look that often
# take as much of the processor as the work, a thousand three times as much: 190 us a line instead of 53. The turn of
# a device is short without it.
_SWITCH_EACH, _LONGEST_SWITCH = 0.0005, 0.05  # s, for each interface, and at most


def make_room(interfaces: int) -> None:
    """Prepare the process for so many interfaces. Raises `GatewayError` if it may not open as many descriptors."""
    interval = min(interfaces * _SWITCH_EACH, _LONGEST_SWITCH)
    if interval > sys.getswitchinterval():
        sys.setswitchinterval(interval)
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
