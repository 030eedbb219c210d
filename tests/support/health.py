"""What `mqttgateway status` names of a running gateway: the shared proof that a fault leaves a trace."""

from __future__ import annotations

from typing import Any

from gateway.control.client import ask
from gateway.control.protocol import ControlError
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until

WITHIN = 10.0
"""Seconds within which each fault has to be named."""


def status_of(gateway: GatewayProcess) -> dict[str, Any]:
    """Return the answer of which `mqttgateway status` prints all."""
    return ask(gateway.conf.stem, "status", {"XDG_RUNTIME_DIR": str(gateway.conf.parent)})


def named_by(gateway: GatewayProcess) -> str:
    """Return what `status` says to be wrong, and the last error in the log, which it shows as well."""
    try:
        status = status_of(gateway)
    except ControlError as err:  # it is not up yet
        return str(err)
    error = status["last_error"] or {"text": ""}
    return "\n".join([status["headline"], *(problem["what"] for problem in status["problems"]), error["text"]])


def wait_named(gateway: GatewayProcess, *words: str, within: float = WITHIN) -> None:
    """Return once `status` names a fault in one of these `words`."""
    wait_until(
        lambda: any(word in named_by(gateway) for word in words),
        within,
        lambda: f"{words} to be named by status, which says:\n{named_by(gateway)}\n{gateway.log[-2000:]}",
        0.05,
    )
