"""Arguments as clients send them: numbers and booleans, also as text."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.argument_values import read_boolean, read_integer, read_number, stands_for

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
)


@given(value=JSON)
def test_any_value_is_read_or_not_but_nothing_is_raised(value: object) -> None:
    number, integer, boolean = read_number(value), read_integer(value), read_boolean(value)
    assert number is None or (not isinstance(number, bool) and math.isfinite(number))
    assert integer is None or (type(integer) is int and integer == number)
    assert boolean in (None, True, False)


@given(number=st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_and_its_text_are_the_same(number: float) -> None:
    assert read_number(json.dumps(number)) == read_number(number)


@pytest.mark.parametrize(
    "text", ["", "nan", "Infinity", "1_000", "0x10", "1,5", "one", "[1]", '"1"', "1e999", "9" * 5000]
)
def test_what_is_no_json_number(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize("value", [10**400, "9" * 5000])
def test_an_integer_that_no_float_can_hold_is_none(value: object) -> None:
    assert read_number(value) is read_integer(value) is None


def test_booleans() -> None:
    value: object
    for value in (True, 1, "1", "on", "ON", " true ", "True"):
        assert read_boolean(value) is True
    for value in (False, 0, "0", "off", "Off", "FALSE"):
        assert read_boolean(value) is False
    for value in (2, -1, 1.5, "yes", "no", "", "2", None, [1]):
        assert read_boolean(value) is None


@given(value=JSON, wanted=JSON)
def test_what_is_compared_with_a_wanted_value_raises_nothing(value: object, wanted: object) -> None:
    assert stands_for(value, wanted) in (True, False)


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ("3", 3, True),
        ("3.0", 3, True),
        (3, 3.0, True),
        (3, "3", False),
        (True, 1, False),
        ("on", True, True),
        (0, False, True),
        (None, False, False),
        ("hall", "hall", True),
    ],
)
def test_a_value_may_stand_for_another(value: object, wanted: object, expected: bool) -> None:
    assert stands_for(value, wanted) is expected
