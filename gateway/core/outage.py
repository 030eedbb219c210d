"""Logs why a device cannot be used: each reason once in each outage; and knows how long one is usually away."""

from __future__ import annotations

import errno
import logging
from collections import deque
from statistics import median

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.errors import DeviceAwaitedError

_LOGGED_AS = "gateway.interface"  # it is the interface that reports on its device
LOG = package_logger(_LOGGED_AS)


class DeviceGone(ThrottledException):
    """A device has failed, or cannot be opened: one report for each reason in each outage."""

    period = 600.0
    logged_as = _LOGGED_AS


class DeviceLeft(ThrottledException):
    """A device that connects by itself has ended its connection: it may do so after each reading."""

    period = 600.0
    logged_as = _LOGGED_AS


class Outages:
    """The periods in which the device of the interface `name` cannot be used."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 0
        self._logged_reason = ""  # the last one that was logged in this outage
        self._has_failed = False  # the device was present when this outage began
        self._is_awaited = False  # that it is waited for is in the log
        self.is_quiet = False
        """Whether the log does not contain why the device is away, because it comes and goes: nor that it is back."""

    def end(self) -> None:
        """Record that the device works again: the next failure is logged, even for the same reason."""
        self._number += 1
        self._logged_reason = ""
        self._has_failed = self._is_awaited = self.is_quiet = False

    def report(self, device: str, err: Exception, *, was_open: bool) -> str:
        """Log why `device` cannot be used, unless that reason was logged last; return it as text."""
        reason = str(err)
        if isinstance(err, DeviceAwaitedError):
            text = f"{device}: {reason}"
            self._report_awaited(text, reason, was_open=was_open)
            return text
        self._is_awaited = False
        text = f"{device} has failed: {reason}" if was_open else f"cannot open {device}: {reason}"
        # A device that was unplugged fails first, and is then absent: the first reason is already in the log.
        if reason == self._logged_reason or (self._has_failed and _is_absent(err)):
            return text
        self._has_failed = was_open
        gone = DeviceGone(
            f"{self._name}: {text}; will keep retrying",
            key=f"{self._name}: {self._number} {reason}",
            level=logging.ERROR,
        )
        if gone.trigger:
            self._logged_reason = reason
            LOG.error(gone.report)
        return text

    def _report_awaited(self, text: str, reason: str, *, was_open: bool) -> None:
        if self._is_awaited:
            return
        self._is_awaited, self._logged_reason = True, reason
        text = f"{self._name}: {text}; waiting for it"
        if not was_open:
            LOG.info("%s", text)
            return
        left = DeviceLeft(text, key=f"{self._name} {reason}", level=logging.INFO)
        self.is_quiet = not left.trigger
        if left.trigger:
            LOG.info(left.report)


class Absences:
    """How long a device is away that connects by itself, for each reading perhaps, and comes back. Times in seconds.

    One that has come back three times is expected back: only if it stays away twice as long as usual is it missed.
    """

    def __init__(self) -> None:
        self._lengths: deque[float] = deque(maxlen=3)
        self._began: float | None = None
        self._is_away = False  # it was looked for, and was not there: it has not just replaced its connection
        self.expected_at: float | None = None
        """When the device is missed if it is not back; None: it is not away, or has failed."""

    def begin(self, now: float) -> None:
        """Record that the device has ended its connection at `now`."""
        is_regular = len(self._lengths) == self._lengths.maxlen
        self._began, self._is_away = now, False
        self.expected_at = now + 2 * median(self._lengths) if is_regular else now

    def is_missed(self, now: float) -> bool:
        """Record that the device is not there at `now`; return whether it is away for longer than usual."""
        self._is_away = True
        return self.expected_at is None or now >= self.expected_at

    def end(self, now: float) -> None:
        """Record that the device is back."""
        if self._began is not None and self._is_away:
            self._lengths.append(now - self._began)
        self.forget()

    def forget(self) -> None:
        """Record that the device has failed: what comes next is no absence of its own accord."""
        self._began = self.expected_at = None


def _is_absent(err: BaseException) -> bool:
    """Return whether the error means that the device does not exist at present."""
    cause = err if isinstance(err, OSError) else err.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
