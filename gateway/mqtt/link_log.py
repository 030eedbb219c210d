"""Logs links that could not be established, or were lost."""

from __future__ import annotations

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException

LOG = package_logger(__name__)  # one name for all modules of the link


class LinkFailed(ThrottledException):
    """The broker cannot be reached, refuses, or was lost."""

    period = 600.0


def log_failure(reason: str, broker: str, plan: str, *, was_up: bool, is_always: bool) -> None:
    """Log why there is no link to the `broker`, and the plan.

    If not `is_always`, the same reason is logged only once in ten minutes, with a count: use that for failed attempts
    to connect, and for two clients that disconnect each other.
    """
    message = "lost the broker" if was_up else "no connection to the broker"
    failed = LinkFailed(f"{message}: {reason}", key=f"{broker} {reason}")
    if failed.trigger or is_always:
        LOG.warning("%s (%s)", failed.report or failed, plan)


def log_move(reason: str, broker: str, *, is_always: bool) -> None:
    """Log why another broker, or another version, is tried immediately instead of this `broker`."""
    if is_always or LinkFailed(reason, key=f"{broker} {reason}").trigger:
        LOG.info("%s", reason)
