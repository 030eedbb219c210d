"""The message that the options of a command line describe, for `send`, `check` and `map explain`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.errors import UsageError
from gateway.message import ADDRESS_FIELDS, Argument, InternalMsg


def message_from(options: argparse.Namespace, *, sender: str) -> InternalMsg:
    """Return the message that the options describe; raise `UsageError` if an argument is not NAME=VALUE."""
    words = {name: getattr(options, name) for name in (*ADDRESS_FIELDS, "action")}
    is_command = not getattr(options, "status", False)
    return InternalMsg(iscmd=is_command, arguments=_arguments(options.arg), **{**words, "sender": sender})


def address_options(options: argparse.Namespace) -> list[str]:
    """Return the options of the command line that give a word of an address, such as `--location`."""
    return [f"--{name}" for name in ADDRESS_FIELDS if getattr(options, name)]


def chosen_interfaces(configuration: Configuration, name: str | None) -> Sequence[InterfaceOptions]:
    """Return the interface called `name`, or all for None; raise `UsageError`, which lists them, if it is unknown."""
    if name is None:
        return configuration.interfaces
    chosen = [interface for interface in configuration.interfaces if interface.name == name]
    if not chosen:
        names = ", ".join(interface.name for interface in configuration.interfaces)
        raise UsageError(f"--interface: no interface is called {name!r}: there are: {names}")
    return chosen


def _arguments(texts: Sequence[str]) -> dict[str, Argument]:
    arguments: dict[str, Argument] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--arg: {text!a} is not NAME=VALUE: for example --arg level=50")
        try:
            arguments[name] = json.loads(value)
        except (ValueError, RecursionError):
            arguments[name] = value
    return arguments
