"""The JSON Schemas of configurations and maps: each option is described once, in one of these files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gateway.core.option_schema import read_schema

_NEWER = ("devices", "max_devices", "reading_time")
"""The options of all interfaces whose names an interface may use for options of its own."""


@cache
def config_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a configuration, without the options of the interface types."""
    return read_schema(_path("config_schema.json"))


def interface_schema(cls: type[Any], *, is_legacy: bool = False) -> Mapping[str, Any]:
    """Return the JSON Schema of the options of an interface class, with the options that all interfaces have.

    `is_legacy`: for an INI file of a version before 3.0. It cannot use the newer of these options, so that their names
    are free for options of the interface.
    """
    common, interface_part = common_schema(), _own_schema(cls)
    shared = {name: common["properties"][name] for name in shared_options(cls, is_legacy=is_legacy)}
    return {
        **interface_part,
        "type": "object",
        "additionalProperties": interface_part.get("additionalProperties", False),
        "$defs": {
            **config_schema()["$defs"],
            **common["$defs"],
            **_device_definitions(),
            **interface_part.get("$defs", {}),
        },
        "required": [*common["required"], *interface_part.get("required", ())],
        "properties": {**shared, **interface_part.get("properties", {})},
    }


def shared_options(cls: type[Any], *, is_legacy: bool = False) -> list[str]:
    """Return the names of the options of an interface class that are not its own, but those that all interfaces have.

    An interface may have options of its own called `devices`, for example: then it cannot declare devices there.
    """
    own = {**_own_schema(cls)}.get("properties", {})
    return [name for name in common_schema()["properties"] if name not in _NEWER or not (is_legacy or name in own)]


def _own_schema(cls: type[Any]) -> Mapping[str, Any]:
    return getattr(cls, "SCHEMA", None) or {"additionalProperties": True}


@cache
def common_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of the options that all interfaces have."""
    return read_schema(_path("interface_schema.json"))


@cache
def _device_definitions() -> Mapping[str, Any]:
    """Return the definitions of a device and of its parts, by the names under which schemas refer to them."""
    device = device_schema()
    parts = {name: device[name] for name in ("type", "additionalProperties", "required", "properties")}
    return {"declared_device": parts, **device["$defs"]}


def devices_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of the devices that a class declares: those of `devices`, but each written out."""
    definitions = _device_definitions()
    device = definitions["declared_device"]
    properties = {name: option for name, option in device["properties"].items() if name != "for"}
    written_out = {**definitions, "declared_device": {**device, "properties": properties}}
    return {**common_schema()["properties"]["devices"], "$defs": written_out}


def repetition_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of `for`, the values for which an entry of a list is repeated."""
    definition: Mapping[str, Any] = common_schema()["$defs"]["repetition"]
    return definition


@cache
def device_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a device of an interface."""
    return read_schema(_path("device_schema.json"))


@cache
def map_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a map."""
    return read_schema(_path("map_schema.json"))


def _path(name: str) -> Path:
    return Path(__file__).with_name(name)
