"""Values are written as YAML that is read as the same."""

from __future__ import annotations

import pytest

from gateway.configuration.yaml_reader import load_yaml
from gateway.configuration.yaml_writer import flow, scalar, without_variables


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("TEMP", "TEMP"),
        ("a b/c 5%", "a b/c 5%"),
        ("on", "'on'"),
        ("12", "'12'"),
        (r"T (?P<t>\d+)", r"'T (?P<t>\d+)'"),
        ("it's: so", "'it''s: so'"),
        ("a\t\x01", '"a\\t\\U00000001"'),
        (12, "12"),
        (None, "null"),
    ],
)
def test_a_scalar_has_quotes_where_it_needs_them(value: object, text: str) -> None:
    assert scalar(value) == text


def test_what_is_written_is_read_as_the_same() -> None:
    value = {"a": [{"on": ["${X}", "", " ", "a\u2028b", True, 1.5, {}]}], "${X}": "\U0001f600\x00"}
    assert load_yaml(flow(without_variables(value)), "", {}).data == value
