"""The JSON Schema of one section of a configuration, and the defaults for the record that holds its options.

Each section is described once, in the file `options_schema.json` beside its record. An option is added there and as a
field of the record.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

_Record = TypeVar("_Record", bound=tuple[Any, ...])


@cache
def read_schema(path: Path) -> Mapping[str, Any]:
    """Return the JSON Schema in the file at `path`, which is read only once.

    A `$ref` to another file is replaced by the schema in that file. What stands beside the `$ref` changes this schema
    as a JSON merge patch does (RFC 7396): it adds and replaces members, and null removes one.
    """
    return _with_files(json.loads(path.read_text(encoding="utf-8")), path.parent)  # type: ignore[no-any-return]


def _with_files(part: Any, folder: Path) -> Any:
    if isinstance(part, list):
        return [_with_files(item, folder) for item in part]
    if not isinstance(part, dict):
        return part
    file = part.get("$ref")
    if isinstance(file, str) and file.endswith(".json"):
        return _patched(read_schema(folder / file), {name: value for name, value in part.items() if name != "$ref"})
    return {name: _with_files(value, folder) for name, value in part.items()}


def _patched(schema: Any, patch: Mapping[str, Any]) -> Any:
    result = dict(schema) if isinstance(schema, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _patched(result.get(name), value) if isinstance(value, dict) else value
    return result


def section_defaults(module_file: str, part: str = "") -> Mapping[str, Any]:
    """Return the default of each option that has one, by the `options_schema.json` beside `module_file`.

    `part` names a mapping within the section. Lists come as tuples, since a record is immutable.
    """
    schema = read_schema(Path(module_file).with_name("options_schema.json"))
    options = (schema["properties"][part] if part else schema)["properties"]
    return {name: _frozen(option["default"]) for name, option in options.items() if "default" in option}


def record_of(cls: type[_Record], options: Mapping[str, Any]) -> _Record:
    """Return `options`, which fit their schema, as the named tuple `cls`; a mapping in them becomes its own record.

    A word for which the record has an enumeration becomes one of it.
    """
    defaults: Mapping[str, Any] = cls._field_defaults  # type: ignore[attr-defined]
    return cls(**{name: _converted(value, defaults.get(name)) for name, value in options.items()})


def _converted(value: Any, default: Any) -> Any:
    """Return `value` in the form of the field that has `default`: a record, one of an enumeration, or itself."""
    if isinstance(value, dict) and isinstance(default, tuple):
        return record_of(type(default), value)
    return type(default)(value) if isinstance(default, enum.Enum) else _frozen(value)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
