"""Checks a document against a JSON Schema and says what is wrong in words; fills in defaults.

Pure apart from the schema library. The schemas describe each option once; samples and docs are made from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from gateway.configuration.document import Document, Path
from gateway.configuration.schema_fit import plainly_fits
from gateway.errors import Finding, bounded

if TYPE_CHECKING:
    import jsonschema

Schema: TypeAlias = Mapping[str, Any]

_LONG_WORD = 100  # characters of a word that is compared with others: a file may have one of megabytes
_MAX_ERRORS = 1000  # that the schema library is asked for: a file may be wrong in each of its lines

_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


@cache
def _validator() -> Callable[[Schema], jsonschema.Draft202012Validator]:
    """Return the class that checks against a schema."""
    import jsonschema  # only where something is wrong: it takes a third of the time of a start

    def is_integer(_: object, value: object) -> bool:  # to JSON Schema, 60.0 is one too; Python wants 60
        return isinstance(value, int) and not isinstance(value, bool)

    base = jsonschema.Draft202012Validator

    def additional_properties(validator: Any, rest: Any, instance: Any, schema: Any) -> Iterator[Any]:
        # All that is named freely, such as the words of a map: one of 100,000 may be wrong. A $ref means the $defs
        # at the root, which are not at hand here.
        if isinstance(rest, dict) and "$defs" not in rest and isinstance(instance, dict):
            instance = {name: value for name, value in instance.items() if not plainly_fits(value, rest)}
        yield from base.VALIDATORS["additionalProperties"](validator, rest, instance, schema)

    return jsonschema.validators.extend(  # type: ignore[no-any-return, no-untyped-call]
        base,
        {"additionalProperties": additional_properties},
        type_checker=base.TYPE_CHECKER.redefine("integer", is_integer),
    )


def check_schema(document: Document, data: Any, schema: Schema, at: Path = ()) -> list[Finding]:
    """Return everything in `data`, which stands at path `at` of `document`, that breaks `schema`."""
    if plainly_fits(data, schema):
        return []
    errors = list(islice(_validator()(schema).iter_errors(data), _MAX_ERRORS))
    of_wrong_type = {error.json_path for error in errors if error.validator == "type"}  # what else it breaks is noise
    return bounded(finding for error in errors if error.validator == "type" or error.json_path not in of_wrong_type
                   for finding in _explain(document, error, at))  # fmt: skip


def fill_defaults(data: Any, schema: Schema, root: Schema | None = None) -> Any:
    """Return `data` with the schema's `default` wherever an option is missing, at any depth.

    `root` is the schema that `$ref`s of `schema` point into, where that is not `schema` itself.
    """
    root = root or schema
    schema = _resolved(schema, root)
    if isinstance(data, list):
        return [fill_defaults(item, schema.get("items", {}), root) for item in data]
    if not isinstance(data, dict):
        return data
    filled = {name: fill_defaults(value, _option(schema, name), root) for name, value in data.items()}
    for name, option in schema.get("properties", {}).items():
        option = _resolved(option, root)
        if name not in filled and "default" in option:
            filled[name] = fill_defaults(option["default"], option, root)
    return filled


def convert_substituted(
    document: Document, data: Any, schema: Schema, at: Path = (), root: Schema | None = None
) -> Any:
    """Give the values that came as text, from environment variables for instance, the type their option wants."""
    root = root or schema
    schema = _resolved(schema, root)
    if isinstance(data, dict):
        return {k: convert_substituted(document, v, _option(schema, k), (*at, k), root) for k, v in data.items()}
    if isinstance(data, list):
        items = schema.get("items", {})
        return [convert_substituted(document, v, items, (*at, i), root) for i, v in enumerate(data)]
    wants_text = schema.get("type") not in ("integer", "number", "boolean") and all(
        isinstance(choice, str) for choice in schema.get("enum", ())
    )
    if isinstance(data, str) and not wants_text:
        return document.resolve(at, data, schema.get("type"))
    return data


def _resolved(schema: Any, root: Schema) -> Schema:
    """Follow `$ref`s into the `$defs` of the root."""
    while isinstance(schema, Mapping) and schema.get("$ref", "").startswith("#/$defs/"):
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema if isinstance(schema, Mapping) else {}


def _option(schema: Schema, name: str) -> Any:
    options = schema.get("properties", {})
    return options[name] if name in options else schema.get("additionalProperties", {})


def near(word: str, known: Iterable[str]) -> str:
    """Return a remedy that names the words of `known` that `word` may be a slip of."""
    import difflib  # only where something is wrong

    known = sorted(set(known))
    close = difflib.get_close_matches(word[:_LONG_WORD], known, n=3, cutoff=0.6)
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
        patterns = schema.get("patternProperties", ())
        for key in found:
            if key not in known and not any(re.search(pattern, key) for pattern in patterns):
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
        names = " or ".join(_type_names(wanted))
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
    if rule == "oneOf":  # without a branch that fails: more than one fits
        names = " and ".join(repr(name) for branch in wanted for name in branch.get("required", ()))
        return f"{names or 'some of its options'} exclude one another", "keep one of them"
    return f"{quoted} is not taken here", ""


def _type_names(wanted: Any) -> list[str]:
    return [_TYPE_NAMES[name] for name in ([wanted] if isinstance(wanted, str) else wanted)]


def _explain_branches(
    document: Document, error: jsonschema.ValidationError, at: Path, quoted: str
) -> Iterator[Finding]:
    """Explain the alternative that the value comes nearest to: the one whose type it has."""
    branches: dict[Any, list[jsonschema.ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)

    def misfit(errors: list[jsonschema.ValidationError]) -> tuple[bool, int]:
        # The kind of a mapping may be told by an option that is a constant.
        depths = {"type": len(error.absolute_path), "const": len(error.absolute_path) + 1}
        wrong_kind = any(len(e.absolute_path) <= depths.get(str(e.validator), -1) for e in errors)
        return wrong_kind, len(errors)

    best = min(branches.values(), key=misfit)
    if all(misfit(errors)[0] for errors in branches.values()) and all(
        len(e.absolute_path) == len(error.absolute_path) for e in best
    ):
        names = dict.fromkeys(
            name
            for errors in branches.values()
            for e in errors
            if e.validator in ("type", "const")
            for name in ([repr(e.validator_value)] if e.validator == "const" else _type_names(e.validator_value))
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
