"""Finds the running gateway that a command line names, by its name or its configuration."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import time
from collections.abc import Iterator
from typing import Any

from gateway.control.client import ask
from gateway.control.protocol import ControlError
from gateway.core.paths import find_configuration
from gateway.core.topic import word_problem
from gateway.errors import ConfigurationError, UsageError


def ask_gateway(name: str, request: str, **arguments: Any) -> dict[str, Any]:
    """Send a request to the running gateway called `name` (see `ask`), without the arguments that are None."""
    present = {argument: value for argument, value in arguments.items() if value is not None}
    return ask(name, request, os.environ, **present)


@contextlib.contextmanager
def reading_reply() -> Iterator[None]:
    """Raise `ControlError` where a reply does not contain what this version expects."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise ControlError(f"the answer of the gateway is that of another version ({err!r}): restart it") from err


def gateway_name(options: argparse.Namespace) -> str:
    """Return the name of the gateway that the command line names.

    Only the name is read from a configuration, and no code in it is run: a running gateway can be reached even if its
    configuration has errors by now. Raises `UsageError` if the name is not valid.
    """
    if options.name is not None:
        if not options.name or word_problem(options.name):
            raise UsageError(
                f"{options.name!a} is no valid name of a gateway: {word_problem(options.name) or 'it is empty'}"
            )
        return str(options.name)
    from gateway.configuration.document import FaultyDocumentError
    from gateway.configuration.load_config import read_document  # slow to import; a name needs none of it

    path = find_configuration(options.conf, os.environ)
    try:
        data = read_document(path, os.environ).data
    except FaultyDocumentError as err:  # such as a variable that only the gateway has
        data = err.document.data
    except ConfigurationError:
        return path.stem
    name = data.get("name") if isinstance(data, dict) else None
    return name if isinstance(name, str) and name and not word_problem(name) else path.stem


def within(duration: float | None, events: Iterator[dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
    """Yield those of `events` that come within `duration` s (None: all of them); None among them is a look at the time.

    See `gateway.control.client.follow`.
    """
    end = math.inf if duration is None else time.monotonic() + duration
    for event in events:
        if event is not None:
            yield event
        if time.monotonic() >= end:
            return
