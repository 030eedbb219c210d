"""Message templates: the message that is made from values, and which arguments are left out."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.message import InternalMsg
from interfaces.rules.message_template import CodecError, MessageTemplate, PartialValues, bad_readings


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        ({"action": "A"}, {}, InternalMsg(device="d", action="A")),
        ({"action": "{a}_{b}", "device": "x{b}"}, {"a": "P", "b": 1}, InternalMsg(device="x1", action="P_1")),
        ({"action": "A", "device": ""}, {}, InternalMsg(action="A")),
        ({"type": "command", "action": "A"}, {}, InternalMsg(True, device="d", action="A")),
        ({"action": "A", "arguments": {"x": "{a}"}}, {"a": 1.5},
         InternalMsg(device="d", action="A", arguments={"x": 1.5})),
        ({"action": "A", "arguments": {"x": "{a:.1f} C"}}, {"a": 1.55, "b": 2},
         InternalMsg(device="d", action="A", arguments={"x": "1.6 C"})),
        ({"action": "A", "arguments": {"x": 1, "y": True, "z": None}}, {},
         InternalMsg(device="d", action="A", arguments={"x": 1, "y": True, "z": None})),
        ({"action": "A", "arguments": {"x": "{a}", "y": "{b}"}}, {"b": 2},
         InternalMsg(device="d", action="A", arguments={"y": 2})),
        ({"action": "A", "arguments": "*"}, {"a": 1, "b": "x"},
         InternalMsg(device="d", action="A", arguments={"a": 1, "b": "x"})),
        ({"action": "A", "arguments": "*"}, {}, None),
        ({"action": "A", "arguments": {"x": "{a}"}}, {}, None),
        ({"action": "{a}"}, {}, None),
    ],
)  # fmt: skip
def test_the_message_for_values(options: dict[str, Any], values: dict[str, Any], message: InternalMsg | None) -> None:
    assert MessageTemplate(options, {"device": "d"}).make(values) == message


@pytest.mark.parametrize("options", [{"action": "{a:d}"}, {"action": "A", "arguments": {"x": "{a:d}"}}])
def test_a_value_that_does_not_fit_its_format_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(CodecError, match=r"'x' cannot be written as \{a:d\}"):
        MessageTemplate(options, {}).make({"a": "x"})


# --- without the values that could not be converted


@pytest.mark.parametrize(
    ("options", "is_possible"),
    [
        ({"action": "A", "arguments": {"x": "{a}", "y": "{b}"}}, True),
        ({"action": "A", "arguments": {"x": "{a}"}}, False),
        ({"action": "A", "arguments": {"x": "{a}", "unit": "C", "n": 1}}, False),
        ({"action": "A", "arguments": {"y": "{b}"}}, True),
        ({"action": "A", "arguments": {"unit": "C"}}, True),
        ({"action": "A", "arguments": {"x": "{a} and {b}"}}, False),
        ({"action": "A"}, True),
        ({"action": "A_{a}", "arguments": {"y": "{b}"}}, False),
        ({"action": "A", "arguments": "*"}, True),
    ],
)
def test_whether_a_message_is_left_without_a_bad_value(options: dict[str, Any], is_possible: bool) -> None:
    assert MessageTemplate(options, {}).can_make(PartialValues({"b": 2}, {"a": "no number"})) is is_possible


@pytest.mark.parametrize(
    ("options", "reading"),
    [
        ({"action": "A", "arguments": {"x": "{a}", "y": "{b}"}}, ({"y": 2}, {"x": "no number"})),
        ({"action": "A", "arguments": {"x": "{a}", "unit": 3}}, ({"unit": 3}, {"x": "no number"})),
        ({"action": "A", "arguments": "*"}, ({"b": 2}, {"a": "no number"})),
        ({"action": "A", "arguments": {"y": "{b}"}}, None),
        ({"action": "{a}", "arguments": {"x": "{a}"}}, None),
    ],
)
def test_what_is_missing_in_a_message(
    options: dict[str, Any], reading: tuple[dict[str, Any], dict[str, str]] | None
) -> None:
    values = PartialValues({"b": 2}, {"a": "no number"})
    expected = [] if reading is None else [(InternalMsg(action="A", arguments=reading[0]), reading[1])]
    assert bad_readings([MessageTemplate(options, {})], [values, {"a": 1, "b": 2}]) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"action": "A", "arguments": {"unit": 3, "name": "x", "v": "{v}"}},
         InternalMsg(device="d", action="A", arguments={"unit": 3, "name": "x"})),
        ({"action": "A", "arguments": "*"}, InternalMsg(device="d", action="A")),
        ({"action": "{v}"}, None),
    ],
)  # fmt: skip
def test_what_is_known_of_a_message_without_a_frame(options: dict[str, Any], message: InternalMsg | None) -> None:
    assert MessageTemplate(options, {"device": "d"}).constant_message == message
