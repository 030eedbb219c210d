"""The names under which the program logs: one for each package, so that a person can filter the log by them."""

from __future__ import annotations

import logging

PROGRAM = "mqttgateway"
TRAFFIC = f"{PROGRAM}.traffic"
"""The logger of the messages that pass through the gateway, one line each."""

PARTS = (
    "configuration", "control", "core", "integrations", "interfaces", "logs", "mqtt", "outbox", "page", "routing",
    "runtime",
)  # fmt: skip
"""The parts of the program that log, by the last word of their loggers' names."""

_OWN_PACKAGES = ("gateway", "interfaces")
_INTERFACES = "interfaces"
_RUNTIME = "runtime"
_MODULES = {"interface": _INTERFACES, "legacy_interface": _INTERFACES, "start_gateway": _RUNTIME, "web": "page"}
"""What counts among another package in the log: modules directly in `gateway`, and a package that is half of a part."""


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


def part_of(name: str) -> str:
    """Return the part of the program that the logger called `name` belongs to; "" if it is that of other code."""
    program, _, part = name.partition(".")
    return part if program == PROGRAM else ""


def short_name(name: str) -> str:
    """Return the name of a logger as a person reads it: without that of the program."""
    return part_of(name) or name
