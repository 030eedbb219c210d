"""The names under which the program logs: one for each package, so that a person can filter the log by them."""

from __future__ import annotations

import logging

PROGRAM = "mqttgateway"

_OWN_PACKAGES = ("gateway", "interfaces")
_INTERFACES = "interfaces"
_RUNTIME = "runtime"
_MODULES = {"interface": _INTERFACES, "legacy_interface": _INTERFACES, "start_gateway": _RUNTIME}
"""The modules directly in `gateway` that log, with the package that they count among in the log."""


def logger_name(module: str) -> str:
    """Return the name of the logger for a module: `gateway.mqtt.client` logs as `mqttgateway.mqtt`.

    A module that is no part of this program, such as an interface from another package, keeps its own name.
    """
    top, _, remainder = module.partition(".")
    if top not in _OWN_PACKAGES:
        return module
    package = _INTERFACES if top == _INTERFACES else remainder.partition(".")[0]
    package = _MODULES.get(package, package)
    return f"{PROGRAM}.{package}" if package else PROGRAM


def package_logger(module: str) -> logging.Logger:
    """Return the logger for a module, which passes its `__name__`."""
    return logging.getLogger(logger_name(module))
