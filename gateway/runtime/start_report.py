"""The first lines of a log: what runs, where, with which files and options. Bounded, and without secrets."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.configuration.schema_check import fill_defaults, option_schema
from gateway.configuration.schemas import interface_schema
from gateway.configuration.settings import Configuration, InterfaceOptions
from gateway.core.counting import counted
from gateway.core.quoting import quote
from gateway.logs.redaction import without_secrets
from gateway.mqtt.options import MqttOptions
from gateway.outbox.options import DISK_DEFAULTS, OutboxOptions

_MOST = 10  # files, and interfaces, that are named one by one
_MOST_MEMBERS = 5  # of a list or a mapping that are shown
_ELSEWHERE = ("file", "is_place_chosen", "store", "max_bytes")  # of the outbox: its place is a line of its own


def start_lines(configuration: Configuration) -> Iterator[str]:
    """Yield the lines that a log begins with, after the one with the name and the version."""
    yield (
        f"Python {platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}, "
        f"process id {os.getpid()}, user id {os.geteuid()}, installed in {sys.prefix}"
    )
    yield f"files: {', '.join(_first(configuration.file.absolute(), *configuration.files))}"
    options = ", ".join(changed_options(configuration))
    if options:
        yield f"options that are not the default: {options}"
    interfaces = configuration.interfaces
    for interface in interfaces[:_MOST]:
        yield interface_line(interface)
    if len(interfaces) > _MOST:
        yield f"and {counted(len(interfaces) - _MOST, 'more interface')}"
    brokers = " or ".join(map(str, configuration.mqtt.brokers[:_MOST]))
    yield f"broker {brokers}, outbox {configuration.outbox.file or 'in memory'}"


def changed_options(configuration: Configuration) -> Iterator[str]:
    """Yield the options of the gateway itself that differ from their defaults, such as `mqtt.qos=0`."""
    outbox = DISK_DEFAULTS if configuration.outbox.store == "disk" else OutboxOptions()
    yield from _changed("mqtt", configuration.mqtt, MqttOptions(client_id=configuration.name))
    yield from _changed("outbox", configuration.outbox, outbox, _ELSEWHERE)
    for section in ("commands", "log", "home_assistant"):
        record = getattr(configuration, section)
        yield from _changed(section, record, type(record)())


def interface_line(interface: InterfaceOptions) -> str:
    """Return an interface with its options that differ from their defaults, as one line; long ones are only counted."""
    schema = interface_schema(interface.cls)
    shown = []
    for name, value in interface.params.items():
        option = option_schema(schema, name)
        has_default = isinstance(option, Mapping) and "default" in option  # a class without a schema has any options
        default = fill_defaults(option["default"], option, schema) if has_default else None
        if name != "type" and value != default:
            shown.append(f"{name}={_shown(without_secrets({name: value})[name])}")
    return f"interface {interface.name} ({interface.cls.__name__}): {', '.join(shown) or 'all options are the default'}"


def _changed(section: str, record: Any, default: Any, left_out: Iterable[str] = ()) -> Iterator[str]:
    """Yield the fields of a named tuple that differ from those of `default`, also of a named tuple in it."""
    values: Mapping[str, Any] = record._asdict()
    hidden = without_secrets(values)
    for name, value in values.items():
        previous = getattr(default, name)
        if name in left_out or value == previous:
            continue
        if hasattr(value, "_asdict"):
            yield from _changed(f"{section}.{name}", value, previous)
        else:
            yield f"{section}.{name}={_shown(hidden[name])}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return _members([f"{name}: {each}" for name, each in value.items()], value.values(), "{}")
    if isinstance(value, list | tuple):
        return _members([*map(_shown, value)], value, "[]")
    return quote(value) if isinstance(value, str) and not value.isprintable() else str(value)


def _members(texts: Sequence[str], members: Iterable[Any], brackets: str) -> str:
    """Return a list or mapping: its members if they are few and plain, and else how many they are."""
    is_plain = len(texts) <= _MOST_MEMBERS and not any(isinstance(each, Mapping | list | tuple) for each in members)
    text = ", ".join(texts) if is_plain else counted(len(texts), "entry", "entries")
    return f"{brackets[0]}{text}{brackets[1]}"


def _first(*files: Any) -> list[str]:
    shown = [*map(str, files)]
    more = len(shown) - _MOST
    return shown if more <= 0 else [*shown[:_MOST], f"and {more} more"]
