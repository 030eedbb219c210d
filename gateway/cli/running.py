"""Which running gateway is meant on the command line, by its name or its configuration."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from typing import Any

from gateway.configuration.load_config import read_document
from gateway.control.client import ask
from gateway.control.protocol import ControlError
from gateway.core.paths import find_configuration
from gateway.core.topic import word_problem
from gateway.errors import ConfigurationError, UsageError


def ask_gateway(name: str, request: str, **arguments: Any) -> dict[str, Any]:
    """Ask the running gateway called `name`; see `ask`. Arguments that are None are left out."""
    given = {argument: value for argument, value in arguments.items() if value is not None}
    return ask(name, request, os.environ, **given)


@contextlib.contextmanager
def reading_reply() -> Iterator[None]:
    """Raise `ControlError` where a reply does not hold what this version expects."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise ControlError(f"the gateway answers as another version does ({err!r}): start it anew") from err


def gateway_name(options: argparse.Namespace) -> str:
    """Return the name of the gateway that is meant.

    Of a configuration only the name is read, and no code of it is run: the gateway is to be asked even if what it was
    started with has been changed into something wrong. Raises `UsageError` if there is no such name.
    """
    if options.name is not None:
        if not options.name or word_problem(options.name):
            raise UsageError(f"{options.name!a} is no name of a gateway: {word_problem(options.name) or 'it is empty'}")
        return str(options.name)
    path = find_configuration(options.conf, os.environ)
    try:
        data = read_document(path, os.environ).data
    except ConfigurationError:
        return path.stem
    name = data.get("name") if isinstance(data, dict) else None
    return name if isinstance(name, str) and name and not word_problem(name) else path.stem
