"""Message templates: the message that is made from values, and which arguments are left out."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.message import InternalMsg
from interfaces.rules.message_template import CodecError, MessageTemplate


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
