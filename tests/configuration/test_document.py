from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.configuration.document import Document, Path, dotted
from gateway.configuration.json_reader import load_json
from gateway.configuration.scalars import resolve_scalar
from gateway.configuration.yaml_reader import load_yaml, variables
from gateway.errors import ConfigurationError, Finding
from tests.support.strategies import json_like_texts, json_values, nested

json_texts = st.builds(
    lambda value, indent, ascii_only, separators: json.dumps(
        value, indent=indent, ensure_ascii=ascii_only, separators=separators
    ),
    json_values(st.text(max_size=4)),
    st.sampled_from([None, 0, 1, "\t"]),
    st.booleans(),
    st.sampled_from([None, (",", ":"), (" ,\r\n", " : ")]),
)


def findings_in(text: str) -> list[str]:
    """Return the findings in a YAML or JSON text called `f`, as texts."""
    with pytest.raises(ConfigurationError) as info:
        load_json(text, "f") if text.lstrip()[:1] in ("{", "[") else load_yaml(text, "f", {})
    return [str(finding) for finding in info.value.findings]


def paths(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every path of a value, and the value."""
    yield path, value
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from paths(inner, (*path, step))


def rest_at(text: str, finding: Finding) -> str:
    """Return the text from the place of a finding."""
    return "\n".join(text.split("\n")[finding.line - 1 :])[finding.column - 1 :]


# --- JSON


@settings(max_examples=200)
@example('[{}, "a", {"b": []}, [], "c"]')
@given(json_texts)
def test_the_places_of_a_json_document_are_those_in_its_text(text: str) -> None:
    document = load_json(text, "f")
    assert repr(document.data) == repr(json.loads(text))
    decoder = json.JSONDecoder()
    for path, value in paths(document.data):
        assert repr(decoder.raw_decode(rest_at(text, document.finding(path, "x")))[0]) == repr(value)
        if path and isinstance(path[-1], str):
            assert decoder.raw_decode(rest_at(text, document.finding(path, "x", at_key=True)))[0] == path[-1]


def test_a_finding_is_at_the_nearest_place_that_is_known() -> None:
    document = load_json('{\n "a": [\n  {"b": 1}]}', "f")
    assert str(document.finding(("a", 0, "b"), "what", "remedy")) == "f:3:9: a[0].b: what: remedy"
    assert str(document.finding(("a", 0, "b"), "what", at_key=True)) == "f:3:4: a[0].b: what"
    assert str(document.finding(("a", 0, "c", 7), "what")) == "f:3:3: a[0].c[7]: what"
    assert str(document.finding(("a", 0), "what", at_key=True)) == "f:3:3: a[0]: what"
    assert str(document.finding((), "what")) == "f:1:1: what"
    assert str(Document("f", None).finding(("a",), "what")) == "f: a: what"


@settings(max_examples=300)
@given(json_like_texts | st.text(st.characters()) | json_texts)
def test_any_text_is_a_json_document_or_a_configuration_error(text: str) -> None:
    try:
        document = load_json(text, "f")
    except ConfigurationError as err:
        assert err.findings
    else:
        document.finding(("a", 0), "what")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ('{"a":\n }', "f:2:2: not JSON: Expecting value: check commas, quotes and brackets"),
        ('{\n "a" 1}', "f:2:6: not JSON: Expecting ':' delimiter: check commas, quotes and brackets"),
        ('{\n "a": "NaN",\n "b": NaN}', "f:3:7: not JSON: NaN is not allowed: use a number or null"),
        ('["\\"Infinity",-Infinity]', "f:1:15: not JSON: -Infinity is not allowed: use a number or null"),
        ('{"a":\n' + "[" * 40 + "]" * 40 + "}", "f:2:40: nested over 40 levels deep: use fewer levels"),
        ('["[", "{\\"",\n' + "[" * 100_000, "f:2:40: nested over 40 levels deep: use fewer levels"),
    ],
    ids=["value", "colon", "NaN", "Infinity", "41 deep", "100,000 deep"],
)
def test_what_is_not_json_is_reported_with_its_place(text: str, finding: str) -> None:
    assert findings_in(text) == [finding]


def test_forty_nested_brackets_are_json() -> None:
    assert load_json(json.dumps(nested(40)), "f").data == nested(40)


def test_a_number_of_ten_thousand_digits_in_json_is_reported() -> None:
    [finding] = findings_in("[" + "9" * 10_000 + "]")
    assert finding.startswith("f: not usable JSON: ")
    assert finding.endswith(": shorten the number")


def test_all_duplicate_keys_in_json_are_reported_together() -> None:
    text = '{"a": 1, "b": {"c": [{"d": 1,\n"d": 2}]},\n "a": 3,\n "a": 4}'
    assert findings_in(text) == [
        "f:2:1: b.c[0].d: duplicate option, first in line 1: remove one of the two",
        "f:3:2: a: duplicate option, first in line 1: remove one of the two",
        "f:4:2: a: duplicate option, first in line 3: remove one of the two",
    ]


# --- YAML


LAYOUT = "check indentation, colons and quotes"


@pytest.fixture(params=["C", "Python"])
def yaml_loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read YAML with the loader in C, and without it: the two mark a plain scalar differently."""
    if request.param == "Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


yaml_texts = st.builds(
    lambda value, indent: json.dumps(value, indent=indent, ensure_ascii=False),
    json_values(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="$"), max_size=4)),
    st.sampled_from([1, 4]),
)


