"""The JSON Schemas of configurations and maps: each option is described once, in one of these files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gateway.core.option_schema import read_schema


@cache
def config_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a configuration, without the options of the interface types.

    A section whose options are described beside their record is referred to by the path of its file.
    """
    file = _path("config_schema.json")
    schema = read_schema(file)
    sections = {
        name: read_schema(file.parent / option["$ref"]) if option.get("$ref", "").endswith(".json") else option
        for name, option in schema["properties"].items()
    }
    return {**schema, "properties": sections}


def interface_schema(cls: type[Any]) -> Mapping[str, Any]:
    """Return the JSON Schema of the options of an interface class, with the options that all interfaces have."""
    common, interface_part = common_schema(), getattr(cls, "SCHEMA", None) or {"additionalProperties": True}
    return {
        **interface_part,
        "type": "object",
        "additionalProperties": interface_part.get("additionalProperties", False),
        "$defs": {**config_schema()["$defs"], **interface_part.get("$defs", {})},
        "required": [*common["required"], *interface_part.get("required", ())],
        "properties": {**common["properties"], **interface_part.get("properties", {})},
    }


def common_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of the options that all interfaces have."""
    return read_schema(_path("interface_schema.json"))


def map_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a map."""
    return read_schema(_path("map_schema.json"))


def _path(name: str) -> Path:
    return Path(__file__).with_name(name)
