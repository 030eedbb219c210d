"""`mqttgateway options`: prints every option with its default, as a configuration file."""

from __future__ import annotations

import argparse

from gateway.configuration.option_docs import default_configuration


def print_options(_options: argparse.Namespace) -> int:
    """Print the default configuration; return 0."""
    print(default_configuration(), end="")  # noqa: T201
    return 0
