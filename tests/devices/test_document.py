from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.document import doubted_document, event_document, outcome_document, state_document
from gateway.devices.model import Model
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.devices.series import Event
from gateway.message import InternalMsg

COMMAND = InternalMsg(True, device="boiler", sender="homeassistant", action="HEAT", arguments={"on": True})
MOST = 256 * 1024  # bytes that a document may have


def document(outcome: InternalMsg) -> dict[str, Any]:
    content = json.loads(outcome_document(outcome, 1_796_074_205.12))
    assert isinstance(content, dict)
    return content


def test_the_outcome_of_a_command_is_a_document() -> None:
    assert outcome_document(COMMAND.reply("OK"), 1_795_987_805.12) == (
        b'{"action":"HEAT","arguments":{"on":true},"response":"OK","reason":"","sender":"homeassistant",'
        b'"_time":"2026-11-29T21:30:05.120Z"}'
    )


def test_the_arguments_are_those_that_were_requested_whatever_the_device_answers() -> None:
    command = COMMAND.replace(arguments={"level": 120, "reason": "cold"})
    failed = document(command.reply("REFUSED", "it is too much"))
    assert (failed["arguments"], failed["reason"]) == ({"level": 120, "reason": "cold"}, "it is too much")
    done = command.reply("OK")
    limited = done.with_arguments({**done.arguments, "level": 100, "answer": "L100"})
    assert document(limited)["arguments"] == {"level": 120, "reason": "cold"}


def test_an_outcome_that_an_interface_has_built_itself_shows_what_it_contains() -> None:
    done = InternalMsg(action="HEAT", arguments={"on": True, "response": "OK", "reason": ""})
    assert (document(done)["arguments"], document(done)["sender"]) == ({"on": True}, "")
    failed = InternalMsg(action="HEAT", arguments={"on": False, "response": "ERROR", "requested": {"on": True}})
    assert (document(failed)["arguments"], document(failed)["reason"]) == ({"on": True}, "")
    assert document(failed.with_arguments({"response": "ERROR", "requested": 5}))["arguments"] == {}


class Broken:
    """An object of an interface, none of whose methods works."""

    def __repr__(self) -> str:
        raise RuntimeError("broken")

    __str__ = __repr__


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [float("nan"), [float("inf")], 1 << 99_999, b"x", Broken(), nested(100_000), {(): 1}],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_json_cannot_represent_takes_only_itself_out(value: Any) -> None:
    command = COMMAND.replace(arguments={"on": True, "x": value})
    assert document(command.reply("OK"))["arguments"] == {"on": True}
    assert document(COMMAND.reply("ERROR", value))["response"] == "ERROR"


def test_an_outcome_that_is_too_large_has_no_arguments_and_short_texts() -> None:
    huge = COMMAND.replace(arguments={"on": True, "text": "x" * MOST}).reply("OK", "done")
    assert (document(huge)["arguments"], document(huge)["reason"]) == ({}, "done")
    reason = document(COMMAND.reply("ERROR", "x" * MOST))["reason"]
    assert 0 < len(reason) < MOST and set(reason) == {"x"}


texts = st.text(st.characters(exclude_categories=()), max_size=5).map(lambda text: text * 60_000) | st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(texts, values, max_size=4), texts, texts, texts, texts)
def test_whatever_the_outcome_its_document_is_json_and_bounded(
    arguments: dict[str, Any], action: str, sender: str, response: str, reason: str
) -> None:
    outcome = InternalMsg(True, sender=sender, action=action, arguments=arguments).reply(response, reason)
    payload = outcome_document(outcome, 0.0)
    assert len(payload) <= MOST
    assert list(json.loads(payload)) == ["action", "arguments", "response", "reason", "sender", "_time"]


def test_an_event_is_one_json_object() -> None:
    payload = event_document(Event("entry", "card", "Grüße", 1_795_989_600.0))
    assert payload.decode() == '{"point":"card","value":"Grüße","_time":"2026-11-29T22:00:00.000Z"}'


def test_the_document_contains_why_a_value_is_bad_but_no_long_text() -> None:
    point = Point("t", PointType.NUMBER, (Feed("T", "c"),), none=(-127,))
    model = Model([Device("d", (point,))])
    model.observe(InternalMsg(action="T", arguments={"c": -127}), 0, 0)
    assert json.loads(state_document(model.states["d"]))["_reasons"] == {"t": "-127 is no value"}
    model.values_unreadable(InternalMsg(action="T"), {"c": "x" * 5000}, 0)
    assert len(json.loads(state_document(model.states["d"]))["_reasons"]["t"]) == 200
    model.observe(InternalMsg(action="T", arguments={"c": 1}), 0, 0)
    assert "_reasons" not in json.loads(state_document(model.states["d"]))


def test_what_an_earlier_run_has_left_tells_that_nothing_is_known_any_more() -> None:
    left = {
        "t": 1,
        "u": 2,
        "_status": "offline",
        "_reason": "gone",
        "_quality": {"u": "bad", "v": "unknown"},
        "_time": {},
    }
    doubted = json.loads(doubted_document(json.dumps(left).encode()))
    assert doubted == {
        "t": 1,
        "u": 2,
        "_status": "unknown",
        "_quality": {"t": "stale", "u": "bad", "v": "unknown"},
        "_time": {},
    }
    for payload in b"", b"on", b"[]", b'{"_status":"online"}':
        assert doubted_document(payload) == b""
