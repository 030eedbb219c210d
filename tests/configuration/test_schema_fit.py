from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.configuration.interface_loader import find_interface
from gateway.configuration.json_reader import load_json
from gateway.configuration.schema_fit import fits_quickly
from gateway.configuration.schemas import config_schema, interface_schema, map_schema
from gateway.configuration.yaml_reader import load_yaml
from tests.support.strategies import json_values

ROOT = Path(__file__).resolve().parents[2]

_BASE = jsonschema.Draft202012Validator
Judge = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    _BASE, type_checker=_BASE.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
)


def findings_in(value: Any, schema: Any) -> list[Any]:
    """Return what the library finds, or what it stumbles over."""
    try:
        return list(Judge(schema).iter_errors(value))
    except Exception as err:  # noqa: BLE001
        return [err]


# --- shipped files, and what is near to them


def _interfaces(data: Any) -> Iterator[tuple[Any, Any]]:
    for options in [data["interface"]] if "interface" in data else data["interfaces"].values():
        yield options, interface_schema(find_interface(options["type"], ROOT / "conf", "gw"))


def _shipped() -> list[tuple[Any, Any]]:
    """Return each shipped configuration, the options of each interface in it, and each map, with its schema."""
    pairs = []
    for path in sorted((ROOT / "conf").glob("*.conf")):
        data = load_yaml(path.read_text(), path.name, {}).data
        pairs += [(data, config_schema()), *_interfaces(data)]
    pairs += [(load_json(path.read_text(), path.name).data, map_schema())
              for path in sorted((ROOT / "maps").glob("*.json"))]  # fmt: skip
    return pairs


SHIPPED = _shipped()


def _insides(value: Any) -> list[Any]:
    """Return all mappings and lists in `value`."""
    actual = [value] if isinstance(value, dict | list) and value else []
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        actual += _insides(inner)
    return actual


_SLIPS: st.SearchStrategy[Any] = st.sampled_from(
    ("", "a", "*", "text", 0, 1, -1, 60.0, 1.5, 10**9, True, False, None, [], {}, [""], ["a", 1], {"a": 1}, {"": ["a"]})
)
_NAMES = st.sampled_from(("_note", "a", "", "type", "kind", "match", "map", "values", "default", "-1", "12345"))


@st.composite
def nearly_right(draw: st.DrawFn) -> tuple[Any, Any]:
    """Draw what is shipped, with a slip or two, and its schema."""
    valid, schema = draw(st.sampled_from(SHIPPED))
    value = copy.deepcopy(valid)
    slips = _SLIPS.map(copy.deepcopy)  # what is put in may be changed by the next slip
    for _ in range(draw(st.integers(0, 2))):
        inside = draw(st.sampled_from(_insides(value)))
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()):
            inside[key] = draw(slips | json_values())
        elif isinstance(inside, list):
            inside.append(draw(slips))
        elif draw(st.booleans()):
            inside[draw(_NAMES)] = inside.pop(key)
        else:
            inside[draw(_NAMES)] = draw(slips)
        assume(_insides(value))
    return value, schema


@given(nearly_right())
def test_what_fits_is_right_where_a_shipped_file_has_a_slip(pair: tuple[Any, Any]) -> None:
    value, schema = pair
    if fits_quickly(value, schema):
        assert findings_in(value, schema) == []


_PROBE = """
import sys
from pathlib import Path
from gateway.configuration.load_config import load_configuration
from gateway.configuration.load_map import load_map
path = Path(sys.argv[1])
load_configuration(path, {}) if path.suffix == ".conf" else load_map(path, sender="gw")
print(*sorted({"jsonschema", "referencing", "attr"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "conf").glob("*.conf"), *(ROOT / "maps").glob("*.json")]), ids=lambda path: path.name
)
def test_a_shipped_file_is_loaded_without_the_library(path: Path) -> None:
    command = [sys.executable, "-c", _PROBE, str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip() == ""


# --- any small schema

_values = st.recursive(
    st.sampled_from((None, True, False, 0, 1, 2, -1, 1.0, 1.5, 0.3, "", "a", "b", "ab", "1", "é")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("", "a", "b", "_a")), inner, max_size=3)
    ),
    max_leaves=6,
)
_types = st.sampled_from(("object", "array", "string", "integer", "number", "boolean", "null"))
_bounds = st.sampled_from((0, 1, 2, -1, 0.5, 1.5))
_sizes = st.integers(0, 3)
_keys = st.sampled_from(("a", "b", "_a"))
_patterns = st.sampled_from(("^_", "a", "^$", "^[0-9]+$", "b$"))


def _some_of(members: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw up to three of `members`: hardly any value fits a schema with more keywords."""
    names = st.lists(st.sampled_from([*members]), max_size=3, unique=True)
    return names.flatmap(lambda drawn: st.fixed_dictionaries({name: members[name] for name in drawn}))


def _schema_of(inner: st.SearchStrategy[Any], *more_references: str) -> st.SearchStrategy[Any]:
    schemas = st.lists(inner, min_size=1, max_size=3)
    return _some_of(
        {
            "type": _types | st.lists(_types, min_size=1, max_size=3),
            "enum": st.lists(_values, min_size=1, max_size=3),
            "const": _values,
            "anyOf": schemas,
            "$ref": st.sampled_from(("#/$defs/none", *more_references)),
            "minLength": _sizes,
            "maxLength": _sizes,
            "pattern": _patterns,
            "minimum": _bounds,
            "maximum": _bounds,
            "exclusiveMinimum": _bounds,
            "exclusiveMaximum": _bounds,
            "multipleOf": st.sampled_from((1, 2, 0.1, 0.5)),
            "items": inner,
            "minItems": _sizes,
            "maxItems": _sizes,
            "required": st.lists(_keys, max_size=2),
            "dependentRequired": st.dictionaries(_keys, st.lists(_keys, max_size=2), max_size=2),
            "properties": st.dictionaries(_keys, inner, max_size=3),
            "patternProperties": st.dictionaries(_patterns, inner, max_size=2),
            "additionalProperties": inner,
            "propertyNames": inner,
            "minProperties": _sizes,
            "maxProperties": _sizes,
            "default": _values,
        },
    )


