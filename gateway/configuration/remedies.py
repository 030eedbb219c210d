"""Suggests what to write instead of a value that does not fit its schema: the value in the right form. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from gateway.configuration.scalars import resolve_scalar
from gateway.configuration.schema_fit import fits_quickly

Schema: TypeAlias = Mapping[str, Any]

_YES, _NO = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
_SWITCHES = {"yes": True, "on": True, "no": False, "off": False}  # text in YAML 1.2, but meant as booleans
_PLAIN = re.compile(r"[\w./][\w ./+#@$-]*")
_MAX_SHOWN = 60  # characters of a suggested line


def example_of(schema: Any) -> str:
    """Return the example of `schema`, or else its default, as text; an empty text if it has neither."""
    if not isinstance(schema, dict):
        return ""
    for value in (*schema.get("examples", ()), schema.get("default")):
        if value not in (None, "") and not isinstance(value, dict | list):
            return str(value).lower() if isinstance(value, bool) else str(value)
    return ""


class Value(NamedTuple):
    """A wrong value, the name of its option (or ""), whether it may be shown, and whether the file is JSON."""

    key: str
    wrong: Any
    is_shown: bool = True
    is_json: bool = False

    def suggestion(self, replacement: Any, advice: str) -> str:
        """Return `advice` with the line that has `replacement` instead of the value; "" if that is too long."""
        dump = partial(json.dumps, ensure_ascii=False) if self.is_json else _yaml
        key = f"{dump(self.key)}: " if self.key else ""
        text = f"{key}{dump(replacement)}"
        return f"{advice} {text}" if len(text) <= _MAX_SHOWN else ""


def remedy_of_type(value: Value, schemas: Iterable[Schema], root: Schema) -> str:
    """Return what to write instead of `value`, which fits none of `schemas`; an empty text if that is unknown.

    `root` is the schema into which their `$ref`s point.
    """
    return next(filter(None, (_remedy(value, _resolved(schema, root), root) for schema in schemas)), "")


def unquoted(value: Any, schema: Schema) -> str:
    """Return the remedy for a text that would fit `schema` without quotes; an empty text if it would not."""
    if not isinstance(value, str):
        return ""
    scalar = resolve_scalar(value)
    if isinstance(scalar, str) or scalar is None or not fits_quickly(scalar, schema):
        return ""
    return f"write it without quotes: {value}"


def _remedy(value: Value, schema: Schema, root: Schema) -> str:
    types, wrong = schema.get("type"), value.wrong
    names = {types} if isinstance(types, str) else set(types or ())
    if wrong is None:
        example = example_of(schema)
        where = ", in indented lines below it" if names <= {"object", "array"} else ""
        return f"set a value{where}, or remove the option{f': for example {example}' if example else ''}"
    if "string" in names and isinstance(wrong, bool | int | float):
        return f'put it in quotes: "{json.dumps(wrong)}"' if value.is_shown else "put it in quotes"
    if not value.is_shown:
        return ""
    if "boolean" in names:
        return _remedy_of_boolean(wrong)
    if names & {"integer", "number"} and isinstance(wrong, str | float):
        return unquoted(wrong, schema) or _whole(wrong, names)
    if names & {"string", "integer", "number"} and isinstance(wrong, list) and len(wrong) == 1:
        return value.suggestion(wrong[0], "write it without brackets:") if _is_scalar(wrong[0]) else ""
    if names & {"array", "object"}:
        return _remedy_of_form(value, schema, root)
    return ""


def _remedy_of_form(value: Value, schema: Schema, root: Schema) -> str:
    wrong = value.wrong
    form = _form(wrong, schema, root)
    if form is not None:
        return value.suggestion(form, "write it as")
    if isinstance(wrong, list) and isinstance(schema.get("additionalProperties"), dict):
        return "write a mapping with a name for each item, instead of a list"
    if isinstance(wrong, list) and len(wrong) == 1 and isinstance(wrong[0], dict):
        return "write it without '-' or brackets"
    return "write it as a list: put '-' before each item" if isinstance(wrong, dict) and not value.is_json else ""


def _remedy_of_boolean(value: Any) -> str:
    word = str(value).casefold()
    if word in ("true", "false") and isinstance(value, str):
        return f"write it without quotes: {word}"
    return "write true" if word in _YES else "write false" if word in _NO else ""


def _whole(value: Any, names: set[Any]) -> str:
    is_whole = isinstance(value, float) and value.is_integer() and "number" not in names
    return f"write {int(value)}" if is_whole else ""


def _form(value: Any, schema: Schema, root: Schema) -> Any:
    """Return `value` in a list or mapping, so that it fits `schema`; None if there is no obvious way."""
    if schema.get("type") == "array" and _is_scalar(value):
        item = _resolved(schema.get("items", {}), root)
        inner = value if fits_quickly(value, _whole_schema(item, root)) else _form(value, item, root)
        return None if inner is None else [inner]
    if schema.get("type") != "object" or not _is_scalar(value):
        return None
    options = schema.get("properties", {})
    required = [name for name in schema.get("required", ()) if name in options]
    if isinstance(value, str) and value.casefold() in _SWITCHES and not required:
        switch = next((name for name in options if options[name].get("type") == "boolean"), None)
        if switch is not None:
            return {switch: _SWITCHES[value.casefold()]}
    for name in [*required, *(name for name in options if name not in required)]:
        if fits_quickly(value, _whole_schema(_resolved(options[name], root), root)):
            return {name: value}
    additional = schema.get("additionalProperties")
    inner = _form(value, _resolved(additional, root), root) if isinstance(additional, dict) else None
    return None if inner is None else {"NAME": inner}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _whole_schema(schema: Schema, root: Schema) -> Schema:
    return {**schema, "$defs": root.get("$defs", {})}


def _resolved(schema: Any, root: Schema) -> Schema:
    """Return the definition in `root` to which `schema` refers, or `schema` itself."""
    while isinstance(schema, Mapping) and str(schema.get("$ref", "")).startswith("#/$defs/"):
        schema = root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2])
    return schema if isinstance(schema, Mapping) else {}


def _yaml(value: Any) -> str:
    """Return `value` as YAML in one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_yaml(inner)}' for name, inner in value.items())}}}"
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and " #" not in value and value == value.strip()
    return value if is_plain and isinstance(resolve_scalar(value), str) else json.dumps(value, ensure_ascii=False)
