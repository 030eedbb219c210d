"""Checks a document against a JSON Schema, explains what is wrong in words, and fills in defaults.

Pure apart from the schema library. The schemas describe each option once; samples and docs are generated from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from gateway.configuration.document import Document, Path, dotted
from gateway.configuration.remedies import Value, example_of, remedy_of_type, unquoted
from gateway.configuration.schema_fit import fits_quickly, is_finite
from gateway.core.deadline import check_deadline
from gateway.core.quoting import close_matches, did_you_mean
from gateway.errors import Finding, bounded

if TYPE_CHECKING:
    import jsonschema

Schema: TypeAlias = Mapping[str, Any]

_MAX_ERRORS = 1000  # that the schema library is asked for: every line of a file may have one
_MAX_PLACES = 5  # that a finding names: there may be hundreds of interfaces

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
    import jsonschema  # here, since only a file with an error needs it: the import takes a quarter of a start

    def is_integer(_: object, value: object) -> bool:  # to JSON Schema, 60.0 is an integer, too; Python needs 60
        return isinstance(value, int) and is_number(_, value)

    def is_number(_: object, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and not _is_too_large(value)

    base = jsonschema.Draft202012Validator

    def additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
        # A map may have 100,000 words, for which the library takes most of a second. So it gets only those members
        # that the quick check does not accept. That check cannot resolve the $defs at the root: a part of the schema
        # with $defs is left to the library.
        if isinstance(allowed, dict) and "$defs" not in allowed and isinstance(instance, dict):
            instance = {name: value for name, value in instance.items() if not fits_quickly(value, allowed)}
        yield from base.VALIDATORS["additionalProperties"](validator, allowed, instance, schema)

    return jsonschema.validators.extend(  # type: ignore[no-any-return, no-untyped-call]
        base,
        {"additionalProperties": additional_properties},
        type_checker=base.TYPE_CHECKER.redefine_many({"integer": is_integer, "number": is_number}),
    )


def check_schema(
    document: Document,
    data: Any,
    schema: Schema,
    at: Path = (),
    parts: Callable[[], Mapping[Path, Schema]] = dict,
) -> list[Finding]:
    """Return every violation of `schema` in `data`, which stands at path `at` of `document`.

    `parts` returns, by path, the schemas of parts that are checked separately: an unknown option may belong there.
    """
    if fits_quickly(data, schema):
        return []
    errors = list(islice(_validator()(schema).iter_errors(data), _MAX_ERRORS))
    of_wrong_type = {error.json_path for error in errors if error.validator == "type"}  # other errors there are noise
    explanation = _Explanation(document, schema, at, parts)
    return bounded(finding for error in errors if error.validator == "type" or error.json_path not in of_wrong_type
                   for finding in explanation.findings(error))  # fmt: skip


def fill_defaults(data: Any, schema: Schema, root: Schema | None = None) -> Any:
    """Return `data` with the schema's `default` wherever an option is missing, at any depth.

    `root` is the schema into which the `$ref`s of `schema` point, where that is not `schema` itself.
    """
    root = root or schema
    schema = resolved_schema(schema, root)
    if isinstance(data, list):
        return [fill_defaults(item, schema.get("items", {}), root) for item in data]
    if not isinstance(data, dict):
        return data
    filled = {name: fill_defaults(value, option_schema(schema, name), root) for name, value in data.items()}
    for name, option in schema.get("properties", {}).items():
        if name not in filled and "default" in (option := resolved_schema(option, root)):
            filled[name] = fill_defaults(option["default"], option, root)
    return filled


def convert_substituted(
    document: Document, data: Any, schema: Schema, at: Path = (), root: Schema | None = None
) -> Any:
    """Return `data` with every text that came from an environment variable converted to the type of its option."""
    root = root or schema
    schema = resolved_schema(schema, root)
    if isinstance(data, dict):
        return {k: convert_substituted(document, v, option_schema(schema, k), (*at, k), root) for k, v in data.items()}
    if isinstance(data, list):
        items = schema.get("items", {})
        return [convert_substituted(document, v, items, (*at, i), root) for i, v in enumerate(data)]
    accepts_text = schema.get("type") not in ("integer", "number", "boolean") and all(
        isinstance(choice, str) for choice in schema.get("enum", ())
    )
    if isinstance(data, str) and not accepts_text:
        return document.resolve(at, data, schema.get("type"))
    return data


def with_files(data: Any, schema: Schema, locate: Callable[[str, Schema], str], root: Schema | None = None) -> Any:
    """Return `data` with `locate(text, schema)` for every text whose schema has the format `file`."""
    root = root or schema
    schema = resolved_schema(schema, root)
    if isinstance(data, dict):
        return {name: with_files(value, option_schema(schema, name), locate, root) for name, value in data.items()}
    if isinstance(data, list):
        return [with_files(item, schema.get("items", {}), locate, root) for item in data]
    return locate(data, schema) if isinstance(data, str) and schema.get("format") == "file" else data


def resolved_schema(schema: Any, root: Schema) -> Schema:
    """Return the definition in `root` to which `schema` refers, with what stands beside the reference, or `schema`."""
    resolved: Schema = schema if isinstance(schema, (dict, Mapping)) else {}  # a dict is found to be one much faster
    while (reference := resolved.get("$ref", "")).startswith("#/$defs/"):
        definition = root["$defs"][reference.rpartition("/")[2]]
        resolved = {**definition, **{name: value for name, value in resolved.items() if name != "$ref"}}
    return resolved


def option_schema(schema: Schema, name: str) -> Any:
    """Return the schema of the option called `name` of a mapping with `schema`."""
    check_deadline()  # each option of each entry of a configuration comes here
    options = schema.get("properties", {})
    return options[name] if name in options else schema.get("additionalProperties", {})


class _Explanation:
    """Explains the violations of `schema` in data that stands at path `at` of `document`."""

    def __init__(
        self, document: Document, schema: Schema, at: Path, parts: Callable[[], Mapping[Path, Schema]]
    ) -> None:
        self.document = document
        self.schema = schema
        self.at = at
        self.parts = parts
        self._structural: Mapping[str, Callable[[jsonschema.ValidationError], Iterator[Finding]]] = {
            "additionalProperties": self._of_unknown_options,
            "required": self._of_missing_options,
            "dependentRequired": self._of_dependencies,
            "anyOf": self._of_branches,
            "oneOf": self._of_branches,
        }

    def findings(self, error: jsonschema.ValidationError) -> Iterator[Finding]:
        """Yield the findings that explain `error`."""
        explain = self._structural.get(str(error.validator), self._of_value)
        yield from explain(error)

    def _of_unknown_options(self, error: jsonschema.ValidationError) -> Iterator[Finding]:
        schema, instance, path = _schema_of(error), cast(Any, error.instance), self._path(error)
        option_names = set(schema.get("properties", {}))
        patterns = schema.get("patternProperties", ())
        for key in instance:
            if key not in option_names and not any(re.search(pattern, key) for pattern in patterns):
                remedy = self._remedy_of_name(path, key, option_names)
                yield self.document.finding((*path, key), "unknown option", remedy, at_key=True)

    def _of_missing_options(self, error: jsonschema.ValidationError) -> Iterator[Finding]:
        instance = cast(Any, error.instance)
        for name in cast(Any, error.validator_value):
            if name not in instance:
                advice = _advice(error.schema, name, instance)
                yield self.document.finding(self._path(error), f"{name!r} is missing", advice)

    def _of_dependencies(self, error: jsonschema.ValidationError) -> Iterator[Finding]:
        instance = cast(Any, error.instance)
        for name, needed in cast(Any, error.validator_value).items():
            for other in needed if name in instance else ():
                if other not in instance:
                    path = (*self._path(error), name)
                    yield self.document.finding(path, f"it needs {other!r} too", f"add {other!r}")

    def _of_value(self, error: jsonschema.ValidationError) -> Iterator[Finding]:
        keyword, schema = str(error.validator), _schema_of(error)
        what, remedy = _describe(keyword, error.validator_value, error.instance, self._quoted(error))
        remedy = self._remedy(error, [schema]) or remedy or ("" if keyword == "enum" else _example(schema))
        yield self.document.finding(self._path(error), what, remedy)

    def _path(self, error: jsonschema.ValidationError) -> Path:
        return (*self.at, *error.absolute_path)

    def _is_shown(self, error: jsonschema.ValidationError) -> bool:
        path = self._path(error)
        is_secret = _schema_of(error).get("writeOnly")
        return not is_secret and not self.document.has_variables(path)

    def _quoted(self, error: jsonschema.ValidationError) -> str:
        if _schema_of(error).get("writeOnly"):
            return "a value that is not shown"
        return "nothing" if error.instance is None else self.document.quote(self._path(error), error.instance)

    def _remedy(self, error: jsonschema.ValidationError, schemas: Sequence[Schema]) -> str:
        if self.document.is_legacy:  # in an INI file, every value is text
            return ""
        if error.validator == "enum":
            return unquoted(error.instance, {"enum": error.validator_value}) if self._is_shown(error) else ""
        if (error.validator != "type" and not error.context) or _is_too_large(error.instance):
            return ""
        path = self._path(error)
        key = path[-1] if path and isinstance(path[-1], str) else ""
        value = Value(key, error.instance, self._is_shown(error), self.document.is_json)
        return remedy_of_type(value, schemas, self.schema)

    def _remedy_of_name(self, path: Path, name: str, option_names: Collection[str]) -> str:
        """Return the remedy for an unknown option at `path`: where it belongs, or the name that was probably meant."""
        if not self.at and len(path) <= 2:
            places = [place for place in _places_of(name, self.schema) if place[:-1] != path]
            places += [(*part, name) for part, schema in self.parts().items() if name in schema["properties"]]
            del places[_MAX_PLACES:]
            if places:
                return f"it belongs elsewhere: {' or '.join(map(dotted, places))}"
        return did_you_mean(name, option_names)

    def _of_branches(self, error: jsonschema.ValidationError) -> Iterator[Finding]:
        """Explain the alternative that the value fits best: the one whose type it has."""
        branches: dict[Any, list[jsonschema.ValidationError]] = {}
        for inner in error.context or ():
            branches.setdefault(inner.schema_path[0], []).append(inner)
        if not branches:  # more than one alternative fits
            yield from self._of_value(error)
            return

        def misfit(errors: list[jsonschema.ValidationError]) -> tuple[bool, int]:
            # The kind of a mapping may be shown by an option that is a constant.
            depths = {"type": len(error.absolute_path), "const": len(error.absolute_path) + 1}
            wrong_kind = any(len(e.absolute_path) <= depths.get(str(e.validator), -1) for e in errors)
            return wrong_kind, len(errors)

        best = min(branches.values(), key=misfit)
        if all(misfit(errors)[0] for errors in branches.values()) and all(
            len(inner.absolute_path) == len(error.absolute_path) for inner in best
        ):
            yield self._of_wrong_kind(error, [inner for errors in branches.values() for inner in errors])
            return
        for inner in best:
            yield from self.findings(inner)

    def _of_wrong_kind(
        self, error: jsonschema.ValidationError, inner_errors: Sequence[jsonschema.ValidationError]
    ) -> Finding:
        """Return the finding for a value that has the type of none of the alternatives."""
        of_kind = [inner for inner in inner_errors if inner.validator in ("type", "const")]
        names = dict.fromkeys(
            name
            for inner in of_kind
            for name in (
                [repr(inner.validator_value)] if inner.validator == "const" else _type_names(inner.validator_value)
            )
        )
        remedy = ""
        if all(inner.validator == "type" for inner in of_kind):
            remedy = self._remedy(error, [_schema_of(inner) for inner in of_kind])
        what = f"expected {' or '.join(names)}, found {self._quoted(error)}"
        return self.document.finding(self._path(error), what, remedy or _example(error.schema))


def _schema_of(error: jsonschema.ValidationError) -> Schema:
    return error.schema if isinstance(error.schema, dict) else {}


def _places_of(name: str, schema: Any, at: Path = ()) -> Iterator[Path]:
    """Yield the paths of the options called `name` in `schema`."""
    for key, option in schema.get("properties", {}).items() if isinstance(schema, Mapping) else ():
        if key == name:
            yield (*at, key)
        yield from _places_of(name, option, (*at, key))


_Describe: TypeAlias = Callable[[Any, Any, str], tuple[str, str]]
"""Returns what is wrong, and the remedy, for the value of the keyword, the wrong value, and the latter in quotes."""


def _expected(text: str) -> _Describe:
    return lambda limit, _, quoted: (f"expected {text.format(limit)}, found {quoted}", "")


def _expected_count(text: str) -> _Describe:
    return lambda limit, value, _: (f"expected {text.format(limit)}, found {len(value)}", "")


def _describe_enum(choices: Any, value: Any, quoted: str) -> tuple[str, str]:
    close = [] if isinstance(value, list | dict) else close_matches(str(value), map(str, choices))
    remedy = f"did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"expected one of {', '.join(map(str, choices))}, found {quoted}", remedy


def _describe_exclusive(branches: Any, _value: Any, _quoted: str) -> tuple[str, str]:
    names = " and ".join(repr(name) for branch in branches for name in branch.get("required", ()))
    return f"{names or 'some of its options'} are mutually exclusive", "keep only one of them"


def _is_too_large(value: Any) -> bool:
    """Return whether a value is a number that calculations cannot use."""
    return isinstance(value, int | float) and not is_finite(value)


def _describe_type(types: Any, value: Any, quoted: str) -> tuple[str, str]:
    if _is_too_large(value):
        return f"expected a finite number of at most 308 digits, found {quoted}", ""
    return f"expected {' or '.join(_type_names(types))}, found {quoted}", ""


_DESCRIPTIONS: Mapping[str, _Describe] = {
    "type": _describe_type,
    "enum": _describe_enum,
    "const": lambda constant, _, quoted: (f"expected {constant!r}, found {quoted}", ""),
    "minimum": _expected("at least {}"),
    "exclusiveMinimum": _expected("more than {}"),
    "maximum": _expected("at most {}"),
    "exclusiveMaximum": _expected("less than {}"),
    "minLength": lambda limit, text, quoted: (
        f"expected at least {limit} characters, found {quoted}" if text else "it is empty",
        "",
    ),
    "maxLength": _expected_count("at most {} characters"),
    "minItems": _expected_count("at least {}"),
    "minProperties": _expected_count("at least {}"),
    "maxItems": _expected_count("at most {}"),
    "maxProperties": _expected_count("at most {}"),
    "uniqueItems": lambda _limit, _value, _quoted: ("an item is listed twice", "remove one of the two"),
    "pattern": lambda _pattern, _value, quoted: (f"{quoted} does not have the expected form", ""),
    "oneOf": _describe_exclusive,
}
"""How a value is described that violates a keyword of JSON Schema."""


def _describe(keyword: str, limit: Any, value: Any, quoted: str) -> tuple[str, str]:
    describe = _DESCRIPTIONS.get(keyword)
    return describe(limit, value, quoted) if describe else (f"{quoted} is not allowed here", "")


def _type_names(types: Any) -> list[str]:
    return [_TYPE_NAMES[name] for name in ([types] if isinstance(types, str) else types)]


def _advice(schema: Any, name: str, options: Mapping[str, Any]) -> str:
    """Return the remedy for the missing option `name`: the misspelled option that is there instead, or an example."""
    misspelled = (
        close_matches(name, set(options) - set(schema.get("properties", {}))) if isinstance(schema, dict) else []
    )
    if misspelled:
        return f"is it misspelled as {misspelled[0]!r}?"
    option = schema.get("properties", {}).get(name, {}) if isinstance(schema, dict) else {}
    example = example_of(option)
    return f"add it: {name}: {example}" if example else f"add {name!r}"


def _example(schema: Any) -> str:
    """Return the remedy for a value: the form that it must have, if the schema describes it, and an example."""
    form = schema.get("$comment") if isinstance(schema, dict) else None
    example = example_of(schema)
    return ", ".join([*([f"use {form}"] if form else []), *([f"for example {example}"] if example else [])])


def schema_problem(schema: Any) -> str:
    """Return what is wrong with a schema that is written by hand, such as the SCHEMA of an interface; `""`: nothing."""
    from jsonschema import Draft202012Validator, SchemaError  # takes a quarter of a start, and only for an error

    try:
        Draft202012Validator.check_schema(schema or {})
    except SchemaError as err:
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in err.absolute_path)
        return f"SCHEMA{place}: {err.message.partition(chr(10))[0]}"
    return ""
