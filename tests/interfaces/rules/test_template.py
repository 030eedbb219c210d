"""Templates: text with values, and no access to anything else."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.rules.template import Template, TemplateError


@pytest.mark.parametrize(
    ("text", "values", "filled"),
    [
        ("plain", {}, "plain"),
        ("", {}, ""),
        ("{a}", {"a": "x"}, "x"),
        ("DIM {level:03d};", {"level": 7}, "DIM 007;"),
        ("{t:.1f} {unit}", {"t": 20.04, "unit": "C"}, "20.0 C"),
        ("{n:02X}{n:02X}", {"n": 10}, "0A0A"),
        ("{{{a}}}", {"a": 1}, "{1}"),
        ('{{"on": {on}}}', {"on": "true"}, '{"on": true}'),
    ],
)
def test_a_template_is_filled(text: str, values: dict[str, Any], filled: str) -> None:
    template = Template(text)
    assert template.fill(values) == filled
    assert template.names == values.keys()


@pytest.mark.parametrize(
    "text",
    ["{", "}", "{a", "a}", "{}", "{0}", "{:d}", "{a.b}", "{a[0]}", "{a!r}", "{a:{b}}", "{a.__class__}", "{ a}", "{a-b}",
     "{a b}"],
)  # fmt: skip
def test_an_invalid_template_is_rejected(text: str) -> None:
    with pytest.raises(TemplateError):
        Template(text)


def test_json_that_is_written_as_it_is_sent_is_rejected_with_the_remedy() -> None:
    with pytest.raises(TemplateError, match=r'\{"on"\} is no value: .*, or \{\{ and \}\} for braces'):
        Template('{"on": {on}}')


@pytest.mark.parametrize(
    ("text", "value"), [("{a:d}", "x"), ("{a:d}", 1.5), ("{a:03d}", None), ("{a:q}", 1), ("{a:.1f}", [1])]
)
def test_a_value_that_does_not_fit_its_format_is_named(text: str, value: object) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text).fill({"a": value})
    assert ascii(value) in str(caught.value)
    assert text in str(caught.value)


@pytest.mark.parametrize("value", [1, 1.5, True, None, "x", [1, {"a": 2}]])
def test_a_template_of_only_a_name_keeps_the_type_of_the_value(value: object) -> None:
    assert Template("{a}").value({"a": value}) is value
    assert Template("{a}!").value({"a": value}) == f"{value}!"
    assert isinstance(Template("{a:}{b}").value({"a": value, "b": ""}), str)


def test_a_format_makes_a_text() -> None:
    assert Template("{a:.2f}").value({"a": 1}) == "1.00"


@given(st.text())
def test_text_with_doubled_braces_is_kept(text: str) -> None:
    assert Template(text.replace("{", "{{").replace("}", "}}")).fill({}) == text


@given(st.text(), st.text())
def test_a_value_is_inserted_unchanged(prefix: str, value: str) -> None:
    """Braces in a value have no meaning."""
    plain = prefix.replace("{", "(").replace("}", ")")
    assert Template(plain + "{a}").fill({"a": value}) == plain + value


@given(st.text(st.sampled_from("{}ab!:.[]0")))
def test_any_text_is_a_template_or_rejected(text: str) -> None:
    try:
        template = Template(text)
    except TemplateError:
        return
    with contextlib.suppress(TemplateError):
        assert isinstance(template.fill(dict.fromkeys(template.names, "x")), str)


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("{n:02d}", "a", "'a' cannot be written as {n:02d}: it is not a number, which this format needs"),
        ("{n:02d}", None, "None cannot be written as {n:02d}: it is not a number, which this format needs"),
        ("{n:c}", -1, "-1 cannot be written as {n:c}: the format is none for this value"),
    ],
)
def test_why_a_value_has_not_this_format_needs_no_knowledge_of_python(text: str, value: Any, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text).fill({"n": value})
    assert str(caught.value) == reason
