"""Each template and its twin give the same, whatever stands in the template and in the document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.document import outcome_document, state_document
from gateway.devices.model import Model
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.integrations.homeassistant import templates
from gateway.integrations.homeassistant.templates import CommandTemplate, ValueTemplate
from gateway.message import InternalMsg
from tests.integrations.homeassistant.rendering import commanded, rendered

HOSTILE = (
    "", "'", '"', "\\", "\\'", "\\n", "{{", "}}", "{%", "%}", "{#", "#}", "{", "}", "%", "{{ 1 }}", "a\nb", "\r\n",
    "\t", "\x00", "\x7f", "é", "°C", "😀", "\u2028", "{% raw %}", "' ~ x ~ '", "items", "values", "get", "state",
    "None", "\ufeff", " a ", "\n", '{"a": "{{ value }}"}', "{-", "-}}", "\\x7b",
)  # fmt: skip

texts = st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)).map("".join)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.booleans() | numbers | texts
WORDS = ("t", "items", "values", "it's {{ 1 }}")


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a state document, as the gateway writes it after any messages."""
    kinds = draw(st.lists(st.sampled_from(PointType), min_size=1, max_size=4))
    points = [Point(f"p{i}", kind, (Feed("T", f"v{i}"),), none=(0,)) for i, kind in enumerate(kinds)]
    points.append(Point("items", PointType.TEXT, (Feed("T", "items"),)))
    model = Model([Device("d", tuple(points), silent_after=5)])
    for now in range(draw(st.integers(0, 3))):
        names = draw(st.sets(st.sampled_from([*(f"v{i}" for i in range(len(kinds))), "items"])))
        if names:
            arguments = {name: draw(scalars) for name in sorted(names)}
            model.observe(InternalMsg(action="T", arguments=arguments), now, now)
    model.tick(draw(st.sampled_from((0.0, 100.0))))
    if draw(st.booleans()):
        model.lose_all("unplugged")
    document = json.loads(state_document(model.states["d"]))
    assert isinstance(document, dict)
    return document


keys = st.sampled_from(("p0", "p1", "p2", "items", "values", "get", "none"))

OF_ANY: Mapping[str, Callable[[str], ValueTemplate]] = {
    "plain": templates.plain,
    "plain, nothing": lambda key: templates.plain(key, templates.NOTHING),
    "text": templates.text,
    "moment": templates.moment,
    "date": lambda key: templates.moment(key, is_date=True),
    "kept": templates.kept,
    "mapped": lambda key: templates.mapped(key, {True: "ON", False: "OFF", "it's {{": "{%\n", 5: "😀", -1.5: "\\"}),
    "at": templates.at,
    "at the quality": lambda key: templates.at("_quality", key, unknown="{}"),
    "reliable": lambda key: templates.reliable(["p0", key]),
}
"""The templates for documents in which the value may be of any type."""


@pytest.mark.parametrize("name", OF_ANY)
@given(document=documents(), key=keys)
def test_a_value_template_is_its_twin_for_each_state_document(name: str, document: dict[str, Any], key: str) -> None:
    template = OF_ANY[name](key)
    assert rendered(template.text, document) == template.twin(document)


@pytest.mark.parametrize("name", OF_ANY)
@given(key=texts, value=scalars | st.none())
def test_a_value_template_is_its_twin_for_hostile_keys(name: str, key: str, value: Any) -> None:
    if value is None:
        document = {}
    else:
        document = {key: "x" * 300 if value == "long" else value, "_quality": {key: "stale"}}
    if name in ("text", "kept") and key in document:
        document[key] = str(value)
    template = OF_ANY[name](key)
    assert rendered(template.text, document) == template.twin(document)


@pytest.mark.parametrize("name", [*OF_ANY, "between", "rising"])
def test_an_empty_payload_is_as_a_document_without_the_value(name: str) -> None:
    numeric = {"between": templates.between("p0", 0, 1), "rising": templates.rising("p0", "1", "0")}
    template = numeric[name] if name in numeric else OF_ANY[name]("p0")
    assert rendered(template.text, None) == template.twin({})


@given(key=texts, value=numbers | st.none(), low=numbers, high=numbers, on=texts, off=texts)
def test_templates_of_numbers_are_their_twins(key: str, value: Any, low: float, high: float, on: str, off: str) -> None:
    document = {} if value is None else {key: value}
    for template in (templates.between(key, low, high), templates.rising(key, on, off)):
        assert rendered(template.text, document) == template.twin(document)


def test_a_number_beyond_what_home_assistant_accepts_is_unknown() -> None:
    template = templates.between("n", -5, 30.5)
    assert [template.twin({"n": n}) for n in (-5, 30.5, 30.6, -6)] == ["-5", "30.5", "None", "None"]
    assert template.twin({}) == ""


MOMENTS = st.one_of(
    st.datetimes(timezones=st.none() | st.timezones(), allow_imaginary=False).map(lambda at: at.isoformat()),
    st.dates().map(lambda day: day.isoformat()),
    st.from_regex(
        r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,3})?(Z|[+-]\d\d:\d\d)?)?",
        fullmatch=True,
        alphabet=st.characters(codec="ascii"),
    ),
)


@given(value=MOMENTS, at=st.integers(0, 30), mark=st.sampled_from(("", "x", "-", ":", ".", "Z", "9", "٣")))
def test_a_moment_is_its_twin_also_if_one_character_is_wrong(value: str, at: int, mark: str) -> None:
    for text in (value, value[:at] + mark + value[at + 1 :]):
        for template in (templates.moment("p"), templates.moment("p", is_date=True)):
            assert rendered(template.text, {"p": text}) == template.twin({"p": text})


