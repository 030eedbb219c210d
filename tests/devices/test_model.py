"""Devices: which points a message feeds, when a device counts as gone, and what is known of it afterwards."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import pytest

from gateway.devices.document import kept_document, restore, state_document
from gateway.devices.model import Model
from gateway.devices.point import AUTO, Device, Feed, Point, PointType, Write
from gateway.devices.reading import Quality
from gateway.message import InternalMsg, ReportRule

OWN = {"function": "heating", "location": "hall", "device": "boiler"}
TEMPERATURE = Point("temperature", PointType.NUMBER, (Feed("TEMPERATURE", "celsius"),), unit="°C")
HEATER = Point("heater", PointType.BOOLEAN, (Feed("HEATING", "on"),), (Write("HEAT", "on"),))
GATE = Point(
    "gate",
    PointType.BOOLEAN,
    (Feed("GATE_OPEN", None, True), Feed("GATE_CLOSED", None, False)),
    (Write("OPEN", None, True), Write("CLOSE", None, False)),
)


def boiler(*points: Point, **options: Any) -> Device:
    return Device("boiler", points or (TEMPERATURE, HEATER), **options)


def status(action: str, **arguments: Any) -> InternalMsg:
    return InternalMsg(False, action=action, arguments=arguments, **OWN)


class Bench:
    """A model with a clock of its own, and what its owner does for it."""

    def __init__(self, *devices: Device, **options: Any) -> None:
        self.model = Model(devices, OWN, **options)
        self.now = 0.0
        self.documents: list[tuple[float, str, dict[str, Any]]] = []
        self.statuses: list[tuple[float, str, bool | None]] = []

    def push(self, *messages: InternalMsg) -> list[InternalMsg]:
        sent = [self.model.observe(msg, self.now, self.now) for msg in messages]
        self.write(self.model.changed(self.now))
        return [msg for msg in sent if msg is not None]

    def write(self, states: list[Any]) -> None:
        for state in states:
            if state.is_status_new:
                state.is_status_new = False
                self.statuses.append((self.now, state.device.id, state.is_online))
            self.documents.append((self.now, state.device.id, json.loads(state_document(state))))
            self.model.set_written(state, self.now)

    def advance(self, seconds: float) -> int:
        """Let time pass; return how often the model was woken."""
        end, woken = self.now + seconds, 0
        while self.model.due() <= end:
            self.now = max(self.now, self.model.due())
            self.write(self.model.tick(self.now).states)
            woken += 1
        self.now = end
        return woken

    @property
    def last(self) -> dict[str, Any]:
        return self.documents[-1][2]


# --- feeding


def test_messages_feed_the_points_of_a_device() -> None:
    bench = Bench(boiler())
    bench.push(status("TEMPERATURE", celsius=21.5))
    assert bench.last == {
        "temperature": 21.5,
        "_status": "online",
        "_quality": {"heater": "unknown"},
        "_time": {"temperature": "1970-01-01T00:00:00.000Z"},
    }
    bench.advance(5)
    bench.push(status("HEATING", on=True))
    assert (bench.last["temperature"], bench.last["heater"], bench.last["_quality"]) == (21.5, True, {})


def test_an_action_without_arguments_is_a_value() -> None:
    bench = Bench(boiler(GATE))
    for action, value in (("GATE_OPEN", True), ("GATE_CLOSED", False), ("GATE_OPEN", True)):
        bench.advance(2)
        bench.push(status(action))
        assert bench.last["gate"] is value


def test_units_on_a_bus_are_told_apart_by_an_argument() -> None:
    point = Point("volts", PointType.NUMBER, (Feed("VOLTAGE", "volts"),))
    bench = Bench(*(Device(f"meter{unit}", (point,), where={"unit": unit}) for unit in (1, 2)))
    bench.push(status("VOLTAGE", volts=230.0, unit=1), status("VOLTAGE", volts=110.0, unit=2))
    bench.push(status("VOLTAGE", volts=5.0, unit=3))
    assert {device: document.get("volts") for _, device, document in bench.documents} == {"meter1": 230, "meter2": 110}


def test_two_points_of_one_device_may_differ_by_an_argument() -> None:
    points = [
        Point(f"p{child}", PointType.NUMBER, (Feed("READ", "value"),), where={"child": child}) for child in (1, 2)
    ]
    bench = Bench(boiler(*points))
    bench.push(status("READ", child=1, value=10), status("READ", child=2, value=20))
    assert (bench.last["p1"], bench.last["p2"]) == (10, 20)


def test_devices_come_to_be_at_their_first_reading_up_to_a_bound() -> None:
    template = Device("{device}", (TEMPERATURE,), name="Sensor {device}")
    bench = Bench(template, max_devices=2)
    for device in ("a/b", "c", "d", "a/b"):
        bench.push(status("TEMPERATURE", celsius=1).replace(device=device))
    assert list(bench.model.states) == ["a_b", "c"]
    assert bench.model.states["c"].device.name == "Sensor c"
    assert bench.model.rejected_devices == 1


def test_units_come_to_be_at_their_first_reading() -> None:
    bench = Bench(Device("meter{unit}", (TEMPERATURE,), where={"unit": "{unit}"}))
    bench.push(*(status("TEMPERATURE", celsius=unit * 10, unit=unit) for unit in (1, 2, 7)))
    bench.push(status("TEMPERATURE", celsius=21, unit=2))
    values = {device: state.reading_of["temperature"].value for device, state in bench.model.states.items()}
    assert values == {"meter1": 10, "meter2": 21, "meter7": 70}


@pytest.mark.parametrize(
    ("point", "value"),
    [
        (TEMPERATURE, math.nan),
        (TEMPERATURE._replace(none=(-127,)), -127),
        (TEMPERATURE, "---"),
        (TEMPERATURE, True),
        (TEMPERATURE._replace(type=PointType.CHOICE, choices=(1, 2)), 3),
    ],
)
def test_a_value_that_is_none_is_bad_and_takes_only_itself_out(point: Point, value: Any) -> None:
    other = Point("humidity", PointType.NUMBER, (Feed("TEMPERATURE", "percent"),))
    bench = Bench(boiler(point, other))
    (sent,) = bench.push(status("TEMPERATURE", celsius=value, percent=40))
    assert dict(sent.arguments) == {"percent": 40}
    assert bench.model.bad_values == 1
    assert bench.last["_quality"] == {"temperature": "bad"} and "temperature" not in bench.last
    bench.push(status("TEMPERATURE", celsius=2, percent=40))
    bench.advance(2)
    bench.push(status("TEMPERATURE", celsius=value, percent=40))
    assert bench.last["temperature"] == 2 and bench.last["_quality"] == {"temperature": "bad"}, (
        "the last good one stays"
    )


# --- reporting


def test_the_rule_of_a_point_goes_before_that_of_the_message() -> None:
    bench = Bench(boiler(TEMPERATURE._replace(report=ReportRule(True, deadband=0.5))))
    assert [len(bench.push(status("TEMPERATURE", celsius=value))) for value in (20.0, 20.4, 20.6)] == [1, 0, 1]


def test_one_that_changes_takes_the_whole_message_along() -> None:
    rule = ReportRule(True)
    points = [Point(key, PointType.NUMBER, (Feed("READ", key),), report=rule) for key in ("a", "b")]
    bench = Bench(boiler(*points))
    assert [len(bench.push(status("READ", a=1, b=value))) for value in (1, 1, 2)] == [1, 0, 1]


def test_the_first_change_is_written_at_once_and_later_ones_at_the_end_of_the_interval() -> None:
    bench = Bench(boiler(interval=1.0))
    for step in range(11):
        bench.push(status("TEMPERATURE", celsius=step))
        bench.advance(0.25)
    bench.advance(5)
    written = [(at, document["temperature"]) for at, _, document in bench.documents]
    assert written == [(0, 0), (1, 3), (2, 7), (3, 10)]


@pytest.mark.parametrize("rule", [ReportRule(True, interval=30.0), ReportRule(True, deadband=5.0), ReportRule()])
@pytest.mark.parametrize("values", [(1, 2), (1, 2, 1)])
def test_the_document_has_the_last_value_whatever_rule_holds_back_its_message(
    rule: ReportRule, values: tuple[int, ...]
) -> None:
    bench = Bench(boiler(TEMPERATURE._replace(report=rule)))
    for value in values:
        bench.push(status("TEMPERATURE", celsius=value))
        bench.advance(2)
        assert bench.last["temperature"] == value


def test_the_document_is_written_again_after_the_refresh() -> None:
    bench = Bench(boiler(refresh=60.0))
    bench.push(status("TEMPERATURE", celsius=1))
    bench.advance(185)
    assert [at for at, *_ in bench.documents] == [0, 60, 120, 180]


# --- silence


def test_a_device_that_says_nothing_is_offline_until_it_is_heard_again() -> None:
    bench = Bench(boiler(silent_after=60))
    bench.push(status("TEMPERATURE", celsius=21.5))
    bench.advance(59)
    assert bench.statuses == [(0, "boiler", True)]
    bench.advance(1)
    assert bench.statuses[1:] == [(60, "boiler", False)]
    assert bench.last["_reason"] == "nothing heard for 60 s" and bench.last["temperature"] == 21.5
    assert bench.last["_quality"] == {"temperature": "stale", "heater": "unknown"}
    bench.advance(500)
    bench.push(status("HEATING", on=True))
    assert bench.statuses[2:] == [(560, "boiler", True)]
    assert bench.last["_quality"] == {"temperature": "stale"}, "what it told then is as old as it was"


def test_the_silence_of_a_device_may_be_derived_from_its_rhythm() -> None:
    bench = Bench(boiler(silent_after=AUTO))
    for _ in range(10):
        bench.push(status("TEMPERATURE", celsius=21.5))
        bench.advance(30)
    assert bench.model.states["boiler"].is_online
    bench.advance(119)
    assert bench.model.states["boiler"].is_online
    bench.advance(2)
    assert bench.last["_reason"] == "nothing heard for 150 s"


def test_a_point_may_be_stale_while_its_device_is_heard() -> None:
    bench = Bench(boiler(TEMPERATURE._replace(silent_after=10), HEATER))
    bench.push(status("TEMPERATURE", celsius=21.5), status("HEATING", on=True))
    bench.advance(10)
    assert bench.last["_quality"] == {"temperature": "stale"} and bench.last["_status"] == "online"


def test_three_requests_without_an_answer_make_a_device_offline() -> None:
    bench = Bench(boiler())
    bench.push(status("TEMPERATURE", celsius=1))
    for _ in range(2):
        bench.model.unanswered(status("TEMPERATURE"))
    bench.push(status("TEMPERATURE", celsius=1))
    for _ in range(3):
        assert bench.model.states["boiler"].is_online
        bench.model.unanswered(status("TEMPERATURE"))
    bench.write(bench.model.changed(bench.now))
    assert bench.last["_reason"] == "3 requests in a row were not answered"


def test_a_request_for_several_messages_of_a_device_is_one_request() -> None:
    pressure = Point("pressure", PointType.NUMBER, (Feed("PRESSURE", "bar"),))
    bench = Bench(boiler(TEMPERATURE, pressure))
    for _ in range(2):
        bench.model.unanswered(status("TEMPERATURE"), status("PRESSURE"))
        assert bench.model.states["boiler"].is_online is not False
    bench.model.unanswered(status("TEMPERATURE"), status("PRESSURE"))
    assert bench.model.states["boiler"].is_online is False


def test_ten_thousand_quiet_points_cost_no_wake_ups_of_their_own() -> None:
    """Within a minute, those of all together are as many as the seconds: their owner rounds up to whole ones."""
    points = tuple(Point(f"p{n}", PointType.NUMBER, (Feed("READ", f"p{n}"),)) for n in range(100))
    devices = [Device(f"d{n}", points, address={"device": f"d{n}"}, silent_after=60) for n in range(100)]
    bench = Bench(*devices)
    for device in devices:
        bench.push(status("READ", p1=1).replace(device=device.id))
    bench.advance(5)
    assert bench.advance(50) <= 1


# --- commands


def test_a_command_that_was_done_is_asked_for_unless_something_told_it() -> None:
    bench = Bench(boiler())
    command = InternalMsg(iscmd=True, action="HEAT", arguments={"on": True}, **OWN)
    bench.now = 10.0
    bench.push(command.reply("OK"))
    assert bench.model.to_ask(command.reply("OK"), since=10.0) == ("HEATING",)
    bench.push(status("HEATING", on=True))
    assert bench.model.to_ask(command.reply("OK"), since=10.0) == ()
    assert bench.model.to_ask(command.reply("REFUSED"), since=99.0) == ()


def test_an_assumed_point_has_the_value_that_was_written_but_not_one_that_was_refused() -> None:
    bench = Bench(boiler(HEATER._replace(assumed=True, feeds=())))
    command = InternalMsg(iscmd=True, action="HEAT", arguments={"on": True}, **OWN)
    bench.push(command.reply("REFUSED", "no"))
    assert not bench.documents
    bench.advance(2)
    bench.push(command.reply("OK"))
    assert bench.last["heater"] is True


# --- other runs and configurations


def test_what_was_known_before_a_restart_is_stale_and_stays_in_the_document() -> None:
    first = Bench(boiler())
    first.push(status("TEMPERATURE", celsius=21.5), status("HEATING", on=True))
    second = Bench(boiler())
    state = second.model.states["boiler"]
    first.advance(2)
    payload = json.dumps(first.last).encode()
    assert restore(state, payload) == 2
    assert state.reading_of["temperature"].quality is Quality.STALE
    second.push(status("TEMPERATURE", celsius=22))
    assert restore(state, payload) == 0, "what is known by now goes before"
    assert second.last["temperature"] == 22 and second.last["heater"] is True
    assert second.last["_quality"] == {"heater": "stale"}


@pytest.mark.parametrize(
    "payload",
    [b"", b"no JSON", b"[]", b'{"temperature": 1}', b'{"temperature": "x", "_time": {"temperature": "2026-01-01"}}',
     b'{"temperature": 1, "_time": {"temperature": 5}}', b"[" * 100_000, b"\xff" * 300_000],
)  # fmt: skip
def test_what_is_no_document_is_passed_over(payload: bytes) -> None:
    bench = Bench(boiler())
    assert restore(bench.model.states["boiler"], payload) == 0


def test_a_reload_keeps_what_means_the_same() -> None:
    bench = Bench(boiler())
    bench.push(status("TEMPERATURE", celsius=21.5), status("HEATING", on=True))
    other = Model([boiler(TEMPERATURE._replace(name="Warmth"), HEATER._replace(feeds=(Feed("HEAT", "on"),)))], OWN)
    assert other.carry_over(bench.model) == []
    readings = other.states["boiler"].reading_of
    assert readings["temperature"].value == 21.5
    assert readings["heater"].quality is Quality.UNKNOWN
    assert [state.device.id for state in Model([], OWN).carry_over(bench.model)] == ["boiler"]


def test_a_reload_keeps_what_rules_remember_and_what_templates_found() -> None:
    rule = ReportRule(on_change=True)
    template = Device("{device}", (TEMPERATURE,))
    bench = Bench(template)
    bench.push(status("TEMPERATURE", celsius=1).replace(device="attic"), status("OTHER", x=1).reported_by(rule))
    other = Model([template], OWN)
    assert other.carry_over(bench.model) == []
    assert other.states["attic"].reading_of["temperature"].value == 1
    assert other.observe(status("OTHER", x=1).reported_by(rule), 1, 1) is None


POWER = Point("power", PointType.NUMBER, (Feed("POWER", "watts"),))
UNIT_3 = Device("kitchen", (POWER,), address={"device": "meter"}, where={"unit": 3})


@pytest.mark.parametrize(
    ("other", "is_known"),
    [
        (UNIT_3, True),
        (UNIT_3._replace(name="Kitchen", silent_after=60.0), True),
        (UNIT_3._replace(points=(POWER._replace(unit="W", report=ReportRule(True)),)), True),
        (UNIT_3._replace(points=(POWER._replace(none=(-1,)),)), True),
        (UNIT_3._replace(where={"unit": 4}), False),
        (UNIT_3._replace(address={"device": "other"}), False),
        (UNIT_3._replace(address={"device": "meter", "sender": "other"}), False),
        (UNIT_3._replace(points=(POWER._replace(where={"phase": 1}),)), False),
        (UNIT_3._replace(points=(POWER._replace(feeds=(Feed("ENERGY", "watts"),)),)), False),
        (UNIT_3._replace(points=(POWER._replace(none=(100.0,)),)), False),
        (UNIT_3._replace(points=(POWER._replace(choices=(1.0, 2.0)),)), False),
        (UNIT_3._replace(points=(POWER._replace(type=PointType.TEXT),)), False),
    ],
)
def test_a_value_is_known_after_a_reload_or_restart_only_if_it_is_of_the_same_point(
    other: Device, is_known: bool
) -> None:
    bench = Bench(UNIT_3)
    bench.push(status("POWER", unit=3, watts=100.0).replace(device="meter"))
    (state,) = bench.model.states.values()
    kept = kept_document(state, state_document(state))
    reloaded(bench, other)
    bench.advance(2)
    (after,) = bench.model.states.values()
    assert (after.reading_of["power"].value == 100.0) is is_known
    assert ("power" in bench.last) is is_known
    assert restore(after, kept) == 0, "neither what is known nor what was forgotten comes from the disk"
    assert restore(Bench(other).model.states["kitchen"], kept) == is_known


def test_a_device_that_has_become_another_one_is_not_known_to_be_online() -> None:
    bench = Bench(UNIT_3)
    bench.push(status("POWER", unit=3, watts=100.0).replace(device="meter"))
    reloaded(bench, UNIT_3._replace(where={"unit": 4}))
    assert bench.last["_status"] == "unknown"


# --- what an interface knows beside its messages


def test_an_answer_without_a_reading_counts_as_heard() -> None:
    bench = Bench(boiler())
    for _ in range(2):
        bench.model.unanswered(status("TEMPERATURE"))
    bench.model.answered(status("TEMPERATURE"), bench.now)
    online = []
    for action in ("TEMPERATURE", "TEMPERATURE", "UNKNOWN", "TEMPERATURE"):
        bench.model.unanswered(status(action))
        bench.model.answered(status("UNKNOWN"), bench.now)
        online.append(bench.model.states["boiler"].is_online)
    assert online == [True, True, True, False]


def test_requests_to_devices_of_one_address_are_told_apart_by_their_arguments() -> None:
    units = [Device(f"unit{unit}", (TEMPERATURE,), where={"unit": unit}) for unit in (1, 2)]
    model = Bench(*units).model
    for _ in range(3):
        model.unanswered(status("TEMPERATURE", unit=2))
    assert [state.is_online for state in model.states.values()] == [None, False]


@pytest.mark.parametrize("units", [(1, 2, 3), (1,)])
def test_a_request_counts_for_no_device_if_it_is_unknown_for_which_it_was(units: tuple[int, ...]) -> None:
    """The unit is known only from an answer, so that one request to each of three meters is no silence of any."""
    model = Bench(*[Device(f"unit{unit}", (TEMPERATURE,), where={"unit": unit}) for unit in units]).model
    for _ in range(3):
        model.unanswered(status("TEMPERATURE"))
        model.answered(status("TEMPERATURE"), 0.0)
    assert {state.is_online for state in model.states.values()} == {None}


def test_a_request_counts_for_its_device_although_it_is_unknown_which_of_the_points_was_asked_for() -> None:
    points = [TEMPERATURE._replace(key=key, where={"sensor": key}) for key in ("flow", "return")]
    model = Bench(boiler(*points, where={"unit": 1}), Device("other", (TEMPERATURE,), where={"unit": 2})).model
    for _ in range(3):
        model.unanswered(status("TEMPERATURE", unit=1))
    assert [state.is_online for state in model.states.values()] == [False, None]


def test_a_value_that_could_not_be_read_makes_its_point_bad() -> None:
    bench = Bench(boiler())
    bench.push(status("TEMPERATURE", celsius=21.5))
    bench.advance(10)
    bench.model.values_unreadable(status("TEMPERATURE"), {"celsius": "'---' is not a number", "other": "x"}, bench.now)
    bench.write(bench.model.changed(bench.now))
    reading = bench.model.states["boiler"].reading_of["temperature"]
    assert (reading.quality, reading.reason, reading.value) == (Quality.BAD, "'---' is not a number", 21.5)
    assert bench.documents[-1][2]["_quality"]["temperature"] == "bad"
    assert bench.model.bad_values == 1
    bench.model.values_unreadable(status("HUMIDITY"), {"percent": "x"}, bench.now)
    assert bench.model.bad_values == 1
    bench.push(status("TEMPERATURE", celsius=21.5))
    assert reading.quality is Quality.GOOD


def test_a_device_that_sends_no_value_at_all_is_heard() -> None:
    bench = Bench(boiler())
    bench.model.values_unreadable(status("TEMPERATURE"), {"celsius": "x"}, bench.now)
    assert bench.model.states["boiler"].is_online is True
    assert bench.model.states["boiler"].reading_of["temperature"].quality is Quality.BAD


# --- messages without a rule


TYPED = TEMPERATURE._replace(where={"type": "temperature"})


@pytest.mark.parametrize(
    ("point", "msg", "sent"),
    [
        (TYPED, status("TEMPERATURE", type="other", celsius="open"), {"type": "other", "celsius": "open"}),
        (TEMPERATURE, status("TEMPERATURE", humidity=40), {"humidity": 40}),
        (TEMPERATURE, status("TEMPERATURE"), {}),
        (TEMPERATURE, status("TEMPERATURE", celsius=math.nan, humidity=40), {"humidity": 40}),
        (TEMPERATURE._replace(report=ReportRule(True)), status("TEMPERATURE", humidity=40), {"humidity": 40}),
    ],
)
def test_a_message_without_a_rule_is_always_sent(point: Point, msg: InternalMsg, sent: dict[str, Any]) -> None:
    bench = Bench(boiler(point))
    bench.push(status("TEMPERATURE", celsius=21.5, **point.where))
    assert [dict(each.arguments) for each in bench.push(msg, msg)] == [sent, sent]


LAMP = Point(
    "lamp", PointType.BOOLEAN, (Feed("LAMP", "on"),), (Write("LAMP", "on"),), report=ReportRule(True, refresh=60.0)
)


def test_the_outcome_of_a_command_that_is_called_like_a_status_is_never_held_back_nor_repeated() -> None:
    bench = Bench(boiler(LAMP))
    done = InternalMsg(True, action="LAMP", arguments={"on": True}, **OWN).reply("OK").with_read({"on": True})
    assert bench.push(done, done) == [done, done]
    assert bench.last["lamp"] is True
    bench.now = 60.0
    assert bench.model.tick(60.0).messages == [status("LAMP", on=True)]


def test_a_command_that_failed_says_nothing_of_its_device() -> None:
    bench = Bench(boiler(LAMP, silent_after=60.0))
    bench.model.lose_all("the port is gone")
    failed = InternalMsg(True, action="LAMP", arguments={"on": True}, **OWN).reply("OFFLINE")
    assert bench.push(failed) == [failed]
    assert bench.model.states["boiler"].is_online is False


def reloaded(bench: Bench, *devices: Device, **options: Any) -> None:
    previous, bench.model = bench.model, Model(devices, OWN, **options)
    bench.model.carry_over(previous)
    bench.write(bench.model.changed(bench.now))


def test_the_silence_of_a_device_is_noticed_also_after_a_reload() -> None:
    bench = Bench(boiler(silent_after=60.0))
    bench.push(status("TEMPERATURE", celsius=21.5))
    bench.advance(10)
    reloaded(bench, boiler(silent_after=60.0))
    bench.advance(60)
    assert bench.statuses == [(0.0, "boiler", True), (60.0, "boiler", False)]


def test_the_document_has_the_points_of_the_configuration_right_after_a_reload() -> None:
    bench = Bench(boiler(refresh=3600.0))
    bench.push(status("TEMPERATURE", celsius=21.5), status("HEATING", on=True))
    bench.advance(10)
    reloaded(bench, boiler(TEMPERATURE, refresh=3600.0))
    assert "heater" not in bench.last
    assert bench.last["temperature"] == 21.5
    written = len(bench.documents)
    bench.advance(3700)
    assert len(bench.documents) == written + 1


def test_why_a_device_that_a_template_found_is_offline_survives_a_reload() -> None:
    meter = Device("meter{unit}", (TEMPERATURE,), where={"unit": "{unit}"}, silent_after=60.0)
    bench = Bench(meter)
    bench.push(status("TEMPERATURE", celsius=21.5, unit=3))
    bench.advance(70)
    reloaded(bench, meter)
    assert bench.model.states["meter3"].reason == "nothing heard for 60 s"


def test_an_action_that_is_first_told_after_a_reload_makes_the_others_old() -> None:
    on, off = (InternalMsg(action=action).reported_by(ReportRule(on_change=True)) for action in ("ON", "OFF"))
    bench = Bench()
    bench.push(on)
    reloaded(bench)
    assert bench.push(off, on) == [off, on]


def of_two(**options: Any) -> Device:
    rule = ReportRule.of(options)
    names = ("celsius", "percent")
    return boiler(*(Point(name, PointType.NUMBER, (Feed("CLIMATE", name),), report=rule) for name in names))


def test_a_point_that_no_message_has_told_yet_ends_no_interval() -> None:
    bench = Bench(of_two(on_change=True, interval=5.0))
    assert len(bench.push(status("CLIMATE", celsius=20), status("CLIMATE", celsius=21))) == 1
    assert bench.model.tick(4.0).messages == []
    assert bench.model.tick(5.0).messages == [status("CLIMATE", celsius=21)]


def test_a_point_that_no_message_has_told_yet_hinders_no_refresh() -> None:
    bench = Bench(of_two(on_change=True, refresh=60.0))
    bench.push(status("CLIMATE", celsius=20))
    assert bench.model.tick(60.0).messages == [status("CLIMATE", celsius=20)]


def test_a_device_that_was_never_heard_is_silent_from_when_its_interface_works() -> None:
    bench = Bench(boiler(silent_after=60.0))
    bench.model.recover_all(0.0)
    bench.advance(61)
    assert bench.statuses == [(60.0, "boiler", False)]


def test_a_device_that_did_not_answer_is_not_back_with_its_port() -> None:
    bench = Bench(boiler())
    bench.push(status("TEMPERATURE", celsius=21.5))
    for _ in range(3):
        bench.model.unanswered(status("TEMPERATURE"))
    bench.model.lose_all("the port is reopened")
    bench.model.recover_all(0.0)
    bench.write(bench.model.changed(0.0))
    assert bench.last["_status"] == "offline"
    assert bench.last["_reason"] == "3 requests in a row were not answered"


@pytest.mark.parametrize(("silent_after", "status_after"), [(None, "online"), (60.0, "unknown")])
def test_what_still_comes_after_the_port_was_lost_makes_no_device_online(
    silent_after: float | None, status_after: str
) -> None:
    """As from a timer of the interface, or what its port has held when it was closed."""
    bench = Bench(boiler(TEMPERATURE, silent_after=silent_after))
    bench.push(status("TEMPERATURE", celsius=1.0))
    bench.model.lose_all("the port is gone")
    bench.advance(5)
    bench.push(status("TEMPERATURE", celsius=2.0))
    bench.advance(5)
    assert (bench.last["_status"], bench.last["_reason"]) == ("offline", "the port is gone")
    assert (bench.last["temperature"], bench.last["_quality"]) == (2.0, {"temperature": "stale"})
    bench.model.recover_all(bench.now)
    bench.advance(5)
    assert bench.last["_status"] == status_after
    bench.push(status("TEMPERATURE", celsius=2.0))
    bench.advance(5)
    assert (bench.last["_status"], bench.last["_quality"]) == ("online", {})


def test_a_message_of_an_interface_that_hung_makes_its_device_online() -> None:
    """It has returned, also if that is noticed only later; and what it has read is good."""
    bench = Bench(boiler(TEMPERATURE, silent_after=60.0))
    bench.model.lose_all("it does not return", is_hanging=True)
    bench.push(status("TEMPERATURE", celsius=2.0))
    bench.model.recover_all(bench.now)
    bench.advance(5)
    assert (bench.last["_status"], bench.last["_quality"]) == ("online", {})


def test_the_outcome_of_a_repeated_command_is_sent_though_the_state_has_not_changed() -> None:
    bench = Bench(boiler(LAMP._replace(report=ReportRule(on_change=True, refresh=60))))
    bench.push(status("LAMP", on=True))
    outcome = status("LAMP", on=True, response="OK", reason="")
    assert [bench.push(outcome) for _ in range(3)] == [[outcome]] * 3
    bench.now = 61
    assert bench.model.tick(61).messages == [status("LAMP", on=True)]


# --- values and words that nobody has thought of


@pytest.mark.parametrize(
    "value", [10**5000, {"a": math.nan}, [1], {1}, None, b"x", object()], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("kind", list(PointType))
def test_no_value_keeps_a_document_from_being_written(kind: PointType, value: Any) -> None:
    bench = Bench(boiler(TEMPERATURE._replace(type=kind)))
    bench.push(status("TEMPERATURE", celsius=value))
    assert "temperature" not in bench.last
    if kind is not PointType.EVENT:
        assert bench.last["_quality"] == {"temperature": "bad"}


@pytest.mark.parametrize(("value", "is_good"), [(50, True), (50.0, True), (50.5, False), (True, False), ("50", False)])
def test_a_whole_number_is_an_integer_however_it_is_written(value: Any, is_good: bool) -> None:
    bench = Bench(boiler(TEMPERATURE._replace(type=PointType.INTEGER)))
    bench.push(status("TEMPERATURE", celsius=value))
    quality = bench.model.states["boiler"].reading_of["temperature"].quality
    assert quality is (Quality.GOOD if is_good else Quality.BAD)


def test_none_tells_false_and_0_apart() -> None:
    bench = Bench(boiler(HEATER._replace(none=(0,))))
    bench.push(status("HEATING", on=False))
    assert bench.last["heater"] is False


def test_a_word_that_is_no_text_is_left_to_the_map() -> None:
    msg = status("TEMPERATURE", celsius=1.0).replace(device=["boiler"])
    assert Bench(boiler()).push(msg) == [msg]


def test_a_template_adds_nothing_for_another_sender_or_for_words_that_make_no_id() -> None:
    bench = Bench(Device("{device}", (TEMPERATURE,)))
    for word in ("", "x" * 65, "a.b", "a_b", "-gateway"):
        bench.push(status("TEMPERATURE", celsius=1.0).replace(device=word))
    bench.push(status("TEMPERATURE", celsius=1.0).replace(device="other", sender="somebody"))
    assert list(bench.model.states) == ["a_b"]
    assert bench.model.rejected_devices == 4


@pytest.mark.parametrize(
    "text",
    [
        '{"temperature": NaN, "_time": {"temperature": "2026-01-01T00:00:00Z"}}',
        '{"temperature": 1, "_time": {"temperature": "0001-01-01T00:00:00+05:00"}}',
    ],
)
def test_a_kept_document_that_cannot_be_written_again_is_not_restored(text: str) -> None:
    state = Bench(boiler()).model.states["boiler"]
    assert not restore(state, text.encode())
    assert "temperature" not in json.loads(state_document(state))


# --- messages that lack some of the arguments that others have


def test_the_interval_and_the_refresh_of_an_argument_do_not_depend_on_another_that_is_missing() -> None:
    rule = ReportRule(on_change=True, interval=5, refresh=60)
    flow = Point("flow", PointType.NUMBER, (Feed("TEMPERATURE", "flow"),), report=rule)
    bench = Bench(boiler(TEMPERATURE._replace(report=rule), flow))
    first, second = status("TEMPERATURE", celsius=1.0), status("TEMPERATURE", celsius=2.0)
    assert bench.push(first) == [first]
    bench.now = 1
    assert bench.push(second) == []
    assert bench.model.tick(4).messages == []
    assert bench.model.tick(5).messages == [second]
    assert bench.model.tick(65).messages == [second]


def test_a_reading_that_has_not_changed_does_not_end_the_interval_of_another() -> None:
    rule = ReportRule(on_change=True)
    flow = Point("flow", PointType.NUMBER, (Feed("TEMPERATURE", "flow"),), report=rule)
    bench = Bench(boiler(TEMPERATURE._replace(report=rule._replace(interval=5.0)), flow))
    bench.push(status("TEMPERATURE", celsius=1.0, flow=1))
    bench.now = 1
    assert bench.push(status("TEMPERATURE", celsius=2.0, flow=1)) == []
    assert bench.model.tick(4).messages == []
    assert len(bench.model.tick(5).messages) == 1


# --- many devices with one address


class Counted(int):
    """A number that counts how often it is compared."""

    compared = 0
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return int(self) == other


@pytest.mark.parametrize("is_template", [False, True])
def test_a_unit_that_no_device_has_is_not_compared_with_each_of_a_thousand(is_template: bool) -> None:
    if is_template:
        template = Device("m{unit}", (TEMPERATURE,), where={"unit": "{unit}"})
        bench = Bench(template, max_devices=1000)
        bench.push(*(status("TEMPERATURE", celsius=1.0, unit=unit) for unit in range(1000)))
    else:
        bench = Bench(*(Device(f"m{unit}", (TEMPERATURE,), where={"unit": unit}) for unit in range(1000)))
    assert len(bench.model.states) == 1000
    before = Counted.compared
    bench.push(status("TEMPERATURE", celsius=1.0, unit=Counted(5000)))
    bench.model.unanswered(status("TEMPERATURE", unit=Counted(7)))
    assert Counted.compared - before <= 10
    assert bench.model.states["m7"].unanswered == 1


def test_devices_are_found_by_values_of_every_kind() -> None:
    template = Device("m{unit}", (TEMPERATURE,), where={"unit": "{unit}"})
    bench = Bench(template)
    first: list[Any] = [1, "1", True, None, [1], {"a": [1]}, 2.5, "m\u00e4"]
    again: list[Any] = [1.0, True, None, [1.0], {"a": [1]}, 2.5, "m\u00e4"]
    for number, unit in enumerate(first):
        bench.push(status("TEMPERATURE", celsius=float(number), unit=unit))
    found = list(bench.model.states)
    assert found == ["m1", "mTrue", "mNone", "m_1_", "m__a____1__", "m2_5", "mm_"], "of 1 and '1', the first has the id"
    for number, unit in enumerate(again):
        bench.push(status("TEMPERATURE", celsius=10.0 + number, unit=unit))
    values = [state.reading_of["temperature"].value for state in bench.model.states.values()]
    assert values == [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0]


# --- what is remembered is bounded


def test_the_memory_does_not_grow_with_the_changes_of_a_device() -> None:
    """Each change is due sooner than the refresh, which then is due later: what it has left behind has to go."""
    rule = ReportRule(on_change=True, interval=1.0, refresh=3600.0)
    bench = Bench(boiler(TEMPERATURE._replace(report=rule)))

    def change(times: int) -> None:
        for _ in range(times):
            bench.push(status("TEMPERATURE", celsius=bench.now))
            bench.push(status("TEMPERATURE", celsius=bench.now + 0.5))
            bench.advance(1.5)
            bench.documents.clear()

    change(200)
    tracemalloc.start()
    try:
        change(1000)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 16 * 1024


def test_messages_that_feed_nothing_are_not_remembered() -> None:
    template = Device("m{unit}", (TEMPERATURE,), where={"unit": "{unit}"})
    bench = Bench(template, max_devices=2)
    tracemalloc.start()
    for unit in range(4000):
        bench.model.observe(status("TEMPERATURE", celsius=1.0, unit=unit), 0, 0)
    before = tracemalloc.get_traced_memory()[0]
    for unit in range(4000, 8000):
        bench.model.observe(status("TEMPERATURE", celsius=1.0, unit=unit), 0, 0)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 50_000


@pytest.mark.parametrize("rule", [None, ReportRule(interval=5.0, refresh=1e9)])
def test_what_changes_again_and_again_before_its_refresh_is_due_takes_no_more_memory(rule: ReportRule | None) -> None:
    bench = Bench(boiler(TEMPERATURE._replace(report=rule), refresh=1e9))

    def change(times: int) -> None:
        for number in range(times):
            bench.advance(2)
            bench.push(status("TEMPERATURE", celsius=float(number)))
            bench.documents.clear()

    change(500)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    change(2000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 50_000


@pytest.mark.parametrize("field", ["function", "device", "action"])
def test_a_word_that_is_no_text_raises_nothing(field: str) -> None:
    bench = Bench(boiler(TEMPERATURE))
    model = bench.model
    msg = status("TEMPERATURE", celsius=1.0).replace(**{field: ["x"]})
    outcome = msg.with_arguments({"response": "OK", "reason": ""})
    assert model.observe(msg, 0, 0) is msg and model.observe(outcome, 0, 0) is outcome
    model.not_sent(msg)
    model.unanswered(msg)
    model.answered(msg, 0)
    model.values_unreadable(msg, {"percent": "no number"}, 0)
    assert model.device_of(outcome) is None or field == "action"
    assert model.distinguished_by(msg) == () and model.to_ask(outcome, 0) == ()
