"""A quick check whether a value fits its JSON Schema, as nearly all values do. Pure.

Without it, every start would import the schema library and check with it. That takes 50 ms of processor time, a
quarter of a start, and for a map of 100,000 words 0.8 s. The library decides whatever this check does not accept, and
explains it. Only the keywords that the schemas of the gateway use are supported here.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ANNOTATIONS = {
    "$schema", "$defs", "$comment", "title", "description", "examples", "default", "writeOnly", "format",
    "applies_to", "alternatives", "on_page",
}  # fmt: skip
_FOR_ALL = {"$ref", "anyOf", "type", "enum", "const"}
_FOR_TEXT = {"pattern", "minLength", "maxLength"}
_FOR_NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_FOR_LISTS = {"items", "minItems", "maxItems"}
_FOR_MAPPINGS = {"required", "dependentRequired", "properties", "patternProperties", "additionalProperties",
                 "propertyNames", "minProperties", "maxProperties"}  # fmt: skip
_KEYWORDS = frozenset(_ANNOTATIONS | _FOR_ALL | _FOR_TEXT | _FOR_NUMBERS | _FOR_LISTS | _FOR_MAPPINGS)

_TYPE_NAMES: dict[type, tuple[str, ...]] = {
    dict: ("object",),
    list: ("array",),
    str: ("string",),
    int: ("integer", "number"),
    float: ("number",),  # to JSON Schema, 60.0 is an integer, too; Python needs 60
    bool: ("boolean",),
    type(None): ("null",),
}
_LARGEST = sys.float_info.max
_KNOWN_TYPES = frozenset(name for names in _TYPE_NAMES.values() for name in names)


class _UnsupportedError(Exception):
    """The schema uses something that is not supported here: only the library can decide."""


def fits_quickly(value: Any, schema: Any) -> bool:
    """Return true if `value` certainly fits `schema`; after false, the library must decide."""
    try:
        return _fits(value, schema, schema)
    except Exception:  # noqa: BLE001  (an interface may have any schema; the library reports what is wrong with it)
        return False


def _fits(value: Any, schema: Any, root: Any) -> bool:
    if isinstance(schema, bool):
        return schema
    names = _TYPE_NAMES[type(value)]
    if not _KEYWORDS.issuperset(schema) or schema.get("$schema", _DIALECT) != _DIALECT:
        raise _UnsupportedError
    if schema.get("format", "file") != "file":  # the only format that means something here, see `with_files`
        raise _UnsupportedError
    if "type" in schema and schema["type"] not in names and not _is_one_type(names, schema["type"]):
        return False
    if "enum" in schema and not _is_one_of(value, schema["enum"]):
        return False
    if "const" in schema and not _is_one_of(value, [schema["const"]]):
        return False
    if "$ref" in schema and not _fits(value, _referred(schema["$ref"], root), root):
        return False
    if "anyOf" in schema and not any(_fits(value, branch, root) for branch in schema["anyOf"]):
        return False
    rule = _RULES.get(type(value))
    return rule is None or rule(value, schema, root)


def _is_one_type(names: tuple[str, ...], types: Any) -> bool:
    types = {types} if isinstance(types, str) else set(types)
    if not types <= _KNOWN_TYPES:
        raise _UnsupportedError
    return not types.isdisjoint(names)


def _is_one_of(value: Any, choices: list[Any]) -> bool:
    if isinstance(value, dict | list):
        raise _UnsupportedError  # to Python, [True] is [1]
    return any(type(choice) is type(value) and choice == value for choice in choices)


def _referred(reference: str, root: Any) -> Any:
    place, _, name = reference.rpartition("/")
    if place != "#/$defs" or not name.isidentifier():
        raise _UnsupportedError
    return root["$defs"][name]


def _text_fits(value: str, schema: Mapping[str, Any], _root: Any) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
        return False
    return "pattern" not in schema or re.search(schema["pattern"], value) is not None


def is_finite(number: float) -> bool:
    """Return whether a number is one that calculations can use: neither infinite, nor NaN, nor as large an integer."""
    return -_LARGEST <= number <= _LARGEST


def _number_fits(value: Any, schema: Mapping[str, Any], _root: Any) -> bool:
    if not is_finite(value):
        return False
    if not schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf):
        return False
    if "exclusiveMinimum" in schema and not value > schema["exclusiveMinimum"]:
        return False
    if "exclusiveMaximum" in schema and not value < schema["exclusiveMaximum"]:
        return False
    if "multipleOf" not in schema:
        return True
    if isinstance(value, float) or isinstance(schema["multipleOf"], float):
        raise _UnsupportedError  # in floating-point numbers, 0.3 is no multiple of 0.1
    return bool(value % schema["multipleOf"] == 0)


def _list_fits(value: list[Any], schema: Mapping[str, Any], root: Any) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        return False
    for item in value:  # noqa: SIM110  (runs for each word of a map; `all` would take half as long again)
        if not _fits(item, schema.get("items", True), root):
            return False
    return True


def _mapping_fits(value: dict[str, Any], schema: Mapping[str, Any], root: Any) -> bool:
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", math.inf):
        return False
    needed = [*schema.get("required", ())]
    for name, others in schema.get("dependentRequired", {}).items():
        needed += others if name in value else ()
    if not all(name in value for name in needed):
        return False
    if "propertyNames" in schema and not all(_fits(name, schema["propertyNames"], root) for name in value):
        return False
    by_name, by_pattern = schema.get("properties", {}), schema.get("patternProperties", {})
    additional = schema.get("additionalProperties", True)
    if len(by_pattern) > 1:
        raise _UnsupportedError  # the library joins the patterns, after which \1 is another group
    for name, item in value.items():
        schemas = [by_name[name]] if name in by_name else []
        if by_pattern:
            schemas += [inner for pattern, inner in by_pattern.items() if re.search(pattern, name)]
        for inner in schemas or (additional,):
            if not _fits(item, inner, root):
                return False
    return True


_RULES: dict[type, Callable[[Any, Mapping[str, Any], Any], bool]] = {
    str: _text_fits,
    int: _number_fits,
    float: _number_fits,
    list: _list_fits,
    dict: _mapping_fits,
}
