"""Logs why a device cannot be used: each reason once in each outage."""

from __future__ import annotations

import errno
import logging

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.errors import DeviceAwaitedError

_LOGGED_AS = "gateway.interface"  # it is the interface that reports on its device
LOG = package_logger(_LOGGED_AS)


class DeviceGone(ThrottledException):
    """A device has failed, or cannot be opened: one report for each reason in each outage."""

    period = 600.0
    logged_as = _LOGGED_AS


class Outages:
    """The periods in which the device of the interface `name` cannot be used."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 0
        self._logged_reason = ""  # the last one that was logged in this outage
        self._has_failed = False  # the device was present when this outage began

    def end(self) -> None:
        """Record that the device works again: the next failure is logged, even for the same reason."""
        self._number += 1
        self._logged_reason = ""
        self._has_failed = False

    def report(self, device: str, err: Exception, *, was_open: bool) -> str:
        """Log why `device` cannot be used, unless that reason was logged last; return it as text."""
        reason = str(err)
        if isinstance(err, DeviceAwaitedError):
            return self._report_awaited(f"{device}: {reason}", reason)
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

    def _report_awaited(self, text: str, reason: str) -> str:
        if reason != self._logged_reason:
            self._logged_reason = reason
            LOG.info("%s: %s; waiting for it", self._name, text)
        return text


def _is_absent(err: BaseException) -> bool:
    """Return whether the error means that the device does not exist at present."""
    cause = err if isinstance(err, OSError) else err.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