@settings(max_examples=200)
@given(yaml_texts)
def test_a_json_text_read_as_yaml_is_the_same_data_at_the_same_places(text: str) -> None:
    from_json, from_yaml = load_json(text, "f"), load_yaml(text, "f", {})
    assert repr(from_yaml.data) == repr(from_json.data)
    for (path, _), at_key in itertools.product(paths(from_json.data), (False, True)):
        assert from_yaml.finding(path, "x", at_key=at_key) == from_json.finding(path, "x", at_key=at_key)


_INDICATORS = (
    "a",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "&x ",
    "*x",
    "!t ",
    "! ",
    "|",
    ">",
    "'",
    '"',
)
_ODDITIES = (
    "#",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "<<",
    "${",
    "$${",
    "${A}",
    "1",
    "\t",
    "\x07",
    "\x85",
    "\ufeff",
    "\ud800",
)
yaml_like_texts = st.lists(st.sampled_from(_INDICATORS + _ODDITIES), max_size=14).map("".join)


@settings(max_examples=600)
@given(yaml_like_texts | st.text(st.characters()))
def test_any_text_is_a_yaml_document_or_a_configuration_error(text: str) -> None:
    try:
        document = load_yaml(text, "f", {"A": "x"})
    except ConfigurationError as err:
        assert err.findings
        assert all(finding.line and finding.column for finding in err.findings)
    else:
        json.dumps(document.data, allow_nan=False)
        for path, _ in paths(document.data):
            assert document.data is None or document.finding(path, "x").line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("Null", None), ("~", None), ("", None), ("true", True), ("FALSE", False),
        ("0", 0), ("-12", -12), ("+7", 7), ("007", 7), ("0x1F", 31), ("0o17", 15),
        ("1.5", 1.5), ("-.5", -0.5), ("1.", 1.0), ("1e3", 1000.0), ("+1.5E-3", 0.0015),
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"), ("tRUE", "tRUE"),
        ("12:30", "12:30"), ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), ("0b1", "0b1"), ("1e", "1e"),
        (".inf", ".inf"), (".nan", ".nan"), ("1e999", "1e999"), ("9" * 10_000, "9" * 10_000),
        ("0x" + "f" * 255, 16**255 - 1), ("0x" + "f" * 256, "0x" + "f" * 256),
        ("\u0661", "\u0661"), ("1\n", "1\n"),
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
@pytest.mark.usefixtures("yaml_loader")
def test_a_plain_scalar_is_what_yaml_12_says(text: str, value: object) -> None:
    assert repr(resolve_scalar(text)) == repr(value)
    if "\n" not in text:
        assert repr(load_yaml(f"a: {text}", "f", {}).data) == repr({"a": value})


@pytest.mark.usefixtures("yaml_loader")
@pytest.mark.parametrize("text", ['"12"', "'12'", "|-\n  12", ">-\n  12"])
def test_a_quoted_scalar_is_text(text: str) -> None:
    assert load_yaml(f"a: {text}", "f", {}).data == {"a": "12"}


