"""What the outcome of a command says of the state: only what the device has answered, never what was requested."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.document import state_document
from gateway.devices.model import Model
from gateway.devices.outcome import read_arguments
from gateway.devices.point import Device, Feed, Point, PointType, Write
from gateway.devices.reading import Quality
from gateway.message import InternalMsg

HEATER = Point("heater", PointType.BOOLEAN, (Feed("HEATING", "on"),), (Write("HEATING", "on"),))
HUMIDITY = Point("humidity", PointType.NUMBER, (Feed("READ", "percent"),))
TEMPERATURE = Point("temperature", PointType.NUMBER, (Feed("READ", "celsius"),), none=(-127,))


def command(action: str, **arguments: Any) -> InternalMsg:
    return InternalMsg(True, action=action, arguments=arguments, sender="somebody")


def state_of(model: Model, device: str = "d") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(state_document(model.states[device]))
    return document


def test_what_was_requested_is_no_reading_though_the_status_has_the_same_action() -> None:
    model = Model([Device("d", (HEATER,))])
    model.observe(InternalMsg(action="HEATING", arguments={"on": False}), 0, 0)
    outcome = command("HEATING", on=True).reply("OK")
    assert model.observe(outcome, 10, 10) == outcome
    assert state_of(model)["heater"] is False
    assert model.to_ask(outcome, since=10) == ("HEATING",)


def test_the_value_of_a_command_without_arguments_is_no_reading_either() -> None:
    gate = Point("gate", PointType.BOOLEAN, (Feed("OPEN", None, True),), (Write("OPEN", None, True),))
    model = Model([Device("d", (gate,))])
    outcome = command("OPEN").reply("OK")
    model.observe(outcome, 10, 10)
    assert "gate" not in state_of(model)
    assert model.to_ask(outcome, since=10) == ("OPEN",)


def test_an_outcome_of_which_the_request_is_not_known_says_nothing_of_the_state() -> None:
    model = Model([Device("d", (HEATER,))])
    model.observe(InternalMsg(action="HEATING", arguments={"on": True, "response": "OK", "reason": ""}), 10, 10)
    assert "heater" not in state_of(model)


@pytest.mark.parametrize("answered", [True, False])
def test_what_the_device_has_answered_is_a_reading(answered: bool) -> None:
    model = Model([Device("d", (HEATER,))])
    outcome = command("HEATING", on=True).reply("OK").with_read({"on": answered, "response": "x"})
    assert dict(outcome.arguments) == {"on": answered, "response": "OK", "reason": ""}
    model.observe(outcome, 10, 10)
    assert state_of(model)["heater"] is answered
    assert model.to_ask(outcome, since=10) == ()


def test_an_outcome_with_another_value_than_the_requested_one_is_a_reading() -> None:
    model = Model([Device("d", (HEATER,))])
    outcome = command("HEATING", on=True).reply("OK")
    model.observe(outcome.with_arguments({**outcome.arguments, "on": False}), 10, 10)
    assert state_of(model)["heater"] is False


def test_what_was_requested_tells_which_unit_an_answer_is_of() -> None:
    devices = [Device(f"d{unit}", (HEATER,), where={"unit": unit}) for unit in (1, 2)]
    model = Model(devices)
    model.observe(command("HEATING", unit=2, on=True).reply("OK").with_read({"on": False}), 10, 10)
    assert "heater" not in state_of(model, "d1")
    assert state_of(model, "d2")["heater"] is False


@given(st.dictionaries(st.sampled_from(["on", "unit", "level"]), st.sampled_from([True, False, 0, 1, 1.0, "1", None])))
def test_no_request_makes_a_reading_by_itself(arguments: dict[str, Any]) -> None:
    outcome = command("HEATING", **arguments).reply("OK")
    assert read_arguments(outcome) == set()
    assert read_arguments(outcome.with_read(arguments)) == arguments.keys()


# --- points of one device that an argument distinguishes


def channel(number: int, **options: Any) -> Point:
    feeds = (Feed(f"CHANNEL{number}", "level"),)
    return Point(f"ch{number}", PointType.NUMBER, feeds, (Write("SET", "level"),), where={"channel": number}, **options)


@pytest.mark.parametrize("response", ["OK", "REFUSED"])
def test_a_command_for_one_channel_says_nothing_of_the_other(response: str) -> None:
    model = Model([Device("d", (channel(1, assumed=True), channel(2, assumed=True)))])
    model.observe(command("SET", channel=1, level=5).reply(response), 10, 10)
    values = {key: value for key, value in state_of(model).items() if key.startswith("ch")}
    assert values == ({"ch1": 5} if response == "OK" else {})


def test_only_the_channel_that_a_command_has_written_is_asked_for() -> None:
    model = Model([Device("d", (channel(1), channel(2)))])
    assert model.to_ask(command("SET", channel=2, level=5).reply("OK"), since=10) == ("CHANNEL2",)
    assert model.to_ask(command("SET", level=5).reply("OK"), since=10) == ("CHANNEL1", "CHANNEL2")


@pytest.mark.parametrize(
    ("where", "sent"), [({"unit": 3}, "3"), ({"unit": 3}, "3.0"), ({"rear": True}, "on"), ({"rear": False}, 0)]
)
@pytest.mark.parametrize("response", ["REFUSED", "OFFLINE", "OK"])
def test_a_command_is_for_a_device_also_if_its_number_is_sent_as_text(
    where: dict[str, Any], sent: Any, response: str
) -> None:
    (name,) = where
    model = Model([Device("other", (HEATER,), where={name: "else"}), Device("d", (HEATER,), where=where)])
    state = model.device_of(command("HEATING", on=True, **{name: sent}).reply(response))
    assert state is not None and state.device.id == "d"


@pytest.mark.parametrize(
    ("response", "answered", "is_heard"),
    [
        ("REFUSED", {"answer": "ERR"}, True),
        ("ERROR", {"code": 7}, True),
        ("REFUSED", {}, False),  # by the gateway
        ("OFFLINE", {}, False),
        ("TIMEOUT", {}, False),
        ("TIMEOUT", {"step": 1}, False),  # the device has answered an earlier step
        ("OK", {"answer": "OK"}, True),
    ],
)
def test_a_device_is_heard_when_it_refuses_a_command_and_not_when_the_gateway_does(
    response: str, answered: dict[str, Any], is_heard: bool
) -> None:
    model = Model([Device("d", (HEATER,), silent_after=30)])
    outcome = command("HEATING", on=True).reply(response, "no").with_read(answered)
    assert model.observe(outcome, 10, 10) == outcome
    assert model.states["d"].is_online is (True if is_heard else None)


def test_the_device_with_exactly_the_value_goes_before_one_that_it_may_stand_for() -> None:
    model = Model([Device(name, (HEATER,), where={"unit": unit}) for name, unit in (("number", 3), ("text", "3"))])
    assert [model.device_of(command("HEATING", unit=unit)) for unit in (3, "3", "03", 4, None)] == [
        model.states["number"],
        model.states["text"],
        None,
        None,
        None,
    ]


# --- values that are none


@pytest.mark.parametrize("value", [math.nan, -127, "---"])
def test_a_bad_value_in_an_outcome_takes_only_itself_out(value: Any) -> None:
    model = Model([Device("d", (TEMPERATURE, HUMIDITY))])
    outcome = command("READ").reply("OK").with_read({"celsius": value, "percent": 40})
    sent = model.observe(outcome, 10, 10)
    assert sent is not None and dict(sent.arguments) == {"percent": 40, "response": "OK", "reason": ""}
    assert sent.reply_to == outcome.reply_to
    assert (model.bad, model.bad_values) == (["celsius"], 1)
    assert state_of(model)["humidity"] == 40
    assert model.states["d"].reading_of["temperature"].quality is Quality.BAD


def test_an_outcome_whose_only_value_is_bad_is_sent_without_it() -> None:
    model = Model([Device("d", (TEMPERATURE,))])
    sent = model.observe(command("READ").reply("OK").with_read({"celsius": -127}), 10, 10)
    assert sent is not None and dict(sent.arguments) == {"response": "OK", "reason": ""}
    assert model.states["d"].is_online