_schemas = st.recursive(st.booleans() | _schema_of(st.booleans()), _schema_of, max_leaves=5)
_unknown = _some_of(
    {
        "oneOf": st.lists(_schemas, min_size=2, max_size=2),
        "not": _schemas,
        "uniqueItems": st.just(True),
        "format": st.just("ipv4"),
        "prefixItems": st.lists(_schemas, min_size=1, max_size=2),
        "contains": _schemas,
        "if": st.just(True),
        "then": _schemas,
        "$id": st.just("http://a/b"),
        "$schema": st.sampled_from(("https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-04/schema#")),
        "type": st.just("whatever"),
        "minimum": st.just("1"),
        "required": st.just(7),
    },
)  # fmt: skip


@settings(max_examples=300)
@given(
    _values,
    _schema_of(_schemas | _unknown, "#/$defs/a", "#/$defs/b", "#/$defs/a/items"),
    st.fixed_dictionaries({"a": _schemas, "b": _schemas | _unknown}),
    st.just({}) | _unknown,
)
def test_what_fits_any_schema_is_right(value: Any, schema: Any, inner: Any, more: Any) -> None:
    whole = {**schema, **more, "$defs": inner}
    if fits_quickly(value, whole):
        assert findings_in(value, whole) == []


@pytest.mark.parametrize(
    ("value", "schema", "fits"),
    [
        (60, {"type": "integer"}, True),
        (60.0, {"type": "integer"}, False),
        (True, {"type": "integer"}, False),
        (True, {"type": "number"}, False),
        (1.5, {"type": "number"}, True),
        (True, {"enum": [1]}, False),
        (1, {"enum": [True]}, False),
        (1, {"const": True}, False),
        (1, {"const": 1}, True),
        ([True], {"const": [1]}, False),
        ([1], {"const": [1]}, False),  # right, but not plainly
        ("ab", {"pattern": "b$"}, True),
        ("ab", {"pattern": "^b"}, False),
        (4, {"multipleOf": 2}, True),
        (5, {"multipleOf": 2}, False),
        (1.5, {"multipleOf": 0.5}, False),  # right, but not plainly
        (5, {"type": ["string", "integer"]}, True),
        (5, {"type": ["string", "whatever"]}, False),
        ({"_a": 1}, {"patternProperties": {"^_": {}}, "additionalProperties": False}, True),
        ({"a": 1}, {"patternProperties": {"^_": {}}, "additionalProperties": False}, False),
        ({"a": 1}, {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "integer"}}}, True),
        ({"a": 1}, {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}, False),
        ({"a": 1}, {"$ref": "#/$defs/a/b", "$defs": {"a": {"b": {}}, "b": {}}}, False),
        ({"a": 1}, {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {}, "a~1b": {}}}, False),
        ({"a": 1}, {"properties": {"a": {}}, "patternProperties": {"a": False}}, False),
        ({"ba": 1}, {"patternProperties": {"a": False}}, False),
        ({"bb": 1, "aa": 1}, {"patternProperties": {r"(a)\1": {}, r"(b)\1": {}}, "additionalProperties": False}, False),
        ({"a": 1}, {"propertyNames": {"pattern": "^a"}}, True),
        ({"ba": 1}, {"propertyNames": {"pattern": "^a"}}, False),
        ({"a": 1, "b": 1}, {"required": ["a"], "dependentRequired": {"a": ["b"], "c": ["d"]}}, True),
        ({"a": 1}, {"dependentRequired": {"a": ["b"]}}, False),
        ({"b": 1}, {"required": ["a"]}, False),
        (1, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, True),
        (1, {"anyOf": [{"type": "whatever"}, {"type": "integer"}]}, False),  # the library stumbles over the first
        (1, {"oneOf": [{"type": "integer"}]}, False),  # right, but the keyword is not known
        (1, {"format": "ipv4"}, False),
        ([1, 2], {"uniqueItems": True}, False),
        (1, {"$schema": "http://json-schema.org/draft-04/schema#"}, False),
        (1, {"minimum": "1"}, False),
        (1, None, False),
        (1j, True, True),
        (1j, {}, False),
    ],
)
def test_what_fits_is_plain(value: Any, schema: Any, fits: bool) -> None:
    assert fits_quickly(value, schema) is fits


@pytest.mark.parametrize(
    ("keyword", "right", "wrong"),
    [
        ("minLength", "ab", "a"),
        ("maxLength", "ab", "abc"),
        ("minItems", [1, 2], [1]),
        ("maxItems", [1, 2], [1, 2, 3]),
        ("minProperties", {"a": 1, "b": 2}, {"a": 1}),
        ("maxProperties", {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}),
        ("minimum", 2, 1.5),
        ("maximum", 2, 3),
        ("exclusiveMinimum", 3, 2),
        ("exclusiveMaximum", 1.5, 2),
    ],
)
def test_a_bound_of_two_is_kept_for_what_it_is_meant_for(keyword: str, right: Any, wrong: Any) -> None:
    assert fits_quickly(right, {keyword: 2})
    assert not fits_quickly(wrong, {keyword: 2})
    assert findings_in(wrong, {keyword: 2})
    assert all(fits_quickly(other, {keyword: 2}) for other in (None, True))
