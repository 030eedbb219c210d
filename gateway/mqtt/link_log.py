"""What the log says of links that could not be made, or were lost."""

from __future__ import annotations

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException

LOG = package_logger(__name__)


class LinkFailed(ThrottledException):
    """The broker cannot be reached, refuses, or was lost."""

    period = 600.0


def log_failure(reason: str, where: str, plan: str, *, was_up: bool, is_each: bool) -> None:
    """Log why there is no link to the broker at `where`, and the plan.

    `is_each`: whatever the throttle says. Otherwise one reason is logged once in a while: a failure to connect, and
    what comes of a fight over the client id.
    """
    what = "lost the broker" if was_up else "no connection to the broker"
    failed = LinkFailed(f"{what}: {reason}", key=f"{where} {reason}")
    if failed.trigger or is_each:
        LOG.warning("%s (%s)", failed.report or failed, plan)


def log_move(reason: str, where: str, *, is_each: bool) -> None:
    """Log why another broker, or another version, is tried at once."""
    if is_each or LinkFailed(reason, key=f"{where} {reason}").trigger:
        LOG.info("%s", reason)
