"""Decides when the process is to be restarted because an interface hangs: nothing else ends a thread that hangs.

All other devices work meanwhile, so that comes late, and at most once an hour: a library that blocks again after each
start must not restart them for ever. The time of the last restart is that of a file, which outlives the process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from gateway.core.counting import counted
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException
from gateway.runtime.supervisor import Hang

LOG = package_logger(__name__)

PAUSE = 3600.0
"""Least number of seconds between two restarts because of a hang."""


class NotRestarted(ThrottledException):
    """The process is not restarted although an interface hangs for too long."""


class HangLimit:
    """Knows by the time of `file` when the process was restarted last because an interface hung."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def reason_to_restart(self, hangs: Mapping[str, Hang], limit: float) -> str:
        """Return why the process has to be restarted now, and remember that; "" if it does not.

        `hangs` are those of interfaces, by name. `limit` is how long one may last (s); 0: for ever.
        """
        now = time.monotonic()
        over = [name for name, hang in hangs.items() if limit and now - hang.since > limit]
        if not over or self._is_recent():
            return ""
        first = min(over, key=lambda name: hangs[name].since)
        more = f", and {counted(len(over) - 1, 'other interface')} too" if len(over) > 1 else ""
        reason = f"{first}: {hangs[first]}{more}"
        try:
            self._file.write_text(f"{reason}\n", errors="backslashreplace")
        except OSError as err:
            failed = NotRestarted(
                f"{reason}; the gateway is not restarted for it: {self._file}, which would keep it from being "
                f"restarted again and again, cannot be written: {err.strerror}",
                key="file",
            )
            if failed.trigger:
                LOG.error(failed.report)
            return ""
        return reason

    def _is_recent(self) -> bool:
        try:
            age = time.time() - self._file.stat().st_mtime
        except OSError:
            return False
        return 0 <= age < PAUSE  # the clock may have been put back