def test_a_key_is_text() -> None:
    assert load_yaml("1: a\ntrue: b\nnull: c\n", "f", {}).data == {"1": "a", "true": "b", "null": "c"}


def test_an_empty_text_is_no_data() -> None:
    for text in "", "# nothing\n", "---\n":
        assert load_yaml(text, "f", {}).data is None


def test_yaml_places_are_those_of_keys_and_values() -> None:
    document = load_yaml("# comment\na:\n  - b: 1\n    c:   'x'\n", "f", {})
    assert document.data == {"a": [{"b": 1, "c": "x"}]}
    assert str(document.finding(("a", 0, "c"), "what", "remedy")) == "f:4:10: a[0].c: what: remedy"
    assert str(document.finding(("a", 0, "c"), "what", at_key=True)) == "f:4:5: a[0].c: what"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a: 1\nb:\n  a: 2\n  a: 3\n", "f:4:3: b.a: duplicate option, first in line 3: remove one of the two"),
        ("a: *x\n", "f:1:4: a: the alias '*x' is not supported: write the value out"),
        ("a:\n  - &x 1\n", "f:2:5: a[0]: the anchor '&x' is not supported: remove it"),
        ("a: !!int 1\n", "f:1:4: a: the tag 'tag:yaml.org,2002:int' is not supported: remove it"),
        ("a: ! 12\n", "f:1:4: a: the tag '!' is not supported: remove it"),
        ("? [a]\n: 1\n", "f:1:3: a key must be plain text: write the key as text"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here: remove the line '---'"),
        ("a: b: 1", f"f:1:5: not YAML: mapping values are not allowed in this context: {LAYOUT}"),
        ("a: 1\nb: \x07\n", "f:2:4: not YAML: the character '\\x07' is not allowed: remove it"),
        ("a: \ud800\n", "f:1:4: not YAML: the character '\\ud800' is not allowed: remove it"),
        ("a: ${NOPE}\n", "f:1:4: a: the environment variable 'NOPE' is not set: set it, or write $${ for a literal ${"),
        ("a: " + "[" * 40 + "]" * 40, "f:1:43: nested over 40 levels deep: use fewer levels"),
        ("- " * 10_000, "f:1:81: nested over 40 levels deep: use fewer levels"),
        ("a: " + "[" * 900, "f:1:43: nested over 40 levels deep: use fewer levels"),
    ],
    ids=lambda value: value[:25],
)  # fmt: skip
def test_what_is_not_supported_in_yaml_is_reported_with_its_place(text: str, finding: str) -> None:
    assert findings_in(text) == [finding]


_OPENED = "close the {} that is opened in line {}, or check commas and quotes before this place"
_QUOTES = r"in double quotes, \ begins an escape sequence: use single quotes, as in '\d+'"


@pytest.mark.usefixtures("yaml_loader")
@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "3:2", _OPENED.format("'['", 2)),
        ("a:\n  - {x: 1\n  - {y: 2}\n", "3:5", _OPENED.format("'{'", 2)),
        ("a: 'abc\nb: 1\n", "3:1", _OPENED.format('"\'"', 1)),
        ('a: 1\nb: "abc\nc: 1\n', "4:1", _OPENED.format("'\"'", 2)),
        ('a: "T\\s*"\n', "1:", _QUOTES),
        ('a:\n  - {regex: "\\d+", x: 1}\n', "2:", _QUOTES),
        ('a: "\\x4"\n', "1:", _QUOTES),
    ],
)
def test_the_remedy_of_what_is_not_closed_or_wrongly_quoted(text: str, place: str, remedy: str) -> None:
    (reported,) = findings_in(text)
    assert reported.startswith(f"f:{place}")
    assert reported.endswith(f": {remedy}")


