"""Checks a document against a JSON Schema and says what is wrong in words; fills in defaults.

Pure apart from the schema library. The schemas describe each option once; samples and docs are made from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from gateway.configuration.document import Document, Path, dotted
from gateway.configuration.remedies import Value, example_of, remedy_of_type, unquoted
from gateway.configuration.schema_fit import plainly_fits
from gateway.core.quoting import close_matches, did_you_mean
from gateway.errors import Finding, bounded

if TYPE_CHECKING:
    import jsonschema

Schema: TypeAlias = Mapping[str, Any]

_MAX_ERRORS = 1000  # that the schema library is asked for: a file may be wrong in each of its lines
_MAX_PLACES = 5  # that are named: there may be hundreds of interfaces

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


def check_schema(
    document: Document,
    data: Any,
    schema: Schema,
    at: Path = (),
    parts: Callable[[], Mapping[Path, Schema]] = dict,
) -> list[Finding]:
    """Return everything in `data`, which stands at path `at` of `document`, that breaks `schema`.

    `parts` gives the schemas of the parts that are checked on their own, by path: an option may belong there.
    """
    if plainly_fits(data, schema):
        return []
    errors = list(islice(_validator()(schema).iter_errors(data), _MAX_ERRORS))
    of_wrong_type = {error.json_path for error in errors if error.validator == "type"}  # what else it breaks is noise
    explain = _Explanation(document, schema, at, parts)
    return bounded(finding for error in errors if error.validator == "type" or error.json_path not in of_wrong_type
                   for finding in explain.findings(error))  # fmt: skip


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


class _Explanation:
    """Explains what breaks `schema` in data that stands at path `at` of `document`."""

    def __init__(
        self, document: Document, schema: Schema, at: Path, parts: Callable[[], Mapping[Path, Schema]]
    ) -> None:
        self.document = document
        self.schema = schema
        self.at = at
        self.parts = parts

    def findings(self, error: jsonschema.ValidationError) -> Iterator[Finding]:
        """Yield what is wrong, in words."""
        document, path = self.document, self._path(error)
        rule, wanted, found = str(error.validator), cast(Any, error.validator_value), cast(Any, error.instance)
        schema = error.schema if isinstance(error.schema, dict) else {}
        if rule == "additionalProperties" and isinstance(found, dict):
            known = set(schema.get("properties", {}))
            patterns = schema.get("patternProperties", ())
            for key in found:
                if key not in known and not any(re.search(pattern, key) for pattern in patterns):
                    remedy = self._remedy_of_name(path, key, known)
                    yield document.finding((*path, key), "unknown option", remedy, at_key=True)
        elif rule == "required":
            for name in wanted:
                if name not in found:
                    yield document.finding(path, f"{name!r} is missing", _advice(schema, name, found))
        elif rule == "dependentRequired":
            for name, needed in wanted.items():
                for other in needed if name in found else ():
                    if other not in found:
                        yield document.finding((*path, name), f"it needs {other!r} too", f"add {other!r}")
        elif rule in ("anyOf", "oneOf") and error.context:
            yield from self._of_branches(error)
        else:
            what, remedy = _describe(rule, wanted, found, self._quoted(error))
            remedy = self._remedy(error, [schema]) or remedy or ("" if rule == "enum" else _example(schema))
            yield document.finding(path, what, remedy)

    def _path(self, error: jsonschema.ValidationError) -> Path:
        return (*self.at, *error.absolute_path)

    def _is_shown(self, error: jsonschema.ValidationError) -> bool:
        path = self._path(error)
        is_secret = isinstance(error.schema, dict) and error.schema.get("writeOnly")
        return not is_secret and not any(raw[: len(path)] == path for raw in self.document.raw)

    def _quoted(self, error: jsonschema.ValidationError) -> str:
        if isinstance(error.schema, dict) and error.schema.get("writeOnly"):
            return "a value that is not shown"
        return "nothing" if error.instance is None else self.document.quote(self._path(error), error.instance)

    def _remedy(self, error: jsonschema.ValidationError, schemas: Sequence[Schema]) -> str:
        if self.document.is_legacy:  # there all is text
            return ""
        if error.validator == "enum":
            return unquoted(error.instance, {"enum": error.validator_value}) if self._is_shown(error) else ""
        if error.validator != "type" and not error.context:
            return ""
        path = self._path(error)
        key = path[-1] if path and isinstance(path[-1], str) else ""
        value = Value(key, error.instance, self._is_shown(error), self.document.is_json)
        return remedy_of_type(value, schemas, self.schema)

    def _remedy_of_name(self, path: Path, name: str, known: Collection[str]) -> str:
        """Return the remedy for an option that is not known at `path`: its right name, or its right place."""
        if not self.at and len(path) <= 2:
            places = [place for place in _places_of(name, self.schema) if place[:-1] != path]
            places += [(*part, name) for part, schema in self.parts().items() if name in schema["properties"]]
            del places[_MAX_PLACES:]
            if places:
                return f"it belongs elsewhere: {' or '.join(map(dotted, places))}"
        return did_you_mean(name, known)

    def _of_branches(self, error: jsonschema.ValidationError) -> Iterator[Finding]:
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
            told = [e for errors in branches.values() for e in errors if e.validator in ("type", "const")]
            names = dict.fromkeys(
                name
                for e in told
                for name in ([repr(e.validator_value)] if e.validator == "const" else _type_names(e.validator_value))
            )
            remedy = ""
            if all(e.validator == "type" for e in told):
                remedy = self._remedy(error, [e.schema for e in told if isinstance(e.schema, dict)])
            what = f"expected {' or '.join(names)}, found {self._quoted(error)}"
            yield self.document.finding(self._path(error), what, remedy or _example(error.schema))
            return
        for inner in best:
            yield from self.findings(inner)


def _places_of(name: str, schema: Any, at: Path = ()) -> Iterator[Path]:
    """Yield where the options of `schema` have one called `name`."""
    for key, option in schema.get("properties", {}).items() if isinstance(schema, Mapping) else ():
        if key == name:
            yield (*at, key)
        yield from _places_of(name, option, (*at, key))


def _describe(rule: str, wanted: Any, found: Any, quoted: str) -> tuple[str, str]:
    if rule == "type":
        names = " or ".join(_type_names(wanted))
        return f"expected {names}, found {quoted}", ""
    if rule == "enum":
        close = [] if isinstance(found, list | dict) else close_matches(str(found), map(str, wanted))
        remedy = f"did you mean {' or '.join(map(repr, close))}?" if close else ""
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


def _advice(schema: Any, name: str, found: Mapping[str, Any]) -> str:
    slips = close_matches(name, set(found) - set(schema.get("properties", {}))) if isinstance(schema, dict) else []
    if slips:
        return f"is it what is called {slips[0]!r} there?"
    option = schema.get("properties", {}).get(name, {}) if isinstance(schema, dict) else {}
    example = example_of(option)
    return f"add it: {name}: {example}" if example else f"add {name!r}"


def _example(schema: Any) -> str:
    example = example_of(schema)
    return f"for example {example}" if example else ""
