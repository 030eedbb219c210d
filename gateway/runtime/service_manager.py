"""Tells systemd how the process is: started, reloading, stopping, alive; and one line for `systemctl status`.

It is the protocol of sd_notify(3): datagrams with lines `NAME=value` to the socket that `NOTIFY_SOCKET` names. Where it
names none, nothing is sent, and nothing wakes the main thread.
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import socket
import time
from collections.abc import Callable, Mapping

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException

LOG = package_logger(__name__)

INTERVAL = 4.0
"""Seconds after which the main thread is woken for a new status line, and for the watchdog, if that needs no less.

What has lasted for five seconds is a fault, and the status line names it within ten.
"""

_SHORTEST_INTERVAL = 1.0  # s between two status lines while the main thread is awake anyway
_LONGEST_SEND = 1.0  # s
_SHORTEST_WATCHDOG = 0.1  # s: for less, the main thread would be awake all the time
_MOST_DIGITS = 20  # of a number of 64 bits
_LONGEST_LINE = 500  # characters


class NotNotified(ThrottledException):
    """A notification could not be sent."""


class ServiceManager:
    """The service manager that has started the process, if one has. Only the main thread calls the methods but `tell`.

    `headline` returns how the gateway is, in one line. `is_alive` returns whether the other threads that must not hang
    advance: only then is the watchdog told so, because this thread advances while it calls `tick`.
    """

    def __init__(
        self, environment: Mapping[str, str], headline: Callable[[], str], is_alive: Callable[[], bool] = lambda: True
    ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._headline = headline
        self._is_alive = is_alive
        self._has_watchdog = bool(self._address) and _watchdog_seconds(environment) > 0
        # Twice in the time after which systemd acts, as it recommends.
        self._interval = min(INTERVAL, _watchdog_seconds(environment) / 2) if self._has_watchdog else INTERVAL
        self._shortest_interval = min(_SHORTEST_INTERVAL, self._interval)
        self._last_tick = -math.inf
        self._status = ""
        self._is_reloading = False
        if self._has_watchdog and not faulthandler.is_enabled():
            # systemd ends a process that hangs by SIGABRT: the journal then shows where each thread was.
            with contextlib.suppress(OSError, ValueError):  # standard error is closed, or no file
                faulthandler.enable()

    @property
    def is_there(self) -> bool:
        """Whether a service manager has started the process, and so starts it again."""
        return bool(self._address)

    @property
    def due_in(self) -> float | None:
        """The seconds until `tick` has something to do; None: never."""
        if not self._address:
            return None
        interval = self._interval if self._status == _line(self._headline()) else self._shortest_interval
        return max(0.0, self._last_tick + interval - time.monotonic())

    def ready(self) -> None:
        """Report that the gateway has started."""
        self._send("READY=1", *self._changed_status())

    def set_reloading(self, is_reloading: bool) -> None:
        """Report that a reload has begun or ended, if that has changed."""
        if is_reloading is self._is_reloading:
            return
        self._is_reloading = is_reloading
        if is_reloading:
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._send("RELOADING=1", f"MONOTONIC_USEC={now}")  # systemd 253 and later need the time
        else:
            self.ready()

    def stopping(self, reason: str = "") -> None:
        """Report that the gateway stops."""
        self._send("STOPPING=1", f"STATUS={_line(reason)}" if reason else "STATUS=stopping")

    def tick(self) -> None:
        """Send what is due: that the process is alive, and the status line if it has changed."""
        now = time.monotonic()
        if not self._address or now < self._last_tick + self._shortest_interval:
            return
        self._last_tick = now
        is_alive = ["WATCHDOG=1"] if self._has_watchdog and self._is_alive() else []
        self._send(*is_alive, *self._changed_status(), timeout=0.0)  # it is sent again soon

    def tell(self, line: str) -> None:
        """Send a status line in place of the main thread, which hangs. Any thread may call it."""
        self._send(f"STATUS={_line(line)}", timeout=0.0)
        self._status = ""  # once the main thread goes on, it sends its own again

    def _changed_status(self) -> list[str]:
        if not self._address:
            return []
        previous, self._status = self._status, _line(self._headline())
        return [f"STATUS={self._status}"] if self._status != previous else []

    def _send(self, *lines: str, timeout: float = _LONGEST_SEND) -> None:
        if not self._address or not lines:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(timeout)
                sock.connect(address)  # otherwise waiting for room would be a busy loop
                sock.send("\n".join(lines).encode(errors="replace"))
        except OSError as err:
            self._status = ""  # to be sent again
            failed = NotNotified(f"systemd cannot be notified ({self._address}): {err.strerror or err}", key="notify")
            if failed.trigger:
                LOG.warning(failed.report)


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """Return after how many seconds without a sign of life systemd restarts this process; 0: never."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    microseconds = environment.get("WATCHDOG_USEC", "")
    # At most 64 bits, says systemd, and no less than can be kept.
    is_number = microseconds.isdecimal() and len(microseconds) <= _MOST_DIGITS
    return max(_SHORTEST_WATCHDOG, int(microseconds) / 1_000_000) if is_number and int(microseconds) else 0.0


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}..."