def test_a_single_backslash_in_json_is_told_to_be_doubled() -> None:
    with pytest.raises(ConfigurationError) as info:
        load_json('{"regex": "\\d+"}', "f")
    assert str(info.value) == r"f:1:12: not JSON: Invalid \escape: write \\ for each \ in a text"


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("mqtt:\n\thost: x\n", "2:1"),
        ("mqtt:\n  host: x\n\tport: 1\n", "3:1"),
        ("a:\n  - b\n\t- c\n", "3:1"),
        ("a:\r\n \tb: 1\r\n", "2:2"),
        ("\ta: 1\n", "1:1"),
        ("a: b\n\tc\n", "2:1"),
        ("a: |\n\tx\n", "2:1"),
    ],
)
def test_a_tab_in_yaml_is_called_a_tab(text: str, place: str, loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "CSafeLoader", getattr(yaml, loader))
    with pytest.raises(ConfigurationError) as info:
        load_yaml(text, "f", {})
    remedy = "replace it by spaces, as many as in the lines around it"
    assert str(info.value) == f"f:{place}: not YAML: there is a tab here: {remedy}"


def test_yaml_that_is_nested_beyond_what_its_parser_takes_is_told_the_same() -> None:
    (reported,) = findings_in("a: " + "[" * 100_000)  # where it is noticed depends on the version of libyaml
    assert reported.startswith("f:1:")
    assert reported.endswith(": nested over 40 levels deep: use fewer levels")


def test_everything_that_is_not_supported_is_reported_together() -> None:
    assert findings_in("a: &x 1\nb: *x\n*x : !t 2\na: ${NOPE}\n&k c: 1\n!t d: 1\n") == [
        "f:1:4: a: the anchor '&x' is not supported: remove it",
        "f:2:4: b: the alias '*x' is not supported: write the value out",
        "f:3:1: a key must be plain text: write the key as text",
        "f:3:1: ?: the alias '*x' is not supported: write the value out",
        "f:3:6: ?: the tag '!t' is not supported: remove it",
        "f:4:1: a: duplicate option, first in line 1: remove one of the two",
        "f:4:4: a: the environment variable 'NOPE' is not set: set it, or write $${ for a literal ${",
        "f:5:1: a key must be plain text: write the key as text",
        "f:5:1: ?: the anchor '&k' is not supported: remove it",
        "f:6:1: a key must be plain text: write the key as text",
        "f:6:1: ?: the tag '!t' is not supported: remove it",
    ]


# --- environment variables


def test_environment_variables_are_put_into_values_of_any_style_as_text() -> None:
    text = "a: ${HOST}:${PORT}\nb: '${PORT}'\nc:\n- ${PORT}\nd: $${HOST}\ne: ${HOST\nf: $HOST\n${HOST}: 1\n"
    document = load_yaml(text, "f", {"HOST": "10.0.0.1", "PORT": "1883"})
    assert document.data == {
        "a": "10.0.0.1:1883", "b": "1883", "c": ["1883"], "d": "${HOST}", "e": "${HOST", "f": "$HOST", "${HOST}": 1,
    }  # fmt: skip


def test_what_a_variable_holds_is_not_read_again() -> None:
    assert load_yaml("a: ${A}\n", "f", {"A": "${B}: [*x"}).data == {"a": "${B}: [*x"}


def test_an_error_quotes_a_value_with_a_variable_as_it_is_written() -> None:
    document = load_yaml("a: x${SECRET}\nb: 1\n", "f", {"SECRET": "hunter2"})
    assert document.quote(("a",), document.data["a"]) == "'x${SECRET}'"
    assert "hunter2" not in document.quote(("a",), document.data["a"])


def test_the_variables_of_a_value_are_known_by_name() -> None:
    assert variables("a ${HOST}:${PORT} $${NONE} ${") == ["HOST", "PORT"]


def test_a_value_is_quoted_as_people_would_and_cut() -> None:
    document = Document("f", None)
    values = ("é", 1, True, None, {"a": 1}, [1])
    assert [document.quote((), value) for value in values] == ['"\\u00e9"', "1", "true", "null", "a mapping", "a list"]
    assert document.quote((), "x" * 58) == '"' + "x" * 58 + '"'
    assert document.quote((), "x" * 59) == '"' + "x" * 56 + "..."


def test_a_path_is_written_with_dots_and_indices() -> None:
    assert dotted(("interface", "decode", 0, "match")) == "interface.decode[0].match"
    assert dotted(()) == ""
    assert dotted((0, "a")) == "[0].a"
