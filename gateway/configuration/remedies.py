"""What to write instead of a value that does not fit its schema: the right form, with the value in it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from gateway.configuration.document import resolve_scalar
from gateway.configuration.schema_fit import plainly_fits

Schema: TypeAlias = Mapping[str, Any]

_YES, _NO = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
_SWITCHES = {"yes": True, "on": True, "no": False, "off": False}  # text in YAML 1.2, and meant as truth values
_PLAIN = re.compile(r"[\w./][\w ./+#@$-]*")
_LONGEST = 60  # characters of a form that is shown


def example_of(schema: Any) -> str:
    """Return a value that `schema` gives as an example, or as its default, as text; an empty one if there is none."""
    if not isinstance(schema, dict):
        return ""
    for value in (*schema.get("examples", ()), schema.get("default")):
        if value not in (None, "") and not isinstance(value, dict | list):
            return str(value).lower() if isinstance(value, bool) else str(value)
    return ""


class Value(NamedTuple):
    """A value that does not fit: the option that has it, if it has a name; whether it may be shown; its language."""

    key: str
    found: Any
    is_shown: bool = True
    is_json: bool = False

    def written(self, other: Any, what: str) -> str:
        """Return that `other` is to be written instead, as it stands in the file."""
        dump = partial(json.dumps, ensure_ascii=False) if self.is_json else _yaml
        key = f"{dump(self.key)}: " if self.key else ""
        text = f"{key}{dump(other)}"
        return f"{what} {text}" if len(text) <= _LONGEST else ""


def remedy_of_type(value: Value, schemas: Iterable[Schema], root: Schema) -> str:
    """Return what to write instead of `value` where none of `schemas` takes it, or an empty text.

    `root` is what their `$ref`s point into.
    """
    return next(filter(None, (_remedy(value, _resolved(schema, root), root) for schema in schemas)), "")


def unquoted(value: Any, schema: Schema) -> str:
    """Return the remedy for a text that would fit `schema` if it were not in quotes; an empty one if it would not."""
    if not isinstance(value, str):
        return ""
    meant = resolve_scalar(value)
    if isinstance(meant, str) or meant is None or not plainly_fits(meant, schema):
        return ""
    return f"write it without quotes: {value}"


def _remedy(value: Value, schema: Schema, root: Schema) -> str:
    wanted, found = schema.get("type"), value.found
    names = {wanted} if isinstance(wanted, str) else set(wanted or ())
    if found is None:
        example = example_of(schema)
        where = ", in lines below that are indented more" if names <= {"object", "array"} else ""
        return f"give it a value{where}, or remove it{f': for example {example}' if example else ''}"
    if "string" in names and isinstance(found, bool | int | float):
        return f'put it in quotes: "{json.dumps(found)}"' if value.is_shown else "put it in quotes"
    if not value.is_shown:
        return ""
    if "boolean" in names:
        return _remedy_of_boolean(found)
    if names & {"integer", "number"} and isinstance(found, str | float):
        return unquoted(found, schema) or _whole(found, names)
    if names & {"string", "integer", "number"} and isinstance(found, list) and len(found) == 1:
        return value.written(found[0], "write it without brackets:") if _is_scalar(found[0]) else ""
    if names & {"array", "object"}:
        return _remedy_of_form(value, schema, root)
    return ""


def _remedy_of_form(value: Value, schema: Schema, root: Schema) -> str:
    found = value.found
    form = _form(found, schema, root)
    if form is not None:
        return value.written(form, "write it as")
    if isinstance(found, list) and isinstance(schema.get("additionalProperties"), dict):
        return "give each a name of its own, instead of a list"
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict):
        return "write it without the '-', or the brackets"
    return "write it as a list: '-' before each" if isinstance(found, dict) and not value.is_json else ""


def _remedy_of_boolean(value: Any) -> str:
    word = str(value).casefold()
    if word in ("true", "false") and isinstance(value, str):
        return f"write it without quotes: {word}"
    return "write true" if word in _YES else "write false" if word in _NO else ""


def _whole(value: Any, names: set[Any]) -> str:
    is_whole = isinstance(value, float) and value.is_integer() and "number" not in names
    return f"write {int(value)}" if is_whole else ""


def _form(value: Any, schema: Schema, root: Schema) -> Any:
    """Return `value` in a list or mapping, so that it fits `schema`; None if it cannot be told how."""
    if schema.get("type") == "array" and _is_scalar(value):
        item = _resolved(schema.get("items", {}), root)
        inner = value if plainly_fits(value, _whole_schema(item, root)) else _form(value, item, root)
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
        if plainly_fits(value, _whole_schema(_resolved(options[name], root), root)):
            return {name: value}
    rest = schema.get("additionalProperties")
    inner = _form(value, _resolved(rest, root), root) if isinstance(rest, dict) else None
    return None if inner is None else {"NAME": inner}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _whole_schema(schema: Schema, root: Schema) -> Schema:
    return {**schema, "$defs": root.get("$defs", {})}


def _resolved(schema: Any, root: Schema) -> Schema:
    """Follow `$ref`s into the `$defs` of the root."""
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
