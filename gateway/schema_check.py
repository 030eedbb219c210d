"""Checks a document against a JSON Schema and says what is wrong in words; fills in defaults.

Pure apart from the schema library. The schemas describe each option once; samples and docs are made from them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, cast

import jsonschema

from gateway.document import Document, Path, resolve_scalar
from gateway.errors import Finding

Schema: TypeAlias = Mapping[str, Any]

_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def check_schema(document: Document, data: Any, schema: Schema, at: Path = ()) -> list[Finding]:
    """Return everything in `data`, which stands at path `at` of `document`, that breaks `schema`."""
    validator = jsonschema.Draft202012Validator(schema)
    return [finding for error in validator.iter_errors(data) for finding in _explain(document, error, at)]


def fill_defaults(data: Any, schema: Schema) -> Any:
    """Return `data` with the schema's `default` wherever an option is missing, through nested mappings."""
    if not isinstance(data, dict):
        return data
    filled = dict(data)
    for name, option in schema.get("properties", {}).items():
        if name in filled:
            filled[name] = fill_defaults(filled[name], option)
        elif "default" in option:
            filled[name] = fill_defaults(option["default"], option)
    return filled


def convert_substituted(document: Document, data: Any, schema: Schema, at: Path = ()) -> Any:
    """Give the values that came from environment variables, which are text, the type their option wants."""
    if isinstance(data, dict):
        options = schema.get("properties", {})
        return {k: convert_substituted(document, v, options.get(k, {}), (*at, k)) for k, v in data.items()}
    wanted = schema.get("type")
    if at in document.raw and wanted in ("integer", "number", "boolean") and isinstance(data, str):
        return resolve_scalar(data)
    return data


def near(word: str, known: Iterable[str]) -> str:
    """Return a remedy that names the words of `known` that `word` may be a slip of."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"known here: {', '.join(known)}" if known else "remove it"


def _explain(document: Document, error: jsonschema.ValidationError, at: Path) -> Iterator[Finding]:
    path: Path = (*at, *error.absolute_path)
    rule, wanted, found = str(error.validator), cast(Any, error.validator_value), cast(Any, error.instance)
    schema = error.schema if isinstance(error.schema, dict) else {}
    secret = schema.get("writeOnly")
    quoted = "a value that is not shown" if secret else document.quote(path, found)
    if rule == "additionalProperties" and isinstance(found, dict):
        known = set(schema.get("properties", {}))
        for key in found:
            if key not in known:
                yield document.finding((*path, key), "unknown option", near(key, known), at_key=True)
    elif rule == "required":
        for name in wanted:
            if name not in found:
                yield document.finding(path, f"{name!r} is missing", _advice(schema, name))
    elif rule == "dependentRequired":
        for name, needed in wanted.items():
            for other in needed if name in found else ():
                if other not in found:
                    yield document.finding((*path, name), f"it needs {other!r} too", f"add {other!r}")
    elif rule in ("anyOf", "oneOf") and error.context:
        yield from _explain_branches(document, error, at, quoted)
    else:
        what, remedy = _describe(rule, wanted, found, quoted)
        yield document.finding(path, what, remedy or _example(schema))


def _describe(rule: str, wanted: Any, found: Any, quoted: str) -> tuple[str, str]:
    if rule == "type":
        names = " or ".join(_TYPE_NAMES[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
        quotable = names == "text" and isinstance(found, int | float | bool)
        return f"expected {names}, found {quoted}", "put it in quotes" if quotable else ""
    if rule == "enum":
        remedy = near(found, map(str, wanted)) if isinstance(found, str) else ""
        return f"expected one of {', '.join(map(str, wanted))}, found {quoted}", remedy
    if rule == "const":
        return f"expected {wanted!r}, found {quoted}", ""
    if rule in ("minimum", "exclusiveMinimum"):
        return f"expected {'at least' if rule == 'minimum' else 'more than'} {wanted}, found {quoted}", ""
    if rule in ("maximum", "exclusiveMaximum"):
        return f"expected {'at most' if rule == 'maximum' else 'less than'} {wanted}, found {quoted}", ""
    if rule == "minLength":
        return "it is empty" if not found else f"expected at least {wanted} characters, found {quoted}", ""
    if rule == "maxLength":
        return f"expected at most {wanted} characters, found {len(found)}", ""
    if rule in ("minItems", "minProperties"):
        return f"expected at least {wanted}, found {len(found)}", ""
    if rule in ("maxItems", "maxProperties"):
        return f"expected at most {wanted}, found {len(found)}", ""
    if rule == "uniqueItems":
        return "something is listed twice", "keep one of the two"
    if rule == "pattern":
        return f"{quoted} does not have the form that is expected", ""
    return f"{quoted} is not taken here", ""


def _explain_branches(
    document: Document, error: jsonschema.ValidationError, at: Path, quoted: str
) -> Iterator[Finding]:
    """Explain the alternative that the value comes nearest to: the one whose type it has."""
    branches: dict[Any, list[jsonschema.ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)

    def misfit(errors: list[jsonschema.ValidationError]) -> tuple[bool, int]:
        wrong_kind = any(e.validator in ("type", "const") and len(e.absolute_path) <= len(error.absolute_path) + 1
                         for e in errors)  # fmt: skip
        return wrong_kind, len(errors)

    best = min(branches.values(), key=misfit)
    if all(misfit(errors)[0] for errors in branches.values()) and all(
        len(e.absolute_path) == len(error.absolute_path) for e in best
    ):
        names = dict.fromkeys(
            _TYPE_NAMES[name]
            for errors in branches.values()
            for e in errors
            if e.validator == "type"
            for name in ([e.validator_value] if isinstance(e.validator_value, str) else cast(Any, e.validator_value))
        )
        path: Path = (*at, *error.absolute_path)
        yield document.finding(path, f"expected {' or '.join(names)}, found {quoted}", _example(error.schema))
        return
    for inner in best:
        yield from _explain(document, inner, at)


def _advice(schema: Any, name: str) -> str:
    option = schema.get("properties", {}).get(name, {}) if isinstance(schema, dict) else {}
    return f"add it: {name}: {_example_value(option)}" if _example_value(option) else f"add {name!r}"


def _example(schema: Any) -> str:
    value = _example_value(schema)
    return f"for example {value}" if value else ""


def _example_value(schema: Any) -> str:
    if not isinstance(schema, dict):
        return ""
    for value in (*schema.get("examples", ()), schema.get("default")):
        if value not in (None, "") and not isinstance(value, dict | list):
            return str(value).lower() if isinstance(value, bool) else str(value)
    return ""
