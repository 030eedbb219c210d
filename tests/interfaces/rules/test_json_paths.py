"""Values of JSON texts by path; what is no JSON, and what two programs could read differently."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.rules.extractors import ExtractError, make_extractor
from interfaces.rules.json_paths import MAX_MEMBERS, JsonPaths, JsonTextError

SENSORS = '{"id": 7, "sensors": [{"t": 21.5}, {"t": -3}], "1.8.0": "12", "on": true, "none": null, "": 1}'


@pytest.mark.parametrize(
    ("options", "text", "values"),
    [
        ({"at": {"id": "id", "last": "sensors.-1.t"}}, SENSORS, {"id": 7, "last": -3}),
        ({"at": {"first": ["sensors", 0, "t"], "kwh": ["1.8.0"]}}, SENSORS, {"first": 21.5, "kwh": "12"}),
        ({"at": {"all": "sensors"}}, SENSORS, {"all": [{"t": 21.5}, {"t": -3}]}),
        ({"at": {"id": "id", "x": "sensors.2.t", "y": "id.z", "z": "sensors.t"}}, SENSORS, {"id": 7}),
        ({"at": {"x": "none"}}, SENSORS, {"x": None}),
        ({"at": {"x": "y"}}, SENSORS, None),
        ({"at": {"b": "1", "key": "0.0"}}, '[{"0": 5}, 6]', {"b": 6, "key": 5}),
        ({}, ' {"a": 1, "": 2, "b": [1]}\r\n', {"a": 1, "b": [1]}),
        ({}, "[1]", None),
        ({}, "5", None),
        ({}, "T 21.5", None),
        ({}, '{"a": 1', None),
        ({}, '{"a": 1} x', None),
        ({}, "[I] boot: 5", None),
        ({}, "", None),
        ({"is": {"id": 7, "on": True}, "at": {"id": "id"}}, SENSORS, {"id": 7}),
        ({"is": {"id": [6, 7]}, "at": {"id": "id"}}, SENSORS, {"id": 7}),
        ({"is": {"id": 8}, "at": {"id": "id"}}, SENSORS, None),
        ({"is": {"on": 1}, "at": {"id": "id"}}, SENSORS, None),
        ({"is": {"none": None}, "at": {"id": "id"}}, SENSORS, {"id": 7}),
        ({"is": {"missing": None}, "at": {"id": "id"}}, SENSORS, None),
    ],
)
def test_the_values_of_a_text(options: dict[str, Any], text: str, values: Any) -> None:
    paths = JsonPaths(options)
    assert paths.read(text) == values
    assert paths.names is None or (values or {}).keys() <= paths.names


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"t": 1, "t": 2}', "contains 't' twice"),
        ('{"t": NaN}', "holds NaN"),
        ('{"t": -Infinity}', "holds -Infinity"),
        ('{"t": 1e999}', "a number that cannot be read"),
        (f'{{"t": {"9" * 5000}}}', "a number that cannot be read"),
        ('{"t": "\\ud800"}', "unpaired surrogate"),
        ("[" * 500_000, "nested over 20 deep"),
        (f'{{"t": {"[" * 30}{"]" * 30}}}', "nested over 20 deep"),
        (json.dumps(dict.fromkeys(map(str, range(MAX_MEMBERS + 1)), 0)), "expected at most 1000"),
    ],
)
def test_a_text_that_two_programs_could_read_differently_or_that_is_too_large(text: str, error: str) -> None:
    with pytest.raises(JsonTextError, match=error):
        JsonPaths({}).read(text)
    with pytest.raises(ExtractError, match=error):
        make_extractor({"json": {}}, "utf-8").extract(text.encode())


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e300, 1e300) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(min_size=1), _values))
def test_all_members_are_read_as_they_were_written(members: dict[str, Any]) -> None:
    assert JsonPaths({}).read(json.dumps(members)) == members


@given(st.binary() | st.text('{}[]":,\\u0e-+.1NaIty ').map(str.encode))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    for options in ({}, {"at": {"a": "0.a"}}, {"is": {"0": 1}}):
        try:
            sets = make_extractor({"json": options}, "utf-8").extract(frame)
            assert sets is None or len(sets) == 1
        except ExtractError as err:
            assert str(err)
