"""The JSON Schema of the serial interface, in parts: port, framing, rules, conversation, reuse.

A part has the top-level options of its subject in `properties`, and what several options share in `$defs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gateway.core import option_schema

PARTS = ("port", "framing", "rules", "conversation", "reuse")
"""The files, in the order in which their options are listed."""


@cache
def read_schema() -> Mapping[str, Any]:
    """Return the schema: all its parts in one."""
    schema: dict[str, Any] = {}
    for part in PARTS:
        for name, value in option_schema.read_schema(Path(__file__).with_name(f"{part}.json")).items():
            schema[name] = {**schema.get(name, {}), **value} if isinstance(value, dict) else value
    return schema
