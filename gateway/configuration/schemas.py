"""The JSON Schemas that ship with the gateway: each option is described there, once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def config_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a configuration, without the options of the interface types."""
    return _read_schema("config_schema.json")


def interface_schema(cls: type[Any]) -> Mapping[str, Any]:
    """Return the JSON Schema of the options of an interface class, those that all have included."""
    common, own = common_schema(), getattr(cls, "SCHEMA", None) or {"additionalProperties": True}
    return {
        **own,
        "type": "object",
        "additionalProperties": own.get("additionalProperties", False),
        "$defs": {**config_schema()["$defs"], **own.get("$defs", {})},
        "required": [*common["required"], *own.get("required", ())],
        "properties": {**common["properties"], **own.get("properties", {})},
    }


@cache
def common_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of the options that all interfaces have."""
    return _read_schema("interface_schema.json")


@cache
def map_schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a map."""
    return _read_schema("map_schema.json")


def _read_schema(name: str) -> Mapping[str, Any]:
    return json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))  # type: ignore[no-any-return]
