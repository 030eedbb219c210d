"""Why a device is gone: logged once for each reason, and again when it is gone once more."""

from __future__ import annotations

import errno
import logging

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException

LOG = package_logger(__name__)


class DeviceGone(ThrottledException):
    """A device has failed, or cannot be opened: each reason, in each outage."""

    period = 600.0


class Outages:
    """The times in which the device of the interface `name` cannot be used."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 0
        self._reason = ""  # of this outage, as it was logged last
        self._has_failed = False  # in this outage: the device was there when it began

    def end(self) -> None:
        """Let the next failure be logged whatever was logged before."""
        self._number += 1
        self._reason = ""
        self._has_failed = False

    def report(self, device: str, err: Exception, *, was_open: bool) -> str:
        """Log why `device` is gone, unless it is the reason that was logged last; return it in words."""
        reason = str(err)
        state = "has failed" if was_open else "cannot be opened"
        what = f"{device} {state}: {reason}"
        if reason == self._reason or (self._has_failed and _is_absent(err)):  # it was pulled out, as the log says
            return what
        self._has_failed = was_open
        gone = DeviceGone(
            f"{self._name}: {what}: it is tried again by itself",
            key=f"{self._name}: {self._number} {reason}",
            level=logging.ERROR,
        )
        if gone.trigger:
            self._reason = reason
            LOG.error(gone.report)
        return what


def _is_absent(err: BaseException) -> bool:
    """Return whether a device is not there at all."""
    cause = err if isinstance(err, OSError) else err.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
