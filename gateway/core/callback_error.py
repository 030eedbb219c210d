"""Logs the exceptions of functions of an interface that must not end the interface, such as those that timers call."""

from __future__ import annotations

from gateway.core.activity import where_raised
from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException

LOG = package_logger("gateway.interface")  # the code belongs to an interface


class CallbackError(ThrottledException):
    """A function of an interface has raised an exception: one report for each kind and place in a period."""


def log_callback_error(name: str, function: str, err: Exception) -> None:
    """Log that `function` of the interface `name` has raised `err`, and where; the first time with the traceback."""
    place, kind = where_raised(err), type(err).__name__
    failed = CallbackError(
        f"{name}: {function} failed at {place}: {kind}: {_text_of(err)}", key=f"{name}: {function} {kind} {place}"
    )
    if failed.trigger:
        LOG.error(failed.report, exc_info=err if failed.is_first else None)


def _text_of(err: Exception) -> str:
    try:
        return str(err)
    except Exception as failure:  # noqa: BLE001  (the code of an exception may fail, too)
        return f"(its text failed: {type(failure).__name__})"