def test_only_a_time_with_a_zone_is_a_moment() -> None:
    """Home Assistant has an error in its log for each other one."""
    for text in ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00.25Z", "2026-12-01T00:00:00.5+01:00"):
        assert templates.moment("p").twin({"p": text}) == text
    for text in ("2020-11-30T11:50:33", "never", "", "2026-12-01", "2026-13-01T00:00:00Z", "2026-12-01T24:00:00Z"):
        assert templates.moment("p").twin({"p": text}) == "None"
    of_day = templates.moment("p", is_date=True)
    shown = [of_day.twin({"p": text}) for text in ("2026-12-01", "--", "01.12.2026", "2026-12-01T00:00:00Z")]
    assert shown == ["2026-12-01", "None", "None", "None"]


@given(words=st.dictionaries(scalars, texts, min_size=1, max_size=4), value=scalars | st.none(), unknown=texts)
def test_words_of_values_are_their_twins(words: dict[Any, str], value: Any, unknown: str) -> None:
    template = templates.mapped("k", words, unknown)
    for document in ({} if value is None else {"k": value}, {"k": next(iter(words))}):
        assert rendered(template.text, document) == template.twin(document)


@given(st.dictionaries(texts, st.sampled_from(("stale", "bad", "unknown", "good")), max_size=3), texts)
def test_an_entity_is_unavailable_if_a_value_of_it_is_not_to_be_relied_on(quality: dict[str, str], other: str) -> None:
    names = [*quality, other]
    template = templates.reliable(names)
    wanted = "offline" if {"stale", "bad"} & set(quality.values()) else "online"
    assert rendered(template.text, {"_quality": quality}) == template.twin({"_quality": quality}) == wanted


@given(st.sampled_from(("OK", "REFUSED", "ODD", "{{")), texts, texts)
def test_the_event_of_an_outcome_is_its_twin(response: str, reason: str, action: str) -> None:
    outcome = InternalMsg(action=action, arguments={"response": response, "reason": reason})
    document = json.loads(outcome_document(outcome, 0.0))
    template = templates.outcome(("OK", "REFUSED"), "ERROR")
    made = json.loads(rendered(template.text, document))
    assert made == json.loads(template.twin(document))
    assert made["event_type"] == (response if response in ("OK", "REFUSED") else "ERROR")
    assert made["response"] == response and made["reason"] == reason


@given(key=texts, point=texts, value=scalars)
def test_the_event_of_a_point_is_its_twin(key: str, point: str, value: Any) -> None:
    for name in (key, point):
        document = {"point": name, "value": value}
        for template in (templates.event(key), templates.any_event(key)):
            given_by, twin = rendered(template.text, document), template.twin(document)
            assert (given_by, twin) == ("", "") or json.loads(given_by) == json.loads(twin)


# --- commands


@given(payload=texts, value=scalars)
def test_a_constant_command_is_its_twin(payload: str, value: Any) -> None:
    template = templates.constant(payload)
    assert commanded(template.text, value) == template.twin(value) == payload


@given(before=texts, after=texts, value=numbers | texts)
def test_what_stands_around_a_value_stays_as_it_is(before: str, after: str, value: Any) -> None:
    template = templates.number(before, after)
    assert commanded(template.text, value) == template.twin(value) == f"{before}{value}{after}"


@given(before=texts, after=texts, value=texts)
def test_a_text_in_a_command_is_json(before: str, after: str, value: str) -> None:
    template = templates.quoted(before, after)
    for payload in (commanded(template.text, value), template.twin(value)):
        assert payload.startswith(before) and payload.endswith(after)
        assert json.loads(payload[len(before) : len(payload) - len(after)]) == value


@given(st.dictionaries(texts, texts, min_size=1, max_size=4), texts)
def test_the_words_of_a_command_are_their_twins(payloads: dict[str, str], other: str) -> None:
    template = templates.chosen(payloads)
    for word in (*payloads, other):
        assert commanded(template.text, word) == template.twin(word) == payloads.get(word, "")


@given(key=texts, word=texts)
def test_no_template_reads_a_value_as_an_attribute(key: str, word: str) -> None:
    """Jinja takes a method of the dictionary for `value_json.values`."""
    values = [make(key).text for make in OF_ANY.values()]
    values += [templates.between(key, 0, 1).text, templates.rising(key, word, word).text, templates.event(key).text]
    for text in values:
        without_literals = re.sub(r"'(\\.|[^'\\])*'", "''", text)
        assert set(re.findall(r"\.([A-Za-z_]\w*)", without_literals)) <= {"get", "state", "isascii", "isdecimal"}


@given(value=scalars)
def test_a_literal_is_read_as_the_same_value(value: Any) -> None:
    read = commanded(
        f"{{{{ ({templates.literal(value)}) is sameas(value) or ({templates.literal(value)}) == value }}}}", value
    )
    assert read == "True"
    template: CommandTemplate = templates.constant(templates.shown(value))
    assert template.twin(None) == templates.shown(value)


@given(st.integers(1, 100_000), st.integers(1, 1_000_000))
def test_a_colour_temperature_in_mireds_is_its_twin(kelvin: int, mireds: int) -> None:
    template = templates.in_mireds("k")
    assert rendered(template.text, {"k": kelvin}) == template.twin({"k": kelvin})
    assert rendered(template.text, {}) == rendered(template.text, None) == template.twin({}) == ""
    command = templates.from_mireds('{"k": ', "}", 2000, 6500)
    assert commanded(command.text, mireds) == command.twin(mireds)
    assert 2000 <= json.loads(command.twin(mireds))["k"] <= 6500
