"""From the `devices` of a configuration to devices and points, or to everything that is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.devices.declaration import Signature, Signatures, declare
from gateway.devices.point import Device, Feed, Point, PointType, Write
from gateway.message import ReportRule

KNOWN = Signatures(
    reads={
        ("TEMPERATURE", "celsius"): Signature(PointType.NUMBER),
        ("HEATING", "on"): Signature(PointType.BOOLEAN),
        ("GATE_OPEN", ""): Signature(),
        ("GATE_CLOSED", ""): Signature(),
        ("DIMMER", "percent"): Signature(PointType.NUMBER),
        ("DIMMER", "word"): Signature(PointType.TEXT),
        ("PROGRAM", "mode"): Signature(PointType.CHOICE, choices=("day", "other")),
    },
    writes={
        ("HEAT", "on"): Signature(PointType.BOOLEAN),
        ("LEVEL", "level"): Signature(PointType.INTEGER, 0, 100),
        ("MODE", "mode"): Signature(PointType.CHOICE, choices=("eco", "day")),
        ("OPEN", ""): Signature(),
        ("CLOSE", ""): Signature(),
        ("RESTART", ""): Signature(),
    },
)


def points(signatures: Signatures = KNOWN, **options: Any) -> tuple[Point, ...]:
    declared = declare([{"id": "boiler", "points": options}], signatures, {})
    assert declared.problems == ()
    return declared.devices[0].points


def problems(*devices: dict[str, Any], signatures: Signatures = KNOWN, own: Any = None) -> list[str]:
    return [": ".join((".".join(map(str, problem.path)), problem.what, problem.remedy))
            for problem in declare(devices, signatures, own or {}).problems]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), [("HEATING.on", "a boolean"), ("TEMPERATURE.celsius", None)])
def test_only_a_number_has_a_deadband(source: str, expected: str | None) -> None:
    found = problems({"id": "boiler", "points": {"x": {"from": source, "publish": {"deadband": 0.5}}}})
    place, what, remedy = (
        "0.points.x.publish.deadband",
        "is for numbers, but the point is",
        "write on_change: true instead",
    )
    assert found == ([f"{place}: {what} {expected}: {remedy}"] if expected else [])


def test_an_action_that_tells_an_event_needs_no_argument() -> None:
    (point,) = points(x={"from": ["GATE_OPEN", "GATE_CLOSED"], "type": "event"})
    assert point.feeds == (Feed("GATE_OPEN", None, "GATE_OPEN"), Feed("GATE_CLOSED", None, "GATE_CLOSED"))
    (point,) = points(x={"from": {"GATE_OPEN": None, "GATE_CLOSED": "shut"}, "type": "event"})
    assert point.feeds == (Feed("GATE_OPEN", None, "GATE_OPEN"), Feed("GATE_CLOSED", None, "shut"))
    (problem,) = problems({"id": "boiler", "points": {"x": {"from": "GATE_OPEN", "type": "boolean"}}})
    assert "names no argument" in problem


def test_a_device_is_read_whole() -> None:
    options = {
        "id": "boiler", "name": "Boiler", "area": "Hall", "manufacturer": "ACME", "model": "B1",
        "address": {"device": "b"}, "where": {"unit": 3}, "silent_after": 60, "interval": 2.0, "refresh": 600.0,
        "points": {"temperature": {"from": "TEMPERATURE.celsius", "unit": "°C", "class": "temperature",
                                   "name": "Flow", "publish": {"deadband": 0.1}, "none": [-127], "silent_after": 5}},
    }  # fmt: skip
    (device,) = declare([options], KNOWN, {}).devices
    (point,) = device.points
    assert device == Device(
        "boiler", (point,), "Boiler", "Hall", "ACME", "B1", {"device": "b"}, {"unit": 3}, 60, 2, 600
    )
    assert point == Point(
        "temperature", PointType.NUMBER, (Feed("TEMPERATURE", "celsius"),), (), "Flow", "°C", "temperature",
        report=ReportRule(True, 0.1), none=(-127,), silent_after=5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"from": "TEMPERATURE.celsius"}, PointType.NUMBER),
        ({"from": "HEATING.on", "write": "HEAT.on"}, PointType.BOOLEAN),
        ({"write": "LEVEL.level"}, PointType.INTEGER),
        ({"from": {"GATE_OPEN": True, "GATE_CLOSED": False}}, PointType.BOOLEAN),
        ({"from": {"GATE_OPEN": "open", "GATE_CLOSED": "closed"}}, PointType.CHOICE),
        ({"write": "RESTART"}, PointType.EVENT),
        ({"from": "TEMPERATURE.celsius", "type": "integer"}, PointType.INTEGER),
        ({"from": "DIMMER.percent", "write": "LEVEL.level"}, PointType.NUMBER),
    ],
)
def test_the_type_is_derived_where_it_is_not_declared(options: dict[str, Any], kind: PointType) -> None:
    assert points(p=options)[0].type is kind


def test_the_range_of_a_written_point_is_that_of_its_command_and_may_be_less() -> None:
    (point,) = points(level={"write": "LEVEL.level"})
    assert (point.minimum, point.maximum) == (0, 100)
    (point,) = points(level={"write": "LEVEL.level", "maximum": 50})
    assert (point.minimum, point.maximum) == (0, 50)
    (point,) = points(mode={"write": "MODE.mode"})
    assert point.choices == ("eco", "day")


def test_a_device_may_report_choices_that_no_command_sets() -> None:
    (point,) = points(mode={"from": "PROGRAM.mode", "write": "MODE.mode"})
    assert point.choices == ("eco", "day", "other")


def test_the_values_of_actions_are_the_choices() -> None:
    (point,) = points(p={"from": {"GATE_OPEN": "open", "GATE_CLOSED": "closed"}})
    assert point.choices == ("open", "closed")


def test_several_messages_may_feed_a_point_and_several_commands_write_it() -> None:
    both = {"from": ["TEMPERATURE.celsius", "T2.value"], "write": {"OPEN": True, "CLOSE": False}, "type": "number"}
    (point,) = points(Signatures(), p=both)
    assert point.feeds == (Feed("TEMPERATURE", "celsius"), Feed("T2", "value"))
    assert point.writes == (Write("OPEN", None, True), Write("CLOSE", None, False))


def test_an_interface_that_does_not_know_its_messages_is_not_checked_against_them() -> None:
    (point,) = points(Signatures(), p={"from": "ANY.thing", "unit": "m"})
    assert point.type is PointType.NUMBER


@pytest.mark.parametrize(
    ("point", "problem"),
    [
        ({}, "0.points.p: is neither read nor written: add 'from', 'write', or both"),
        ({"from": "HEATING"}, ("0.points.p.from: 'HEATING' names no argument: "
         "write HEATING.ARGUMENT, or {HEATING: VALUE} if the action itself is the value")),
        ({"from": ".on"}, "0.points.p.from: '.on' is not ACTION.argument: name the action, a dot, and the argument"),
        ({"from": "WARMTH.celsius", "type": "number"}, ("0.points.p.from: no status of this interface has the action "
         "'WARMTH': known here: DIMMER, GATE_CLOSED, GATE_OPEN, HEATING, PROGRAM, TEMPERATURE")),
        ({"from": ["HEATING.on", "HEATING.off"]},
         "0.points.p.from.1: the status 'HEATING' has no argument 'off': it has: on"),
        ({"write": "HEAT"}, "0.points.p.write: the command 'HEAT' has arguments: write HEAT.on"),
        ({"write": "RESTART.now", "type": "number"},
         "0.points.p.write: the command 'RESTART' has no argument 'now': it has no arguments"),
        ({"write": "LEVEL.level", "type": "text"}, ("0.points.p.type: is declared as text, but its command has a "
         "integer: remove 'type': the default is the type of the command")),
        ({"from": "DIMMER.word", "write": "LEVEL.level"},
         ("0.points.p.from: it is read as text, but the type of the point is integer: convert the value in the"
          " rule that reads it, or correct 'type'")),
        ({"from": "HEATING.on", "type": "number"},
         ("0.points.p.from: it is read as boolean, but the type of the point is number: convert the value in the"
          " rule that reads it, or correct 'type'")),
        ({"write": "LEVEL.level", "minimum": -1},
         "0.points.p.minimum: is less than the minimum of its command (0): use a larger one, or remove it"),
        ({"write": "LEVEL.level", "maximum": 101},
         "0.points.p.maximum: is more than the maximum of its command (100): use a smaller one, or remove it"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_point_is_told_with_its_place_and_remedy(point: dict[str, Any], problem: str) -> None:
    assert problems({"id": "boiler", "points": {"p": point}}) == [problem]


def test_a_type_that_cannot_be_told_is_asked_for() -> None:
    told = problems({"id": "boiler", "points": {"p": {"from": "ANY.thing"}}}, signatures=Signatures())
    assert told == [
        "0.points.p: its type cannot be derived from the interface: add type: number, boolean, text or choice"
    ]


def test_a_list_feeds_no_point() -> None:
    known = Signatures(reads={("CELLS", "volts"): Signature(is_list=True)})
    (problem,) = problems({"id": "bms", "points": {"v": {"from": "CELLS.volts", "type": "number"}}}, signatures=known)
    assert problem.startswith("0.points.v.from: CELLS.volts is a list, which no point can have as its value")
    assert "each: true" in problem


def test_ids_are_unique_whatever_the_case() -> None:
    device = {"id": "boiler", "points": {}}
    told = problems(device, {**device, "id": "Boiler"}, {**device, "id": "pump"})
    assert told == ["1.id: 'Boiler' is the id of another device, 'boiler': use another id"]


def test_no_value_feeds_two_points() -> None:
    point = {"from": "TEMPERATURE.celsius"}
    told = problems({"id": "a", "points": {"x": point}}, {"id": "b", "points": {"y": point}})
    assert told == [("1.points.y.from: TEMPERATURE.celsius feeds a.x already: "
                    "distinguish the messages by 'where', or the devices by 'address'")]  # fmt: skip
    apart = [{"id": "a", "points": {"x": point}, "where": {"unit": 1}},
             {"id": "b", "points": {"y": point}, "where": {"unit": 2}}]  # fmt: skip
    reads = {**(KNOWN.reads or {}), ("TEMPERATURE", "unit"): Signature()}
    assert problems(*apart, signatures=KNOWN._replace(reads=reads)) == []
    assert problems({"id": "a", "points": {"x": point}, "address": {"device": "a"}},
                    {"id": "b", "points": {"y": point}, "address": {"device": "b"}}) == []  # fmt: skip


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        (
            {"where": {"unit": 3}, "points": {"t": {"from": "TEMPERATURE.celsius"}}},
            "0.where.unit: the status 'TEMPERATURE' has no argument 'unit': it has: celsius",
        ),
        (
            {"points": {"t": {"from": "TEMPERATURE.celsius", "where": {"unit": 3}}}},
            "0.points.t.where.unit: the status 'TEMPERATURE' has no argument 'unit': it has: celsius",
        ),
        (
            {"points": {"t": {"from": "TEMPERATURE.celsius", "type": "text"}}},
            (
                "0.points.t.from: it is read as number, but the type of the point is text: convert the value in the"
                " rule that reads it, or correct 'type'"
            ),
        ),
        (
            {"points": {"t": {"from": "HEATING.on", "unit": "W", "type": "number"}}},
            (
                "0.points.t.from: it is read as boolean, but the type of the point is number: convert the value in the"
                " rule that reads it, or correct 'type'"
            ),
        ),
        (
            {"points": {"gate": {"from": {"OPENED": True}, "type": "text"}}},
            "0.points.gate.from.OPENED: true is no text, which the point is: correct the value, or remove 'type'",
        ),
    ],
)
def test_a_point_that_no_message_can_ever_feed_is_a_mistake(device: dict[str, Any], problem: str) -> None:
    reads = {**(KNOWN.reads or {}), ("OPENED", ""): Signature()}
    assert problems({"id": "boiler", **device}, signatures=KNOWN._replace(reads=reads)) == [problem]
    unknown = KNOWN._replace(reads=reads, are_all=False)  # a hook may change the messages
    assert problems({"id": "boiler", **device}, signatures=unknown) == ([problem] if "gate" in problem else [])


def test_a_number_that_is_written_as_an_integer_may_be_read_with_a_fraction() -> None:
    reads = {("TARGET", "celsius"): Signature(PointType.NUMBER)}
    writes = {("SET", "celsius"): Signature(PointType.INTEGER, 5, 30)}
    (point,) = points(Signatures(reads, writes), target={"from": "TARGET.celsius", "write": "SET.celsius"})
    assert (point.type, point.minimum, point.maximum) == (PointType.NUMBER, 5, 30)


TOLD_APART = KNOWN._replace(
    reads={**(KNOWN.reads or {}), ("TEMPERATURE", "unit"): Signature(), ("TEMPERATURE", "type"): Signature()}
)


@pytest.mark.parametrize("first", [{}, {"unit": 1.0}, {"unit": 1}])
@pytest.mark.parametrize("is_one_device", [False, True])
def test_a_point_whose_messages_are_among_those_of_another_one_is_fed_twice(
    first: dict[str, Any], is_one_device: bool
) -> None:
    """Only one of them would ever get the value, and the other one would stay unknown."""
    point, second = {"from": "TEMPERATURE.celsius"}, {"unit": 1, "type": "flow"}
    if is_one_device:
        told = problems({"id": "a", "points": {"y": {**point, "where": second}, "x": {**point, "where": first}}},
                        signatures=TOLD_APART)  # fmt: skip
    else:
        told = problems({"id": "b", "where": second, "points": {"y": point}},
                        {"id": "a", "where": first, "points": {"x": point}}, signatures=TOLD_APART)  # fmt: skip
    assert told == [("0.points.y.from: TEMPERATURE.celsius feeds a.x already: "
                    "distinguish the messages by 'where', or the devices by 'address'")]  # fmt: skip


@pytest.mark.parametrize("second", [{"unit": True}, {"unit": "1"}, {"unit": 2}, {"type": "flow"}])
def test_points_of_messages_with_other_arguments_are_not_fed_twice(second: dict[str, Any]) -> None:
    point = {"from": "TEMPERATURE.celsius"}
    devices = [
        {"id": "a", "where": {"unit": 1}, "points": {"x": point}},
        {"id": "b", "where": second, "points": {"y": point}},
    ]
    template = {"id": "m{unit}", "where": {"unit": "{unit}"}, "points": {"x": point}}
    assert problems(*devices, template, signatures=TOLD_APART) == []
