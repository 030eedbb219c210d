from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.configuration.document import Document
from gateway.configuration.json_reader import load_json
from gateway.configuration.schema_check import check_schema, convert_substituted, fill_defaults, with_files
from gateway.configuration.schemas import map_schema
from gateway.configuration.yaml_reader import load_yaml
from tests.support.strategies import json_values, map_data


def findings_in(schema: Any, text: str, environment: dict[str, str] | None = None) -> list[str]:
    """Return the findings in the YAML `text`, called `f`, in the order of their places."""
    document = load_yaml(text, "f", environment or {})
    return [str(finding) for finding in sorted(set(check_schema(document, document.data, schema)))]


def options(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


INTEGER, TEXT, PORT = {"type": "integer"}, {"type": "string"}, {"type": "integer", "examples": [1883]}


@given(map_data() | json_values())
def test_a_document_has_findings_exactly_if_it_violates_the_schema(data: Any) -> None:
    document = load_json(json.dumps(data), "f")
    findings = check_schema(document, data, map_schema())
    assert (findings == []) == jsonschema.Draft202012Validator(map_schema()).is_valid(data)
    assert all(finding.line == 1 and finding.column and finding.what for finding in findings)


@pytest.mark.parametrize(
    ("option", "value", "reported"),
    [
        (INTEGER, "x", 'expected a whole number, found "x"'),
        (INTEGER, "1.5", "expected a whole number, found 1.5"),
        (INTEGER, "true", "expected a whole number, found true"),
        ({**INTEGER, "default": 60}, "x", 'expected a whole number, found "x": for example 60'),
        ({**INTEGER, "default": 60, "examples": [30]}, "x", 'expected a whole number, found "x": for example 30'),
        (TEXT, "12", 'expected text, found 12: put it in quotes: "12"'),
        (TEXT, "true", 'expected text, found true: put it in quotes: "true"'),
        (TEXT, "", "expected text, found nothing: set a value, or remove the option"),
        (PORT, "", "expected a whole number, found nothing: set a value, or remove the option: for example 1883"),
        (TEXT, "[a]", "expected text, found a list: write it without brackets: level: a"),
        (TEXT, "[a, b]", "expected text, found a list"),
        (TEXT, "{a: b}", "expected text, found a mapping"),
        ({"type": "boolean", "default": False}, "on", 'expected true or false, found "on": write true'),
        ({"type": "boolean"}, "No", 'expected true or false, found "No": write false'),
        ({"type": "boolean"}, "'true'", 'expected true or false, found "true": write it without quotes: true'),
        ({"type": "boolean"}, "0", "expected true or false, found 0: write false"),
        ({"type": "boolean", "default": True}, "2", "expected true or false, found 2: for example true"),
        (INTEGER, "'12'", 'expected a whole number, found "12": write it without quotes: 12'),
        ({**PORT, "minimum": 99}, "'12'", 'expected a whole number, found "12": for example 1883'),
        ({"type": "number"}, "'1.5'", 'expected a number, found "1.5": write it without quotes: 1.5'),
        ({"type": ["number", "null"]}, "'1'", 'expected a number or nothing, found "1": write it without quotes: 1'),
        ({"type": "array"}, "a", 'expected a list, found "a": write it as level: [a]'),
        ({"type": "array"}, "'#'", 'expected a list, found "#": write it as level: ["#"]'),
        ({"type": "array"}, "{a: b}", "expected a list, found a mapping: write it as a list: put '-' before each item"),
        (options(n=INTEGER, s=TEXT), "a", 'expected a mapping, found "a": write it as level: {s: a}'),
        (options(n=INTEGER, s=TEXT), "5", "expected a mapping, found 5: write it as level: {n: 5}"),
        (
            {**options(n=TEXT, s=TEXT), "required": ["s"]},
            "a",
            'expected a mapping, found "a": write it as level: {s: a}',
        ),
        (
            {"type": "object", "additionalProperties": options(s=TEXT)},
            "a",
            'expected a mapping, found "a": write it as level: {NAME: {s: a}}',
        ),
        (
            {"type": "object", "additionalProperties": options(s=TEXT)},
            "[a]",
            "expected a mapping, found a list: write a mapping with a name for each item, instead of a list",
        ),
        (options(s=TEXT), "[{s: a}]", "expected a mapping, found a list: write it without '-' or brackets"),
        (
            options(s=TEXT),
            "",
            "expected a mapping, found nothing: set a value, in indented lines below it, or remove the option",
        ),
        ({"type": "object"}, "a", 'expected a mapping, found "a"'),
        ({"type": ["number", "null"]}, "a", 'expected a number or nothing, found "a"'),
        ({"enum": ["old", "new"]}, "olt", "expected one of old, new, found \"olt\": did you mean 'old'?"),
        ({"enum": ["old", "new"]}, "xyz", 'expected one of old, new, found "xyz"'),
        ({"enum": ["old", "new"]}, "NEW", "expected one of old, new, found \"NEW\": did you mean 'new'?"),
        ({"enum": [5, "3.1.1"]}, "'5'", 'expected one of 5, 3.1.1, found "5": write it without quotes: 5'),
        ({"enum": [5, "3.1.1"]}, "3.1", "expected one of 5, 3.1.1, found 3.1: did you mean '3.1.1'?"),
        ({"enum": [5, "3.1.1"]}, "4", "expected one of 5, 3.1.1, found 4"),
        ({"enum": [0, 1]}, "2", "expected one of 0, 1, found 2"),
        ({"const": "dummy"}, "x", "expected 'dummy', found \"x\""),
        ({"minimum": 1}, "0", "expected at least 1, found 0"),
        ({"exclusiveMinimum": 0}, "0", "expected more than 0, found 0"),
        ({"maximum": 9}, "10", "expected at most 9, found 10"),
        ({"exclusiveMaximum": 9}, "9", "expected less than 9, found 9"),
        ({"minLength": 1}, "''", "it is empty"),
        ({"minLength": 3}, "ab", 'expected at least 3 characters, found "ab"'),
        ({"maxLength": 3}, "abcd", "expected at most 3 characters, found 4"),
        ({"minItems": 1}, "[]", "expected at least 1, found 0"),
        ({"maxItems": 1}, "[1, 2]", "expected at most 1, found 2"),
        ({"minProperties": 1}, "{}", "expected at least 1, found 0"),
        ({"maxProperties": 1}, "{a: 1, b: 2}", "expected at most 1, found 2"),
        ({"uniqueItems": True}, "[a, a]", "an item is listed twice: remove one of the two"),
        ({"pattern": "^[0-9]+$"}, "ab", '"ab" does not have the expected form'),
        ({"pattern": "^x", "examples": ["x1"]}, "ab", '"ab" does not have the expected form: for example x1'),
        ({"not": {}}, "ab", '"ab" is not allowed here'),
    ],
)
def test_what_is_wrong_with_a_value_is_reported_in_words(option: dict[str, Any], value: str, reported: str) -> None:
    assert findings_in(options(level=option), f"level: {value}") == [f"f:1:{8 if value else 7}: level: {reported}"]


def test_an_unknown_option_is_reported_at_its_key_with_similar_names() -> None:
    schema = options(mqtt=options(keepalive=INTEGER, keyfile=TEXT, host=TEXT))
    assert findings_in(schema, "mqtt:\n  host: a\n  keepalve: 60\n  zzz: 1\n") == [
        "f:3:3: mqtt.keepalve: unknown option: did you mean 'keepalive'?",
        "f:4:3: mqtt.zzz: unknown option: known here: host, keepalive, keyfile",
    ]


def test_a_name_that_a_pattern_allows_is_not_unknown_beside_one_that_is() -> None:
    schema = {**options(root=TEXT), "patternProperties": {"^_": {}}}
    assert findings_in(schema, "_note: 1\nroof: 2\n") == ["f:2:1: roof: unknown option: did you mean 'root'?"]


def test_each_missing_option_is_reported_with_what_to_add() -> None:
    schema = {**options(port=PORT, host=TEXT, name=TEXT), "required": ["port", "host", "name"]}
    assert findings_in(schema, "name: a") == [
        "f:1:1: 'host' is missing: add 'host'",
        "f:1:1: 'port' is missing: add it: port: 1883",
    ]


def test_an_option_that_needs_another_is_reported_at_its_value() -> None:
    schema = {**options(cert=TEXT, key=TEXT, ca=TEXT), "dependentRequired": {"cert": ["key", "ca"], "key": ["cert"]}}
    assert findings_in(schema, "cert: a\nca: b\n") == ["f:1:7: cert: it needs 'key' too: add 'key'"]
    assert findings_in(schema, "ca: b\n") == []


def test_everything_is_reported_together_with_its_place() -> None:
    schema = options(mqtt={**options(port=PORT), "required": ["host"]}, list={"type": "array", "items": TEXT}, log=TEXT)
    assert findings_in(schema, "mqtt:\n  port: x\nlist: [a, 1, 2]\nlgo: b\n") == [
        "f:2:3: mqtt: 'host' is missing: add 'host'",
        'f:2:9: mqtt.port: expected a whole number, found "x": for example 1883',
        'f:3:11: list[1]: expected text, found 1: put it in quotes: "1"',
        'f:3:14: list[2]: expected text, found 2: put it in quotes: "2"',
        "f:4:1: lgo: unknown option: did you mean 'log'?",
    ]


def test_a_part_of_a_document_is_checked_at_its_place() -> None:
    document = load_yaml("interfaces:\n  - port: x\n", "f", {})
    findings = check_schema(document, document.data["interfaces"][0], options(port=INTEGER), ("interfaces", 0))
    assert list(map(str, findings)) == ['f:2:11: interfaces[0].port: expected a whole number, found "x"']


def test_a_reference_of_what_is_named_freely_means_the_definitions_of_the_whole_schema() -> None:
    inner = {"$ref": "#/$defs/a", "$defs": {"a": {}}}
    assert findings_in({"additionalProperties": inner, "$defs": {"a": TEXT}}, "b: 1") == [
        'f:1:4: b: expected text, found 1: put it in quotes: "1"'
    ]


# --- alternatives

MAP = {"anyOf": [{"type": "string", "minLength": 1}, options(root=TEXT)]}


def test_of_several_alternatives_the_one_of_the_same_kind_is_explained() -> None:
    assert findings_in(options(map=MAP), "map: ''") == ["f:1:6: map: it is empty"]
    assert findings_in(options(map=MAP), "map: {roof: a}") == ["f:1:7: map.roof: unknown option: did you mean 'root'?"]
    assert findings_in(options(map=MAP), "map: {root: [1]}") == [
        "f:1:13: map.root: expected text, found a list: write it without brackets: root: 1"
    ]


def test_of_several_mappings_the_one_that_its_constant_tells_is_explained() -> None:
    kinds = [options(kind={"const": "line"}, end=TEXT), options(kind={"const": "fixed"}, size=INTEGER, gap=INTEGER)]
    assert findings_in(options(frame={"anyOf": kinds}), "frame: {kind: fixed, size: x, gap: y}") == [
        'f:1:28: frame.size: expected a whole number, found "x"',
        'f:1:36: frame.gap: expected a whole number, found "y"',
    ]


def test_a_value_of_no_alternatives_kind_is_reported_with_all_kinds() -> None:
    assert findings_in(options(map=MAP), "map: 1") == [
        'f:1:6: map: expected text or a mapping, found 1: put it in quotes: "1"'
    ]
    stop_bits = {"oneOf": [{"const": 1}, {"const": 2}, {"type": ["string", "null"]}], "examples": [1]}
    assert findings_in(options(bits=stop_bits), "bits: 3") == [
        "f:1:7: bits: expected 1 or 2 or text or nothing, found 3: for example 1"
    ]


def test_options_that_exclude_one_another_are_named() -> None:
    schema = {"type": "object", "oneOf": [{"required": ["message"]}, {"required": ["messages"]}]}
    assert findings_in(schema, "message: a\nmessages: []\n") == [
        "f:1:1: 'message' and 'messages' are mutually exclusive: keep only one of them"
    ]
    assert findings_in(schema, "other: a") == ["f:1:1: 'message' is missing: add 'message'"]


# --- secrets


@pytest.mark.parametrize(
    "option",
    [{"type": "integer"}, {"enum": ["a"]}, {"const": "a"}, {"pattern": "^a$"}, {"minLength": 99}, {"not": {}},
     {"anyOf": [{"type": "integer"}, {"type": "null"}]}],
)  # fmt: skip
def test_a_value_that_may_be_secret_is_never_quoted(option: dict[str, Any]) -> None:
    [finding] = findings_in(options(password={**option, "writeOnly": True}), "password: hunter2")
    assert "a value that is not shown" in finding
    assert "hunter2" not in finding
    [finding] = findings_in(options(password=option), "password: ${SECRET}", {"SECRET": "hunter2"})
    assert "'${SECRET}'" in finding
    assert "hunter2" not in finding


# --- defaults and variables


def test_defaults_are_filled_in_through_nested_mappings() -> None:
    mqtt = {**options(host={"default": "localhost"}, port={"default": 1883}), "default": {}}
    schema = options(mqtt=mqtt, log=options(level={"default": "info"}), name=TEXT)
    assert fill_defaults({"log": {}}, schema) == {"log": {"level": "info"}, "mqtt": {"host": "localhost", "port": 1883}}
    assert fill_defaults({"mqtt": {"port": 1}}, schema) == {"mqtt": {"host": "localhost", "port": 1}}
    assert fill_defaults({"mqtt": None, "log": "x"}, schema) == {"mqtt": None, "log": "x"}
    assert fill_defaults(None, schema) is None


def test_defaults_and_types_reach_through_lists_references_and_free_names() -> None:
    port = options(number=INTEGER, baud={"default": 9600})
    schema = {
        **options(ports={"type": "array", "items": {"$ref": "#/$defs/port"}}, named={"additionalProperties": port}),
        "$defs": {"port": port},
    }
    document = load_yaml("ports:\n  - number: ${N}\nnamed:\n  a: {number: '${N}'}\n", "f", {"N": "1"})
    converted = convert_substituted(document, document.data, schema)
    assert converted == {"ports": [{"number": 1}], "named": {"a": {"number": 1}}}
    filled = {"number": 1, "baud": 9600}
    assert fill_defaults(converted, schema) == {"ports": [filled], "named": {"a": filled}}


@given(st.dictionaries(st.sampled_from("abc"), json_values()), st.dictionaries(st.sampled_from("abc"), json_values()))
def test_filling_defaults_keeps_what_is_given_and_changes_nothing_twice(
    data: dict[str, Any], defaults: dict[str, Any]
) -> None:
    schema = options(**{name: {"default": value} for name, value in defaults.items()})
    before = repr(data)
    filled = fill_defaults(data, schema)
    assert repr(data) == before
    assert filled == {**defaults, **data}
    assert fill_defaults(filled, schema) == filled


def test_a_value_from_a_variable_takes_the_type_that_its_option_wants() -> None:
    schema = options(mqtt=options(port=INTEGER, tls={"type": "boolean"}, wait={"type": "number"}, user=TEXT))
    text = "mqtt:\n  port: ${N}\n  tls: ${B}\n  wait: ${N}\n  user: ${N}\n  other: ${N}\n"
    document = load_yaml(text, "f", {"N": "1883", "B": "true"})
    assert convert_substituted(document, document.data, schema) == {
        "mqtt": {"port": 1883, "tls": True, "wait": 1883, "user": "1883", "other": "1883"}
    }


def test_a_value_that_no_variable_gave_and_one_that_does_not_fit_stay_as_they_are() -> None:
    schema = options(port=INTEGER, other=INTEGER)
    document = load_yaml("port: '1883'\nother: ${N}\n", "f", {"N": "many"})
    converted = convert_substituted(document, document.data, schema)
    assert converted == {"port": "1883", "other": "many"}
    assert [str(finding) for finding in check_schema(document, converted, schema)] == [
        'f:1:7: port: expected a whole number, found "1883": write it without quotes: 1883',
        "f:2:8: other: expected a whole number, found '${N}'",
    ]


def test_a_document_without_places_still_gets_its_findings() -> None:
    assert list(map(str, check_schema(Document("env", None), 1, TEXT))) == [
        'env: expected text, found 1: put it in quotes: "1"'
    ]


# --- options that are files


def test_each_text_with_the_format_file_is_located() -> None:
    file = {"type": "string", "format": "file"}
    schema = options(name=TEXT, key={**file, "writeOnly": True}, more={"type": "array", "items": {"$ref": "#/$defs/f"}})
    schema["$defs"] = {"f": file}
    data = {"name": "a", "key": "b", "more": ["c", "d"], "unknown": "e"}
    located = with_files(data, schema, lambda name, option: f"/x/{name}{'!' if option.get('writeOnly') else ''}")
    assert located == {"name": "a", "key": "/x/b!", "more": ["/x/c", "/x/d"], "unknown": "e"}
    assert data["key"] == "b"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -(10**400)], ids=str)
@pytest.mark.parametrize("types", ["number", ["string", "number"], ["boolean", "integer", "number"]])
def test_a_number_that_calculations_cannot_use_is_none(value: float, types: Any) -> None:
    """Only a class in Python can pass it, or JSON."""
    schema = {"type": "object", "properties": {"n": {"type": types}}}
    (finding,) = check_schema(Document("f", {"n": value}), {"n": value}, schema)
    assert "n: expected a finite number of at most 308 digits, found " in str(finding)
    assert "quotes" not in str(finding)
    assert check_schema(Document("f", 0), {"n": 10**308}, schema) == []
